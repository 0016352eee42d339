"""The Dirichlet VAE (arXiv:2104.08291): an image as a mixture of a few learned images, the mixture drawn from a prior.

    x (N, rows, columns, 1) -> flatten -> Dense, SELU -> batch norm -> mean mu (N, R), log variance (N, R)
    z = mu + sigma eps (scores: z = mu),  r = softmax(z) -> Dense without bias -> softmax over the image -> p

The prior of z is the Gaussian whose softmax approximates a Dirichlet distribution of concentration a:

    mu_k = log a_k - mean log a,    var_k = (1 / a_k)(1 - 2 / R) + sum(1 / a) / R^2

Loss of an event: KL(x | p) = sum x log(x / p), plus latent_weight x KL(q(z | x) | prior). A jet image has sum 1. A mask
is used as it is, ones and zeros, as in the published code: the sum over n active pixels of -log p, which counts them.

Scores:
    kl           KL(x | p)
    latent_kl    KL(q(z | x) | prior)
    mixture      r_0, the fraction of the first component, the most common one of QCD if the concentration falls
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
import numpy as np
from keras import ops

from codae_l1.data.pooling import track_mask
from codae_l1.models.codae.config import MASK_SHAPE
from codae_l1.models.codae.layers import BATCH_MOMENTUM, register
from codae_l1.models.codae.losses import PIXELS
from codae_l1.models.systems.base import KerasSystem
from codae_l1.models.systems.registry import BRIEF_COSINE, DirichletConfig, DirichletSystemConfig
from codae_l1.models.training.network import Network, SeededLayers, in_slices

# log variances are kept within these, so that no variance overflows (published code: -20 and 2).
LOG_VARIANCES = (-20.0, 5.0)


def prior_parameters(concentration: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (R,) float64 of the Gaussian whose softmax approximates a Dirichlet distribution.

    >>> [x.round(4).tolist() for x in prior_parameters((1.0, 0.25, 0.1))]
    [[1.2296, -0.1567, -1.073], [2.0, 3.0, 5.0]]
    """
    a = np.asarray(concentration, np.float64)
    return np.log(a) - np.log(a).mean(), (1 - 2 / len(a)) / a + np.sum(1 / a) / len(a) ** 2


@register
class DirichletVae(Network):
    """Dirichlet VAE with parts encoder and decoder; called on images (N, *shape) it gives images of sum 1.

    The batch norm has no shift, as published: the Dense layers behind it have biases.

    >>> DirichletVae(DirichletConfig()).count_params() == (4176 * 512 + 512) + 3 * 512 + 2 * (512 * 3 + 3) + 3 * 4176
    True
    """

    config_class = DirichletConfig

    def __init__(
        self,
        config: DirichletConfig,
        seed: int = 0,
        shape: Sequence[int] = MASK_SHAPE,
        **kwargs: Any,
    ):
        super().__init__(config, seed, tuple(shape), **kwargs)
        layers, make, components = keras.layers, SeededLayers(seed), len(config.concentration)
        image = keras.Input(self.event_shape, name="image")
        x = make(layers.Dense, config.hidden, activation="selu", name="hidden")(layers.Flatten()(image))
        x = layers.BatchNormalization(momentum=BATCH_MOMENTUM, center=False, name="norm")(x)
        moments = [make(layers.Dense, components, name=name)(x) for name in ("mean", "log_variance")]
        self.encoder = keras.Model(image, moments, name="encoder")
        z = keras.Input((components,), name="z")
        logits = make(layers.Dense, prod(self.event_shape), use_bias=False, name="images")(layers.Softmax()(z))
        self.decoder = keras.Model(z, logits, name="decoder")
        self.build()

    def get_config(self) -> dict[str, Any]:
        """Sizes, seed and the shape of an image."""
        return {**super().get_config(), "shape": self.event_shape}

    def call(self, images: Any) -> Any:
        """Images -> reconstructions of sum 1 from z = mu, same shape."""
        mean, _ = self.moments(images)
        return ops.reshape(ops.softmax(self.logits(mean), axis=-1), (-1, *self.event_shape))

    def moments(self, images: Any, training: bool = False) -> tuple[Any, Any]:
        """Images -> mean and log variance of q(z | x), (N, R) float32 each."""
        mean, log_variance = self.encoder(ops.cast(images, "float32"), training=training)
        return ops.cast(mean, "float32"), ops.clip(ops.cast(log_variance, "float32"), *LOG_VARIANCES)

    def logits(self, z: Any) -> Any:
        """z (N, R) -> logits of the flat image (N, rows x columns) float32."""
        return ops.cast(self.decoder(z), "float32")

    def divergences(self, images: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """kl and latent_kl, (N,) float32 each; z is drawn in training by the seed (2,) int32, else it is mu."""
        import tensorflow as tf

        images = ops.cast(images, "float32")
        mean, log_variance = self.moments(images, training)
        if training:
            # The generator is named, so that CPUs and GPUs draw the same numbers.
            draw = tf.random.stateless_normal(tf.shape(mean), seed, alg="philox")
            z = mean + ops.exp(0.5 * log_variance) * draw
        else:
            z = mean
        log_p = ops.reshape(ops.log_softmax(self.logits(z), axis=-1), (-1, *self.event_shape))
        # x log x is zero where x is.
        entropy = images * ops.log(ops.where(images > 0, images, ops.ones_like(images)))
        prior_mean, prior_variance = (x.astype("float32") for x in prior_parameters(self.config.concentration))
        ratio = ops.exp(log_variance) / prior_variance
        latent = ratio + ops.square(mean - prior_mean) / prior_variance - 1 - ops.log(ratio)
        return {"kl": ops.sum(entropy - images * log_p, axis=PIXELS), "latent_kl": 0.5 * ops.sum(latent, axis=-1)}

    def objective(self, images: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """Terms of the loss: kl, and latent_kl times its weight, (N,) float32 each."""
        terms = self.divergences(images, training, seed)
        return {"kl": terms["kl"], "latent_kl": self.config.latent_weight * terms["latent_kl"]}

    def mixture(self, images: Any) -> Any:
        """Shares r = softmax(mu) of the components, (N, R), sum 1."""
        return ops.softmax(self.moments(images)[0], axis=-1)


class DirichletSystem(KerasSystem):
    """Dirichlet VAE of masks; main score: kl, the loss's own, which grows with the active pixels.

    latent_kl and mixture are oriented by their rank correlation with kl on QCD.
    """

    name = "dirichlet"
    main_score = reference = "kl"
    beta_2 = 0.99

    @classmethod
    def small(cls) -> Any:
        """Few units, two epochs."""
        return DirichletSystemConfig(DirichletConfig(hidden=4), BRIEF_COSINE)

    def create_model(self) -> DirichletVae:
        """The VAE of the configured sizes."""
        return DirichletVae(self.config.model, self.seed)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """(N, 72, 58, 3) -> mask (N, 72, 58, 1) uint8."""
        return track_mask(images)

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """kl, latent_kl and mixture."""
        model = self.model
        found = in_slices(
            lambda x: {**model.divergences(x), "mixture": model.mixture(x)[:, 0]}, self.network_inputs(images)
        )
        return {name: found[name].astype(np.float64) for name in ("kl", "latent_kl", "mixture")}
