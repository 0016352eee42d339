"""Flatten: only wiring."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Self

from codae_l1.hls.layers._cpp import Stored
from codae_l1.hls.layers._shapes import check_channels_last, output_shape
from codae_l1.hls.layers.base import Interval, Layer


@dataclass(frozen=True)
class Flatten(Layer):
    """(rows, columns, channels) -> (values,), in the same order."""

    kind = "flatten"
    keras_names = ("Flatten",)
    inputs = 1
    hls4ml_class = None
    own_word = False
    passing = True
    pixelwise = False

    @classmethod
    def check(cls, layer: Any) -> None:
        """Raise InputError unless channels come last."""
        check_channels_last(layer)

    @classmethod
    def read(cls, layer: Any, before: Sequence[Interval]) -> Self:
        """Flatten -> its record."""
        return cls(layer.name, output_shape(layer), before[0])

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Any shape -> (values,)."""
        return (prod(shape),)

    def trace(self, value: Any) -> Any:
        """The same values in one row."""
        return value.ravel()

    def emit(self, words: Stored) -> None:
        """The words stay where they are."""
        return
