"""A network of a set of objects, for firmware: the same small network on each object, sums, and a squared norm.

    h_i = phi(x_i)                      words of one object -> hidden words, the same weights for all
    s_t = sum of h_i over rows of type t
    z   = W s + b                       2 to 4 words
    score = |z|^2 = sum of z_k^2        (deep sets: arXiv:1703.06114)

phi is one or two pointwise convolutions without bias, each followed by a ReLU that saturates at 1. Exchanging objects
of one type changes no word, since the sums are of integers and exact. An object of zeros contributes nothing:
phi(0) = 0, because a sum without bias of zeros is zero, and so is its ReLU. The type of an object is its place: W has
weights of its own for each type, so that all types share the hidden functions, and each adds them up in its own way.
Saturation is what bends the hidden functions, in place of thresholds.

All layers are kinds that every executor has: convolutions, dense layers, squares (hls/layers/). In firmware sum and W
are one dense layer whose weights are equal over the objects of a type; inputs of equal weights are added first. The
network learns a score (a teacher's) by least squares: in float, then quantization-aware.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.data.base.words import WordType, exact_words
from codae_l1.quantization._calibration import WEIGHT_MARGIN, integer_bits
from codae_l1.quantization._fitting import Schedule, fit
from codae_l1.quantization.f_m.precision import MOST_BITS, LayerPrecision
from codae_l1.quantization.f_m.weights import read_weights, write_weights

if TYPE_CHECKING:
    import keras

# Events a call.
_BATCH = 4096
# Layers of ones, which are not trained: sums of objects (in training alone), and of squares.
_SUM, _NORM = "sum", "norm"
# Share of the training events whose score lies below the target's zero.
_FLOOR = 1e-3


@dataclass(frozen=True)
class SetConfig:
    """Sizes and words.

    rows: objects of each type, in order. features: words of an object. input_bits: of each, with sign; the last
    input_fraction of them lie behind the binary point. hidden: units of phi's layers. hidden_bits: of their words, in
    [0, 1). weight_bits: of all trained weights. z: components; z_bits, z_integer: of their words, signed.

    >>> SetConfig((1, 4)).input_shape
    (5, 1, 3)
    """

    rows: tuple[int, ...] = (16,)
    features: int = 3
    input_bits: int = 10
    input_fraction: int = 6
    hidden: tuple[int, ...] = (8,)
    hidden_bits: int = 7
    weight_bits: int = 8
    z: int = 3
    z_bits: int = 10
    z_integer: int = 2

    def __post_init__(self):
        sizes = {"features": self.features, "z": self.z, "hidden layers": len(self.hidden), "types": len(self.rows)}
        for name, value in (*sizes.items(), *((f"a row of {self.rows}", n) for n in self.rows)):
            if value < 1:
                raise InputError(f"a set network with {name} = {value}", "at least 1", "raise it")
        bits = {"hidden_bits": self.hidden_bits, "weight_bits": self.weight_bits, "input_bits": self.input_bits}
        for name, value in (*bits.items(), ("z_bits", self.z_bits)):
            if not 2 <= value <= MOST_BITS:
                raise InputError(f"a set network with {name} = {value}", f"2 to {MOST_BITS} bits", "correct it")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(objects, 1, features)."""
        return sum(self.rows), 1, self.features

    @property
    def types(self) -> np.ndarray:
        """Type of each row (objects,), counted from 0."""
        return np.repeat(np.arange(len(self.rows)), self.rows)

    @property
    def input_word(self) -> WordType:
        """Word of every feature; larger ones saturate."""
        return WordType(True, self.input_bits - 1 - self.input_fraction, self.input_fraction, "TRN", "SAT")

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the layers that are trained."""
        return (*(f"object{i + 1}" for i in range(len(self.hidden))), "z")

    def check(self, words: np.ndarray) -> np.ndarray:
        """Words (N, objects, 1, features) or flattened -> the same in that shape, saturated, int64."""
        given = self.input_word.check(words, self.input_shape, "words of objects")
        return np.clip(given, *self.input_word.bounds)


@dataclass(frozen=True)
class SetTraining:
    """Batches of the float training and of the quantization-aware one, their rates, events a batch, seed."""

    steps: int = 2000
    qat_steps: int = 1000
    learning_rate: float = 0.01
    qat_learning_rate: float = 0.001
    batch_size: int = 256
    seed: int = 1


def build_set(
    config: SetConfig, precision: dict[str, LayerPrecision] | None, seed: int = 0, summed: bool = True
) -> "keras.Model":
    """Values of words (N, objects, 1, features) float32 -> |z|^2 (N, 1), in float without `precision`, else in QKeras.

    Layers: object1, object1_word, ..., sum, flatten, z, z_word, z_square, norm. summed: False leaves out `sum`, and z
    reads every object with the weights of its type, which is the same: W sum_i h_i = sum_i W h_i.
    """
    import keras

    from codae_l1.models.training.ambient import check_keras
    from codae_l1.quantization.f_m.square import Square

    check_keras()
    make = _Layers(config, precision)
    inputs = x = keras.Input(config.input_shape, name="objects")
    for name, units in zip(config.trained[:-1], config.hidden, strict=True):
        x = make.weights("Conv2D", name, filters=units, kernel_size=(1, 1), use_bias=False)(x)
        x = make.word(name)(x)
    if summed:
        filters = len(config.rows) * config.hidden[-1]
        x = make.weights("Conv2D", _SUM, filters=filters, kernel_size=(sum(config.rows), 1), use_bias=False)(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = make.word("z")(make.weights("Dense", "z", units=config.z)(x))
    x = Square(name="z_square")(x)
    x = make.weights("Dense", _NORM, units=1, use_bias=False)(x)
    model = keras.Model(inputs, x, name="deep_set")
    _initialize(model, config, seed, summed)
    return model


class _Layers:
    """Makes layers with weights and the words behind them, in float or in QKeras."""

    def __init__(self, config: SetConfig, precision: dict[str, LayerPrecision] | None):
        self.config, self.precision = config, precision

    def weights(self, kind: str, name: str, **sizes: Any) -> Any:
        import keras
        import qkeras

        if self.precision is None:
            return getattr(keras.layers, kind)(**sizes, name=name)
        ones = LayerPrecision(weight_bits=2, weight_integer=1)
        precision = self.precision.get(name, ones)
        quantizers = {
            "kernel_quantizer": qkeras.quantized_bits(precision.weight_bits, precision.weight_integer, alpha=1)
        }
        if sizes.get("use_bias", True):
            quantizers["bias_quantizer"] = qkeras.quantized_bits(precision.bias_bits, precision.bias_integer, alpha=1)
        return getattr(qkeras, f"Q{kind}")(**sizes, **quantizers, name=name)

    def word(self, name: str) -> Any:
        import keras
        import qkeras

        label = f"{name}_word"
        if self.precision is None:
            return keras.layers.Activation("linear", name=label) if name == "z" else keras.layers.ReLU(1.0, name=label)
        bits = self.precision[name].output_bits, self.precision[name].output_integer
        quantizer = qkeras.quantized_bits(*bits, alpha=1) if name == "z" else qkeras.quantized_relu(*bits)
        return qkeras.QActivation(quantizer, name=label)


def _initialize(model: "keras.Model", config: SetConfig, seed: int, summed: bool) -> None:
    """First weights: ReLUs that saturate at values of pT from 1/4 to 8, mixed with angles; the ones, not trainable."""
    rng = np.random.default_rng(seed)
    for i, name in enumerate(config.trained[:-1]):
        layer = model.get_layer(name)
        kernel = rng.normal(0, 0.5, layer.kernel.shape)
        if i == 0:
            kernel[0, 0, 0] = 2.0 ** np.linspace(2, -3, kernel.shape[-1])
        layer.set_weights([kernel.astype(np.float32)])
    layer = model.get_layer("z")
    kernel = rng.normal(0, 1 / np.sqrt(layer.kernel.shape[0]), layer.kernel.shape)
    layer.set_weights([kernel.astype(np.float32), rng.normal(0, 0.3, config.z).astype(np.float32)])
    model.get_layer(_NORM).set_weights([np.ones((config.z, 1), np.float32)])
    if summed:
        layer, units = model.get_layer(_SUM), config.hidden[-1]
        kernel = np.einsum("rt,uv->rutv", np.eye(len(config.rows))[config.types], np.eye(units))
        layer.set_weights([kernel.reshape(layer.kernel.shape).astype(np.float32)])
    for layer in model.layers:
        layer.trainable = layer.name not in (_SUM, _NORM)


@dataclass(frozen=True, eq=False)
class DeepSet:
    """A trained network: its QKeras model without the layer `sum`, its weights on the grids of their words."""

    config: SetConfig
    precision: dict[str, LayerPrecision]
    words: dict[str, np.ndarray]

    @classmethod
    def rounded(cls, config: SetConfig, precision: dict[str, LayerPrecision], model: "keras.Model") -> "DeepSet":
        """The network of a trained QKeras model: its weights as words, keys "object1.kernel", ..., "z.bias"."""
        words: dict[str, np.ndarray] = {}
        for name in config.trained:
            kernel, *bias = model.get_layer(name).get_weights()
            found = precision[name].weight_words(name, [kernel, *(bias or [np.zeros(1)])])
            words |= found if bias else {f"{name}.kernel": found[f"{name}.kernel"]}
        # An odd word of a bias that is finer than the products: no sum of z lies on a tie, and rounding is free.
        words["z.bias"] |= 1
        return cls(config, precision, words)

    @cached_property
    def model(self) -> "keras.Model":
        """Values of words (N, objects, 1, features) float32 -> |z|^2 (N, 1): what hls4ml and the records read."""
        model = build_set(self.config, self.precision, summed=False)
        for name in self.config.trained:
            types = self.precision[name].weight_types(name)
            arrays = [word.from_words(self.words[key]) for key, word in types.items() if key in self.words]
            if name == "z":
                of_types = arrays[0].reshape(len(self.config.rows), self.config.hidden[-1], self.config.z)
                arrays[0] = of_types[self.config.types].reshape(-1, self.config.z)
            model.get_layer(name).set_weights([array.astype(np.float32) for array in arrays])
        return model

    @property
    def output_word(self) -> WordType:
        """Word of |z|^2, without rounding."""
        square = self.precision["z"].square_word
        return WordType(False, square.integer + (self.config.z - 1).bit_length(), square.fraction)

    def predict_words(self, words: np.ndarray) -> np.ndarray:
        """Words of objects (N, objects, 1, features) integers -> |z|^2 (N, 1) int64; larger words saturate."""
        return exact_words(_predict(self.model, words, self.config), self.output_word, "qkeras")

    def save(self, path: Path | str) -> None:
        """Write config, precision and all trained weights as integer words to one .npz file."""
        precision = {name: dump(one) for name, one in self.precision.items()}
        write_weights(path, {"config": dump(self.config), "precision": precision}, self.words)

    @classmethod
    def load(cls, path: Path | str) -> "DeepSet":
        """Read what `save` wrote; the model gives the same words to the bit."""
        meta, words = read_weights(path, lambda meta: _shapes(_parsed(meta)[0]), _types)
        return cls(*_parsed(meta), words)


@dataclass
class SetStudent:
    """What `learn_set` gives: the float model's score, the firmware, and how the training went (JSON-ready)."""

    float_model: "keras.Model"
    firmware: DeepSet
    history: dict[str, Any]

    def float_scores(self, words: np.ndarray) -> np.ndarray:
        """Words of objects -> score of the float network (N,) float64."""
        return _predict(self.float_model, words, self.firmware.config)[:, 0]

    def scores(self, words: np.ndarray) -> np.ndarray:
        """Words of objects -> score of the firmware (N,) int64, in LSB."""
        return self.firmware.predict_words(words)[:, 0]


