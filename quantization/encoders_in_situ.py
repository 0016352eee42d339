"""In situ: QKeras twins of f_m, f_R or both inside the full model, CoDAE or CoDVAE, trained by its own loss on QCD.

    mask -> QKeras f_R -> z_R -> decoder([z_R, z_m]) -> BCE (+ KL of a CoDVAE)
         -> QKeras f_m -> z_m ---^

Float twins start from the trained encoders (quantization/folding.py) and learn to do without what the swaps took; their
ranges on QCD fix all words; quantization-aware training follows. The decoder stays unless told otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from codae_l1.data.errors import InputError
from codae_l1.data.events import QCD, SIGNALS
from codae_l1.models.codae import CoDAE, with_encoders
from codae_l1.models.evaluation import auc, paired_auc_difference
from codae_l1.models.scores import codae_scores, orient
from codae_l1.quantization.encoders import EncoderConfig, Part, QuantizedEncoder, build_encoder
from codae_l1.quantization.fitting import Progress
from codae_l1.quantization.folding import calibrate_encoder, float_twin
from codae_l1.quantization.in_situ import InSituConfig, copied, fit_in_situ, mean_bce, rank_correlation


@dataclass
class QuantizedModel:
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
    config: InSituConfig,
    encoders: EncoderConfig,
    seed: int = 0,
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantize encoders of a trained model on QCD masks (N, 72, 58, 1) uint8; `codae` itself stays.

    config: epochs, events and rate of QAT (warm_up_copies has no meaning here). The history gives the BCE on the
    calibration masks of the model as it was, with the float twins as started and as trained, and after QAT.
    """
    rng, parts = np.random.default_rng(seed), encoders.encoders
    base = copied(codae) if config.train_decoder else codae
    floats: dict[Part, Any] = {part: float_twin(part, codae, encoders, calibration_masks) for part in parts}
    whole = _inside(base, floats)
    history: dict[str, Any] = {"bce_own": mean_bce(codae, calibration_masks)}
    history["bce_started"] = mean_bce(whole, calibration_masks)
    history["float"] = fit_in_situ(whole, parts, train_masks, config, encoders.float_epochs, rng, progress)
    history["bce_float"] = mean_bce(whole, calibration_masks)
    precision = {part: calibrate_encoder(twin, encoders, calibration_masks) for part, twin in floats.items()}
    twins = {part: build_encoder(part, codae.config, encoders, precision[part]) for part in parts}
    for part, twin in twins.items():
        twin.set_weights(floats[part].get_weights())
    whole = _inside(base, twins)
    history["qat"] = fit_in_situ(whole, parts, train_masks, config, config.epochs, rng, progress)
    quantized = {part: QuantizedEncoder(part, codae.config, encoders, precision[part], twins[part]) for part in parts}
    history["bce_after"] = mean_bce(whole, calibration_masks)
    return QuantizedModel(quantized, whole, history)


def with_quantized(codae: CoDAE, encoders: Mapping[Part, QuantizedEncoder]) -> CoDAE:
    """The full model with quantized encoders, loaded ones say, in place of its own; the rest is shared.

    Made with train_decoder, encoders belong to the model that train_encoders gave, not to this one.
    """
    return _inside(codae, {part: encoder.model for part, encoder in encoders.items()})


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

    signal: process names (N,), "qcd" among them. signs: of the float model's scores (models.scores.orientations). Gives
    score -> `rank_correlation` on QCD (Spearman) and `auc`: signal -> float, quantized, difference and its error.
    """
    if QCD not in signal or len(signal) != len(masks):
        raise InputError(f"{len(signal)} names, {len(masks)} masks", 'as many, "qcd" among them', "score a test split")
    before, after = (orient(codae_scores(m, masks), signs) for m in (codae, quantized))
    background, found = signal == QCD, {}
    for score in before:
        a, b = before[score], after[score]
        entry: dict[str, Any] = {"rank_correlation": rank_correlation(a[background], b[background]), "auc": {}}
        for process in (s for s in SIGNALS if s in signal):
            chosen = signal == process
            pair = (a[background], a[chosen], b[background], b[chosen])
            difference, error = paired_auc_difference(*pair, n_bootstrap, seed)
            values = {"float": auc(*pair[:2]), "quantized": auc(*pair[2:])}
            entry["auc"][process] = values | {"difference": difference, "error": error}
        found[score] = entry
    return found


def _inside(codae: CoDAE, twins: Mapping[Part, keras.Model]) -> CoDAE:
    """The full model with twins as its encoders; a CoDVAE's gets its softplus, which is not firmware."""
    parts = dict(twins)
    if "f_r" in parts and codae.config.categorical:
        from codae_l1.models.codvae import BASE_TEMPERATURE

        twin = parts["f_r"]
        logits, argument = twin.output
        softplus = keras.layers.Activation("softplus", name="of_the_word")(argument)
        temperature = keras.layers.Rescaling(1.0, BASE_TEMPERATURE, name="temperature")(softplus)
        parts["f_r"] = keras.Model(twin.input, [logits, temperature], name="f_r")
    return with_encoders(codae, **parts)
