"""Jets for the jet systems: images and constituents, what is known of them without learning, and their split.

Of a jet's constituents (E, px, py, pz), with pT_i and the distance dR_i from the jet's axis, the sum of them all:

    pt              |sum pT| [GeV]
    mass            sqrt((sum E)^2 - |sum p|^2) [GeV]
    multiplicity    constituents with pT > 0
    width           sum pT_i dR_i / sum pT_i

Top jets are heavier, have more constituents and are wider than QCD jets of their pT: each counts as the more anomalous,
the higher it is, whatever was trained on. Another signal than tops is named in the provenance of a generated file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats._hdf5 import open_hdf5, provenance_of
from codae_l1.data.formats._top_tagging import COARSE, FINE, KIND, jet_images, jet_slices, relative

QCD, TOP = "qcd", "top"
# Pixels per side -> how the image is made.
IMAGES = {COARSE.bins: COARSE, FINE.bins: FINE}
# A jet as its hardest constituents, beside the images: pT [GeV], eta and phi relative to the jet's axis.
CONSTITUENTS = "constituents"
HARDEST = 50
# Letters of a signal's name, which stands in tables and legends.
LONGEST = 30
OBSERVABLES = ("pt", "mass", "multiplicity", "width")
# Fraction of each kind that is used for training; the rest is the test set.
TRAIN_SHARE = 0.8
# Fraction of the training jets that is set aside to choose the epoch.
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class JetSample:
    """N jets.

    images: pixels per side -> (N, side, side, 1) float32 of sum 1; and "constituents" -> (N, 50, 3) float32, pT [GeV],
    eta and phi relative to the jet's axis, hardest first, zero-padded. observables: name -> (N,) float64. kind: (N,)
    "qcd" or the signal's name. signal: that name, "top" unless the file's provenance has another.
    """

    images: dict[int | str, np.ndarray]
    observables: dict[str, np.ndarray]
    kind: np.ndarray
    signal: str = TOP

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def kinds(self) -> tuple[str, str]:
        """ "qcd" and the signal's name."""
        return QCD, self.signal


def read_jets(path: Path | str, forms: tuple[int | str, ...] = tuple(IMAGES), most: int | None = None) -> JetSample:
    """The jets of a top-tagging file in order; at most the first `most` of a kind.

    forms: pixels per side of images, or "constituents" (JetSample.images).
    """
    images: dict[int | str, list[np.ndarray]] = {form: [] for form in forms}
    signal = _signal_of(path)
    observables: dict[str, list[np.ndarray]] = {name: [] for name in OBSERVABLES}
    kinds: list[np.ndarray] = []
    left = dict.fromkeys((QCD, signal), np.inf if most is None else most)
    for jets in jet_slices(path):
        kind = np.where(jets.is_signal, signal, QCD)
        take = np.concatenate([np.flatnonzero(kind == k)[: int(min(left[k], len(kind)))] for k in left])
        take.sort()
        constituents, coordinates = jets.constituents[take], relative(jets.constituents[take])
        for form in images:
            images[form].append(_in_form(form, constituents, coordinates))
        for name, values in _observe(constituents, coordinates).items():
            observables[name].append(values)
        kinds.append(kind[take])
        left = {k: n - np.count_nonzero(kind[take] == k) for k, n in left.items()}
        if not any(left.values()):
            break
    if not kinds:
        raise InputError(f"{path} without jets", KIND, "name a file with jets")
    joined = {name: np.concatenate(parts) for name, parts in observables.items()}
    return JetSample({f: np.concatenate(parts) for f, parts in images.items()}, joined, np.concatenate(kinds), signal)


def generated_from(path: Path | str) -> dict[str, Any]:
    """The config that a jets file was generated from, as a table; empty where the file does not tell."""
    with open_hdf5(path, KIND) as file:
        return provenance_of(file, path).get("config", {})


def _signal_of(path: Path | str) -> str:
    """Name of the file's signal in its provenance, "top" where it has none; InputError where it is no such name."""
    with open_hdf5(path, KIND) as file:
        name = provenance_of(file, path).get("signal", TOP)
    if not isinstance(name, str) or not name.isidentifier() or name == QCD or len(name) > LONGEST:
        raise InputError(
            f"{path} whose provenance names the signal {name!r}"[:200],
            f"a name of at most {LONGEST} letters",
            "generate it again",
        )
    return name


def _in_form(form: int | str, constituents: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Jets (N, K, 4) and their relative coordinates (N, K, 3) in one form of JetSample.images."""
    if isinstance(form, int):
        return jet_images(coordinates, IMAGES[form])[..., None]
    pt = np.hypot(constituents[..., 1], constituents[..., 2])
    order = np.argsort(-pt, axis=1, kind="stable")[:, :HARDEST]
    chosen = np.concatenate([pt[..., None], coordinates[..., :2]], axis=-1)
    chosen = np.take_along_axis(chosen, order[..., None], axis=1)
    return np.pad(chosen, ((0, 0), (0, HARDEST - chosen.shape[1]), (0, 0))).astype(np.float32)


def _observe(constituents: np.ndarray, coordinates: np.ndarray) -> dict[str, np.ndarray]:
    """Constituents (N, K, 4) E, px, py, pz and their relative coordinates (N, K, 3) -> OBSERVABLES, (N,) float64 each.

    >>> two = np.array([[[50.0, 30.0, 0.0, 40.0], [50.0, 30.0, 0.0, -40.0]]])
    >>> {name: float(value[0].round(4)) for name, value in _observe(two, relative(two)).items()}
    {'pt': 60.0, 'mass': 80.0, 'multiplicity': 2.0, 'width': 1.0986}
    """
    energy, *momentum = constituents.astype(np.float64).sum(axis=1).T
    squared = energy**2 - np.square(momentum).sum(axis=0)
    eta, phi, share = np.moveaxis(coordinates.astype(np.float64), -1, 0)
    total = share.sum(axis=1)
    width = np.divide((share * np.hypot(eta, phi)).sum(axis=1), total, out=np.zeros_like(total), where=total > 0)
    return {
        "pt": np.hypot(momentum[0], momentum[1]),
        "mass": np.sqrt(np.maximum(squared, 0)),
        "multiplicity": np.count_nonzero(share > 0, axis=1).astype(np.float64),
        "width": width,
    }


def split_jets(kind: np.ndarray, seed: int = 42) -> np.ndarray:
    """ "train", "validation" or "test" of each jet (N,): of each kind 72, 8 and 20 %, by the seed.

    >>> parts = split_jets(np.repeat(["qcd", "top"], 50))
    >>> [int(np.count_nonzero(parts[:50] == name)) for name in ("train", "validation", "test")]
    [36, 4, 10]
    """
    part = np.full(len(kind), "test", "<U10")
    for k in np.unique(kind):
        jets = np.flatnonzero(kind == k)
        order = np.random.default_rng(seed).permutation(jets)
        trained = round(TRAIN_SHARE * len(jets))
        part[order[:trained]] = "train"
        part[order[: round(VALIDATION_SHARE * trained)]] = "validation"
    return part
