"""The categorical CoDVAE: published size, densities against integrals, KL against its exact value, modes, saving."""

import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.codvae import (
    COMPACT_CODVAE,
    PAPER_CODVAE,
    TINY_CODVAE,
    CoDVAE,
    MixturePrior,
    _log_density,
    _sample_log,
    create_model,
    load_codae,
)
from codae_l1.models.codae.config import CODVAE_SCORES, PAPER, SCORES, TINY, CategoricalConfig
from codae_l1.models.codae.model import CoDAE, save_codae
from codae_l1.models.codae.scores import codae_scores
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.loop import train

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

RNG = np.random.default_rng(0)
MASKS = (RNG.random((6, 72, 58, 1)) < 0.02).astype(np.uint8)
MASK = MASKS.astype("float32")
# Six classes, so that a sum over classes is not taken for one over two.
CONFIG = replace(TINY_CODVAE, latent_channels=6)


def values(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


@pytest.fixture(scope="module")
def model() -> CoDVAE:
    return CoDVAE(CONFIG, seed=3)


def test_paper_size_has_the_published_parameters():
    model, codae = CoDVAE(PAPER_CODVAE), CoDAE(PAPER)
    # A 1x1 convolution from 256 channels to a temperature, and 5 x 4 cells x 5 components x 64 classes of the prior.
    assert model.f_r.count_params() - codae.f_r.count_params() == 256 + 1
    assert model.prior.count_params() == 5 * 4 * 5 * 64
    assert model.f_m.count_params() == codae.f_m.count_params()
    assert model.decoder.count_params() == codae.decoder.count_params()
    assert model.count_params() == 1_653_124
    assert [tuple(x.shape) for x in model.f_r.outputs] == [(None, 5, 4, 64), (None, 5, 4, 1)]
    assert CoDVAE(COMPACT_CODVAE).count_params() == 247_155 + 64 + 1 + 6_400


def test_density_of_z_integrates_to_one():
    # Three classes: a grid over the simplex; z3 = 1 - z1 - z2, and the density of z is that of log z over z1 z2 z3.
    step = 1 / 400
    z1, z2 = np.meshgrid(np.arange(step / 2, 1, step), np.arange(step / 2, 1, step))
    inside = z1 + z2 < 1 - step / 4
    z = np.stack([z1, z2, 1 - z1 - z2], axis=-1)[inside].astype("float32")
    y, logits = np.log(z), np.array([0.5, -0.3, 0.1], "float32")
    for temperature in (0.7, 1.0, 1.8):
        density = values(_log_density(y, logits, np.full(1, temperature, "float32"))) - y.sum(axis=-1)
        assert np.exp(density).sum() * step**2 == pytest.approx(1, abs=0.03)


def test_samples_follow_the_density():
    # Mean of z1 over samples, and by integration of the density of two classes.
    logits, temperature = np.array([0.8, -0.4], "float32"), np.full(1, 1.5, "float32")
    gumbel = -np.log(-np.log(RNG.random((40_000, 2)))).astype("float32")
    sampled = np.exp(values(_sample_log(logits, temperature, gumbel)))
    np.testing.assert_allclose(sampled.sum(axis=-1), 1, atol=1e-5)
    z1 = (np.arange(20_000) + 0.5) / 20_000
    y = np.log(np.stack([z1, 1 - z1], axis=-1)).astype("float32")
    density = np.exp(values(_log_density(y, logits, temperature)) - y.sum(axis=-1))
    assert density.mean() == pytest.approx(1, abs=1e-3)
    assert sampled[:, 0].mean() == pytest.approx((density * z1).mean(), abs=0.005)
    assert sampled[:, 0].std() == pytest.approx(
        np.sqrt((density * z1**2).mean() - (density * z1).mean() ** 2), abs=0.005
    )


def test_density_is_finite_where_z_underflows():
    logits, temperature = np.array([60.0, -60.0], "float32"), np.full(1, 0.1, "float32")
    y = values(_sample_log(logits, temperature, np.zeros(2, "float32")))
    assert np.exp(y[1]) == 0
    assert np.isfinite(values(_log_density(y, logits, temperature)))


def test_prior_is_an_equal_mixture_in_each_cell():
    prior = MixturePrior(components=3, classes=4, seed=1)
    y = np.log(RNG.dirichlet(np.ones(4), (2, 5, 4))).astype("float32")
    logits = values(prior.logits)
    assert logits.shape == (5, 4, 3, 4)
    assert prior.temperatures.shape == (3,)
    assert ((prior.temperatures >= 0.1) & (prior.temperatures < 1)).all()
    parts = [
        np.exp(values(_log_density(y, logits[:, :, j], prior.temperatures[j : j + 1])).astype(float)) for j in range(3)
    ]
    np.testing.assert_allclose(values(prior(y)), np.log(np.mean(parts, axis=0)), atol=1e-4)


def test_prior_starts_as_published_and_learns_logits_alone():
    prior = MixturePrior(components=5, classes=64, seed=0)
    logits = values(prior.logits)
    np.testing.assert_allclose(logits.mean(axis=(0, 1, 3)), np.linspace(-3, 3, 5), atol=0.1)
    assert logits.std(axis=(0, 1, 3)) == pytest.approx(np.ones(5), abs=0.05)
    assert [v.name for v in prior.variables] == ["logits"]


def test_kl_is_zero_where_the_posterior_is_the_prior(model):
    # One component of the posterior's own logits and temperature.
    same = CoDVAE(replace(CONFIG, categorical=CategoricalConfig(components=1, samples=4)), seed=3)
    for part, value in (("z_r", 0.0), ("softplus", 0.0)):
        layer = same.f_r.get_layer(part)
        layer.kernel.assign(np.full(layer.kernel.shape, value))
    same.prior.logits.assign(np.zeros(same.prior.logits.shape))
    same.prior.temperatures = np.full(1, 1 + np.log(2), "float32")
    np.testing.assert_allclose(values(same.objective(MASK)["kl"]), 0, atol=1e-4)
    assert (values(model.objective(MASK)["kl"]) > 0.1).all()


def test_kl_tends_to_the_integral():
    # Two classes; the KL of one cell by integration over z1, times the 20 equal cells.
    config = replace(CONFIG, latent_channels=2, categorical=CategoricalConfig(components=2, samples=4000))
    model = CoDVAE(config, seed=1)
    logits, temperature = np.array([1.2, -0.5], "float32"), np.full(1, 1 + np.log(2), "float32")
    for part, bias in (("z_r", logits), ("softplus", np.zeros(1))):
        layer = model.f_r.get_layer(part)
        layer.kernel.assign(np.zeros(layer.kernel.shape))
        layer.bias.assign(bias)
    model.prior.logits.assign(np.broadcast_to([[0.0, 1.0], [-1.0, 0.5]], (5, 4, 2, 2)))
    z1 = (np.arange(100_000) + 0.5) / 100_000
    y = np.log(np.stack([z1, 1 - z1], axis=-1)).astype("float32")
    log_q = values(_log_density(y, logits, temperature))
    log_p = values(model.prior(np.broadcast_to(y[:, None, None], (len(y), 5, 4, 2))))[:, 0, 0]
    exact = 20 * (np.exp(log_q - y.sum(axis=-1)) * (log_q - log_p)).mean()
    assert float(model.objective(MASK[:1])["kl"][0]) == pytest.approx(exact, rel=0.03)


def test_weight_of_the_kl(model):
    half = CoDVAE(replace(CONFIG, categorical=replace(CONFIG.categorical, kl_weight=0.5)), seed=3)
    a, b = model.objective(MASK), half.objective(MASK)
    np.testing.assert_allclose(values(b["kl"]), values(a["kl"]) / 2, rtol=1e-6)
    assert (values(a["bce"]) == values(b["bce"])).all()


def test_evaluation_is_deterministic_and_training_draws(model):
    z = values(model.latent(MASK))
    logits, temperature = map(values, model.f_r(MASK))
    assert (temperature > 1).all()
    scaled = np.exp((logits / temperature).astype(float))
    np.testing.assert_allclose(z, scaled / scaled.sum(axis=-1, keepdims=True), atol=1e-6)
    assert (values(model(MASK)) == values(model(MASK))).all()
    first, same, other = (values(model.objective(MASK, training=True, seed=s)["bce"]) for s in ((1, 2), (1, 2), (1, 3)))
    assert (first == same).all()
    assert (first != other).all()
    # Each event draws its own numbers in training, none elsewhere.
    twice = np.concatenate([MASK[:1], MASK[:1]])
    a, b = values(model.objective(twice, training=True, seed=(1, 2))["kl"])
    assert a != b
    a, b = values(model.objective(twice)["kl"])
    assert a == b


def test_scores_follow_their_formulas(model):
    scores = codae_scores(model, MASKS, batch_size=4)
    assert tuple(scores) == SCORES + CODVAE_SCORES
    z = values(model.latent(MASK)).astype(float)
    _, temperature = map(values, model.f_r(MASK))
    expected = {
        "kl": values(model.objective(MASK)["kl"]) / CONFIG.categorical.kl_weight,
        "elbo": scores["bce"] + scores["kl"],
        "entropy": -(z * np.log(z)).sum(axis=(1, 2, 3)),
        "temperature": temperature.mean(axis=(1, 2, 3)),
        "z_r_norm": np.sqrt((z**2).sum(axis=(1, 2, 3))),
        "mse": ((MASK - values(model(MASK))) ** 2).sum(axis=(1, 2, 3)),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name], value, rtol=2e-4, err_msg=name)


