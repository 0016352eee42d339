"""Deposits to what the trigger is given: towers with response, resolution, thresholds and steps.

Two detectors. "trigger" stands for the trigger primitives of CMS. Hadrons show a share of their energy that rises with
it, as in a calorimeter that is not compensating (a power law with k = 0.82, as for the CMS barrel in test beams, EPJ C
60 (2009) 359); the energies of a tower are smeared together, by the resolutions of CMS (JINST 3 (2008) S08004: ECAL
2.8 % and 0.3 %, hadrons about 90 % and 7 %); what is sent is a whole number of steps of 0.5 GeV, and nothing where it
is below a threshold (arXiv:2006.10165). Response at 1 GeV and thresholds are no published numbers: they are set so that
the anomaly trigger CICADA fires on these crossings about as often as on data (docs/rates.md). "delphes" is the read-out
of the public CoDAE sample (codae_l1.data.generation._detector): ECAL cells and HCAL towers smeared log-normally and cut
one by one, without steps.
"""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.calorimeter import ETA_COVERED, ETA_MAX, ETA_STEP, IMAGE_SHAPE, N_ETA, N_PHI, OUTER_SHARE
from codae_l1.data.generation._collisions import ECAL_ETA
from codae_l1.data.generation._detector import (
    CELLS,
    ECAL_THRESHOLD,
    HCAL_THRESHOLD,
    SIGNIFICANCE,
    ecal_sigma,
    hcal_sigma,
    lognormal,
)
from codae_l1.data.generation._overlay import Deposits
from codae_l1.data.pooling import TOWER_LSB_GEV

# sigma / E: stochastic term [sqrt(GeV)] and constant term; noise of a tower's 25 cells, GeV.
ECAL_STOCHASTIC, ECAL_CONSTANT, ECAL_NOISE = 0.028, 0.003, 0.2
HCAL_STOCHASTIC, HCAL_CONSTANT = 0.9, 0.07
RESPONSE_POWER = 0.82

# Of the towers of a row.
_ETA = (np.arange(N_ETA) + 0.5) * ETA_STEP - ETA_MAX
_COSH = np.cosh(_ETA)


@dataclass(frozen=True)
class TriggerTowers:
    """Thresholds [GeV, transverse] below which a tower is not sent; a factor on both resolutions."""

    ecal_threshold_gev: float
    hcal_threshold_gev: float
    resolution_scale: float


def delphes_images(deposits: Deposits, rng: np.random.Generator) -> np.ndarray:
    """Images (n, 72, 58, 3) float32, GeV, of deposits with ECAL cells."""
    images = _with_tracks(deposits)
    assert deposits.fine is not None
    cell, true = deposits.fine
    eta = (cell % ECAL_ETA + 0.5) * (ETA_STEP / CELLS) - ETA_MAX
    energy = lognormal(true, ecal_sigma(true, eta), rng)
    passing = np.flatnonzero((energy > ECAL_THRESHOLD) & (energy > SIGNIFICANCE * ecal_sigma(energy, eta)))
    cell, transverse = cell[passing], energy[passing] / np.cosh(eta[passing])
    row = cell // ECAL_ETA  # of all crossings, one after another
    tower = row // CELLS * N_ETA + cell % ECAL_ETA // CELLS
    images[..., 1] = np.bincount(tower, transverse, images[..., 1].size).reshape(-1, N_PHI, N_ETA)
    hit = np.flatnonzero(deposits.hcal)
    true = deposits.hcal.ravel()[hit]
    energy = lognormal(true, hcal_sigma(true), rng)
    passing = np.flatnonzero((energy > HCAL_THRESHOLD) & (energy > SIGNIFICANCE * hcal_sigma(energy)))
    hit, energy = hit[passing], energy[passing]
    column = hit % N_ETA
    # As in read_out: the position inside a tower is random, and an outer tower is seen where it is covered.
    seen = np.abs(_ETA[column] + rng.uniform(-ETA_STEP / 2, ETA_STEP / 2, len(hit)))
    outer = (column == 0) | (column == N_ETA - 1)
    shown = energy / np.cosh(seen) * np.where(outer, OUTER_SHARE * (seen < ETA_COVERED), 1)
    images[..., 2] = np.bincount(hit, shown, images[..., 2].size).reshape(-1, N_PHI, N_ETA)
    return images


def trigger_images(deposits: Deposits, rng: np.random.Generator, towers: TriggerTowers) -> np.ndarray:
    """Images (n, 72, 58, 3) float32, GeV, of deposits with ECAL towers: whole steps of TOWER_LSB_GEV."""
    images = _with_tracks(deposits)
    ecal = np.array([ECAL_STOCHASTIC, ECAL_CONSTANT, ECAL_NOISE]) * towers.resolution_scale
    hcal = np.array([HCAL_STOCHASTIC, HCAL_CONSTANT, 0.0]) * towers.resolution_scale
    images[..., 1] = _primitives(deposits.ecal, ecal, towers.ecal_threshold_gev, rng)
    images[..., 2] = _primitives(deposits.hcal, hcal, towers.hcal_threshold_gev, rng)
    return images


def hadron_response(energy: np.ndarray, at_1_gev: float) -> np.ndarray:
    """Share of a hadron's energy [GeV] that the calorimeters show: 1 - (1 - r) E^-0.18, r below 1 GeV.

    >>> hadron_response(np.array([0.5, 1.0, 10.0, 100.0]), 0.42).round(2).tolist()
    [0.42, 0.42, 0.62, 0.75]
    """
    return 1 - (1 - at_1_gev) * np.maximum(energy, 1.0) ** (RESPONSE_POWER - 1)


def _primitives(true: np.ndarray, resolution: np.ndarray, threshold: float, rng: np.random.Generator) -> np.ndarray:
    """Transverse energies (n, 72, 58) float32 that are sent for true energies (n, 72, 58)."""
    stochastic, constant, noise = resolution
    flat = true.ravel()
    hit = np.flatnonzero(flat)
    energy = flat[hit]
    sigma = np.sqrt(stochastic**2 * energy + (constant * energy) ** 2 + noise**2)
    seen = (energy + sigma * rng.standard_normal(len(hit), np.float32)) / _COSH[hit % N_ETA]
    steps = np.floor(seen * (1 / TOWER_LSB_GEV))
    sent = np.zeros(true.shape, np.float32)
    sent.ravel()[hit] = np.where(steps * TOWER_LSB_GEV >= threshold, steps * TOWER_LSB_GEV, 0)
    return sent


def _with_tracks(deposits: Deposits) -> np.ndarray:
    images = np.zeros((len(deposits.tracks), *IMAGE_SHAPE), np.float32)
    images[..., 0] = deposits.tracks
    return images
