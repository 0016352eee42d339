"""Auto-encoder of the windows of background, whose reconstruction error is computed in firmware, decoder included.

Of a group of inputs, c_i are the counts of windows, m_i and s_i their means and deviations over background.

    h = sum of v_i c_i / s_i                        one unit: the activity that all windows share
    r_i = (c_i - m_i) / s_i - v_i (h - <h>)         what the decoder leaves of a window
    R_k = sum of s_i r_i over the windows of ring k what it leaves of a ring in eta

    score = max(A / a, B / b),  A = sum of R_k^2 / var R_k,  B = sum of r_i^2 / var r_i

with a and b what A and B exceed in a share `tail` of background. v is the first principal component of the windows,
(c - m) / s, where the squared error of a linear auto-encoder of one unit is least (Baldi and Hornik, 1989), among those
that prefer no azimuth and no sign of eta. So nothing is left to chance, and no ReLU cuts h, as all v_i are above zero.

As a network without branches: a dense layer gives [h, c], since the ReLU leaves counts as they are, the next one reads
R and r from both, then come squares, their sums, and the larger of two.
"""

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.quantization._windows import SINGULAR, Group, exceeded, no_variation

# Steps of the power method; each gains a factor of the ratio of two eigenvalues, here three or more.
_STEPS = 200


def autoencoder(counts: np.ndarray, weight: np.ndarray, tail: float, names: tuple[str, ...]) -> Group:
    """Counts of windows (N, phi, eta), weights (N,) -> rows of rings and of windows, and the encoder's unit.

    Raises InputError where windows do not vary, or not independently, or do not share an activity.
    """
    _, places, rings = counts.shape
    own = np.average(counts, axis=0, weights=weight)
    # Each window varies, also one whose mirror image does.
    _deviation(counts - own, weight, names)
    mean = _even(own)
    spread = _deviation(counts - mean, weight, names)
    values = (counts - mean) / spread
    component = _component(values, weight)
    if not min(component) > 0:
        raise InputError(
            f"background whose {', '.join(names)} rise in some rings where they fall in others",
            "an activity that all rings share",
            "take a distance (scripts/configs/distance.toml)",
        )
    shared = np.array(component)
    residual = values - np.einsum("npe,e->n", values, shared)[:, None, None] * shared
    of_rings = (residual * spread).sum(axis=1, keepdims=True)
    deviation, ring_deviation = _deviation(residual, weight, names), _deviation(of_rings, weight, names)
    first = np.square(of_rings / ring_deviation).sum(axis=(1, 2))
    whole = np.square(residual / deviation).sum(axis=(1, 2))
    a, b = exceeded((first, whole), (rings, places * rings), weight, tail, names)
    # h as a mean of the counts, so that their word holds it.
    encode = shared / spread
    unit = 1 / (places * encode.sum())
    ring_unit, window_unit = ring_deviation * np.sqrt(a), deviation * np.sqrt(b)
    decode = -places * spread * shared / ring_unit
    rows, correction = np.tile(np.diag(1 / ring_unit), places), 0.0
    if places > 1:
        # Of one window around phi, the ring is the window.
        decode = np.r_[decode, np.tile(-shared / window_unit, places)]
        rows, correction = np.concatenate([rows, np.diag(np.tile(1 / (spread * window_unit), places))]), -1.0
    at_mean = (rows * np.tile(mean, places)).sum(axis=1) + decode * places * (encode * mean).sum()
    return Group(rows, -at_mean, rings, correction, np.tile(unit * encode, places), decode / unit)


def _even(of_windows: np.ndarray) -> np.ndarray:
    """The mean (eta,) over phi and over the mirror image in eta of (phi, eta)."""
    of_rings = of_windows.mean(axis=0)
    return (of_rings + of_rings[::-1]) / 2


def _deviation(values: np.ndarray, weight: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Deviations from zero (eta,) of values (N, phi, eta); InputError where some are none."""
    power = np.average(np.square(values), axis=0, weights=weight)
    if not power.min() > SINGULAR * power.mean():
        raise no_variation(names)
    return np.sqrt(_even(power))


def _component(values: np.ndarray, weight: np.ndarray) -> list[float]:
    """The first principal component (eta,) of (N, phi, eta), equal around phi and even in eta, of length 1 over all.

    In Python's floats and one order: LAPACK's last bits are the processor's, and a seed's words shall not be.
    """
    _, places, rings = values.shape
    sums = values.sum(axis=1)
    even = (sums + sums[:, ::-1]) / 2
    power = (np.einsum("n,nk,nl->kl", weight, even, even) / weight.sum()).tolist()
    found = [1.0] * rings
    for _ in range(_STEPS):
        found = [sum(power[k][j] * found[j] for j in range(rings)) for k in range(rings)]
        # Rings that share nothing leave nothing.
        length = sum(places * value * value for value in found) ** 0.5 or 1.0
        found = [value / length for value in found]
    return found
