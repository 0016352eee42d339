"""In situ: a QKeras f_m on pooled counts inside the full model, where its two numbers z_m condition the decoder.

    mask -> f_R -> z_R -------------------------> decoder([z_R, z_m]) -> BCE on QCD
         -> pooled counts -> QKeras f_m -> z_m ---^

It starts from the trained full model: a float student first learns the trained f_m's z_m, standardised (least squares,
QCD only), its ranges fix the words, then QAT runs through the decoder. The student's words stay in units of the
deviation of z_m; a fixed scale and offset, outside the firmware, converts them for the decoder. The component and its
sign are chosen without labels: the one whose rank correlation with the reconstruction error on QCD is strongest
(models/codae/scores.py, `orientations`). The whole encoders are trained in situ in quantization/encoders/in_situ.py.
"""

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import input_counts
from codae_l1.models.codae.config import MASK_SHAPE, Z_M_SIZE
from codae_l1.models.codae.model import CoDAE, with_encoders
from codae_l1.models.codae.scores import codae_scores
from codae_l1.quantization._calibration import without_ties
from codae_l1.quantization._qat import (
    SMALLEST_DEVIATION,
    PooledCounts,
    batched,
    choose_component,
    copied,
    fit_in_situ,
    mean_bce,
)
from codae_l1.quantization.config import Training
from codae_l1.quantization.distill import Student, learn
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel


def train_in_situ(
    codae: CoDAE,
    train_masks: np.ndarray,
    calibration_masks: np.ndarray,
    firmware: FirmwareConfig,
    training: Training,
) -> Student:
    """Train the firmware network as the f_m of `codae` on QCD masks (N, 72, 58, 1) uint8; `codae` itself stays.

    The history gives the BCE on the calibration masks with the model's own f_m, with the student before and after QAT
    in situ.
    """
    if firmware.outputs != Z_M_SIZE:
        raise InputError(f"firmware.outputs = {firmware.outputs}", f"{Z_M_SIZE}, as z_m", "change it")
    if tuple(firmware.inputs) != ("tracks",):
        raise InputError(f"firmware.inputs = {list(firmware.inputs)}", "tracks, all that a CoDAE sees", "change them")
    rng = np.random.default_rng(training.seed)
    student, mean, deviation = _warm_up(codae, train_masks, calibration_masks, firmware, training, rng)
    calibrated, encoder = student.firmware.config, student.firmware.model
    mask = keras.Input(MASK_SHAPE, name="mask")
    counts = PooledCounts(firmware.pool, firmware.count_bits, name="pooled_counts")(mask)
    z_m = keras.layers.Rescaling(deviation, mean, name="z_m")(encoder(counts))
    base = copied(codae) if training.in_situ.train_decoder else codae
    whole = with_encoders(base, keras.Model(mask, z_m))
    own = codae_scores(codae, calibration_masks)
    history: dict[str, Any] = {"warm_up": student.history, "bce_own_f_m": float(own["bce"].mean())}
    history["bce_before"] = mean_bce(whole, calibration_masks)
    history["bce"] = fit_in_situ(whole, ("f_m",), train_masks, training, rng)
    without_ties(encoder, calibrated)
    trained = FirmwareModel.rounded(encoder, calibrated)
    history["bce_after"] = mean_bce(whole, calibration_masks)
    words = trained.predict_words(input_counts(calibration_masks, firmware.pooling))
    component, sign, history["rank_correlations"] = choose_component(words, own["mse"])
    chosen = {"component": component, "sign": sign}
    return Student(replace(student.float_model, **chosen), replace(trained, **chosen), history)


def _warm_up(
    codae: CoDAE,
    train_masks: np.ndarray,
    calibration_masks: np.ndarray,
    firmware: FirmwareConfig,
    training: Training,
    rng: np.random.Generator,
) -> tuple[Student, list[float], list[float]]:
    """A student of the trained z_m, standardised, on augmented QCD; and z_m's means and deviations."""
    masks = np.concatenate([flip_and_roll(train_masks, rng) for _ in range(training.in_situ.warm_up_copies)])
    z_m, calibration = batched(codae.f_m, masks), input_counts(calibration_masks, firmware.pooling)
    mean, deviation = z_m.mean(axis=0), np.maximum(z_m.std(axis=0), SMALLEST_DEVIATION)
    targets = ((z_m - mean) / deviation).astype(np.float32)
    student = learn(input_counts(masks, firmware.pooling), targets, calibration, firmware, training)
    return student, mean.tolist(), deviation.tolist()
