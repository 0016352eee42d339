"""Hits to images: calorimeter towers with resolution and thresholds, tracks, particle-flow candidates.

Energies are summed per cell, smeared by a log-normal of that mean and sigma(E), and cut at a threshold and at two
sigma. ECAL cells are 1 degree x 0.01745, and 5 x 5 of them form one tower of the image, so that the threshold is
applied before the sum. Resolutions, thresholds and coverage are those of the CMS-like detector behind the public CoDAE
sample (Delphes, arXiv:1307.6346; arXiv:2306.12955). All events of a batch are processed together: the number of a cell
includes that of its event, and only cells that were hit are created.
"""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.calorimeter import (
    ETA_COVERED,
    ETA_MAX,
    ETA_STEP,
    IMAGE_SHAPE,
    N_ETA,
    N_PHI,
    OUTER_SHARE,
    fill_towers,
    grid_cells,
)
from codae_l1.data.generation._propagation import ETA_SEEN, IN_ECAL, IN_HCAL, Hits
from codae_l1.data.generation.config import GenerationConfig

# ECAL cells per tower, along each axis.
CELLS = 5
# GeV
ECAL_THRESHOLD, HCAL_THRESHOLD = 0.5, 1.0
SIGNIFICANCE = 2.0
ETA_BARREL = 1.5
# Beyond the image: towers of 10 degrees x 0.25, both kinds of deposit together, relative terms of the forward HCAL.
FORWARD_ETA_STEP, FORWARD_N_PHI = 0.25, 36
FORWARD_CONSTANT, FORWARD_STOCHASTIC = 0.11, 2.80


@dataclass(frozen=True)
class Readout:
    """A batch of events.

    images: (events, 72, 58, 3) float32, GeV. n_tracks: (events,) tracks of channel 0. candidates: for each event
    (m, 3) float64, pT [GeV], eta, phi of what jets are made of: tracks of the hard collision, photons, neutral hadrons,
    forward towers.
    """

    images: np.ndarray
    n_tracks: np.ndarray
    candidates: list[np.ndarray]


@dataclass(frozen=True)
class _Cells:
    """Cells with energy: event, row in phi, column in eta, energy deposited and its share by particles with a track."""

    event: np.ndarray
    row: np.ndarray
    column: np.ndarray
    energy: np.ndarray
    tracked: np.ndarray


def read_out(
    hits: Hits,
    kept_tracks: np.ndarray,
    events: int,
    rng: np.random.Generator,
    config: GenerationConfig,
    eta_seen: float = ETA_SEEN,
) -> Readout:
    """Images and candidates of all hits of some bunch crossings; kept_tracks (n,) bool: not removed as pile-up.

    eta_seen: where the hits end, in whole forward towers.
    """
    tracks = np.flatnonzero(kept_tracks & (hits.pt > 0))
    shown = tracks[np.abs(hits.eta[tracks]) < ETA_COVERED]
    images = np.zeros((events, *IMAGE_SHAPE), np.float32)
    row, column = grid_cells(hits.phi[shown], hits.eta[shown])
    images[..., 0] = fill_towers(events, hits.event[shown], row, column, hits.pt[shown])
    images[..., 1], photons = _ecal(hits, events, rng, config)
    images[..., 2], neutral = _hcal(hits, events, rng, config)
    charged = np.column_stack([hits.event[tracks], hits.pt[tracks], hits.track_eta[tracks], hits.track_phi[tracks]])
    candidates = np.concatenate([charged, photons, neutral, _forward(hits, rng, config, eta_seen)])
    candidates = candidates[np.argsort(candidates[:, 0], kind="stable")]
    bounds = np.searchsorted(candidates[:, 0], np.arange(1, events))
    n_tracks = np.bincount(hits.event[shown], minlength=events)
    return Readout(images, n_tracks, np.split(candidates[:, 1:], bounds))


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


