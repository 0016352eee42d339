"""The network of a set: exact words, exchanged objects, empty rows, files, a score that is learned, what is refused."""

import dataclasses

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.quantization._deep_set import build_set
from codae_l1.quantization._qat import rank_correlation
from codae_l1.quantization.deep_set import CONSTITUENTS, OBJECTS, DeepSet, SetConfig, SetTraining, SetWords, learn_set
from codae_l1.quantization.f_m.precision import LayerPrecision

CONFIG = SetConfig((1, 2, 3), hidden=(3, 2), z=2)


def random_set(config=CONFIG, seed=3):
    """An untrained network, its weights as large as their words."""
    precision = {name: LayerPrecision(5, 1, 14, 3, 5, 0) for name in config.trained}
    precision["z"] = dataclasses.replace(precision["z"], output_bits=config.z_bits, output_integer=config.z_integer)
    model, rng = build_set(config, precision), np.random.default_rng(seed)
    for name in config.trained:
        layer = model.get_layer(name)
        layer.set_weights([rng.normal(0, 0.7, w.shape) for w in layer.get_weights()])
    return DeepSet.rounded(config, precision, model), model


def events(number=400, config=CONFIG, seed=5):
    """Words of both signs beyond their range, half of the objects empty."""
    rng, (low, high) = np.random.default_rng(seed), config.input_word.bounds
    words = rng.integers(3 * low // 2, 3 * high // 2, (number, *config.input_shape))
    return words * (rng.random((number, sum(config.rows), 1, 1)) < 0.5)


@pytest.fixture(scope="module")
def network():
    return random_set()[0]


def test_sums_of_objects_and_weights_of_their_types_are_one_network(network):
    from codae_l1.quantization._deep_set import _predict

    _, trained = random_set()
    # Rounding as `rounded` does it: the weights of the trained model are off their grids.
    for name in CONFIG.trained:
        types = network.precision[name].weight_types(name)
        arrays = [word.from_words(network.words[key]) for key, word in types.items() if key in network.words]
        trained.get_layer(name).set_weights([array.astype(np.float32) for array in arrays])
    words = network.predict_words(events())
    np.testing.assert_array_equal(_predict(trained, events(), CONFIG) / network.output_word.lsb, words)
    assert len(np.unique(words)) > 50
    assert words.min() >= 0


def test_objects_of_one_type_may_change_places(network):
    words, given = network.predict_words(events()), events()
    order = [0, 2, 1, 5, 3, 4]
    np.testing.assert_array_equal(network.predict_words(given[:, order]), words)
    # Of two types they may not.
    assert (network.predict_words(given[:, [1, 0, 2, 3, 4, 5]]) != words).any()


def test_empty_rows_add_nothing(network):
    fewer = DeepSet(dataclasses.replace(CONFIG, rows=(1, 1, 1)), network.precision, network.words)
    given = events()
    given[:, [2, 4, 5]] = 0
    words = network.predict_words(given)
    np.testing.assert_array_equal(words, fewer.predict_words(given[:, [0, 1, 3]]))
    # With no object at all, what is left is the bias.
    bias = network.precision["z"].bias_word.from_words(network.words["z.bias"])
    expected = network.precision["z"].output_word.quantize(bias)
    assert network.predict_words(np.zeros_like(given[:1])) * network.output_word.lsb == np.sum(expected**2)


def test_a_file_gives_the_words_to_the_bit(network, tmp_path):
    network.save(tmp_path / "set.npz")
    loaded = DeepSet.load(tmp_path / "set.npz")
    assert (loaded.config, loaded.precision) == (network.config, network.precision)
    np.testing.assert_array_equal(loaded.predict_words(events()), network.predict_words(events()))


def test_a_score_of_the_set_is_learned_the_same_twice():
    config = SetConfig((1, 3), hidden=(4,), z=2)
    rng = np.random.default_rng(1)
    objects = np.stack([rng.exponential(20, (3000, 4)), *rng.normal(0, 1, (2, 3000, 4))], axis=-1)
    objects[..., 0] *= rng.random((3000, 4)) < 0.6
    words = SetWords(config.rows, 0.5, 0.05, 0.05).words(objects, config.input_word)
    scores = objects[:, 0, 0] / 10 + (objects[:, 1:, 0] > 15).sum(axis=1)
    training = SetTraining(steps=300, qat_steps=150, batch_size=128, learning_rate=0.02)
    first, again = (learn_set(words[:2000], scores[:2000], config, training) for _ in range(2))
    for key, value in first.firmware.words.items():
        np.testing.assert_array_equal(value, again.firmware.words[key])
    assert first.history == again.history
    assert np.mean(first.history["qat"]) < 0.5 * first.history["float"][0]
    assert rank_correlation(scores[2000:], first.float_scores(words[2000:])) > 0.9
    assert rank_correlation(scores[2000:], first.scores(words[2000:])) > 0.9


@pytest.mark.parametrize("scores", [np.ones(4), np.array([0, 1, 2, np.nan]), np.arange(3.0)], ids=["1", "nan", "3"])
def test_scores_that_teach_nothing_are_refused(scores):
    with pytest.raises(InputError, match=r"scores of shape .* expected a finite score for each event, not all equal"):
        learn_set(events(4), scores, CONFIG)


def test_sizes_and_events_that_make_no_network_are_refused(network):
    for wrong in ({"z": 0}, {"rows": (2, 0)}, {"hidden": ()}, {"weight_bits": 30}, {"z_bits": 1}):
        with pytest.raises(InputError, match="a set network with"):
            dataclasses.replace(CONFIG, **wrong)
    with pytest.raises(InputError, match=r"words of objects of shape \(4, 5, 1, 3\)"):
        network.predict_words(events(4)[:, 1:])


def test_words_of_objects_are_steps_that_saturate_and_empty_rows_are_zero():
    word = WordType(True, 9, 0)
    objects = np.zeros((1, 19, 4))
    objects[0, 0] = 80.2, 0.0, -np.pi, 1
    objects[0, 9:11] = [[1e4, 3.9, 1.0, 4], [0.4, 1.0, 1.0, 4]]
    made = OBJECTS.words(objects, word)[0, :, 0]
    assert made[[0, 9, 10]].tolist() == [[160, 0, -72], [511, 90, 23], [0, 0, 0]]
    assert not np.delete(made, [0, 9], axis=0).any()
    jets = np.array([[[5.0, 0.1, -0.1], [9.0, -0.1, 0.2]]])
    made = CONSTITUENTS.words(jets, word)[0, :, 0]
    assert made[:3].tolist() == [[18, -23, 46], [10, 23, -23], [0, 0, 0]]
    assert len(made) == 16
    for wrong, message in ((objects[:, :8], "objects of shape"), (-objects, "a negative pT"), (objects[0], "shape")):
        with pytest.raises(InputError, match=message):
            OBJECTS.words(wrong, word)
