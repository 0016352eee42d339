"""What putting trained encoders into firmware layers costs, step by step: swaps alone, all of them, fitted, quantized.

Unlike `train_encoders`, nothing here is trained by the full model's loss: twins are fitted by least squares to what the
encoders give on QCD, which is affordable at the published size.
"""

import dataclasses
from typing import Any

import keras
import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.config import SwapConfig
from codae_l1.models.codae.layers import ConvLayer, Residual
from codae_l1.models.codae.model import CoDAE, with_encoders
from codae_l1.quantization._qat import batched
from codae_l1.quantization.config import Training
from codae_l1.quantization.encoders._fitting_twins import inside, warm_up
from codae_l1.quantization.encoders._folding import calibrate_encoder, float_twin
from codae_l1.quantization.encoders.config import EncoderConfig, Part
from codae_l1.quantization.encoders.network import QuantizedEncoder, build_encoder


def swapped(codae: CoDAE, swaps: SwapConfig, masks: np.ndarray) -> CoDAE:
    """The model with other layers in both encoders and the weights that they have; nothing is trained.

    swaps: norm "instance" or "batch"; a BatchNorm takes the averages over QCD masks (N, 72, 58, 1) of the means and
    variances that an InstanceNorm takes of each event, measured layer after layer.
    """
    own = codae.config.swaps.norm
    if own not in ("instance", swaps.norm) or swaps.norm == "none" != own:
        raise InputError(f"norm {swaps.norm} for a model with norm {own}", "batch in place of instance", "choose that")
    fresh = type(codae)(dataclasses.replace(codae.config, swaps=swaps), codae.seed)
    for part in ("f_m", "f_r"):
        old, new = getattr(codae, part), getattr(fresh, part)
        for layer in (layer for layer in new.layers if layer.weights):
            source = old.get_layer(layer.name)
            if swaps.norm == own or not isinstance(layer, ConvLayer | Residual):
                layer.set_weights(source.get_weights())
                continue
            x = batched(keras.Model(new.input, layer.input), masks, 64)
            if isinstance(layer, ConvLayer):
                _take(layer, source, x)
                continue
            _take(layer.first, source.first, x)
            _take(layer.second, source.second, _in_slices(layer.first, x))
    return with_encoders(codae, fresh.f_m, fresh.f_r)


def _take(layer: Any, source: Any, x: np.ndarray) -> None:
    """The weights of a layer with InstanceNorm for one with BatchNorm; x (N, h, w, C) is what it reads on QCD."""
    layer.convolution.set_weights(source.convolution.get_weights())
    y = _in_slices(layer.convolution, x)
    mean, variance = y.mean(axis=(1, 2)).mean(axis=0), y.var(axis=(1, 2)).mean(axis=0)
    layer.norm.set_weights([*source.norm.get_weights(), mean, variance])


def _in_slices(layer: Any, x: np.ndarray, size: int = 64) -> np.ndarray:
    return np.concatenate([np.asarray(layer(x[i : i + size])) for i in range(0, len(x), size)])


class EncoderTwins:
    """The encoders of a trained model in firmware layers, in float: started from its weights, then fitted.

    masks: QCD (N, 72, 58, 1) that fix norms and words. config: swaps; its widths are those of `quantized`.
    """

    def __init__(self, codae: CoDAE, masks: np.ndarray, config: EncoderConfig):
        self.codae, self.config, self._masks = codae, config, masks
        self.floats: dict[Part, keras.Model] = {p: float_twin(p, codae, config, masks) for p in config.encoders}

    @property
    def model(self) -> CoDAE:
        """The full model with the float twins as they are now."""
        return inside(self.codae, self.floats)

    def fit(self, masks: np.ndarray, training: Training) -> dict[Part, list[float]]:
        """config.warm_up_steps of least squares on QCD masks, flipped and rolled; mean loss of each tenth."""
        augmented = flip_and_roll(masks, np.random.default_rng(training.seed))
        return {
            part: warm_up(part, self.codae, twin, augmented, self.config, training)
            for part, twin in self.floats.items()
        }

    def quantized(
        self, bits: int, masks: np.ndarray, steps: int, training: Training
    ) -> tuple[CoDAE, dict[Part, QuantizedEncoder]]:
        """(The full model with QKeras twins, these) whose weights and hidden words have `bits`, after `steps` of QAT.

        The quantization-aware training is the least squares of `fit` on the quantized twin.
        Raises InputError where the sums of a layer are too wide to be exact.
        """
        changes: dict[str, Any] = {"weight_bits": bits, "word_bits": bits}
        config = dataclasses.replace(self.config, warm_up_steps=steps, **changes)
        augmented = flip_and_roll(masks, np.random.default_rng(training.seed))
        found: dict[Part, QuantizedEncoder] = {}
        for part, twin in self.floats.items():
            precision = calibrate_encoder(twin, config, self._masks)
            model = build_encoder(part, self.codae.config, config, precision)
            model.set_weights(twin.get_weights())
            warm_up(part, self.codae, model, augmented, config, training)
            found[part] = QuantizedEncoder.rounded(part, self.codae.config, config, precision, model)
        return inside(self.codae, {part: encoder.model for part, encoder in found.items()}), found
