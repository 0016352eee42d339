"""The conditional dual auto-encoder (CoDAE, arXiv:2306.12955).

Two encoders see the mask of pixels with tracks: f_R gives a map z_R (5, 4, C), from which the image is reconstructed,
and f_m two numbers z_m that scale every level of the decoder (SpatialConditioning). The decoder gives logits; p =
sigmoid(logits) is the probability that a pixel is active.

    mask (N, 72, 58, 1) -> f_R -> z_R (N, 5, 4, C) -> decoder([z_R, z_m]) -> logits (N, 72, 58, 1)
                        -> f_m -> z_m (N, 2) ------------^

The categorical CoDVAE (models/codae/codvae.py) differs only in z_R.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import N_ETA, N_PHI
from codae_l1.models.codae import losses
from codae_l1.models.codae.config import COMPACT, LATENT_GRID, MASK_SHAPE, Z_M_SIZE, CoDAEConfig
from codae_l1.models.codae.layers import ConvLayer, Residual, SpatialConditioning, UpConvLayer, register
from codae_l1.models.training.ambient import check_keras
from codae_l1.models.training.saving import save_model

# Bias of the decoder's last convolution: below zero, since few pixels are active.
OUTPUT_BIAS = -1.0


@register
class CoDAE(keras.Model):
    """CoDAE with parts f_m, f_r, decoder; the same seed gives the same initial weights.

    f_m, f_r: other encoders in place of the configured ones. sharing: a CoDAE whose remaining parts to use, the very
    layers, not copies (`with_encoders`). known_prior: of a CoDVAE.

    Called on a mask (N, 72, 58, 1) it gives probabilities (N, 72, 58, 1) float32.

    >>> from codae_l1.models.codae.config import PAPER
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
        known_prior: bool = True,
        **kwargs: Any,
    ):
        check_keras()
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
            self.f_m = f_m or _initialized(_build_f_m(config), first)
            self.f_r = f_r or _initialized(self.build_f_r(config), second)
            self.decoder = _initialized(_build_decoder(config), third)
        self.prior: Any = sharing.prior if sharing else self.build_prior(config, seed) if known_prior else None
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


def _build_f_m(config: CoDAEConfig) -> keras.Model:
    """Encoder 2: mask (N, 72, 58, 1) -> z_m (N, 2); four times [ConvLayer, max pool 3x3 stride 2], Dense."""
    swaps = config.swaps
    strides, window = (2, 0) if swaps.pooling == "strided" else (1, 2 if swaps.pooling == "2x2" else 3)
    x = mask = keras.Input(MASK_SHAPE, name="mask")
    for level, (filters, groups) in enumerate(zip(config.f_m_filters, config.f_m_groups, strict=True)):
        x = ConvLayer(filters, strides, groups, swaps.norm, swaps.slope, name=f"level{level}")(x)
        if window:
            x = keras.layers.MaxPooling2D(window, 2, "same", name=f"pool{level}")(x)
    z_m = keras.layers.Dense(Z_M_SIZE, kernel_initializer="he_uniform", name="z_m")(keras.layers.Flatten()(x))
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


def _build_decoder(config: CoDAEConfig) -> keras.Model:
    """[z_R (N, 5, 4, C), z_m (N, 2)] -> logits (N, 72, 58, 1): 80 x 64, cropped at the centre."""
    x = z_r = keras.Input((*LATENT_GRID, config.latent_channels), name="z_r")
    z_m = keras.Input((Z_M_SIZE,), name="z_m")
    levels = zip(config.decoder_filters, config.decoder_groups, config.decoder_residuals, strict=True)
    for level, (filters, groups, residuals) in enumerate(levels):
        x = SpatialConditioning(name=f"conditioning{level}")([x, z_m])
        x = UpConvLayer(filters, groups, name=f"level{level}")(x)
        for i in range(residuals):
            x = Residual(config.residual_groups, name=f"residual{level}_{i}")(x)
    rows, columns = (x.shape[1] - N_PHI) // 2, (x.shape[2] - N_ETA) // 2  # 4, 3
    x = keras.layers.Cropping2D((rows, columns), name="crop")(x)
    output_bias = keras.initializers.Constant(OUTPUT_BIAS)
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


def _initialized(part: keras.Model, generator: np.random.Generator) -> keras.Model:
    """Draw the kernels (he_uniform) from the generator, so that weights follow the seed alone."""
    for variable in part.trainable_variables:
        if len(variable.shape) > 1:
            limit = np.sqrt(6 / np.prod(variable.shape[:-1]))  # fan-in of (rows, columns, in, out) or (in, out)
            variable.assign(generator.uniform(-limit, limit, variable.shape).astype("float32"))
    return part
