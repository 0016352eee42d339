"""Who works on a folder or a file: a lock that ends with its process, however that ends, and says whose it is.

The kernel's lock on an open file (flock) decides; what the file says is for the message alone. On a file system
without locks nothing is locked.
"""

import contextlib
import fcntl
import os
import platform
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from codae_l1.data.base.errors import InputError


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Work on a folder for the block, and again within it; InputError, which says who does, where another command does.

    Nothing is left in the folder. Raises InputError where it cannot be written.
    """
    with locked(folder / ".lock", again=True, removed=True):
        yield


def used_by(folder: Path) -> str:
    """The other process that works on a folder, as its lock names it; empty where none does."""
    with contextlib.suppress(OSError), open(folder / ".lock") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            who = handle.read().strip() or "unknown"
            return "" if who.startswith(f"{_process(os.getpid())},") else who
    return ""


@contextmanager
def locked(path: Path, again: bool = False, removed: bool = False) -> Iterator[IO[str]]:
    """Hold a lock file for the block; what is locked is its folder.

    again: whether this process may hold it already. removed: whether the file goes in the end, which needs that no tool
    was given it. Raises InputError, which names the process and since when, where another command holds it, or a tool
    that outlived one and was given the open file.
    """
    with contextlib.ExitStack() as stack:
        handle = stack.enter_context(_opened(path))
        if not _locks(handle):
            handle.seek(0)
            who = handle.read().strip()
            if not (again and who.startswith(f"{_process(os.getpid())},")):
                raise InputError(
                    f"{path.parent} is in use by another command or by a tool that still runs ({who or 'unknown'})",
                    "one command at a time",
                    f"wait for it, or end it (`fuser {path}` names its process)",
                )
        else:
            if removed:
                stack.callback(path.unlink, missing_ok=True)
            handle.truncate(0)
            handle.write(f"{_process(os.getpid())}, {_command(os.getpid())}, since {_now()}\n")
            handle.flush()
        yield handle


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """An open lock file that is still there: its last holder may have removed it meanwhile."""
    while True:
        try:
            handle = open(path, "a+")  # noqa: SIM115  (closed below)
        except OSError as error:
            raise InputError(
                f"{path.parent} could not be written ({error.strerror})",
                "a writable folder with free space",
                "change its permissions, or choose another folder",
            ) from error
        with handle:
            free = _locks(handle)
            with contextlib.suppress(FileNotFoundError):
                if not free or os.path.samestat(os.fstat(handle.fileno()), os.stat(path)):
                    yield handle
                    return


def _locks(handle: IO[str]) -> bool:
    """Lock an open file; whether it is this one's now, or there are no locks here."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def describe(process: int) -> str:
    """A process for a message: its number, its command where it can be seen, and since when it runs."""
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(os.stat(f"/proc/{process}").st_ctime))
    except OSError:
        return _process(process)
    return f"{_process(process)}, {_command(process)}, since {since}"


def _process(number: int) -> str:
    return f"process {number} on {platform.node()}"


def _command(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "a command"
    return shlex.join(words[:-1])[:120]


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
