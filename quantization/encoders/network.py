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

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType, exact_words
from codae_l1.models.codae.config import MASK_SHAPE, Z_M_SIZE, CoDAEConfig
from codae_l1.quantization.encoders._words import check_masks, input_name, weighted, words_of
from codae_l1.quantization.encoders.config import BATCH, HEADS, EncoderConfig, Part
from codae_l1.quantization.f_m.precision import EXACT_LSBS, LayerPrecision
from codae_l1.quantization.f_m.weights import read_weights, write_weights

if TYPE_CHECKING:
    import keras


def build_encoder(
    part: Part, model: CoDAEConfig, config: EncoderConfig, precision: dict[str, LayerPrecision] | None = None
) -> "keras.Model":
    """The twin of f_m or f_R of a model: in float without `precision`, else in QKeras.

    Input: mask (N, 72, 58, 1). Outputs: z_m (N, 2), or z_R (N, 5, 4, C), of a CoDVAE [logits, softplus argument].
    """
    import keras

    from codae_l1.models.training.ambient import check_keras

    check_keras()
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


@dataclass(frozen=True, eq=False)
class QuantizedEncoder:
    """A trained twin with all that is needed to use it: its words are exact integers.

    codae: config of the full model it belongs to. model: the QKeras model; its weights lie on the grids of their words
    (`rounded` puts them there and refuses weights whose sums float32 could not add exactly).
    """

    part: Part
    codae: CoDAEConfig
    config: EncoderConfig
    precision: dict[str, LayerPrecision]
    model: "keras.Model"

    @classmethod
    def rounded(
        cls,
        part: Part,
        codae: CoDAEConfig,
        config: EncoderConfig,
        precision: dict[str, LayerPrecision],
        model: "keras.Model",
    ) -> "QuantizedEncoder":
        """The twin of a QKeras model, whose weights are set to the words that they stand for."""
        encoder = cls(part, codae, config, precision, model)
        encoder.set_weight_words(encoder.weight_words())
        return encoder

    @cached_property
    def words(self) -> dict[str, WordType]:
        """Name -> word type of every quantized output, the mask first."""
        return words_of(self.model, self.config, self.precision)

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
        """Masks (N, 72, 58, 1) of 0 and 1 -> output words int64, one array per output."""
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
        found: dict[str, np.ndarray] = {}
        for name in weighted(self.model):
            found |= self.precision[name].weight_words(name, self.model.get_layer(name).get_weights())
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
        meta, words = read_weights(path, lambda meta: _shapes(*_parsed(meta)[:3]), _types)
        part, codae, config, precision = _parsed(meta)
        encoder = cls(part, codae, config, precision, build_encoder(part, codae, config, precision))
        encoder.set_weight_words(words)
        return encoder


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


def _shapes(part: Part, codae: CoDAEConfig, config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    kernels = weighted(build_encoder(part, codae, config))
    pairs = ({f"{name}.kernel": shape, f"{name}.bias": shape[-1:]} for name, shape in kernels.items())
    return {key: shape for pair in pairs for key, shape in pair.items()}


def _types(meta: dict[str, Any]) -> dict[str, WordType]:
    types = (precision.weight_types(name) for name, precision in _parsed(meta)[3].items())
    return {key: word for of_layer in types for key, word in of_layer.items()}


def _parsed(meta: dict[str, Any]) -> tuple[Part, CoDAEConfig, EncoderConfig, dict[str, LayerPrecision]]:
    codae = parse(CoDAEConfig, meta["codae"], "codae")
    config = parse(EncoderConfig, meta["config"], "encoders")
    precision = {name: parse(LayerPrecision, p, f"precision.{name}") for name, p in meta["precision"].items()}
    return meta["part"], codae, config, precision
