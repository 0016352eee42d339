"""What every command shares: one line for a user's mistake and exit code 2, progress, quiet libraries."""

import argparse
import gc
import inspect
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from codae_l1.data.base.errors import InputError
from codae_l1.scripts.run._mode import set_mode, settle_mode
from codae_l1.scripts.run._outputs import output, outputs

__all__ = [
    "PLAIN_LINE_SECONDS",
    "Progress",
    "existing",
    "import_tensorflow",
    "output",
    "parser",
    "run",
    "silent_stderr",
]

# Seconds between two plain progress lines where the output is no terminal.
PLAIN_LINE_SECONDS = 10.0
# Signals that end a command as Ctrl-C does.
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class _Help(argparse.RawDescriptionHelpFormatter):
    """The whole docstring as it is written; defaults where there is something to say."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        if action.required:
            return f"{text} (required)".strip()
        silent = action.default in (None, False, argparse.SUPPRESS) or action.nargs == 0 or action.default == []
        if silent or "default" in text:
            return text
        shown = " ".join(map(str, action.default)) if isinstance(action.default, list | tuple) else action.default
        return f"{text} (default: {shown})".strip()


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, and which takes options by their whole names.

    It refuses an empty word: as a path it would be this folder.
    """

    def __init__(self, **how: Any):
        # An abbreviation that names one option today names another, or two, once there are more.
        super().__init__(**how, allow_abbrev=False)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """What argparse makes of the words; one that is empty, such as an unset variable in quotes, ends it."""
        given = sys.argv[1:] if args is None else list(args)
        empty = [i for i, word in enumerate(given) if not word or (word[:2] == "--" and word[-1] == "=")]
        if empty:
            self.error(f"an empty argument{f' after {given[empty[0] - 1]}' if empty[0] else ''}")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """One line that names the command's help, and exit code 2."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def parser(description: str | None, **how: Any) -> argparse.ArgumentParser:
    """An argument parser whose help is a module's docstring, examples included, and the options' defaults.

    how: further arguments of argparse.ArgumentParser.
    """
    return _Parser(description=inspect.cleandoc(description or ""), formatter_class=_Help, **how)


def run(command: Callable[[], None], resumes: bool = True) -> None:
    """Run a command's body: InputError is one line and exit code 2; Ctrl-C, TERM and HUP a hint and 130.

    The rest is our mistake. resumes: whether the same command goes on where it was interrupted.
    """
    with _ended_alike(), outputs():
        _run(command, resumes)


@contextmanager
def _ended_alike() -> Iterator[None]:
    """A block in which TERM and HUP raise KeyboardInterrupt, as Ctrl-C does; HUP stays ignored under nohup."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    # Python takes signals in the main thread alone.
    main = threading.current_thread() is threading.main_thread()
    for number in _ENDING:
        if main and before[number] == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            if main and handler is not None:
                signal.signal(number, handler)


def _run(command: Callable[[], None], resumes: bool) -> None:
    try:
        command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.filename is None:
            raise
        # The system refuses a path: too long, a loop of links, a part that is no folder, no permission.
        refused = InputError(
            f"{error.filename} cannot be used ({error.strerror})", "a path that can be read or written", "correct it"
        )
        print(f"error: {refused}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        # The second of two changes nothing any more.
        for number in (signal.SIGINT, *_ENDING):
            signal.signal(number, signal.SIG_IGN)
        # Python would look for cycles in all of TensorFlow before it ends: 2 s of a processor.
        gc.freeze()
        hint = "; run the same command again to continue: what was finished is kept" if resumes else ""
        print(f"interrupted{hint}", file=sys.stderr)
        sys.exit(130)


@contextmanager
def silent_stderr() -> Iterator[None]:
    """A block without what TensorFlow's C++ chats on standard error, which no log level stops; errors still raise."""
    sys.stderr.flush()
    kept, silent = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)


@contextmanager
def _without_keras_json() -> Iterator[None]:
    """A block in which Keras finds no settings of the user's, which it may not even be able to read."""
    before = os.environ.get("KERAS_HOME")
    with tempfile.TemporaryDirectory(prefix="codae-keras-") as empty:
        os.environ["KERAS_HOME"] = empty
        try:
            yield
        finally:
            os.environ.pop("KERAS_HOME")
            if before is not None:
                os.environ["KERAS_HOME"] = before


@contextmanager
def _without(*modules: str) -> Iterator[None]:
    """A block that finds none of these modules but those that are imported already.

    Keras imports them where they are, for wrappers and figures that nobody uses here: a third of its time.
    """
    left_out = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]


def import_tensorflow(deterministic: bool = False) -> None:
    """Import TensorFlow without its chatter, and Keras on it with the settings that give the network's words.

    The user's own settings of Keras (keras.json, KERAS_BACKEND) are for their own models. deterministic: in the mode in
    which a training gives the same bits on every processor (training.deterministic); InputError where TensorFlow was
    imported before, without it.
    """
    set_mode(deterministic)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with silent_stderr():
        with _without_keras_json(), _without("sklearn", "matplotlib", "pandas"):
            import keras
        import tensorflow

        keras.config.set_floatx("float32")
        keras.config.set_image_data_format("channels_last")
        keras.config.set_epsilon(1e-7)
        keras.config.set_dtype_policy("float32")

        # Its advice on retracing is for developers.
        tensorflow.get_logger().setLevel("ERROR")
    settle_mode()


class Progress:
    """A rich progress bar on a terminal, a plain line every ten seconds elsewhere.

    Call it with (done, total, text); it is what the libraries take as `progress`.
    """

    def __init__(self, title: str):
        self.title = title
        self.last = time.monotonic()
        self.bar = None

    def __enter__(self) -> "Progress":
        if sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self.bar = Bar(*columns, TextColumn("{task.fields[text]}"), transient=True)
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=None, text="")
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, done: int, total: int, text: str = "") -> None:
        """Show that `done` of `total` steps are done."""
        if self.bar is not None:
            self.bar.update(self.task, completed=done, total=total, text=text)
        elif time.monotonic() - self.last > PLAIN_LINE_SECONDS:
            self.last = time.monotonic()
            print(f"{self.title}: {done}/{total} {text}".rstrip(), flush=True)


def existing(path: str) -> Path:
    """A path that must be there; an empty one is not that of the current folder."""
    if not path or not Path(path).exists():
        raise InputError(f"{path or 'an empty path'} does not exist", "a file or folder", "check the path")
    return Path(path)
