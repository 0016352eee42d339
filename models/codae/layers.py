"""Keras layers of the CoDAE, one class each: convolution blocks with instance normalization, and spatial conditioning.

Tensors are (N, height, width, channel) float32. Definitions follow arXiv:2306.12955. Every layer can be saved by
`keras.saving` (registered under "codae_l1").
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from codae_l1.models.codae.config import LEAKY_SLOPE, Norm

register = keras.saving.register_keras_serializable(package="codae_l1")

# Added to the variance before the square root (arXiv:2306.12955).
NORM_EPSILON = 1e-3
# Share of the old moving mean that BatchNorm keeps each step: an epoch of a few dozen steps must be enough.
BATCH_MOMENTUM = 0.9


@register
class InstanceNorm(keras.layers.Layer):
    """Normalize each channel of each event over its pixels: y = (x - mean) / sqrt(variance + eps) * scale + shift.

    (N, h, w, C) -> (N, h, w, C); scale and shift are learned, (C,) each.

    >>> x = np.array([0.0, 2.0], "float32").reshape(1, 2, 1, 1)
    >>> ops.convert_to_numpy(InstanceNorm(epsilon=0.0)(x)).ravel().tolist()
    [-1.0, 1.0]
    """

    def __init__(self, epsilon: float = NORM_EPSILON, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple) -> None:
        """One scale and one shift per channel."""
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
        self.shift = self.add_weight(name="shift", shape=(input_shape[-1],), initializer="zeros")

    def call(self, x: Any) -> Any:
        """(N, h, w, C) -> the same shape."""
        mean, variance = ops.moments(x, axes=(1, 2), keepdims=True)
        # rsqrt is an approximation, and another one on each make of processor; these two are exact to the last bit.
        factor = self.scale / ops.sqrt(variance + self.epsilon)
        return x * factor + (self.shift - mean * factor)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "epsilon": self.epsilon}


@register
class ConvLayer(keras.layers.Layer):
    """Convolution 3x3 with bias, 'same' -> InstanceNorm -> leaky ReLU; other norms and slopes as in
    models/codae/swaps.py.

    (N, h, w, C) -> (N, ceil(h / strides), ceil(w / strides), filters).
    """

    def __init__(
        self,
        filters: int,
        strides: int = 1,
        groups: int = 1,
        norm: Norm = "instance",
        slope: float = LEAKY_SLOPE,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters, self.strides, self.groups, self.norm_kind, self.slope = filters, strides, groups, norm, slope
        self.convolution = _conv3x3(filters, strides, groups)
        self.norm: Any = _make_norm(norm)

    def build(self, input_shape: tuple) -> None:
        """Build the parts, so that a saved layer finds its weights."""
        self.convolution.build(input_shape)
        if self.norm is not None:
            self.norm.build(self.convolution.compute_output_shape(input_shape))

    def call(self, x: Any, training: bool | None = None) -> Any:
        """(N, h, w, C) -> (N, h', w', filters)."""
        x = self.convolution(x)
        if self.norm_kind == "batch":
            x = self.norm(x, training=training)
        elif self.norm is not None:
            x = self.norm(x)
        return ops.leaky_relu(x, negative_slope=self.slope)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape after the convolution."""
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        sizes = {"filters": self.filters, "strides": self.strides, "groups": self.groups}
        return {**super().get_config(), **sizes, "norm": self.norm_kind, "slope": self.slope}


