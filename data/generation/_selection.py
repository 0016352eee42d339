"""The trigger-like selection: scalar sum of jet transverse momenta, pile-up subtracted.

Jets are anti-kt (arXiv:0802.1189) with R = 0.5 inside |eta| = 3; the mean pile-up density rho times the area of the jet
is subtracted from each pT (arXiv:0707.1378). rho is the median over patches, separately inside and beyond |eta| = 2.5,
where the removal of pile-up tracks ends; the area is pi R^2, which anti-kt jets have within a few per cent. With jets
out to
|eta| = 5 SUEP images have a tenth less energy than in the public sample, and with jets out to 2.5 h700 has a twentieth
more; with jets out to 3 they agree.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

RADIUS = 0.5
# GeV, lowest pT of a jet after subtraction.
JET_PT_MIN = 20.0
ETA_JETS, ETA_CENTRAL, ETA_EDGE = 3.0, 2.5, 3.5
# Patches: 0.5 x 30 degrees.
PATCH_ETA, PATCHES_PHI = 0.5, 12
PATCH_AREA = PATCH_ETA * 2 * np.pi / PATCHES_PHI


class JetFinder:
    """Anti-kt jets through Pythia's SlowJet; made once, used for many events."""

    def __init__(self, pythia: Any, radius: float = RADIUS, pt_min: float = JET_PT_MIN, eta_max: float = ETA_JETS):
        import pythia8mc  # pyright: ignore[reportMissingImports]

        # The event points into its particle data.
        self._pythia = pythia
        self._event = pythia8mc.Event()
        self._event.init("", pythia.particleData)
        # Power -1 is anti-kt; select 1 takes all particles given; mass set 0 makes them massless.
        self._jets = pythia8mc.SlowJet(-1, radius, pt_min, eta_max, 1, 0)
        with _silent_stdout():
            self.jets(np.ones((1, 3)))

    def jets(self, candidates: np.ndarray) -> np.ndarray:
        """Jets (j, 3) pT [GeV], rapidity, phi of candidates (m, 3) pT, eta, phi; the hardest first."""
        self._event.reset()
        append = self._event.append
        pt, eta, phi = candidates.T
        momenta = (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta))
        for px, py, pz, energy in zip(*(column.tolist() for column in momenta), strict=True):
            append(22, 91, 0, 0, px, py, pz, energy, 0.0)
        self._jets.analyze(self._event)
        found = [(self._jets.pT(i), self._jets.y(i), self._jets.phi(i)) for i in range(self._jets.sizeJet())]
        return np.array(found, np.float64).reshape(-1, 3)

    def constituents(self, jet: int) -> np.ndarray:
        """Indices of the candidates in a jet of the last call."""
        # Entry 0 of Pythia's event is the whole system.
        return np.array(self._jets.constituents(jet), np.int64) - 1

    def ht(self, candidates: np.ndarray) -> float:
        """Scalar sum of jet pT [GeV] after subtraction."""
        jets = self.jets(candidates)
        central, forward = densities(candidates)
        corrected = jets[:, 0] - np.where(np.abs(jets[:, 1]) < ETA_CENTRAL, central, forward) * np.pi * RADIUS**2
        return float(corrected[corrected > JET_PT_MIN].sum())


def densities(candidates: np.ndarray) -> tuple[float, float]:
    """Median pT densities [GeV per unit area] inside |eta| = 2.5 and from there to 3.5; candidates (m, 3) pT, eta, phi.

    >>> densities(np.array([[1.0, 0.2, 0.1], [3.0, 0.3, 0.1]]))
    (0.0, 0.0)
    """
    pt, eta, phi = candidates[np.abs(candidates[:, 1]) < ETA_EDGE].T
    columns, outer = round(2 * ETA_EDGE / PATCH_ETA), round((ETA_EDGE - ETA_CENTRAL) / PATCH_ETA)
    row = ((phi + np.pi) * (PATCHES_PHI / (2 * np.pi))).astype(np.int64) % PATCHES_PHI
    column = ((eta + ETA_EDGE) / PATCH_ETA).astype(np.int64)
    sums = np.bincount(row * columns + column, pt, columns * PATCHES_PHI).reshape(PATCHES_PHI, columns)
    forward = np.concatenate([sums[:, :outer], sums[:, -outer:]])
    return float(np.median(sums[:, outer:-outer]) / PATCH_AREA), float(np.median(forward) / PATCH_AREA)


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """FastJet prints a banner at its first use, below Python; nothing else is lost."""
    sys.stdout.flush()
    kept = os.dup(1)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(silent)
