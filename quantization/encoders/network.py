"""The encoders f_m and f_R in QKeras, of any size: firmware layers in the topology of the encoder.

    f_m:  mask -> 4 x [convolution -> word (-> max pool 2x2)] -> flatten -> dense -> z_m word
    f_R:  mask -> 4 x [convolution, stride 2 -> word -> residual blocks] -> 1x1 convolution -> z_R word
    residual block: x -> word of (x + word of convolution of (word of convolution of x))

The swaps from the float encoder (models/codae/swaps.py): norms folded into the convolution, one group, ReLU or a leaky
one whose slope is a power of two, and in f_m a strided convolution or 2x2 pooling. A CoDVAE's f_R gives two words:
logits, and the argument of the softplus from which the temperature comes.

All sums are exact in float32 (checked on the trained weights), so the QKeras model is an integer machine. Layer names,
stable: level0, level0_word, pool0, ..., residual3_0_first, ..., z_m, z_m_word, z_r, z_r_word, softplus, softplus_word.
"""

from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType, exact_words
from codae_l1.models.codae.config import MASK_SHAPE, Z_M_SIZE, CoDAEConfig
from codae_l1.quantization.f_m.precision import EXACT_LSBS, MOST_BITS, MOST_OUTPUT_BITS, LayerPrecision
from codae_l1.quantization.f_m.weights_file import read_weights, write_weights

if TYPE_CHECKING:
    import keras

Part = Literal["f_m", "f_r"]
PARTS: tuple[Part, ...] = ("f_m", "f_r")
# The word of a mask's pixel.
MASK_WORD = WordType(False, 1, 0)
# Last layer of each output; its word is signed.
HEADS = ("z_m", "z_r", "softplus")
# Events a call of a twin; paper-size activations of one event take 4 MB.
BATCH = 128


@dataclass(frozen=True)
class EncoderConfig:
    """How the twins are made.

    encoders: which encoders are quantized. weight_bits: of every kernel. word_bits: of what leaves a hidden layer.
    output_bits: of z_m, z_R. slope: of the ReLU below zero, 0 or a power of two. pooling: how f_m halves its grid.
    margin, output_margin: head room over the largest value on QCD calibration events (quantization/f_m/calibration.py).
    warm_up_steps, warm_up_rate: batches of 128 and rate of the float twin's least-squares training, which makes up for
    the swaps; 0 steps where the float model has them all.
    """

    encoders: tuple[Part, ...] = PARTS
    weight_bits: int = 8
    word_bits: int = 8
    output_bits: int = 12
    slope: float = 0.0
    pooling: Literal["strided", "2x2"] = "strided"
    margin: float = 1.5
    output_margin: float = 2.0
    warm_up_steps: int = 1000
    warm_up_rate: float = 0.005

    def __post_init__(self):
        if not self.encoders or len(set(self.encoders)) < len(self.encoders):
            raise InputError(f"encoders.encoders = {list(self.encoders)}", "f_m, f_r or both", "name one")
        for name, most in (("weight_bits", MOST_BITS), ("word_bits", MOST_BITS), ("output_bits", MOST_OUTPUT_BITS)):
            if not 2 <= getattr(self, name) <= most:
                raise InputError(f"encoders.{name} = {getattr(self, name)}", f"2 to {most} bits", "correct it")
        if self.slope and (not 0 < self.slope < 1 or np.log2(self.slope) % 1):
            raise InputError(
                f"encoders.slope = {self.slope}", "0 or a power of two below 1", "take 0.25, the nearest to 0.2"
            )
        for name in ("margin", "output_margin"):
            if not 1 <= getattr(self, name) < float("inf"):
                raise InputError(f"encoders.{name} = {getattr(self, name)}", "a finite number >= 1", "raise it")
        if self.warm_up_steps < 0 or not 0 < self.warm_up_rate < float("inf"):
            raise InputError(
                f"encoders.warm_up_steps = {self.warm_up_steps}, warm_up_rate = {self.warm_up_rate}",
                "steps >= 0, a finite rate above 0",
                "correct them",
            )


def build_encoder(
    part: Part, model: "CoDAEConfig", config: EncoderConfig, precision: dict[str, LayerPrecision] | None = None
) -> "keras.Model":
    """The twin of f_m or f_R of a model: in float without `precision`, else in QKeras.

    Input: mask (N, 72, 58, 1). Outputs: z_m (N, 2), or z_R (N, 5, 4, C), of a CoDVAE [logits, softplus argument].
    """
    import keras

    make = _Layers(config, precision)
    mask = x = keras.Input(MASK_SHAPE, name="mask")
    if part == "f_m":
        for level, filters in enumerate(model.f_m_filters):
            x = make.convolution(x, f"level{level}", filters, strides=2 if config.pooling == "strided" else 1)
            if config.pooling == "2x2":
                x = keras.layers.MaxPooling2D(2, 2, "same", name=f"pool{level}")(x)
        x = keras.layers.Flatten(name="flatten")(x)
        return keras.Model(mask, make.head(x, "z_m", Z_M_SIZE), name=part)
    for level, (filters, residuals) in enumerate(zip(model.f_r_filters, model.f_r_residuals, strict=True)):
        x = make.convolution(x, f"level{level}", filters, strides=2)
        for i in range(residuals):
            name = f"residual{level}_{i}"
            y = make.convolution(make.convolution(x, f"{name}_first", filters), f"{name}_second", filters)
            x = make.word(keras.layers.Add(name=name)([x, y]), name, linear=True)
    outputs = make.head(x, "z_r", model.latent_channels)
    if model.categorical:
        outputs = [outputs, make.head(x, "softplus", 1)]
    return keras.Model(mask, outputs, name=part)


