"""QActivation: a ReLU, a rounding and an overflow rule onto a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import Any, Self

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import _adders, _cpp
from codae_l1.hls.layers._cpp import Code, Stored
from codae_l1.hls.layers._shapes import output_shape
from codae_l1.hls.layers.base import Interval, Layer


@dataclass(frozen=True)
class Quantizer:
    """Rounding onto `word`, then its overflow rule; a QActivation always rounds half to even and saturates.

    relu: max(x, 0) comes first; a negative_slope, a power of two, keeps slope x below zero, the word then being signed.
    symmetric: the lowest word is left out. Words that round or overflow in another way (TRN, RND; WRAP) cannot be said
    in QKeras; they are for networks whose records are written by hand.
    """

    relu: bool
    word: WordType
    negative_slope: float = 0.0
    symmetric: bool = False

    def __post_init__(self):
        if (self.negative_slope or self.symmetric) and (self.word.rounding, self.word.overflow) != ("RND_CONV", "SAT"):
            raise InputError(
                f"a leaky or symmetric quantizer onto {self.word}",
                "rounding RND_CONV and overflow SAT, as QKeras has them",
                "take such a word, or a plain ReLU",
            )

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Values of any shape -> what leaves the quantizer, float64: the definition that every executor must meet.

        >>> Quantizer(True, WordType(False, 2, 0, "TRN", "WRAP")).quantize(np.array([-1.5, 1.5, 5.0])).tolist()
        [0.0, 1.0, 1.0]
        """
        values = np.asarray(values, np.float64)
        if self.relu:
            values = np.where(values < 0, values * self.negative_slope, values)
        if self.word.overflow == "WRAP":
            return self.word.quantize(values)
        return np.clip(self.rounded(values), *self.bounds)

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Values (behind the ReLU) -> the grid of the word, no overflow rule applied, float64."""
        wide = WordType(True, 40, self.word.fraction, self.word.rounding, "SAT")
        return wide.quantize(values)

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value given."""
        low, high = self.word.bounds
        low += int(self.symmetric and self.word.keep_negative)
        if self.relu and self.word.overflow == "SAT":
            low = -int(self.negative_slope * (high + 1))
        return low * self.word.lsb, high * self.word.lsb


@dataclass(frozen=True)
class Activation(Layer):
    """Each value through a quantizer."""

    kind = "activation"
    keras_names = ("QActivation",)
    inputs = 1
    hls4ml_class = "Activation"
    own_word = True
    passing = False
    pixelwise = False

    quantizer: Quantizer

    @classmethod
    def check(cls, layer: Any) -> None:
        """Raise InputError where the quantizer has no exact hardware twin."""
        _read_quantizer(layer.activation, layer.name)

    @classmethod
    def read(cls, layer: Any, before: Sequence[Interval]) -> Self:
        """QActivation -> its record."""
        quantizer = _read_quantizer(layer.activation, layer.name)
        low, high = quantizer.bounds
        return cls(layer.name, output_shape(layer), Interval(low, high, quantizer.word.lsb), quantizer=quantizer)

    @property
    def word(self) -> WordType:
        """The quantizer's word."""
        return self.quantizer.word

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The same shape."""
        return shape

    def trace(self, value: Any) -> Any:
        """Each value through the quantizer's circuit."""
        return _adders.each(value, lambda v: _adders.quantize_exactly(v, self.quantizer))

    def emit(self, words: Stored) -> Code:
        """Shift, round, clip or wrap."""
        quantizer = self.quantizer
        shift = words.fraction - quantizer.word.fraction
        leaky = bool(quantizer.negative_slope)
        below = shift - int(log2(quantizer.negative_slope)) if leaky else shift
        low, high = (int(bound / quantizer.word.lsb) for bound in quantizer.bounds)
        # Rounding adds up to half a step; a negative shift makes words longer.
        largest = max(words.largest + (1 << max(shift, below, 0)), words.largest << max(-shift, 0), -low, high)
        wraps = quantizer.word.overflow == "WRAP"
        largest = max(largest, (1 << quantizer.word.width) - 1 if wraps else 0)
        constants = (
            f"using Work = {_cpp.c_type(largest, self.name)};",
            _cpp.sizes(size=prod(self.shape), shift=shift, negative_shift=below),
            f"static constexpr Rounding rounding = Rounding::{quantizer.word.rounding};",
            f"static constexpr bool leaky = {str(leaky).lower()}, wraps = {str(wraps).lower()};",
            f"static constexpr bool relu = {str(quantizer.relu and not leaky).lower()};",
            f"static constexpr Work low = {low}, high = {high};",
        )
        return Code(constants, "quantize", Stored(self.name, self.shape, quantizer.word.fraction, max(-low, high)))


def _read_quantizer(activation: Any, name: str) -> Quantizer:
    """quantized_relu or quantized_bits of QKeras -> Quantizer; what has no exact hardware twin raises InputError."""
    kind = type(activation).__name__
    remedy = "use quantized_relu(bits, integer) or quantized_bits(bits, integer, alpha=1)"
    if kind not in ("quantized_relu", "quantized_bits"):
        raise InputError(f"layer {name} has quantizer {kind}", "quantized_relu or quantized_bits", remedy)
    if activation.use_stochastic_rounding or activation.qnoise_factor != 1.0:
        raise InputError(f"layer {name} rounds stochastically or adds noise", "deterministic rounding", remedy)
    bits, integer = int(activation.bits), int(activation.integer)
    if kind == "quantized_bits":
        negative = bool(activation.keep_negative)
        if activation.alpha not in (None, 1, 1.0) or bits - negative < 1:
            raise InputError(f"layer {name} has alpha {activation.alpha}, {bits} bits", "alpha=1, 2 bits", remedy)
        word = WordType(negative, integer, bits - negative - integer, "RND_CONV", "SAT")
        return Quantizer(False, word, symmetric=bool(activation.symmetric))
    slope = float(activation.negative_slope)
    if activation.use_sigmoid or activation.relu_upper_bound is not None or not activation.is_quantized_clip:
        raise InputError(f"layer {name} has a sigmoid or an upper bound", "a relu clipped by its word", remedy)
    word = WordType(slope != 0, integer, bits - (slope != 0) - integer, "RND_CONV", "SAT")
    if slope and slope * 2 ** (word.integer + word.fraction) < 1:
        raise InputError(f"layer {name} has slope {slope}", "a slope that its word can show", "give it more bits")
    return Quantizer(True, word, negative_slope=slope)