def learn_set(
    words: np.ndarray,
    scores: np.ndarray,
    config: SetConfig,
    training: SetTraining | None = None,
    progress: Progress | None = None,
) -> SetStudent:
    """Teach the scores (N,) of events given as words (N, objects, 1, features): float training, then QAT.

    target = (score - floor) / deviation, within [0, 2^(2 z_integer)], where all but 0.1 % of the scores lie above the
    floor. No label enters: which events are given is the caller's choice. InputError unless the scores are finite and
    differ.
    """
    training = training or SetTraining()
    targets, history = _targets(scores, len(words), config)
    inputs = config.input_word.from_words(config.check(words)).astype(np.float32)
    model = build_set(config, None, training.seed)
    _scale(model, words, targets, config)
    first = Schedule(training.steps, training.learning_rate, training.batch_size, training.seed)
    history["float"] = fit(model, inputs, targets, first, progress)
    precision = _precision(config, model)
    quantized = build_set(config, precision, training.seed)
    quantized.set_weights(model.get_weights())
    second = Schedule(training.qat_steps, training.qat_learning_rate, training.batch_size, training.seed + 1)
    history["qat"] = fit(quantized, inputs, targets, second, progress)
    firmware = DeepSet.rounded(config, precision, quantized)
    history["zeros"] = {key: float(np.mean(value == 0)) for key, value in firmware.words.items()}
    return SetStudent(model, firmware, history)


