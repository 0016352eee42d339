"""QKeras twins of f_m and f_R: folding is exact, words are exact integers, files give them back to the bit."""

import dataclasses

import keras
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.codvae import TINY_CODVAE, create_model
from codae_l1.models.codae.config import PAPER, TINY, SwapConfig
from codae_l1.models.codae.model import CoDAE
from codae_l1.quantization.encoders._folding import calibrate_encoder, float_twin, fold, one_group_kernel
from codae_l1.quantization.encoders._words import input_name, weighted
from codae_l1.quantization.encoders.config import HEADS, EncoderConfig
from codae_l1.quantization.encoders.network import QuantizedEncoder, build_encoder

MASKS = (np.random.default_rng(0).random((40, 72, 58, 1)) < 0.02).astype(np.uint8)
GROUPED = dataclasses.replace(
    TINY,
    f_m_filters=(2, 4, 4, 4),
    f_m_groups=(1, 2, 2, 2),
    f_r_filters=(4, 4, 4, 4),
    f_r_groups=(1, 4, 4, 4),
    f_r_residuals=(0, 0, 0, 1),
)
LEAKY = EncoderConfig(slope=0.25, pooling="2x2", weight_bits=6, word_bits=5)


def values(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


def random_model(config, seed=1, **swaps) -> CoDAE:
    """An untrained model whose norms are no identities."""
    model, rng = create_model(dataclasses.replace(config, swaps=SwapConfig(**swaps)), seed), np.random.default_rng(seed)
    for part in (model.f_m, model.f_r):
        for variable in part.variables:
            if variable.name in ("gamma", "scale", "moving_variance"):
                variable.assign(rng.uniform(0.5, 2, variable.shape).astype("float32"))
            elif len(variable.shape) == 1:
                variable.assign(rng.normal(0, 0.3, variable.shape).astype("float32"))
    return model


TWINS = {
    "f_m-relu-strided": ("f_m", GROUPED, "instance", EncoderConfig()),
    "f_m-leaky-2x2": ("f_m", GROUPED, "batch", LEAKY),
    "f_r-relu": ("f_r", GROUPED, "instance", EncoderConfig()),
    "f_r-leaky-codvae": ("f_r", dataclasses.replace(GROUPED, categorical=TINY_CODVAE.categorical), "batch", LEAKY),
}


@pytest.fixture(scope="module", params=list(TWINS))
def twin(request) -> QuantizedEncoder:
    part, sizes, norm, config = TWINS[request.param]
    model = random_model(sizes, norm=norm)
    started = float_twin(part, model, config, MASKS)
    precision = calibrate_encoder(started, config, MASKS)
    quantized = build_encoder(part, model.config, config, precision)
    quantized.set_weights(started.get_weights())
    return QuantizedEncoder.rounded(part, model.config, config, precision, quantized)


def test_batch_norm_folds_to_the_bit_where_its_factors_are_powers_of_two():
    rng = np.random.default_rng(3)
    layer = random_model(GROUPED, norm="batch").f_m.get_layer("level0")
    # 1e-3 is no float32: variance + eps is a power of four up to its rounding, which the root halves away.
    layer.norm.epsilon = 2.0**-10
    moments = [np.float32([0.5, 2.0]), np.float32([1.0, -3.0]), np.float32([0.25, -0.5])]
    variance = np.float32([4.0, 0.25]) - np.float32(2.0**-10)
    kernel, bias = rng.integers(-8, 8, (3, 3, 1, 2)) / 8, np.array([0.5, -0.25])
    layer.set_weights([kernel, bias, *moments, variance])
    folded = fold(kernel, bias, *moments, variance, 2.0**-10)
    x = MASKS[:4].astype("float32")
    plain = keras.layers.Conv2D(2, 3, padding="same")
    plain.build(x.shape)
    plain.set_weights([w.astype("float32") for w in folded])
    expected = values(layer.norm(layer.convolution(x)))
    assert (values(plain(x)) == expected).all()
    assert np.ptp(expected) > 1


@pytest.mark.parametrize("part", ["f_m", "f_r"])
@pytest.mark.parametrize("pooling", ["strided", "2x2"])
def test_the_float_twin_equals_an_encoder_with_the_same_swaps(part, pooling):
    model = random_model(GROUPED, norm="batch", slope=0.25, pooling=pooling)
    twin = float_twin(part, model, EncoderConfig(slope=0.25, pooling=pooling), MASKS)
    expected = values(getattr(model, part)(MASKS.astype("float32")))
    np.testing.assert_allclose(values(twin(MASKS.astype("float32"))), expected, rtol=1e-4, atol=1e-5 * np.ptp(expected))


def test_one_group_is_the_same_convolution():
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(2, 5, 5, 8)).astype("float32"), rng.normal(size=(3, 3, 2, 12)).astype("float32")
    grouped, plain = (keras.layers.Conv2D(12, 3, groups=g, use_bias=False) for g in (4, 1))
    grouped.build(x.shape), plain.build(x.shape)
    grouped.set_weights([kernel]), plain.set_weights([one_group_kernel(kernel, 4)])
    np.testing.assert_allclose(values(grouped(x)), values(plain(x)), atol=1e-5)


