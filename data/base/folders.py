"""Folders that are written whole or not at all, and a file for the output of verbose libraries."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codae_l1.data.base.errors import InputError

# Ends of the names of a folder that is being written, and of the one that it takes the place of.
_PARTIAL, _REPLACED = ".partial", ".replaced"


@contextmanager
def whole_folder(path: Path | str, ours: tuple[str, ...] = ()) -> Iterator[Path]:
    """Give a temporary folder beside the target; it takes the target's place when the block ends well.

    A folder that stood there is put aside only then, and deleted when the new one is in its place: a kill between
    leaves it beside, and the next call puts it back. What a killed call left is removed by the next. ours: see
    `replaceable`, which is asked first. A full disk raises InputError and leaves nothing half-written.
    """
    temporary: Path | None = None
    try:
        with writing(path, "; nothing half-written was left"), contextlib.ExitStack() as stack:
            path = replaceable(path, ours)
            path.parent.mkdir(parents=True, exist_ok=True)
            _tidy(path)
            temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-", suffix=_PARTIAL))
            stack.enter_context(_held(temporary))
            temporary.chmod(0o755)
            yield temporary
            _replace(path, temporary)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def replaceable(path: Path | str, ours: tuple[str, ...] = ()) -> Path:
    """The path, resolved, of a folder that may be written anew; InputError where that would delete what is not ours.

    ours: names of files of which each folder that the caller writes has one; a folder with other files is refused.
    Always refused: a file, the current folder, and those that hold it or the home folder.
    """
    path, home = Path(path).resolve(), Path(os.path.expanduser("~")).resolve()
    for kept, name in ((Path.cwd(), "the current folder"), (home, "the home folder")):
        if path == kept or path in kept.parents:
            raise InputError(
                f"{path} is {'' if path == kept else 'above '}{name}, and would be replaced as a whole",
                "a folder of its own",
                "name a new folder in it",
            )
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file", "a folder to write", "choose another folder")
    names = sorted(entry.name for entry in path.iterdir()) if ours and path.is_dir() else []
    if names and not set(ours) & set(names):
        raise InputError(
            f"{path} holds other files ({', '.join(names[:3])}), which would be deleted",
            f"a new or empty folder, or one that this command made (with {' or '.join(ours)})",
            "choose another folder, or remove it yourself",
        )
    return path


def _replace(path: Path, temporary: Path) -> None:
    """Rename `temporary` to `path`; what stood there is deleted last."""
    aside = temporary.with_suffix(_REPLACED)
    if path.is_dir():
        path.rename(aside)
    try:
        temporary.rename(path)
    except BaseException:
        if aside.is_dir() and not path.exists():
            aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _tidy(path: Path) -> None:
    """Put back what a killed call had put aside, where nothing took its place; remove what such calls left."""
    for aside in _left(path, _REPLACED):
        with _held(aside.with_suffix(_PARTIAL)) as free:
            if free and not path.exists():
                aside.rename(path)
            elif free:
                shutil.rmtree(aside, ignore_errors=True)
    for partial in _left(path, _PARTIAL):
        with _held(partial) as free:
            if free:
                shutil.rmtree(partial, ignore_errors=True)


def _left(path: Path, end: str) -> list[Path]:
    start = f".{path.name}-"
    found = (entry for entry in path.parent.iterdir() if entry.name.startswith(start) and entry.suffix == end)
    return sorted(entry for entry in found if "-" not in entry.name.removeprefix(start) and entry.is_dir())


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Lock a folder for the block; whether nobody else holds it (a folder that is not there: nobody does)."""
    import fcntl

    handle, free = None, True
    try:
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except OSError:
        # In use, or a file system without locks: who knows.
        free = False
    try:
        yield free
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def writing(path: Path | str, left: str = "") -> Iterator[None]:
    """Whatever the block cannot write (full disk, no permission) is an InputError that names `path`.

    left: what is said of the files that the block leaves behind.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error})",
            "a writable folder with free space",
            f"free some space or choose another folder{left}",
        ) from error


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Send all that the block prints, from Python and from C, to the end of the file `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    with open(log, "a") as handle, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(handle))
        stack.enter_context(contextlib.redirect_stderr(handle))
        for descriptor in (1, 2):
            saved = os.dup(descriptor)
            os.dup2(handle.fileno(), descriptor)
            stack.callback(lambda saved=saved, descriptor=descriptor: (os.dup2(saved, descriptor), os.close(saved)))
        yield


def tail(log: Path, lines: int = 3) -> str:
    """The last lines of a log that say something, on one line.

    >>> tail(Path("/nowhere/log"))
    'no log'
    """
    if not log.is_file():
        return "no log"
    words = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(words[-lines:])[-400:] or "an empty log"


def keep_log(log: Path) -> Path:
    """Copy a log out of the temporary folder it will vanish with, beside the folder; its new path."""
    project = log.parent.parent if log.parent.name == "sim" else log.parent
    name = project.name.lstrip(".").rsplit("-", 1)[0]
    kept = project.parent / f"{name}-{log.name}"
    try:
        shutil.copy(log, kept)
    except OSError as error:
        return Path(f"{kept} (which could not be written: {error})")
    return kept
