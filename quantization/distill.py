"""Distillation: the trigger network learns a score of the full model, from QCD events alone.

score = sum over names of weight x oriented score / its standard deviation on QCD
    target = (score - mean) / deviation over the QCD training events

The squared error on the unchanged score gives weight to the tail, which is where the trigger cuts; a logarithm or
square root would flatten it. The student sees only QCD: each event, flipped in eta and rolled in phi. The teacher
scores every such image itself; its invariance is not assumed. Float training comes first, and quantization-aware
training follows.

`block_power` is the default because QCD puts its tracks into few narrow jets, while soft sprays fill whole blocks.
docs/log.md describes the scores that were tried, and the baseline without learning that every report quotes next to it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.quantization.config import DistillConfig
from codae_l1.quantization.f_m.calibration import calibrate, calibrate_input, without_ties
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.float_model import FloatModel
from codae_l1.quantization.f_m.network import FirmwareModel, build_float, build_qkeras, input_counts, saturated
from codae_l1.quantization.f_m.pruning import prune
from codae_l1.quantization.fitting import fit

# Masks (N, 72, 58, 1) of 0 and 1 -> score (N,), higher = more anomalous.
Teacher = Callable[[np.ndarray], np.ndarray]


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
    config: DistillConfig,
    firmware: FirmwareConfig,
    seed: int = 0,
    progress: Progress | None = None,
) -> Student:
    """Teach the firmware network the teacher's score on QCD images (N, 72, 58, 3); calibration images fix the words.

    Where the firmware reads tracks alone, masks (N, 72, 58, 1) do.
    """
    if firmware.outputs != 1:
        raise InputError(f"firmware.outputs = {firmware.outputs}", "1 for distillation", "set it to 1")
    counts, scores = training_set(teacher, train_images, config, firmware, seed, _part(progress, 0))
    target = Target(counts, scores, config, firmware, seed)
    calibration = input_counts(calibration_images, firmware)
    student = learn(counts, target(counts, scores), calibration, config, firmware, seed, progress)
    student.history |= {"mean": target.mean, "deviation": target.deviation, "events": len(counts)}
    check = target(calibration, teacher(_masks(calibration_images)))[:, 0]
    answers = {
        "float": student.float_model.predict_scores(calibration),
        "qkeras": student.firmware.firmware_score(student.firmware.predict_words(calibration)),
    }
    correlation = {name: float(np.corrcoef(check, answer)[0, 1]) for name, answer in answers.items()}
    student.history["calibration_correlation"] = correlation
    return student


class Target:
    """The standardised target of the module's formula; what it needs is taken from QCD: counts (N, 18, 15, inputs) and
    their scores (N,). Called with counts and scores of other events, it gives (M, 1) float32."""

    def __init__(
        self, counts: np.ndarray, scores: np.ndarray, config: DistillConfig, firmware: FirmwareConfig, seed: int
    ):
        self._expected = expected_score(counts, scores, firmware, seed) if config.given_energies else None
        values = self._values(counts, scores)
        self.mean, self.deviation = float(values.mean()), float(values.std())
        if not self.deviation > 0:
            given = f"a teacher with the score {self.mean} on every event"
            raise InputError(given, "scores that differ", "train it longer")

    def __call__(self, counts: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Targets of these events."""
        return ((self._values(counts, scores) - self.mean) / self.deviation).astype(np.float32)[:, None]

    def _values(self, counts: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return scores - self._expected(counts) if self._expected else scores


def energies(counts: np.ndarray, firmware: FirmwareConfig) -> np.ndarray:
    """Sum of each energy input's words: counts (N, 18, 15, inputs) -> (N, energy inputs) float64."""
    which = [i for i, name in enumerate(firmware.inputs) if name != "tracks"]
    if not which:
        raise InputError(
            f"distill.given_energies with firmware.inputs = {list(firmware.inputs)}",
            "an energy among them (track_pt, ecal, hcal)",
            "add one",
        )
    return saturated(counts, firmware)[..., which].sum(axis=(1, 2)).astype(np.float64)


def expected_score(
    counts: np.ndarray, scores: np.ndarray, firmware: FirmwareConfig, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Mean score of QCD of the same energies, by boosted trees: a function of counts (N, 18, 15, inputs) -> (N,)."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(max_leaf_nodes=8, early_stopping=False, random_state=seed)
    trees.fit(energies(counts, firmware), scores)
    return lambda counts: trees.predict(energies(counts, firmware))


def learn(
    counts: np.ndarray,
    targets: np.ndarray,
    calibration: np.ndarray,
    config: DistillConfig,
    firmware: FirmwareConfig,
    seed: int = 0,
    progress: Progress | None = None,
) -> Student:
    """Counts (N, 18, 15, inputs) integers -> targets (N, outputs) float32: float training, calibration, QAT."""
    if config.input_margin:
        firmware = calibrate_input(firmware, calibration, config.input_margin, config.quantile)
    inputs, size = saturated(counts, firmware), config.batch_size
    model = build_float(firmware, seed)
    first = fit(model, inputs, targets, config.steps, config.learning_rate, size, seed, _part(progress, 1))
    calibrated = calibrate(firmware, model, calibration, config.margin, config.output_margin, config.quantile)
    quantized = build_qkeras(calibrated, seed)
    quantized.set_weights(model.get_weights())
    pruned = prune(quantized, calibrated.layers, config.sparsity)
    rate = config.qat_learning_rate
    second = fit(quantized, inputs, targets, config.qat_steps, rate, size, seed + 1, _part(progress, 2))
    free = without_ties(quantized, calibrated)
    history = {"float": first, "qat": second, "layers_without_ties": free, "pruned": pruned}
    return Student(FloatModel(model, calibrated), FirmwareModel(quantized, calibrated), history)


def training_set(
    teacher: Teacher,
    images: np.ndarray,
    config: DistillConfig,
    firmware: FirmwareConfig,
    seed: int,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Counts (M, 18, 15, inputs) int64 and teacher scores (M,) of flipped and rolled copies of QCD images."""
    rng = np.random.default_rng(seed)
    augmented = np.concatenate([flip_and_roll(images, rng) for _ in range(config.copies)])
    if progress:
        progress(0, 1, f"the teacher scores {len(augmented)} augmented QCD masks")
    scores = teacher(_masks(augmented))
    if progress:
        progress(1, 1, f"the teacher scored {len(augmented)} augmented QCD masks")
    return input_counts(augmented, firmware), np.asarray(scores, np.float64)


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


def codae_teacher(model: Any, coefficients: Mapping[str, float], batch_size: int = 128) -> Teacher:
    """The sum of coefficient x score of a full model (models.scores) as a teacher."""
    from codae_l1.models.codae.scores import codae_scores

    return lambda masks: combined(coefficients, codae_scores(model, masks, batch_size))


def combined(coefficients: Mapping[str, float], scores: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sum of coefficient x score, (N,) float64."""
    return np.sum([c * scores[name] for name, c in coefficients.items()], axis=0)


def _masks(images: np.ndarray) -> np.ndarray:
    """Images (N, 72, 58, C) -> masks (N, 72, 58, 1) uint8, what the full model sees."""
    return (images[..., :1] > 0).astype(np.uint8)


def _part(progress: Progress | None, part: int) -> Progress | None:
    """The callback with the part's name before its text."""
    if progress is None:
        return None
    name = ("labels", "float", "QAT")[part]
    return lambda done, total, text: progress(done, total, f"{name}: {text}")
