"""Events of the anomaly-detection challenge ADC2021 (arXiv:2107.02157): HDF5 with `Particles` (N, 19, 4).

Each object is (pT [GeV], eta, phi, class): row 0 the missing transverse momentum (class 1), 1-4 electrons (2), 5-8
muons (3), 9-18 jets (4), each kind falling in pT, zero-padded. Where the file names the four columns
(`Particles_Names`), they have to be these.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats._format import Format, Tell, tell_weights
from codae_l1.data.formats._hdf5 import (
    SUFFIXES,
    bounds,
    find,
    holds,
    open_hdf5,
    provenance_of,
    read,
    require_finite,
    require_shape,
)

PARTICLES = "Particles"
# The columns' names, where the file has them.
NAMES, COLUMNS = "Particles_Names", ("Pt", "Eta", "Phi", "Class")
KIND = "ADC2021's HDF5: Particles (N, 19, 4)"
# Class of each row: 1 missing momentum, 2 electrons, 3 muons, 4 jets.
ROW_CLASS = np.repeat([1, 2, 3, 4], [1, 4, 4, 10])
SHAPE = (len(ROW_CLASS), 4)
# Events read at a time, 608 bytes each.
SLICE = 16384


class Adc2021(Format):
    """Objects of the anomaly-detection challenge."""

    name = "adc2021"
    kind = KIND
    suffixes = SUFFIXES
    images = False
    labelled = False

    def recognises(self, path: Path) -> bool:
        """Whether it has particles."""
        return holds(path, PARTICLES)

    def slices(self, path: Path, options: Any, size: int, label: str, tell: Tell) -> Iterator[dict[str, np.ndarray]]:
        """particles (n, 19, 4), label (n,)."""
        with open_hdf5(path, KIND) as file:
            # At first, since `objects` may not take the last slice.
            tell_weights(file, "event", tell)
        for particles in _object_slices(path, size):
            yield {"particles": particles, "label": np.full(len(particles), label.encode())}

    def generated_from(self, path: Path) -> dict[str, Any]:
        """The config that a file was generated from, as a table; empty where the file does not tell."""
        with open_hdf5(path, KIND) as file:
            return provenance_of(file, path).get("config", {})


def _object_slices(path: Path | str, size: int = SLICE) -> Iterator[np.ndarray]:
    """Objects (n, 19, 4) float64 of a file in order, at most `size` events at a time."""
    with open_hdf5(path, KIND) as file:
        particles = find(file, PARTICLES, KIND)
        require_shape(particles, PARTICLES, (None, *SHAPE))
        if NAMES in file:
            _require_names(find(file, NAMES, KIND), path)
        for start, stop in bounds(len(particles), size):
            objects = read(particles, KIND, start, stop).astype(np.float64, copy=False)
            require_finite(objects, f"{path}: {PARTICLES}", start)
            require_finite(objects[..., 0], f"{path}: pT in {PARTICLES}", start, 0.0)
            _require_classes(objects[..., 3], path, start)
            _require_objects(objects, path, start)
            yield objects


def _require_names(names: Any, path: Path | str) -> None:
    """Raise InputError where the columns have other names: they are read by their place."""
    stored = read(names, KIND, 0, len(names)).ravel()[: len(COLUMNS) + 1]
    found = [(name.decode(errors="replace") if isinstance(name, bytes) else str(name)).strip() for name in stored]
    if [name.lower() for name in found] != [name.lower() for name in COLUMNS]:
        raise InputError(
            f"{path}: {PARTICLES} with the columns {', '.join(found)}"[:300],
            ", ".join(COLUMNS),
            f"bring the columns and {NAMES} into this order",
        )


def _require_objects(objects: np.ndarray, path: Path | str, start: int) -> None:
    """Raise InputError where there is a pT without an object, an object without pT, or an angle that is none."""
    pt, eta, phi, kind = np.moveaxis(objects, -1, 0)
    # Detectors end before |eta| = 10; radians are at most 2 pi.
    bad = {
        "pT > 0 of class 0": (kind == 0) & (pt > 0),
        "|eta| > 10": np.abs(eta) > 10,
        "|phi| > 2 pi": np.abs(phi) > 6.3,
        "a pT above that of the object before": _risen(pt),
        # Missing momentum may be 0; its row is there all the same.
        "an angle or a class, but pT 0,": (pt == 0) & ((eta != 0) | (phi != 0) | (kind != 0)) & (ROW_CLASS != 1),
    }
    for what, where in bad.items():
        if where.any():
            event, row = np.argwhere(where)[0]
            raise InputError(
                f"{path}: {what} in row {row} of event {start + event}", "pT [GeV], eta, phi, class", "correct the file"
            )


def _risen(pt: np.ndarray) -> np.ndarray:
    """Where pT (n, 19) is above that of the object of the same kind before it, as behind a gap: (n, 19) bool."""
    same = np.diff(ROW_CLASS, prepend=0) == 0
    return (np.diff(pt, axis=1, prepend=np.inf) > 0) & same


def _require_classes(classes: np.ndarray, path: Path | str, start: int) -> None:
    bad = (classes != ROW_CLASS) & (classes != 0)
    if bad.any():
        event, row = np.argwhere(bad)[0]
        raise InputError(
            f"{path}: class {classes[event, row]:g} in row {row} of event {start + event}",
            f"{ROW_CLASS[row]}, or 0 where there is no object: rows are MET, 4 electrons, 4 muons, 10 jets",
            "correct the order of the objects",
        )
