import dataclasses
import json

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import input_counts
from codae_l1.quantization._target import expected_score, training_set
from codae_l1.quantization.config import DistillConfig, Training
from codae_l1.quantization.distill import combined, distill, teacher_coefficients
from codae_l1.quantization.f_m.config import FirmwareConfig

CONFIG = DistillConfig(copies=1, steps=400, qat_steps=200, batch_size=64)


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    """QCD-like masks (600, 72, 58, 1) uint8: a few spots of changing number on a sparse floor."""
    rng = np.random.default_rng(0)
    masks = (rng.random((600, 72, 58, 1)) < 0.015).astype(np.uint8)
    for mask in masks:
        for _ in range(rng.poisson(3)):
            row, column = rng.integers(0, 66), rng.integers(0, 52)
            mask[row : row + 6, column : column + 6] |= rng.random((6, 6, 1)) < 0.5
    return masks


def teacher(masks: np.ndarray) -> np.ndarray:
    """A score that a network of pooled counts can learn: active pixels, crowded cells twice."""
    counts = input_counts(masks, FirmwareConfig().pooling)
    return (counts + np.maximum(counts - 3, 0)).sum(axis=(1, 2, 3)).astype(np.float64)


@pytest.fixture(scope="module")
def student(masks):
    return distill(teacher, masks[:500], masks[500:], FirmwareConfig(), Training(CONFIG, seed=1))


def test_student_follows_its_teacher(student, masks):
    assert student.history["calibration_correlation"]["float"] > 0.97
    assert student.history["calibration_correlation"]["qkeras"] > 0.95
    busy = np.ones((1, 72, 58, 1), np.uint8)
    words = student.firmware.predict_words(input_counts(np.concatenate([masks, busy]), FirmwareConfig().pooling))
    assert words[-1] > words[:-1].max()
    json.dumps(student.history, allow_nan=False)


def test_no_tie_can_occur_in_the_student(student):
    assert student.history["layers_without_ties"] == ["conv1", "output"]


