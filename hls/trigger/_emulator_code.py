"""A firmware network as C++: one struct a layer (weights, offsets, shifts) and the calls that run them in order.

Words are integers with a fraction; the largest magnitude that a layer can reach, partial sums included, decides its
integer type: int16 where it fits, since the vector instructions then take the most events at once.
"""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log2, prod
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.data.calorimeter import CHANNELS, N_CHANNELS, N_ETA, N_PHI
from codae_l1.data.pooling import INPUTS, TOWER_LSB_GEV, PoolingConfig
from codae_l1.hls.network.records import Layer, Network, check_chain

# Folder of the fixed part of the code; @NAMES@ are filled in.
TEMPLATES = Path(__file__).parents[1] / "cpp"
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


def network_code(network: Network, output_word: WordType) -> tuple[str, dict[str, int]]:
    """(constants, layers and calls of the network, {layer name: fraction bits of its words})."""
    check_chain(network)
    low, high = network.input_word.bounds
    words = Stored("input", network.input_shape, network.input_word.fraction, max(-low, high))
    structs, buffers, calls, copies, fractions = [], [_buffer(words, network.input_name)], [], [], {}
    for index, layer in enumerate(network.layers):
        if layer.kind == "flatten":
            words = replace(words, shape=layer.shape)
        else:
            code = _EMITTERS[layer.kind](layer, words)
            out = replace(code.out, variable=f"layer{index}", shape=layer.shape)
            structs.append(_struct(f"Layer{index}", layer.name, code.constants))
            buffers.append(_buffer(out, layer.name))
            calls.append(f"{code.function}<Layer{index}, B>(b.{words.variable}, b.{out.variable});")
            words = out
        copies.append(f"for (auto word : b.{words.variable}) *out++ = word;  // {layer.name}")
        fractions[layer.name] = words.fraction
    body = ["template <int B>", "struct Buffers {", *_indented(buffers), "};", ""]
    body += ["template <int B>", "void run(Buffers<B> &b) {", *_indented(calls), "}", ""]
    body += [
        "std::int64_t *trace(const Buffers<1> &b, std::int64_t *out) {",
        *_indented([*copies, "return out;"]),
        "}",
        "",
    ]
    return "\n".join((*_head(network, output_word, words), *structs, *body, *_output(words))), fractions


def _head(network: Network, output_word: WordType, last: Stored) -> list[str]:
    low, high = network.input_word.bounds
    shift = output_word.fraction - last.fraction
    if shift < 0:
        raise InputError(
            f"an output of {last.fraction} fraction bits",
            f"at most those of the output word {output_word}",
            "end the model with a QActivation of the output word",
        )
    return [
        f"using Input = {c_type(max(-low, high), network.input_name)};",
        f"constexpr std::int64_t output_scale = {1 << shift};",
        "",
    ]


def _output(last: Stored) -> list[str]:
    signature = f"const {last.type} *output(const Buffers<B> &b) {{ return b.{last.variable}; }}"
    return ["template <int B>", signature]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _buffer(words: Stored, name: str) -> str:
    return (
        f"{words.type} {words.variable}[{prod(words.shape)} * B];  // {name} {words.shape}, {words.fraction} fraction"
    )


def _struct(title: str, name: str, constants: Sequence[str]) -> str:
    return "\n".join((f"struct {title} {{  // {name}", *_indented(constants), "};", ""))


def _numbers(kind: str, name: str, values: Any) -> str:
    """An array as a constant, wrapped."""
    flat = [int(v) for v in np.asarray(values).ravel()]
    lines = textwrap.wrap(", ".join(map(str, flat)), 100)
    text = ("\n        " if len(lines) > 1 else "") + "\n        ".join(lines)
    return f"static constexpr {kind} {name}[{len(flat)}] = {{{text}}};"


def _sizes(**values: int) -> str:
    return "static constexpr int " + ", ".join(f"{k} = {v}" for k, v in values.items()) + ";"


def _words(values: np.ndarray, fraction: int) -> list[Any]:
    """Values on the grid 2**-fraction -> integers of any size."""
    return [[int(v) for v in row] for row in np.atleast_2d(np.asarray(values, np.float64) * 2.0**fraction)]


def _window(shape: tuple[int, ...], kernel: Sequence[int], strides: Sequence[int]) -> tuple[dict[str, int], np.ndarray]:
    """Steps between windows, and offsets (kernel rows, columns, channels) in a window from its first value."""
    _, columns, channels = shape
    rows, width = (np.arange(n) for n in kernel)
    offsets = (rows[:, None, None] * columns + width[:, None]) * channels + np.arange(channels)
    return {"row_step": strides[0] * columns * channels, "column_step": strides[1] * channels}, offsets


