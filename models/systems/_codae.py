"""The full models, CoDAE and categorical CoDVAE, as systems of the comparison."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from codae_l1.data.pooling import track_mask
from codae_l1.models.codae.codvae import create_model
from codae_l1.models.codae.config import COMPACT, TINY, CategoricalConfig, CoDAEConfig
from codae_l1.models.codae.scores import codae_scores
from codae_l1.models.systems.base import KerasSystem, LabelledEvents
from codae_l1.models.training.config import COMPACT_TRAINING, TrainingConfig


@dataclass(frozen=True)
class FullModelConfig:
    """A run's sections `[model]` and `[training]`; there is no `[systems.codae]`, so both are the run's own model."""

    model: CoDAEConfig = COMPACT
    training: TrainingConfig = field(default_factory=lambda: COMPACT_TRAINING)


def full_model_config(run_config: Any) -> FullModelConfig:
    """The full model's config in that of a run."""
    return FullModelConfig(run_config.model, run_config.training)


class CodaeSystem(KerasSystem):
    """The CoDAE; its `[model.categorical]`, if it has one, does not count. Scores: models/codae/scores.py."""

    name = "codae"
    main_score = "mse"

    def create_model(self) -> Any:
        """CoDAE of the run's sizes."""
        return create_model(replace(self.config.model, categorical=None), self.seed)

    @classmethod
    def configured_by(cls, run_config: Any) -> FullModelConfig:
        """The run's `[model]` and `[training]`."""
        return full_model_config(run_config)

    @classmethod
    def is_stage_train(cls, run_config: Any) -> bool:
        """Where the run's model has no `[model.categorical]`."""
        return not run_config.model.categorical

    @classmethod
    def small(cls) -> FullModelConfig:
        """The model of tests, two epochs."""
        return FullModelConfig(TINY, replace(COMPACT_TRAINING, epochs=2, batch_size=8))

    def adopt(self, model: Any, validation: LabelledEvents) -> None:
        """Take a model that the stage `train` has trained, and orient the scores."""
        self.model = model
        self.orient_by(validation.background)

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

    @classmethod
    def is_stage_train(cls, run_config: Any) -> bool:
        """Where the run's model has a `[model.categorical]`."""
        return bool(run_config.model.categorical)

    def create_model(self) -> Any:
        """CoDVAE of the run's sizes; its own table where the run's model has none."""
        categorical = self.config.model.categorical or CategoricalConfig()
        return create_model(replace(self.config.model, categorical=categorical), self.seed)
