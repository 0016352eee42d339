"""ReLU of Keras: max(x, 0), without a quantizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Self

from codae_l1.data.base.errors import InputError
from codae_l1.hls.layers import _adders, _cpp
from codae_l1.hls.layers._cpp import Code, Stored
from codae_l1.hls.layers._shapes import output_shape
from codae_l1.hls.layers.base import Interval, Layer


@dataclass(frozen=True)
class Relu(Layer):
    """max(x, 0) of each value."""

    kind = "relu"
    keras_names = ("ReLU",)
    inputs = 1
    hls4ml_class = "Activation"
    own_word = False
    passing = True
    pixelwise = False

    @classmethod
    def check(cls, layer: Any) -> None:
        """Raise InputError unless it has neither bound, slope nor threshold."""
        if layer.max_value is not None or layer.negative_slope or layer.threshold:
            raise InputError(
                f"layer {layer.name} is a bounded or leaky ReLU", "a plain ReLU", "use QActivation instead"
            )

    @classmethod
    def read(cls, layer: Any, before: Sequence[Interval]) -> Self:
        """ReLU -> its record."""
        low, high = (max(edge, 0.0) for edge in (before[0].low, before[0].high))
        return cls(layer.name, output_shape(layer), Interval(low, high, before[0].step))

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The same shape."""
        return shape

    def trace(self, value: Any) -> Any:
        """Each value's sign bit chooses."""
        return _adders.each(value, lambda v: v.relu())

    def emit(self, words: Stored) -> Code:
        """The same, on the same words."""
        return Code((_cpp.sizes(size=prod(self.shape)),), "relu", words)
