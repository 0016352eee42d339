"""The fixed-point word: one type for every number that reaches hardware.

A word type has a sign (keep_negative), integer bits (not counting the sign), fraction bits, a rounding rule and an
overflow rule. width = keep_negative + integer + fraction. AP types: ap_fixed<width, integer + keep_negative>, as in
Vitis HLS (UG1399, "Arbitrary Precision Fixed-Point Data Types").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from codae_l1.data.base.errors import InputError, ToolError

# NumPy's letters of the kinds of real numbers, truth values included.
REAL = "buif"

# TRN: towards minus infinity. RND: half up. RND_CONV: half to even (QKeras, and hls4ml's reading of it).
Rounding = Literal["TRN", "RND", "RND_CONV"]
# SAT: clip to the range. WRAP: drop the high bits.
Overflow = Literal["SAT", "WRAP"]
# Bits of the integers that float64 holds, each of them.
_EXACT = 53


@dataclass(frozen=True)
class WordType:
    """Sign, integer bits, fraction bits, rounding, overflow.

    >>> WordType(True, 2, 1, "RND_CONV", "SAT").quantize(np.array([0.25, 0.75, 9.0, -9.0])).tolist()
    [0.0, 1.0, 3.5, -4.0]
    >>> str(WordType(False, 5, 0))
    'ap_ufixed<5,5,AP_TRN,AP_WRAP>'
    """

    keep_negative: bool
    integer: int
    fraction: int
    rounding: Rounding = "TRN"
    overflow: Overflow = "WRAP"

    def __post_init__(self):
        if self.width < 1:
            raise InputError(f"a word of {self.width} bits ({self})", "at least 1 bit", "give it more bits")

    @property
    def width(self) -> int:
        """Number of bits, including the sign."""
        return self.keep_negative + self.integer + self.fraction

    @property
    def lsb(self) -> float:
        """Value of the least significant bit."""
        return 2.0**-self.fraction

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest word."""
        return -(1 << (self.width - 1)) * self.keep_negative, (1 << (self.width - self.keep_negative)) - 1

    @staticmethod
    def array(values: Any, what: str, kinds: str = "") -> np.ndarray:
        """The values as an array; InputError for a masked one, whose mask NumPy would drop, and for numbers of others.

        what: in the message. kinds: NumPy's letters of the kinds of numbers that are taken; empty: any.
        """
        if isinstance(values, np.ma.MaskedArray):
            raise InputError(
                f"{what} in a masked array, whose mask would be ignored", "an array", "fill it: .filled(0)"
            )
        try:
            given = np.asarray(values)
        except (ValueError, TypeError) as error:
            raise InputError(f"{what} in a {type(values).__name__} ({error})", "an array", "make it one") from error
        if kinds and given.dtype.kind not in kinds:
            raise InputError(f"{what} of type {given.dtype}", "real numbers", "convert them")
        return given

    def check(self, words: np.ndarray, shape: Sequence[int], what: str, highest: int = 2**63 - 1) -> np.ndarray:
        """What an executor is given as words (N, *shape) or (N, values) -> (N, *shape) int64, values unchanged.

        Raises InputError unless they are integers up to `highest`, negative only where the type has a sign, without a
        mask. Words beyond the type's range are left for its overflow rule. what: in messages.

        >>> WordType(False, 5, 0).check(np.ones((2, 6), np.uint8), (3, 2), "counts").shape
        (2, 3, 2)
        >>> WordType(False, 5, 0).check(np.ones((2, 2, 3), np.uint8), (3, 2), "counts")
        Traceback (most recent call last):
            ...
        codae_l1.data.base.errors.InputError: counts of shape (2, 2, 3), uint8; expected integers (N, 3, 2); pool the \
events with the run's own configuration
        """
        given, remedy = self.array(words, what), "pool the events with the run's own configuration"
        if given.dtype.kind not in "iu" or tuple(given.shape[1:]) not in (tuple(shape), (prod(shape),)):
            expected = f"integers (N, {', '.join(map(str, shape))})"
            raise InputError(f"{what} of shape {given.shape}, {given.dtype}", expected, remedy)
        low = -highest - 1 if self.keep_negative else 0
        if given.size and not low <= int(given.min()) <= int(given.max()) <= highest:
            raise InputError(f"{what} from {given.min()} to {given.max()}", f"{what} from {low} to {highest}", remedy)
        return given.reshape(len(given), *shape).astype(np.int64, copy=False)

    def to_words(self, values: np.ndarray) -> np.ndarray:
        """Values of any shape -> int64 words, rounded and kept in range by the rules of the type.

        Raises InputError where a value is NaN, or infinite and not saturated, or its word has more than 64 bits: no
        word stands for it.
        """
        with np.errstate(over="ignore"):
            scaled = np.asarray(values, np.float64) * 2.0**self.fraction
        none = np.isnan(scaled) if self.overflow == "SAT" else ~np.isfinite(scaled)
        if none.any():
            raise InputError(
                f"{none.sum()} of {none.size} values that are no numbers", f"numbers for {self}", "correct them"
            )
        if self.rounding == "TRN":
            rounded = np.floor(scaled)
        elif self.rounding == "RND":
            # Not the floor of scaled + 0.5, a sum that is rounded itself.
            rounded = np.floor(scaled)
            with np.errstate(invalid="ignore"):
                rounded = rounded + (scaled - rounded >= 0.5)
        else:
            rounded = np.rint(scaled)
        low, high = self.bounds
        if self.width > _EXACT:
            return self._wide(rounded)
        if self.overflow == "SAT":
            return np.clip(rounded, low, high).astype(np.int64)
        # Of a value beyond 64 bits the part that wraps away is taken first.
        rest = np.where(np.abs(rounded) < 2.0**62, rounded, np.fmod(rounded, 2.0**self.width))
        return ((rest.astype(np.int64) - low) & ((1 << self.width) - 1)) + low

    def _wide(self, rounded: np.ndarray) -> np.ndarray:
        """Whole float64 numbers -> words in range, in Python's integers: float64 does not hold the bounds.

        >>> WordType(True, 62, 0, "RND", "SAT").to_words(np.array([1e30])).tolist() == [2**62 - 1]
        True
        """
        low, high = self.bounds
        values = [int(value) for value in np.nan_to_num(rounded).ravel()]
        if self.overflow == "SAT":
            words = [min(max(value, low), high) for value in values]
        else:
            words = [(value - low) % (1 << self.width) + low for value in values]
        if words and not -(2**63) <= min(words) <= max(words) < 2**63:
            found = max(words, key=abs)
            raise InputError(f"the word {found} of {self}", "words of at most 64 bits", "take fewer bits")
        return np.array(words, np.int64).reshape(rounded.shape)

    def from_words(self, words: np.ndarray) -> np.ndarray:
        """Integer words -> float64 values."""
        return np.asarray(words, np.float64) * self.lsb

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Values -> the nearest values of this type, float64."""
        return self.from_words(self.to_words(values))

    def __str__(self) -> str:
        sign = "" if self.keep_negative else "u"
        return f"ap_{sign}fixed<{self.width},{self.integer + self.keep_negative},AP_{self.rounding},AP_{self.overflow}>"


def exact_words(values: np.ndarray, word: WordType, executor: str) -> np.ndarray:
    """Values of any shape -> int64 words, value / LSB; words out of the type's range stay as they are.

    Nothing is rounded and nothing is clipped: a comparison with == is only as good as its input, and
    `WordType.to_words` would hide a value that is off by 0.4 LSB. Raises ToolError, which names the executor, if a
    value lies between two words, is not finite or is beyond words of 64 bits.

    >>> exact_words(np.array([0.5, -1.0, 9.5]), WordType(True, 2, 1), "hls").tolist()
    [1, -2, 19]
    """
    scaled = np.asarray(values, np.float64) / word.lsb
    off = ~(np.abs(scaled) < 2.0**63) | (scaled != np.rint(scaled))
    if off.any():
        first = float(np.asarray(values, np.float64)[off].flat[0])
        raise ToolError(
            f"executor {executor} gave {int(off.sum())} of {off.size} outputs off the grid of {word} (first {first:g})",
            f"multiples of {word.lsb:g}",
            "make its folder again, and report it if that does not help: its last layer does not round as the model's",
        )
    return scaled.astype(np.int64)
