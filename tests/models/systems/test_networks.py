"""The networks of the systems: published sizes, exact formulas, symmetry, and MACs counted from the layers."""

import gc
import weakref

import keras
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.config import PAPER
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.evaluation.macs import count_macs, layer_macs
from codae_l1.models.systems._cct import (
    PAPER_CCT,
    Cct,
    PositionalEmbedding,
    SequencePooling,
    class_index,
    energy_images,
    smoothed,
)
from codae_l1.models.systems._dirichlet import DirichletVae, prior_parameters
from codae_l1.models.systems._qcd_or_what import QcdOrWhat
from codae_l1.models.systems.registry import CctConfig, DirichletConfig, QcdOrWhatConfig
from codae_l1.models.training.network import in_slices

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

RNG = np.random.default_rng(1)
MASKS = (RNG.random((4, 72, 58, 1)) < 0.02).astype("uint8")


def values(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def cct() -> Cct:
    return Cct(PAPER_CCT, seed=1)


def test_published_sizes(cct):
    assert cct.count_params() == 440_644
    # As published without the embedding of 270 tokens.
    assert cct.count_params() - 270 * 128 == 406_084
    assert QcdOrWhat(QcdOrWhatConfig()).count_params() == 594_003
    # Dense 4176 -> 512, its norm without shift (scale, mean, variance), two Dense 512 -> 3, 3 images.
    assert (
        DirichletVae(DirichletConfig()).count_params()
        == 4176 * 512 + 512 + 3 * 512 + 2 * (512 * 3 + 3) + 3 * 4176
        == 2_155_766
    )
    jets = DirichletVae(DirichletConfig(100, (0.9, 0.9)), shape=(40, 40, 1))
    assert jets.count_params() == 1600 * 100 + 100 + 3 * 100 + 2 * (100 * 2 + 2) + 2 * 1600


def test_macs_of_the_published_models(cct):
    codae = CoDAE(PAPER)
    # reference: 71,425,024; 60.4 M; 421.3 M.
    assert count_macs(codae.f_m) == 71_425_024
    assert count_macs(codae.f_r) == 60_390_656
    assert count_macs(codae.decoder) == 421_300_224
    vae = DirichletVae(DirichletConfig())
    assert count_macs(vae.encoder) + count_macs(vae.decoder) == 4176 * 512 + 2 * 512 * 3 + 3 * 4176
    tokens, width = 18 * 15, 128
    attention = 4 * tokens * width * 2 * width + 2 * tokens**2 * 2 * width
    convolutions = 72 * 58 * 9 * 64 + 36 * 29 * 9 * 64 * width
    assert count_macs(cct.network) == (
        convolutions + 2 * (attention + 2 * tokens * width**2) + 2 * tokens * width + width * 3
    )


def test_macs_of_single_layers():
    layers, shape = keras.layers, (None, 6, 5, 4)
    transposed = layers.Conv2DTranspose(7, 3, strides=2, padding="same")
    assert layer_macs(transposed, shape) == 6 * 5 * 4 * 9 * 7
    grouped = layers.Conv2D(8, 3, strides=2, padding="same", groups=2)
    assert layer_macs(grouped, shape) == 3 * 3 * 8 * 9 * 4 // 2
    assert layer_macs(layers.Dense(3), (None, 5, 2)) == 5 * 2 * 3
    assert layer_macs(layers.MaxPooling2D(), shape) == 0
    unknown = layers.EinsumDense("ab,bc->ac", 3)
    unknown.build((None, 2))
    with pytest.raises(InputError, match=r"MACs of a EinsumDense with .*kernel; .* register what it costs"):
        layer_macs(unknown, (None, 2))


@pytest.mark.parametrize(
    ("concentration", "mean", "variance"),
    [
        ((0.9, 0.9), (0, 0), (0.5556, 0.5556)),
        ((1.0, 0.25, 0.1), (1.2296, -0.1567, -1.0730), (2, 3, 5)),
    ],
)
def test_prior_of_the_dirichlet_vae(concentration, mean, variance):
    found = prior_parameters(concentration)
    assert found[0].round(4).tolist() == list(mean)
    assert found[1].round(4).tolist() == list(variance)


def test_dirichlet_formulas():
    vae = DirichletVae(DirichletConfig(5, (1.0, 0.25, 0.1)), 2, (4, 3, 1))
    x = RNG.random((6, 4, 3, 1)).astype("float32") * (RNG.random((6, 4, 3, 1)) < 0.6)
    mean, log_variance = (values(v).astype(float) for v in vae.moments(x))
    p, found = values(vae(x)).astype(float), vae.divergences(x)
    np.testing.assert_allclose(p.sum(axis=(1, 2, 3)), 1, atol=1e-6)
    np.testing.assert_allclose(values(vae.mixture(x)).sum(axis=1), 1, atol=1e-6)
    safe = np.where(x > 0, x, 1)
    np.testing.assert_allclose(values(found["kl"]), (x * (np.log(safe) - np.log(p))).sum(axis=(1, 2, 3)), atol=1e-5)
    m, v = prior_parameters((1.0, 0.25, 0.1))
    kl = 0.5 * (np.exp(log_variance) / v + (mean - m) ** 2 / v - 1 + np.log(v) - log_variance).sum(axis=1)
    np.testing.assert_allclose(values(found["latent_kl"]), kl, rtol=1e-5)
    terms = vae.objective(x)
    np.testing.assert_allclose(values(terms["latent_kl"]), 0.1 * kl, rtol=1e-5)
    # In training z is drawn: by the seed, and by nothing else.
    draws = [values(vae.divergences(x, True, np.array(seed, "int32"))["kl"]) for seed in ((1, 2), (1, 2), (1, 3))]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_prior_is_where_the_latent_divergence_vanishes():
    vae = DirichletVae(DirichletConfig(5), 2, (4, 3, 1))
    mean, variance = prior_parameters(vae.config.concentration)
    for layer, bias in (("mean", mean), ("log_variance", np.log(variance))):
        dense = vae.encoder.get_layer(layer)
        dense.kernel.assign(np.zeros(dense.kernel.shape))
        dense.bias.assign(bias)
    assert np.abs(values(vae.divergences(np.ones((2, 4, 3, 1)))["latent_kl"])).max() < 1e-6


def test_a_flip_of_the_image_is_a_permutation_of_the_first_kernel():
    vae, flipped = (DirichletVae(DirichletConfig(5), 2, (4, 3, 1)) for _ in range(2))
    for model in (vae, flipped):
        # Whole numbers add up exactly in any order.
        kernel = np.random.default_rng(0).integers(-3, 4, (12, 5)).astype("float32")
        model.encoder.get_layer("hidden").kernel.assign(kernel)
    order = np.arange(12).reshape(4, 3)[:, ::-1].ravel()
    flipped.encoder.get_layer("hidden").kernel.assign(kernel[order])
    x = (RNG.random((6, 4, 3, 1)) < 0.5).astype("float32")
    assert (values(vae.moments(x)[0]) == values(flipped.moments(x[:, :, ::-1])[0])).all()
    assert (values(vae.moments(x)[0]) != values(vae.moments(x[:, :, ::-1])[0])).any()


def test_qcd_or_what_grids_and_probability():
    model = QcdOrWhat(QcdOrWhatConfig(), seed=1)
    assert model.encoder.output_shape == (None, 32)
    assert model.decoder.get_layer("crop").input.shape == (None, 80, 80, 5)
    assert model.decoder.output_shape == (None, 72, 58, 1)
    flat = [layer for layer in model.encoder.layers if isinstance(layer, keras.layers.Flatten)]
    assert flat[0].output.shape == (None, 1260)
    p = values(model(MASKS)).astype(float)
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-values(model.logits(MASKS)).astype(float))), atol=1e-6)
    loss = -(MASKS * np.log(p) + (1 - MASKS) * np.log1p(-p)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(values(model.objective(MASKS)["bce"]), loss, rtol=1e-4)


def test_cct_input_is_the_summed_energy():
    images = np.zeros((1, 72, 58, 3), "float32")
    images[0, 1, 2] = (100, 200, 700)
    images[0, 3, 4] = (1500, 1500, 0)
    energy = energy_images(images)
    assert energy.dtype == np.float32
    assert energy[0, 1, 2, 0] == 0.5
    assert energy[0, 3, 4, 0] == 1
    assert np.count_nonzero(energy) == 2


def test_cct_tokens_are_told_apart_by_the_embedding_alone():
    tokens, order = RNG.normal(size=(2, 7, 4)).astype("float32"), RNG.permutation(7)
    pooling, embedding = SequencePooling(seed=1), PositionalEmbedding(seed=1)
    bare = values(pooling(tokens))
    np.testing.assert_allclose(bare, values(pooling(tokens[:, order])), atol=1e-6)
    placed = [values(pooling(embedding(x))) for x in (tokens, tokens[:, order])]
    assert np.abs(placed[0] - placed[1]).max() > 1e-3
    embedding.embedding.assign(np.zeros((7, 4)))
    assert (values(pooling(embedding(tokens))) == bare).all()
    weights = values(keras.ops.softmax(pooling.dense(tokens), axis=1))
    np.testing.assert_allclose(bare, (weights * tokens).sum(axis=1), atol=1e-6)


def test_whole_cct_without_embedding_does_not_see_where_tokens_are(cct):
    """Behind the tokenizer, a permutation of the tokens changes nothing unless the embedding is there."""
    tokens = RNG.normal(size=(2, 270, 128)).astype("float32")
    position = cct.network.get_layer("position")
    behind = keras.Model(position.input, cct.network.output)
    kept, order = values(position.embedding), RNG.permutation(270)
    with_embedding = [values(behind(x)) for x in (tokens, tokens[:, order])]
    position.embedding.assign(np.zeros_like(kept))
    without = [values(behind(x)) for x in (tokens, tokens[:, order])]
    position.embedding.assign(kept)
    np.testing.assert_allclose(without[0], without[1], atol=1e-4)
    assert np.abs(with_embedding[0] - with_embedding[1]).max() > 1e-3


def test_the_embedding_is_trained_and_saved(cct, tmp_path):
    from codae_l1.models.training.saving import load_model, save_model

    position = cct.network.get_layer("position")
    assert any(v is position.embedding for v in cct.trainable_variables)
    position.embedding.assign(values(position.embedding) + 1)
    save_model(cct, tmp_path / "cct.keras")
    loaded = load_model(tmp_path / "cct.keras", Cct)
    assert loaded.config == cct.config
    assert (values(loaded.network.get_layer("position").embedding) == values(position.embedding)).all()
    energy = RNG.random((2, 72, 58, 1)).astype("float32")
    assert (values(loaded(energy)) == values(cct(energy))).all()


def test_attention_kernels_differ_and_follow_from_the_seed(cct):
    def kernels(model):
        layers = [x for x in model.network.layers if isinstance(x, keras.layers.MultiHeadAttention)]
        return [values(v) for layer in layers for v in layer.trainable_variables if len(v.shape) == 3]

    ours = kernels(cct)
    assert len(ours) == 8
    assert len({k.ravel()[0].item() for k in ours}) == 8
    assert np.abs(ours[0]).max() == pytest.approx(np.sqrt(6 / (128 + 256)), rel=0.01)
    for a, b, c in zip(ours, kernels(Cct(PAPER_CCT, 1)), kernels(Cct(PAPER_CCT, 2)), strict=True):
        assert (a == b).all()
        assert (a != c).any()


def test_stochastic_depth_drops_whole_branches_at_its_rate_and_keeps_the_mean():
    from codae_l1.models.systems._cct import _depth
    from codae_l1.models.training.network import SeededLayers

    x, rate = keras.Input((3, 2)), 0.3
    depth = keras.Model(x, _depth(x, rate, SeededLayers(1)))
    ones = np.ones((20_000, 3, 2), "float32")
    found = values(depth(ones, training=True))
    assert set(np.unique(found)) == {0, np.float32(1 / (1 - rate))}
    # All of an event's branch, or nothing.
    assert (found == found[:, :1, :1]).all()
    dropped = np.mean(found[:, 0, 0] == 0)
    assert abs(dropped - rate) < 4 * np.sqrt(rate * (1 - rate) / len(ones))
    assert (values(depth(ones, training=False)) == 1).all()


def test_stochastic_depth_rises_from_layer_to_layer():
    network = Cct(CctConfig(filters=(2, 2, 4), layers=3, heads=1, key=2, mlp=(3, 4))).network
    rates = [x.rate for x in network.layers if isinstance(x, keras.layers.Dropout) and x.noise_shape is not None]
    assert rates == pytest.approx([0.05, 0.05, 0.1, 0.1])


def test_label_smoothing_and_classes():
    target = values(smoothed(np.array([0, 2]), 3, 0.1))
    np.testing.assert_allclose(
        target, [[0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3], [0.1 / 3, 0.1 / 3, 0.9 + 0.1 / 3]], rtol=1e-6
    )
    names = np.array(["qcd", "h1000", "svj3100"])
    assert class_index(names, ("qcd", "signal")).tolist() == [0, 1, 1]
    assert class_index(names, ("qcd", "suep", "svj")).tolist() == [0, 1, 2]
    model = Cct(CctConfig(filters=(2, 2, 4), heads=1, key=2, mlp=(3, 4)))
    energy = RNG.random((2, 72, 58, 1)).astype("float32")
    log_p = np.log(values(model(energy)).astype(float))
    loss = values(model.objective(energy, np.array([0, 2]))["cross_entropy"])
    np.testing.assert_allclose(loss, -(target * log_p).sum(axis=1), rtol=1e-4)


def test_slices_give_every_event_and_no_more():
    x = np.arange(10.0).reshape(5, 2)
    found = in_slices(lambda t: {"double": 2 * t, "sum": keras.ops.sum(t, axis=1)}, x, size=2)
    assert (found["double"] == 2 * x).all()
    assert found["sum"].tolist() == x.sum(axis=1).tolist()


def test_a_model_is_compiled_once_follows_its_weights_and_is_not_kept():
    class Scaled(keras.Model):
        traced = 0

        def __init__(self):
            super().__init__()
            self.factor = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            Scaled.traced += 1
            return self.factor * x

        def squared(self, x):
            return self.call(x) ** 2

    model, x = Scaled(), np.arange(5.0, dtype=np.float32)
    assert in_slices(model, x, size=2).tolist() == x.tolist()
    assert in_slices(model.squared, x, size=2).tolist() == (x**2).tolist()
    traced = Scaled.traced
    model.factor.assign(3.0)
    assert in_slices(model, x, size=2).tolist() == (3 * x).tolist()
    assert in_slices(model.squared, x, size=2).tolist() == (9 * x**2).tolist()
    assert Scaled.traced == traced
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_wrong_sizes_are_named():
    with pytest.raises(InputError, match="two filters, two units"):
        QcdOrWhatConfig(units=(401, 100))
    with pytest.raises(InputError, match="the last of mlp as wide as the last of filters"):
        CctConfig(mlp=(64, 32))
    with pytest.raises(InputError, match=r"concentration = \[1\.0\]"):
        DirichletConfig(concentration=(1.0,))
    with pytest.raises(InputError, match="Dirichlet VAE's hidden = 0; expected a number >= 1"):
        DirichletConfig(hidden=0)
