"""Which bins of a turn-on are drawn."""

from collections.abc import Mapping

import numpy as np

from codae_l1.models.evaluation.roc import MINIMUM_BACKGROUND


def turn_on_bins(turn_on: Mapping[str, list]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The bins of a turn-on that say something: middle and half width (n,), efficiency (n,), errors down and up (2, n).

    A bin with fewer than MINIMUM_BACKGROUND effective crossings is left out.
    """
    low_edge, high_edge = np.array(turn_on["edges"][:-1], float), np.array(turn_on["edges"][1:], float)
    filled = np.array(turn_on["effective"]) >= MINIMUM_BACKGROUND
    # An empty bin has None, which is no number.
    value, low, high = (np.array(turn_on[key], float)[filled] for key in ("value", "low", "high"))
    middle, half = (low_edge + high_edge)[filled] / 2, (high_edge - low_edge)[filled] / 2
    return middle, half, value, np.abs([value - low, high - value])
