"""Zero-bias crossings and unselected signals in a file: what was measured of each, HDF5, checksummed.

One row per crossing. Columns: `process`, `split`, `weight`, `stratum`, `members`, `pileup`, `collisions`, `n_tracks`,
`vertex_lost`, `pt_hat`, `scalar_pt`, `jet_ht` (CrossingFile says what they are). Groups: `words/<quantity>` (N,), the
trigger's quantities; `pooled/<input>` (N, 18, 15), the network's inputs. Integers are stored as the smallest type that
holds them. SHA-256 guards the content.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import opened_hdf5, read_attribute, write_attributes
from codae_l1.data.events import CLASSES
from codae_l1.data.formats._hdf5 import as_names, find, new_hdf5, read, require_finite
from codae_l1.data.formats._header import new_header, read_header
from codae_l1.data.splits import SPLITS

FORMAT = "codae-l1 crossings"
# Version 1, of the shipped crossings, had no sum of the header.
VERSION = 2
KIND = "crossings of codae-l1"
_AGAIN = "copy or make it again"
# Kinds of NumPy of the columns of every file; each has one value per crossing, members six.
_KINDS = {
    "process": "S",
    "split": "iu",
    "weight": "f",
    "stratum": "iu",
    "members": "iu",
    "pileup": "f",
    "collisions": "iu",
    "n_tracks": "iu",
    "vertex_lost": "b",
    "pt_hat": "f",
    "scalar_pt": "f",
    "jet_ht": "f",
}
COLUMNS = tuple(_KINDS)
_PROCESSES = (*CLASSES, "w", "z", "top")
# Groups of integers, and the shape of a crossing's in them.
_CELLS = {"words": (), "pooled": (18, 15)}
GROUPS = tuple(_CELLS)
_MEMBERS = 6
# Smallest value of the columns of numbers; -1 stands for none.
_LEAST = {"weight": 0.0, "stratum": -1, "members": -1, "pileup": 0.0, "collisions": 0, "n_tracks": 0}
_LEAST |= {"pt_hat": -np.inf, "scalar_pt": 0.0, "jet_ht": 0.0}
# Crossings per block, the unit of compression.
_BLOCK = 1024


class CrossingFile:
    """A file of crossings, its columns in memory.

    process (N,) str: "zero_bias", a signal, qcd, w, z, top. split (N,) str. weight (N,) float64: mean 1 in zero bias.
    stratum (N,): slice of the hardest collision. members (N, 6) int32: ids of the collisions that matter most, -1
    where there is none. pileup (N,): mean number of collisions; collisions (N,): their number. n_tracks (N,): of the
    primary vertex. vertex_lost (N,) bool: the hard collision is not the chosen vertex. pt_hat, scalar_pt, jet_ht (N,)
    GeV, generated, of the hard collision. quantities, inputs: names in the groups. provenance: how the crossings were
    made. checksum: SHA-256 of the content.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        with _open(self.path) as file:
            self._read_header(file)
            length = len(find(file, "weight", KIND))
            columns = {name: self._column(file, name, length) for name in COLUMNS}
            self.quantities, self.inputs = (self._names(file, group, length) for group in GROUPS)
        if not (columns["split"] < len(SPLITS)).all() or (columns["split"] < 0).any():
            raise InputError(f"{self.path} with splits beyond {len(SPLITS) - 1}", KIND, "copy or make it again")
        self.process = as_names(columns["process"], self.path)
        unknown = sorted(set(np.unique(self.process).tolist()) - set(_PROCESSES))
        if unknown:
            raise InputError(f"{self.path} with the process {unknown[0]!r}", f"one of {', '.join(_PROCESSES)}", _AGAIN)
        self.split = np.array(SPLITS)[columns["split"]]
        self.weight, self.stratum, self.members = columns["weight"], columns["stratum"], columns["members"]
        self.pileup, self.collisions, self.n_tracks = columns["pileup"], columns["collisions"], columns["n_tracks"]
        self.vertex_lost, self.pt_hat = columns["vertex_lost"], columns["pt_hat"]
        self.scalar_pt, self.jet_ht = columns["scalar_pt"], columns["jet_ht"]
        for name, least in _LEAST.items():
            require_finite(columns[name], f"{self.path}: {name}", 0, least)

    def __len__(self) -> int:
        return len(self.weight)

    def where(self, process: str, split: str) -> np.ndarray:
        """Indices of a process's crossings in a split."""
        return np.flatnonzero((self.process == process) & (self.split == split))

    def _read_header(self, file: h5py.File) -> None:
        if str(read_attribute(file, "format")) != FORMAT:
            raise InputError(
                f"{self.path} is HDF5 of another kind", KIND, "make one with scripts/make_data.py --layout crossings"
            )
        self.provenance, self.checksum = read_header(file, self.path, VERSION)

    def _column(self, file: h5py.File, name: str, length: int) -> np.ndarray:
        dataset = find(file, name, KIND)
        self._require(dataset, (length, _MEMBERS) if name == "members" else (length,), _KINDS[name])
        return read(dataset, KIND, 0, length)

    def _names(self, file: h5py.File, group: str, length: int) -> tuple[str, ...]:
        names = tuple(map(str, file.get(group, ())))
        for name in names:
            self._require(find(file, f"{group}/{name}", KIND), (length, *_CELLS[group]), "iu")
        return names

    def _require(self, dataset: h5py.Dataset, shape: tuple[int, ...], kinds: str) -> None:
        if dataset.shape != shape or dataset.dtype.kind not in kinds:
            raise InputError(
                f"{self.path}: {dataset.name} of shape {dataset.shape}, type {dataset.dtype}",
                f"shape {shape} and a type of kind {' or '.join(kinds)}",
                "copy or make it again",
            )

    def words(self, which: np.ndarray) -> dict[str, np.ndarray]:
        """The trigger's quantities of some crossings (n,), ascending indices: name -> (n,) int64."""
        return {name: self._read(f"words/{name}", which) for name in self.quantities}

    def _check_words(self, file: h5py.File) -> None:
        """Raise InputError where a quantity of the trigger is negative: the file was made whole, and wrong."""
        for name in self.quantities:
            lowest = int(np.min(read(find(file, f"words/{name}", KIND), KIND, 0, len(self)), initial=0))
            if lowest < 0:
                raise InputError(f"{self.path}: words/{name} with {lowest}", "words >= 0", "make the crossings again")

    def pooled(self, inputs: tuple[str, ...], which: np.ndarray) -> np.ndarray:
        """The network's inputs of some crossings, ascending indices: (n, 18, 15, inputs) int64."""
        missing = [name for name in inputs if name not in self.inputs]
        if missing:
            raise InputError(
                f"{self.path} without the inputs {', '.join(missing)}",
                f"some of {', '.join(self.inputs)}" if self.inputs else "pooled words",
                "choose other inputs, or make crossings that hold them",
            )
        return np.stack([self._read(f"pooled/{name}", which) for name in inputs], axis=-1)

    def verify(self) -> None:
        """Raise InputError unless the content has the checksum that was written with it."""
        with _open(self.path) as file:
            self._check_words(file)
            if _checksum(file) != self.checksum:
                raise InputError(
                    f"the content of {self.path} does not have its checksum", KIND, "copy or make it again"
                )

    def _read(self, name: str, which: np.ndarray) -> np.ndarray:
        if not len(which):
            with _open(self.path) as file:
                return np.zeros((0, *find(file, name, KIND).shape[1:]), np.int64)
        first, last = int(which[0]), int(which[-1]) + 1
        with _open(self.path) as file:
            values = read(find(file, name, KIND), KIND, first, last)[which - first].astype(np.int64)
        require_finite(values, f"{self.path}: {name}", first, 0)
        return values


