"""A system may have its own views of a batch, and fit to its trained network what is saved with it: a trial of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae.config import MASK_SHAPE
from codae_l1.models.codae.layers import register
from codae_l1.models.systems._density import fit_mahalanobis, load_density
from codae_l1.models.systems.base import KerasSystem, LabelledEvents
from codae_l1.models.systems.registry import BRIEF, SystemTraining
from codae_l1.models.training.network import Network, SeededLayers, in_slices

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")


@dataclass(frozen=True)
class LatentConfig:
    latent: int = 2


@dataclass(frozen=True)
class TrialConfig:
    model: LatentConfig = LatentConfig()
    training: SystemTraining = BRIEF


# What `view` was asked for: (in training, the two views).
SEEN: list[tuple[Any, ...]] = []


@register
class TwoViews(Network):
    """Mask -> latent (N, 2)."""

    config_class = LatentConfig

    def __init__(self, config: LatentConfig, seed: int = 0, **kwargs: Any):
        super().__init__(config, seed, MASK_SHAPE, **kwargs)
        make, x = SeededLayers(seed), keras.Input(MASK_SHAPE, name="mask")
        pooled = keras.layers.Flatten()(keras.layers.AveragePooling2D(8, padding="same")(x))
        self.encoder = keras.Model(x, make(keras.layers.Dense, config.latent)(pooled), name="encoder")
        self.build()

    def call(self, mask: Any) -> Any:
        """Mask -> latent."""
        return self.encoder(ops.cast(mask, "float32"))

    def objective(self, one: Any, other: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """Distance of the two views, and of the spread from one."""
        a, b = self(one), self(other)
        spread = ops.sum(ops.square(1 - ops.std(a, axis=0)))
        return {"near": ops.sum(ops.square(a - b), axis=1), "spread": spread + 0 * ops.sum(a, axis=1)}


class Trial(KerasSystem):
    """Mahalanobis distance of the latents."""

    name = "trial"
    main_score = "distance"
    reference = None

    def create_model(self) -> TwoViews:
        """The network."""
        return TwoViews(self.config.model, self.seed)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """Masks."""
        return track_mask(images)

    def view(self, arrays: Any, generator: np.random.Generator, trains: bool) -> tuple[np.ndarray, ...]:
        """Two views of each event."""
        views = tuple(flip_and_roll(arrays[0], generator) for _ in range(2))
        SEEN.append((trains, *views))
        return views

    def finish(self, train: LabelledEvents) -> None:
        """The density of the latents."""
        self.density = fit_mahalanobis(self._latents(train.images))

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The distance."""
        return {"distance": self.density.rarity(self._latents(images))}

    def arrays(self) -> dict[str, np.ndarray]:
        """The density's."""
        return self.density.arrays()

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The density's."""
        self.density = load_density(arrays)

    def _latents(self, images: np.ndarray) -> np.ndarray:
        return in_slices(lambda x: self.model(x), self.network_inputs(images)).astype(np.float64)


def test_two_views_are_trained_on_and_the_density_comes_back(tmp_path):
    SEEN.clear()
    rng = np.random.default_rng(0)
    events = [
        LabelledEvents((rng.random((n, 72, 58, 3)) < 0.03).astype(np.float32), np.repeat("qcd", n)) for n in (24, 9)
    ]
    system = Trial(TrialConfig(), seed=1)
    history = system.fit(*events, tmp_path)
    assert set(history) >= {"loss", "near", "spread", "validation_near"}
    # Three batches to train on, two to evaluate, each epoch; views of a batch differ, in training from epoch to epoch.
    assert [trains for trains, *_ in SEEN] == 2 * [True, True, True, False, False]
    assert all((a != b).any() for _, a, b in SEEN)
    assert [len(a) for _, a, _ in SEEN] == 2 * [8, 8, 8, 8, 1]
    first, second = SEEN[:5], SEEN[5:]
    assert all((a == c).all() and (b == d).all() for (_, a, b), (_, c, d) in zip(first[3:], second[3:], strict=True))
    assert (first[0][1].sum((1, 2)) != second[0][1].sum((1, 2))).any()
    system.save(tmp_path / system.file)
    again = Trial(TrialConfig(), seed=2)
    again.load(tmp_path / system.file)
    images = events[0].images[:5]
    assert (again.scores(images)["distance"] == system.scores(images)["distance"]).all()
    fresh = system.before_training(*events)
    assert (fresh.scores(images)["distance"] != system.scores(images)["distance"]).any()
