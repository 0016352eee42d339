"""Twins of encoders inside the full model, and the least squares that fit them to the encoders that they replace."""

from collections.abc import Mapping

import keras
import numpy as np

from codae_l1.models.codae.model import CoDAE, with_encoders
from codae_l1.quantization._fitting import Schedule, fit
from codae_l1.quantization._qat import SMALLEST_DEVIATION, batched
from codae_l1.quantization.config import Training
from codae_l1.quantization.encoders.config import HEADS, EncoderConfig, Part


def warm_up(
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


def inside(codae: CoDAE, twins: Mapping[Part, keras.Model]) -> CoDAE:
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
