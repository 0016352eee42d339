"""A QKeras firmware model as plain records: one per layer (hls/layers/), weights as quantized.

This module and the readers of the layers are the only places in `hls/` that read Keras layers.
"""

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import Interval, Layer, reader, unread
from codae_l1.quantization.f_m.config import input_word, output_word

if TYPE_CHECKING:
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
    low, high = input_word.bounds
    interval = Interval(low * input_word.lsb, high * input_word.lsb, input_word.lsb)
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
            _say_unread(layer)
            interval = layers[-1].interval
        before = layer.output
    return Network(name, input_word, shape, tuple(layers))


def _say_unread(layer: Any) -> None:
    """Log how many cells no window of a Keras layer reads, as in Keras: what lies in there changes no word."""
    window = getattr(layer, "pool_size", getattr(layer, "kernel_size", ()))
    if len(window) == 2 and (left := unread(layer.input.shape[1:], window, layer.strides)):
        rows, columns = layer.input.shape[1:3]
        sides = " by ".join(" x ".join(map(str, pair)) for pair in (window, layer.strides))
        _LOG.warning(f"layer {layer.name} of {sides} never reads {left} of {rows * columns} cells")


def firmware_network(firmware: "FirmwareModel") -> tuple[Network, WordType]:
    """FirmwareModel -> its records with the orientation of its score, and its output word."""
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
