"""The calorimeter grid: one image pixel is one HCAL tower.

72 cells in phi (5 degrees each) x 58 in eta (0.08725 each, |eta| < 2.53025), three channels. Geometry of the CMS-like
Delphes card behind the public CoDAE events (arXiv:2306.12955). Every geometry number of the project comes from here.
"""

import numpy as np

# Image axes are (phi, eta, channel).
N_PHI = 72
N_ETA = 58
CHANNELS = ("tracks", "ecal", "hcal")
N_CHANNELS = len(CHANNELS)
IMAGE_SHAPE = (N_PHI, N_ETA, N_CHANNELS)

# radian
PHI_STEP = 2 * np.pi / N_PHI
# Pseudorapidity width of a tower, dimensionless.
ETA_STEP = 0.08725
ETA_MAX = ETA_STEP * N_ETA / 2
# Tracks and ECAL reach to here: 286 cells of 0.01745; the outermost towers are covered to 0.6 of their width.
ETA_COVERED = 2.49535
OUTER_SHARE = (ETA_COVERED - (ETA_MAX - ETA_STEP)) / ETA_STEP


def eta_edges() -> np.ndarray:
    """Tower edges in eta: (59,) float64.

    >>> eta_edges()[[0, 29, 58]].round(5).tolist()
    [-2.53025, 0.0, 2.53025]
    """
    return ETA_STEP * (np.arange(N_ETA + 1) - N_ETA // 2)


def phi_edges() -> np.ndarray:
    """Tower edges in phi: (73,) float64, radian, from -pi to pi."""
    return -np.pi + PHI_STEP * np.arange(N_PHI + 1)


def grid_cells(
    phi: np.ndarray, eta: np.ndarray, n_phi: int = N_PHI, n_eta: int = N_ETA, eta_max: float = ETA_MAX
) -> tuple[np.ndarray, np.ndarray]:
    """Row and column, int64, of positions on a grid of n_phi x n_eta cells that ends at |eta| = eta_max.

    >>> [place.tolist() for place in grid_cells(np.array([0.01, 3.1]), np.array([0.01, -2.5]))]
    [[36, 71], [29, 0]]
    """
    row = np.floor((phi + np.pi) * (n_phi / (2 * np.pi))).astype(np.int64) % n_phi
    column = np.floor((eta + eta_max) * (n_eta / (2 * eta_max))).astype(np.int64).clip(0, n_eta - 1)
    return row, column


def fill_towers(events: int, event: np.ndarray, row: np.ndarray, column: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums of values (n,) per tower: (events, 72, 58) float64."""
    place = (event * np.int64(N_PHI) + row) * N_ETA + column
    return np.bincount(place, values, events * N_PHI * N_ETA).reshape(events, N_PHI, N_ETA)
