"""The conditional dual auto-encoder (CoDAE, arXiv:2306.12955).

Two encoders see the mask of pixels with tracks: f_R gives a map z_R (5, 4, C) to reconstruct from, f_m two numbers z_m
that scale every level of the decoder (SpatialConditioning). The decoder gives logits; p = sigmoid(logits) is the
probability that a pixel is active.

    mask (N, 72, 58, 1) -> f_R -> z_R (N, 5, 4, C) -> decoder([z_R, z_m]) -> logits (N, 72, 58, 1)
                        -> f_m -> z_m (N, 2) ------------^

The categorical CoDVAE (models/codae/codvae.py) differs in z_R alone.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import N_ETA, N_PHI
from codae_l1.models.codae import losses
from codae_l1.models.codae.layers import ConvLayer, Residual, SpatialConditioning, UpConvLayer, register
from codae_l1.models.codae.swaps import SwapConfig
from codae_l1.models.training.saving import load_model, save_model

# (phi, eta, channel) of the mask: 1 where the track channel is above zero.
MASK_SHAPE = (N_PHI, N_ETA, 1)
# Rows and columns of z_R: four halvings of 72 x 58, rounded up.
LATENT_GRID = (5, 4)


@dataclass(frozen=True)
class CategoricalConfig:
    """What makes a CoDAE a categorical CoDVAE: each cell of z_R is a relaxed one-hot of latent_channels classes.

    components: of the prior's mixture in each cell. samples: Monte-Carlo samples of the KL. kl_weight: its factor in
    the loss, where the KL is summed over the cells (the published code averages it over cells and again over the batch:
    a factor 1 / (20 x 128) here).
    """

    components: int = 5
    samples: int = 10
    kl_weight: float = 1.0

    def __post_init__(self):
        if self.components < 1 or self.samples < 1 or not 0 <= self.kl_weight < float("inf"):
            raise InputError(
                f"model.categorical = {dump(self)}",
                "components and samples >= 1, a finite kl_weight >= 0",
                "correct it",
            )


@dataclass(frozen=True)
class CoDAEConfig:
    """Sizes of a CoDAE, one entry a level; a level halves (encoders) or doubles (decoder) the grid.

    *_filters: channels a level. *_groups: groups of its first convolution. *_residuals: number of residual blocks after
    it, whose convolutions have `residual_groups` groups. latent_channels: C of z_R. z_m_size: numbers f_m gives.
    output_bias: bias of the last 1x1 convolution, below zero since few pixels are active. swaps: layers of both
    encoders. categorical: given, the model is a CoDVAE.
    """

    f_m_filters: tuple[int, ...] = (64, 128, 128, 256)
    f_m_groups: tuple[int, ...] = (1, 2, 2, 2)
    f_r_filters: tuple[int, ...] = (64, 128, 128, 256)
    f_r_groups: tuple[int, ...] = (1, 4, 4, 4)
    f_r_residuals: tuple[int, ...] = (1, 1, 1, 1)
    decoder_filters: tuple[int, ...] = (256, 128, 128, 64)
    decoder_groups: tuple[int, ...] = (1, 4, 4, 4)
    decoder_residuals: tuple[int, ...] = (1, 1, 1, 1)
    residual_groups: int = 4
    latent_channels: int = 64
    z_m_size: int = 2
    output_bias: float = -1.0
    swaps: SwapConfig = field(default_factory=SwapConfig)
    categorical: CategoricalConfig | None = None

    def __post_init__(self):
        for name, value in dump(self).items():
            if name in ("output_bias", "swaps", "categorical"):
                continue
            if isinstance(value, list) and len(value) != 4:
                raise InputError(
                    f"model.{name} with {len(value)} levels", "4 levels (72 x 58 -> 5 x 4)", f"correct {name}"
                )
            least = 0 if name.endswith("_residuals") else 1
            if min(value if isinstance(value, list) else [value]) < least:
                raise InputError(f"model.{name} = {value}", f"numbers >= {least}", f"correct {name}")
        if self.z_m_size != 2:
            raise InputError(f"model.z_m_size = {self.z_m_size}", "2, as the scores read z0 and z1", "set it to 2")
        for part, first in (("f_m", 1), ("f_r", 1), ("decoder", self.latent_channels)):
            self._check_groups(part, first)

    def _check_groups(self, part: str, channels: int) -> None:
        """Groups divide the channels that enter and leave a convolution; `channels` enter the first level."""
        filters, groups = getattr(self, f"{part}_filters"), getattr(self, f"{part}_groups")
        residuals = getattr(self, f"{part}_residuals", (0,) * len(filters))
        for level, (inputs, outputs) in enumerate(pairwise((channels, *filters))):
            if inputs % groups[level] or outputs % groups[level]:
                raise InputError(
                    f"model.{part}_groups[{level}] = {groups[level]} for {inputs} -> {outputs} channels",
                    "a divisor of both",
                    f"correct {part}_groups or {part}_filters",
                )
            if residuals[level] and outputs % self.residual_groups:
                raise InputError(
                    f"model.residual_groups = {self.residual_groups} for {outputs} channels of {part}_filters[{level}]",
                    "a divisor of them",
                    f"correct residual_groups or {part}_filters",
                )


# As published: 270,594 + 612,032 + 763,841 parameters.
PAPER = CoDAEConfig()
# For two cores: 247,155 parameters, about 3.2 ms of CPU time an event and training step.
COMPACT = CoDAEConfig(
    f_m_filters=(4, 8, 8, 16),
    f_m_groups=(1, 1, 1, 1),
    f_r_filters=(8, 16, 32, 64),
    f_r_groups=(1, 1, 1, 1),
    f_r_residuals=(0, 0, 0, 1),
    decoder_filters=(64, 32, 16, 4),
    decoder_groups=(1, 1, 1, 1),
    decoder_residuals=(1, 0, 0, 0),
    residual_groups=1,
    latent_channels=64,
)
# For tests: 1,355 parameters.
TINY = CoDAEConfig(
    f_m_filters=(2, 2, 2, 2),
    f_m_groups=(1, 1, 1, 1),
    f_r_filters=(2, 2, 4, 4),
    f_r_groups=(1, 1, 1, 1),
    f_r_residuals=(0, 0, 0, 0),
    decoder_filters=(4, 4, 2, 2),
    decoder_groups=(1, 1, 1, 1),
    decoder_residuals=(0, 0, 0, 0),
    residual_groups=1,
    latent_channels=2,
)


@register
class CoDAE(keras.Model):
    """CoDAE with parts f_m, f_r, decoder; the same seed gives the same initial weights.

    f_m, f_r: other encoders in place of the configured ones. sharing: a CoDAE whose remaining parts to use, the very
    layers, not copies (`with_encoders`).

    Called on a mask (N, 72, 58, 1) it gives probabilities (N, 72, 58, 1) float32.

    >>> model = CoDAE(PAPER)
    >>> [part.count_params() for part in (model.f_m, model.f_r, model.decoder)]
    [270594, 612032, 763841]
    """

    def __init__(
        self,
        config: CoDAEConfig = COMPACT,
        seed: int = 0,
        f_m: keras.Model | None = None,
        f_r: keras.Model | None = None,
        sharing: "CoDAE | None" = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if (config.categorical is None) != (type(self) is CoDAE):
            raise InputError(
                f"model.categorical = {config.categorical} for a {type(self).__name__}",
                "none for a CoDAE, a table for a CoDVAE",
                "use models.codvae.create_model",
            )
        self.config, self.seed, self.event_shape = config, seed, MASK_SHAPE
        # Encoders that the configuration does not describe: saved with their own configuration.
        self.replaced = [name for name, part in (("f_m", f_m), ("f_r", f_r)) if part is not None]
        if sharing:
            self.f_m, self.f_r, self.decoder = f_m or sharing.f_m, f_r or sharing.f_r, sharing.decoder
            self.replaced += [name for name in sharing.replaced if name not in self.replaced]
        else:
            first, second, third = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(3))
            self.f_m = f_m or _initialized(build_f_m(config), first)
            self.f_r = f_r or _initialized(self.build_f_r(config), second)
            self.decoder = _initialized(build_decoder(config), third)
        self.prior: Any = sharing.prior if sharing else self.build_prior(config, seed)
        self.build((None, *MASK_SHAPE))

    def build(self, input_shape: tuple) -> None:
        """The parts are built already."""
        self.built = True

    def call(self, mask: Any) -> Any:
        """Mask (N, 72, 58, 1) -> probability that a pixel is active, same shape."""
        return keras.ops.sigmoid(self.logits(mask))

    def logits(self, mask: Any, training: bool | None = None) -> Any:
        """Mask (N, 72, 58, 1) -> logits, same shape."""
        mask = keras.ops.cast(mask, "float32")
        logits = self.decoder([self.latent(mask, training), self.f_m(mask, training=training)])
        return keras.ops.cast(logits, "float32")

    def latent(self, mask: Any, training: bool | None = None) -> Any:
        """Mask (N, 72, 58, 1) float32 -> z_R (N, 5, 4, C) as the decoder reads it."""
        return self.f_r(mask, training=training)

    def latent_scores(self, mask: Any) -> tuple[Any, dict[str, Any]]:
        """(z_R, scores of it alone: name -> (N,) float32, none for a CoDAE) of a mask (N, 72, 58, 1) float32."""
        return self.latent(mask), {}

    def objective(self, mask: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """Terms of the loss, which is their sum: name -> (N,) float32. seed: of what is drawn; nothing is here."""
        return {"bce": losses.bce(mask, self.logits(mask, training=training))}

    def get_config(self) -> dict[str, Any]:
        """Sizes, seed, and the encoders that are not the CoDAE's own."""
        own = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.replaced}
        return {**super().get_config(), "config": dump(self.config), "seed": self.seed, **own}

    @staticmethod
    def build_f_r(config: CoDAEConfig) -> keras.Model:
        """Encoder 1 of this kind of model."""
        return build_f_r(config)

    @staticmethod
    def build_prior(config: CoDAEConfig, seed: int) -> keras.layers.Layer | None:
        """The prior of z_R: a CoDAE has none."""
        return None

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "CoDAE":
        """The model that get_config came from, weights aside."""
        parts = {name: config[name] for name in ("f_m", "f_r") if config.get(name)}
        parts = {name: keras.saving.deserialize_keras_object(part, custom_objects) for name, part in parts.items()}
        return cls(**{**config, "config": parse(CoDAEConfig, config["config"], "codae"), **parts})


