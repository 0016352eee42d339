"""In situ: f_m, f_R or both in QKeras inside the full model, CoDAE or CoDVAE, trained by its own loss on QCD.

    mask -> QKeras f_R -> z_R -> decoder([z_R, z_m]) -> BCE (+ KL of a CoDVAE)
         -> QKeras f_m -> z_m ---^

Float versions start from the trained encoders (quantization/encoders/_folding.py) and are fitted by least squares to
the outputs of these on QCD, each component in units of its deviation. Their ranges fix all word types, and
quantization-aware training through the decoder follows. Without the first step the encoder settles on a different z_m:
this hardly changes the BCE, but it changes scores such as z0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.errors import InputError
from codae_l1.data.events import BACKGROUNDS
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.codae.scores import codae_scores, orient
from codae_l1.quantization._qat import copied, fit_in_situ, mean_bce
from codae_l1.quantization.config import Training
from codae_l1.quantization.encoders._comparing import compared
from codae_l1.quantization.encoders._fitting_twins import inside, warm_up
from codae_l1.quantization.encoders._folding import calibrate_encoder, float_twin
from codae_l1.quantization.encoders.config import EncoderConfig, Part
from codae_l1.quantization.encoders.network import QuantizedEncoder, build_encoder


@dataclass
class _QuantizedModel:
    """A full model with QKeras encoders.

    encoders: f_m, f_r or both. model: a CoDAE (or CoDVAE) with them inside, for all its scores. history: JSON-ready.
    """

    encoders: dict[Part, QuantizedEncoder]
    model: CoDAE
    history: dict[str, Any]


def train_encoders(
    codae: CoDAE,
    train_masks: np.ndarray,
    calibration_masks: np.ndarray,
    encoders: EncoderConfig,
    training: Training,
) -> _QuantizedModel:
    """Quantize encoders of a trained model on QCD masks (N, 72, 58, 1) uint8; `codae` itself stays.

    training.in_situ: epochs, events and rate of QAT, copies of each event of the warm-up. The history gives the BCE on
    the calibration masks of the model as it was, with the float twins as started and as trained, and after QAT.
    """
    parts: tuple[Part, ...] = encoders.encoders
    rng, config = np.random.default_rng(training.seed), training.in_situ
    base = copied(codae) if config.train_decoder else codae
    floats: dict[Part, Any] = {part: float_twin(part, codae, encoders, calibration_masks) for part in parts}
    whole = inside(base, floats)
    history: dict[str, Any] = {"bce_own": mean_bce(codae, calibration_masks)}
    history["bce_started"] = mean_bce(whole, calibration_masks)
    augmented = np.concatenate([flip_and_roll(train_masks, rng) for _ in range(config.warm_up_copies)])
    history["warm_up"] = {
        part: warm_up(part, codae, twin, augmented, encoders, training) for part, twin in floats.items()
    }
    history["bce_float"] = mean_bce(whole, calibration_masks)
    precision: dict[Part, Any] = {
        part: calibrate_encoder(twin, encoders, calibration_masks) for part, twin in floats.items()
    }
    twins: dict[Part, Any] = {part: build_encoder(part, codae.config, encoders, precision[part]) for part in parts}
    for part, twin in twins.items():
        twin.set_weights(floats[part].get_weights())
    whole = inside(base, twins)
    history["qat"] = fit_in_situ(whole, parts, train_masks, training, rng)
    quantized: dict[Part, QuantizedEncoder] = {
        part: QuantizedEncoder.rounded(part, codae.config, encoders, precision[part], twin)
        for part, twin in twins.items()
    }
    history["bce_after"] = mean_bce(whole, calibration_masks)
    return _QuantizedModel(quantized, whole, history)


def untrained_encoder(part: Part, codae: CoDAE, config: EncoderConfig, masks: np.ndarray) -> QuantizedEncoder:
    """The twin of an encoder as it is, without training; QCD masks (N, 72, 58, 1) fix its words."""
    started = float_twin(part, codae, config, masks)
    precision = calibrate_encoder(started, config, masks)
    model = build_encoder(part, codae.config, config, precision)
    model.set_weights(started.get_weights())
    return QuantizedEncoder.rounded(part, codae.config, config, precision, model)


def _with_quantized(codae: CoDAE, encoders: Mapping[Part, QuantizedEncoder]) -> CoDAE:
    """The full model with quantized encoders, loaded ones say, in place of its own; the rest is shared.

    Made with train_decoder, encoders belong to the model that train_encoders gave, not to this one.
    """
    return inside(codae, {part: encoder.model for part, encoder in encoders.items()})


def validate(
    codae: CoDAE,
    quantized: CoDAE,
    masks: np.ndarray,
    signal: np.ndarray,
    signs: Mapping[str, int],
    n_bootstrap: int = 100,
    seed: int = 0,
) -> dict[str, Any]:
    """Each score of the quantized model against the float one's on the same masks (N, 72, 58, 1).

    signal: process names (N,), "qcd" or "zero_bias" among them. signs: of the float model's scores
    (models.scores.orientations). Gives score -> `rank_correlation` on background (Spearman) and `auc`: signal -> float,
    quantized, difference and its error.
    """
    if not np.isin(signal, BACKGROUNDS).any() or len(signal) != len(masks):
        raise InputError(f"{len(signal)} names, {len(masks)} masks", "as many, background among them", "score a split")
    before, after = (orient(codae_scores(m, masks), signs) for m in (codae, quantized))
    return compared(before, after, signal, n_bootstrap, seed)
