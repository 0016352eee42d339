"""Bent energies: what a cell counts for in a distance, so that one hard cell does not outweigh many of a few GeV.

A cell of energy s [words], the sum of a group's inputs, counts in full up to a knee k, and for a fraction a of what is
above it (`FirmwareConfig.bend`):

    min(s, k) + a max(s - k, 0) = k - max(k - s, 0) + max(a (s - k), 0)

A convolution of single cells gives the two maxima, what is missing to the knee and what is above it, rounded to whole
numbers; that of the windows adds them up, with the knees of all cells as its bias. So both are layers like any other.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from codae_l1.quantization.f_m.config import FirmwareConfig


def bent(cells: np.ndarray, config: "FirmwareConfig") -> np.ndarray:
    """What cells count for, before it is rounded.

    >>> from codae_l1.quantization.f_m.config import FirmwareConfig
    >>> bent(np.array([0, 1, 2, 3, 10, 62]), FirmwareConfig()).tolist()
    [0.0, 1.0, 2.0, 2.125, 3.0, 9.5]
    """
    knee, slope = config.bend
    return cells - np.maximum(cells - knee, 0) * (1 - slope)


def window_weights(config: "FirmwareConfig") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each convolution of a distance, whose last one adds up windows of each group of inputs."""
    own = np.array([[name in group for group in config.distance] for name in config.inputs], float)
    sides, groups = tuple(config.conv[-1].kernel), len(config.distance)
    if len(config.conv) == 1:
        return {"conv1": (np.tile(own, (*sides, 1, 1)), np.zeros(groups))}
    # Of each group what is missing to the knee, and what is above it.
    knee, slope = config.bend
    slopes, signs = np.array([-1, slope]), np.array([[-1.0], [1.0]])
    bend = (own[..., None] * slopes).reshape(1, 1, len(own), -1), np.tile(-knee * slopes, groups)
    sums = np.tile(np.kron(np.eye(groups), signs), (*sides, 1, 1)), np.full(groups, knee * np.prod(sides))
    return {"conv1": bend, "conv2": sums}
