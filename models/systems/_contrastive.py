"""What the contrastive systems share: a transformer of a set of objects, and three losses on its outputs.

    x (N, n, features)   objects; feature 0 is the transverse momentum, zero where there is no object
      -> Dense width -> layers of [x = norm(x + drop(attention(x))) ; x = norm(x + drop(Dense(ReLU(Dense(x)))))]
      -> outputs of empty rows set to zero, sum over rows -> h (N, width), the representation
      -> head: Dense units, with a ReLU between two -> z (N, k)

Empty rows are left out as keys of the attention. There is no positional encoding, so that h and z do not depend on the
order of the objects. Dropout acts on the attention's weights and on both branches.

With s the cosine of two z, z_i an event, z'_i its physical augmentation (positive), z*_i its anomaly augmentation:

    CLR      mean over the 2B anchors z, z' of -s(z_i, z'_i) / tau + log sum exp(s / tau), the sum over the 2B - 2
             vectors of other events
    AnomCLR  CLR + mean_i s(z_i, z*_i) / tau; z* is in no sum
    AnomCLR+ mean_i [s(z_i, z*_i) - s(z_i, z'_i)] / tau, within -2 / tau and 2 / tau

Sources: AnomalyCLR, arXiv:2301.04660; DarkCLR, arXiv:2312.03067.
"""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.layers import register
from codae_l1.models.training.network import Network, SeededLayers

# Temperature of the losses, dropout, and epsilon of the norms, in both papers.
TAU, DROPOUT, _EPSILON = 0.1, 0.1, 1e-5
# Shorter z count as this long in a cosine: an event without objects has a direction all the same.
_SHORTEST = 1e-6
LOSSES = ("CLR", "AnomCLR", "AnomCLR+")


@dataclass(frozen=True)
class EncoderConfig:
    """features: of an object. width: d. feed_forward: units between. heads, layers: of the attention. head: units."""

    features: int = 7
    width: int = 160
    feed_forward: int = 160
    heads: int = 4
    layers: int = 4
    head: tuple[int, ...] = (160, 160)

    def __post_init__(self):
        sizes = (self.features, self.width, self.feed_forward, self.heads, self.layers, *self.head)
        if not self.head or min(sizes) < 1 or self.width % self.heads:
            raise InputError(
                f"a set encoder of {self}", "numbers >= 1, and a width that its heads divide", "correct them"
            )


# As published.
ANOMALY_CLR = EncoderConfig()
DARK_CLR = EncoderConfig(features=3, width=128, feed_forward=512, head=(512, 512))


