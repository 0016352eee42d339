"""A QKeras firmware model as plain records: one per layer, weights as quantized, every output with its exact interval.

This is the only place of `hls/` that reads QKeras layers. The interval of a layer is the smallest [low, high] on the
grid `step` that holds every value it can give for any input word: for a weighted sum,
low = sum_i min(w_i low_in, w_i high_in) + b, and high likewise.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.quantization.f_m.precision import EXACT_LSBS

Kind = Literal["conv", "dense", "activation", "flatten", "max_pool", "average_pool", "relu", "add"]

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
class Layer:
    """One layer: what it computes, its weights as quantized (float64), its output's shape and interval."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    interval: Interval
    kernel: np.ndarray | None = None  # conv (kh, kw, in, out), dense (in, out)
    bias: np.ndarray | None = None  # (out,)
    strides: tuple[int, int] = (1, 1)
    pool: tuple[int, int] = (1, 1)
    quantizer: Quantizer | None = None


@dataclass(frozen=True)
class Network:
    """Input word and shape, then the layers in order."""

    input_name: str
    input_word: WordType
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...] = field(default_factory=tuple)


def read_network(model: Any, input_word: WordType) -> Network:
    """Read a QKeras model (one input, one chain of layers, one output); unknown layers raise InputError.

    The model's input holds values of `input_word`, any shape without the batch axis.
    """
    low, high = input_word.bounds
    interval = Interval(low * input_word.lsb, high * input_word.lsb, input_word.lsb)
    _check_chain(model)
    name, shape, layers = "input", tuple(model.input_shape[1:]), []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            name = layer.name
            continue
        if kind not in _READERS:
            raise InputError(
                f"layer {layer.name} is a {kind}", f"one of {', '.join(_READERS)}", "build the firmware model of these"
            )
        record = _READERS[kind](layer, interval)
        layers.append(record)
        interval = record.interval
    return Network(name, input_word, shape, tuple(layers))


def check_chain(network: Network) -> None:
    """Raise InputError unless each layer's shape follows from the one before it: no branch, no padding.

    Records of the whole encoders (hls/hls4ml/encoders.py) have both; the tracer and the emulator would read them otherwise.
    """
    shape = tuple(network.input_shape)
    for layer in network.layers:
        expected = _shape_after(layer, shape)
        if expected is None or tuple(layer.shape) != expected:
            raise InputError(
                f"layer {layer.name} ({layer.kind}) of shape {tuple(layer.shape)} behind values of shape {shape}",
                "a chain of layers without branches or padding",
                "take hls4ml, or another network",
            )
        shape = expected


def _shape_after(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Shape that a layer gives of values of a shape; None where it cannot take them."""
    if layer.kind in ("activation", "relu"):
        return shape
    if layer.kind == "flatten":
        return (prod(shape),)
    kernel = layer.kernel
    if layer.kind == "dense" and kernel is not None:
        return kernel.shape[1:] if kernel.shape[:1] == shape else None
    if layer.kind in ("conv", "max_pool", "average_pool") and len(shape) == 3:
        window, steps = (layer.pool, layer.pool) if kernel is None else (kernel.shape[:2], layer.strides)
        rows, columns = ((n - k) // s + 1 for n, k, s in zip(shape, window, steps, strict=False))
        if kernel is None:
            return rows, columns, shape[2]
        return (rows, columns, kernel.shape[3]) if kernel.shape[2] == shape[2] else None
    return None


def _check_chain(model: Any) -> None:
    """Raise InputError unless every layer reads the one before it and the last one is the only output."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"a model of {len(model.inputs)} inputs and {len(model.outputs)} outputs", "one of each", "split the model"
        )
    before = None
    for layer in model.layers:
        kind = type(layer).__name__
        if kind != "InputLayer" and kind in _READERS and layer.input is not before:
            raise InputError(
                f"layer {layer.name} does not read the layer before it",
                "one chain of layers, without branches",
                "build the firmware model as a chain",
            )
        before = layer.output


