"""Columns of a pandas table in HDF5 (format="table", written by PyTables), found by their names.

Columns of one type lie together in a field `values_block_N` of each row, those of pandas' `data_columns` in one each;
the attribute `values_block_N_kind` of the dataset lists their names, pickled. Only lists of words are unpickled;
anything else in there is refused.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats._hdf5 import read

# A column: its field, and the place in it.
Place = tuple[str, int]


def named_columns(table: h5py.Dataset, path: Path | str) -> dict[str, Place]:
    """Name -> place of each column of numbers; empty where the file keeps no names."""
    named: dict[str, Place] = {}
    for block in table.dtype.names or ():
        dtype, pickled = table.dtype[block], table.attrs.get(f"{block}_kind")
        # The index has its kind in a word, not in a list.
        if not isinstance(pickled, bytes) or block == "index" or table.ndim != 1:
            continue
        names = _unpickled(pickled)
        # A column of its own (pandas' data_columns) is a number in each row.
        width = dtype.shape or (1,)
        if names is None or width != (len(names),) or len(set(names) - set(named)) < len(names):
            raise InputError(
                f"{path}: {block} of shape {dtype.shape} with {_count(names)}",
                "one name for each column",
                "write it again with pandas, format='table'",
            )
        if dtype.base.kind in "biuf":
            named |= {name: (block, i) for i, name in enumerate(names)}
    return named


def read_columns(table: h5py.Dataset, kind: str, start: int, stop: int, places: list[Place]) -> np.ndarray:
    """Rows start to stop of columns, (stop - start, columns); kind: what the file is, for messages."""
    names = list(dict.fromkeys(block for block, _ in places))
    rows = read(table, kind, start, stop, names)
    blocks = {name: rows[name].reshape(len(rows), -1) for name in names}
    if len(blocks) > 1:
        return np.stack([blocks[block][:, i] for block, i in places], axis=1)
    [values], columns = blocks.values(), [i for _, i in places]
    neighbours = columns == list(range(columns[0], columns[0] + len(columns)))
    return values[:, columns[0] : columns[-1] + 1] if neighbours else values[:, columns]


class _Words(pickle.Unpickler):
    """An unpickler of lists, words and numbers alone: nothing in the file is run."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")


def _unpickled(pickled: bytes) -> Any:
    try:
        names = _Words(io.BytesIO(pickled)).load()
    # Damaged pickles raise nearly everything.
    except Exception:
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _count(names: Any) -> str:
    return f"{len(names)} names, {len(set(names))} of them different" if names is not None else "unreadable names"
