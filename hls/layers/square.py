"""Square: each value times itself, exact, of tables and adders without a multiplier."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Self

from codae_l1.data.base.errors import InputError
from codae_l1.hls.layers import _adders, _cpp
from codae_l1.hls.layers._cpp import Code, Stored
from codae_l1.hls.layers._shapes import output_shape
from codae_l1.hls.layers.base import Interval, Layer
from codae_l1.quantization.f_m.precision import EXACT_LSBS


@dataclass(frozen=True)
class Square(Layer):
    """x * x of each value."""

    kind = "square"
    keras_names = ("Square",)
    inputs = 1
    hls4ml_class = "Activation"
    own_word = True
    passing = False
    pixelwise = False

    @classmethod
    def check(cls, layer: Any) -> None:
        """Every square is taken as it is; `read` refuses those that float32 would round."""

    @classmethod
    def read(cls, layer: Any, before: Sequence[Interval]) -> Self:
        """Square -> its record; InputError where float32 would round a square."""
        return cls.of(layer.name, output_shape(layer), before[0])

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], given: Interval) -> Self:
        """The record of the squares of values of an interval; InputError where float32 would round one."""
        step = given.step**2
        edges = sorted((given.low**2, given.high**2))
        if edges[1] / step >= EXACT_LSBS:
            raise InputError(
                f"layer {name} with squares of up to {edges[1] / step:.0f} LSB",
                f"fewer than {EXACT_LSBS}, what QKeras squares exactly in float32",
                "round its inputs to fewer bits",
            )
        low = 0.0 if given.low <= 0 <= given.high else edges[0]
        return cls(name, shape, Interval(low, edges[1], step))

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The same shape."""
        return shape

    def trace(self, value: Any) -> Any:
        """Each value through a table; words beyond its length through additions, too."""
        return _adders.each(value, _adders.square)

    def emit(self, words: Stored) -> Code:
        """The product, in a type that holds it."""
        out = Stored(self.name, self.shape, 2 * words.fraction, words.largest**2)
        return Code((_cpp.sizes(size=prod(self.shape)),), "square", out)
