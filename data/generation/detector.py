"""From hits to an image: calorimeter towers with resolution and thresholds, tracks, particle-flow candidates.

Energies are summed per cell, smeared by a log-normal of that mean and sigma(E), and cut at a threshold and at two
sigma. ECAL cells are 1 degree x 0.01745, 5 x 5 of them to a tower of the image, so that the threshold comes before the
sum. Resolutions, thresholds and coverage are those of the CMS-like detector behind the public CoDAE sample
(Delphes, arXiv:1307.6346; arXiv:2306.12955).
"""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.calorimeter import ETA_MAX, ETA_STEP, IMAGE_SHAPE, N_ETA, N_PHI
from codae_l1.data.generation.propagation import ETA_SEEN, IN_ECAL, IN_HCAL, Hits

# ECAL cells a tower, along each axis.
CELLS = 5
# Tracks and ECAL reach to here; the outermost towers are covered to 0.6 of their width.
ETA_COVERED = 2.49535
OUTER_SHARE = (ETA_COVERED - (ETA_MAX - ETA_STEP)) / ETA_STEP
# GeV
ECAL_THRESHOLD, HCAL_THRESHOLD = 0.5, 1.0
SIGNIFICANCE = 2.0
ETA_BARREL = 1.5
# Beyond the image: towers of 10 degrees x 0.25, both kinds of deposit together, relative terms of the forward HCAL.
FORWARD_ETA_STEP, FORWARD_N_PHI = 0.25, 36
FORWARD_CONSTANT, FORWARD_STOCHASTIC = 0.11, 2.80


@dataclass(frozen=True)
class Readout:
    """One event.

    image: (72, 58, 3) float32, GeV. n_tracks: tracks of channel 0. candidates: (m, 3) float64, pT [GeV], eta, phi of
    what jets are made of: tracks of the event, photons, neutral hadrons, forward towers.
    """

    image: np.ndarray
    n_tracks: int
    candidates: np.ndarray


def read_out(hits: Hits, kept_tracks: np.ndarray, rng: np.random.Generator) -> Readout:
    """Image and candidates of all hits of a bunch crossing; kept_tracks (n,) bool: tracks not removed as pile-up."""
    shown = kept_tracks & (hits.pt > 0) & (np.abs(hits.eta) < ETA_COVERED)
    image = np.zeros(IMAGE_SHAPE, np.float32)
    image[..., 0] = _grid(hits, shown, hits.pt, 1)
    image[..., 1], photons = _ecal(hits, rng)
    image[..., 2], neutral = _hcal(hits, rng)
    tracks = kept_tracks & (hits.pt > 0)
    charged = np.column_stack([hits.pt[tracks], hits.track_eta[tracks], hits.track_phi[tracks]])
    return Readout(image, int(shown.sum()), np.concatenate([charged, photons, neutral, _forward(hits, rng)]))


def ecal_sigma(energy: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """ECAL resolution [GeV] at an energy [GeV] and eta."""
    root = np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.4**2)
    eta = np.abs(eta)
    return np.where(eta < ETA_BARREL, 1 + 0.64 * eta**2, 2.16 + 5.6 * (eta - 2) ** 2) * root


def hcal_sigma(energy: np.ndarray) -> np.ndarray:
    """HCAL resolution [GeV] at an energy [GeV].

    >>> hcal_sigma(np.array([100.0])).round(2).tolist()
    [15.81]
    """
    return np.sqrt((0.05 * energy) ** 2 + 1.5**2 * energy)


