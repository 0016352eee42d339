"""What readers and writers of HDF5 share: open, find, check, read, and write; each failure is one clear message."""

import contextlib
import io
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file
from codae_l1.data.formats._hdf5_storage import require_source, require_stored

# Of HDF5 files, whoever wrote them.
SUFFIXES = (".h5", ".hdf5")
# NumPy's kinds of real numbers: bool, integers, floats.
_NUMBERS = "biuf"


@contextlib.contextmanager
def open_hdf5(path: Path | str, kind: str) -> Iterator[h5py.File]:
    """An open file; kind: what is expected in it, for the messages.

    Whatever h5py raises in the block is an InputError: of damaged content it raises nearly everything.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist", kind, "correct the path")
    with damage_named(path, kind), h5py.File(path, "r") as file:
        yield file


@contextlib.contextmanager
def damage_named(path: Path | str, kind: str, remedy: str = "copy it again") -> Iterator[None]:
    """Raise InputError in place of any exception that comes out of h5py; our own mistakes stay what they are."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if "h5py" not in Path(frames[-1].filename).parts:
            raise
        raise _damaged(path, kind, error, remedy) from error


def holds(path: Path, member: str) -> bool:
    """Whether an HDF5 file has a group or dataset of that name."""
    with open_hdf5(path, f"HDF5 with {member}") as file:
        return member in file


@contextlib.contextmanager
def new_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """A new file, written whole or not at all. Raises InputError where the disk is full."""
    with whole_file(path) as temporary, _Target(temporary, "w+") as target:
        try:
            with h5py.File(target, "w") as file:
                yield file
        finally:
            # Whatever HDF5 makes of it: a refused write is the cause.
            if target.error is not None:
                raise target.error


class _Target(io.FileIO):
    """A file that keeps the first refusal of the system as `error` and drops what is written afterwards.

    HDF5 does not survive a refused write: it tries again while it closes the file, and crashes when the process ends.
    """

    error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write all of it, unless something was refused."""
        left = memoryview(content)
        try:
            while self.error is None and len(left):
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        """Set the length, unless something was refused."""
        try:
            return size or 0 if self.error else super().truncate(size)
        except OSError as error:
            self.error = error
            return size or 0


def find(file: h5py.File, name: str, kind: str) -> h5py.Dataset:
    """The dataset of that name, its content all there and its compression readable."""
    path, link = file.filename, file.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        require_source(path, name, link.filename)
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
    with damage_named(dataset.file.filename, kind):
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


def in_use(path: Path | str, kind: str, error: Exception) -> InputError | None:
    """What an error of HDF5 says of a file that is whole: that it is locked, or may not be read; else None."""
    text = str(error)
    if "unable to lock file" in text:
        remedy = "wait, or set HDF5_USE_FILE_LOCKING=FALSE"
        return InputError(f"{path} is in use by another program, or on a disk without locks", kind, remedy)
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return InputError(f"{path} may not be read (permission denied)", kind, "change its permissions")
    return None


def _damaged(path: Path | str, kind: str, error: Exception, remedy: str) -> InputError:
    whole = in_use(path, kind, error)
    return whole or InputError(f"{path} is truncated or not HDF5 ({error})", kind, remedy)
