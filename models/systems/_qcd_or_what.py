"""The QCD-or-What auto-encoder (arXiv:1808.08979) of masks, in the sizes of the public CoDAE implementation.

    mask (N, 72, 58, 1) -> convolution 10 -> convolution 5 -> average pool -> convolution 5 -> average pool
         -> 18 x 14 x 5 -> Dense 400 -> Dense 100 -> z (N, 32)
    z -> Dense 100 -> Dense 400 -> 20 x 20 x 1 -> twice [transposed convolution 5, stride 2 -> convolution 5] -> 80 x 80
         -> centre crop -> 1x1 convolution -> logits (N, 72, 58, 1); p = sigmoid(logits)

Convolutions are 3x3 'same'; all layers but z and the last have a PReLU (in maps one slope per channel). Loss: bce, sum
-x log p - (1 - x) log(1 - p), as the CoDAE's. The paper's squared error is for jet images: of masks, two pixels in a
hundred active, it is driven to p = 0, where its gradient vanishes (docs/training.md).

Scores: mse, sum (x - p)^2; bce; z_norm, the length of z.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from codae_l1.data.pooling import track_mask
from codae_l1.models.codae import losses
from codae_l1.models.codae.config import MASK_SHAPE
from codae_l1.models.codae.layers import register
from codae_l1.models.systems.base import KerasSystem
from codae_l1.models.systems.registry import BRIEF, QcdOrWhatConfig, QcdOrWhatSystemConfig
from codae_l1.models.training.network import Network, SeededLayers, in_slices

# Rows and columns of the map that the decoder begins with; twice doubled, it covers the image.
_SMALL_MAP = (20, 20)
# Bias of the last convolution, below zero since few pixels are active (the CoDAE's).
_OUTPUT_BIAS = -1.0


@register
class QcdOrWhat(Network):
    """QCD-or-What AE with parts encoder and decoder; called on masks (N, 72, 58, 1) it gives probabilities.

    >>> QcdOrWhat(QcdOrWhatConfig()).count_params()
    594003
    """

    config_class = QcdOrWhatConfig

    def __init__(self, config: QcdOrWhatConfig, seed: int = 0, **kwargs: Any):
        super().__init__(config, seed, MASK_SHAPE, **kwargs)
        make = SeededLayers(seed)
        self.encoder, self.decoder = _encoder(config, make), _decoder(config, make)
        self.build()

    def call(self, mask: Any) -> Any:
        """Mask (N, 72, 58, 1) -> probability that a pixel is active, same shape."""
        return ops.sigmoid(self.logits(mask))

    def logits(self, mask: Any) -> Any:
        """Mask (N, 72, 58, 1) -> logits, same shape."""
        return ops.cast(self.decoder(self.encoder(ops.cast(mask, "float32"))), "float32")

    def objective(self, mask: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """The loss: {"bce": (N,) float32}. seed: of what is drawn; nothing is here."""
        return {"bce": losses.bce(mask, self.logits(mask))}


def _encoder(config: QcdOrWhatConfig, make: SeededLayers) -> keras.Model:
    layers = keras.layers
    first, filters = config.filters
    x = mask = keras.Input(MASK_SHAPE, name="mask")
    for maps in ((first, filters), (filters,)):
        for channels in maps:
            x = _convolution(make(layers.Conv2D, channels, 3, padding="same"), x)
        x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    for units in config.units:
        x = layers.PReLU()(make(layers.Dense, units)(x))
    return keras.Model(mask, make(layers.Dense, config.bottleneck, name="z")(x), name="encoder")


def _decoder(config: QcdOrWhatConfig, make: SeededLayers) -> keras.Model:
    layers, filters = keras.layers, config.filters[1]
    x = z = keras.Input((config.bottleneck,), name="z")
    for units in reversed(config.units):
        x = layers.PReLU()(make(layers.Dense, units)(x))
    x = layers.Reshape((*_SMALL_MAP, -1))(x)
    for _ in range(2):
        x = _convolution(make(layers.Conv2DTranspose, filters, 3, strides=2, padding="same"), x)
        x = _convolution(make(layers.Conv2D, filters, 3, padding="same"), x)
    x = layers.CenterCrop(*MASK_SHAPE[:2], name="crop")(x)
    bias = keras.initializers.Constant(_OUTPUT_BIAS)
    return keras.Model(z, make(layers.Conv2D, 1, 1, bias_initializer=bias, name="logits")(x), name="decoder")


def _convolution(layer: Any, x: Any) -> Any:
    """The layer, then a PReLU with one slope per channel."""
    return keras.layers.PReLU(shared_axes=[1, 2])(layer(x))


class QcdOrWhatSystem(KerasSystem):
    """QCD-or-What AE of masks; main score: mse. z_norm is oriented by its rank correlation with mse on QCD."""

    name = "qcd_or_what"
    main_score = "mse"

    @classmethod
    def small(cls) -> Any:
        """Few units, two epochs."""
        return QcdOrWhatSystemConfig(QcdOrWhatConfig((2, 2), (400, 4), 2), BRIEF)

    def create_model(self) -> QcdOrWhat:
        """The AE of the configured sizes."""
        return QcdOrWhat(self.config.model, self.seed)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """(N, 72, 58, 3) -> mask (N, 72, 58, 1) uint8."""
        return track_mask(images)

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """mse, bce and z_norm."""

        def run(mask: Any) -> dict[str, Any]:
            z = self.model.encoder(ops.cast(mask, "float32"))
            logits = self.model.decoder(z)
            found = {"mse": losses.mse(mask, ops.sigmoid(logits)), "bce": losses.bce(mask, logits)}
            return {**found, "z_norm": ops.norm(z, axis=-1)}

        found = in_slices(run, self.network_inputs(images))
        return {name: found[name].astype(np.float64) for name in ("mse", "bce", "z_norm")}
