"""Files and folders that are whole or not there: written beside the target under another name, then renamed."""

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codae_l1.data.base._attributes import read_attribute, write_attributes
from codae_l1.data.base._interrupts import interrupted_outside
from codae_l1.data.base._locks import alone, locked, used_by
from codae_l1.data.base._opening import (
    DAMAGED,
    opened_hdf5,
    parse_json,
    parse_table,
    read_array,
    read_arrays,
    read_json,
    read_member,
    read_table,
    read_toml,
    reading,
)
from codae_l1.data.base._partial import REPLACED, partial, scratch_folder, tidied
from codae_l1.data.base.errors import InputError

__all__ = [
    "DAMAGED",
    "alone",
    "locked",
    "new_hdf5",
    "opened_hdf5",
    "parse_json",
    "parse_table",
    "partial",
    "read_array",
    "read_arrays",
    "read_attribute",
    "read_json",
    "read_member",
    "read_table",
    "read_toml",
    "reading",
    "replaceable",
    "scratch_folder",
    "sha256",
    "tidied",
    "used_by",
    "whole_file",
    "whole_folder",
    "write_attributes",
    "write_json",
    "writing",
]
_NOTHING_LEFT = "; nothing half-written was left"


@contextmanager
def writing(path: Path | str, left: str = "", passing: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Whatever the block cannot write (full disk, no permission) is an InputError that names `path`.

    left: what is said of the files that the block leaves behind. passing: errors that are something else.
    """
    try:
        yield
    except passing:
        raise
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error})",
            "a writable folder with free space",
            f"free some space or choose another folder{left}",
        ) from error


@contextmanager
def _folders(path: Path) -> Iterator[None]:
    """The folder and those above it, made where they are not there; a block that fails leaves none of these."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside the target; rename it to `path` if the block succeeds, else remove it.

    The next call removes what a killed one left. Raises InputError where the disk is full, the folder cannot be
    written, or another process writes the same file.
    """
    path = Path(path)
    with writing(path, _NOTHING_LEFT, passing=(FileNotFoundError,)), contextlib.ExitStack() as stack:
        stack.enter_context(_folders(path.parent))
        # In a folder of its own, which can be locked: HDF5 locks the file itself. The suffix stays, since Keras and
        # NumPy choose the format by it.
        with writing(path, _NOTHING_LEFT):
            temporary = stack.enter_context(partial(path)) / path.name
        temporary.touch()
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)


@contextmanager
def whole_folder(path: Path | str, ours: tuple[str, ...] = ()) -> Iterator[Path]:
    """Give a temporary folder next to the target; it replaces the target if the block succeeds.

    The next call removes what an interrupted one left behind, and puts back a folder that was set aside and not
    replaced. ours: see `replaceable`, which is asked first. A full disk raises InputError and leaves nothing
    half-written.
    """
    with writing(path, _NOTHING_LEFT), contextlib.ExitStack() as stack:
        path = replaceable(path, ours)
        stack.enter_context(_folders(path.parent))
        temporary = stack.enter_context(partial(path))
        temporary.chmod(0o755)
        yield temporary
        aside = temporary.with_suffix(REPLACED)
        stack.callback(shutil.rmtree, aside, ignore_errors=True)
        if path.is_dir():
            path.rename(aside)
        try:
            temporary.rename(path)
        except BaseException:
            if aside.is_dir():
                aside.rename(path)
            raise


def replaceable(path: Path | str, ours: tuple[str, ...] = ()) -> Path:
    """The resolved path of a folder that may be replaced; InputError if that would delete files that are not ours.

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


def write_json(path: Path | str, content: Any) -> None:
    """Write JSON whole or not at all; NaN is refused, because JSON does not have it."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def sha256(path: Path | str) -> str:
    """SHA-256 of a file, hexadecimal, read in slices."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def new_hdf5(path: Path | str) -> Iterator[Any]:
    """A new h5py.File, written whole or not at all. Raises InputError where the disk is full."""
    import h5py

    with whole_file(path) as temporary, _Target(temporary, "w+") as target:
        try:
            with interrupted_outside(_CALLBACKS), h5py.File(target, "w") as file:
                yield file
        finally:
            # Whatever HDF5 makes of it: a refused write is the cause.
            if target.error is not None:
                raise target.error


class _Target(io.FileIO):
    """A file that keeps the first refusal of the system as `error`, and from then on what is written in memory.

    HDF5 does not survive a refused write: it tries again while it closes the file, and what it reads back of its own
    tables must be what it wrote, or the process dies. Large writes are content, which it does not follow: dropped.
    """

    error: OSError | None = None
    # Bytes of a page in memory, and of the largest write that is kept.
    _PAGE, _MOST = 4096, 1 << 16

    def __init__(self, path: Path, mode: str):
        super().__init__(path, mode)
        self._pages: dict[int, bytearray] = {}
        self._end = 0

    def write(self, content: Any) -> int:
        """Write all of it, unless something was refused."""
        whole = memoryview(content).cast("B")
        start, left = self.tell(), whole
        try:
            while self.error is None and len(left):
                left = left[super().write(left) :]
        except OSError as error:
            self.error, self._end = error, super().seek(0, io.SEEK_END)
        if self.error is not None:
            self._keep(start, whole)
        return len(whole)

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the disk, and from what was kept."""
        if self.error is None:
            return super().readinto(buffer) or 0
        start, into = self.tell(), memoryview(buffer).cast("B")
        into[:] = bytes(len(into))
        super().readinto(into)
        for page in range(start // self._PAGE, (start + len(into) - 1) // self._PAGE + 1):
            first, last = max(start, page * self._PAGE), min(start + len(into), (page + 1) * self._PAGE)
            if page in self._pages:
                at = first - page * self._PAGE
                into[first - start : last - start] = self._pages[page][at : at + last - first]
        super().seek(start + len(into))
        return len(into)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place; the end is that of what was written and kept."""
        if self.error is not None and whence == io.SEEK_END:
            return super().seek(self._end + offset)
        return super().seek(offset, whence)

    def truncate(self, size: int | None = None, /) -> int:
        """Set the length, unless something was refused."""
        length = self.tell() if size is None else size
        try:
            if self.error is None:
                return super().truncate(length)
        except OSError as error:
            self.error = error
        self._end = length
        return length

    def _keep(self, start: int, content: memoryview) -> None:
        """Keep a small write page by page; the other bytes of its pages are those of the disk."""
        stop = start + len(content)
        for page in range(start // self._PAGE, (stop - 1) // self._PAGE + 1) if 0 < len(content) <= self._MOST else ():
            base = page * self._PAGE
            if page not in self._pages:
                super().seek(base)
                self._pages[page] = bytearray((super().read(self._PAGE) or b"").ljust(self._PAGE, b"\0"))
            first, last = max(start, base), min(stop, base + self._PAGE)
            self._pages[page][first - base : last - base] = content[first - start : last - start]
        self._end = max(self._end, stop)
        super().seek(stop)


# What HDF5 calls; it asks for the length by seek.
_CALLBACKS = {f.__code__ for f in (_Target.write, _Target.readinto, _Target.seek, _Target.truncate)}
