"""The distance from background: its definition, the words, and what makes no distance."""

import dataclasses
import itertools

import numpy as np
import pytest
from invented_background import above, background, symmetric

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.sample import CROSSINGS
from codae_l1.quantization.config import DistillConfig, Training
from codae_l1.quantization.distance import SECOND, TAIL, learn_distance
from codae_l1.quantization.distill import learn, untrained
from codae_l1.quantization.f_m.config import DISTANCE, ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.float_model import FloatModel
from codae_l1.quantization.f_m.network import FirmwareModel
from codae_l1.quantization.f_m.precision import LayerPrecision

TRAINING = Training(DistillConfig(qat_steps=600), seed=3)
TWO = dataclasses.replace(
    DISTANCE,
    inputs=("hcal", "tracks", "ecal"),
    distance=(("tracks",), ("ecal", "hcal")),
    conv=(ConvConfig(2, (9, 5), (9, 5)),),
    precision={**DISTANCE.precision, "dense3": LayerPrecision(weight_bits=2, output_bits=11)},
)
BENT = dataclasses.replace(
    DISTANCE,
    inputs=("ecal", "hcal"),
    distance=(("ecal", "hcal"),),
    conv=(ConvConfig(2, (1, 1), (1, 1)), ConvConfig(1, (6, 3), (6, 3))),
    precision={},
)


def mahalanobis(sums, of, weight):
    """Squared distances (n,) of rows from the mean of others, by the inverse of their covariance."""
    mean, covariance = np.average(of, axis=0, weights=weight), np.cov(of.T, aweights=weight, ddof=0)
    return np.einsum("ni,ij,nj->n", sums - mean, np.linalg.inv(covariance), sums - mean)


@pytest.mark.parametrize("firmware", [DISTANCE, TWO, BENT], ids=["tracks", "tracks and energies", "bent energies"])
def test_the_float_score_is_the_larger_distance_in_units_of_the_tail(firmware):
    (rows, columns), shape = firmware.conv[-1].kernel, firmware.input_shape
    counts = symmetric(background(firmware), rows)
    weight = np.tile(np.random.default_rng(1).uniform(0.5, 2, 1500), len(counts) // 1500)
    student = learn_distance(counts, weight, counts[:300], firmware, TRAINING)
    other = background(firmware, 400, seed=7) * 2
    scores = []
    for g, group in enumerate(firmware.distance):
        which = [firmware.inputs.index(name) for name in group]

        def windows(x, which=which):
            cells = x[..., which].sum(-1)
            if firmware is BENT:
                # In full up to 8 GeV, two words, and an eighth of the rest.
                cells = np.where(cells > 2, 2 + (cells - 2) / 8, cells)
            return cells.reshape(len(x), shape[0] // rows, rows, shape[1] // columns, columns).sum((2, 4))

        train, seen = windows(np.minimum(counts, 31)), windows(np.minimum(other, 31))
        for flat in (lambda x: x.sum(axis=1), lambda x: x.reshape(len(x), -1)):
            own = mahalanobis(flat(train), flat(train), weight)
            unit = above(own, weight, TAIL * (SECOND if g else 1))
            scores.append(mahalanobis(flat(seen), flat(train), weight) / unit)
    expected = np.max(scores, axis=0)
    assert len({int(np.argmax(row)) for row in np.transpose(scores)}) == len(scores)
    np.testing.assert_allclose(student.float_model.predict_scores(other), expected, rtol=2e-4, atol=1e-5)


@pytest.fixture(scope="module")
def zero_bias():
    file = CrossingFile(CROSSINGS)
    train, calibration = (file.where("zero_bias", split) for split in ("train", "calibration"))
    return file.pooled(("tracks",), train), file.weight[train], file.pooled(("tracks",), calibration)


@pytest.fixture(scope="module")
def student(zero_bias):
    return learn_distance(*zero_bias, DISTANCE, Training(seed=1))


def test_words_follow_the_float_distance(student, zero_bias):
    """Of crossings that the training has not seen; rounding without training is further off."""
    *_, calibration = zero_bias
    words = student.firmware.firmware_score(student.firmware.predict_words(calibration))
    expected = student.float_model.predict_scores(calibration)
    assert np.corrcoef(words, expected)[0, 1] > 0.985
    # Either distance exceeds its unit in a share TAIL of background.
    assert TAIL - 0.006 < np.mean(expected > 1) < 2 * TAIL + 0.006
    hard = expected > np.quantile(expected, 0.99)
    np.testing.assert_allclose(words[hard], expected[hard], rtol=0.25)
    rounded = dataclasses.replace(TRAINING, distill=DistillConfig(qat_steps=1, qat_learning_rate=1e-9))
    rounded = learn_distance(*zero_bias, DISTANCE, rounded).firmware
    untrained_words = rounded.firmware_score(rounded.predict_words(calibration))
    assert np.std(untrained_words - expected) > 1.3 * np.std(words - expected)


def test_the_same_seed_gives_the_same_bits_and_files_keep_them(student, zero_bias, tmp_path):
    again = learn_distance(*zero_bias, DISTANCE, Training(seed=1))
    counts = zero_bias[2][:200]
    words = student.firmware.predict_words(counts)
    assert np.array_equal(again.firmware.predict_words(counts), words)
    student.firmware.save(tmp_path / "f_m.npz")
    student.float_model.save(tmp_path / "f_m_float.npz")
    assert np.array_equal(FirmwareModel.load(tmp_path / "f_m.npz").predict_words(counts), words)
    loaded = FloatModel.load(tmp_path / "f_m_float.npz")
    assert np.array_equal(loaded.predict(counts), student.float_model.predict(counts))


def test_sums_and_the_larger_of_two_are_exact_in_the_words(student):
    """A network of whole numbers: windows of ones, sums of squares with weight one, a maximum of two words."""
    weights = {name: student.firmware.model.get_layer(name).get_weights()[0] for name in ("conv1", "dense2", "output")}
    assert np.array_equal(weights["conv1"], np.ones((6, 3, 1, 1)))
    first, second = weights["dense2"].T
    assert np.array_equal(first, np.arange(15) < 5)
    assert np.array_equal(second[5:], np.ones(10))
    assert len(set(second[:5])) == 1
    assert -1 < second[0] <= 0
    assert np.array_equal(weights["output"], np.ones((2, 1)))


def test_more_tracks_in_one_ring_than_background_has_are_anomalous(student):
    counts = np.zeros((3, 18, 15, 1), int)
    counts[1:, ::3, 6:9] = np.array([1, 4])[:, None, None, None]
    nothing, some, many = student.firmware.firmware_score(student.firmware.predict_words(counts))
    assert nothing < some < many
    assert nothing < 0.5
    assert many > 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distance": (("tracks",), ("tracks",))}, r"one or 2 groups that hold each input once"),
        ({"distance": ((),)}, r"one or 2 groups"),
        ({"inputs": ("tracks", "ecal")}, r"one or 2 groups"),
        ({"dense": (4, 2)}, r"dense = \[4, 2\]"),
        ({"outputs": 2}, r"one output"),
        ({"conv": (ConvConfig(2, (6, 3), (6, 3)),)}, r"conv\[0\].filters = 2; expected a filter for each group, 1"),
        ({"conv": (ConvConfig(1, (6, 3), (3, 3)),)}, r"conv\[0\] of 6 x 3 by 3 x 3; expected windows that fill"),
        ({"conv": (ConvConfig(1, (4, 4), (4, 4)),)}, r"windows that fill 18 x 15 cells and do not overlap"),
        ({"conv": ()}, r"0 convolutions"),
        ({"conv": 3 * DISTANCE.conv}, r"3 convolutions"),
    ],
)
def test_what_makes_no_distance_is_refused(changes, message):
    with pytest.raises(InputError, match=message) as error:
        dataclasses.replace(DISTANCE, **changes)
    assert 'set firmware.preset = "distilled"' in str(error.value)


