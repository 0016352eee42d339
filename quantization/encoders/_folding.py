"""A trained float encoder turned into firmware layers, and the word types that fit it.

BatchNorm folds into the convolution before it without loss: y = (w x + b - mean) s + shift, s = scale / sqrt(variance +
eps), so w' = w s, b' = (b - mean) s + shift. InstanceNorm uses the mean and variance of each event; they are replaced
by their averages over QCD events, measured layer after layer in the new encoder itself. A kernel of g groups becomes
one of a single group with zeros off its g blocks: the same function.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.quantization._calibration import WEIGHT_MARGIN, integer_bits
from codae_l1.quantization.encoders._words import check_masks, input_name, output_word, weighted
from codae_l1.quantization.encoders.config import BATCH, HEADS, EncoderConfig, Part
from codae_l1.quantization.encoders.network import build_encoder
from codae_l1.quantization.f_m.precision import LayerPrecision

if TYPE_CHECKING:
    import keras

    from codae_l1.models.codae.model import CoDAE


def fold(
    kernel: np.ndarray,
    bias: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (..., C) and bias (C,) that do what convolution and normalization do together; float64.

    >>> one = np.ones(1)
    >>> fold(np.array([[3.0]]), one, 2 * one, 5 * one, 3 * one, 15 * one, epsilon=1)  # (3 x + 1 - 3) * 2 / 4 + 5
    (array([[1.5]]), array([4.]))
    """
    factor = np.asarray(scale, np.float64) / np.sqrt(np.asarray(variance, np.float64) + epsilon)
    return kernel * factor, (bias - np.asarray(mean, np.float64)) * factor + shift


def one_group_kernel(kernel: np.ndarray, groups: int) -> np.ndarray:
    """Kernel (rows, columns, in / groups, out) of a grouped convolution -> (rows, columns, in, out).

    >>> one_group_kernel(np.ones((1, 1, 1, 2)), 2)[0, 0].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    rows, columns, inputs, outputs = kernel.shape
    whole = np.zeros((rows, columns, inputs * groups, outputs), kernel.dtype)
    for g in range(groups):
        out = slice(g * outputs // groups, (g + 1) * outputs // groups)
        whole[:, :, g * inputs : (g + 1) * inputs, out] = kernel[..., out]
    return whole


def float_twin(part: Part, model: "CoDAE", config: EncoderConfig, masks: np.ndarray) -> "keras.Model":
    """The float twin of an encoder, started from its weights; masks (N, 72, 58, 1) of QCD measure what norms divide by.

    Equal to the encoder where that has BatchNorm (or no norm) and the twin's slope and pooling.
    """
    twin = build_encoder(part, model.config, config)
    for name in weighted(twin):
        source, layer = _source(getattr(model, part), name), twin.get_layer(name)
        if name in HEADS:
            layer.set_weights(source.get_weights())
            continue
        kernel, bias = source.convolution.get_weights()
        kernel = one_group_kernel(kernel, source.groups)
        if source.norm_kind == "instance":
            layer.set_weights([kernel, bias])
            scale, shift = source.norm.get_weights()
            mean, variance = _event_moments(twin, name, masks)
            kernel, bias = fold(kernel, bias, scale, shift, mean, variance, source.norm.epsilon)
        elif source.norm_kind == "batch":
            kernel, bias = fold(kernel, bias, *source.norm.get_weights(), epsilon=source.norm.epsilon)
        layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return twin


def calibrate_encoder(twin: "keras.Model", config: EncoderConfig, masks: np.ndarray) -> dict[str, LayerPrecision]:
    """Bits of every layer: integer bits that fit the float twin on QCD masks (N, 72, 58, 1).

    integer bits = ceil(log2(margin * largest value)); biases lie on the grid of their layer's products.
    """
    import keras

    names = [layer.name for layer in twin.layers if layer.name.endswith("_word")]
    probe = keras.Model(twin.input, [twin.get_layer(name).output for name in names])
    peaks = [[np.abs(v).max() for v in _listed(probe.predict_on_batch(batch))] for batch in _batches(masks)]
    largest, found = dict(zip(names, np.max(peaks, axis=0).tolist(), strict=True)), {}
    words = {"mask": 0}
    kernels = weighted(twin)
    for label in names:
        name = label.removesuffix("_word")
        last = name in HEADS
        head_room = config.output_margin if last else config.margin
        integer = integer_bits(largest[label] * head_room)
        precision = LayerPrecision(
            weight_bits=config.weight_bits,
            output_bits=config.output_bits if last else config.word_bits,
            output_integer=integer if last else max(integer, 0),
        )
        if name in kernels:
            kernel, bias = twin.get_layer(name).get_weights()
            precision = dataclasses.replace(
                precision, weight_integer=integer_bits(np.abs(kernel).max() * WEIGHT_MARGIN)
            )
            fraction = words[input_name(twin, name, words)] + precision.weight_word.fraction
            # At least one bit besides the sign.
            bias_integer = max(integer_bits(np.abs(bias).max() * head_room), 1 - fraction)
            precision = dataclasses.replace(precision, bias_integer=bias_integer, bias_bits=1 + bias_integer + fraction)
        precision.check(f"precision.{name}", last)
        found[name] = precision
        words[label] = output_word(config, name, precision).fraction
    return found


def _source(encoder: "keras.Model", name: str) -> Any:
    """The float layer whose weights a twin's layer takes: "residual3_0_first" is `first` of "residual3_0"."""
    for half in ("first", "second"):
        if name.endswith(f"_{half}"):
            return getattr(encoder.get_layer(name.removesuffix(f"_{half}")), half)
    return encoder.get_layer(name)


def _event_moments(twin: "keras.Model", name: str, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over events of each channel's mean and variance over pixels, at a layer's output: (C,), (C,)."""
    import keras

    probe = keras.Model(twin.input, twin.get_layer(name).output)
    values = [np.asarray(probe.predict_on_batch(batch), np.float64) for batch in _batches(masks)]
    means = np.concatenate([v.mean(axis=(1, 2)) for v in values])
    variances = np.concatenate([v.var(axis=(1, 2)) for v in values])
    return means.mean(axis=0), variances.mean(axis=0)


def _batches(masks: np.ndarray) -> list[np.ndarray]:
    if not len(masks):
        raise InputError("no calibration event", "at least one QCD event", "take a larger file")
    return [check_masks(masks[i : i + BATCH]) for i in range(0, len(masks), BATCH)]


def _listed(values: Any) -> list[np.ndarray]:
    return [np.asarray(v) for v in (values if isinstance(values, list) else [values])]