def dyadic_fraction(values: np.ndarray, name: str) -> int:
    """Fewest fraction bits that hold every value exactly.

    >>> dyadic_fraction(np.array([0.5, -1.25, 0.0]), "w")
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


def weighted(layer: Any, interval: Interval, kind: Kind, **fields: Any) -> Layer:
    """A convolution or dense layer on inputs of an interval; padding with zeros stays inside where that holds zero."""
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
    flat = kernel.reshape(-1, kernel.shape[-1])
    low = (np.minimum(flat * interval.low, flat * interval.high).sum(0) + bias).min()
    high = (np.maximum(flat * interval.low, flat * interval.high).sum(0) + bias).max()
    product = interval.step * 2.0 ** -dyadic_fraction(kernel, f"{layer.name}.kernel")
    step = min(product, 2.0 ** -dyadic_fraction(bias, f"{layer.name}.bias")) if bias.any() else product
    largest = (np.abs(flat).sum(0) * max(-interval.low, interval.high) + np.abs(bias)).max() / step
    if largest >= EXACT_LSBS:
        raise InputError(
            f"layer {layer.name} has sums of up to {largest:.0f} LSB",
            f"fewer than {EXACT_LSBS}, what QKeras adds exactly in float32",
            "take fewer bits of weights, bias or inputs",
        )
    shape = tuple(layer.output.shape[1:])
    return Layer(layer.name, kind, shape, Interval(low, high, step), kernel=kernel, bias=bias, **fields)


def _conv(layer: Any, interval: Interval) -> Layer:
    plain = layer.padding == "valid" and tuple(layer.dilation_rate) == (1, 1) and layer.groups == 1
    if not plain or layer.data_format != "channels_last":
        raise InputError(
            f"layer {layer.name} has padding {layer.padding!r}, dilation {layer.dilation_rate}, groups {layer.groups}",
            "padding 'valid', no dilation, one group, channels last",
            "pad the input instead",
        )
    return weighted(layer, interval, "conv", strides=tuple(layer.strides))


def _dense(layer: Any, interval: Interval) -> Layer:
    if len(layer.input.shape) != 2:
        raise InputError(
            f"dense layer {layer.name} reads values of shape {tuple(layer.input.shape[1:])}",
            "a flat list of values",
            "put a Flatten before it",
        )
    return weighted(layer, interval, "dense")


def _flatten(layer: Any, interval: Interval) -> Layer:
    _check_channels_last(layer)
    return Layer(layer.name, "flatten", tuple(layer.output.shape[1:]), interval)


def _check_channels_last(layer: Any) -> None:
    if layer.data_format != "channels_last":
        raise InputError(f"layer {layer.name} has {layer.data_format}", "channels_last", "build the model with it")


def _pool(layer: Any, interval: Interval) -> Layer:
    _check_channels_last(layer)
    pool, average = tuple(layer.pool_size), "Average" in type(layer).__name__
    size = pool[0] * pool[1]
    if layer.padding != "valid" or tuple(layer.strides) != pool or (average and size & (size - 1)):
        raise InputError(
            f"layer {layer.name} pools {pool} by {layer.strides}, padding {layer.padding!r}",
            "windows that do not overlap, 'valid', of 2**n elements where averaged",
            "choose such a window",
        )
    if average:
        interval = Interval(interval.low, interval.high, interval.step / size)
    kind: Kind = "average_pool" if average else "max_pool"
    return Layer(layer.name, kind, tuple(layer.output.shape[1:]), interval, pool=pool)


def _relu(layer: Any, interval: Interval) -> Layer:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise InputError(f"layer {layer.name} is a bounded or leaky ReLU", "a plain ReLU", "use QActivation instead")
    clipped = Interval(max(interval.low, 0.0), max(interval.high, 0.0), interval.step)
    return Layer(layer.name, "relu", tuple(layer.output.shape[1:]), clipped)


def _activation(layer: Any, interval: Interval) -> Layer:
    quantizer = read_quantizer(layer.activation, layer.name)
    low, high = quantizer.bounds
    shape = tuple(layer.output.shape[1:])
    return Layer(layer.name, "activation", shape, Interval(low, high, quantizer.word.lsb), quantizer=quantizer)


def read_quantizer(activation: Any, name: str) -> Quantizer:
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


_READERS = {
    "QConv2D": _conv,
    "QDense": _dense,
    "QActivation": _activation,
    "Flatten": _flatten,
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "ReLU": _relu,
}
