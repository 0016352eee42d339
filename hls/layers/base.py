"""What every kind of firmware layer is: an exact record, and all that the rest of `hls/` asks of a layer.

A kind is one class, in its own file next to this one, and one line of the registry (hls/layers/__init__.py). The
interval of a layer is the smallest [low, high] on the grid `step` that holds every value it can give for any input
word.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Self

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.layers._cpp import Code, Stored
from codae_l1.hls.layers._shapes import output_shape
from codae_l1.quantization.f_m.precision import EXACT_LSBS

# Finest grid searched for a weight: 2**-30; anything finer is no fixed-point weight.
_FINEST_FRACTION = 30


@dataclass(frozen=True)
class Interval:
    """All values low, low + step, ..., high (step is a power of two)."""

    low: float
    high: float
    step: float

    @property
    def word(self) -> WordType:
        """The narrowest word that holds the interval exactly.

        >>> str(Interval(-3.5, 8.0, 0.5).word)
        'ap_fixed<6,5,AP_TRN,AP_WRAP>'
        """
        fraction = -int(np.log2(self.step))
        top = max(-self.low, self.high + self.step)
        integer = int(np.ceil(np.log2(top))) if top > 0 else 0
        negative = bool(self.low < 0)
        return WordType(negative, max(integer, 1 - fraction - negative), fraction)


@dataclass(frozen=True)
class Layer(ABC):
    """One layer of a network: its name, and the shape and interval of what it gives.

    Every kind states these, and defines the abstract methods; none has a default, so that a kind that forgets one is
    an error when the package is imported:

    kind: its name in records and messages. keras_names: the Keras classes that it reads. inputs: how many layers it
    reads. hls4ml_class: the class that hls4ml makes of it, None where it is wiring that needs no code. own_word:
    whether hls4ml is given the word of its result. passing: whether it only passes on, selects or averages what it is
    given, so that it cannot overflow by itself. pixelwise: whether hls4ml computes it pixel after pixel.
    """

    kind: ClassVar[str]
    keras_names: ClassVar[tuple[str, ...]]
    inputs: ClassVar[int]
    hls4ml_class: ClassVar[str | None]
    own_word: ClassVar[bool]
    passing: ClassVar[bool]
    pixelwise: ClassVar[bool]

    name: str
    shape: tuple[int, ...]
    interval: Interval

    @classmethod
    @abstractmethod
    def check(cls, layer: Any) -> None:
        """Raise InputError where an executor of chains would compute the Keras layer otherwise than Keras."""

    @classmethod
    @abstractmethod
    def read(cls, layer: Any, before: Sequence[Interval]) -> Self:
        """Keras layer, intervals of what it reads -> its record."""

    @abstractmethod
    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Shape that the layer gives of values of a shape; None where it cannot take them."""

    @abstractmethod
    def trace(self, value: Any) -> Any:
        """da4ml's symbolic values that the layer reads -> those that it gives."""

    @abstractmethod
    def emit(self, words: Stored) -> Code | None:
        """The words that the layer reads -> its C++; None where its words are those that it reads."""

    @property
    def word(self) -> WordType:
        """Word type of the layer's values."""
        return self.interval.word


@dataclass(frozen=True)
class Weighted(Layer):
    """A layer of weighted sums, its weights as quantized (float64).

    kernel: the last axis is that of the outputs. bias: (outputs,).
    """

    own_word = True
    passing = False

    kernel: np.ndarray
    bias: np.ndarray

    @property
    def matrix(self) -> tuple[int, int]:
        """(inputs, outputs) of the product that makes one pixel of the result."""
        return prod(self.kernel.shape[:-1]), self.kernel.shape[-1]

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return prod(self.matrix) + self.kernel.shape[-1]

    @property
    def weight_bits(self) -> int:
        """Width of the narrowest signed word that holds the weights."""
        words = np.abs(self.kernel) * 2.0 ** _dyadic_fraction(self.kernel, f"{self.name}.kernel")
        return int(np.ceil(np.log2(words.max(initial=0) + 1))) + 1

    @classmethod
    def summing(
        cls,
        name: str,
        shape: tuple[int, ...],
        interval: Interval,
        kernel: np.ndarray,
        bias: np.ndarray,
        **fields: Any,
    ) -> Self:
        """The record of a layer that sums inputs of an interval by a kernel (..., outputs) and adds a bias (outputs,).

        low = sum_i min(w_i low_in, w_i high_in) + b, and high likewise. Padding with zeros stays inside where the
        interval holds zero.
        """
        flat = kernel.reshape(-1, kernel.shape[-1])
        low = (np.minimum(flat * interval.low, flat * interval.high).sum(0) + bias).min()
        high = (np.maximum(flat * interval.low, flat * interval.high).sum(0) + bias).max()
        product = interval.step * 2.0 ** -_dyadic_fraction(kernel, f"{name}.kernel")
        step = min(product, 2.0 ** -_dyadic_fraction(bias, f"{name}.bias")) if bias.any() else product
        largest = (np.abs(flat).sum(0) * max(-interval.low, interval.high) + np.abs(bias)).max() / step
        if largest >= EXACT_LSBS:
            raise InputError(
                f"layer {name} has sums of up to {largest:.0f} LSB",
                f"fewer than {EXACT_LSBS}, what QKeras adds exactly in float32",
                "take fewer bits of weights, bias or inputs",
            )
        return cls(name, shape, Interval(low, high, step), kernel=kernel, bias=bias, **fields)

    @classmethod
    def reading(cls, layer: Any, interval: Interval, **fields: Any) -> Self:
        """The record of a QKeras layer that sums inputs of an interval."""
        activation = getattr(layer.activation, "__name__", layer.activation)
        if activation not in (None, "linear"):
            raise InputError(
                f"layer {layer.name} has an activation of its own", "none", "put a QActivation behind the layer instead"
            )
        kernel = np.asarray(layer.kernel_quantizer_internal(layer.kernel), np.float64)
        bias = np.zeros(kernel.shape[-1])
        if layer.use_bias:
            bias = np.asarray(layer.bias, np.float64)
            if layer.bias_quantizer_internal is not None:
                bias = np.asarray(layer.bias_quantizer_internal(layer.bias), np.float64)
        return cls.summing(layer.name, output_shape(layer), interval, kernel, bias, **fields)


def _dyadic_fraction(values: np.ndarray, name: str) -> int:
    """Fewest fraction bits that hold every value exactly.

    >>> _dyadic_fraction(np.array([0.5, -1.25, 0.0]), "w")
    2
    """
    for fraction in range(-8, _FINEST_FRACTION + 1):
        scaled = np.asarray(values, np.float64) * 2.0**fraction
        if np.array_equal(scaled, np.rint(scaled)):
            return fraction
    raise InputError(
        f"{name} has values that are no fixed-point numbers",
        "weights on a power-of-two grid",
        "give the layer kernel and bias quantizers with alpha=1",
    )
