"""How files are opened for reading: whatever damage or another kind of file leads to is one InputError.

Archives of NumPy, JSON, TOML and HDF5 are opened here and nowhere else, so that no reader can forget an exception.
"""

import io
import json
import lzma
import struct
import tokenize
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError

# What a damaged archive, a text of another kind, or bytes that look like a format lead to in NumPy, zipfile, json,
# tomllib and h5py; RuntimeError is an encrypted member or, as RecursionError, tables within tables without end.
DAMAGED = (
    *(OSError, LookupError, ValueError, TypeError, AttributeError, EOFError, RuntimeError, MemoryError, OverflowError),
    *(SyntaxError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
# Most bytes that HDF5 keeps of where the blocks of an open file lie.
_INDEX_BYTES = 1 << 18


@contextmanager
def reading(
    path: Path | str, expected: str, remedy: str = "copy it again", says: str = "cannot be read"
) -> Iterator[None]:
    """Whatever a damaged file, or one of another kind, leads to in the block is an InputError that names `path`.

    says: what is said of a file that is there and may be read.
    """
    try:
        yield
    except DAMAGED as error:
        raise _unreadable(path, error, expected, remedy, says) from error


def _unreadable(path: Path | str, error: BaseException, expected: str, remedy: str, says: str) -> InputError:
    why = str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path} does not exist", expected, remedy)
    if "unable to lock file" in why:
        # HDF5 says so of a file that another process has open for writing.
        how = "wait, or set HDF5_USE_FILE_LOCKING=FALSE"
        return InputError(f"{path} is in use by another program, or on a disk without locks", expected, how)
    if isinstance(error, PermissionError) or "Permission denied" in why:
        return InputError(f"{path} may not be read (permission denied)", expected, "change its permissions")
    if isinstance(error, OSError) and error.strerror:
        return InputError(f"{path} cannot be read ({error.strerror})", expected, "correct the path, or copy it again")
    if "Object arrays" in why:
        return InputError(f"{path} holds Python objects", expected, "save its arrays as numbers")
    return InputError(f"{path} {says} ({why})", expected, remedy)


def read_arrays(
    path: Path | str,
    expected: str,
    remedy: str = "copy it again",
    keys: tuple[str, ...] = (),
    content: bytes | None = None,
    says: str = "cannot be read",
) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name; pickles are refused, and a name twice.

    keys: those that must be there. content: the file's bytes, where it lies in another file `path`.
    """
    with reading(path, expected, remedy, says), open(path, "rb") if content is None else io.BytesIO(content) as handle:
        return _arrays(path, handle, expected, remedy, keys)


def _arrays(path: Path | str, handle: Any, expected: str, remedy: str, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(handle):
        raise ValueError("no whole archive of arrays")
    handle.seek(0)
    with np.load(handle, allow_pickle=False) as stored:
        twice = sorted({name for name in stored.files if stored.files.count(name) > 1})
        if twice:
            raise InputError(f"{path} holds {twice[0]} {stored.files.count(twice[0])} times", "each array once", remedy)
        missing = [key for key in keys if key not in stored.files]
        if missing:
            raise InputError(f"{path} without {', '.join(missing)}", expected, remedy)
        arrays = {name: stored[name] for name in stored.files}
    odd = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if odd:
        # What NumPy gives for a member without the head of an array.
        raise InputError(f"{path}: {odd[0]} is no array", expected, remedy)
    return arrays


def read_array(path: Path | str, expected: str, remedy: str = "copy it again", mapped: bool = False) -> np.ndarray:
    """The array of an .npy file; mapped: from disk where it is used."""
    with reading(path, expected, remedy):
        return np.lib.format.open_memmap(path, mode="r") if mapped else _array(path)


def _array(path: Path | str) -> np.ndarray:
    with open(path, "rb") as handle:
        return np.lib.format.read_array(handle, allow_pickle=False)


def read_member(path: Path | str, name: str, expected: str, remedy: str = "copy it again") -> bytes:
    """The bytes of one member of a zip file."""
    with reading(path, expected, remedy), zipfile.ZipFile(path) as archive:
        if archive.namelist().count(name) != 1:
            raise InputError(f"{path} holds {name} {archive.namelist().count(name)} times", expected, remedy)
        return archive.read(name)


def parse_json(text: str | bytes, source: Path | str, expected: str = "JSON", remedy: str = "make it again") -> Any:
    """What a JSON text says; NaN, infinities and numbers beyond 64-bit floats are refused. source: what it is of.

    >>> parse_json('{"rate": NaN}', "x.json")
    Traceback (most recent call last):
        ...
    codae_l1.data.base.errors.InputError: x.json is not JSON (NaN is no number of JSON); expected JSON; make it again
    """
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except DAMAGED as error:
        raise InputError(f"{source} is not JSON ({error or type(error).__name__})", expected, remedy) from error


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(f"{text[:20]} is beyond all floats")
    return value


def parse_table(
    text: str | bytes, source: Path | str, keys: tuple[str, ...] = (), remedy: str = "make it again"
) -> Any:
    """`parse_json` of a table that must hold some keys."""
    content, expected = parse_json(text, source, remedy=remedy), f"a JSON table with {', '.join(keys) or 'names'}"
    missing = [key for key in keys if key not in content] if isinstance(content, dict) else ["a table"]
    if missing:
        raise InputError(f"{source} without {', '.join(missing)}", expected, remedy)
    return content


def read_json(path: Path | str) -> Any:
    """Read JSON; a missing or broken file raises InputError that names it."""
    return parse_json(_bytes(path), path, "a whole JSON file", "remove it and run its stage")


def read_table(path: Path | str, keys: tuple[str, ...] = (), remedy: str = "remove it and run its stage") -> Any:
    """`read_json` of a table that must hold some keys."""
    return parse_table(_bytes(path), path, keys, remedy)


def _bytes(path: Path | str) -> bytes:
    with reading(Path(path), "a JSON file", "run the stage that writes it first"):
        return Path(path).read_bytes()


def read_toml(path: Path | str, expected: str = "a TOML config") -> dict[str, Any]:
    """Read TOML; a missing or broken file raises InputError that names it."""
    with reading(path, expected, "correct its name"):
        text = Path(path).read_bytes()
    try:
        return tomllib.loads(text.decode())
    except DAMAGED as error:
        why = error or type(error).__name__
        raise InputError(f"{path} is not TOML ({why})", expected, "correct that line") from error


@contextmanager
def opened_hdf5(
    path: Path | str, expected: str, remedy: str = "copy it again", says: str = "is truncated or not HDF5"
) -> Iterator[Any]:
    """An h5py.File, open for reading; what damage leads to while it is open is an InputError, too."""
    import h5py

    with reading(path, expected, remedy, says):
        if not Path(path).is_file():
            found = "is a folder" if Path(path).is_dir() else "does not exist"
            raise InputError(f"{path} {found}", expected, "correct the path")
        with h5py.File(path, "r") as file:
            # By default it is up to 32 MB, so that memory grows with the file.
            config = file.id.get_mdc_config()
            config.min_size = config.initial_size = config.max_size = _INDEX_BYTES
            file.id.set_mdc_config(config)
            yield file