def weighted(model: "keras.Model") -> dict[str, tuple[int, ...]]:
    """Name -> kernel shape of the layers with weights, in order.

    >>> from codae_l1.models.codae.config import TINY
    >>> weighted(build_encoder("f_m", TINY, EncoderConfig()))["z_m"]
    (40, 2)
    """
    return {layer.name: tuple(layer.weights[0].shape) for layer in model.layers if layer.weights}


def words_of(model: "keras.Model", config: EncoderConfig, precision: dict[str, LayerPrecision]) -> dict[str, WordType]:
    """Name -> word type of every layer whose output is quantized, the mask first."""
    found = {"mask": MASK_WORD}
    for layer in model.layers:
        name = layer.name.removesuffix("_word")
        if layer.name.endswith("_word"):
            found[layer.name] = output_word(config, name, precision[name])
    return found


def output_word(config: EncoderConfig, name: str, precision: LayerPrecision) -> WordType:
    """Word that leaves a layer: signed at the end and behind a leaky ReLU, else unsigned."""
    if name in HEADS or config.slope:
        return precision.output_word
    return precision.relu_word


@dataclass
class QuantizedEncoder:
    """A trained twin with all that is needed to use it: its words are exact integers.

    codae: config of the full model it belongs to. model: the QKeras model; the constructor puts its weights on their
    words' grids and refuses weights whose sums float32 could not add exactly.
    """

    part: Part
    codae: "CoDAEConfig"
    config: EncoderConfig
    precision: dict[str, LayerPrecision]
    model: "keras.Model"
    words: dict[str, WordType] = field(init=False)

    def __post_init__(self):
        self.words = words_of(self.model, self.config, self.precision)
        self.set_weight_words(self.weight_words())

    def predict_layers(self, masks: np.ndarray) -> dict[str, np.ndarray]:
        """Masks (N, 72, 58, 1) of 0 and 1 -> {name: words (N, ...) int64} of every quantized output.

        Raises ToolError where a value is off its word's grid.
        """
        import keras

        names = [name for name in self.words if name != "mask"]
        probe = keras.Model(self.model.input, [self.model.get_layer(name).output for name in names])
        parts = [
            [np.asarray(v) for v in probe.predict_on_batch(check_masks(masks[i : i + BATCH]))]
            for i in range(0, len(masks), BATCH)
        ]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return {n: exact_words(v, self.words[n], "qkeras") for n, v in zip(names, columns, strict=True)}

    def predict_words(self, masks: np.ndarray) -> list[np.ndarray]:
        """Masks (N, 72, 58, 1) of 0 and 1 -> output words int64, one array an output."""
        batches = (check_masks(masks[i : i + BATCH]) for i in range(0, len(masks), BATCH))
        parts = [self.model.predict_on_batch(batch) for batch in batches]
        parts = [part if isinstance(part, list) else [part] for part in parts]
        outputs = [np.concatenate([np.asarray(v) for v in column]) for column in zip(*parts, strict=True)]
        return [exact_words(v, self.words[n], "qkeras") for n, v in zip(self.outputs, outputs, strict=True)]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output words."""
        return tuple(f"{name}_word" for name in HEADS if name in self.precision)

    def weight_words(self) -> dict[str, np.ndarray]:
        """Kernels and biases as int64 words, keys "level0.kernel", "level0.bias", ..."""
        found = {}
        for name in weighted(self.model):
            kernel, bias = self.model.get_layer(name).get_weights()
            found[f"{name}.kernel"] = self.precision[name].weight_word.to_words(kernel)
            found[f"{name}.bias"] = self.precision[name].bias_word.to_words(bias)
        return found

    def set_weight_words(self, words: dict[str, np.ndarray]) -> None:
        """Put integer words into the model, whose weights are then exactly on their grids."""
        for name in weighted(self.model):
            precision = self.precision[name]
            kernel, bias = words[f"{name}.kernel"], words[f"{name}.bias"]
            source = self.words[input_name(self.model, name, self.words)]
            _check_sums(name, kernel, bias, source, precision)
            values = precision.weight_word.from_words(kernel), precision.bias_word.from_words(bias)
            self.model.get_layer(name).set_weights([v.astype(np.float32) for v in values])

    def save(self, path: Path | str) -> None:
        """Write configs, precision and all weights as integer words to one .npz file, whole or not at all."""
        meta = {"part": self.part, "codae": dump(self.codae), "config": dump(self.config)}
        meta["precision"] = {name: dump(p) for name, p in self.precision.items()}
        write_weights(path, meta, self.weight_words())

    @classmethod
    def load(cls, path: Path | str) -> "QuantizedEncoder":
        """Read what `save` wrote; the model gives the same words to the bit."""
        meta, words = read_weights(path, lambda meta: _shapes(*_parsed(meta)[:3]))
        part, codae, config, precision = _parsed(meta)
        encoder = cls(part, codae, config, precision, build_encoder(part, codae, config, precision))
        encoder.set_weight_words(words)
        return encoder


def input_name(model: "keras.Model", name: str, words: Container[str]) -> str:
    """Name, out of `words`, of the quantized layer (or the mask) that a layer reads; pools and flatten in between."""
    layer = model.get_layer(name)
    while True:
        layer = layer.input._keras_history.operation
        if layer.name in words:
            return layer.name


def check_masks(masks: np.ndarray) -> np.ndarray:
    """Masks as float32; InputError unless they are (N, 72, 58, 1) of 0 and 1."""
    masks = np.asarray(masks)
    if masks.ndim != 4 or masks.shape[1:] != MASK_SHAPE or not np.isin(masks, (0, 1)).all():
        raise InputError(
            f"masks {masks.shape} of {masks.dtype}", "(N, 72, 58, 1) of 0 and 1", "use models.scores.track_mask"
        )
    return masks.astype(np.float32)


class _Layers:
    """Makes one layer after the other, in float or in QKeras."""

    def __init__(self, config: EncoderConfig, precision: dict[str, LayerPrecision] | None):
        self.config, self.precision = config, precision

    def convolution(self, x: Any, name: str, filters: int, strides: int = 1) -> Any:
        """3x3 'same' convolution with bias, then ReLU and word."""
        sizes = {"filters": filters, "kernel_size": 3, "strides": strides, "padding": "same"}
        return self.word(self._weights("Conv2D", name, sizes)(x), name)

    def head(self, x: Any, name: str, size: int) -> Any:
        """Dense layer on a vector or 1x1 convolution on a grid, linear, then its word."""
        sizes = {"units": size} if len(x.shape) == 2 else {"filters": size, "kernel_size": 1}
        return self.word(self._weights("Dense" if len(x.shape) == 2 else "Conv2D", name, sizes)(x), name, linear=True)

    def word(self, x: Any, name: str, linear: bool = False) -> Any:
        """ReLU (unless linear) and quantizer behind a layer."""
        import keras
        import qkeras

        label, slope = f"{name}_word", self.config.slope
        if self.precision is None:
            return keras.layers.LeakyReLU(1 if linear else slope, name=label)(x)
        bits = self.precision[name].output_bits, self.precision[name].output_integer
        # A sum of two ReLUs is not negative.
        if name in HEADS or (linear and slope):
            return qkeras.QActivation(qkeras.quantized_bits(*bits, alpha=1), name=label)(x)
        return qkeras.QActivation(qkeras.quantized_relu(*bits, negative_slope=slope), name=label)(x)

    def _weights(self, kind: str, name: str, sizes: dict[str, Any]) -> Any:
        import keras
        import qkeras

        if self.precision is None:
            return getattr(keras.layers, kind)(**sizes, name=name)
        precision = self.precision[name]
        kernel = qkeras.quantized_bits(precision.weight_bits, precision.weight_integer, alpha=1)
        bias = qkeras.quantized_bits(precision.bias_bits, precision.bias_integer, alpha=1)
        return getattr(qkeras, f"Q{kind}")(**sizes, kernel_quantizer=kernel, bias_quantizer=bias, name=name)


def _check_sums(name: str, kernel: np.ndarray, bias: np.ndarray, source: WordType, precision: LayerPrecision) -> None:
    """Raise InputError unless every partial sum of a layer is an integer below 2^24 LSB, which float32 adds exactly."""
    shift = precision.bias_word.fraction - source.fraction - precision.weight_word.fraction
    weights = np.abs(kernel).reshape(-1, kernel.shape[-1]).sum(axis=0) * max(map(abs, source.bounds))
    finest = max(shift, 0)
    widest = int((weights * 2.0**finest + np.abs(bias) * 2.0 ** (finest - shift)).max())
    if widest >= EXACT_LSBS:
        raise InputError(
            f"layer {name}: its sums reach {widest} LSB",
            f"fewer than {EXACT_LSBS}, what float32 adds exactly",
            "take fewer encoders.weight_bits or encoders.word_bits",
        )


def _shapes(part: Part, codae: "CoDAEConfig", config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    kernels = weighted(build_encoder(part, codae, config))
    pairs = ({f"{name}.kernel": shape, f"{name}.bias": shape[-1:]} for name, shape in kernels.items())
    return {key: shape for pair in pairs for key, shape in pair.items()}


def _parsed(meta: dict[str, Any]) -> tuple[Part, "CoDAEConfig", EncoderConfig, dict[str, LayerPrecision]]:
    codae = parse(CoDAEConfig, meta["codae"], "codae")
    config = parse(EncoderConfig, meta["config"], "encoders")
    precision = {name: parse(LayerPrecision, p, f"precision.{name}") for name, p in meta["precision"].items()}
    return meta["part"], codae, config, precision