@pytest.mark.parametrize("groups", [(("ecal", "hcal"),), (("hcal",), ("ecal",))], ids=["one group", "two groups"])
def test_bent_energies_are_whole_numbers_of_the_words(groups):
    """Windows of the QKeras model: cells in full up to two words, and an eighth of the rest, a half rounded up."""
    import keras

    n = len(groups)
    conv = (ConvConfig(2 * n, (1, 1), (1, 1)), ConvConfig(n, (9, 5), (9, 5)))
    firmware = dataclasses.replace(BENT, distance=groups, conv=conv)
    counts, rng = background(firmware), np.random.default_rng(2)
    learned = learn_distance(counts, np.ones(len(counts)), counts[:300], firmware, TRAINING).firmware
    assert learned.config.layers[:3] == ("conv1", "conv2", "dense1")
    seen = rng.integers(0, 33, (300, 18, 15, 2)) * (rng.random((300, 18, 15, 2)) < 0.1)
    windows = keras.Model(learned.model.inputs, learned.model.get_layer("conv2_relu").output).predict_on_batch(
        np.minimum(seen, 31).astype(np.float32)
    )
    for g, names in enumerate(groups):
        cells = np.minimum(seen, 31)[..., [firmware.inputs.index(name) for name in names]].sum(-1)
        cells = np.where(cells > 2, 2 + (cells + 2) // 8, cells)
        assert cells.max() > 5
        assert np.array_equal(windows[..., g], cells.reshape(300, 2, 9, 3, 5).sum((2, 4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"conv": (ConvConfig(1, (1, 1), (1, 1)), *DISTANCE.conv)},
            r"conv\[0\] of 1 filters of 1 x 1 .* expected 2 of",
        ),
        ({"conv": (ConvConfig(2, (3, 3), (3, 3)), *DISTANCE.conv)}, r"conv\[0\] of 2 filters of 3 x 3 by 3 x 3"),
        ({"conv": (BENT.conv[0], ConvConfig(2, (6, 3), (6, 3)))}, r"conv\[1\].filters = 2; expected a filter for each"),
        ({"energy_lsb_gev": 16.0}, r"bends energies above 8 GeV, of ecal, hcal in steps of 16 GeV"),
        ({"inputs": ("tracks",), "distance": (("tracks",),)}, r"of tracks in steps .* expected energies alone"),
        ({"precision": {"conv1": LayerPrecision(4, output_bits=4)}}, r"conv1.weight_bits = 4 .*; expected at least 5"),
        ({"precision": {"conv1": LayerPrecision(5, output_bits=1)}}, r"conv1.output_bits = 1 .*; expected at least 4"),
        # What is missing to the knee needs one bit more than what is above it, and the other way round.
        ({"energy_lsb_gev": 0.5, "count_bits": 2}, r"conv1.output_bits = 4 .*; expected at least 5"),
        ({"count_bits": 8}, r"conv1.output_bits = 4 .*; expected at least 7"),
    ],
)
def test_what_bends_no_energies_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(BENT, **changes)


