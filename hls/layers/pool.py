"""Pooling: the largest value, or the mean, of windows that do not overlap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import Any, ClassVar, Self

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.hls.layers import _adders, _cpp
from codae_l1.hls.layers._cpp import Code, Stored
from codae_l1.hls.layers._shapes import check_channels_last, output_shape, windows_after
from codae_l1.hls.layers.base import Interval, Layer


@dataclass(frozen=True)
class _Pool(Layer):
    """Windows of `pool` (rows, columns); averages: whether their mean is given, else their largest value."""

    inputs = 1
    hls4ml_class = "Pooling2D"
    passing = True
    pixelwise = False
    averages: ClassVar[bool]

    pool: tuple[int, int]

    @classmethod
    def check(cls, layer: Any) -> None:
        """Raise InputError where windows overlap or are padded, or a mean is no exact word."""
        check_channels_last(layer)
        pool, size = tuple(layer.pool_size), prod(layer.pool_size)
        if layer.padding != "valid" or tuple(layer.strides) != pool or (cls.averages and size & (size - 1)):
            raise InputError(
                f"layer {layer.name} pools {pool} by {layer.strides}, padding {layer.padding!r}",
                "windows that do not overlap, 'valid', of 2**n elements where averaged",
                "choose such a window",
            )

    @classmethod
    def read(cls, layer: Any, before: Sequence[Interval]) -> Self:
        """Pooling layer -> its record."""
        (given, *_), pool = before, tuple(layer.pool_size)
        step = given.step / prod(pool) if cls.averages else given.step
        return cls(layer.name, output_shape(layer), Interval(given.low, given.high, step), pool=pool)

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """(rows, columns, channels) -> the same of the windows inside."""
        inside = windows_after(shape, self.pool, self.pool)
        return None if inside is None else (*inside, shape[2])

    def trace(self, value: Any) -> Any:
        """A tree of sums or of maxima of each window."""
        patches = _adders.windows(value, self.pool, self.pool)  # (rows, columns, window, C)
        out = np.empty((*patches.shape[:2], patches.shape[3]), dtype=object)
        join: Callable[[Any, Any], Any] = (lambda a, b: a + b) if self.averages else (lambda a, b: a.max_of(b))
        for index in np.ndindex(out.shape):
            elements = list(patches[index[0], index[1], :, index[2]])
            while len(elements) > 1:
                pairs = list(zip(elements[::2], elements[1::2], strict=False))
                rest = elements[2 * len(pairs) :]
                elements = [join(a, b) for a, b in pairs] + rest
            out[index] = elements[0] * (1.0 / patches.shape[2]) if self.averages else elements[0]
        return _adders.array(out, value)

    def emit(self, words: Stored) -> Code:
        """The same; the sum of a mean has log2(window) fraction bits more."""
        steps, offsets = _cpp.window(words.shape, self.pool, self.pool)
        size = prod(self.pool)
        rows, columns, channels = self.shape
        constants = (
            _cpp.sizes(rows=rows, columns=columns, channels=channels, window=size, **steps),
            _cpp.numbers("int", "offsets", offsets[..., 0]),
            f"static constexpr bool average = {str(self.averages).lower()};",
        )
        extra = int(log2(size)) if self.averages else 0
        out = Stored(self.name, self.shape, words.fraction + extra, words.largest << extra)
        return Code(constants, "pool", out)


@dataclass(frozen=True)
class MaxPool(_Pool):
    """The largest value of each window."""

    kind = "max_pool"
    keras_names = ("MaxPooling2D",)
    own_word = False
    averages = False


@dataclass(frozen=True)
class AveragePool(_Pool):
    """The mean of each window, exact: a window has 2**n values."""

    kind = "average_pool"
    keras_names = ("AveragePooling2D",)
    own_word = True
    averages = True