def test_instance_norm_starts_from_what_qcd_shows():
    model = random_model(GROUPED, norm="instance")
    twin = float_twin("f_m", model, EncoderConfig(slope=0.25, pooling="2x2"), MASKS)
    inner = keras.Model(twin.input, twin.get_layer("level0").output)
    out = values(inner(MASKS.astype("float32"))).astype(float)
    scale, shift = model.f_m.get_layer("level0").norm.get_weights()
    np.testing.assert_allclose(out.mean(axis=(0, 1, 2)), shift, atol=1e-3)
    np.testing.assert_allclose(np.sqrt(out.var(axis=(1, 2)).mean(axis=0)), np.abs(scale), rtol=0.02)


def test_every_word_lies_on_its_grid_and_varies(twin):
    layers = twin.predict_layers(MASKS)
    assert set(layers) == {name for name in twin.words if name != "mask"}
    for name, words in layers.items():
        low, high = twin.words[name].bounds
        assert low <= words.min() <= words.max() <= high, name
        assert len(np.unique(words)) > 3, name
    for name, words in zip(twin.outputs, twin.predict_words(MASKS), strict=True):
        assert (words == layers[name]).all()


def test_words_are_those_of_an_independent_calculation_in_integers(twin):
    """Sums by numpy on int64 words, rounding and clipping by WordType."""
    layers, weights = {"mask": MASKS.astype(np.int64), **twin.predict_layers(MASKS)}, twin.weight_words()
    for name in weighted(twin.model):
        precision, layer = twin.precision[name], twin.model.get_layer(name)
        source = input_name(twin.model, name, twin.words)
        words, kernel = layers[source], weights[f"{name}.kernel"]
        if "pool" in layer.input._keras_history.operation.name or (name == "z_m" and twin.config.pooling == "2x2"):
            words = pooled(words)
        sums = (
            convolved(words, kernel, layer.strides[0]) if kernel.ndim == 4 else words.reshape(len(words), -1) @ kernel
        )
        fraction = twin.words[source].fraction + precision.weight_word.fraction
        assert precision.bias_word.fraction == fraction
        linear = (sums + weights[f"{name}.bias"]) / 2.0**fraction
        head, word = name in HEADS, twin.words[f"{name}_word"]
        expected = word.to_words(linear if head else np.where(linear < 0, twin.config.slope * linear, linear))
        if twin.config.slope and not head:
            # QKeras clips the negative side at slope times the range.
            expected = np.maximum(expected, word.bounds[0] // 4)
        assert (layers[f"{name}_word"] == expected).all(), name


def pooled(x: np.ndarray) -> np.ndarray:
    """Maximum of windows 2x2 of words (N, h, w, C), the last ones cut where h or w is odd."""
    lowest = np.iinfo(np.int64).min
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), constant_values=lowest)
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max(axis=(2, 4))


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """'same' convolution of int64 words (N, h, w, C), TensorFlow's padding."""
    size = kernel.shape[0]
    out = [-(-n // stride) for n in x.shape[1:3]]
    whole = [max((o - 1) * stride + size - n, 0) for o, n in zip(out, x.shape[1:3], strict=True)]
    x = np.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in whole), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("nhwcij,ijco->nhwo", windows, kernel)


def test_a_saved_twin_gives_the_same_words(twin, tmp_path):
    twin.save(tmp_path / "twin.npz")
    loaded = QuantizedEncoder.load(tmp_path / "twin.npz")
    assert (loaded.part, loaded.codae, loaded.config, loaded.precision) == (
        *(twin.part, twin.codae),
        *(twin.config, twin.precision),
    )
    for a, b in zip(twin.predict_words(MASKS), loaded.predict_words(MASKS), strict=True):
        assert (a == b).all()


def test_paper_size_twins_have_the_grids_of_the_encoders():
    f_m, f_r = (build_encoder(part, PAPER, EncoderConfig()) for part in ("f_m", "f_r"))
    assert (f_m.output_shape, f_r.output_shape) == ((None, 2), (None, 5, 4, 64))
    assert len(weighted(f_m)) == 5
    assert len(weighted(f_r)) == 13


def test_what_cannot_be_exact_or_made_is_named(twin, tmp_path):
    with pytest.raises(InputError, match=r"masks \(2, 72, 58, 3\) of float64; expected \(N, 72, 58, 1\) of 0 and 1"):
        twin.predict_words(np.zeros((2, 72, 58, 3)))
    with pytest.raises(InputError, match=r"encoders.slope = 0.2; expected 0 or a power of two below 1"):
        EncoderConfig(slope=0.2)
    with pytest.raises(InputError, match=r"encoders.weight_bits = 12; expected 2 to 11 bits"):
        EncoderConfig(weight_bits=12)
    with pytest.raises(InputError, match=r"encoders.warm_up_steps = -1, warm_up_rate = 0.005; expected steps >= 0"):
        EncoderConfig(warm_up_steps=-1)
    with pytest.raises(InputError, match="no calibration event"):
        float_twin("f_m", CoDAE(TINY), EncoderConfig(), MASKS[:0])
    name = next(n for n in weighted(twin.model) if n not in ("level0", "softplus"))
    words = twin.weight_words()
    huge = {**words, f"{name}.bias": words[f"{name}.bias"] + (1 << 24)}
    with pytest.raises(InputError, match=rf"layer {name}: its sums reach \d+ LSB; expected fewer than 16777216"):
        twin.set_weight_words(huge)
