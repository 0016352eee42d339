"""Auto-encoders of jet images: a small one of two convolutions, and that of Farina, Nakai and Shih (FNS,
arXiv:1808.08992).

    image x (N, side, side, 1), sum 1 -> encoder -> z (N, bottleneck) -> decoder -> logits -> softmax over the image p

    jet_ae, 16 x 16      convolution 3x3 stride 2, ReLU, twice -> Dense 2 -> Dense 4 x 4 x filters, ReLU -> transposed
                         convolution 3x3 stride 2, ReLU -> transposed convolution to one channel
    fns, 40 x 40         convolution 3x3, max pool 2x2, twice -> convolution -> Dense 32 -> Dense 6 -> Dense 32 ->
                         Dense 10 x 10 x filters -> convolution, doubling, twice -> convolution to one channel

Loss and score are the squared error summed over pixels, sum (x - p)^2: the mean squared error times their number.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import keras
from keras import ops

from codae_l1.models.codae import losses
from codae_l1.models.codae.layers import register
from codae_l1.models.systems.registry import JetAEConfig
from codae_l1.models.training.network import Network, SeededLayers

# Units between the convolutions and the bottleneck of FNS.
FNS_HIDDEN = 32


# As published: 307,843 and 1,425,223 parameters.
HANDS_ON, FNS = JetAEConfig(128, 2), JetAEConfig(128, 6)


class JetAutoencoder(Network):
    """Jet-image auto-encoder with parts encoder and decoder; the same seed gives the same initial weights.

    Called on images (N, side, side, 1) float32 it gives images of sum 1.

    >>> [HandsOnAutoencoder(HANDS_ON).count_params(), FnsAutoencoder(FNS).count_params()]
    [307843, 1425223]
    """

    config_class = JetAEConfig
    # Pixels per side of the image, twice halved by the encoder.
    side: ClassVar[int]

    def __init__(self, config: JetAEConfig = HANDS_ON, seed: int = 0, **kwargs: Any):
        super().__init__(config, seed, (self.side, self.side, 1), **kwargs)
        self.encoder, self.decoder = self.create_parts(config, SeededLayers(seed))
        self.build()

    @staticmethod
    @abstractmethod
    def create_parts(config: JetAEConfig, make: SeededLayers) -> tuple[keras.Model, keras.Model]:
        """Encoder and decoder."""
        ...

    def call(self, images: Any) -> Any:
        """Images (N, side, side, 1) -> reconstructions of sum 1, same shape."""
        return self.decoder(self.encoder(ops.cast(images, "float32")))

    def objective(self, images: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """The loss: {"mse": (N,) float32}. seed: of what is drawn; nothing is here."""
        images = ops.cast(images, "float32")
        return {"mse": losses.mse(images, self(images))}


@register
class HandsOnAutoencoder(JetAutoencoder):
    """The small auto-encoder: two convolutions and two numbers."""

    side = 16

    @staticmethod
    def create_parts(config: JetAEConfig, make: SeededLayers) -> tuple[keras.Model, keras.Model]:
        """Encoder and decoder."""
        layers, side, filters = keras.layers, HandsOnAutoencoder.side // 4, config.filters
        halved: dict[str, Any] = {"strides": 2, "padding": "same"}
        x = image = keras.Input((4 * side, 4 * side, 1), name="image")
        for _ in range(2):
            x = make(layers.Conv2D, filters, 3, activation="relu", **halved)(x)
        encoder = keras.Model(image, make(layers.Dense, config.bottleneck)(layers.Flatten()(x)), name="encoder")
        z = keras.Input((config.bottleneck,), name="z")
        x = make(layers.Dense, side * side * filters, activation="relu")(z)
        x = layers.Reshape((side, side, filters))(x)
        x = make(layers.Conv2DTranspose, filters, 3, activation="relu", **halved)(x)
        x = make(layers.Conv2DTranspose, 1, 3, **halved)(x)
        return encoder, keras.Model(z, _softmax(x), name="decoder")


@register
class FnsAutoencoder(JetAutoencoder):
    """Farina, Nakai and Shih's."""

    side = 40

    @staticmethod
    def create_parts(config: JetAEConfig, make: SeededLayers) -> tuple[keras.Model, keras.Model]:
        """Encoder and decoder."""
        layers, side, filters = keras.layers, FnsAutoencoder.side // 4, config.filters

        def convolution(x: Any) -> Any:
            return make(layers.Conv2D, filters, 3, padding="same", activation="relu")(x)

        x = image = keras.Input((4 * side, 4 * side, 1), name="image")
        for _ in range(2):
            x = layers.MaxPooling2D(2)(convolution(x))
        x = make(layers.Dense, FNS_HIDDEN, activation="relu")(layers.Flatten()(convolution(x)))
        encoder = keras.Model(image, make(layers.Dense, config.bottleneck)(x), name="encoder")
        z = keras.Input((config.bottleneck,), name="z")
        x = make(layers.Dense, FNS_HIDDEN, activation="relu")(z)
        x = make(layers.Dense, side * side * filters, activation="relu")(x)
        x = layers.Reshape((side, side, filters))(x)
        for _ in range(2):
            x = layers.UpSampling2D(2)(convolution(x))
        x = make(layers.Conv2D, 1, 3, padding="same")(x)
        return encoder, keras.Model(z, _softmax(x), name="decoder")


def _softmax(logits: Any) -> Any:
    """(N, side, side, 1) -> the same shape, positive, sum 1 over the image."""
    flat = keras.layers.Softmax()(keras.layers.Flatten()(logits))
    return keras.layers.Reshape(logits.shape[1:])(flat)