def _weighted(layer: Layer, words: Stored) -> Code:
    assert layer.kernel is not None
    assert layer.bias is not None
    fraction = -int(log2(layer.interval.step))
    kernel = _words(layer.kernel.reshape(-1, layer.kernel.shape[-1]), fraction - words.fraction)
    bias = _words(layer.bias, fraction)[0]
    if layer.kind == "conv":
        steps, offsets = _window(words.shape, layer.kernel.shape[:2], layer.strides)
        sizes = {"rows": layer.shape[0], "columns": layer.shape[1], **steps}
    else:
        sizes = {"rows": 1, "columns": 1, "row_step": 0, "column_step": 0}
        offsets = np.arange(len(kernel))
    groups: dict[tuple[int, ...], list[int]] = {}
    for offset, row in zip(offsets.ravel(), kernel, strict=True):
        if any(row):
            groups.setdefault(tuple(row), []).append(int(offset))
    # An array has at least one element in C++.
    groups = groups or {(0,) * len(bias): [0]}
    members, rows = list(groups.values()), list(groups)
    part = words.largest * max(map(len, members))
    sums = [abs(b) for b in bias]
    for row, member in zip(rows, members, strict=True):
        sums = [s + abs(w) * len(member) * words.largest for s, w in zip(sums, row, strict=True)]
    out = Stored(layer.name, layer.shape, fraction, max(*sums, max(abs(w) for row in rows for w in row)))
    weight = c_type(max(abs(w) for row in rows for w in row), layer.name)
    constants = (
        f"using Part = {c_type(part, layer.name)};",
        f"using Weight = {weight};",
        _sizes(**sizes, groups=len(rows), outputs=len(bias)),
        _numbers("int", "starts", np.cumsum([0, *map(len, members)])),
        _numbers("int", "offsets", [offset for member in members for offset in member]),
        _numbers("Weight", "weights", list(zip(*rows, strict=True))),
        _numbers(out.type, "bias", bias),
    )
    return Code(constants, "weighted", out)


def _activation(layer: Layer, words: Stored) -> Code:
    assert layer.quantizer is not None
    quantizer = layer.quantizer
    shift = words.fraction - quantizer.word.fraction
    leaky = bool(quantizer.negative_slope)
    below = shift - int(log2(quantizer.negative_slope)) if leaky else shift
    low, high = (int(bound / quantizer.word.lsb) for bound in quantizer.bounds)
    # Rounding adds up to half a step; a negative shift makes words longer.
    largest = max(words.largest + (1 << max(shift, below, 0)), words.largest << max(-shift, 0), -low, high)
    wraps = quantizer.word.overflow == "WRAP"
    largest = max(largest, (1 << quantizer.word.width) - 1 if wraps else 0)
    constants = (
        f"using Work = {c_type(largest, layer.name)};",
        _sizes(size=prod(layer.shape), shift=shift, negative_shift=below),
        f"static constexpr Rounding rounding = Rounding::{quantizer.word.rounding};",
        f"static constexpr bool leaky = {str(leaky).lower()}, wraps = {str(wraps).lower()};",
        f"static constexpr bool relu = {str(quantizer.relu and not leaky).lower()};",
        f"static constexpr Work low = {low}, high = {high};",
    )
    return Code(constants, "quantize", Stored(layer.name, layer.shape, quantizer.word.fraction, max(-low, high)))


def _relu(layer: Layer, words: Stored) -> Code:
    return Code((_sizes(size=prod(layer.shape)),), "relu", words)


def _pool(layer: Layer, words: Stored) -> Code:
    steps, offsets = _window(words.shape, layer.pool, layer.pool)
    size, average = prod(layer.pool), layer.kind == "average_pool"
    rows, columns, channels = layer.shape
    constants = (
        _sizes(rows=rows, columns=columns, channels=channels, window=size, **steps),
        _numbers("int", "offsets", offsets[..., 0]),
        f"static constexpr bool average = {str(average).lower()};",
    )
    extra = int(log2(size)) if average else 0
    return Code(constants, "pool", Stored(layer.name, layer.shape, words.fraction + extra, words.largest << extra))


_EMITTERS: dict[str, Callable[[Layer, Stored], Code]] = {
    "conv": _weighted,
    "dense": _weighted,
    "activation": _activation,
    "relu": _relu,
    "max_pool": _pool,
    "average_pool": _pool,
}


def pooling_values(pooling: PoolingConfig) -> dict[str, Any]:
    """@NAME@ -> value of the pooling's templates."""
    energy = [name != "tracks" for name in pooling.inputs]
    return {
        "ROWS": N_PHI,
        "COLUMNS": N_ETA,
        "IMAGE": ", ".join(CHANNELS),
        "IMAGE_CHANNELS": N_CHANNELS,
        "POOLED": ", ".join(pooling.inputs),
        "CHANNELS": len(pooling.inputs),
        "TOWER_LSB": TOWER_LSB_GEV,
        "SIDE": pooling.pool,
        "MARGIN": pooling.padding // 2,
        "CHANNEL": ", ".join(str(INPUTS[name]) for name in pooling.inputs),
        "ENERGY": ", ".join(str(e).lower() for e in energy),
        "SHIFT": pooling.energy_shift,
    }
