"""Distillation: the trigger network learns a score of the full model, from QCD events alone.

score = sum over names of weight x oriented score / its standard deviation on QCD
    target = (score - mean) / deviation over the QCD training events          (quantization/_target.py)

The squared error on the unchanged score gives weight to the tail, which is where the trigger cuts; a logarithm or
square root would flatten it. The student sees only QCD: each event, flipped in eta and rolled in phi. The teacher
scores every such image itself; its invariance is not assumed. Float training comes first, and quantization-aware
training follows.

`block_power` is the default because QCD puts its tracks into few narrow jets, while soft sprays fill whole blocks.
docs/log.md describes the scores that were tried, and the baseline without learning that every report quotes next to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import input_counts, track_mask
from codae_l1.models.codae.scores import codae_scores
from codae_l1.quantization._calibration import calibrate, calibrate_input, without_ties
from codae_l1.quantization._fitting import Schedule, fit
from codae_l1.quantization._target import Target, Teacher, training_set
from codae_l1.quantization.config import Training
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.float_model import FloatModel
from codae_l1.quantization.f_m.network import FirmwareModel, build_float, build_qkeras, saturated

if TYPE_CHECKING:
    import keras

    from codae_l1.models.codae.model import CoDAE


@dataclass
class Student:
    """What distillation gives: the float model, the firmware model, and how the training went (JSON-ready)."""

    float_model: FloatModel
    firmware: FirmwareModel
    history: dict[str, Any]


def distill(
    teacher: Teacher,
    train_images: np.ndarray,
    calibration_images: np.ndarray,
    firmware: FirmwareConfig,
    training: Training,
) -> Student:
    """Teach the firmware network the teacher's score on QCD images (N, 72, 58, 3); calibration images fix the words.

    Where the firmware reads tracks alone, masks (N, 72, 58, 1) do.
    """
    if firmware.outputs != 1:
        raise InputError(f"firmware.outputs = {firmware.outputs}", "1 for distillation", "set it to 1")
    counts, scores = training_set(teacher, train_images, firmware, training)
    target = Target(counts, scores, firmware, training)
    calibration = input_counts(calibration_images, firmware.pooling)
    student = learn(counts, target(counts, scores), calibration, firmware, training)
    student.history |= {"mean": target.mean, "deviation": target.deviation, "events": len(counts)}
    check = target(calibration, teacher(track_mask(calibration_images)))[:, 0]
    answers = {
        "float": student.float_model.predict_scores(calibration),
        "qkeras": student.firmware.firmware_score(student.firmware.predict_words(calibration)),
    }
    correlation = {name: float(np.corrcoef(check, answer)[0, 1]) for name, answer in answers.items()}
    student.history["calibration_correlation"] = correlation
    return student


def learn_scores(
    counts: np.ndarray, scores: np.ndarray, calibration: np.ndarray, firmware: FirmwareConfig, training: Training
) -> Student:
    """`learn`, of the target that follows from the scores (N,) of QCD counts (N, 18, 15, inputs)."""
    return learn(counts, Target(counts, scores, firmware, training)(counts, scores), calibration, firmware, training)


def learn(
    counts: np.ndarray, targets: np.ndarray, calibration: np.ndarray, firmware: FirmwareConfig, training: Training
) -> Student:
    """Counts (N, 18, 15, inputs) integers -> targets (N, outputs) float32: float training, calibration, QAT."""
    _check_plain(firmware)
    config, seed = training.distill, training.seed
    if config.input_margin:
        firmware = calibrate_input(firmware, calibration, config.input_margin, config.quantile)
    inputs, model = saturated(counts, firmware), build_float(firmware, seed)
    first = Schedule(config.steps, config.learning_rate, config.batch_size, seed)
    second = Schedule(config.qat_steps, config.qat_learning_rate, config.batch_size, seed + 1)
    history: dict[str, Any] = {"float": fit(model, inputs, targets, first, training.part("float"))}
    calibrated = calibrate(firmware, model, calibration, config.margin, config.output_margin, config.quantile)
    quantized, pruned = _quantized(model, calibrated, config.sparsity, seed)
    history["qat"] = fit(quantized, inputs, targets, second, training.part("QAT"))
    history |= {"layers_without_ties": without_ties(quantized, calibrated), "pruned": pruned}
    return Student(FloatModel(model, calibrated), FirmwareModel.rounded(quantized, calibrated), history)


def untrained(firmware: FirmwareConfig, calibration: np.ndarray, sparsity: float = 0.0, seed: int = 0) -> FirmwareModel:
    """The network with its first weights; calibration counts (N, 18, 15, inputs) of QCD fix its words."""
    _check_plain(firmware)
    model = build_float(firmware, seed)
    calibrated = calibrate(firmware, model, calibration)
    quantized, _ = _quantized(model, calibrated, sparsity, seed)
    without_ties(quantized, calibrated)
    return FirmwareModel.rounded(quantized, calibrated)


def teacher_coefficients(
    weights: Mapping[str, float], qcd_scores: Mapping[str, np.ndarray], signs: Mapping[str, int]
) -> dict[str, float]:
    """Coefficients of the scores in the target: weight x sign / standard deviation on QCD.

    >>> teacher_coefficients({"mse": 1.0, "z0": 0.5}, {"mse": [0, 4], "z0": [1, 2]}, {"mse": 1, "z0": -1})
    {'mse': 0.5, 'z0': -1.0}
    """
    found = {}
    for name, weight in weights.items():
        if name not in qcd_scores:
            raise InputError(f"distill.scores.{name} for this model", f"one of {', '.join(qcd_scores)}", "choose one")
        deviation = float(np.std(qcd_scores[name]))
        if not deviation > 0:
            raise InputError(f"a teacher whose {name} is the same on every event", "values that differ", "train longer")
        found[name] = weight * signs[name] / deviation
    return found


def codae_teacher(model: "CoDAE", coefficients: Mapping[str, float], batch_size: int = 128) -> Teacher:
    """The sum of coefficient x score of a full model (models.scores) as a teacher."""
    return lambda masks: combined(coefficients, codae_scores(model, masks, batch_size))


def combined(coefficients: Mapping[str, float], scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sum of coefficient x score, (N,) float64."""
    return np.sum([c * scores[name] for name, c in coefficients.items()], axis=0)


def _check_plain(firmware: FirmwareConfig) -> None:
    """Raise InputError for a distance, which has no first weights and learns no target."""
    if firmware.distance:
        raise InputError(
            f"firmware.distance = {[list(group) for group in firmware.distance]} for a network that learns a target",
            "firmware.distance = []",
            'set firmware.preset = "distilled", or learn the distance (codae_l1.quantization.distance)',
        )


def _quantized(
    model: "keras.Model", config: FirmwareConfig, sparsity: float, seed: int
) -> tuple["keras.Model", dict[str, float]]:
    """The QKeras model with the weights of the float one, pruned; and the fraction of zeros in each layer."""
    from codae_l1.quantization._pruning import prune

    quantized = build_qkeras(config, seed)
    quantized.set_weights(model.get_weights())
    return quantized, prune(quantized, config.layers, sparsity)
