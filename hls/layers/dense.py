"""Dense layer: every output is a weighted sum of all inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.hls.layers import _cpp
from codae_l1.hls.layers._cpp import Code, Stored
from codae_l1.hls.layers.base import Interval, Weighted


@dataclass(frozen=True)
class Dense(Weighted):
    """Kernel (in, out)."""

    kind = "dense"
    keras_names = ("QDense",)
    inputs = 1
    hls4ml_class = "Dense"
    pixelwise = False

    @classmethod
    def check(cls, layer: Any) -> None:
        """Raise InputError unless it reads a flat list of values."""
        if len(layer.input.shape) != 2:
            raise InputError(
                f"dense layer {layer.name} reads values of shape {tuple(layer.input.shape[1:])}",
                "a flat list of values",
                "put a Flatten before it",
            )

    @classmethod
    def read(cls, layer: Any, before: Sequence[Interval]) -> Self:
        """QDense -> its record."""
        return cls.reading(layer, before[0])

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """(in,) -> (out,)."""
        return self.kernel.shape[1:] if self.kernel.shape[:1] == shape else None

    def trace(self, value: Any) -> Any:
        """The values times the kernel."""
        return value @ self.kernel + self.bias

    def emit(self, words: Stored) -> Code:
        """One window that holds all values."""
        place = {"rows": 1, "columns": 1, "row_step": 0, "column_step": 0}, np.arange(len(self.kernel))
        return _cpp.weighted(self.name, self.kernel, self.bias, words, self.interval.step, place, self.shape)
