"""The auto-encoder of windows in firmware: its score is the reconstruction error, and its words follow it."""

import dataclasses

import numpy as np
import pytest
from invented_background import above, background, symmetric

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.sample import CROSSINGS
from codae_l1.quantization.config import DistillConfig, Training
from codae_l1.quantization.distance import SECOND, TAIL, learn_distance
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel
from codae_l1.quantization.f_m.precision import LayerPrecision

ERROR = FirmwareConfig.PRESETS["autoencoder"]
TRAINING = Training(DistillConfig(qat_steps=300), seed=3)
TWO = dataclasses.replace(
    ERROR,
    inputs=("hcal", "tracks", "ecal"),
    distance=(("tracks",), ("ecal", "hcal")),
    conv=(ConvConfig(2, (9, 5), (9, 5)),),
    precision={},
)
RINGS = dataclasses.replace(ERROR, conv=(ConvConfig(1, (18, 3), (18, 3)),))


def error_of(train, weight, tail):
    """The score (n,) of windows (n, places, rings), by NumPy's eigenvectors: larger of the errors of rings and windows,
    each in units of what a share `tail` exceeds."""
    flat = train.reshape(len(train), -1)
    mean, spread = np.average(flat, axis=0, weights=weight), np.sqrt(np.cov(flat.T, aweights=weight, ddof=0).diagonal())
    first = np.linalg.eigh(np.cov(((flat - mean) / spread).T, aweights=weight))[1][:, -1]

    def residuals(windows):
        x = (windows.reshape(len(windows), -1) - mean) / spread
        left = x - np.outer(x @ first, first)
        return left, (left * spread).reshape(windows.shape).sum(axis=1)

    deviations = [np.sqrt(np.average(np.square(part), axis=0, weights=weight)) for part in residuals(train)]

    def errors(windows):
        return [np.square(part / one).sum(axis=1) for part, one in zip(residuals(windows), deviations, strict=True)]

    units = [above(values, weight, tail) for values in errors(train)]
    return lambda windows: [values / unit for values, unit in zip(errors(windows), units, strict=True)]


@pytest.mark.parametrize("firmware", [ERROR, TWO, RINGS], ids=["tracks", "tracks and energies", "rings alone"])
def test_the_float_score_is_the_larger_error_in_units_of_the_tail(firmware):
    (rows, columns), shape = firmware.conv[0].kernel, firmware.input_shape
    counts = symmetric(background(firmware), rows)
    weight = np.tile(np.random.default_rng(1).uniform(0.5, 2, 1500), len(counts) // 1500)
    student = learn_distance(counts, weight, counts[:300], firmware, TRAINING)
    other = background(firmware, 600, seed=7) * 2
    scores = []
    for g, group in enumerate(firmware.distance):
        which = [firmware.inputs.index(name) for name in group]

        def windows(x, which=which):
            summed = np.minimum(x, 31)[..., which].sum(-1)
            return summed.reshape(len(x), shape[0] // rows, rows, shape[1] // columns, columns).sum((2, 4))

        scores += error_of(windows(counts), weight, TAIL * (SECOND if g else 1))(windows(other))
    assert firmware is RINGS or len(set(np.argmax(scores, axis=0))) == len(scores)
    assert firmware.hidden[1] == len(student.float_model.model.get_layer("dense2").get_weights()[1])
    expected = np.max(scores, axis=0)
    np.testing.assert_allclose(student.float_model.predict_scores(other), expected, rtol=2e-4, atol=1e-5)


@pytest.fixture(scope="module")
def zero_bias():
    file = CrossingFile(CROSSINGS)
    train, calibration = (file.where("zero_bias", split)[:6000] for split in ("train", "calibration"))
    return file.pooled(("tracks",), train), file.weight[train], file.pooled(("tracks",), calibration)


@pytest.fixture(scope="module")
def student(zero_bias):
    return learn_distance(*zero_bias, ERROR, TRAINING)


def test_words_follow_the_float_error_and_files_keep_them(student, zero_bias, tmp_path):
    *_, calibration = zero_bias
    words = student.firmware.predict_words(calibration)
    scores, expected = student.firmware.firmware_score(words), student.float_model.predict_scores(calibration)
    assert np.corrcoef(scores, np.minimum(expected, 16))[0, 1] > 0.97
    assert TAIL - 0.006 < np.mean(expected > 1) < 2 * TAIL + 0.006
    student.firmware.save(tmp_path / "f_m.npz")
    assert np.array_equal(FirmwareModel.load(tmp_path / "f_m.npz").predict_words(calibration), words)
    silent, spray = np.zeros((1, 18, 15, 1), int), np.zeros((1, 18, 15, 1), int)
    spray[:, ::2, 6:9] = 4
    low, high = (float(student.firmware.firmware_score(student.firmware.predict_words(x))[0]) for x in (silent, spray))
    assert high > 4 > low


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dense": (4, 2)}, r"dense = \[4, 2\], outputs = 1; expected dense = \[\], or \[1\] for the unit of an"),
        ({"dense": (2,)}, r"dense = \[2\], outputs = 1; expected dense = \[\], or \[1\]"),
        ({"conv": (ConvConfig(1, (6, 15), (6, 15)),)}, r"dense = \[1\] and a kernel of 15 columns; expected two rings"),
        ({"precision": {**ERROR.precision, "dense2": LayerPrecision(output_bits=11)}}, "square words of 11 bits"),
    ],
)
def test_what_makes_no_auto_encoder_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(ERROR, **changes)