@register
class ContrastiveNetwork(Network):
    """Encoder and head; called on objects (N, n, features) it gives z (N, k).

    event_shape: (n, columns) of the array that a training reads, from which the views are made.

    >>> ContrastiveNetwork(ANOMALY_CLR).count_params()
    673600
    >>> ContrastiveNetwork(DARK_CLR, shape=(50, 3)).count_params()
    1122304
    """

    config_class = EncoderConfig

    def __init__(
        self,
        config: EncoderConfig,
        seed: int = 0,
        shape: tuple[int, int] = (19, 3),
        loss: str = "AnomCLR+",
        norm_weight: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(config, seed, tuple(shape), **kwargs)
        if loss not in LOSSES:
            raise InputError(f"loss {loss!r}", f"one of {', '.join(LOSSES)}", "choose one of them")
        self.loss_name, self.norm_weight = loss, norm_weight
        make = SeededLayers(seed)
        self.encoder = _encoder(config, self.event_shape[0], make)
        self.head = _head(config, make)
        self.build()

    def get_config(self) -> dict[str, Any]:
        """Sizes, seed, shape and loss."""
        more = {"shape": self.event_shape, "loss": self.loss_name, "norm_weight": self.norm_weight}
        return {**super().get_config(), **more}

    def represent(self, objects: Any, training: bool = False) -> Any:
        """Objects (N, n, features) -> h (N, width) float32."""
        return ops.cast(self.encoder(ops.cast(objects, "float32"), training=training), "float32")

    def both(self, objects: Any) -> dict[str, Any]:
        """Objects (N, n, features) -> h (N, width) and z (N, k) float32."""
        h = self.represent(objects)
        return {"h": h, "z": self.head(h)}

    def call(self, objects: Any, training: bool = False) -> Any:
        """Objects (N, n, features) -> z (N, k) float32."""
        return ops.cast(self.head(self.represent(objects, training), training=training), "float32")

    def objective(
        self, objects: Any, positive: Any, anomaly: Any, present: Any, training: bool = False, seed: Any = None
    ) -> dict[str, Any]:
        """Terms of the loss, (N,) float32 each: the named one, and norm_weight x |z| where the weight is not zero.

        objects, positive, anomaly: the views (N, n, features). present (N,): zero for what only fills a batch and is no
        event. seed is not read: dropout counts its draws itself, which a checkpoint keeps.
        """
        views = (objects, positive) if self.loss_name == "CLR" else (objects, positive, anomaly)
        together = self(ops.concatenate(views, axis=0), training=training)
        z = ops.split(together, len(views), axis=0)
        terms = {self.loss_name: contrastive_loss(self.loss_name, z, present)}
        if self.norm_weight:
            terms["norm"] = self.norm_weight * ops.sqrt(ops.sum(ops.square(z[0]), axis=-1) + _SHORTEST**2)
        return terms


def contrastive_loss(name: str, z: Any, present: Any, tau: float = TAU) -> Any:
    """The loss of each event, (B,) float32; its mean over the events is the loss of the batch.

    z: (z, z', z*), (B, k) each; CLR takes the first two. present (B,): events with zero are in no sum over others.

    >>> z = ops.convert_to_tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> ops.convert_to_numpy(contrastive_loss("AnomCLR+", (z, z, -z), ops.ones(2))).tolist()
    [-20.0, -20.0]
    """
    unit = [_unit(part) for part in z]
    attraction = ops.sum(unit[0] * unit[1], axis=-1) / tau
    if name == "AnomCLR+":
        return ops.sum(unit[0] * unit[2], axis=-1) / tau - attraction
    loss = _repulsion(unit[0], unit[1], present, tau) - attraction
    return loss if name == "CLR" else loss + ops.sum(unit[0] * unit[2], axis=-1) / tau


def _repulsion(first: Any, second: Any, present: Any, tau: float) -> Any:
    """Mean over an event's two anchors of log sum exp(s / tau) over the vectors of the other events: (B,).

    Zero where there is no other event.
    """
    others = (1 - ops.eye(ops.shape(first)[0], dtype="float32")) * ops.cast(present, "float32")[None, :]
    seen = ops.concatenate([others, others], axis=-1) > 0
    everything = ops.concatenate([first, second], axis=0)
    sums = []
    for anchors in (first, second):
        similarity = ops.matmul(anchors, ops.transpose(everything)) / tau
        # No similarity is above 1 / tau: no exponential overflows.
        total = ops.sum(ops.where(seen, ops.exp(similarity - 1 / tau), 0.0), axis=-1)
        sums.append(ops.where(total > 0, ops.log(ops.where(total > 0, total, 1.0)) + 1 / tau, 0.0))
    return (sums[0] + sums[1]) / 2


def _unit(z: Any) -> Any:
    """(B, k) -> its directions; the gradient is finite at zero."""
    return z * ops.rsqrt(ops.maximum(ops.sum(ops.square(z), axis=-1, keepdims=True), _SHORTEST**2))


def _encoder(config: EncoderConfig, rows: int, make: SeededLayers) -> keras.Model:
    """Objects (N, n, features) -> h (N, width)."""
    layers = keras.layers
    objects = keras.Input((rows, config.features), name="objects")
    exists = objects[..., 0] > 0
    x = make(layers.Dense, config.width, name="embedding")(objects)
    for _ in range(config.layers):
        y = make.attention(config.heads, config.width // config.heads, DROPOUT, x, exists[:, None, :])
        x = _added(x, y, make)
        y = make(layers.Dense, config.feed_forward, activation="relu")(x)
        x = _added(x, make(layers.Dense, config.width)(y), make)
    h = ops.sum(x * ops.cast(exists, "float32")[..., None], axis=1)
    return keras.Model(objects, h, name="encoder")


def _added(x: Any, branch: Any, make: SeededLayers) -> Any:
    """norm(x + drop(branch))."""
    layers = keras.layers
    branch = layers.Dropout(DROPOUT, seed=make.next_seed())(branch)
    return layers.LayerNormalization(epsilon=_EPSILON)(layers.Add()([x, branch]))


def _head(config: EncoderConfig, make: SeededLayers) -> keras.Model:
    """h (N, width) -> z (N, k)."""
    x = h = keras.Input((config.width,), name="h")
    for number, units in enumerate(config.head, start=1):
        activation = "relu" if number < len(config.head) else None
        x = make(keras.layers.Dense, units, activation=activation)(x)
    return keras.Model(h, x, name="head")
