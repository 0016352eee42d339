"""Jets and other objects in a file: named arrays with one row per event, HDF5, written and read in slices.

Event images have a form of their own (codae_l1.data.formats.event_file). Fletcher-32 guards each block; the attribute
`provenance` says as JSON where the rows come from.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_attribute, write_attributes
from codae_l1.data.formats._hdf5 import bounds, find, new_hdf5, open_hdf5, read
from codae_l1.data.formats._header import provenance_text

FORMAT = "codae-l1 arrays"
KIND = "arrays of codae-l1 (scripts/events.py convert)"
# Bytes of an array's block, about.
_BLOCK_BYTES = 1 << 20


def write_arrays(path: Path | str, parts: Iterable[Mapping[str, np.ndarray]], provenance: Mapping[str, Any]) -> int:
    """Write parts of name -> (n, ...) one after another, whole or not at all; gives the number of rows."""
    n = 0
    with new_hdf5(path) as file:
        for part in parts:
            rows = {len(column) for column in part.values()}
            if len(rows) != 1:
                raise InputError(f"columns of {sorted(rows)} rows", "as many rows in each", "correct the part")
            for name, column in part.items():
                dataset = file.get(name) or _create(file, name, column)
                if dataset.shape[1:] != column.shape[1:] or dataset.dtype != column.dtype:
                    here, before = (f"{('n', *a.shape[1:])} {a.dtype}".replace("'", "") for a in (column, dataset))
                    raise InputError(f"{name} of shape {here} after {before}", "parts alike", "correct the part")
                dataset.resize(n + len(column), axis=0)
                dataset[n:] = column
            n += rows.pop()
        if not n:
            raise InputError(f"no rows for {path}", "at least one", "choose another file")
        write_attributes(file, {"format": FORMAT, "provenance": provenance_text(provenance)})
    return n


def _array_slices(path: Path | str, size: int = 4096) -> Iterator[dict[str, np.ndarray]]:
    """The rows of a file in order, at most `size` at a time: name -> (n, ...)."""
    with open_hdf5(path, KIND) as file:
        if str(read_attribute(file, "format")) != FORMAT:
            raise InputError(f"{path} is HDF5 of another kind", KIND, "convert it with scripts/events.py convert")
        datasets = {name: find(file, name, KIND) for name in file}
        lengths = {len(dataset) for dataset in datasets.values()}
        if len(lengths) != 1:
            raise InputError(f"{path} with columns of {sorted(lengths)} rows", KIND, "make it again")
        for start, stop in bounds(lengths.pop(), size):
            yield {name: read(dataset, KIND, start, stop) for name, dataset in datasets.items()}


def _create(file: h5py.File, name: str, column: np.ndarray) -> h5py.Dataset:
    shape, bytes_a_row = column.shape[1:], max(1, column[:1].nbytes)
    block = max(1, min(_BLOCK_BYTES // bytes_a_row, 1 << 14))
    options = {"chunks": (block, *shape), "shuffle": True, "compression": "gzip", "compression_opts": 1}
    return file.create_dataset(name, (0, *shape), column.dtype, maxshape=(None, *shape), fletcher32=True, **options)
