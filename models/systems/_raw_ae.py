"""The dense auto-encoder of the firmware's input: what a score that a network has learned has to beat.

    x (N, 18, 15, 1)    active pixels in cells of 4 x 4 towers (data/pooling.py)
    h = (x - m) / s     m and s the mean and the standard deviation of each cell over background
    h -> [Dense, ReLU] per entry of units -> z -> [Dense, ReLU] mirrored -> Dense h'

Loss and score: mse = sum over cells (h - h')^2. It learns from background alone.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from codae_l1.data.pooling import PoolingConfig
from codae_l1.models.codae import losses
from codae_l1.models.codae.layers import register
from codae_l1.models.systems.base import KerasSystem, LabelledEvents
from codae_l1.models.systems.pca import pooled_counts
from codae_l1.models.systems.registry import BRIEF, RawAEConfig, RawAESystemConfig
from codae_l1.models.training.network import Network, SeededLayers, in_slices

SHAPE = PoolingConfig().shape
# Counts; the least s, that of a cell which one event in a hundred hits: no cell makes a rare hit an outlier of many s.
LEAST_SCALE = 0.1


@register
class RawAutoencoder(Network):
    """Dense auto-encoder of standardised counts; called on counts (N, 18, 15, 1) it gives h' of the same shape.

    >>> RawAutoencoder(RawAEConfig()).count_params()  # 540 of them m and s, which training does not move
    40048
    """

    config_class = RawAEConfig

    def __init__(self, config: RawAEConfig, seed: int = 0, **kwargs: Any):
        super().__init__(config, seed, SHAPE, **kwargs)
        self.network = _network(config, SeededLayers(seed))
        self.mean = self.add_weight(name="mean", shape=SHAPE, initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=SHAPE, initializer="ones", trainable=False)
        self.build()

    def standardise_by(self, counts: np.ndarray) -> None:
        """Take m and s of each cell from counts (N, 18, 15, 1)."""
        self.mean.assign(counts.mean(axis=0, dtype=np.float64))
        self.scale.assign(np.maximum(counts.std(axis=0, dtype=np.float64), LEAST_SCALE))

    def standardised(self, counts: Any) -> Any:
        """Counts (N, 18, 15, 1) -> h, same shape."""
        return (ops.cast(counts, "float32") - self.mean) / self.scale

    def call(self, counts: Any) -> Any:
        """Counts (N, 18, 15, 1) -> h', same shape."""
        return ops.cast(self.network(self.standardised(counts)), "float32")

    def objective(self, counts: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """The loss: {"mse": (N,) float32}. seed: of what is drawn; nothing is here."""
        return {"mse": losses.mse(self.standardised(counts), self(counts))}


def _network(config: RawAEConfig, make: SeededLayers) -> keras.Model:
    layers = keras.layers
    h = keras.Input(SHAPE, name="h")
    x = layers.Flatten()(h)
    for units in config.units:
        x = make(layers.Dense, units, activation="relu")(x)
    x = make(layers.Dense, config.bottleneck, name="z")(x)
    for units in reversed(config.units):
        x = make(layers.Dense, units, activation="relu")(x)
    return keras.Model(h, layers.Reshape(SHAPE)(make(layers.Dense, SHAPE[0] * SHAPE[1])(x)), name="network")


class RawAESystem(KerasSystem):
    """Dense auto-encoder of the standardised pooled counts; score: mse."""

    name = "raw_ae"
    main_score = "mse"
    # Counts have no 72 rows to roll.
    augment = False

    @classmethod
    def small(cls) -> Any:
        """Few units, two epochs."""
        return RawAESystemConfig(RawAEConfig((8,), 2), BRIEF)

    def create_model(self) -> RawAutoencoder:
        """The auto-encoder of the configured sizes."""
        return RawAutoencoder(self.config.model, self.seed)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """(N, 72, 58, 3) -> counts (N, 18, 15, 1) float32."""
        return pooled_counts(images)

    def prepare(self, train: LabelledEvents) -> None:
        """m and s of the training events."""
        self.model.standardise_by(pooled_counts(train.images))

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{"mse": (N,) float64}."""
        found = in_slices(self.model.objective, pooled_counts(images))
        return {"mse": found["mse"].astype(np.float64)}
