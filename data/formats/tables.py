"""Writers of jets and objects in the layouts of public data sets, so that readers of those read generated files.

Top tagging (Zenodo 2603255): what pandas writes with format="table", read back with pandas.read_hdf(path, "table");
its attributes are pickled words, as PyTables keeps them. ADC2021 (arXiv:2107.02157): `Particles` (N, 19, 4).
"""

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.base.files import write_attributes
from codae_l1.data.formats._hdf5 import new_hdf5
from codae_l1.data.formats._header import provenance_text

# Constituents of a jet in the table.
CONSTITUENTS = 200
# Column ttv of five consecutive jets: training (0), test (1) or validation (2).
_TTV = np.array([0, 0, 0, 1, 2])
_FLOATS = [f"{axis}_{i}" for i in range(CONSTITUENTS) for axis in ("E", "PX", "PY", "PZ")]
_FLOATS += ["truthE", "truthPX", "truthPY", "truthPZ"]
_INTEGERS = ["ttv", "is_signal_new"]
_ROW = np.dtype(
    [("index", "<i8"), ("values_block_0", "<f4", (len(_FLOATS),)), ("values_block_1", "<i8", (len(_INTEGERS),))]
)
# Jets per compressed block.
_BLOCK = 64


def write_jets(
    path: Path | str, parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], provenance: dict[str, Any]
) -> None:
    """Write jets, part by part: constituents (n, 200, 4) E, px, py, pz [GeV], truth (n, 4) likewise, is_top (n,)."""
    with new_hdf5(path) as file:
        _write_texts(file, CLASS="GROUP", PYTABLES_FORMAT_VERSION="2.1", TITLE="", VERSION="1.0")
        write_attributes(file, {"provenance": provenance_text(provenance)})
        group = file.create_group("table")
        table = group.create_dataset(
            "table", (0,), _ROW, maxshape=(None,), chunks=(_BLOCK,), compression="gzip", shuffle=True
        )
        for constituents, truth, is_top in parts:
            first, number = len(table), len(truth)
            rows = np.zeros(number, _ROW)
            rows["index"] = np.arange(first, first + number)
            rows["values_block_0"] = np.concatenate([constituents.reshape(number, -1), truth], axis=1)
            rows["values_block_1"] = np.column_stack([_TTV[rows["index"] % len(_TTV)], is_top])
            table.resize(first + number, axis=0)
            table[first:] = rows
        _describe(group, table)


def write_objects(path: Path | str, parts: Iterable[np.ndarray], provenance: dict[str, Any]) -> None:
    """Write events part by part: (n, 19, 4) pT [GeV], eta, phi, class."""
    with new_hdf5(path) as file:
        write_attributes(file, {"provenance": provenance_text(provenance)})
        particles = file.create_dataset(
            "Particles",
            (0, 19, 4),
            "<f8",
            maxshape=(None, 19, 4),
            chunks=(1024, 19, 4),
            compression="gzip",
            shuffle=True,
        )
        for part in parts:
            particles.resize(len(particles) + len(part), axis=0)
            particles[len(particles) - len(part) :] = part
        names = {"Names": ["Pt", "Eta", "Phi", "Class"]}
        names["Classes"] = ["MET_class_1", "Four_Ele_class_2", "Four_Mu_class_3", "Ten_Jet_class_4"]
        for name, words in names.items():
            file[f"Particles_{name}"] = np.array(words, dtype="S")


def _describe(group: h5py.Group, table: h5py.Dataset) -> None:
    """What pandas and PyTables look for."""
    blocks = {"values_block_0": ("float32", _FLOATS), "values_block_1": ("int64", _INTEGERS)}
    _write_texts(group, CLASS="GROUP", TITLE="", VERSION="1.0", encoding="UTF-8", errors="strict")
    _write_texts(group, pandas_type="frame_table", table_type="appendable_frame")
    pickled = {
        "data_columns": [],
        "index_cols": [(0, "index")],
        "info": {1: {"names": [None], "type": "Index"}, "index": {}},
        "nan_rep": "nan",
        "non_index_axes": [(1, _FLOATS + _INTEGERS)],
        "values_cols": list(blocks),
    }
    group.attrs.update({name: _pickled(value) for name, value in pickled.items()})
    group.attrs["levels"] = np.int64(1)
    _write_texts(table, CLASS="TABLE", TITLE="", VERSION="2.7", index_kind="integer")
    table.attrs["NROWS"] = np.int64(len(table))
    for number, name in enumerate(_ROW.names or ()):
        _write_texts(table, **{f"FIELD_{number}_NAME": name})
        table.attrs[f"FIELD_{number}_FILL"] = np.zeros((), _ROW[name].base)[()]
    for name, (dtype, columns) in blocks.items():
        _write_texts(table, **{f"{name}_dtype": dtype})
        table.attrs[f"{name}_kind"] = _pickled(columns)
        table.attrs[f"{name}_meta"] = _pickled(None)


def _write_texts(place: h5py.HLObject, **words: str) -> None:
    """Attributes as strings of fixed length in UTF-8: PyTables takes others for bytes."""
    for name, word in words.items():
        place.attrs.create(name, word, dtype=h5py.string_dtype("utf-8", max(1, len(word))))


def _pickled(value: Any) -> np.bytes_:
    # Protocol 0 is text, as PyTables writes it.
    return np.bytes_(pickle.dumps(value, 0))
