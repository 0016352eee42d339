"""Sum of several layers. Only the whole encoders in hls4ml have it, since chains have no branches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from codae_l1.data.base.errors import InputError
from codae_l1.hls.layers._cpp import Stored
from codae_l1.hls.layers._shapes import output_shape
from codae_l1.hls.layers.base import Interval, Layer


@dataclass(frozen=True)
class Add(Layer):
    """The sum of two layers of one shape."""

    kind = "add"
    keras_names = ("Add",)
    inputs = 2
    hls4ml_class = "Merge"
    own_word = True
    passing = False
    pixelwise = False

    @classmethod
    def check(cls, layer: Any) -> NoReturn:
        """Raise InputError: a chain has no branches."""
        _refuse(layer.name)

    @classmethod
    def read(cls, layer: Any, before: Sequence[Interval]) -> Self:
        """Add -> its record."""
        low, high = float(sum(i.low for i in before)), float(sum(i.high for i in before))
        return cls(layer.name, output_shape(layer), Interval(low, high, min(i.step for i in before)))

    def shape_after(self, shape: tuple[int, ...]) -> None:
        """No chain holds it."""
        return

    def trace(self, value: Any) -> NoReturn:
        """Raise InputError: adders of chains alone are traced."""
        _refuse(self.name)

    def emit(self, words: Stored) -> NoReturn:
        """Raise InputError: the emulator runs chains alone."""
        _refuse(self.name)


def _refuse(name: str) -> NoReturn:
    raise InputError(
        f"layer {name} adds several layers", "a chain of layers, without branches", "take hls4ml, or another network"
    )
