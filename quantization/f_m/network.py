"""The trigger network: small enough for a trigger, in float and in QKeras, and the trained model.

Input: counts (N, 18, 15, inputs), words of 4x4 pooled cells (data/pooling.py), unsigned integers. Strided 'valid'
convolutions, ReLU, flatten, dense layers, one fixed-point output word per component. All sums are exact in float32
(checked), so the QKeras model is an integer machine: `FirmwareModel.predict_words` gives the words that hls4ml and RTL
must give.

Layer names, stable: counts, conv1, conv1_relu, ..., flatten, dense1, dense1_relu, ..., output, output_word.
"""

import logging
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType, exact_words
from codae_l1.quantization.f_m.config import FirmwareConfig, input_word, layer_sizes, output_word
from codae_l1.quantization.f_m.weights import (
    read_weights,
    set_weight_words,
    weight_shapes,
    weight_words,
    write_weights,
)

if TYPE_CHECKING:
    import keras

_LOG = logging.getLogger(__name__)
# Events a call of the QKeras model.
BATCH = 2048
# Mean scale of the first weights, the window it is for [cells], and distance of neighbouring ReLU thresholds [counts].
FIRST_SCALE = 0.5
FIRST_CELLS = 9
THRESHOLD_STEP = 1.5


def build_float(config: FirmwareConfig, seed: int) -> "keras.Model":
    """The same topology in float: counts (N, 18, 15, inputs) float32 -> (N, outputs), layers of the same names."""
    import keras

    def weights(name: str, **kwargs: Any) -> Any:
        kind = keras.layers.Conv2D if name.startswith("conv") else keras.layers.Dense
        return kind(**kwargs, name=name)

    def activation(layer: str, signed: bool) -> Any:
        return keras.layers.Activation("linear" if signed else "relu", name=config.activation(layer))

    return _build(config, seed, weights, activation, "f_m_float")


def build_qkeras(config: FirmwareConfig, seed: int) -> "keras.Model":
    """The QKeras model: saturated counts (N, 18, 15, inputs) float32 -> (N, outputs), multiples of the word's LSB."""
    import qkeras

    def weights(name: str, **kwargs: Any) -> Any:
        precision = config.layer_precision(name)
        kernel = qkeras.quantized_bits(precision.weight_bits, precision.weight_integer, alpha=1)
        bias = qkeras.quantized_bits(precision.bias_bits, precision.bias_integer, alpha=1)
        kind = qkeras.QConv2D if name.startswith("conv") else qkeras.QDense
        return kind(**kwargs, kernel_quantizer=kernel, bias_quantizer=bias, name=name)

    def activation(layer: str, signed: bool) -> Any:
        precision = config.layer_precision(layer)
        kind = qkeras.quantized_bits if signed else qkeras.quantized_relu
        extra = {"alpha": 1} if signed else {}
        quantizer = kind(precision.output_bits, precision.output_integer, **extra)
        return qkeras.QActivation(quantizer, name=config.activation(layer))

    return _build(config, seed, weights, activation, "f_m")


