"""A trigger network as C++: one struct per layer (each kind's `emit`, hls/layers/) and the calls that run them."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.data.calorimeter import CHANNELS, N_CHANNELS, N_ETA, N_PHI
from codae_l1.data.pooling import INPUTS, TOWER_LSB_GEV, PoolingConfig
from codae_l1.hls.layers import Stored, c_type
from codae_l1.hls.network.records import Network, check_chain

# Folder of the fixed part of the code; @NAMES@ are filled in.
TEMPLATES = Path(__file__).parents[1] / "cpp"


def network_code(network: Network, output_word: WordType) -> tuple[str, dict[str, int]]:
    """(constants, layers and calls of the network, {layer name: fraction bits of its words})."""
    check_chain(network)
    low, high = network.input_word.bounds
    words = Stored("input", network.input_shape, network.input_word.fraction, max(-low, high))
    structs, buffers, calls, copies, fractions = [], [_buffer(words, network.input_name)], [], [], {}
    for index, layer in enumerate(network.layers):
        code = layer.emit(words)
        if code is None:
            words = replace(words, shape=layer.shape)
        else:
            out = replace(code.out, variable=f"layer{index}", shape=layer.shape)
            structs.append(_struct(f"Layer{index}", layer.name, code.constants))
            buffers.append(_buffer(out, layer.name))
            calls.append(f"{code.function}<Layer{index}, B>(b.{words.variable}, b.{out.variable});")
            words = out
        copies.append(f"for (auto word : b.{words.variable}) *out++ = word;  // {layer.name}")
        fractions[layer.name] = words.fraction
    body = ["template <int B>", "struct Buffers {", *_indented(buffers), "};", ""]
    body += ["template <int B>", "@GUARD@_INLINE void run(Buffers<B> &b) {", *_indented(calls), "}", ""]
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