def build_f_m(config: CoDAEConfig) -> keras.Model:
    """Encoder 2: mask (N, 72, 58, 1) -> z_m (N, z_m_size); four times [ConvLayer, max pool 3x3 stride 2], Dense."""
    swaps = config.swaps
    strides, window = (2, 0) if swaps.pooling == "strided" else (1, 2 if swaps.pooling == "2x2" else 3)
    x = mask = keras.Input(MASK_SHAPE, name="mask")
    for level, (filters, groups) in enumerate(zip(config.f_m_filters, config.f_m_groups, strict=True)):
        x = ConvLayer(filters, strides, groups, swaps.norm, swaps.slope, name=f"level{level}")(x)
        if window:
            x = keras.layers.MaxPooling2D(window, 2, "same", name=f"pool{level}")(x)
    z_m = keras.layers.Dense(config.z_m_size, kernel_initializer="he_uniform", name="z_m")(keras.layers.Flatten()(x))
    return keras.Model(mask, z_m, name="f_m")


def build_f_r(config: CoDAEConfig) -> keras.Model:
    """Encoder 1: mask (N, 72, 58, 1) -> z_R (N, 5, 4, latent_channels)."""
    norm, slope = config.swaps.norm, config.swaps.slope
    x = mask = keras.Input(MASK_SHAPE, name="mask")
    levels = zip(config.f_r_filters, config.f_r_groups, config.f_r_residuals, strict=True)
    for level, (filters, groups, residuals) in enumerate(levels):
        x = ConvLayer(filters, 2, groups, norm, slope, name=f"level{level}")(x)
        for i in range(residuals):
            x = Residual(config.residual_groups, norm, slope, name=f"residual{level}_{i}")(x)
    z_r = keras.layers.Conv2D(config.latent_channels, 1, kernel_initializer="he_uniform", name="z_r")(x)
    return keras.Model(mask, z_r, name="f_r")


