"""The categorical CoDVAE (arXiv:2306.12955): a CoDAE whose z_R is a relaxed one-hot in each cell of its 5 x 4 grid.

f_R gives logits l (5, 4, K) and a temperature tau = 1 + softplus(1x1 convolution) (5, 4, 1). In training

    z = softmax((l + g) / tau),  g_k = -log(-log u_k),  u_k uniform in (0, 1)        (Gumbel-softmax, arXiv:1611.01144)

and evaluation takes z = softmax(l / tau). The loss of an event is BCE + kl_weight x KL(q || p), the KL summed over the
cells and estimated by S samples: 1/S sum [log q(z_s) - log p(z_s)]. p is a mixture of J relaxed one-hots with equal
weights in each cell, with learned logits (5, 4, J, K) and J fixed temperatures.

With y = log z and a_k = l_k - tau y_k, the density of y (arXiv:1611.00712) is

    log q(y) = log (K - 1)! + (K - 1) log tau + sum_k a_k - K log sum_k exp a_k

and that of z is log q(y) - sum_k y_k; the difference cancels in the KL, and y keeps the KL finite where z underflows.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from codae_l1.models.codae import losses
from codae_l1.models.codae.config import COMPACT, LATENT_GRID, PAPER, TINY, CategoricalConfig, CoDAEConfig
from codae_l1.models.codae.layers import register
from codae_l1.models.codae.model import CoDAE, build_f_r
from codae_l1.models.training.saving import load_model

# As published: 1,653,124 parameters, those of the CoDAE + 257 of the temperature + 6,400 logits of the prior.
PAPER_CODVAE = replace(PAPER, categorical=CategoricalConfig())
COMPACT_CODVAE = replace(COMPACT, categorical=CategoricalConfig())
TINY_CODVAE = replace(TINY, categorical=CategoricalConfig(components=2, samples=3))
# Added to the softplus: no temperature is below it (arXiv:2306.12955).
BASE_TEMPERATURE = 1.0
# Fixed temperatures of the prior's components are uniform between these (published code).
PRIOR_TEMPERATURES = (0.1, 1.0)
# The prior's initial logits are N(0, 1) plus a shift between -this and this, one per component; the published code has
# one per row of its grid. All classes of a component shift alike, which changes no density.
PRIOR_SHIFT = 3.0


def _sample_log(logits: Any, temperature: Any, gumbel: Any) -> Any:
    """y = log z of a relaxed one-hot z: logits (..., K), temperature (..., 1), gumbel (..., K) -> (..., K).

    >>> zeros = np.zeros((1, 2), "float32")
    >>> ops.convert_to_numpy(ops.exp(_sample_log(zeros, np.float32(2), np.array([[1.0, -1.0]], "float32")))).round(3)
    array([[0.731, 0.269]], dtype=float32)
    """
    return ops.log_softmax((logits + gumbel) / temperature, axis=-1)


def _log_density(y: Any, logits: Any, temperature: Any) -> Any:
    """Log density of y = log z: y and logits (..., K), temperature (..., 1) -> (...). The formula is the module's.

    Of two classes, equal logits and temperature 1, z is uniform, so that of y is z1 z2:

    >>> y = np.log(np.array([0.25, 0.75], "float32"))
    >>> round(float(ops.exp(_log_density(y, np.zeros(2, "float32"), np.ones(1, "float32")))), 4)
    0.1875
    """
    classes = y.shape[-1]
    a = logits - temperature * y
    scale = math.lgamma(classes) + (classes - 1) * ops.log(temperature[..., 0])
    return scale + ops.sum(a, axis=-1) - classes * ops.logsumexp(a, axis=-1)


@register
class MixturePrior(keras.layers.Layer):
    """Mixture of relaxed one-hots, one mixture per cell: y (..., 5, 4, K) -> log p(y) (..., 5, 4).

    log p = log 1/J sum_j exp log_density(y; logits_j, temperature_j). Logits are learned; temperatures (J,) are not and
    follow from the seed.
    """

    def __init__(self, components: int, classes: int, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        generator = np.random.default_rng(seed)
        shifts = np.linspace(-PRIOR_SHIFT, PRIOR_SHIFT, components)[:, None]
        logits = generator.normal(size=(*LATENT_GRID, components, classes)) + shifts
        self.temperatures = generator.uniform(*PRIOR_TEMPERATURES, components).astype("float32")
        self.logits = self.add_weight(name="logits", shape=logits.shape, initializer="zeros")
        self.logits.assign(logits.astype("float32"))
        self.built = True

    def call(self, y: Any) -> Any:
        """(..., 5, 4, K) -> (..., 5, 4)."""
        logits = ops.convert_to_tensor(self.logits)
        density = _log_density(y[..., None, :], logits, ops.convert_to_tensor(self.temperatures[:, None]))
        return ops.logsumexp(density, axis=-1) - math.log(len(self.temperatures))


@register
class CoDVAE(CoDAE):
    """Categorical CoDVAE with parts f_m, f_r, decoder and prior; the same seed gives the same initial weights.

    known_prior=False: without a prior, as where weights come from files that do not hold it; then there is no KL,
    neither as a score nor in the loss.

    Called on a mask (N, 72, 58, 1) it gives probabilities (N, 72, 58, 1) float32 by z_R = softmax(l / tau). f_r gives
    [l (N, 5, 4, K), tau (N, 5, 4, 1)].

    >>> model = CoDVAE(PAPER_CODVAE)
    >>> [part.count_params() for part in (model.f_m, model.f_r, model.decoder, model.prior)], model.count_params()
    ([270594, 612289, 763841, 6400], 1653124)
    """

    def __init__(self, config: CoDAEConfig = COMPACT_CODVAE, seed: int = 0, **kwargs: Any):
        super().__init__(config, seed, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """As of a CoDAE, and whether there is a prior."""
        return {**super().get_config(), "known_prior": self.prior is not None}

    @staticmethod
    def build_f_r(config: CoDAEConfig) -> keras.Model:
        """Encoder 1: mask (N, 72, 58, 1) -> [logits (N, 5, 4, K), temperature (N, 5, 4, 1)]."""
        base = build_f_r(config)
        x = base.get_layer("z_r").input
        convolution = keras.layers.Conv2D(1, 1, activation="softplus", kernel_initializer="he_uniform", name="softplus")
        temperature = keras.layers.Rescaling(1.0, BASE_TEMPERATURE, name="temperature")(convolution(x))
        return keras.Model(base.input, [base.output, temperature], name="f_r")

    @staticmethod
    def build_prior(config: CoDAEConfig, seed: int) -> keras.layers.Layer:
        """The mixture of each cell, learned with the rest."""
        return MixturePrior(_categorical(config).components, config.latent_channels, seed, name="prior")

    def latent(self, mask: Any, training: bool | None = None) -> Any:
        """Mask (N, 72, 58, 1) float32 -> z_R = softmax(l / tau) (N, 5, 4, K)."""
        logits, temperature = self.f_r(mask, training=training)
        return ops.softmax(logits / temperature, axis=-1)

    def latent_scores(self, mask: Any) -> tuple[Any, dict[str, Any]]:
        """(z_R, {"kl", "entropy", "temperature"}); models/codae/scores.py defines them. The KL has no weight here.

        Without a prior there is no "kl".
        """
        logits, temperature = self.f_r(mask)
        y = ops.log_softmax(logits / temperature, axis=-1)
        z = ops.exp(y)
        scores = {}
        if self.prior is not None:
            scores["kl"] = self._divergence(self._sample_log(logits, temperature), logits, temperature)
        return z, scores | {
            "entropy": -ops.sum(z * y, axis=(1, 2, 3)),
            "temperature": ops.mean(temperature, axis=(1, 2, 3)),
        }

    def objective(self, mask: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """Terms of the loss: bce and kl (weighted; none without a prior), (N,) float32 each.

        seed (2,) int32: in training, of z_R and the KL's samples, others for each event. Otherwise z_R is softmax(l /
        tau) and the KL takes the same Gumbel numbers for every event, so that an event's loss is its own.
        """
        mask = ops.cast(mask, "float32")
        logits, temperature = (ops.cast(x, "float32") for x in self.f_r(mask, training=training))
        y = self._sample_log(logits, temperature, seed if training else None)
        z = ops.exp(y[0]) if training else ops.softmax(logits / temperature, axis=-1)
        output = ops.cast(self.decoder([z, self.f_m(mask, training=training)]), "float32")
        terms = {"bce": losses.bce(mask, output)}
        if self.prior is not None:
            terms["kl"] = _categorical(self.config).kl_weight * self._divergence(y, logits, temperature)
        return terms

    def _divergence(self, y: Any, logits: Any, temperature: Any) -> Any:
        """KL(q || p) of each event, summed over cells, from samples y (S, N, 5, 4, K) of q: (N,)."""
        difference = _log_density(y, logits, temperature) - self.prior(y)
        return ops.sum(ops.mean(difference, axis=0), axis=(1, 2))

    def _sample_log(self, logits: Any, temperature: Any, seed: Any = None) -> Any:
        """S samples y = log z (S, N, 5, 4, K); Gumbel numbers of the seed, or the model's, the same for each event."""
        import tensorflow as tf

        events = 1 if seed is None else ops.shape(logits)[0]
        shape = (_categorical(self.config).samples, events, *LATENT_GRID, self.config.latent_channels)
        seed = (self.seed, 0) if seed is None else seed
        # The generator is named, so that CPUs and GPUs draw the same numbers.
        uniform = tf.random.stateless_uniform(shape, seed, minval=float(np.finfo("float32").tiny), alg="philox")
        return _sample_log(logits, temperature, -tf.math.log(-tf.math.log(uniform)))


def create_model(config: CoDAEConfig, seed: int = 0) -> CoDAE:
    """The model that a config describes: a CoDVAE where it has a `categorical` table, else a CoDAE."""
    return (CoDVAE if config.categorical else CoDAE)(config, seed)


def load_codae(path: Path | str, custom_objects: dict[str, Any] | None = None) -> CoDAE:
    """Read what save_codae wrote, a CoDAE or a CoDVAE, whose class Keras knows from here alone; predictions are equal
    to the bit."""
    return load_model(path, CoDAE, custom_objects)


def _categorical(config: CoDAEConfig) -> CategoricalConfig:
    """The table, which the config of a CoDVAE has."""
    return config.categorical or CategoricalConfig()