def _ecal(hits: Hits, events: int, rng: np.random.Generator, config: GenerationConfig) -> tuple[np.ndarray, np.ndarray]:
    """Transverse energy (events, 72, 58) and photon candidates (m, 4)."""
    inside = np.flatnonzero((hits.kind == IN_ECAL) & (np.abs(hits.eta) < ETA_COVERED))
    cells = _cells(hits, inside, N_PHI * CELLS, N_ETA * CELLS, ETA_MAX)
    eta = (cells.column + 0.5) * (ETA_STEP / CELLS) - ETA_MAX
    phi = (cells.row + 0.5) * (2 * np.pi / (N_PHI * CELLS)) - np.pi
    true = cells.energy * config.ecal_scale
    energy = lognormal(true, ecal_sigma(true, eta) * config.resolution_scale, rng)
    sigma = ecal_sigma(energy, eta)
    energy = np.where((energy > ECAL_THRESHOLD) & (energy > SIGNIFICANCE * sigma), energy, 0)
    image = fill_towers(events, cells.event, cells.row // CELLS, cells.column // CELLS, energy / np.cosh(eta))
    excess = energy - cells.tracked
    found = (excess > ECAL_THRESHOLD) & (excess > SIGNIFICANCE * sigma)
    return image, _candidates(cells.event, excess, eta, phi, found)


def _hcal(hits: Hits, events: int, rng: np.random.Generator, config: GenerationConfig) -> tuple[np.ndarray, np.ndarray]:
    """Transverse energy (events, 72, 58) and candidates of neutral hadrons (m, 4)."""
    inside = np.flatnonzero((hits.kind == IN_HCAL) & (np.abs(hits.eta) < ETA_MAX))
    towers = _cells(hits, inside, N_PHI, N_ETA, ETA_MAX)
    eta = (towers.column + 0.5) * ETA_STEP - ETA_MAX
    phi = (towers.row + 0.5) * (2 * np.pi / N_PHI) - np.pi
    true = towers.energy * config.hcal_scale
    energy = lognormal(true, hcal_sigma(true) * config.resolution_scale, rng)
    sigma = hcal_sigma(energy)
    energy = np.where((energy > HCAL_THRESHOLD) & (energy > SIGNIFICANCE * sigma), energy, 0)
    # The position inside a tower is random, and an outer tower is seen where it falls inside the covered part.
    seen_eta = np.abs(eta + rng.uniform(-ETA_STEP / 2, ETA_STEP / 2, len(eta)))
    outer = (towers.column == 0) | (towers.column == N_ETA - 1)
    shown = energy / np.cosh(seen_eta) * np.where(outer, OUTER_SHARE * (seen_eta < ETA_COVERED), 1)
    image = fill_towers(events, towers.event, towers.row, towers.column, shown)
    excess = energy - towers.tracked
    found = (excess > HCAL_THRESHOLD) & (excess > SIGNIFICANCE * sigma)
    return image, _candidates(towers.event, excess, eta, phi, found)


def _forward(hits: Hits, rng: np.random.Generator, config: GenerationConfig, eta_seen: float) -> np.ndarray:
    """Candidates (m, 4) beyond the image."""
    edge = np.where(hits.kind == IN_ECAL, ETA_COVERED, ETA_MAX)
    outside = np.flatnonzero((hits.kind <= IN_HCAL) & (np.abs(hits.eta) >= edge))
    towers = _cells(hits, outside, FORWARD_N_PHI, round(2 * eta_seen / FORWARD_ETA_STEP), eta_seen)
    true = towers.energy * config.hcal_scale
    energy = lognormal(true, _forward_sigma(true) * config.resolution_scale, rng)
    eta = (towers.column + 0.5) * FORWARD_ETA_STEP - eta_seen
    phi = (towers.row + 0.5) * (2 * np.pi / FORWARD_N_PHI) - np.pi
    return _candidates(towers.event, energy, eta, phi, energy > SIGNIFICANCE * _forward_sigma(energy))


def _forward_sigma(energy: np.ndarray) -> np.ndarray:
    return np.sqrt((FORWARD_CONSTANT * energy) ** 2 + FORWARD_STOCHASTIC**2 * energy)


def _candidates(
    event: np.ndarray, energy: np.ndarray, eta: np.ndarray, phi: np.ndarray, which: np.ndarray
) -> np.ndarray:
    """(m, 4) event, pT, eta, phi."""
    return np.column_stack([event[which], energy[which] / np.cosh(eta[which]), eta[which], phi[which]])


def _cells(hits: Hits, which: np.ndarray, n_phi: int, n_eta: int, eta_max: float) -> _Cells:
    """The cells of a grid that some of the hits fall into."""
    row, column = grid_cells(hits.phi[which], hits.eta[which], n_phi, n_eta, eta_max)
    key = (hits.event[which] * np.int64(n_phi) + row) * n_eta + column
    order = np.argsort(key, kind="stable")
    key, energy = key[order], hits.energy[which][order].astype(np.float64)
    first = np.flatnonzero(np.diff(key, prepend=-1))
    if len(first) == 0:
        return _Cells(*(np.zeros(0, t) for t in (np.int64, np.int64, np.int64, np.float64, np.float64)))
    tracked = np.add.reduceat(energy * (hits.pt[which][order] > 0), first)
    place = key[first]
    return _Cells(
        place // (n_phi * n_eta), place // n_eta % n_phi, place % n_eta, np.add.reduceat(energy, first), tracked
    )
