"""Distillation: the firmware network learns a score of the full model, from QCD events alone.

target = (transform(score) - mean) / deviation over the QCD training events. Squared error on the untransformed score
weighs the tail, which is where the trigger cuts; logarithm and square root flatten it (the config chooses).

The student sees QCD only: each event, flipped in eta and rolled in phi; on request also overlays, the union of two QCD
masks, which is still only QCD but busier. The teacher scores every such mask itself; its invariance is not assumed.
Float training first, then quantization-aware from it.

Why `invented`, untransformed and without overlays, is the default: on generated events (COMPACT teacher, seed 1) its
student beats the count of active pixels on every signal, the student of `mse` on none below 400 GeV. The teacher's own
`invented` falls again for events busier than any QCD (probabilities near one leave nothing to invent); a student that
never saw such events carries on upwards, since it adds up growing functions of counts. Overlays teach it that fall.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.errors import InputError
from codae_l1.quantization.calibration import calibrate, without_ties
from codae_l1.quantization.firmware import FirmwareConfig, FirmwareModel, build_float, build_qkeras, mask_counts
from codae_l1.quantization.fitting import Progress, fit
from codae_l1.quantization.float_model import FloatModel

# Masks (N, 72, 58, 1) of 0 and 1 -> score (N,), higher = more anomalous.
Teacher = Callable[[np.ndarray], np.ndarray]
TRANSFORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda score: score,
    "sqrt": lambda score: np.sqrt(np.maximum(score, 0)),
    "log": lambda score: np.log(np.maximum(score, 1e-6)),
}


@dataclass(frozen=True)
class DistillConfig:
    """score: name in models.scores.SCORES. transform: of the score before it is standardised.

    copies: flipped and rolled copies of each QCD event. overlays: unions of two events, as a share of those copies.
    steps, qat_steps: batches of the float training and of the quantization-aware one.
    margin, output_margin: head room of the calibration (quantization/calibration.py).
    """

    score: str = "invented"
    transform: Literal["none", "sqrt", "log"] = "none"
    copies: int = 2
    overlays: float = 0.0
    steps: int = 2000
    qat_steps: int = 1500
    batch_size: int = 128
    learning_rate: float = 0.01
    qat_learning_rate: float = 0.002
    margin: float = 1.5
    output_margin: float = 6.0

    def __post_init__(self):
        # Late: the models import Keras.
        from codae_l1.models.scores import SCORES

        if self.score not in SCORES:
            raise InputError(f"distill.score = {self.score!r}", f"one of {', '.join(SCORES)}", "choose one of them")
        for name in ("copies", "steps", "qat_steps", "batch_size", "learning_rate", "qat_learning_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"distill.{name} = {getattr(self, name)}", "a number above zero", "raise it")
        if not 0 <= self.overlays <= 1:
            raise InputError(f"distill.overlays = {self.overlays}", "a share from 0 to 1", "correct it")
        for name in ("margin", "output_margin"):
            if not 1 <= getattr(self, name) < float("inf"):
                raise InputError(f"distill.{name} = {getattr(self, name)}", "a finite number >= 1", "correct it")


@dataclass
class Student:
    """What distillation gives: the float model, the firmware model, and how the training went (JSON-ready)."""

    float_model: FloatModel
    firmware: FirmwareModel
    history: dict[str, Any]


def distill(
    teacher: Teacher,
    train_masks: np.ndarray,
    calibration_masks: np.ndarray,
    config: DistillConfig,
    firmware: FirmwareConfig,
    seed: int = 0,
    progress: Progress | None = None,
) -> Student:
    """Teach the firmware network the teacher's score on QCD masks (N, 72, 58, 1); calibration masks fix the words."""
    if firmware.outputs != 1:
        raise InputError(f"firmware.outputs = {firmware.outputs}", "1 for distillation", "set it to 1")
    counts, scores = training_set(teacher, train_masks, config, firmware, seed, _part(progress, 0))
    transform = TRANSFORMS[config.transform]
    values = transform(scores)
    own = values[: config.copies * len(train_masks)]
    mean, deviation = float(own.mean()), float(own.std())
    if not deviation > 0:
        raise InputError(f"a teacher with the score {mean} on every event", "scores that differ", "train it longer")
    targets = ((values - mean) / deviation).astype(np.float32)[:, None]
    calibration = mask_counts(calibration_masks, firmware)
    student = learn(counts, targets, calibration, config, firmware, seed, progress)
    check = (transform(teacher(calibration_masks)) - mean) / deviation
    student.history |= {"transform": config.transform, "mean": mean, "deviation": deviation, "events": len(counts)}
    student.history["calibration_correlation"] = {
        "float": float(np.corrcoef(check, student.float_model.predict_scores(calibration))[0, 1]),
        "qkeras": float(
            np.corrcoef(check, student.firmware.firmware_score(student.firmware.predict_words(calibration)))[0, 1]
        ),
    }
    return student


