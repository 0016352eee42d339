"""Where a file or folder is written before it is whole: a hidden folder beside it, by one rule for all of them.

    .NAME~PROCESS-xxxxxxxx.partial      what is being written; locked by its process as long as it lives
    .NAME~PROCESS-xxxxxxxx.replaced     the folder that it takes the place of, for a moment

One that nobody holds is left by a process that was killed. The next writer of the same target removes it.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codae_l1.data.base._locks import describe
from codae_l1.data.base.errors import InputError

PARTIAL, REPLACED = ".partial", ".replaced"
# Characters of a target's name in that of its hidden folder: file systems take 255.
_NAME = 150
_END = rf"(~(\d+))?-[a-z0-9_]{{8}}({REPLACED}|{PARTIAL})"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for the block among the system's temporary ones; those that killed processes left are removed."""
    with partial(Path(tempfile.gettempdir()) / "codae-l1", shared=True) as folder:
        yield folder


@contextmanager
def partial(path: Path, shared: bool = False) -> Iterator[Path]:
    """A hidden folder beside a target, in which it is written: locked, named after this process, removed in the end.

    Raises InputError where another process writes the same target, unless it is shared, and where the target is neither
    a file nor a folder: a device would be replaced.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path} is neither a file nor a folder", "a place on a disk", "name another")
    while True:
        tidy(path, shared)
        name = path.name[:_NAME]
        made = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{name}~{os.getpid()}-", suffix=PARTIAL))
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            stack.enter_context(_locked(made))
            # Another's tidying may have come between the two.
            if made.is_dir():
                yield made
                return


def tidy(path: Path, shared: bool = False) -> None:
    """Put back or remove what interrupted calls have left beside a target; what is being written is locked and stays.

    Raises InputError where another process writes it, unless it is shared.
    """
    # Those of older releases name no process.
    known = re.compile(rf"\.{re.escape(path.name[:_NAME])}{_END}")
    # Those that were set aside come first: the partial ones hold their locks.
    names = sorted(os.listdir(path.parent), key=lambda name: (name.endswith(PARTIAL), name))
    for match in filter(None, map(known.fullmatch, names)):
        left, process = path.parent / match[0], int(match[2] or 0)
        with _locked(left.with_suffix(PARTIAL)) as free:
            if free and match[3] == REPLACED and not path.exists():
                left.rename(path)
            elif free:
                shutil.rmtree(left, ignore_errors=True)
            elif not shared and process not in (0, os.getpid()):
                raise InputError(
                    f"{path} is being written by another command ({describe(process)})",
                    "one command at a time",
                    "wait for it, or choose another name",
                )


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder for the block, if it exists; gives whether nobody else holds it."""
    handle, free = None, True
    try:
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # In use, or on a file system without locks: somebody may be writing.
        free = isinstance(error, FileNotFoundError)
    try:
        yield free
    finally:
        if handle is not None:
            os.close(handle)


def tidied(folder: Path) -> None:
    """Remove what killed processes left of whatever they were writing into a folder."""
    for left in folder.glob(f".*{PARTIAL}"):
        if re.fullmatch(rf".+{_END}", left.name):
            with _locked(left) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)