@contextlib.contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    """The open file; whatever h5py makes of damage is an InputError."""
    with opened_hdf5(path, KIND, _AGAIN, "is damaged") as file:
        yield file


def write_crossings(path: Path | str, parts: Iterable[Mapping[str, np.ndarray]], provenance: dict[str, Any]) -> None:
    """Write crossings, whole or not at all, part after part.

    A part maps each of COLUMNS, and words/<quantity> and pooled/<input>, to arrays of as many rows.
    """
    with new_hdf5(path) as file:
        for part in parts:
            for name, values in part.items():
                _append(file, name, values)
        write_attributes(file, new_header(FORMAT, VERSION, provenance, _checksum(file)))


def _append(file: h5py.File, name: str, values: np.ndarray) -> None:
    """Add rows to a dataset, which is made at the first ones."""
    values = np.asarray(values)
    if values.dtype.kind == "U":
        values = values.astype("S16")
    if name not in file:
        # Types of the words are those of the group, since a later part may hold larger ones.
        kind = {"words": "<i4", "pooled": "<u2"}.get(name.split("/")[0], values.dtype)
        shape = (0, *values.shape[1:])
        # Level 9 makes files of a tenth less in twenty times the time.
        options = {"shuffle": True, "compression": "gzip", "compression_opts": 6, "fletcher32": True}
        file.create_dataset(
            name, shape, maxshape=(None, *shape[1:]), dtype=kind, chunks=(_BLOCK, *shape[1:]), **options
        )
    dataset = file[name]
    limits = np.iinfo(dataset.dtype) if dataset.dtype.kind in "iu" else None
    if limits is not None and values.size and not (values.min() >= limits.min and values.max() <= limits.max):
        raise InputError(
            f"{name} from {values.min()} to {values.max()}",
            f"{limits.min} to {limits.max}",
            "report it: this is a fault of ours",
        )
    dataset.resize(len(dataset) + len(values), axis=0)
    dataset[len(dataset) - len(values) :] = values


def _checksum(file: h5py.File) -> str:
    """SHA-256 of all datasets by name, hexadecimal; no more than some blocks are in memory."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    total = hashlib.sha256()
    for name in sorted(names):
        total.update(name.encode() + b"\0")
        for start in range(0, len(file[name]), 16 * _BLOCK):
            total.update(np.ascontiguousarray(file[name][start : start + 16 * _BLOCK]).tobytes())
    return total.hexdigest()
