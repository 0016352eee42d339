"""AnomalyCLR on events of objects: features, views, invariance, saving, refusals; the dense auto-encoder."""

from itertools import pairwise

import numpy as np
import pytest

from codae_l1.data.base.config import parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.adc2021 import ROW_CLASS
from codae_l1.models.systems._anomaly_clr import AnomalyClrSystem
from codae_l1.models.systems._dense_autoencoder import DenseAutoencoder
from codae_l1.models.systems.base import LabelledEvents
from codae_l1.models.systems.registry import SystemsConfig, create_system

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src"),
    pytest.mark.usefixtures("small_batches"),
]


def config(training=None, **model):
    """The table [systems.anomaly_clr] with these keys."""
    return parse(SystemsConfig, {"anomaly_clr": {"model": model, "training": training or {}}}, "systems").anomaly_clr


TINY = config({"epochs": 1, "batch_size": 16}, loss="AnomCLR", width=8, layers=1)


def objects(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (n, 19, 3))
    x[..., 0] = 20 + rng.exponential(20, (n, 19))
    x[:, 0, 1] = 0
    return x * (rng.random((n, 19, 1)) < 0.5)


def labelled(x):
    return LabelledEvents(x, np.full(len(x), "qcd"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    system = AnomalyClrSystem(TINY, 3)
    system.fit(labelled(objects(40)), labelled(objects(20, 1)), tmp_path_factory.mktemp("clr"))
    return system


def test_the_published_size_is_one_of_two_keys():
    assert AnomalyClrSystem(config(width=160, layers=4)).parameters == 673_600


def test_features_are_scaled_by_the_background_alone(trained):
    x = objects(40)
    exists = x[..., 0] > 0
    features = trained.network_inputs(x)
    assert (features.shape, features.dtype) == ((40, 19, 7), np.float32)
    scales = [x[exists][:, 0].mean(), np.abs(x[..., 1]).max(), np.abs(x[..., 2]).max()]
    assert trained.scales.tolist() == pytest.approx(scales)
    np.testing.assert_allclose(features[..., :3], x / scales, rtol=1e-6)
    # The kind of a row does not change; an empty row has none.
    assert (features[..., 3:][exists].argmax(axis=1) == np.broadcast_to(ROW_CLASS - 1, (40, 19))[exists]).all()
    assert (features[..., 3:].sum(axis=2) == exists).all()
    # Other events are divided by the same numbers.
    np.testing.assert_allclose(trained.network_inputs(3 * x)[..., :3], 3 * x / scales, rtol=1e-6)


def test_the_loss_sees_the_event_its_positive_and_its_anomaly(trained):
    x = objects(50, 2)
    first, positive, anomaly, present = trained.view((x,), np.random.default_rng(0), True)
    assert (first == trained.network_inputs(x)).all()
    assert (present == 1).all()
    kept = (x[..., 0] > 0).sum(axis=1)
    for view in (positive, anomaly):
        assert (view != first).any(axis=(1, 2))[kept > 0].all()
        # Kinds stay in their rows.
        filled = view[..., 3:].any(axis=2)
        assert (view[..., 3:][filled].argmax(axis=1) == np.broadcast_to(ROW_CLASS - 1, filled.shape)[filled]).all()
    again = trained.view((x,), np.random.default_rng(0), True)
    assert all((a == b).all() for a, b in zip(again, (first, positive, anomaly, present), strict=True))


def test_scores_do_not_depend_on_the_order_of_jets(trained):
    x = objects(30, 3)
    turned = x.copy()
    turned[:, 9:] = x[:, 9:][:, ::-1]
    before, after = trained.scores(x), trained.scores(turned)
    assert list(before) == ["norm", "mahalanobis", "autoencoder"] == [trained.main_score, *trained.further_scores]
    for name, score in before.items():
        np.testing.assert_allclose(after[name], score, rtol=1e-3, err_msg=name)
    x[5] = 0
    assert all(np.isfinite(score).all() for score in trained.scores(x).values())


def test_a_file_keeps_what_it_was_trained_on(trained, tmp_path):
    x = objects(30, 4)
    trained.save(tmp_path / "model.keras")
    other = AnomalyClrSystem(TINY, 7)
    other.load(tmp_path / "model.keras")
    for name, score in trained.scores(x).items():
        assert (other.scores(x)[name] == score).all(), name
    with pytest.raises(InputError, match=r"events of shape \(1, 72, 58, 3\) for anomaly_clr; expected objects"):
        other.scores(np.zeros((1, 72, 58, 3)))
    with pytest.raises(InputError, match=r"objects \(N, 19, 3\); read ADC2021 files"):
        other.scores(np.zeros((1, 18, 3)))
    with pytest.raises(InputError, match="20 events without an object"):
        AnomalyClrSystem(TINY).prepare(labelled(np.zeros((20, 19, 3))))


@pytest.mark.parametrize("wrong", [{"width": 30}, {"layers": 0}, {"loss": "clr"}])
def test_a_wrong_table_is_refused(wrong):
    with pytest.raises(InputError, match=r"anomaly_clr of width|systems.anomaly_clr.model.loss"):
        config(**wrong)


def test_the_dense_autoencoder_learns_what_it_was_shown(tmp_path):
    rng = np.random.default_rng(0)
    # Five numbers behind 20, and one column that never moves: what fits through the bottleneck.
    mixing = rng.normal(size=(5, 20))
    x = np.pad(np.tanh(rng.normal(size=(600, 5))) @ mixing, ((0, 0), (0, 1)))
    network = DenseAutoencoder(1)
    history = network.fit(x, epochs=150)
    sizes = (21, 256, 128, 64, 32, 16, 5, 16, 32, 64, 128, 256, 21)
    assert network.network.count_params() == sum(a * b + b for a, b in pairwise(sizes))
    assert history[-1] < 0.5 * history[0]
    away = rng.normal(size=(600, 21)) * x.std(axis=0)
    assert np.median(network.errors(away)) > 2 * np.median(network.errors(x))
    same = DenseAutoencoder(2)
    same.take(network.arrays())
    assert (same.errors(x) == network.errors(x)).all()
    again = DenseAutoencoder(1)
    assert again.fit(x, epochs=2) == history[:2]


def test_the_raw_autoencoder_is_a_system_of_57_numbers(tmp_path):
    system = create_system("objects_ae", None, 1)
    system.fit(labelled(objects(40)), labelled(objects(20, 1)), tmp_path)
    assert system.autoencoder.network.input_shape == (None, 57)
    assert system.autoencoder.network.get_layer("z").units == 5
    with pytest.raises(InputError, match=r"for objects_ae; expected objects \(N, 19, 3\)"):
        system.scores(np.zeros((1, 72, 58, 3)))
