"""Multiply-accumulates (MACs) of one event through a Keras model, counted from its layers.

    convolution             output rows x columns x filters x kernel rows x kernel columns x input channels / groups
    transposed convolution  input rows x columns x channels x kernel rows x kernel columns x filters
    dense                   inputs x outputs, at each position
    attention               tokens x (projections of query, key, value, output) + 2 x tokens^2 x key size x heads

Biases, norms, activations, pooling and sums of two maps are not counted. A padded border counts like the image, and a
spatial conditioning as one convolution per event (as arXiv:2306.12955 defines it; layers.py shares it between events).
"""

from functools import singledispatch
from math import prod
from typing import Any

import keras

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.layers import ConvLayer, Residual, SpatialConditioning, UpConvLayer


def count_macs(model: keras.Model) -> int:
    """MACs of one event through a functional model.

    >>> x = keras.Input((8, 8, 3))
    >>> count_macs(keras.Model(x, keras.layers.Conv2D(5, 3, strides=2, padding="same")(x))) == 4 * 4 * 5 * 9 * 3
    True
    """
    return layer_macs(model, None)


@singledispatch
def layer_macs(layer: Any, shape: Any) -> int:
    """MACs of one layer for an input of `shape` (None, ...), or a list of shapes; a layer without matrices has none.

    Classes with matrices of their own say what they cost: `layer_macs.register`.
    """
    matrices = [v.path for v in getattr(layer, "weights", []) if len(v.shape) > 1]
    if matrices:
        raise InputError(
            f"MACs of a {type(layer).__name__} with {', '.join(matrices)}",
            "a layer that models/evaluation/macs.py knows",
            "register what it costs (layer_macs.register)",
        )
    return 0


@layer_macs.register
def _(layer: keras.Model, shape: Any) -> int:
    total = 0
    for operation in layer.operations:
        inputs = operation.input
        shapes = [x.shape for x in inputs] if isinstance(inputs, list) else inputs.shape
        total += layer_macs(operation, shapes)
    return total


@layer_macs.register
def _(layer: keras.layers.PReLU, shape: Any) -> int:
    return 0


@layer_macs.register
def _(layer: keras.layers.Conv2D, shape: Any) -> int:
    return prod(layer.compute_output_shape(shape)[1:]) * prod(layer.kernel_size) * shape[-1] // layer.groups


@layer_macs.register
def _(layer: keras.layers.Conv2DTranspose, shape: Any) -> int:
    return prod(shape[1:]) * prod(layer.kernel_size) * layer.filters


@layer_macs.register
def _(layer: keras.layers.Dense, shape: Any) -> int:
    return prod(shape[1:]) * layer.units


@layer_macs.register
def _(layer: keras.layers.MultiHeadAttention, shape: Any) -> int:
    query, value = shape[:2] if isinstance(shape, list) else (shape, shape)
    tokens, width = query[1:]
    others, value_width = value[1:]
    heads, size, value_size = layer.num_heads, layer.key_dim, layer.value_dim or layer.key_dim
    projections = tokens * width * heads * (size + value_size) + others * value_width * heads * (size + value_size)
    return projections + tokens * others * heads * (size + value_size)


@layer_macs.register
def _(layer: ConvLayer, shape: Any) -> int:
    return layer_macs(layer.convolution, shape)


@layer_macs.register
def _(layer: UpConvLayer, shape: Any) -> int:
    return layer_macs(layer.layer, layer.upsample.compute_output_shape(shape))


@layer_macs.register
def _(layer: Residual, shape: Any) -> int:
    return layer_macs(layer.first, shape) + layer_macs(layer.second, shape)


@layer_macs.register
def _(layer: SpatialConditioning, shape: Any) -> int:
    (_, height, width, _), (_, size) = shape
    return layer_macs(layer.field, (None, height, width, size + 2))