def _scale(model: "keras.Model", words: np.ndarray, targets: np.ndarray, config: SetConfig) -> None:
    """First weights of z so that the mean score of some events is the mean target."""
    layer, mean = model.get_layer("z"), _predict(model, words[:_BATCH], config).mean()
    scale = np.sqrt(targets.mean() / mean).astype(np.float32) if mean > 0 else 1.0
    layer.set_weights([weights * scale for weights in layer.get_weights()])


def _targets(scores: np.ndarray, events: int, config: SetConfig) -> tuple[np.ndarray, dict[str, Any]]:
    scores = np.asarray(scores, np.float64)
    if scores.shape != (events,) or not np.isfinite(scores).all() or not np.ptp(scores):
        raise InputError(
            f"scores of shape {scores.shape} for {events} events, or equal ones, or no finite numbers",
            "a finite score for each event, not all equal",
            "correct them, or train the teacher longer",
        )
    floor, deviation = float(np.quantile(scores, _FLOOR)), float(scores.std())
    targets = np.clip((scores - floor) / deviation, 0, 4.0**config.z_integer)
    return targets.astype(np.float32)[:, None], {"events": events, "floor": floor, "deviation": deviation}


def _precision(config: SetConfig, model: "keras.Model") -> dict[str, LayerPrecision]:
    """Word types of the trained layers: integer bits from the float weights."""
    found, fraction = {}, config.input_fraction
    for name in config.trained:
        kernel, *bias = model.get_layer(name).get_weights()
        last = name == "z"
        new = LayerPrecision(
            weight_bits=config.weight_bits,
            weight_integer=integer_bits(np.abs(kernel).max() * WEIGHT_MARGIN),
            output_bits=config.z_bits if last else config.hidden_bits,
            output_integer=config.z_integer if last else 0,
        )
        if last:
            below = fraction + new.weight_word.fraction + 1
            integer = max(integer_bits(np.abs(bias[0]).max() * WEIGHT_MARGIN), 1 - below)
            new = dataclasses.replace(new, bias_integer=integer, bias_bits=1 + integer + below)
        found[name] = new
        fraction = config.hidden_bits
    return found


