"""The output of talkative libraries and tools, kept in a file."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codae_l1.data.base._partial import PARTIAL


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Append everything that the block prints, from Python and from C, to the file `log`."""
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
    """The last non-empty lines of a log, on one line.

    >>> tail(Path("/nowhere/log"))
    'no log'
    """
    if not log.is_file():
        return "no log"
    words = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(words[-lines:])[-400:] or "an empty log"


def keep_log(log: Path, always: bool = True) -> Path:
    """Copy a log out of a temporary folder, which will vanish, to a path next to it; gives the new path.

    always: also where no folder above the log is one of data.base.files that vanish.
    """
    vanishing = [folder for folder in log.parents if folder.suffix == PARTIAL]
    if not (vanishing or always):
        return log
    project = vanishing[-1] if vanishing else log.parent.parent if log.parent.name == "sim" else log.parent
    # Without what data.base.files appends to the name: the process, and what makes it one of its own.
    name = project.name.lstrip(".").rsplit("-", 1)[0].rsplit("~", 1)[0]
    kept = project.parent / f"{name}-{log.name}"
    try:
        shutil.copy(log, kept)
    except OSError as error:
        return Path(f"{kept} (which could not be written: {error})")
    return kept
