"""The full models, CoDAE and categorical CoDVAE, as systems of the comparison."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from codae_l1.models.codae.codvae import create_model
from codae_l1.models.codae.config import COMPACT, CategoricalConfig, CoDAEConfig
from codae_l1.models.codae.scores import codae_scores, track_mask
from codae_l1.models.systems.base import KerasSystem
from codae_l1.models.training.config import COMPACT_TRAINING, TrainingConfig


@dataclass(frozen=True)
class FullModelConfig:
    """A run's sections `[model]` and `[training]`; there is no `[systems.codae]`, so both are the run's own model."""

    model: CoDAEConfig = COMPACT
    training: TrainingConfig = field(default_factory=lambda: COMPACT_TRAINING)


class CodaeSystem(KerasSystem):
    """The CoDAE; its `[model.categorical]`, if it has one, does not count. Scores: models/codae/scores.py."""

    name = "codae"
    main_score = "mse"

    def create_model(self) -> Any:
        """CoDAE of the run's sizes."""
        return create_model(replace(self.config.model, categorical=None), self.seed)

    def training_config(self) -> TrainingConfig:
        """The run's `[training]`."""
        return self.config.training

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """(N, 72, 58, 3) -> mask (N, 72, 58, 1) uint8."""
        return track_mask(images)

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The scores of models/codae/scores.py."""
        return codae_scores(self.model, track_mask(images))


class CodvaeSystem(CodaeSystem):
    """The categorical CoDVAE of the same sizes; scores as the CoDAE, and kl, elbo, entropy, temperature."""

    name = "codvae"

    def create_model(self) -> Any:
        """CoDVAE of the run's sizes; its own table where the run's model has none."""
        categorical = self.config.model.categorical or CategoricalConfig()
        return create_model(replace(self.config.model, categorical=categorical), self.seed)