@dataclass(frozen=True, eq=False)
class FirmwareModel:
    """A trained f_m with all that is needed to score: which component, with which sign.

    model: the QKeras model; its weights lie on the grids of their words (`rounded` puts them there).
    sign: +1 or -1, so that a higher firmware word means more anomalous. component: column of the output.
    """

    model: "keras.Model"
    config: FirmwareConfig
    sign: int = 1
    component: int = 0

    def __post_init__(self):
        self.config.check_score(self.sign, self.component)
        for name in self.config.layers:
            precision, weights = self.config.layer_precision(name), self.model.get_layer(name).get_weights()
            words = precision.weight_words(name, weights).values()
            for values, word, stored in zip(weights, precision.weight_types(name).values(), words, strict=True):
                if not np.array_equal(values, word.from_words(stored).astype(np.float32)):
                    raise InputError(f"weights of {name} off the grid of {word}", "weights on it", "take rounded()")

    @classmethod
    def rounded(
        cls, model: "keras.Model", config: FirmwareConfig, sign: int = 1, component: int = 0
    ) -> "FirmwareModel":
        """The firmware of a QKeras model, whose weights are set to the words that they stand for."""
        set_weight_words(model, config, weight_words(model, config))
        return cls(model, config, sign, component)

    @property
    def name(self) -> str:
        """The executor's name."""
        return "qkeras"

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, 18, 15, inputs) integers -> output words (N, outputs) int64, by QKeras."""
        values = saturated(counts, self.config)
        parts = [np.asarray(self.model.predict_on_batch(values[i : i + BATCH])) for i in range(0, len(values), BATCH)]
        outputs = np.concatenate(parts) if parts else np.zeros((0, self.config.outputs))
        return exact_words(outputs, output_word(self.config), "qkeras")

    def firmware_word(self, words: np.ndarray) -> np.ndarray:
        """Output words (N, outputs) -> (N,) int64, higher = more anomalous."""
        given = WordType.array(words, "output words")
        if given.dtype.kind not in "iu" or given.ndim != 2:
            found = f"output words of shape {given.shape}, {given.dtype}"
            raise InputError(found, "integers (N, outputs)", "give what predict_words gives")
        return self.sign * given.astype(np.int64, copy=False)[:, self.component]

    def firmware_score(self, words: np.ndarray) -> np.ndarray:
        """Output words (N, outputs) -> (N,) float64 in units of the target, higher = more anomalous."""
        return self.firmware_word(words) * output_word(self.config).lsb

    def save(self, path: Path | str) -> None:
        """Write config, sign, component and all weights as integer words to one .npz file, whole or not at all."""
        meta = {"config": dump(self.config), "sign": self.sign, "component": self.component}
        write_weights(path, meta, weight_words(self.model, self.config))

    @classmethod
    def load(cls, path: Path | str) -> "FirmwareModel":
        """Read what `save` wrote; the model gives the same words to the bit. No training data, no pickled objects."""
        config, words, sign, component = cls.stored(path)
        model = build_qkeras(config, seed=0)
        set_weight_words(model, config, words)
        return cls(model, config, sign, component)

    @staticmethod
    def stored(path: Path | str) -> tuple[FirmwareConfig, dict[str, np.ndarray], int, int]:
        """(config, words of the weights, sign, component) of what `save` wrote; imports no Keras."""

        def parsed(meta: dict[str, Any]) -> FirmwareConfig:
            return FirmwareConfig.stored(meta["config"])

        meta, words = read_weights(path, lambda meta: weight_shapes(parsed(meta)), lambda m: parsed(m).weight_types)
        config = parsed(meta)
        return config, words, *config.check_score(meta.get("sign"), meta.get("component"))


def saturated(counts: np.ndarray, config: FirmwareConfig) -> np.ndarray:
    """Counts (N, 18, 15, inputs) integers -> what the input words hold of them, float32."""
    word = input_word(config)
    return word.to_words(word.check(counts, config.input_shape, "counts")).astype(np.float32)


def _build(config: FirmwareConfig, seed: int, weights: Any, activation: Any, name: str) -> "keras.Model":
    import keras

    from codae_l1.models.training.ambient import check_keras
    from codae_l1.quantization.f_m._square import Square
    from codae_l1.quantization.f_m._tying import EqualOverCells, EqualOverWindow

    check_keras()
    # The weights of a distance have a pattern of their own.
    tied = config.tied and not config.distance
    try:
        config.check_windows()
    except InputError as error:
        # No run and no search gets here with such a network; whoever builds one by hand is told.
        _LOG.warning(error.received)
    inputs = x = keras.Input(config.input_shape, name="counts")
    for layer, conv in zip(config.layers, config.conv, strict=False):
        sizes = {"filters": conv.filters, "kernel_size": tuple(conv.kernel), "strides": tuple(conv.stride)}
        constraint = EqualOverWindow() if tied else None
        x = weights(layer, **sizes, padding="valid", kernel_constraint=constraint)(x)
        x = activation(layer, False)(x)
    channels = x.shape[-1]
    x = keras.layers.Flatten(name="flatten")(x)
    dense = config.layers[len(config.conv) :]
    for i, (layer, units) in enumerate(zip(dense, (*config.hidden, config.outputs), strict=True)):
        constraint = EqualOverCells(channels) if tied and i == 0 else None
        x = weights(layer, units=units, kernel_constraint=constraint)(x)
        x = activation(layer, layer in ("output", config.squared))(x)
        if layer == config.squared:
            x = Square(name=f"{layer}_square")(x)
    model = keras.Model(inputs, x, name=name)
    _initialize(model, config, seed)
    return model


def _initialize(model: "keras.Model", config: FirmwareConfig, seed: int) -> None:
    """Start from a network that grows with every count: positive kernels, ReLU thresholds spread by the biases."""
    rng = np.random.default_rng(seed)
    for name, size in layer_sizes(config).items():
        shape = size.kernel
        layer, bias = model.get_layer(name), np.zeros(shape[-1])
        kernel = np.abs(rng.normal(size=shape)) * FIRST_SCALE / np.sqrt(shape[-2])
        if name.startswith("conv"):
            kernel *= np.sqrt(FIRST_CELLS / prod(shape[:2]))
            bias -= THRESHOLD_STEP * np.arange(shape[-1])
        if layer.kernel.constraint is not None:
            kernel = np.asarray(layer.kernel.constraint(kernel.astype(np.float32)))
        layer.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
