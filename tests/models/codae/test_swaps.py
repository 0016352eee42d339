"""Swaps of the encoders' layers: grids and parameters, what each changes, training mode, save and load to the bit."""

import dataclasses

import keras
import numpy as np
import pytest

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.codvae import load_codae
from codae_l1.models.codae.config import PAPER, TINY, CoDAEConfig, SwapConfig
from codae_l1.models.codae.layers import ConvLayer
from codae_l1.models.codae.model import CoDAE, save_codae
from codae_l1.models.codae.swaps import _one_group, swap_table

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

MASKS = (np.random.default_rng(0).random((4, 72, 58, 1)) < 0.05).astype("float32")
GROUPED = dataclasses.replace(
    TINY,
    f_m_filters=(4, 4, 4, 4),
    f_m_groups=(1, 2, 2, 2),
    f_r_filters=(4, 4, 4, 4),
    f_r_groups=(1, 4, 4, 4),
    f_r_residuals=(0, 0, 0, 1),
)


def values(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


def test_defaults_are_the_published_layers():
    assert CoDAEConfig().swaps == SwapConfig("instance", 0.2, "overlapping")
    assert swap_table(PAPER)["published layers"] == PAPER
    assert parse(CoDAEConfig, dump(GROUPED), "model") == GROUPED


@pytest.mark.parametrize("row", list(swap_table(PAPER)))
def test_each_row_is_a_model_of_the_same_grids(row):
    config = swap_table(GROUPED)[row]
    model = CoDAE(config, seed=1)
    assert model.f_m.output_shape == (None, 2)
    assert model.f_r.output_shape == (None, 5, 4, config.latent_channels)
    assert values(model(MASKS)).shape == MASKS.shape
    trainable = sum(int(np.prod(v.shape)) for v in model.f_m.trainable_variables)
    scales_and_shifts = 2 * sum(GROUPED.f_m_filters)
    published = sum(int(np.prod(v.shape)) for v in CoDAE(GROUPED).f_m.trainable_variables)
    if config == _one_group(config):
        assert trainable == published + 9 * sum(4 * 4 - 4 * 2 for _ in range(3))
    else:
        assert trainable == published - scales_and_shifts * (config.swaps.norm == "none")


def test_every_swap_changes_the_encoders_and_none_the_decoder():
    base = CoDAE(GROUPED, seed=1)
    z_m, z_r = values(base.f_m(MASKS)), values(base.f_r(MASKS))
    for swaps, m_changes, r_changes in (
        (SwapConfig(norm="batch"), True, True),
        (SwapConfig(norm="none"), True, True),
        (SwapConfig(slope=0.25), True, True),
        (SwapConfig(pooling="2x2"), True, False),
        (SwapConfig(pooling="strided"), True, False),
    ):
        model = CoDAE(dataclasses.replace(GROUPED, swaps=swaps), seed=1)
        assert (values(model.f_m(MASKS)) != z_m).any() == m_changes, swaps
        assert (values(model.f_r(MASKS)) != z_r).any() == r_changes, swaps
        z = [keras.ops.convert_to_tensor(z_r), keras.ops.convert_to_tensor(z_m)]
        assert (values(model.decoder(z)) == values(base.decoder(z))).all()


def test_batch_norm_learns_its_statistics_in_both_encoders_of_the_model():
    model = CoDAE(dataclasses.replace(GROUPED, swaps=SwapConfig(norm="batch")), seed=1)
    moving = [v for part in (model.f_m, model.f_r) for v in part.non_trainable_variables]
    assert len(moving) == 2 * (4 + 6)
    before = [values(v).copy() for v in moving]
    model.logits(MASKS, training=False)
    assert all((values(v) == b).all() for v, b in zip(moving, before, strict=True))
    model.logits(MASKS, training=True)
    assert all((values(v) != b).any() for v, b in zip(moving, before, strict=True))


def test_batch_norm_uses_moving_statistics_and_a_plain_layer_none():
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 1)).astype("float32")
    batch, none = ConvLayer(3, norm="batch", slope=0.25), ConvLayer(3, norm="none", slope=0.25)
    batch(x), none(x)
    mean, variance = np.array([1.0, 0.0, -1.0], "float32"), np.array([4.0, 1.0, 0.25], "float32")
    kernel, bias = none.get_weights()
    batch.set_weights([kernel, bias, np.ones(3), np.zeros(3), mean, variance])
    linear = values(none.convolution(x))
    expected = (linear - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(values(batch(x)), np.where(expected < 0, 0.25 * expected, expected), atol=1e-5)
    assert (values(none(x)) == np.where(linear < 0, np.float32(0.25) * linear, linear)).all()


def test_swapped_model_survives_saving_to_the_bit(tmp_path):
    config = swap_table(GROUPED)["all: batch, 1/4, 2x2, groups 1"]
    model = CoDAE(config, seed=2)
    model.logits(MASKS, training=True)
    save_codae(model, tmp_path / "codae.keras")
    loaded = load_codae(tmp_path / "codae.keras")
    assert loaded.config == config
    assert (values(model(MASKS)) == values(loaded(MASKS))).all()


def test_wrong_swaps_are_named():
    with pytest.raises(InputError, match=r"model.swaps.slope = 1.5; expected a number from 0 up to 1"):
        SwapConfig(slope=1.5)
    with pytest.raises(InputError, match=r"model.swaps.norm = 'layer'; expected one of 'instance', 'batch', 'none'"):
        parse(CoDAEConfig, {"swaps": {"norm": "layer"}}, "model")
