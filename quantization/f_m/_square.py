"""Squares of values: with a sum behind them, a network computes a distance."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="codae_l1")
class Square(keras.layers.Layer):
    """x -> x * x, each value.

    >>> import numpy as np
    >>> Square()(np.array([[-1.5, 2.0]], "float32")).numpy().tolist()
    [[2.25, 4.0]]
    """

    def call(self, values: Any) -> Any:
        """Values of any shape -> their squares."""
        return keras.ops.square(values)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The same shape."""
        return input_shape