def _predict(model: "keras.Model", words: np.ndarray, config: SetConfig) -> np.ndarray:
    values = config.input_word.from_words(config.check(words)).astype(np.float32)
    parts = [np.asarray(model.predict_on_batch(values[i : i + _BATCH])) for i in range(0, len(values), _BATCH)]
    return np.concatenate([np.zeros((0, 1)), *parts]).astype(np.float64)


def _shapes(config: SetConfig) -> dict[str, tuple[int, ...]]:
    sizes = (config.features, *config.hidden)
    pairs = zip(config.trained[:-1], sizes[:-1], sizes[1:], strict=True)
    found: dict[str, tuple[int, ...]] = {f"{name}.kernel": (1, 1, given, made) for name, given, made in pairs}
    return found | {"z.kernel": (len(config.rows) * config.hidden[-1], config.z), "z.bias": (config.z,)}


def _types(meta: dict[str, Any]) -> dict[str, WordType]:
    types = (one.weight_types(name) for name, one in _parsed(meta)[1].items())
    return {key: word for of_layer in types for key, word in of_layer.items()}


def _parsed(meta: dict[str, Any]) -> tuple[SetConfig, dict[str, LayerPrecision]]:
    precision = {name: parse(LayerPrecision, one, f"precision.{name}") for name, one in meta["precision"].items()}
    return parse(SetConfig, meta["config"], "config"), precision
