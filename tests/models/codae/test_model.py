"""The CoDAE: published sizes, geometry, initial weights, shared parts, save and load to the bit."""

import keras
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.codvae import load_codae
from codae_l1.models.codae.config import COMPACT, PAPER, CoDAEConfig
from codae_l1.models.codae.model import CoDAE, save_codae, with_encoders

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

MASKS = (np.random.default_rng(0).random((3, 72, 58, 1)) < 0.02).astype(np.uint8)


def values(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def compact() -> CoDAE:
    return CoDAE(COMPACT, seed=1)


@pytest.fixture(scope="module")
def paper() -> CoDAE:
    return CoDAE(PAPER)


def test_paper_size_has_the_published_parameters(paper):
    assert paper.f_m.count_params() == 270_594
    assert paper.f_r.count_params() == 612_032
    assert paper.decoder.count_params() == 763_841
    assert paper.count_params() == 1_646_467


@pytest.mark.parametrize("name", ["paper", "compact"])
def test_grids(name, request):
    model = request.getfixturevalue(name)
    config = model.config
    assert model.f_m.output_shape == (None, 2)
    assert model.f_r.output_shape == (None, 5, 4, config.latent_channels)
    assert model.decoder.output_shape == (None, 72, 58, 1)
    assert model.decoder.get_layer("crop").input.shape[1:3] == (80, 64)
    assert model.decoder.get_layer("crop").cropping == ((4, 4), (3, 3))


def test_paper_model_runs_on_this_machine(paper):
    # Grouped convolutions need a kernel that not every CPU build of TensorFlow has.
    p = values(paper(MASKS[:1]))
    assert p.shape == (1, 72, 58, 1)
    assert ((p > 0) & (p < 1)).all()


def test_initial_weights_are_he_uniform_from_the_seed(paper):
    kernel = values(paper.f_r.get_layer("residual3_0").first.convolution.kernel)
    assert kernel.shape == (3, 3, 64, 256)
    limit = np.sqrt(6 / (9 * 64))
    assert 0.999 * limit < np.abs(kernel).max() <= np.float32(limit)
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.01)
    assert values(paper.decoder.get_layer("logits").bias).tolist() == [-1.0]


def test_the_seed_makes_the_weights(compact):
    same, other = CoDAE(COMPACT, seed=1), CoDAE(COMPACT, seed=2)
    assert all((values(a) == values(b)).all() for a, b in zip(compact.weights, same.weights, strict=True))
    assert (values(compact(MASKS)) != values(other(MASKS))).any()


def test_probability_is_the_sigmoid_of_the_logits(compact):
    logits = values(compact.logits(MASKS)).astype(float)
    np.testing.assert_allclose(values(compact(MASKS)), 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_events_do_not_see_each_other(compact):
    np.testing.assert_allclose(values(compact(MASKS))[1:2], values(compact(MASKS[1:2])), atol=1e-5)


def test_z_m_conditions_the_decoder(compact):
    z_r = compact.f_r(MASKS.astype("float32"))
    z_m = compact.f_m(MASKS.astype("float32"))
    assert (values(compact.decoder([z_r, z_m])) != values(compact.decoder([z_r, z_m + 1]))).any()


@pytest.mark.parametrize("seed", [1, 7])
def test_saved_model_is_equal_to_the_bit(tmp_path, seed):
    model = CoDAE(COMPACT, seed)
    save_codae(model, tmp_path / "codae.keras")
    loaded = load_codae(tmp_path / "codae.keras")
    assert (loaded.config, loaded.seed) == (COMPACT, seed)
    assert [v.path for v in loaded.weights] == [v.path for v in model.weights]
    assert all((values(a) == values(b)).all() for a, b in zip(model.weights, loaded.weights, strict=True))
    assert (values(model(MASKS)) == values(loaded(MASKS))).all()


def test_small_encoder_shares_the_rest_and_survives_saving(compact, tmp_path):
    small = keras.Sequential([keras.Input((72, 58, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model = with_encoders(compact, small)
    assert model.f_r is compact.f_r
    assert model.decoder is compact.decoder
    assert model.f_m is small
    save_codae(model, tmp_path / "codae.keras")
    assert (values(load_codae(tmp_path / "codae.keras")(MASKS)) == values(model(MASKS))).all()


def test_wrong_small_encoder_is_named(compact):
    three = keras.Sequential([keras.Input((72, 58, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    with pytest.raises(InputError, match=r"f_m from .* to \(None, 3\); expected .*\(None, 2\)"):
        with_encoders(compact, three)


def test_bad_files_and_sizes_are_named(compact, tmp_path):
    with pytest.raises(InputError, match=r"absent\.keras does not exist"):
        load_codae(tmp_path / "absent.keras")
    save_codae(compact, tmp_path / "whole.keras")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "whole.keras").read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut\.keras cannot be read \(no whole zip archive\); expected a whole"):
        load_codae(tmp_path / "cut.keras")
    with pytest.raises(InputError, match=r"ends in \.keras"):
        save_codae(compact, tmp_path / "codae.h5")
    with pytest.raises(InputError, match="f_r_filters with 3 levels"):
        CoDAEConfig(f_r_filters=(1, 2, 3))
