"""Densities against SciPy, scikit-learn and independent formulas."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.systems import _density as dens
from codae_l1.models.systems._codae import FullModelConfig
from codae_l1.models.systems._latent import MahalanobisSystem, UntrainedSystem, encode
from codae_l1.models.systems.base import LabelledEvents
from codae_l1.models.systems.registry import MixtureConfig

# Keras 3.15 converts TensorFlow variables by np.array(x), which NumPy 2 tells off.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(500, 3)) @ np.array([[2.0, 0, 0], [1, 1, 0], [0.3, -0.2, 0.5]]) + (1, 2, 3)
NEW = RNG.normal(size=(200, 3)) * 3
IMAGES = ((RNG.random((40, 72, 58, 3)) < 0.02) * RNG.exponential(2, (40, 72, 58, 3))).astype(np.float32)
QCD = LabelledEvents(IMAGES, np.repeat("qcd", 40))


def ridged(covariance: np.ndarray) -> np.ndarray:
    return covariance + dens.RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def test_mahalanobis_is_its_formula():
    mean, deviations = Z.mean(0), NEW - Z.mean(0)
    covariance = sum(np.outer(d, d) for d in Z - mean) / len(Z)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", deviations, np.linalg.inv(ridged(covariance)), deviations))
    density = dens.fit_mahalanobis(Z)
    np.testing.assert_allclose(density.rarity(NEW), expected, rtol=1e-9)
    assert density.parameters == 1 + 3 + 9


def test_log_density_of_a_mixture_is_scipys():
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    weights, means = np.array([0.7, 0.3]), np.array([[0.0, 1, 2], [3, 3, 3]])
    covariances = np.array([np.diag([1.0, 2, 3]), np.cov(Z.T)])
    each = [multivariate_normal(m, ridged(c)).logpdf(NEW) for m, c in zip(means, covariances, strict=True)]
    density = dens.Gaussians(weights, means, covariances)
    expected = logsumexp(np.array(each).T + np.log(weights), axis=1)
    np.testing.assert_allclose(density.log_density(NEW), expected, rtol=1e-10)
    assert np.array_equal(density.rarity(NEW), -density.log_density(NEW))


def test_a_mixture_finds_two_clusters_the_same_each_time():
    z = np.concatenate([RNG.normal((-5, 0), 1, (300, 2)), RNG.normal((5, 0), 0.5, (100, 2))])
    density = dens.fit_mixture(z, 2, seed=1)
    order = np.argsort(density.means[:, 0])
    np.testing.assert_allclose(density.weights[order], (0.75, 0.25), atol=1e-3)
    np.testing.assert_allclose(density.means[order], [(-5, 0), (5, 0)], atol=0.2)
    assert np.array_equal(dens.fit_mixture(z, 2, seed=1).means, density.means)


def test_the_isolation_forest_is_scikit_learns():
    from sklearn.ensemble import IsolationForest

    theirs = IsolationForest(n_estimators=20, max_samples=min(256, len(Z)), random_state=5).fit(Z)
    found = dens.fit_isolation(Z, 20, seed=5).rarity(NEW)
    assert np.array_equal(found, -theirs.score_samples(NEW))


@pytest.mark.parametrize(
    "density",
    [dens.Norm(), dens.fit_mahalanobis(Z), dens.fit_mixture(Z, 3, 0), dens.fit_isolation(Z, 5, 0)],
    ids=lambda d: type(d).__name__,
)
def test_a_density_is_its_arrays(density):
    assert np.array_equal(dens.load_density(density.arrays()).rarity(NEW), density.rarity(NEW))


def test_what_a_density_refuses():
    with pytest.raises(InputError, match="a latent that does not vary over QCD"):
        dens.fit_mahalanobis(np.ones((10, 2))).rarity(NEW[:, :2])
    with pytest.raises(InputError, match=r"latents of shape \(1, 3\)"):
        dens.fit_mahalanobis(Z[:1])
    with pytest.raises(InputError, match=r"gaussian_mixture\.components = 0"):
        MixtureConfig(0)


def test_latents_are_those_of_the_encoders():
    model = CoDAE(TINY, seed=2)
    masks = track_mask(IMAGES).astype(np.float32)
    found = encode(model, IMAGES)
    np.testing.assert_allclose(found["z_m"], np.asarray(model.f_m(masks)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["z_r"], np.asarray(model.f_r(masks)).mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_a_density_wants_an_encoder(tmp_path):
    with pytest.raises(InputError, match="mahalanobis without an encoder; expected a trained codae; call use_encoder"):
        MahalanobisSystem().fit(QCD, QCD, tmp_path)


def test_the_untrained_encoder_learnt_nothing():
    system = UntrainedSystem(FullModelConfig(TINY), 2)
    system.fit(QCD, QCD, None)
    names = ["mse", "block_power", "z_m_norm", "z_r_norm", "z_m_mahalanobis", "z_r_mahalanobis"]
    assert list(system.scores(IMAGES)) == names
    assert system.parameters == 0
    z_m = np.asarray(CoDAE(TINY, seed=2).f_m(track_mask(IMAGES).astype(np.float32)), float)
    np.testing.assert_allclose(system.scores(IMAGES)["z_m_norm"], np.hypot(*z_m.T), rtol=1e-4)
