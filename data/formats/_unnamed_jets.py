"""Jets of a table without names of columns: what its content says against the order of the reference's columns.

The order is constituents (E, px, py, pz), hardest first; the top quark's four-vector, which is zero for QCD; ttv, 0 to
2 for the set that a jet belongs to; is_signal_new. What contradicts it is refused:

    a constituent behind an empty one, harder than the one before, with E < |p|, or heavier than any particle
    a four-vector that is no top quark's, or of a jet that is none, or missing where others have theirs
    ttv other than 0, 1 and 2

Where no jet has a top quark's four-vector, ttv and is_signal_new could be exchanged, and nothing in the table tells.
"""

from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from codae_l1.data.base.errors import InputError

# Relative, and in GeV: what the rounding of float32 does to E^2 - |p|^2 and to the order in pT.
_ROUNDING = 1e-3
# GeV, steps to which tables round, the coarsest first.
_STEPS = (0.1, 0.01)
# GeV: above the mass of any particle that a detector sees; below and above the mass of a top quark, 173.
_HEAVIEST, _TOP = 20.0, (100.0, 250.0)
_REMEDY = "write it with pandas, format='table', which keeps the names"


class Unnamed:
    """Looks at the jets of one table, slice by slice."""

    def __init__(self, path: Path | str):
        self._path = path
        self._jets, self._signals, self._tops, self._without = 0, 0, 0, None

    def check(self, constituents: np.ndarray, top: np.ndarray, ttv: np.ndarray, is_signal: np.ndarray) -> None:
        """Raise InputError where (n, K, 4) constituents, (n, 4) top quarks, (n,) ttv or (n,) bool cannot be right."""
        self._refuse(
            gaps(constituents),
            "with a gap among its constituents",
            "constituents without gaps, the top quark behind them",
        )
        energy, _, mass = _kinematics(constituents)
        what = "E, px, py, pz of one constituent after another"
        self._refuse(below_momentum(constituents), "with an energy below |p|", what)
        heavy = mass > _HEAVIEST + _ROUNDING * energy
        self._refuse(heavy, f"with a constituent of {mass[heavy].max(initial=0):.0f} GeV of mass", what)
        pt = np.hypot(constituents[..., 1], constituents[..., 2])
        rise = pt[:, 1:] - pt[:, :-1] * (1 + _ROUNDING) - _ROUNDING
        if (rise > 0).any():
            rise = rise - _coarse(constituents)
        self._refuse(rise > 0, "with a constituent harder than the one before", "the hardest constituent first")
        self._check_labels(top, ttv, is_signal)
        self._jets += len(constituents)

    def _check_labels(self, top: np.ndarray, ttv: np.ndarray, is_signal: np.ndarray) -> None:
        wrong = ~np.isin(ttv, (0, 1, 2))
        self._refuse(wrong, f"with ttv = {ttv[wrong][0] if wrong.any() else 0}", "0, 1 or 2: train, test, validation")
        finite: np.ndarray = np.isfinite(top)
        wrong = ~finite.reshape(len(top), -1).all(axis=1)
        self._refuse(wrong, "with a top quark that is no number", "a four-vector")
        has_top = top.any(axis=1)
        _, momentum, mass = _kinematics(top)
        low, high = _TOP
        wrong = has_top & ~((mass > low) & (mass < high) & (momentum > 0))
        found = f"with {mass[wrong][0] if wrong.any() else 0:.0f} GeV as its top quark's mass"
        self._refuse(wrong, found, f"{low:g} to {high:g} GeV, or a four-vector of zeros")
        behind = "the top quark of a signal behind 200 constituents, then ttv, then is_signal_new"
        self._refuse(has_top & ~is_signal, "with a top quark, but is_signal_new = 0", behind)
        lacking = np.flatnonzero(is_signal & ~has_top)
        if self._without is None and len(lacking):
            self._without = self._jets + int(lacking[0])
        self._tops, self._signals = self._tops + int(has_top.sum()), self._signals + int(is_signal.sum())
        if self._tops and self._without is not None:
            self._raise(self._without, "without a top quark, but is_signal_new = 1, where others have theirs", behind)

    def line(self) -> str:
        """What the user is told of the table."""
        said = "columns without names were taken as E, px, py, pz of each constituent, the top quark's four-vector, "
        said += f"ttv, is_signal_new: {self._signals:,} of {self._jets:,} jets are signal"
        return said if self._tops else f"{said}; with no top quark in it, ttv and is_signal_new could be exchanged"

    def _refuse(self, wrong: Any, found: str, expected: str) -> None:
        """InputError for the first jet of a mask (n,) or (n, K)."""
        if wrong.any():
            of = wrong.reshape(len(wrong), -1).any(axis=1)
            self._raise(self._jets + int(np.argmax(of)), found, expected)

    def _raise(self, jet: int, found: str, expected: str) -> NoReturn:
        raise InputError(f"{self._path}: jet {jet} {found}, in columns without names", expected, _REMEDY)


def gaps(constituents: np.ndarray) -> np.ndarray:
    """Which of (n, K, 4) constituents are not zero, behind one that is: (n, K) bool."""
    full: np.ndarray = (constituents != 0).any(axis=2)
    return np.diff(full.astype(np.int8), axis=1, prepend=1) > 0


def below_momentum(constituents: np.ndarray) -> np.ndarray:
    """Which of (n, K, 4) constituents E, px, py, pz have an energy below |p| by more than rounding: (n, K) bool.

    In float32 half of all massless ones are below, by 1e-7 of it. Where all energies, or all momenta, are multiples of
    0.1 or of 0.01 GeV, as they are in tables of so many decimals, |p| - E is up to 1.4 of these steps.

    >>> below_momentum(np.array([[[5.001, 3.0, 4.123, 0.0], [9.0, 9.0, 0.0, 0.0]]])).tolist()
    [[True, False]]
    >>> below_momentum(np.array([[[5.0, 3.0, 4.1, 0.0], [9.4, 8.1, 4.8, 0.0]]])).tolist()
    [[False, False]]
    """
    energy, px, py, pz = np.moveaxis(constituents, -1, 0)
    with np.errstate(over="ignore"):
        momentum = np.hypot(np.hypot(px, py), pz)
    below = momentum * (1 - _ROUNDING) - _ROUNDING - energy
    if (below > 0).any():
        below = below - _coarse(constituents)
    return below > 0


def _coarse(constituents: np.ndarray) -> float:
    """GeV that the decimals of a table may add to, or take from, |p| - E and differences of pT."""
    return 1.5 * max(_step(constituents[..., :1]), _step(constituents[..., 1:]))


def _step(values: np.ndarray) -> float:
    """The step of which all values are multiples, as far as float32 holds them; 0 for none that tables have."""
    exact = values.astype(np.float64)
    whole = (step for step in _STEPS if (np.abs(exact - step * np.round(exact / step)) <= 1e-7 * np.abs(exact)).all())
    return next(whole, 0.0)


def _kinematics(vectors: np.ndarray) -> tuple[Any, Any, Any]:
    """Four-vectors (..., 4) E, px, py, pz -> E, |p| and mass (...), GeV; 0 as the mass where E < |p|."""
    vectors = vectors.astype(np.float64)
    energy, momentum = vectors[..., 0], np.linalg.norm(vectors[..., 1:], axis=-1)
    return energy, momentum, np.sqrt(np.maximum(energy**2 - momentum**2, 0))