def test_counts_that_the_first_layer_would_cut_are_refused():
    coarse = {**ERROR.precision, "dense1": dataclasses.replace(ERROR.precision["dense1"], output_bits=6)}
    with pytest.raises(InputError, match=r"dense1\.output_bits = 6 of a distance; expected at least 7"):
        dataclasses.replace(ERROR, precision=coarse)


def test_background_of_one_kind_of_event_is_refused(zero_bias):
    counts, weight, calibration = zero_bias
    with pytest.raises(InputError, match="tracks do not vary in every window"):
        learn_distance(counts * 0 + 1, weight, calibration, ERROR, TRAINING)


def test_background_without_a_shared_activity_is_refused():
    """The outer rings are full where the others are empty."""
    rng = np.random.default_rng(0)
    share = rng.random((1500, 1, 1))
    counts = rng.poisson(np.where(np.abs(np.arange(15) - 7) > 4, share, 1 - share) * np.ones((1, 18, 1)))[..., None]
    with pytest.raises(InputError, match=r"tracks rise in some rings where they fall in others.*distance.toml"):
        learn_distance(counts, np.ones(1500), counts[:100], ERROR, TRAINING)


@pytest.mark.parametrize("dead", [np.s_[:, :6, 6:9], np.s_[:, :, 6:9], np.s_[:, 6:12]], ids=["window", "ring", "third"])
def test_background_of_which_a_part_is_dead_is_refused(dead):
    counts = background(ERROR)
    counts[dead] = 0
    with pytest.raises(InputError, match="tracks do not vary in every window"):
        learn_distance(counts, np.ones(1500), counts[:100], ERROR, TRAINING)


def test_an_encoder_whose_weights_round_away_is_refused():
    counts = background(ERROR)
    coarse = {**ERROR.precision, "dense1": dataclasses.replace(ERROR.precision["dense1"], weight_bits=4)}
    with pytest.raises(
        InputError, match=r"dense1\.weight_bits = 4, in which .* 15 windows have a cosine of 0\.00 with"
    ):
        learn_distance(counts, np.ones(1500), counts[:100], dataclasses.replace(ERROR, precision=coarse), TRAINING)


def test_a_score_without_a_difference_is_refused():
    counts = background(ERROR)
    with pytest.raises(InputError, match=r"a score that is .* for each of 100 calibration events; expected one that"):
        learn_distance(counts, np.ones(1500), np.repeat(counts[:1], 100, axis=0), ERROR, TRAINING)


@pytest.mark.parametrize("weight", [1e200, 1e-300])
def test_the_unit_of_the_weights_changes_nothing(weight):
    counts = background(ERROR)
    once = Training(DistillConfig(qat_steps=1), seed=3)
    found = [learn_distance(counts, np.full(1500, w), counts[:100], ERROR, once).firmware for w in (1.0, weight)]
    assert np.array_equal(*(firmware.predict_words(counts) for firmware in found))
