"""A firmware model as plain records: one per layer (hls/layers/), weights as quantized.

They come from a QKeras model, or from the words in its f_m.npz, without Keras. This module and the readers of the
layers are the only places in `hls/` that read Keras layers.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import (
    Activation,
    Conv,
    Dense,
    Flatten,
    Interval,
    Layer,
    Quantizer,
    Square,
    reader,
    unread,
    windows_after,
)
from codae_l1.quantization.f_m.config import FirmwareConfig, input_word, output_word
from codae_l1.quantization.f_m.network import FirmwareModel

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """Input word and shape, then the layers in order; the score word is sign * output word[component]."""

    input_name: str
    input_word: WordType
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...] = field(default_factory=tuple)
    sign: int = 1
    component: int = 0


def read_network(model: Any, input_word: WordType) -> Network:
    """Read a QKeras model (one input, one chain of layers, one output); unknown layers raise InputError.

    The model's input holds values of `input_word`, any shape without the batch axis.
    """
    interval = _interval(input_word)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"a model of {len(model.inputs)} inputs and {len(model.outputs)} outputs", "one of each", "split the model"
        )
    name, shape, layers, before = "input", tuple(model.input_shape[1:]), [], None
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            name = layer.name
        else:
            kind = reader(layer)
            if layer.input is not before:
                raise InputError(
                    f"layer {layer.name} does not read the layer before it",
                    "one chain of layers, without branches",
                    "build the firmware model as a chain",
                )
            kind.check(layer)
            layers.append(kind.read(layer, [interval]))
            window = getattr(layer, "pool_size", getattr(layer, "kernel_size", ()))
            if len(window) == 2:
                _say_unread(layer.name, layer.input.shape[1:], window, layer.strides)
            interval = layers[-1].interval
        before = layer.output
    return Network(name, input_word, shape, tuple(layers))


def _interval(word: WordType) -> Interval:
    low, high = word.bounds
    return Interval(low * word.lsb, high * word.lsb, word.lsb)


def _say_unread(name: str, shape: tuple[int, ...], window: Sequence[int], strides: Sequence[int]) -> None:
    """Log how many cells (rows, columns, ...) no window of a layer reads: what lies in there changes no word."""
    if left := unread(shape, window, strides):
        sides = " by ".join(" x ".join(map(str, pair)) for pair in (window, strides))
        _LOG.warning(f"layer {name} of {sides} never reads {left} of {shape[0] * shape[1]} cells")


def _stored_network(path: Path) -> tuple[Network, WordType]:
    """`firmware_network` of a file."""
    config, words, sign, component = FirmwareModel.stored(path)
    given, shape, layers = input_word(config), config.input_shape, []
    interval = _interval(given)
    for index, name in enumerate(config.layers):
        types = config.layer_precision(name).weight_types(name)
        kernel, bias = (word.from_words(words[key]) for key, word in types.items())
        if index < len(config.conv):
            strides = tuple(config.conv[index].stride)
            _say_unread(name, shape, kernel.shape[:2], strides)
            inside = windows_after(shape, kernel.shape[:2], strides)
            # Its configuration has rows and columns.
            assert inside is not None
            shape = (*inside, kernel.shape[-1])
            layers.append(Conv.summing(name, shape, interval, kernel, bias, strides=strides))
        else:
            if len(shape) > 1:
                shape = (prod(shape),)
                layers.append(Flatten("flatten", shape, interval))
            shape = kernel.shape[1:]
            layers.append(Dense.summing(name, shape, interval, kernel, bias))
        layers += _rounded(config, name, shape)
        interval = layers[-1].interval
    return Network("counts", given, config.input_shape, tuple(layers), sign, component), output_word(config)


def _rounded(config: FirmwareConfig, name: str, shape: tuple[int, ...]) -> list[Layer]:
    """What stands behind a layer's sums: its ReLU or its word, and the square of a distance."""
    precision, signed = config.layer_precision(name), name in ("output", config.squared)
    quantizer = Quantizer(not signed, precision.output_word if signed else precision.relu_word)
    low, high = quantizer.bounds
    interval = Interval(low, high, quantizer.word.lsb)
    layers: list[Layer] = [Activation(config.activation(name), shape, interval, quantizer=quantizer)]
    if name == config.squared:
        layers.append(Square.of(f"{name}_square", shape, interval))
    return layers


def firmware_network(firmware: FirmwareModel | Path) -> tuple[Network, WordType]:
    """FirmwareModel -> its records with the orientation of its score, and its output word.

    Of its file the words alone give the same records, without Keras.
    """
    if not isinstance(firmware, FirmwareModel):
        return _stored_network(firmware)
    network = read_network(firmware.model, input_word(firmware.config))
    oriented = replace(network, sign=firmware.sign, component=firmware.component)
    return oriented, output_word(firmware.config)


def check_chain(network: Network) -> None:
    """Raise InputError unless each layer's shape follows from the one before it: no branch, no padding.

    Records of the whole encoders (hls/hls4ml/encoders.py) have both; the tracer and the emulator would read them
    otherwise.
    """
    shape = tuple(network.input_shape)
    for layer in network.layers:
        expected = layer.shape_after(shape)
        if expected is None or tuple(layer.shape) != expected:
            raise InputError(
                f"layer {layer.name} ({layer.kind}) of shape {tuple(layer.shape)} behind values of shape {shape}",
                "a chain of layers without branches or padding",
                "take hls4ml, or another network",
            )
        shape = expected
