"""The C++ of one layer: a struct of constants and the function template of cpp/layers.h that reads them.

Words are integers with a fraction; the largest magnitude that a layer can reach, partial sums included, decides its
integer type: int16 where it fits, since the vector instructions then take the most events at once.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError

# Bits of the magnitude -> type.
_TYPES = {15: "std::int16_t", 31: "std::int32_t", 62: "std::int64_t"}


@dataclass(frozen=True)
class Stored:
    """Words between two layers: shape (rows, columns, channels) or (values,), fraction bits, largest magnitude."""

    variable: str
    shape: tuple[int, ...]
    fraction: int
    largest: int

    @property
    def type(self) -> str:
        """The C++ type that holds them."""
        return c_type(self.largest, self.variable)


@dataclass(frozen=True)
class Code:
    """What a layer adds: constants of its struct, the function it calls, the words it gives."""

    constants: tuple[str, ...]
    function: str
    out: Stored


def c_type(largest: int, where: str) -> str:
    """The smallest integer type that holds -largest to largest.

    >>> c_type(40_000, "conv1")
    'std::int32_t'
    """
    for bits, name in _TYPES.items():
        if largest < 1 << bits:
            return name
    raise InputError(
        f"layer {where} reaches words of {largest.bit_length() + 1} bits", "at most 63 bits", "take narrower words"
    )


def numbers(kind: str, name: str, values: Any) -> str:
    """An array as a constant, wrapped."""
    flat = [int(v) for v in np.asarray(values).ravel()]
    lines = textwrap.wrap(", ".join(map(str, flat)), 100)
    text = ("\n        " if len(lines) > 1 else "") + "\n        ".join(lines)
    return f"static constexpr {kind} {name}[{len(flat)}] = {{{text}}};"


def sizes(**values: int) -> str:
    """Integer constants in one line."""
    return "static constexpr int " + ", ".join(f"{k} = {v}" for k, v in values.items()) + ";"


def window(shape: tuple[int, ...], kernel: Sequence[int], strides: Sequence[int]) -> tuple[dict[str, int], np.ndarray]:
    """Steps between windows, and offsets (kernel rows, columns, channels) in a window from its first value."""
    _, columns, channels = shape
    rows, width = (np.arange(n) for n in kernel)
    offsets = (rows[:, None, None] * columns + width[:, None]) * channels + np.arange(channels)
    return {"row_step": strides[0] * columns * channels, "column_step": strides[1] * channels}, offsets


def weighted(
    name: str,
    kernel: np.ndarray,
    bias: np.ndarray,
    words: Stored,
    step: float,
    place: tuple[dict[str, int], np.ndarray],
    shape: tuple[int, ...],
) -> Code:
    """Weighted sums of windows of words, on the grid `step`.

    kernel (values of a window, outputs) and bias (outputs,), both as values; place: constants that say where windows
    begin, and the offset of each value in a window. Inputs of a window with the same weights to all outputs are added
    first, as one group.
    """
    fraction = -int(log2(step))
    rows_of_weights = _words(kernel, fraction - words.fraction)
    biases = _words(bias, fraction)[0]
    constants, offsets = place
    groups: dict[tuple[int, ...], list[int]] = {}
    for offset, row in zip(offsets.ravel(), rows_of_weights, strict=True):
        if any(row):
            groups.setdefault(tuple(row), []).append(int(offset))
    # An array has at least one element in C++.
    groups = groups or {(0,) * len(biases): [0]}
    members, rows = list(groups.values()), list(groups)
    sums = [abs(b) for b in biases]
    for row, member in zip(rows, members, strict=True):
        sums = [s + abs(w) * len(member) * words.largest for s, w in zip(sums, row, strict=True)]
    heaviest = max(abs(w) for row in rows for w in row)
    out = Stored(name, shape, fraction, max(*sums, heaviest))
    lines = (
        f"using Part = {c_type(words.largest * max(map(len, members)), name)};",
        f"using Weight = {c_type(heaviest, name)};",
        sizes(**constants, groups=len(rows), outputs=len(biases)),
        numbers("int", "starts", np.cumsum([0, *map(len, members)])),
        numbers("int", "offsets", [offset for member in members for offset in member]),
        numbers("Weight", "weights", list(zip(*rows, strict=True))),
        numbers(out.type, "bias", biases),
    )
    return Code(lines, "weighted", out)


def _words(values: np.ndarray, fraction: int) -> list[Any]:
    """Values on the grid 2**-fraction -> integers of any size."""
    return [[int(v) for v in row] for row in np.atleast_2d(np.asarray(values, np.float64) * 2.0**fraction)]
