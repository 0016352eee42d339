"""Bent energies: what a cell counts for in a distance, so that one hard cell does not outweigh many of a few GeV.

A cell of energy s [words], the sum of a group's inputs, counts in full up to a knee k, and for a fraction of what is
above it:

    min(s, k) + max(s - k, 0) / 2^SLOPE_BITS = k - max(k - s, 0) + max((s - k) / 2^SLOPE_BITS, 0)

A convolution of single cells gives the two maxima, what is missing to the knee and what is above it, rounded to whole
numbers; that of the windows adds them up, with the knees of all cells as its bias. So both are layers like any other.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from codae_l1.quantization.f_m.config import FirmwareConfig

# Energy of a cell that counts in full, and bits by which the rest is shifted.
KNEE_GEV, SLOPE_BITS = 8.0, 3


def knee(config: "FirmwareConfig") -> float:
    """The knee in words of a cell.

    >>> from codae_l1.quantization.f_m.config import FirmwareConfig
    >>> knee(FirmwareConfig(energy_lsb_gev=4.0))
    2.0
    """
    return KNEE_GEV / config.energy_lsb_gev


def bent(cells: np.ndarray, config: "FirmwareConfig") -> np.ndarray:
    """What cells count for, before it is rounded.

    >>> from codae_l1.quantization.f_m.config import FirmwareConfig
    >>> bent(np.array([0, 1, 2, 3, 10, 62]), FirmwareConfig()).tolist()
    [0.0, 1.0, 2.0, 2.125, 3.0, 9.5]
    """
    return cells - np.maximum(cells - knee(config), 0) * (1 - 2.0**-SLOPE_BITS)


def window_weights(config: "FirmwareConfig") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each convolution of a distance, whose last one adds up windows of each group of inputs."""
    own = np.array([[name in group for group in config.distance] for name in config.inputs], float)
    sides, groups = tuple(config.conv[-1].kernel), len(config.distance)
    if len(config.conv) == 1:
        return {"conv1": (np.tile(own, (*sides, 1, 1)), np.zeros(groups))}
    # Of each group what is missing to the knee, and what is above it.
    slopes, signs = np.array([-1, 2.0**-SLOPE_BITS]), np.array([[-1.0], [1.0]])
    bend = (own[..., None] * slopes).reshape(1, 1, len(own), -1), np.tile(-knee(config) * slopes, groups)
    sums = np.tile(np.kron(np.eye(groups), signs), (*sides, 1, 1)), np.full(groups, knee(config) * np.prod(sides))
    return {"conv1": bend, "conv2": sums}