def test_same_seed_same_student(student, masks):
    again = distill(teacher, masks[:500], masks[500:], FirmwareConfig(), Training(CONFIG, seed=1))
    assert again.history == student.history
    for a, b in zip(student.firmware.model.get_weights(), again.firmware.model.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()
    other = distill(teacher, masks[:500], masks[500:], FirmwareConfig(), Training(CONFIG, seed=2))
    assert other.history["qat"] != student.history["qat"]


def test_training_set_is_augmented_qcd_scored_by_the_teacher(masks):
    config = DistillConfig(copies=2)
    seen = []

    def recording(batch: np.ndarray) -> np.ndarray:
        seen.append(batch)
        return teacher(batch)

    counts, scores = training_set(recording, masks[:20], FirmwareConfig(), Training(config, seed=3))
    assert len(counts) == len(scores) == 20 * 2
    assert np.array_equal(counts, input_counts(np.concatenate(seen), FirmwareConfig().pooling))
    assert np.array_equal(scores, teacher(np.concatenate(seen)))
    totals = masks[:20].sum(axis=(1, 2, 3)).tolist()
    assert counts[:20].sum(axis=(1, 2, 3)).tolist() == counts[20:40].sum(axis=(1, 2, 3)).tolist() == totals
    assert not np.array_equal(counts[:20], counts[20:40])


def test_energies_reach_the_counts_and_the_teacher_sees_masks(masks):
    images = np.repeat(masks[:20], 3, axis=3).astype(np.float32) * np.array([1.5, 8, 9], np.float32)
    firmware = FirmwareConfig(inputs=("tracks", "ecal"))
    training = Training(DistillConfig(copies=1), seed=3)
    counts, scores = training_set(teacher, images, firmware, training)
    alone, same = training_set(teacher, masks[:20], FirmwareConfig(), training)
    assert np.array_equal(counts[..., :1], alone)
    assert np.array_equal(counts[..., 1:], alone * 2)  # 8 GeV per pixel in steps of 4
    assert np.array_equal(scores, same)
    with pytest.raises(
        InputError, match=r"images of shape \(20, 72, 58, 1\); expected \(N, 72, 58, 3\) for tracks, ecal"
    ):
        training_set(teacher, masks[:20], firmware, training)


def test_given_energies_the_student_learns_what_they_do_not_explain(masks):
    """The score is pixels; where each pixel has the same energy, energy explains it wholly and random energy not."""
    rng = np.random.default_rng(5)
    energy = np.where(np.arange(len(masks)) % 2, 1.0, rng.uniform(0.2, 5.0, len(masks)))[:, None, None, None]
    images = np.concatenate([masks, masks * 4 * energy, masks * 0], axis=3).astype(np.float32)
    firmware = FirmwareConfig(inputs=("tracks", "ecal"), count_bits=8)
    counts = input_counts(images, firmware.pooling)
    scores = teacher(masks)
    expected = expected_score(counts[1::2], scores[1::2], firmware, seed=0)
    assert np.std(scores[1::2] - expected(counts[1::2])) < 0.3 * np.std(scores)
    noise = expected_score(counts[::2], scores[::2], firmware, seed=0)
    assert np.std(scores[::2] - noise(counts[::2])) > 0.5 * np.std(scores)
    training = Training(dataclasses.replace(CONFIG, given_energies=True), seed=1)
    student = distill(teacher, images[:500], images[500:], firmware, training)
    assert student.history["calibration_correlation"]["float"] > 0.5
    with pytest.raises(InputError, match=r"given_energies with firmware.inputs = \['tracks'\]; expected an energy"):
        distill(teacher, masks[:50], masks[50:60], FirmwareConfig(), training)


def test_combined_scores_are_oriented_and_standardised():
    qcd = {"mse": np.array([0.0, 4.0]), "kl": np.array([3.0, 1.0]), "bce": np.ones(2)}
    signs = {"mse": 1, "kl": -1, "bce": 1}
    coefficients = teacher_coefficients({"mse": 1.0, "kl": 0.5}, qcd, signs)
    assert coefficients == {"mse": 0.5, "kl": -0.5}
    assert combined(coefficients, qcd).tolist() == [-1.5, 1.5]
    with pytest.raises(InputError, match=r"distill.scores.elbo for this model; expected one of mse, kl, bce"):
        teacher_coefficients({"elbo": 1.0}, qcd, signs)
    with pytest.raises(InputError, match=r"a teacher whose bce is the same on every event"):
        teacher_coefficients({"bce": 1.0}, qcd, signs)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"copies": 0}, "distill.copies = 0; expected a number above zero"),
        ({"learning_rate": -1.0}, "distill.learning_rate = -1.0"),
        ({"scores": {"chi2": 1.0}}, "distill.scores.chi2 = 1.0; expected a finite weight of one of z0, z1"),
        ({"scores": {"mse": float("nan")}}, "distill.scores.mse = nan; expected a finite weight"),
        ({"scores": {"mse": 0.0}}, "distill.scores = {'mse': 0.0}; expected a weight other than zero"),
        ({"margin": 0.5}, "distill.margin = 0.5; expected a finite number >= 1"),
        ({"output_margin": float("nan")}, "distill.output_margin = nan; expected a finite number >= 1"),
        ({"learning_rate": float("nan")}, "distill.learning_rate = nan"),
    ],
)
def test_wrong_config_names_its_path(table, words):
    with pytest.raises(InputError) as error:
        DistillConfig(**table)
    assert words in str(error.value)


def test_wrong_teachers_are_refused(masks):
    with pytest.raises(InputError, match=r"a teacher with the score 1.0 on every event"):
        distill(lambda m: np.ones(len(m)), masks[:9], masks[9:12], FirmwareConfig(), Training(CONFIG))
    with pytest.raises(InputError, match=r"firmware.outputs = 2; expected 1 for distillation"):
        distill(teacher, masks, masks, FirmwareConfig(outputs=2), Training(CONFIG))


def test_progress_is_told(masks):
    told = []
    training = Training(DistillConfig(copies=1, steps=20, qat_steps=10), progress=lambda *a: told.append(a))
    distill(teacher, masks[:50], masks[50:60], FirmwareConfig(), training)
    parts = [text.split(":")[0] for *_, text in told]
    assert [p for i, p in enumerate(parts) if p not in parts[:i]] == ["labels", "float", "QAT"]
    assert told[-1][:2] == (10, 10)
