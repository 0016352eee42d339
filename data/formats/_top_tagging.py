"""Jets in the layout of the top-tagging reference set (Zenodo 2603255, arXiv:1902.09914), and images of them.

A pandas table: group `table`, dataset `table/table` with the floats E_0, PX_0, PY_0, PZ_0, E_1, ... of 200
constituents, hardest first and zero-padded, then the top quark's four-vector; and the integers ttv, is_signal_new
(0 QCD, 1 signal). Columns are found by the names that pandas keeps in the table's attributes, whatever their order and
number; a table without names must have exactly this layout, as far as its content tells (_unnamed_jets.py). Relative
coordinates of a constituent, with the jet the sum of all of them:

    (eta - eta_jet, phi - phi_jet within +-pi, pT / pT_jet)

An image is the sum of pT in pixels, axis 0 eta, axis 1 phi, divided by the whole image's sum.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats._format import Format, Tell, tell_weights
from codae_l1.data.formats._hdf5 import SUFFIXES, bounds, find, holds, open_hdf5, require_finite
from codae_l1.data.formats._pandas_table import Place, named_columns, read_columns
from codae_l1.data.formats._unnamed_jets import Unnamed, below_momentum, gaps

TABLE = "table/table"
KIND = "the top-tagging reference's HDF5: a pandas table of 200 constituents (E, px, py, pz), ttv and is_signal_new"
COMPONENTS = ("E", "PX", "PY", "PZ")
LABEL = "is_signal_new"
# Without names: floats of a row (200 constituents and the top quark's four-vector), and integers (ttv, is_signal_new).
FLOATS, EXTRA, INTEGERS = 804, 4, 2
_LOG = logging.getLogger(__name__)
# Jets read at a time, 3.2 kB each.
SLICE = 4096


@dataclass(frozen=True)
class Jets:
    """N jets.

    constituents: (N, K, 4) float32, E, px, py, pz in GeV, zero-padded. is_signal: (N,) bool, a top jet or the file's
    signal.
    """

    constituents: np.ndarray
    is_signal: np.ndarray

    def __len__(self) -> int:
        return len(self.constituents)


@dataclass(frozen=True)
class JetImageConfig:
    """bins: pixels per side. pixel_eta, pixel_phi: their size. aligned: centred on the pT-weighted mean, the principal
    axis turned to phi, and flipped so that the harder halves are at positive eta and phi."""

    bins: int = 16
    pixel_eta: float = 0.1
    pixel_phi: float = 0.1
    aligned: bool = False


# 16 x 16 over [-0.8, 0.8]^2; and the 40 x 40 pixels of arXiv:1803.00107.
COARSE = JetImageConfig()
FINE = JetImageConfig(40, 0.029, 0.035, aligned=True)


@dataclass(frozen=True)
class JetOptions:
    """How jets are turned into images."""

    jet_images: int = field(
        default=COARSE.bins, metadata={"help": "pixels per side", "choices": (COARSE.bins, FINE.bins)}
    )


class TopTagging(Format):
    """Jets of the top-tagging reference set."""

    name = "top-tagging"
    kind = KIND
    suffixes = SUFFIXES
    images = False
    Options = JetOptions

    def recognises(self, path: Path) -> bool:
        """Whether it has the table."""
        return holds(path, TABLE)

    def slices(
        self, path: Path, options: JetOptions, size: int, label: str, tell: Tell
    ) -> Iterator[dict[str, np.ndarray]]:
        """relative (n, 200, 3), image (n, bins, bins), is_signal (n,)."""
        config = {c.bins: c for c in (COARSE, FINE)}[options.jet_images]
        for jets in jet_slices(path, size, tell):
            coordinates = relative(jets.constituents)
            yield {"relative": coordinates, "image": jet_images(coordinates, config), "is_signal": jets.is_signal}


def jet_slices(path: Path | str, size: int = SLICE, tell: Tell | None = None) -> Iterator[Jets]:
    """The jets of a file in order, at most `size` at a time.

    tell: called after the last slice with how columns without names were taken; without it that is logged.
    """
    with open_hdf5(path, KIND) as file:
        table = find(file, TABLE, KIND)
        named = named_columns(table, path)
        columns, label = _by_name(table, named, path) if named else _by_position(table, path)
        unnamed, notes = None if named else Unnamed(path), _Notes(named)
        try:
            for start, stop in bounds(len(table), size):
                values = read_columns(table, KIND, start, stop, columns)
                require_finite(values, f"{path}: constituents", start)
                with np.errstate(over="ignore"):
                    constituents = values.astype(np.float32, copy=False).reshape(stop - start, -1, 4)
                require_finite(constituents, f"{path}: constituents as float32", start)
                _require_energies(constituents, path, start)
                if named:
                    _require_constituents(constituents, path, start)
                    notes.count(constituents)
                is_signal = _is_signal(read_columns(table, KIND, start, stop, [label])[:, 0], path, start)
                if unnamed:
                    unnamed.check(constituents, *_behind(table, start, stop, columns, label), is_signal)
                yield Jets(constituents, is_signal)
        except GeneratorExit:
            # Whoever wants no more of them is told, too.
            _say(unnamed, notes, path, tell)
            raise
        _say(unnamed, notes, path, tell)


def _behind(table: h5py.Dataset, start: int, stop: int, columns: list[Place], label: Place) -> tuple[Any, Any]:
    """Of columns without names: the top quarks (n, 4) and ttv (n,)."""
    top = read_columns(table, KIND, start, stop, [(columns[0][0], FLOATS - EXTRA + i) for i in range(EXTRA)])
    return top, read_columns(table, KIND, start, stop, [(label[0], 0)])[:, 0]


@dataclass
class _Notes:
    """What is told of a table with names. gapped: of `jets`, those with zeros before a constituent."""

    named: Mapping[str, Place]
    jets: int = 0
    gapped: int = 0

    def count(self, constituents: np.ndarray) -> None:
        """Count the jets of the next slice (n, K, 4)."""
        self.jets += len(constituents)
        self.gapped += int(gaps(constituents).any(axis=1).sum())


def _say(unnamed: Unnamed | None, notes: _Notes, path: Path | str, tell: Tell | None) -> None:
    """Tell, or log, how columns were taken, which were not, and what is unlike the reference."""
    say = tell or (lambda line: _LOG.warning(f"{path}: {line}"))
    if unnamed:
        say(unnamed.line())
    if notes.gapped:
        say(f"{notes.gapped:,} of {notes.jets:,} jets have zeros before a constituent, which are taken for none")
    tell_weights(notes.named, "jet", say)


def relative(constituents: np.ndarray) -> np.ndarray:
    """Constituents (N, K, 4) E, px, py, pz -> (N, K, 3) float32: eta and phi relative to the jet's, share of its pT.

    >>> jet = np.array([[[50.0, 30.0, 40.0, 0.0], [50.0, 30.0, 40.0, 0.0], [0, 0, 0, 0]]])
    >>> relative(jet)[0].tolist()
    [[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]
    """
    _, px, py, pz = np.moveaxis(constituents.astype(np.float64), -1, 0)
    jet = [component.sum(axis=1, keepdims=True) for component in (px, py, pz)]
    pt, eta, phi = _pt_eta_phi(px, py, pz)
    jet_pt, jet_eta, jet_phi = _pt_eta_phi(*jet)
    turned = np.remainder(phi - jet_phi + np.pi, 2 * np.pi) - np.pi
    share = np.divide(pt, jet_pt, out=np.zeros_like(pt), where=jet_pt > 0)
    return np.where((pt > 0)[..., None], np.stack([eta - jet_eta, turned, share], axis=-1), 0).astype(np.float32)


def jet_images(coordinates: np.ndarray, config: JetImageConfig = COARSE) -> np.ndarray:
    """Relative coordinates (N, K, 3) -> images (N, bins, bins) float32 of sum 1 (0 where nothing falls inside)."""
    eta, phi, weight = np.moveaxis(align(coordinates) if config.aligned else coordinates, -1, 0)
    row = np.floor(eta / config.pixel_eta + config.bins / 2).astype(np.int64)
    column = np.floor(phi / config.pixel_phi + config.bins / 2).astype(np.int64)
    inside = (row >= 0) & (row < config.bins) & (column >= 0) & (column < config.bins) & (weight > 0)
    pixel = (np.arange(len(eta))[:, None] * config.bins + row) * config.bins + column
    images = np.bincount(pixel[inside], weight[inside], len(eta) * config.bins**2)
    # Without entries bincount counts integers.
    images = images.reshape(len(eta), config.bins, config.bins).astype(np.float64)
    total = images.sum(axis=(1, 2), keepdims=True)
    return np.divide(images, total, out=np.zeros_like(images), where=total > 0).astype(np.float32)


def align(coordinates: np.ndarray) -> np.ndarray:
    """Centre, turn and flip relative coordinates (N, K, 3); what JetImageConfig.aligned says."""
    eta, phi, weight = np.moveaxis(coordinates.astype(np.float64), -1, 0)
    total = np.maximum(weight.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    eta, phi = (x - (weight * x).sum(axis=1, keepdims=True) / total for x in (eta, phi))
    covariance = [(weight * x * y).sum(axis=1, keepdims=True) for x, y in ((eta, eta), (eta, phi), (phi, phi))]
    # Angle of the axis along which the jet is widest, from the eta axis; it is turned to the phi axis.
    turn = np.pi / 2 - 0.5 * np.arctan2(2 * covariance[1], covariance[0] - covariance[2])
    eta, phi = eta * np.cos(turn) - phi * np.sin(turn), eta * np.sin(turn) + phi * np.cos(turn)
    flipped = []
    for x in (eta, phi):
        harder = (weight * np.sign(x)).sum(axis=1, keepdims=True)
        flipped.append(np.where(harder < 0, -x, x))
    return np.stack([*flipped, weight], axis=-1)


def _is_signal(labels: np.ndarray, path: Path | str, start: int) -> np.ndarray:
    """Labels (n,) 0 or 1 -> bool; InputError for any other, which is neither QCD nor signal."""
    bad = np.flatnonzero((labels != 0) & (labels != 1))
    if len(bad):
        raise InputError(
            f"{path}: is_signal_new = {labels[bad[0]]} of jet {start + bad[0]}",
            "0 (QCD) or 1 (signal)",
            "correct the file's labels",
        )
    return labels == 1


def _by_name(table: h5py.Dataset, named: dict[str, Place], path: Path | str) -> tuple[list[Place], Place]:
    """Columns E_0, PX_0, PY_0, PZ_0, E_1, ... and the label's; InputError names the first that is missing."""
    parts = (name.partition("_") for name in named)
    # Of a number beyond that of the columns some are missing, however large it is.
    numbers = (min(int(i[:9]), len(named)) for name, _, i in parts if name in COMPONENTS and re.fullmatch("[0-9]+", i))
    n = 1 + max(numbers, default=0)
    wanted = [*(f"{component}_{i}" for i in range(n) for component in COMPONENTS), LABEL]
    missing = [name for name in wanted if name not in named]
    if missing == wanted:
        raise _other_layout(table, path)
    if missing:
        raise InputError(
            f"{path}: {TABLE} without the column {missing[0]}",
            f"E_i, PX_i, PY_i, PZ_i of i = 0 to {n - 1}, and {LABEL}",
            "give the columns the reference's names",
        )
    *columns, label = (named[name] for name in wanted)
    return columns, label


def _by_position(table: h5py.Dataset, path: Path | str) -> tuple[list[Place], Place]:
    """The same columns of a table without names, which must have the reference's layout."""
    blocks = {name: table.dtype[name] for name in table.dtype.names or () if name.startswith("values_block")}
    floats = [n for n, t in blocks.items() if t.base.kind == "f" and t.shape == (FLOATS,)]
    integers = [n for n, t in blocks.items() if t.base.kind == "i" and t.shape == (INTEGERS,)]
    if len(floats) == len(integers) == 1 and table.ndim == 1:
        return [(floats[0], i) for i in range(FLOATS - EXTRA)], (integers[0], INTEGERS - 1)
    raise _other_layout(table, path)


def _other_layout(table: h5py.Dataset, path: Path | str) -> InputError:
    blocks = {name: table.dtype[name] for name in table.dtype.names or () if name.startswith("values_block")}
    found = ", ".join(f"{n} {t.base}{list(t.shape)}" for n, t in blocks.items()) or str(table.dtype)
    return InputError(
        f"{path}: {TABLE} with {found}",
        f"values_block_0 of {FLOATS} floats and values_block_1 of {INTEGERS} integers, or the names of its columns",
        "write it with pandas, format='table', and the reference's names",
    )


def _require_energies(constituents: np.ndarray, path: Path | str, start: int) -> None:
    """Raise InputError where a jet (K, 4) of (n, K, 4) has no pT, or a negative energy."""
    require_finite(constituents[..., 0], f"{path}: energy of constituents", start, 0.0)
    empty = ~constituents[..., 1:3].any(axis=(1, 2))
    if empty.any():
        raise InputError(
            f"{path}: jet {start + np.argmax(empty)} without a constituent of pT > 0",
            "jets with constituents",
            "correct the file",
        )


def _require_constituents(constituents: np.ndarray, path: Path | str, start: int) -> None:
    """Raise InputError where one of (n, K, 4) has an energy below |p| by more than rounding."""
    wrong = below_momentum(constituents)
    if wrong.any():
        jet, number = np.argwhere(wrong)[0]
        found = f"{path}: constituent {number} of jet {start + jet} with an energy below |p|"
        raise InputError(found, "E, px, py and pz of particles", "correct the file")


def _pt_eta_phi(px: np.ndarray, py: np.ndarray, pz: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pt = np.hypot(px, py)
    return pt, np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pt), where=pt > 0)), np.arctan2(py, px)