def test_saved_model_is_equal_to_the_bit(model, tmp_path):
    save_codae(model, tmp_path / "codvae.keras")
    loaded = load_codae(tmp_path / "codvae.keras")
    assert type(loaded) is CoDVAE
    assert loaded.config == CONFIG
    assert (loaded.prior.temperatures == model.prior.temperatures).all()
    assert all((values(a) == values(b)).all() for a, b in zip(model.weights, loaded.weights, strict=True))
    assert (values(loaded.objective(MASK)["kl"]) == values(model.objective(MASK)["kl"])).all()


def test_a_process_that_has_made_no_codvae_reads_one(model, tmp_path):
    save_codae(model, tmp_path / "codvae.keras")
    read = f"print(type({load_codae.__name__}({str(tmp_path / 'codvae.keras')!r})).__name__)"
    code = f"from {load_codae.__module__} import {load_codae.__name__}; {read}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "CoDVAE\n"


def test_training_adds_its_terms_and_resumes(tmp_path):
    masks = (np.random.default_rng(1).random((24, 72, 58, 1)) < 0.02).astype(np.uint8)
    config = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-2)
    history = train(CoDVAE(TINY_CODVAE, seed=5), masks, masks, config, tmp_path / "a")
    for kind in ("", "validation_"):
        total = np.add(history[f"{kind}bce"], history[f"{kind}kl"])
        np.testing.assert_allclose(history[f"{kind}loss"], total, rtol=1e-6)
    assert history["validation_loss"][1] < history["validation_loss"][0]

    def kill(done, total, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CoDVAE(TINY_CODVAE, seed=5), masks, masks, config, tmp_path / "b", kill)
    resumed = CoDVAE(TINY_CODVAE, seed=5)
    prior = values(resumed.prior.logits)
    assert train(resumed, masks, masks, config, tmp_path / "b") == history
    assert (values(resumed.prior.logits) != prior).any()


def test_config_chooses_the_model():
    assert type(create_model(TINY)) is CoDAE
    assert type(create_model(TINY_CODVAE)) is CoDVAE
    with pytest.raises(InputError, match=r"for a CoDAE; expected .* use models\.codvae\.create_model"):
        CoDAE(TINY_CODVAE)
    with pytest.raises(InputError, match=r"model\.categorical = .*'samples': 0"):
        CategoricalConfig(samples=0)
