"""Systems that read the firmware's input and need no deep network: what a learned score has to beat.

    x (N, 18, 15, 1)    active pixels in cells of 4 x 4 towers (data/pooling.py)
    pca_events          score mse = sum over cells (x - x')^2, x' from k principal components of QCD (pca.py)
    raw_ae              h = (x - m) / s, m and s the mean and the standard deviation of each cell over QCD;
                        h -> [Dense, ReLU] per unit -> z -> [Dense, ReLU] mirrored -> Dense h'
                        loss and score mse = sum over cells (h - h')^2

Both learn from QCD alone. Reconstruction errors count as defined: higher = more anomalous.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from codae_l1.data.base.progress import Progress
from codae_l1.data.pooling import PoolingConfig, active_counts_float
from codae_l1.models.codae import losses
from codae_l1.models.codae.layers import register
from codae_l1.models.codae.scores import track_mask
from codae_l1.models.systems.array import ArraySystem
from codae_l1.models.systems.base import Batch, KerasSystem, qcd_only
from codae_l1.models.systems.pca import PrincipalComponents
from codae_l1.models.systems.registry import PcaEventsConfig, RawAEConfig, RawAESystemConfig
from codae_l1.models.training.network import Network, SeededLayers, in_slices

SHAPE = PoolingConfig().shape
# Counts; the least s, that of a cell which one event in a hundred hits: no cell makes a rare hit an outlier of many s.
LEAST_SCALE = 0.1


def pooled_counts(images: np.ndarray) -> np.ndarray:
    """Images (N, 72, 58, 3) GeV -> active pixels of each cell, (N, 18, 15, 1) float32."""
    return active_counts_float(track_mask(images))


class PcaEventsSystem(ArraySystem):
    """Principal components of QCD's pooled counts, the linear auto-encoder; nothing in it is random."""

    name = "pca_events"
    main_score = "mse"

    def __init__(self, config: PcaEventsConfig | None = None, seed: int = 0):
        super().__init__(config or PcaEventsConfig(), seed)
        self.fitted: PrincipalComponents | None = None

    def fit(self, train: Batch, validation: Batch, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Fit to the training events; nothing is chosen by validation, whose mean score is in the history."""
        qcd_only(self.name, train, validation)
        self.fitted = PrincipalComponents.fit(pooled_counts(train.images), self.config.components)
        errors = [float(np.mean(self.scores(batch.images)["mse"])) for batch in (train, validation)]
        return dict(zip(("loss", "validation_loss"), ([error] for error in errors), strict=True))

    def scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{"mse": (N,) float64}."""
        return {"mse": self.pca.score(pooled_counts(images))}

    def arrays(self) -> dict[str, np.ndarray]:
        """Mean, components and their variance."""
        return dict(vars(self.pca))

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the system whose arrays these are."""
        self.fitted = PrincipalComponents(**arrays)

    @property
    def pca(self) -> PrincipalComponents:
        """The fitted components."""
        if self.fitted is None:
            raise self.untrained()
        return self.fitted

    @property
    def parameters(self) -> int:
        """Numbers of mean and components."""
        return 0 if self.fitted is None else self.fitted.parameters

    @property
    def macs(self) -> int:
        """MACs of encoding and decoding: 2 k per cell."""
        return 2 * self.config.components * SHAPE[0] * SHAPE[1]


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

    def __init__(self, config: RawAESystemConfig | None = None, seed: int = 0):
        super().__init__(config or RawAESystemConfig(), seed)

    def create_model(self) -> RawAutoencoder:
        """The auto-encoder of the configured sizes."""
        return RawAutoencoder(self.config.model, self.seed)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """(N, 72, 58, 3) -> counts (N, 18, 15, 1) float32."""
        return pooled_counts(images)

    def prepare(self, train: Batch) -> None:
        """m and s of the training events."""
        self.model.standardise_by(pooled_counts(train.images))

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{"mse": (N,) float64}."""
        found = in_slices(lambda counts: self.model.objective(counts), pooled_counts(images))
        return {"mse": found["mse"].astype(np.float64)}