def test_background_that_gives_no_covariance_is_refused(zero_bias):
    counts, weight, calibration = zero_bias
    with pytest.raises(InputError, match="299 background events for a covariance of 15 windows; expected at least 300"):
        learn_distance(counts[:299], weight[:299], calibration, DISTANCE, TRAINING)
    silent = counts * (np.arange(15) != 7)[:, None]
    silent = silent * (np.abs(np.arange(15) - 7) > 1)[:, None]
    with pytest.raises(InputError, match="background whose tracks do not vary in every window"):
        learn_distance(silent, weight, calibration, DISTANCE, TRAINING)


def test_a_distance_learns_no_target(zero_bias):
    counts = zero_bias[2][:300]
    for attempt in (
        lambda: learn(counts, np.zeros((300, 1), np.float32), counts, DISTANCE, TRAINING),
        lambda: untrained(DISTANCE, counts),
    ):
        with pytest.raises(InputError, match="for a network that learns a target"):
            attempt()


def test_layers_of_one_and_of_two_groups():
    assert DISTANCE.layers == ("conv1", "dense1", "dense2", "output")
    assert (DISTANCE.hidden, TWO.hidden) == ((15, 2), (12, 4, 2))
    assert TWO.layers == ("conv1", "dense1", "dense2", "dense3", "output")
    assert BENT.layers == ("conv1", "conv2", "dense1", "dense2", "output")
    assert BENT.layer_precision("conv2") == DISTANCE.layer_precision("conv1")
    assert FirmwareConfig().squared is None
    names = [DISTANCE.activation(name) for name in DISTANCE.layers]
    assert names == ["conv1_relu", "dense1_word", "dense2_relu", "output_word"]
    assert str(DISTANCE.layer_output("dense1")).startswith("ap_ufixed<")
    assert all(a != b for a, b in itertools.pairwise(names))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda counts: counts * 0 + 1, "background whose tracks do not vary in every window"),
        (lambda counts: np.where((np.arange(15) < 3)[:, None], 7, counts), "do not vary in every window"),
        (lambda counts: np.tile(counts[:2], (len(counts) // 2, 1, 1, 1)), "do not vary in every window"),
        (lambda counts: counts * (np.arange(len(counts)) % 600 == 0)[:, None, None, None], "in so few events"),
        (lambda counts: counts * 8, r"conv1.output_bits = 7: windows beyond 127 in [\d.]+% of the background"),
    ],
)
def test_background_that_is_none_is_refused(zero_bias, change, message):
    counts, weight, calibration = zero_bias
    with pytest.raises(InputError, match=message):
        learn_distance(change(counts), weight, calibration, DISTANCE, TRAINING)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w * 0, "weights of shape .* sum 0; expected a finite weight >= 0 for each, not all 0"),
        (lambda w: -w, "expected a finite weight >= 0"),
        (lambda w: w[:-1], "weights of shape"),
        (lambda w: np.where(np.arange(len(w)) < 299, w, 0), r"299 background events \(of 24000, by their weights\)"),
    ],
)
def test_weights_that_are_none_are_refused(zero_bias, change, message):
    counts, weight, calibration = zero_bias
    with pytest.raises(InputError, match=message):
        learn_distance(counts, change(weight), calibration, DISTANCE, TRAINING)
    with pytest.raises(InputError, match="no calibration event"):
        learn_distance(counts, weight, calibration[:0], DISTANCE, TRAINING)


def test_a_layer_that_is_not_named_keeps_the_bits_of_the_distance():
    partial = dataclasses.replace(DISTANCE, precision={"dense1": LayerPrecision(weight_bits=6, output_bits=8)})
    assert partial.layer_precision("output") == DISTANCE.layer_precision("output")
    assert partial.layer_output("dense2") == DISTANCE.layer_output("dense2")
    for name, bits in (("dense1", 4), ("dense2", 7), ("output", 8)):
        coarse = {**DISTANCE.precision, name: dataclasses.replace(DISTANCE.precision[name], output_bits=bits)}
        with pytest.raises(InputError, match=rf"{name}\.output_bits = {bits} of a distance; expected at least"):
            dataclasses.replace(DISTANCE, precision=coarse)
