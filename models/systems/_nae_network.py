"""Normalized auto-encoder (arXiv:2105.05735; of jets: arXiv:2206.14225): its reconstruction error is an energy.

    E(x) = mean over pixels of (x - D(Enc(x)))^2,   p(x) ~ exp(-E(x) / T),   Enc(x) = h / |h| on the unit sphere

An auto-encoder is trained to a low E of the jets, and may have one elsewhere, too. Here the likelihood is maximised: E
is lowered at the jets x and raised at points x- that are drawn from the model itself. Loss, times the number of pixels:

    <E(x)> - <E(x-)> + gamma <E(x-)^2>,   gamma = 1

x- come from Langevin chains (models/systems/_langevin.py): in the latent space on the sphere, of E(D(z)), from where
earlier chains ended (replay buffer), one in twenty from anywhere; then in the space of images, of E(x), from D(z).

Where E-/E+ = <E(x-)> / <E(x)> is far from 1, the chains do not find what the model holds probable: their sampler has
not converged. |log(E-/E+)| of the validation jets is what the epoch is chosen by.

Encoder of jets: convolution 3x3 of 8 filters twice, max pool, of 8, 8 and 1 filter, Dense 100, Dense 3; the decoder
mirrors it, with a sigmoid at the end. All but the last have PReLU; all kernels have spectral norm 1.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from codae_l1.models.codae.layers import register
from codae_l1.models.evaluation.macs import layer_macs
from codae_l1.models.systems._density_configs import NaeConfig
from codae_l1.models.systems._langevin import Chain, fold_in, run_chain
from codae_l1.models.training.network import Network, SeededLayers

# arXiv:2206.14225: numbers of a latent point, of units, of filters of each convolution of the encoder.
LATENT, UNITS, FILTERS = 3, 100, (8, 8, 8, 8, 1)
# Chains of a training step; published: as many as jets in the batch.
CHAINS = 16
# arXiv:2105.05735: chain ends that are kept, the share of chains that go on from them, weight of the squared energy.
BUFFER, REPLAY, GAMMA = 10_000, 0.95, 1.0
# Step, noise and longest gradient as in the published training of jets (github.com/heidelberg-hepml).
LATENT_CHAIN, IMAGE_CHAIN = Chain(0.1, 0.05, 0.01), Chain(100.0, 1e-4, 0.01)
# PReLU starts as a leaky ReLU of this slope (arXiv:1502.01852).
SLOPE = 0.25
# Keeps a latent of length zero finite; that of a jet, whose pixels are small, may be 1e-6 long.
_TINY = 1e-24


class NormalizedAutoencoder(Network):
    """Auto-encoder with parts encoder and decoder; called on x it gives D(Enc(x)), same shape.

    A subclass gives create_parts. `normalizing` says which loss it has: that above, or, before, E alone.
    """

    config_class = NaeConfig
    latent_chain: ClassVar[Chain] = LATENT_CHAIN
    input_chain: ClassVar[Chain] = IMAGE_CHAIN
    chains: ClassVar[int] = CHAINS
    # Between which values x lies.
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    shape: ClassVar[tuple[int, ...]]

    def __init__(self, config: NaeConfig, seed: int = 0, **kwargs: Any):
        super().__init__(config, seed, self.shape, **kwargs)
        self.normalizing = False
        make = SeededLayers(seed)
        self.encoder, self.decoder = self.create_parts(make)
        rng = np.random.default_rng(make.next_seed())
        for layer in (*self.encoder.layers, *self.decoder.layers):
            if isinstance(layer, keras.layers.SpectralNormalization):
                # Keras draws where the iteration for the largest singular value starts without a seed.
                layer.vector_u.assign(rng.normal(size=layer.vector_u.shape))
        # Where the latent chains ended; at first, anywhere on the sphere.
        self.buffer = self.add_weight(name="buffer", shape=(BUFFER, LATENT), initializer="zeros", trainable=False)
        self.buffer.assign(_on_sphere(rng.normal(size=(BUFFER, LATENT))))
        self.build()

    @abstractmethod
    def create_parts(self, make: SeededLayers) -> tuple[keras.Model, keras.Model]:
        """Encoder, without its last step to the sphere, and decoder."""
        ...

    def latent(self, x: Any, training: bool = False) -> Any:
        """x (N, ...) -> point of the sphere (N, 3)."""
        return _on_sphere(self.encoder(ops.cast(x, "float32"), training=training))

    def call(self, x: Any, training: bool = False) -> Any:
        """x (N, ...) -> its reconstruction, same shape."""
        return self.decoder(self.latent(x, training), training=training)

    def energy(self, x: Any, training: bool = False) -> Any:
        """x (N, ...) -> E (N,) float32."""
        squared = ops.square(ops.cast(x, "float32") - self.call(x, training))
        return ops.mean(squared, axis=tuple(range(1, 1 + len(self.shape))))

    def objective(self, x: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """Terms of the loss, (N,) float32 each: energy, contrast (of the chains), penalty (of their square).

        Before it normalizes: energy alone. Not in training: |log(E-/E+)| of these x, the same for each. All-zero x, as
        the loop fills batches with, are no part of E+.
        """
        import tensorflow as tf

        energy = self.energy(x, training)
        pixels = float(np.prod(self.shape))
        if not self.normalizing:
            return {"energy": pixels * energy}
        drawn = self.sample(tf.stack([self.seed, -1]) if seed is None else seed, keep=training)
        negative = self.energy(drawn)
        if not training:
            holds = ops.cast(ops.any(ops.reshape(x, (ops.shape(x)[0], -1)) != 0, axis=1), "float32")
            mean = ops.sum(holds * energy) / ops.maximum(ops.sum(holds), 1.0)
            return {"sampler": ops.broadcast_to(ops.abs(ops.log(ops.mean(negative) / mean)), ops.shape(energy))}
        contrast, penalty = -ops.mean(negative), GAMMA * ops.mean(ops.square(negative))
        terms = {"energy": energy, "contrast": contrast, "penalty": penalty}
        return {name: pixels * ops.broadcast_to(term, ops.shape(energy)) for name, term in terms.items()}

    def sample(self, seed: Any, keep: bool = False) -> Any:
        """Ends x- (chains, ...) of chains, drawn by the seed (2,) int32; keep: the latent ones go on from here next."""
        import tensorflow as tf

        chains = self.chains
        # As many places of the buffer, none twice.
        order = tf.argsort(tf.random.stateless_uniform([BUFFER], fold_in(seed, 0), alg="philox"))
        places = order[:chains]
        fresh = _on_sphere(tf.random.stateless_normal([chains, LATENT], fold_in(seed, 1), alg="philox"))
        replayed = tf.random.stateless_uniform([chains, 1], fold_in(seed, 2), alg="philox") < REPLAY
        start = tf.where(replayed, tf.gather(self.buffer.value, places), fresh)
        latent = run_chain(
            lambda z: self.energy(self.decoder(z)),
            start,
            self.latent_chain,
            self.config.steps,
            fold_in(seed, 3),
            _on_sphere,
        )
        if keep:
            self.buffer.assign(tf.tensor_scatter_nd_update(self.buffer.value, places[:, None], latent))
        return run_chain(
            self.energy,
            tf.stop_gradient(self.decoder(latent)),
            self.input_chain,
            self.config.steps,
            fold_in(seed, 4),
            lambda x: ops.clip(x, *self.bounds),
        )


@register
class JetNormalizedAutoencoder(NormalizedAutoencoder):
    """That of jet images (N, 40, 40, 1).

    >>> model = JetNormalizedAutoencoder(NaeConfig())
    >>> sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    85025
    """

    shape = (40, 40, 1)

    def create_parts(self, make: SeededLayers) -> tuple[keras.Model, keras.Model]:
        """Encoder and decoder."""
        layers, half = keras.layers, self.shape[0] // 2

        def convolution(x: Any, filters: int) -> Any:
            return _spectral(make(layers.Conv2D, filters, 3, padding="same"))(x)

        def slope(x: Any) -> Any:
            return layers.PReLU(keras.initializers.Constant(SLOPE), shared_axes=list(range(1, len(x.shape))))(x)

        x = image = keras.Input(self.shape, name="image")
        for i, filters in enumerate(FILTERS):
            x = slope(convolution(x, filters))
            x = layers.MaxPooling2D(2)(x) if i == 1 else x
        x = slope(_spectral(make(layers.Dense, UNITS))(layers.Flatten()(x)))
        encoder = keras.Model(image, _spectral(make(layers.Dense, LATENT))(x), name="encoder")

        z = keras.Input((LATENT,), name="z")
        x = slope(_spectral(make(layers.Dense, UNITS))(z))
        x = slope(_spectral(make(layers.Dense, half * half))(x))
        x = layers.Reshape((half, half, 1))(x)
        for i, filters in enumerate(FILTERS[-2::-1]):
            x = layers.UpSampling2D(2)(x) if i == 3 else x
            x = slope(convolution(x, filters))
        # It starts at the mean pixel of an image of sum 1: from 0.5, a bias would take many epochs.
        bias = keras.initializers.Constant(-np.log(np.prod(self.shape) - 1))
        x = _spectral(make(layers.Conv2D, 1, 3, padding="same", bias_initializer=bias))(x)
        return encoder, keras.Model(z, layers.Activation("sigmoid")(x), name="decoder")


def _spectral(layer: Any) -> Any:
    """The layer, whose kernel is divided by its largest singular value in each training step (arXiv:1802.05957)."""
    return keras.layers.SpectralNormalization(layer)


@layer_macs.register
def _(layer: keras.layers.SpectralNormalization, shape: Any) -> int:
    return layer_macs(layer.layer, shape)


def _on_sphere(h: Any) -> Any:
    """h (N, 3) -> h / |h|."""
    return h / ops.sqrt(ops.sum(ops.square(h), axis=-1, keepdims=True) + _TINY)
