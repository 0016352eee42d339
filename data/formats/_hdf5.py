"""What readers and writers of HDF5 share: open, find, check, read, and write; each failure is one clear message."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import new_hdf5, opened_hdf5, parse_table, read_attribute, reading
from codae_l1.data.base.words import WordType
from codae_l1.data.formats._hdf5_storage import require_source, require_stored

__all__ = [
    "SUFFIXES",
    "as_stored",
    "bounds",
    "find",
    "holds",
    "new_hdf5",
    "open_hdf5",
    "provenance_of",
    "read",
    "require_finite",
    "require_shape",
]

# Of HDF5 files, whoever wrote them.
SUFFIXES = (".h5", ".hdf5")
# NumPy's kinds of real numbers: bool, integers, floats.
_NUMBERS = "biuf"


@contextlib.contextmanager
def open_hdf5(path: Path | str, kind: str) -> Iterator[h5py.File]:
    """An open file; kind: what is expected in it, for the messages."""
    with opened_hdf5(path, kind) as file:
        yield file


def holds(path: Path, member: str) -> bool:
    """Whether an HDF5 file has a group or dataset of that name."""
    with open_hdf5(path, f"HDF5 with {member}") as file:
        return member in file


def provenance_of(file: h5py.File, path: Path | str) -> dict[str, Any]:
    """What a file of ours says of how it was made; empty where it does not."""
    return parse_table(read_attribute(file, "provenance", "{}"), f"the provenance of {path}")


def find(file: h5py.File, name: str, kind: str) -> h5py.Dataset:
    """The dataset of that name, its content all there and its compression readable."""
    path, link = file.filename, file.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        require_source(path, name, link.filename, "HDF5_EXT_PREFIX")
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{path} without the dataset {name}", kind, "correct the file or choose another format")
    if not found.shape:
        raise InputError(f"{path}: {name} is one number or empty", f"rows of {kind}", "correct the file")
    _require_filters(found, path)
    require_stored(found, name)
    return found


def require_shape(dataset: h5py.Dataset, name: str, shape: tuple[int | None, ...]) -> None:
    """Raise InputError unless the dataset holds numbers of this shape; None: any length."""
    fits = len(dataset.shape) == len(shape) and all(b in (None, a) for a, b in zip(dataset.shape, shape, strict=True))
    if not fits or dataset.dtype.kind not in _NUMBERS:
        expected = ", ".join("N" if n is None else str(n) for n in shape)
        raise InputError(
            f"{dataset.file.filename}: {name} of shape {dataset.shape}, type {dataset.dtype}",
            f"numbers of shape ({expected})",
            "correct the file or choose another format",
        )


def read(dataset: h5py.Dataset, kind: str, start: int, stop: int, field: list[str] | None = None) -> np.ndarray:
    """Rows start to stop of a dataset, or of some fields of it."""
    with reading(dataset.file.filename, kind, says="is truncated or not HDF5"):
        return dataset[start:stop] if field is None else dataset.fields(field)[start:stop]


def require_finite(
    values: np.ndarray, what: str, start: int = 0, least: float = -np.inf, event: np.ndarray | None = None
) -> None:
    """Raise InputError unless all values (N, ...) are finite and at least `least`.

    start: index of the first event. event: (N,) event of each value after `start`, where it is not one per row.

    >>> require_finite(np.array([[1.0], [-2.0]]), "x: energy", 100, 0.0)
    Traceback (most recent call last):
        ...
    codae_l1.data.base.errors.InputError: x: energy with -2 in event 101; expected finite numbers >= 0; correct the file
    """
    # The minimum of an array with NaN is NaN, and no comparison with NaN holds: two passes find all.
    if not values.size or (values.min() >= least and values.max() < np.inf and values.min() > -np.inf):
        return
    bad = ~(np.isfinite(values) & (values >= least))
    expected = "finite numbers" if least == -np.inf else f"finite numbers >= {least:g}"
    row = int(np.argmax(bad.reshape(len(values), -1).any(axis=1)))
    where = start + (row if event is None else int(event[row]))
    raise InputError(f"{what} with {values[bad][0]:g} in event {where}", expected, "correct the file")


def as_stored(column: np.ndarray, dtype: str, name: str) -> np.ndarray:
    """A column (N,) of events in the type of its dataset, ready to be written.

    Raises InputError where it is of another kind or masked, and where a whole number does not fit or is none.
    """
    column, text = WordType.array(column, name), dtype[0] == "S"
    if column.ndim != 1 or column.dtype.kind not in ("SU" if text else _NUMBERS):
        expected = f"a {'name' if text else 'number'} per event"
        raise InputError(f"{name} of shape {column.shape}, type {column.dtype}", expected, "correct the events")
    with np.errstate(invalid="ignore"):
        stored = column.astype(f"<{dtype}")
    if stored.dtype.kind in "iu" and (wrong := stored != column).any():
        limits = np.iinfo(stored.dtype)
        expected = f"whole numbers from {limits.min} to {limits.max}"
        raise InputError(f"{name} = {column[wrong][0]}", expected, "correct the events")
    return stored


def as_names(column: np.ndarray, path: Path | str) -> np.ndarray:
    """Names of processes (N,), bytes as they are stored, as text; InputError where they are none."""
    with reading(path, "names of processes in ASCII", "copy or make it again", "is damaged"):
        return column.astype("U16")


def bounds(n: int, size: int) -> Iterator[tuple[int, int]]:
    """Bounds of slices of at most `size`.

    >>> list(bounds(5, 2))
    [(0, 2), (2, 4), (4, 5)]
    """
    return ((start, min(start + size, n)) for start in range(0, n, size))


def _require_filters(dataset: h5py.Dataset, path: str) -> None:
    """Raise InputError unless its blocks can be unpacked; hdf5plugin brings Blosc and others where it is installed."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    if all(h5py.h5z.filter_avail(f[0]) for f in filters):
        return
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  (registers its filters)
    names = [_name_of(f) for f in filters if not h5py.h5z.filter_avail(f[0])]
    if names:
        # hdf5plugin has no LZO, whose licence is another.
        repack = any("lzo" in name.lower() for name in names)
        raise InputError(
            f"{path}: {dataset.name} compressed by {', '.join(names)}",
            "a compression that HDF5 here can read",
            "repack it where PyTables has LZO: ptrepack --complib=zlib"
            if repack
            else "pip install hdf5plugin (or pip install -e '.[formats]')",
        )


def _name_of(known: tuple[Any, ...]) -> str:
    """A filter's name, or its number, out of what HDF5 knows of it."""
    return known[3].decode() or str(known[0])
