"""DarkCLR: the published size, its loss on its own views, order and empty rows of constituents, what it refuses."""

import dataclasses

import numpy as np
import pytest

from codae_l1.data.base.config import parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.jet_images import read_jets
from codae_l1.data.sample import DARK_JETS
from codae_l1.models.systems._dark_clr import PT_SCALE, DarkClrSystem
from codae_l1.models.systems._jet_augmentations import centred
from codae_l1.models.systems.base import LabelledEvents
from codae_l1.models.systems.registry import SystemsConfig, SystemTraining, create_system
from codae_l1.models.training.loop import _create_optimizer

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")


@pytest.fixture(scope="module")
def sample():
    return read_jets(DARK_JETS, ("constituents",))


@pytest.fixture(scope="module")
def trained(sample, tmp_path_factory):
    """A small system trained on shipped QCD jets, and all shipped jets."""
    config = dataclasses.replace(DarkClrSystem.small(), training=SystemTraining(10, 16, 3e-3))
    system = DarkClrSystem(config, seed=1)
    jets = sample.images["constituents"]
    qcd = jets[sample.kind == "qcd"]
    parts = (LabelledEvents(x, np.full(len(x), "qcd")) for x in (qcd[:160], qcd[160:]))
    system.fit(*parts, tmp_path_factory.mktemp("dark_clr"))
    return system, jets


def test_the_published_size_and_optimizer():
    config = parse(SystemsConfig, {"dark_clr": {"model": {"width": 128}}}, "systems").dark_clr
    system = create_system("dark_clr", config)
    assert system.parameters == 1_122_304
    assert system.macs > 0
    optimizer = _create_optimizer(system.training_config(), system.model)
    assert (optimizer.epsilon, optimizer.weight_decay) == (1e-4, 0.0)
    # Another network has Keras' own.
    assert (
        _create_optimizer(system.training_config(), create_system("jet_ae", SystemsConfig().jet_ae).model).epsilon
        == 1e-7
    )


def test_scores_do_not_depend_on_order_or_empty_rows(trained):
    system, jets = trained
    scores = system.scores(jets)
    order = np.random.default_rng(0).permutation(jets.shape[1])
    shuffled = system.scores(jets[:, order])
    for name, score in scores.items():
        np.testing.assert_allclose(shuffled[name], score, rtol=2e-4)
    # What stands in a row without pT is not looked at.
    garbage = np.where(jets[..., :1] > 0, jets, np.array([0.0, 3.0, -2.0], np.float32))
    assert all((system.scores(garbage)[name] == score).all() for name, score in scores.items())
    # Nor where in eta and phi the jet lies.
    away = np.where(jets[..., :1] > 0, jets + np.array([0, 0.3, -0.2], np.float32), 0)
    for name, score in system.scores(away).items():
        np.testing.assert_allclose(score, scores[name], rtol=2e-3)


def test_the_score_is_the_norm_of_z_of_scaled_centred_jets(trained):
    system, jets = trained
    x = centred(jets[:5]) / [PT_SCALE, 1, 1]
    z = np.asarray(system.model(x.astype(np.float32)), np.float64)
    np.testing.assert_allclose(system.scores(jets[:5])["norm"], np.linalg.norm(z, axis=1), rtol=1e-5)
    h = system.latent(jets).astype(np.float64)
    assert h.shape == (len(jets), 8)
    assert (system.scores(jets)["mahalanobis"] >= 0).all()
    assert list(system.scores(jets)) == [system.main_score, *system.further_scores]


def test_a_view_has_three_jets_of_the_same_pt_and_evaluation_is_always_the_same(trained):
    system, jets = trained
    arrays = (system.training_events(LabelledEvents(jets[:9], np.full(9, "qcd"))),)
    base, positive, anomaly, present = system.view(arrays, np.random.default_rng(0), True)
    assert present.tolist() == [1] * 9
    for view in (base, positive, anomaly):
        assert (view.dtype, view.shape) == (np.float32, (9, 50, 3))
        np.testing.assert_allclose(PT_SCALE * view[..., 0].sum(axis=1), jets[:9, :, 0].sum(axis=1), rtol=1e-5)
    assert (base[..., 0] == positive[..., 0]).all()
    assert ((anomaly[..., 0] > 0).sum(axis=1) < (base[..., 0] > 0).sum(axis=1)).all()
    again = system.view(arrays, np.random.default_rng(0), False)
    assert all((a == b).all() for a, b in zip(again, (base, positive, anomaly, present), strict=True))


def test_it_learns_to_tell_a_thinned_jet(trained, sample):
    """The anomaly view is driven away, and the positive one is drawn near: the loss falls below zero."""
    system, jets = trained
    arrays = (system.training_events(LabelledEvents(jets, sample.kind)),)
    views = system.view(arrays, np.random.default_rng(5), False)
    fresh = system.before_training(*[LabelledEvents(jets[:40], np.full(40, "qcd"))] * 2)
    loss = {k: float(np.mean(s.model.objective(*views)["AnomCLR+"])) for k, s in (("after", system), ("before", fresh))}
    assert loss["after"] < loss["before"]
    assert loss["after"] < -0.4


def test_images_and_wrong_widths_are_refused(trained):
    system, _ = trained
    with pytest.raises(
        InputError, match=r"images of shape \(2, 40, 40, 1\) for dark_clr; expected constituents \(N, 50"
    ):
        system.scores(np.zeros((2, 40, 40, 1), np.float32))
    with pytest.raises(InputError, match=r"dark_clr.model.width = 30; expected a multiple of its 4 heads"):
        parse(SystemsConfig, {"dark_clr": {"model": {"width": 30}}}, "systems")
