"""The set encoder and its losses: published sizes, symmetry, empty rows, NumPy twins of the losses, saving."""

import numpy as np
import pytest
from keras import ops

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation.macs import count_macs
from codae_l1.models.systems._contrastive import (
    ANOMALY_CLR,
    DARK_CLR,
    TAU,
    ContrastiveNetwork,
    EncoderConfig,
    contrastive_loss,
)
from codae_l1.models.training.saving import load_model, save_model

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

SMALL = EncoderConfig(3, width=8, feed_forward=12, heads=2, layers=2, head=(6, 5))
EXACT = {"rtol": 0, "atol": 2e-6}


def values(x) -> np.ndarray:
    return ops.convert_to_numpy(x)


def objects(n=4, rows=6, seed=0):
    """n sets of objects, the last rows of each empty."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, rows, 3)).astype("float32")
    x[..., 0] = rng.exponential(size=(n, rows))
    x[:, rows - 2 :] = 0
    return x


@pytest.fixture(scope="module")
def network() -> ContrastiveNetwork:
    return ContrastiveNetwork(SMALL, seed=1, shape=(6, 3))


def test_published_sizes():
    """Counted by hand: embedding, layers of (attention, feed-forward, two norms), head."""
    for config, rows, size in ((ANOMALY_CLR, 19, 673_600), (DARK_CLR, 50, 1_122_304)):
        model = ContrastiveNetwork(config, shape=(rows, 3))
        d, f = config.width, config.feed_forward
        layer = 4 * (d * d + d) + (d * f + f) + (f * d + d) + 4 * d
        head = (d * config.head[0] + config.head[0]) + (config.head[0] * config.head[1] + config.head[1])
        assert model.count_params() == config.features * d + d + 4 * layer + head == size
        weights = rows * (config.features * d + 4 * (4 * d * d + 2 * d * f)) + 4 * 2 * rows**2 * d
        assert count_macs(model.encoder) == weights


def test_the_order_of_the_objects_does_not_matter(network):
    x = objects()
    turned = x[:, np.random.default_rng(2).permutation(6)]
    assert (turned != x).any()
    np.testing.assert_allclose(values(network(turned)), values(network(x)), **EXACT)


def test_empty_rows_do_not_matter(network):
    x = objects()
    wider = ContrastiveNetwork(SMALL, seed=1, shape=(9, 3))
    np.testing.assert_allclose(values(wider(np.pad(x, ((0, 0), (0, 3), (0, 0))))), values(network(x)), **EXACT)
    # What an empty row says beside its zero pT is not read, to the bit; an object there is.
    other = x.copy()
    other[:, 4:, 1:] = 7
    assert (values(network(other)) == values(network(x))).all()
    other[:, 4, 0] = 1
    assert (values(network.represent(other)) != values(network.represent(x))).any(axis=1).all()


def test_an_event_without_objects_is_no_nan(network):
    import tensorflow as tf

    x = objects()
    x[1] = 0
    assert (values(network.represent(x))[1] == 0).all()
    ones = np.ones(4, "float32")
    for loss in ("CLR", "AnomCLR", "AnomCLR+"):
        model = ContrastiveNetwork(SMALL, 1, (6, 3), loss, 1e-3)
        variables = [v.value for v in model.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            total = tf.reduce_sum(sum(model.objective(x, x[:, ::-1], x * 0, ones, training=True).values()))
        assert np.isfinite(total)
        assert all(np.isfinite(g).all() for g in tape.gradient(total, variables))


def twin(name, z, positive, anomaly):
    """The loss of a batch, event by event, with loops."""

    def s(a, b):
        return a @ b / np.sqrt((a @ a) * (b @ b)) / TAU

    n = len(z)
    plus = np.mean([s(z[i], anomaly[i]) - s(z[i], positive[i]) for i in range(n)])
    clr = 0.0
    for anchors, partners in ((z, positive), (positive, z)):
        for i in range(n):
            others = [s(anchors[i], v[j]) for v in (z, positive) for j in range(n) if j != i]
            clr += (np.log(np.sum(np.exp(others))) - s(anchors[i], partners[i])) / (2 * n)
    away = np.mean([s(z[i], anomaly[i]) for i in range(n)])
    return {"CLR": clr, "AnomCLR": clr + away, "AnomCLR+": plus}[name]


@pytest.mark.parametrize("name", ["CLR", "AnomCLR", "AnomCLR+"])
def test_losses_of_four_events_are_those_of_a_numpy_twin(name):
    z = np.random.default_rng(3).normal(size=(3, 4, 5))
    found = values(contrastive_loss(name, z.astype("float32"), np.ones(4, "float32")))
    assert (found.shape, found.dtype) == ((4,), np.float32)
    np.testing.assert_allclose(found.mean(), twin(name, *z), rtol=1e-5)
    # What fills a batch changes no event; alone, an event is repelled by none.
    filled, present = np.pad(z, ((0, 0), (0, 2), (0, 0))).astype("float32"), np.repeat([1.0, 0.0], [4, 2])
    np.testing.assert_allclose(values(contrastive_loss(name, filled, present))[:4], found, rtol=1e-5)
    alone = float(values(contrastive_loss(name, z[:, :1].astype("float32"), np.ones(1)))[0])
    attraction, away = (float(z[0, 0] @ v / np.linalg.norm(z[0, 0]) / np.linalg.norm(v)) / TAU for v in z[1:, 0])
    expected = {"CLR": -attraction, "AnomCLR": away - attraction, "AnomCLR+": away - attraction}
    assert alone == pytest.approx(expected[name], rel=1e-5)


def test_bounds_of_the_loss_without_negatives():
    z = np.random.default_rng(4).normal(size=(4, 5)).astype("float32")
    for sign in (1, -1):
        found = values(contrastive_loss("AnomCLR+", (z, sign * z, -sign * z), np.ones(4)))
        np.testing.assert_allclose(found, -sign * 2 / TAU, rtol=1e-6)


def test_the_objective_is_the_loss_of_its_views(network):
    x, ones = objects(), np.ones(4, "float32")
    views = (x, objects(seed=1), objects(seed=2))
    z = [values(network(view)) for view in views]
    model = ContrastiveNetwork(SMALL, 1, (6, 3), "AnomCLR", 0.5)
    terms = {name: values(value) for name, value in model.objective(*views, ones).items()}
    np.testing.assert_allclose(terms["AnomCLR"].mean(), twin("AnomCLR", *z), rtol=1e-4)
    np.testing.assert_allclose(terms["norm"], 0.5 * np.linalg.norm(z[0], axis=1), rtol=1e-4)
    # Dropout is on in training alone.
    dropped = values(model.objective(*views, ones, training=True)["AnomCLR"])
    assert (dropped != terms["AnomCLR"]).any()


def test_the_seed_decides_the_weights_and_a_file_keeps_them(network, tmp_path):
    x = objects()
    assert (values(ContrastiveNetwork(SMALL, 1, (6, 3))(x)) == values(network(x))).all()
    other = ContrastiveNetwork(SMALL, 2, (6, 3), "CLR", 0.25)
    assert (values(other(x)) != values(network(x))).all()
    save_model(other, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras", ContrastiveNetwork)
    assert (values(again(x)) == values(other(x))).all()
    assert (again.loss_name, again.norm_weight, again.event_shape) == ("CLR", 0.25, (6, 3))


@pytest.mark.parametrize("changed", [{"width": 9}, {"layers": 0}, {"head": ()}])
def test_wrong_sizes_are_refused(changed):
    with pytest.raises(InputError, match="a width that its heads divide"):
        EncoderConfig(**({"features": 3, "width": 8, "heads": 2} | changed))


def test_an_unknown_loss_is_refused():
    with pytest.raises(InputError, match=r"loss 'clr'; expected one of CLR, AnomCLR, AnomCLR\+"):
        ContrastiveNetwork(SMALL, 1, (6, 3), "clr")
