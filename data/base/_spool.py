"""Rows that do not stay in memory: appended part by part to a file without a name, read back by slice or by index.

    masks = Spool(folder)
    masks.add(part)             # (n, ...) of one shape and type
    masks[0:128], masks[order]  # arrays again

The file has no name, so that nothing is left of it however the process ends. Of bool, eight values take a byte.
"""

import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.files import writing


class Spool:
    """Rows in a file, in the place of an array (N, ...). folder: where the file is; beside what is made of it.

    shape: of all rows. dtype: of the values.
    """

    def __init__(self, folder: Path | str):
        self._folder = Path(folder)
        with writing(folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (it lives as long as the rows)
        weakref.finalize(self, self._file.close)
        self.shape: tuple[int, ...] = (0,)
        self.dtype = np.dtype(float)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def add(self, part: np.ndarray) -> None:
        """Append rows (n, ...)."""
        self.dtype, before = part.dtype, len(self)
        rows = part.reshape(len(part), int(np.prod(part.shape[1:])))
        stored = np.packbits(rows, axis=1) if part.dtype == bool else np.ascontiguousarray(rows)
        with writing(self._folder):
            self._file.seek(0, 2)
            self._file.write(stored.data)
            self._file.flush()
        self._row, self._stored = stored.dtype, stored.shape[1]
        self.shape = (before + len(part), *part.shape[1:])

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        """Rows of a slice without a step, of an index array, or of a mask (N,), in its order."""
        if isinstance(which, slice):
            start, stop, _ = which.indices(len(self))
            return self._rows(self._read(start, max(start, stop)))
        index = np.flatnonzero(which) if which.dtype == bool else which
        parts: Sequence[np.ndarray] = [self._read(i, i + 1) for i in index.tolist()]
        return self._rows(np.concatenate(parts) if parts else self._read(0, 0))

    def _read(self, start: int, stop: int) -> np.ndarray:
        """Stored rows start to stop."""
        if not len(self):
            return np.zeros((0, 0), self.dtype)
        size = self._stored * self._row.itemsize
        self._file.seek(start * size)
        return np.frombuffer(self._file.read((stop - start) * size), self._row).reshape(stop - start, self._stored)

    def _rows(self, stored: np.ndarray) -> np.ndarray:
        shape = (len(stored), *self.shape[1:])
        if self.dtype != bool or not len(self):
            return stored.reshape(shape)
        return np.unpackbits(stored, axis=1, count=int(np.prod(self.shape[1:]))).astype(bool).reshape(shape)


class Rows:
    """Some rows of a Spool, at an index array (n,), in the place of an array."""

    def __init__(self, spool: Any, index: np.ndarray):
        self._spool, self._index = spool, index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, which: slice) -> np.ndarray:
        """The rows of a slice."""
        return self._spool[self._index[which]]