def build_decoder(config: CoDAEConfig) -> keras.Model:
    """[z_R (N, 5, 4, C), z_m (N, z_m_size)] -> logits (N, 72, 58, 1): 80 x 64, cropped at the centre."""
    x = z_r = keras.Input((*LATENT_GRID, config.latent_channels), name="z_r")
    z_m = keras.Input((config.z_m_size,), name="z_m")
    levels = zip(config.decoder_filters, config.decoder_groups, config.decoder_residuals, strict=True)
    for level, (filters, groups, residuals) in enumerate(levels):
        x = SpatialConditioning(name=f"conditioning{level}")([x, z_m])
        x = UpConvLayer(filters, groups, name=f"level{level}")(x)
        for i in range(residuals):
            x = Residual(config.residual_groups, name=f"residual{level}_{i}")(x)
    rows, columns = (x.shape[1] - N_PHI) // 2, (x.shape[2] - N_ETA) // 2  # 4, 3
    x = keras.layers.Cropping2D((rows, columns), name="crop")(x)
    output_bias = keras.initializers.Constant(config.output_bias)
    x = keras.layers.Conv2D(1, 1, kernel_initializer="he_uniform", bias_initializer=output_bias, name="logits")(x)
    return keras.Model([z_r, z_m], x, name="decoder")


