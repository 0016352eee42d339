"""The auto-encoder of windows in firmware: its score is the reconstruction error, and its words follow it."""

import dataclasses

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.sample import CROSSINGS
from codae_l1.quantization.config import DistillConfig, Training
from codae_l1.quantization.distance import TAIL, learn_distance
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel
from codae_l1.quantization.f_m.precision import LayerPrecision

ERROR = FirmwareConfig.PRESETS["autoencoder"]
TRAINING = Training(DistillConfig(steps=800, qat_steps=300), seed=3)


@pytest.fixture(scope="module")
def zero_bias():
    file = CrossingFile(CROSSINGS)
    train, calibration = (file.where("zero_bias", split)[:6000] for split in ("train", "calibration"))
    return file.pooled(("tracks",), train), file.weight[train], file.pooled(("tracks",), calibration)


@pytest.fixture(scope="module")
def student(zero_bias):
    return learn_distance(*zero_bias, ERROR, TRAINING)


def windows(counts):
    """Counts (N, 18, 15, 1) -> sums of 3 x 5 windows (N, 15), as the words hold them."""
    return np.minimum(counts[..., 0], 31).reshape(-1, 3, 6, 5, 3).sum((2, 4)).reshape(len(counts), 15)


def test_the_float_score_is_the_reconstruction_error_in_units_of_the_tail(student, zero_bias):
    *_, calibration = zero_bias
    weights = {name: student.float_model.model.get_layer(name).get_weights() for name in ERROR.layers}
    (first, threshold), (second, bias) = weights["dense1"], weights["dense2"]
    # The counts pass the first layer as they are; each residual reads its own and the decoder's units.
    assert np.array_equal(first[:, 1:], np.eye(15))
    assert not threshold[1:].any()
    assert not second[1:][~np.eye(15, dtype=bool)].any()
    c = windows(calibration)
    hidden = np.maximum(c @ first[:, :1] + threshold[:1], 0)
    residual = c * np.diag(second[1:]) + hidden @ second[:1] + bias
    expected = np.square(residual).sum(axis=1)
    np.testing.assert_allclose(student.float_model.predict_scores(calibration), expected, rtol=1e-4, atol=1e-5)
    assert TAIL / 2 < np.mean(expected > 1) < 2 * TAIL
    # It has learned what windows have in common: without the encoder's unit the residuals are larger.
    alone = np.square(c * np.diag(second[1:]) - (c * np.diag(second[1:])).mean(axis=0)).sum(axis=1)
    assert expected.mean() < 0.8 * alone.mean()
    assert student.history["float"][-1] < student.history["float"][0]


def test_words_follow_the_float_error_and_files_keep_them(student, zero_bias, tmp_path):
    *_, calibration = zero_bias
    words = student.firmware.predict_words(calibration)
    scores, expected = student.firmware.firmware_score(words), student.float_model.predict_scores(calibration)
    assert np.corrcoef(scores, np.minimum(expected, 16))[0, 1] > 0.97
    student.firmware.save(tmp_path / "f_m.npz")
    assert np.array_equal(FirmwareModel.load(tmp_path / "f_m.npz").predict_words(calibration), words)
    silent, spray = np.zeros((1, 18, 15, 1), int), np.zeros((1, 18, 15, 1), int)
    spray[:, ::2, 6:9] = 4
    low, high = (float(student.firmware.firmware_score(student.firmware.predict_words(x))[0]) for x in (silent, spray))
    assert high > 4 > low


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dense": (4, 2)}, r"dense = \[4, 2\], outputs = 1; expected dense = \[\], or the units of an encoder"),
        ({"precision": {**ERROR.precision, "dense2": LayerPrecision(output_bits=11)}}, "square words of 11 bits"),
        ({"inputs": ("tracks", "ecal"), "distance": (("tracks",), ("ecal",))}, "one group for an auto-encoder"),
    ],
)
def test_what_makes_no_auto_encoder_is_refused(changes, message):
    conv = dataclasses.replace(ERROR.conv[0], filters=len(changes.get("distance", ((),))))
    with pytest.raises(InputError, match=message):
        dataclasses.replace(ERROR, conv=(conv,), **changes)


def test_counts_that_the_first_layer_would_cut_are_refused():
    coarse = {**ERROR.precision, "dense1": dataclasses.replace(ERROR.precision["dense1"], output_bits=6)}
    with pytest.raises(InputError, match=r"dense1\.output_bits = 6 of a distance; expected at least 7"):
        dataclasses.replace(ERROR, precision=coarse)


def test_background_of_one_kind_of_event_is_refused(zero_bias):
    counts, weight, calibration = zero_bias
    with pytest.raises(InputError, match="a window that does not vary"):
        learn_distance(counts * 0 + 1, weight, calibration, ERROR, TRAINING)
