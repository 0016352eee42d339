"""Weights that are the same everywhere in the image: fewer adders, and fewer events needed to learn them.

A jet or a soft spray may fall anywhere, so the sum over cells has one weight per channel. The constraint keeps a dense
kernel after Flatten equal over cells, and a convolution kernel equal over its window; equal floats are equal words.
"""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="codae_l1")
class EqualOverCells(keras.constraints.Constraint):
    """Kernel (cells * channels, units) of a dense layer after Flatten: the mean over cells at every cell.

    >>> import numpy as np
    >>> EqualOverCells(channels=1)(np.array([[1.0], [3.0]], "float32")).numpy().tolist()
    [[2.0], [2.0]]
    """

    def __init__(self, channels: int):
        self.channels = channels

    def __call__(self, w: Any) -> Any:
        """Kernel -> kernel of the same shape."""
        cells = keras.ops.reshape(w, (-1, self.channels, w.shape[-1]))
        mean = keras.ops.mean(cells, axis=0, keepdims=True)
        return keras.ops.reshape(keras.ops.broadcast_to(mean, cells.shape), w.shape)

    def get_config(self) -> dict[str, Any]:
        """The number of channels."""
        return {"channels": self.channels}


@keras.saving.register_keras_serializable(package="codae_l1")
class EqualOverWindow(keras.constraints.Constraint):
    """Kernel (phi, eta, in, out) of a convolution: the mean over its window at every place."""

    def __call__(self, w: Any) -> Any:
        """Kernel -> kernel of the same shape."""
        return keras.ops.broadcast_to(keras.ops.mean(w, axis=(0, 1), keepdims=True), w.shape)
