"""Layers against their definitions written again in NumPy, and through save and load."""

import keras
import numpy as np
import pytest

from codae_l1.models.codae.layers import (
    ConvLayer,
    GroupedConv2D,
    InstanceNorm,
    Residual,
    SpatialBroadcast,
    SpatialConditioning,
    UpConvLayer,
)

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4, 8)).astype("float32")
Z = RNG.normal(size=(3, 2)).astype("float32")
# Layer, input, parameters, shape of the output.
CASES = {
    "norm": (InstanceNorm, {}, X, 16, (3, 5, 4, 8)),
    "conv": (ConvLayer, {"filters": 6, "strides": 2, "groups": 2}, X, 9 * 4 * 6 + 6 + 12, (3, 3, 2, 6)),
    "up": (UpConvLayer, {"filters": 4, "groups": 4}, X, 9 * 2 * 4 + 4 + 8, (3, 10, 8, 4)),
    "residual": (Residual, {"groups": 2}, X, 2 * (9 * 4 * 8 + 8 + 16), (3, 5, 4, 8)),
    "conditioning": (SpatialConditioning, {}, [X, Z], 37 * 8, (3, 5, 4, 8)),
    "broadcast": (SpatialBroadcast, {"height": 4, "width": 3}, Z, 0, (3, 4, 3, 4)),
}


def values(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(params=CASES)
def case(request):
    """(layer, arguments, input, parameters, output shape) of one layer."""
    cls, arguments, x, parameters, shape = CASES[request.param]
    keras.utils.set_random_seed(1)
    return cls(**arguments), arguments, x, parameters, shape


def test_shape_and_parameters(case):
    layer, _, x, parameters, shape = case
    assert values(layer(x)).shape == shape
    assert layer.count_params() == parameters


def test_layer_comes_back_from_its_config_and_weights(case, tmp_path):
    layer, arguments, x, _, _ = case
    inputs = [keras.Input(part.shape[1:]) for part in x] if isinstance(x, list) else keras.Input(x.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    assert {name: loaded.layers[-1].get_config()[name] for name in arguments} == arguments
    assert (values(loaded(x)) == values(model(x))).all()


def test_instance_norm_is_per_event_and_channel():
    layer = InstanceNorm()
    layer.build(X.shape)
    layer.scale.assign(np.arange(1, 9))
    layer.shift.assign(np.arange(8))
    x = X.astype(float)
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-3) * np.arange(1, 9) + np.arange(8)
    np.testing.assert_allclose(values(layer(X)), expected, atol=2e-5)
    other = X.copy()
    other[1] *= 3
    other[2, :, :, 0] += 1
    changed = (values(layer(other)) != values(layer(X))).any((1, 2))
    assert not changed[0].any()
    assert changed[1].all()
    assert not changed[2, 1:].any()


def test_conv_layer_has_slope_and_normalization():
    layer = ConvLayer(6)
    y = values(layer(X))
    linear = values(layer.norm(layer.convolution(X)))
    np.testing.assert_array_equal(y, np.where(linear > 0, linear, np.float32(0.2) * linear))
    assert (y < 0).any()


def test_upsampling_is_bilinear_with_half_pixel_centres():
    x = np.array([0.0, 4.0, 8.0], "float32").reshape(1, 3, 1, 1)
    layer = UpConvLayer(1)
    y = values(layer.upsample(x))
    assert y[0, :, 0, 0].tolist() == y[0, :, 1, 0].tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]
    assert (values(layer(x)) == values(layer.layer(y))).all()


def test_residual_adds_its_input():
    layer = Residual()
    layer.build(X.shape)
    layer.second.norm.scale.assign(np.zeros(8))
    assert (values(layer(X)) == X).all()


def test_broadcast_appends_exact_column_then_row_coordinates():
    grid = values(SpatialBroadcast(5, 4)(Z))
    assert (grid[..., :2] == Z[:, None, None, :]).all()
    assert (grid[..., 2] == np.linspace(-1, 1, 4).astype("float32")).all()
    assert (grid[..., 3] == np.linspace(-1, 1, 5).astype("float32")[:, None]).all()


def test_conditioning_scales_and_never_shifts():
    layer = SpatialConditioning()
    y = values(layer([X, Z]))
    assert (values(layer([np.zeros_like(X), Z])) == 0).all()
    assert (values(layer([2 * X, Z])) == 2 * y).all()
    np.testing.assert_allclose(y, X * values(layer.field(layer.broadcast(Z))), atol=2e-6)
    assert (values(layer([X, Z + 1])) != y).any()
    layer.field.kernel.assign(np.zeros(layer.field.kernel.shape))
    layer.field.bias.assign(np.full(8, 3.0))
    assert (values(layer([X, Z])) == 3 * X).all()
    coordinates = np.zeros((3, 3, 4, 8), "float32")
    coordinates[1, 1, 3] = 1  # the row coordinate alone
    layer.field.kernel.assign(coordinates)
    layer.field.bias.assign(np.zeros(8))
    assert (values(layer([X, Z])) == X * np.linspace(-1, 1, 5).astype("float32")[:, None, None]).all()


@pytest.mark.parametrize("strides", [1, 2])
def test_grouped_convolution_is_that_of_keras(strides):
    import tensorflow as tf

    ours = GroupedConv2D(8, 3, strides, "same", groups=4)
    ours.build(X.shape)
    ours.bias.assign(np.arange(8))
    stock = keras.layers.Conv2D(8, 3, strides, "same", groups=4)
    stock.build(X.shape)
    stock.set_weights(ours.get_weights())
    gradients = []
    for layer in (ours, stock):
        with tf.GradientTape() as tape:
            y = layer(X)
            loss = tf.reduce_sum(tf.sin(y))
        gradients.append([y, *tape.gradient(loss, [layer.kernel.value, layer.bias.value])])
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(values(a), values(b), rtol=1e-5, atol=1e-5)