def with_encoders(codae: CoDAE, f_m: keras.Model | None = None, f_r: keras.Model | None = None) -> CoDAE:
    """A CoDAE (or CoDVAE) with other encoders; what is not given is shared with `codae`: the very layers, not copies.

    f_m, f_r: Keras models from the mask (N, 72, 58, 1) to what the encoders of `codae` give.
    """
    for name, part in (("f_m", f_m), ("f_r", f_r)):
        expected = getattr(codae, name).output_shape
        if part is not None and (part.output_shape != expected or tuple(part.input_shape[1:]) != MASK_SHAPE):
            raise InputError(
                f"{name} from {part.input_shape} to {part.output_shape}",
                f"(None, 72, 58, 1) to {expected}",
                "correct its ends",
            )
    return type(codae)(codae.config, codae.seed, f_m=f_m, f_r=f_r, sharing=codae)


def save_codae(model: CoDAE, path: Path | str) -> None:
    """Write configuration and weights to one `.keras` file, whole or not at all."""
    save_model(model, path)


def load_codae(path: Path | str, custom_objects: dict[str, Any] | None = None) -> CoDAE:
    """Read what save_codae wrote; predictions are equal to the bit."""
    return load_model(path, CoDAE, custom_objects)


def _initialized(part: keras.Model, generator: np.random.Generator) -> keras.Model:
    """Draw the kernels (he_uniform) from the generator, so that weights follow the seed alone."""
    for variable in part.trainable_variables:
        if len(variable.shape) > 1:
            limit = np.sqrt(6 / np.prod(variable.shape[:-1]))  # fan-in of (rows, columns, in, out) or (in, out)
            variable.assign(generator.uniform(-limit, limit, variable.shape).astype("float32"))
    return part
