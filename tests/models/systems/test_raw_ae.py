"""Principal components and the dense auto-encoder of pooled counts: against NumPy."""

import numpy as np
import pytest

from codae_l1.data.base.config import parse
from codae_l1.data.base.errors import InputError
from codae_l1.models.systems._raw_ae import LEAST_SCALE
from codae_l1.models.systems.base import LabelledEvents
from codae_l1.models.systems.pca import pooled_counts
from codae_l1.models.systems.registry import (
    PcaEventsConfig,
    RawAEConfig,
    RawAESystemConfig,
    SystemsConfig,
    SystemTraining,
    create_system,
)

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

CONFIGS = {
    "pca_events": PcaEventsConfig(3),
    "raw_ae": RawAESystemConfig(RawAEConfig((8,), 2), SystemTraining(epochs=3, batch_size=16)),
}


def events(n: int, seed: int, labels: tuple[str, ...] = ("qcd",)) -> LabelledEvents:
    """n events of sparse tracks, more of them in the upper half."""
    rng = np.random.default_rng(seed)
    share = np.where(np.arange(72) < 36, 0.02, 0.06)[:, None, None]
    return LabelledEvents((rng.random((n, 72, 58, 3)) < share).astype(np.float32), np.resize(labels, n))


@pytest.fixture(scope="module", params=list(CONFIGS))
def trained(request, tmp_path_factory):
    """(system, history)"""
    system = create_system(request.param, CONFIGS[request.param], seed=2)
    return system, system.fit(events(80, 0), events(20, 1), tmp_path_factory.mktemp("system"))


@pytest.mark.parametrize("trained", ["pca_events"], indirect=True)
def test_components_are_those_of_a_singular_value_decomposition(trained):
    system, _ = trained
    x, new = (pooled_counts(events(n, seed).images).reshape(n, -1).astype(float) for n, seed in ((80, 0), (6, 5)))
    v = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:3]
    rest = (new - x.mean(axis=0)) @ (np.eye(270) - v.T @ v)
    np.testing.assert_allclose(system.scores(events(6, 5).images)["mse"], (rest**2).sum(axis=1), rtol=1e-5)
    assert (system.parameters, system.macs) == (4 * 270, 6 * 270)


@pytest.mark.parametrize("trained", ["raw_ae"], indirect=True)
def test_the_auto_encoder_reads_counts_standardised_by_its_training_events(trained):
    system, history = trained
    counts, new = pooled_counts(events(80, 0).images), pooled_counts(events(6, 5).images)
    scale = np.maximum(counts.std(axis=0), LEAST_SCALE)
    h = (new - counts.mean(axis=0)) / scale
    expected = np.square(h - np.asarray(system.model.network(h))).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(system.scores(events(6, 5).images)["mse"], expected, rtol=1e-4)
    assert history["loss"][-1] < history["loss"][0]
    assert system.macs == 2 * (270 * 8 + 8 * 2)
    function, inputs = system.predict_function(events(2, 5).images)
    assert function(*inputs).shape == (2, 18, 15, 1)


def test_a_cell_that_is_always_empty_is_divided_by_the_least_scale():
    model = create_system("raw_ae", CONFIGS["raw_ae"]).model
    counts = np.zeros((4, 18, 15, 1), np.float32)
    counts[:2, 0, 0] = 4.0
    model.standardise_by(counts)
    scale = np.asarray(model.scale)
    assert (scale[0, 0, 0], scale[5, 5, 0]) == (2.0, np.float32(LEAST_SCALE))


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_that_they_refuse(name):
    wrong = {"pca_events": {"components": 271}, "raw_ae": {"model": {"bottleneck": 0}}}[name]
    with pytest.raises(InputError, match=r"components = 271; expected 0 to 270|bottleneck 0; expected numbers >= 1"):
        parse(SystemsConfig, {name: wrong})
