"""The invertible network: its inverse, its determinant by finite differences, its density untrained and trained."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from codae_l1.data.base.errors import InputError
from codae_l1.models.systems._density_configs import InnConfig
from codae_l1.models.systems._energy_flow import energy_flow
from codae_l1.models.systems._flow import AffineFlow, random_rotation
from codae_l1.models.systems._inn import InnSystem
from codae_l1.models.systems.base import LabelledEvents
from codae_l1.models.systems.registry import SystemsConfig
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.loop import train

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

X = np.random.default_rng(3).normal(size=(6, 8)).astype(np.float32)


def jets(n, seed=0):
    """Jets (n, 50, 3) of up to 20 constituents."""
    rng = np.random.default_rng(seed)
    images = np.concatenate([rng.exponential(9, (n, 50, 1)), rng.normal(0, 0.2, (n, 50, 2))], axis=-1)
    images[np.arange(50) >= rng.integers(3, 20, (n, 1))] = 0
    return LabelledEvents(images.astype(np.float32), np.full(n, "qcd"))


@pytest.fixture(scope="module")
def stirred():
    """A flow of four couplings whose last layers are not zero."""
    model, rng = AffineFlow(InnConfig(4, 16), seed=1), np.random.default_rng(4)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + rng.normal(0, 0.05, variable.shape))
    return model


def test_the_published_size():
    default = AffineFlow(SystemsConfig().inn.model)
    assert len(default.couplings) == 24
    assert default.macs == 24 * (8 * 8 + 4 * 512 + 2 * 512 * 4)
    assert sum(v.numpy().size for v in default.trainable_variables) == 24 * (4 * 512 + 512 + 2 * (512 * 4 + 4))


def test_rotations_are_orthogonal_and_differ():
    first, other = (random_rotation(8, seed) for seed in (1, 2))
    for rotation in (first, other):
        assert rotation @ rotation.T == pytest.approx(np.eye(8), abs=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
    assert np.abs(first - other).max() > 0.1
    assert (random_rotation(8, 1) == first).all()


def test_the_inverse_gives_the_input_back(stirred):
    z, _ = stirred.forward(X)
    assert np.abs(z.numpy() - X).max() > 0.5
    assert stirred.inverse(z).numpy() == pytest.approx(X, abs=2e-5)


def test_the_log_determinant_is_that_of_finite_differences(stirred):
    step = 1e-2
    z = stirred.forward(X)[0].numpy()
    shifts = step * np.eye(8, dtype=np.float32)
    ahead, behind = (
        np.stack([stirred.forward(X + s * shift)[0].numpy() for shift in shifts], axis=1).astype(np.float64)
        for s in (1, -1)
    )
    jacobian = (ahead - behind) / (2 * step)
    sign, found = np.linalg.slogdet(jacobian)
    _, log_determinant = stirred.forward(X)
    assert (sign == 1).all()
    assert np.abs(found).max() > 0.1
    assert log_determinant.numpy() == pytest.approx(found, abs=1e-2)
    nll = 0.5 * np.square(z).sum(axis=1) + 4 * np.log(2 * np.pi) - log_determinant.numpy()
    assert stirred(X).numpy() == pytest.approx(nll, rel=1e-5)


def test_untrained_it_is_the_gaussian_of_the_whitened_polynomials():
    system, sample = InnSystem(InnSystem.small(), seed=2), jets(300)
    system.prepare(sample)
    white = system.network_inputs(sample.images)
    assert white.mean(axis=0) == pytest.approx(np.zeros(8), abs=1e-4)
    assert np.cov(white, rowvar=False) == pytest.approx(np.eye(8), abs=1e-3)
    standard = multivariate_normal(np.zeros(8), np.eye(8))
    assert system.raw_scores(sample.images)["nll"] == pytest.approx(-standard.logpdf(white), rel=1e-5)
    # In other words: half the squared Mahalanobis distance of the polynomials.
    found = energy_flow(sample.images)
    centred = found - found.mean(axis=0)
    distance = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(np.cov(found, rowvar=False)), centred)
    nll = distance / 2 + 4 * np.log(2 * np.pi)
    assert system.raw_scores(sample.images)["nll"] == pytest.approx(nll, rel=1e-3)


def test_it_learns_a_density_that_is_known(tmp_path):
    """Each number but the first is normal around the first one's square: -log p is known, and far from a Gaussian's."""
    rng = np.random.default_rng(5)
    first, others = rng.normal(size=(2400, 1)), rng.normal(size=(2400, 7))
    x = np.concatenate([first, 0.7 * (first**2 - 1) + 0.5 * others], axis=1).astype(np.float32)
    nll = 0.5 * (first[:, 0] ** 2 + np.square(others).sum(axis=1)) + 4 * np.log(2 * np.pi) + 7 * np.log(0.5)
    model = AffineFlow(InnConfig(4, 32), seed=1)
    before = model(x[2000:]).numpy().mean()
    config = TrainingConfig(epochs=12, batch_size=100, learning_rate=1e-2, final_rate=0.05, augment=False)
    history = train(model, x[:1800], x[1800:2000], config, tmp_path)
    found = model(x[2000:]).numpy()
    true = nll[2000:]
    # No density is better than the true one: what is left is above zero, and small beside what was learned.
    left = found.mean() - true.mean()
    assert -0.2 < left < 0.3 * (before - true.mean())
    assert np.corrcoef(found, true)[0, 1] > 0.8
    assert history["validation_loss"][-1] < history["validation_loss"][0]


def test_constituents_in_another_order_or_padded_score_the_same_and_an_empty_jet_has_a_score():
    system, sample = InnSystem(InnSystem.small(), seed=2), jets(40)
    system.prepare(sample)
    images, rng = sample.images.copy(), np.random.default_rng(0)
    found = system.raw_scores(images)["nll"]
    assert system.raw_scores(images[:, rng.permutation(50)])["nll"] == pytest.approx(found, rel=1e-4)
    images[7] = 0
    with_empty = system.raw_scores(images)["nll"]
    assert np.isfinite(with_empty).all()
    assert (np.delete(with_empty, 7) == np.delete(found, 7)).all()


def test_a_jet_beyond_all_others_scores_highest_and_broken_weights_are_not_hidden():
    system, sample = InnSystem(InnSystem.small(), seed=2), jets(100)
    system.prepare(sample)
    system.whitener *= 1e30
    # What no float32 holds when it is squared.
    nll = system.raw_scores(sample.images)["nll"]
    assert (nll == np.finfo(np.float32).max).all()
    system.whitener /= 1e30
    system.model.couplings[0].shift.bias.assign(np.full(4, np.nan, np.float32))
    assert np.isnan(system.raw_scores(sample.images)["nll"]).all()


def test_jets_that_do_not_vary_are_refused():
    system = InnSystem(InnSystem.small())
    same = LabelledEvents(np.repeat(jets(1).images, 5, axis=0), np.full(5, "qcd"))
    with pytest.raises(InputError, match="5 jets to train inn whose polynomials do not vary; expected jets that diff"):
        system.prepare(same)
    with pytest.raises(InputError, match="inn's couplings = 0; expected a number >= 1"):
        InnConfig(couplings=0)
    with pytest.raises(InputError, match=r"images of shape \(2, 8, 8, 1\) for inn; expected constituents \(N, 50, 3\)"):
        system.network_inputs(np.zeros((2, 8, 8, 1)))
