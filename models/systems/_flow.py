"""An invertible network of affine couplings: the density of a few numbers, as -log likelihood.

    x (N, d) -> [rotation -> coupling] n times -> z (N, d)

    rotation   x R, R a fixed orthogonal matrix drawn by the seed, determinant 1
    coupling   x = (a, b), halves of d:  a stays,  b' = b exp(s(a)) + t(a)
               h = ReLU(Dense a),  s = 2 tanh(Dense h),  t = Dense h

    -log p(x) = |z|^2 / 2 + d / 2 log(2 pi) - sum over couplings and numbers of s

The last Dense layers start at zero: untrained, all couplings are the identity, z is x turned around, and -log p is that
of a standard Gaussian. Sizes as arXiv:2202.00686: d = 8, 24 couplings, 512 units.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from codae_l1.models.codae.layers import register
from codae_l1.models.evaluation.macs import layer_macs
from codae_l1.models.systems._density_configs import InnConfig
from codae_l1.models.training.network import Network, SeededLayers

# Numbers of an event.
DIMENSIONS = 8
# Largest log of a factor.
LOG_SCALE = 2.0


class AffineCoupling(keras.layers.Layer):
    """Rotation and coupling of (N, d), d even; `invert` is its inverse."""

    def __init__(self, units: int, dimensions: int, make: SeededLayers, **kwargs: Any):
        super().__init__(**kwargs)
        self.half, self.units = dimensions // 2, units
        self.rotation = self.add_weight(
            name="rotation", shape=(dimensions, dimensions), initializer="zeros", trainable=False
        )
        self.rotation.assign(random_rotation(dimensions, make.next_seed()))
        dense = keras.layers.Dense
        self.hidden = make(dense, units, activation="relu", name="hidden")
        self.scale, self.shift = (dense(self.half, kernel_initializer="zeros", name=x) for x in ("scale", "shift"))
        self.hidden.build((None, self.half))
        for layer in (self.scale, self.shift):
            layer.build((None, units))
        self.built = True

    def factors(self, kept: Any) -> tuple[Any, Any]:
        """The half that stays (N, d / 2) -> s and t of the other one, (N, d / 2) each."""
        hidden = self.hidden(kept)
        return LOG_SCALE * ops.tanh(self.scale(hidden)), self.shift(hidden)

    def call(self, x: Any) -> tuple[Any, Any]:
        """x (N, d) -> (x' (N, d), log |det dx'/dx| (N,))."""
        turned = ops.matmul(x, self.rotation)
        kept, moved = turned[:, : self.half], turned[:, self.half :]
        s, t = self.factors(kept)
        return ops.concatenate([kept, moved * ops.exp(s) + t], axis=-1), ops.sum(s, axis=-1)

    def invert(self, x: Any) -> Any:
        """x' (N, d) -> x (N, d)."""
        kept, moved = x[:, : self.half], x[:, self.half :]
        s, t = self.factors(kept)
        turned = ops.concatenate([kept, (moved - t) * ops.exp(-s)], axis=-1)
        return ops.matmul(turned, ops.transpose(self.rotation))


@layer_macs.register
def _(layer: AffineCoupling, shape: Any) -> int:
    return (2 * layer.half) ** 2 + 3 * layer.half * layer.units


@register
class AffineFlow(Network):
    """The couplings one after another; called on x (N, 8) it gives -log p(x) (N,).

    >>> AffineFlow(InnConfig()).count_params() == 24 * (8 * 8 + 4 * 512 + 512 + 2 * (512 * 4 + 4))
    True
    """

    config_class = InnConfig

    def __init__(self, config: InnConfig, seed: int = 0, **kwargs: Any):
        super().__init__(config, seed, (DIMENSIONS,), **kwargs)
        make = SeededLayers(seed)
        self.couplings = [
            AffineCoupling(config.units, DIMENSIONS, make, name=f"coupling{i}") for i in range(config.couplings)
        ]
        self.build()

    def forward(self, x: Any) -> tuple[Any, Any]:
        """x (N, 8) -> (z (N, 8), log |det dz/dx| (N,)), float32."""
        z = ops.cast(x, "float32")
        log_determinant = ops.zeros_like(z[:, 0])
        for coupling in self.couplings:
            z, more = coupling(z)
            log_determinant = log_determinant + more
        return z, log_determinant

    def inverse(self, z: Any) -> Any:
        """z (N, 8) -> x (N, 8)."""
        for coupling in reversed(self.couplings):
            z = coupling.invert(z)
        return z

    def call(self, x: Any) -> Any:
        """x (N, 8) -> -log p(x) (N,)."""
        z, log_determinant = self.forward(x)
        return 0.5 * ops.sum(ops.square(z), axis=-1) + DIMENSIONS / 2 * np.log(2 * np.pi) - log_determinant

    def objective(self, x: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """The loss: {"nll": (N,) float32}. seed: of what is drawn; nothing is here."""
        return {"nll": self(x)}

    @property
    def macs(self) -> int:
        """MACs of an event."""
        return sum(layer_macs(coupling, None) for coupling in self.couplings)


def random_rotation(dimensions: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix (d, d) float64 of determinant 1: QR of Gaussian numbers, each row's sign as R's."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimensions, dimensions)))
    q *= np.sign(np.diag(r))
    q[:, 0] *= np.sign(np.linalg.det(q))
    return q
