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

import keras
import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.errors import InputError
from codae_l1.data.events import QCD, SIGNALS
from codae_l1.models.codae.model import CoDAE, with_encoders
from codae_l1.models.codae.scores import codae_scores, orient
from codae_l1.models.evaluation.roc import auc, paired_auc_difference
from codae_l1.quantization._fitting import Schedule, fit
from codae_l1.quantization._qat import SMALLEST_DEVIATION, batched, copied, fit_in_situ, mean_bce, rank_correlation
from codae_l1.quantization.config import Training
from codae_l1.quantization.encoders._folding import calibrate_encoder, float_twin
from codae_l1.quantization.encoders.config import HEADS, EncoderConfig, Part
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
    whole = _inside(base, floats)
    history: dict[str, Any] = {"bce_own": mean_bce(codae, calibration_masks)}
    history["bce_started"] = mean_bce(whole, calibration_masks)
    augmented = np.concatenate([flip_and_roll(train_masks, rng) for _ in range(config.warm_up_copies)])
    history["warm_up"] = {
        part: _warm_up(part, codae, twin, augmented, encoders, training) for part, twin in floats.items()
    }
    history["bce_float"] = mean_bce(whole, calibration_masks)
    precision: dict[Part, Any] = {
        part: calibrate_encoder(twin, encoders, calibration_masks) for part, twin in floats.items()
    }
    twins: dict[Part, Any] = {part: build_encoder(part, codae.config, encoders, precision[part]) for part in parts}
    for part, twin in twins.items():
        twin.set_weights(floats[part].get_weights())
    whole = _inside(base, twins)
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


def _warm_up(
    part: Part,
    codae: CoDAE,
    twin: keras.Model,
    masks: np.ndarray,
    config: EncoderConfig,
    training: Training,
) -> list[float]:
    """Least squares of the twin on the encoder's outputs, standardised component by component; mean loss of each tenth.

    A CoDVAE's temperature is learned as the softplus argument it comes from.
    """
    if not config.warm_up_steps:
        return []
    outputs = [batched(output, masks) for output in _linear_outputs(getattr(codae, part))]
    target, output = np.concatenate(outputs, axis=-1), twin.output
    if isinstance(output, list):
        output = keras.layers.Concatenate()(output)
    axes = tuple(range(target.ndim - 1))
    mean, deviation = target.mean(axis=axes), np.maximum(target.std(axis=axes), SMALLEST_DEVIATION)
    standard = keras.layers.Rescaling((1 / deviation).tolist(), (-mean / deviation).tolist())(output)
    model, inputs = keras.Model(twin.input, standard), masks.astype(np.float32)
    target = ((target - mean) / deviation).astype(np.float32)
    schedule = Schedule(config.warm_up_steps, config.warm_up_rate, seed=training.seed)
    return fit(model, inputs, target, schedule, training.progress)


def _linear_outputs(encoder: keras.Model) -> list[keras.Model]:
    """Models from the mask to each output word's float value: an activation behind the last layer left out."""
    found = []
    for name in (name for name in HEADS if name in {layer.name for layer in encoder.layers}):
        layer = encoder.get_layer(name)
        output = layer.output
        if name == "softplus":
            linear = keras.layers.Conv2D(1, 1, name="linear")
            output = linear(layer.input)
            linear.set_weights(layer.get_weights())
        found.append(keras.Model(encoder.input, output))
    return found


def _with_quantized(codae: CoDAE, encoders: Mapping[Part, QuantizedEncoder]) -> CoDAE:
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
        from codae_l1.models.codae.codvae import BASE_TEMPERATURE

        twin = parts["f_r"]
        logits, argument = twin.output
        softplus = keras.layers.Activation("softplus", name="of_the_word")(argument)
        temperature = keras.layers.Rescaling(1.0, BASE_TEMPERATURE, name="temperature")(softplus)
        parts["f_r"] = keras.Model(twin.input, [logits, temperature], name="f_r")
    return with_encoders(codae, **parts)