def lognormal(mean: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Log-normal numbers of the given means (> 0) and standard deviations."""
    b2 = np.log1p((sigma / mean) ** 2)
    return np.exp(np.log(mean) - b2 / 2 + np.sqrt(b2) * rng.standard_normal(len(mean)))


def _ecal(hits: Hits, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Transverse energy (72, 58) and photon candidates (m, 3)."""
    inside = (hits.kind == IN_ECAL) & (np.abs(hits.eta) < ETA_COVERED)
    true = _grid(hits, inside, hits.energy, CELLS).ravel()
    tracked = _grid(hits, inside & (hits.pt > 0), hits.energy, CELLS).ravel()
    cells = np.flatnonzero(true)
    eta = (cells % (N_ETA * CELLS) + 0.5) * (ETA_STEP / CELLS) - ETA_MAX
    phi = (cells // (N_ETA * CELLS) + 0.5) * (2 * np.pi / (N_PHI * CELLS)) - np.pi
    energy = lognormal(true[cells], ecal_sigma(true[cells], eta), rng)
    sigma = ecal_sigma(energy, eta)
    energy = np.where((energy > ECAL_THRESHOLD) & (energy > SIGNIFICANCE * sigma), energy, 0)
    tower = cells // (N_ETA * CELLS * CELLS) * N_ETA + cells % (N_ETA * CELLS) // CELLS
    image = np.bincount(tower, energy / np.cosh(eta), N_PHI * N_ETA).reshape(N_PHI, N_ETA)
    excess = energy - tracked[cells]
    return image, _candidates(excess, eta, phi, (excess > ECAL_THRESHOLD) & (excess > SIGNIFICANCE * sigma))


def _hcal(hits: Hits, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Transverse energy (72, 58) and candidates of neutral hadrons (m, 3)."""
    inside = (hits.kind == IN_HCAL) & (np.abs(hits.eta) < ETA_MAX)
    true = _grid(hits, inside, hits.energy, 1).ravel()
    tracked = _grid(hits, inside & (hits.pt > 0), hits.energy, 1).ravel()
    towers = np.flatnonzero(true)
    column = towers % N_ETA
    eta = (column + 0.5) * ETA_STEP - ETA_MAX
    phi = (towers // N_ETA + 0.5) * (2 * np.pi / N_PHI) - np.pi
    energy = lognormal(true[towers], hcal_sigma(true[towers]), rng)
    sigma = hcal_sigma(energy)
    energy = np.where((energy > HCAL_THRESHOLD) & (energy > SIGNIFICANCE * sigma), energy, 0)
    # The position inside a tower is random, and an outer tower is seen where it falls inside the covered part.
    seen_eta = np.abs(eta + rng.uniform(-ETA_STEP / 2, ETA_STEP / 2, len(eta)))
    outer = (column == 0) | (column == N_ETA - 1)
    shown = energy / np.cosh(seen_eta) * np.where(outer, OUTER_SHARE * (seen_eta < ETA_COVERED), 1)
    image = np.bincount(towers, shown, N_PHI * N_ETA).reshape(N_PHI, N_ETA)
    excess = energy - tracked[towers]
    return image, _candidates(excess, eta, phi, (excess > HCAL_THRESHOLD) & (excess > SIGNIFICANCE * sigma))


def _forward(hits: Hits, rng: np.random.Generator) -> np.ndarray:
    """Candidates (m, 3) beyond the image, out to where the jets end."""
    edge = np.where(hits.kind == IN_ECAL, ETA_COVERED, ETA_MAX)
    outside = (hits.kind <= IN_HCAL) & (np.abs(hits.eta) >= edge)
    n_eta = round(2 * ETA_SEEN / FORWARD_ETA_STEP)
    row = ((hits.phi[outside] + np.pi) * (FORWARD_N_PHI / (2 * np.pi))).astype(np.int64) % FORWARD_N_PHI
    column = ((hits.eta[outside] + ETA_SEEN) / FORWARD_ETA_STEP).astype(np.int64).clip(0, n_eta - 1)
    true = np.bincount(row * n_eta + column, hits.energy[outside], FORWARD_N_PHI * n_eta)
    towers = np.flatnonzero(true)
    energy = lognormal(true[towers], _forward_sigma(true[towers]), rng)
    eta = (towers % n_eta + 0.5) * FORWARD_ETA_STEP - ETA_SEEN
    phi = (towers // n_eta + 0.5) * (2 * np.pi / FORWARD_N_PHI) - np.pi
    return _candidates(energy, eta, phi, energy > SIGNIFICANCE * _forward_sigma(energy))


def _forward_sigma(energy: np.ndarray) -> np.ndarray:
    return np.sqrt((FORWARD_CONSTANT * energy) ** 2 + FORWARD_STOCHASTIC**2 * energy)


def _candidates(energy: np.ndarray, eta: np.ndarray, phi: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.column_stack([energy[which] / np.cosh(eta[which]), eta[which], phi[which]])


def _grid(hits: Hits, which: np.ndarray, values: np.ndarray, cells: int) -> np.ndarray:
    """Sum of values (n,) over cells, `cells` a tower along each axis: (72 cells, 58 cells) float64."""
    n_phi, n_eta = N_PHI * cells, N_ETA * cells
    row = ((hits.phi[which] + np.pi) * (n_phi / (2 * np.pi))).astype(np.int64) % n_phi
    column = ((hits.eta[which] + ETA_MAX) * (cells / ETA_STEP)).astype(np.int64).clip(0, n_eta - 1)
    return np.bincount(row * n_eta + column, values[which], n_phi * n_eta).reshape(n_phi, n_eta)