@register
class UpConvLayer(keras.layers.Layer):
    """Bilinear upsampling by two (half-pixel centres) -> ConvLayer: (N, h, w, C) -> (N, 2 h, 2 w, filters)."""

    def __init__(self, filters: int, groups: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.groups = filters, groups
        self.upsample = keras.layers.UpSampling2D(2, interpolation="bilinear", name="upsample")
        self.layer = ConvLayer(filters, groups=groups, name="layer")

    def build(self, input_shape: tuple) -> None:
        """Build the convolution on the doubled grid."""
        self.layer.build(self.upsample.compute_output_shape(input_shape))

    def call(self, x: Any) -> Any:
        """(N, h, w, C) -> (N, 2 h, 2 w, filters)."""
        return self.layer(self.upsample(x))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Twice the height and width, `filters` channels."""
        return self.layer.compute_output_shape(self.upsample.compute_output_shape(input_shape))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "filters": self.filters, "groups": self.groups}


@register
class Residual(keras.layers.Layer):
    """x + ConvLayer(ConvLayer(x)): (N, h, w, C) -> (N, h, w, C)."""

    def __init__(self, groups: int = 1, norm: Norm = "instance", slope: float = LEAKY_SLOPE, **kwargs: Any):
        super().__init__(**kwargs)
        self.options: dict[str, Any] = {"groups": groups, "norm": norm, "slope": slope}

    def build(self, input_shape: tuple) -> None:
        """Two convolutions with as many filters as x has channels."""
        self.first = ConvLayer(input_shape[-1], **self.options, name="first")
        self.second = ConvLayer(input_shape[-1], **self.options, name="second")
        self.first.build(input_shape)
        self.second.build(input_shape)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """(N, h, w, C) -> the same shape."""
        return x + self.second(self.first(x, training=training), training=training)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), **self.options}


@register
class SpatialBroadcast(keras.layers.Layer):
    """Copy z to every cell of a grid and append where the cell is: (N, d) -> (N, height, width, d + 2).

    Channel d is the column coordinate linspace(-1, 1, width), channel d + 1 the row coordinate linspace(-1, 1, height).

    >>> grid = ops.convert_to_numpy(SpatialBroadcast(2, 3)(np.array([[7.0]], "float32")))
    >>> grid[0, 1].tolist()
    [[7.0, -1.0, 1.0], [7.0, 0.0, 1.0], [7.0, 1.0, 1.0]]
    """

    def __init__(self, height: int, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.height, self.width = height, width
        columns, rows = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        self.coordinates = np.stack([columns, rows], axis=-1).astype("float32")[None]  # (1, height, width, 2)

    def call(self, z: Any) -> Any:
        """(N, d) -> (N, height, width, d + 2)."""
        n = ops.shape(z)[0]
        copies = ops.broadcast_to(z[:, None, None, :], (n, self.height, self.width, z.shape[-1]))
        where = ops.broadcast_to(ops.cast(self.coordinates, z.dtype), (n, self.height, self.width, 2))
        return ops.concatenate([copies, where], axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """(N, height, width, d + 2)."""
        return input_shape[0], self.height, self.width, input_shape[-1] + 2

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "height": self.height, "width": self.width}


@register
class SpatialConditioning(keras.layers.Layer):
    """Scale x by a field made from z: x * conv3x3(SpatialBroadcast(z)), a linear convolution with bias.

    [x (N, h, w, C), z (N, d)] -> (N, h, w, C). Scale only: where x is zero it stays zero. The field is affine in z, so
    the convolution runs on d + 1 grids (z = 0 and the unit vectors) instead of N.
    """

    def build(self, input_shape: list) -> None:
        """A field of x's grid and channels from z and the coordinates: (9 (d + 2) + 1) C parameters."""
        (_, height, width, channels), (_, size) = input_shape
        self.broadcast = SpatialBroadcast(height, width, name="broadcast")
        self.field = _conv3x3(channels, name="field")
        self.field.build((None, height, width, size + 2))

    def call(self, inputs: list) -> Any:
        """[x, z] -> x scaled, x's shape."""
        x, z = inputs
        size = z.shape[-1]
        grids = self.field(self.broadcast(ops.eye(size + 1, size, -1, dtype=x.dtype)))  # (d + 1, h, w, C)
        slopes = ops.reshape(grids[1:] - grids[:1], (size, -1))
        return x * (grids[:1] + ops.reshape(ops.matmul(z, slopes), (-1, *x.shape[1:])))

    def compute_output_shape(self, input_shape: list) -> tuple:
        """x's shape."""
        return tuple(input_shape[0])


def _conv3x3(filters: int, strides: int = 1, groups: int = 1, name: str = "convolution") -> keras.layers.Conv2D:
    """Linear 3x3 'same' convolution with bias, he_uniform kernel."""
    cls = GroupedConv2D if groups > 1 else keras.layers.Conv2D
    return cls(filters, 3, strides, "same", groups=groups, kernel_initializer="he_uniform", name=name)


@register
class GroupedConv2D(keras.layers.Conv2D):
    """Conv2D with groups that is fast on CPUs, too: one convolution a group, side by side.

    Keras compiles a grouped convolution by XLA, whose kernel is ten to forty times slower on a CPU. On a GPU it is one
    call.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """(N, h, w, C) and (kh, kw, C / groups, filters) -> (N, h', w', filters)."""
        import tensorflow as tf

        def convolve(x: Any, k: Any) -> Any:
            return tf.nn.conv2d(x, k, self.strides, self.padding.upper(), dilations=self.dilation_rate)

        if tf.config.list_physical_devices("GPU"):
            return convolve(inputs, kernel)
        groups = zip(tf.split(inputs, self.groups, -1), tf.split(kernel, self.groups, -1), strict=True)
        return tf.concat([convolve(x, k) for x, k in groups], -1)


def _make_norm(kind: Norm) -> keras.layers.Layer | None:
    """The layer behind a convolution, or None; scale and shift per channel are learned either way."""
    if kind == "instance":
        return InstanceNorm(name="norm")
    if kind == "batch":
        return keras.layers.BatchNormalization(momentum=BATCH_MOMENTUM, epsilon=NORM_EPSILON, name="norm")
    return None