def learn(
    counts: np.ndarray,
    targets: np.ndarray,
    calibration: np.ndarray,
    config: DistillConfig,
    firmware: FirmwareConfig,
    seed: int = 0,
    progress: Progress | None = None,
) -> Student:
    """Counts (N, 18, 15, 1) integers -> targets (N, outputs) float32: float training, calibration, QAT."""
    inputs = counts.astype(np.float32)
    size = config.batch_size
    model = build_float(firmware, seed)
    first = fit(model, inputs, targets, config.steps, config.learning_rate, size, seed, _part(progress, 1))
    calibrated = calibrate(firmware, model, calibration, config.margin, config.output_margin)
    quantized = build_qkeras(calibrated, seed)
    quantized.set_weights(model.get_weights())
    rate = config.qat_learning_rate
    second = fit(quantized, inputs, targets, config.qat_steps, rate, size, seed + 1, _part(progress, 2))
    free = without_ties(quantized, calibrated)
    history = {"float": first, "qat": second, "layers_without_ties": free}
    return Student(FloatModel(model, calibrated), FirmwareModel(quantized, calibrated), history)


def training_set(
    teacher: Teacher,
    masks: np.ndarray,
    config: DistillConfig,
    firmware: FirmwareConfig,
    seed: int,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Counts (M, 18, 15, 1) int64 and teacher scores (M,) float64 of flipped and rolled QCD masks, then of overlays."""
    rng = np.random.default_rng(seed)
    copies = [flip_and_roll(masks, rng) for _ in range(config.copies)]
    unions = [overlay(copy, round(config.overlays * len(masks)), rng) for copy in copies]
    augmented = np.concatenate(copies + unions)
    if progress:
        progress(0, 1, f"the teacher scores {len(augmented)} augmented QCD masks")
    scores = teacher(augmented)
    if progress:
        progress(1, 1, f"the teacher scored {len(augmented)} augmented QCD masks")
    return mask_counts(augmented, firmware), np.asarray(scores, np.float64)


def overlay(masks: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Unions of two different events: masks (N, 72, 58, 1) -> (n, 72, 58, 1).

    >>> overlay(np.array([[1, 0], [0, 1]]), 1, np.random.default_rng(0)).tolist()
    [[1, 1]]
    """
    first = rng.integers(0, len(masks), n)
    second = (first + rng.integers(1, max(len(masks), 2), n)) % len(masks)
    return np.maximum(masks[first], masks[second])


def codae_teacher(model: Any, score: str, sign: int = 1, batch_size: int = 128) -> Teacher:
    """The oriented score of a CoDAE (models.scores) as a teacher."""
    from codae_l1.models.scores import SCORES, codae_scores

    if score not in SCORES:
        raise InputError(f"distill.score = {score!r}", f"one of {', '.join(SCORES)}", "choose one of them")
    return lambda masks: sign * codae_scores(model, masks, batch_size)[score]


def _part(progress: Progress | None, part: int) -> Progress | None:
    """The callback with the part's name before its text."""
    if progress is None:
        return None
    name = ("labels", "float", "QAT")[part]
    return lambda done, total, text: progress(done, total, f"{name}: {text}")
