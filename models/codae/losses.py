"""Reconstruction losses of masks, one number per event: (N, 72, 58, 1) twice -> (N,) float32.

x is the mask (0 or 1), l the logit, p = sigmoid(l).
"""

from typing import Any

from keras import ops

from codae_l1.models.codae.config import BLOCK

# Height, width, channel of an event.
PIXELS = (1, 2, 3)


def bce(mask: Any, logits: Any) -> Any:
    """Binary cross-entropy summed over pixels: sum -x log p - (1 - x) log(1 - p), from logits, so exact far from zero.

    The target is the first argument: -log p weighs the active pixels.

    >>> import numpy as np
    >>> ones, zeros = np.ones((1, 1, 2, 1), "float32"), np.zeros((1, 1, 2, 1), "float32")
    >>> round(float(bce(ones, zeros)[0]), 4), float(bce(ones, 100 * ones)[0])
    (1.3863, 0.0)
    """
    mask = ops.cast(mask, logits.dtype)
    return ops.sum(ops.softplus(logits) - mask * logits, axis=PIXELS)


def mse(mask: Any, probability: Any) -> Any:
    """Squared error summed over pixels: sum (x - p)^2."""
    return ops.sum(ops.square(ops.cast(mask, probability.dtype) - probability), axis=PIXELS)


def dice(mask: Any, probability: Any) -> Any:
    """Dice loss: 1 - (2 sum x p + 1) / (sum x + sum p + 1), in [0, 1); the ones keep an empty event defined."""
    mask = ops.cast(mask, probability.dtype)
    overlap = ops.sum(mask * probability, axis=PIXELS)
    return 1 - (2 * overlap + 1) / (ops.sum(mask, axis=PIXELS) + ops.sum(probability, axis=PIXELS) + 1)


def block_power(probability: Any) -> Any:
    """Sum over blocks of 12 x 12 pixels of (sum of p in the block)^2; 58 columns are padded by one on each side.

    >>> import numpy as np
    >>> float(block_power(np.ones((1, 72, 58, 1), "float32"))[0]) == 6 * (3 * 144**2 + 2 * 132**2)
    True
    """
    side = -probability.shape[2] % BLOCK // 2
    padded = ops.pad(probability, ((0, 0), (0, 0), (side, side), (0, 0)))
    return ops.sum(ops.square(BLOCK**2 * ops.average_pool(padded, BLOCK)), axis=PIXELS)
