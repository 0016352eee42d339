"""Systems that score how rare the latent of an event is in QCD, and an encoder that has learned nothing.

The latents are those of a CoDAE: z_m, the two numbers of f_m, and z_R, the mean of f_R's map over its 5 x 4 cells (64
numbers). Each system has one score per latent, `z_m` (the quoted one, since it goes into firmware) and `z_r`; densities
and their orientation, fixed by definition without signals, are in models/systems/_density.py. The encoder is the system
`codae` of the same seed. MACs and CPU time are those of f_m: a density in two dimensions adds little to them, and
`timed` says so.

`untrained` is the same CoDAE with random weights: its mse and block_power, oriented as those of the trained one, and
the norm and Mahalanobis distance of its latents. Whatever a trained encoder does not do better was not learned.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae.codvae import load_codae
from codae_l1.models.codae.config import MASK_SHAPE
from codae_l1.models.codae.model import CoDAE, save_codae
from codae_l1.models.codae.scores import codae_scores, orientations
from codae_l1.models.evaluation.macs import count_macs
from codae_l1.models.systems._codae import CodaeSystem, FullModelConfig, full_model_config
from codae_l1.models.systems._density import (
    Density,
    Norm,
    fit_isolation,
    fit_mahalanobis,
    fit_mixture,
    load_density,
)
from codae_l1.models.systems.base import LabelledEvents, System

LATENTS = ("z_m", "z_r")
# Events per call; the last is filled up with empty ones, so that a score does not depend on how many there are.
_BATCH = 128
# Name that the encoder's file is kept under among the arrays.
_ENCODER = "encoder"
# Scores of the untrained CoDAE that follow its reconstruction error.
_ORIENTED = ("mse", "block_power")


def encode(model: CoDAE, images: np.ndarray) -> dict[str, np.ndarray]:
    """Images (N, 72, 58, 3) -> z_m (N, 2) and z_r (N, C), the mean of z_R over its cells; float64."""
    masks = track_mask(images)
    masks = np.concatenate([masks, np.zeros((-len(masks) % _BATCH, *MASK_SHAPE), masks.dtype)]).astype(np.float32)
    parts = []
    for start in range(0, len(masks), _BATCH):
        batch = masks[start : start + _BATCH]
        z_m, z_r = model.f_m.predict_on_batch(batch), np.asarray(model.latent(batch))
        parts.append((z_m, z_r.astype(np.float64).mean(axis=(1, 2))))
    z_m, z_r = (np.concatenate(column)[: len(images)] for column in zip(*parts, strict=True))
    return {"z_m": z_m.astype(np.float64), "z_r": z_r}


class LatentSystem(System):
    """Rarity of the latents of a trained CoDAE. A subclass gives `density`; `use_encoder` comes before `fit`."""

    main_score = "z_m"
    random = True
    encoder_of = "codae"
    timed = "f_m only"

    def __init__(self, config: Any = None, seed: int = 0):
        super().__init__(config, seed)
        self.encoder: CoDAE | None = None
        self.densities: dict[str, Density] = {}

    @abstractmethod
    def density(self, z: np.ndarray) -> Density:
        """The density of QCD latents z (N, d)."""

    def use_encoder(self, model: CoDAE) -> None:
        """The CoDAE whose encoders to use."""
        self.encoder = model

    def finish(self, train: LabelledEvents) -> None:
        """Fit a density to each latent of the training events."""
        latents = encode(self._encoder(), train.images)
        self.densities = {name: self.density(latents[name]) for name in LATENTS}

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """z_m, z_r: rarity of each latent, (N,) float64, higher = rarer."""
        latents = encode(self._encoder(), images)
        return {name: density.rarity(latents[name]) for name, density in self.densities.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """The encoder's file as bytes, and the densities' numbers."""
        with TemporaryDirectory() as folder:
            save_codae(self._encoder(), file := Path(folder) / "encoder.keras")
            encoder = np.frombuffer(file.read_bytes(), np.uint8)
        named = {f"{latent}/{k}": v for latent, d in self.densities.items() for k, v in d.arrays().items()}
        return {_ENCODER: encoder, "latents": np.array(list(self.densities)), **named}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the system whose arrays these are."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "encoder.keras"
            file.write_bytes(arrays[_ENCODER].tobytes())
            self.encoder = load_codae(file)
        self.densities = {}
        for latent in arrays["latents"].tolist():
            numbers = {k.split("/")[1]: v for k, v in arrays.items() if k.startswith(f"{latent}/")}
            self.densities[latent] = load_density(numbers)

    @property
    def parameters(self) -> int:
        """Of f_m and of the density of z_m."""
        fitted = self.densities[self.main_score].parameters if self.densities else 0
        return int(self._encoder().f_m.count_params()) + fitted

    @property
    def macs(self) -> int:
        """MACs of f_m; a density in two dimensions adds a few dozen."""
        return count_macs(self._encoder().f_m)

    def predict_function(self, images: np.ndarray) -> tuple[Callable, list[np.ndarray]] | None:
        """f_m, which is what takes the time, and the masks."""
        import tensorflow as tf

        f_m = self._encoder().f_m
        return tf.function(lambda mask: f_m(mask)), [track_mask(images).astype(np.float32)]

    def _encoder(self) -> CoDAE:
        if self.encoder is None:
            raise InputError(f"{self.name} without an encoder", f"a trained {self.encoder_of}", "call use_encoder")
        return self.encoder


class LatentNormSystem(LatentSystem):
    """|z|, the score of a trigger's encoder without a decoder."""

    name = "latent_norm"

    def density(self, z: np.ndarray) -> Density:
        """Nothing to fit."""
        return Norm()


class MahalanobisSystem(LatentSystem):
    """Mahalanobis distance to QCD."""

    name = "mahalanobis"

    def density(self, z: np.ndarray) -> Density:
        """Mean and covariance."""
        return fit_mahalanobis(z)


class MixtureSystem(LatentSystem):
    """-log density of a Gaussian mixture."""

    name = "gaussian_mixture"

    def density(self, z: np.ndarray) -> Density:
        """As many Gaussians as the config says."""
        return fit_mixture(z, self.config.components, self.seed)


class IsolationSystem(LatentSystem):
    """Isolation forest."""

    name = "isolation_forest"

    def density(self, z: np.ndarray) -> Density:
        """Trees as the config says."""
        return fit_isolation(z, self.config.trees, self.seed)


class UntrainedSystem(LatentSystem):
    """A CoDAE of the run's sizes with random weights; config: FullModelConfig."""

    name = "untrained"
    learning = "none"
    main_score = "mse"
    encoder_of = None
    timed = "networks only"

    def __init__(self, config: Any, seed: int = 0):
        super().__init__(config, seed)
        self.use_encoder(CoDAE(replace(config.model, categorical=None), seed))

    @classmethod
    def small(cls) -> FullModelConfig:
        """The model of tests."""
        return CodaeSystem.small()

    @classmethod
    def configured_by(cls, run_config: Any) -> FullModelConfig:
        """The run's `[model]` and `[training]`."""
        return full_model_config(run_config)

    def density(self, z: np.ndarray) -> Density:
        """Mean and covariance."""
        return fit_mahalanobis(z)

    def orient_by(self, qcd_images: np.ndarray) -> None:
        """mse and block_power as those of codae; norms and distances grow with rarity by definition."""
        raw = orientations(codae_scores(self._encoder(), track_mask(qcd_images)))
        self.signs = dict.fromkeys(self.raw_scores(qcd_images[:1]), 1) | {name: raw[name] for name in _ORIENTED}

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """mse, block_power; z_m_norm, z_r_norm, z_m_mahalanobis, z_r_mahalanobis."""
        distances = {f"{name}_mahalanobis": values for name, values in super().raw_scores(images).items()}
        norms = {f"{name}_norm": Norm().rarity(z) for name, z in encode(self._encoder(), images).items()}
        raw = codae_scores(self._encoder(), track_mask(images))
        return {**{name: raw[name] for name in _ORIENTED}, **norms, **distances}

    @property
    def parameters(self) -> int:
        """None was learnt."""
        return 0

    @property
    def macs(self) -> int:
        """MACs of the whole CoDAE."""
        model = self._encoder()
        return sum(count_macs(part) for part in (model.f_m, model.f_r, model.decoder))

    def predict_function(self, images: np.ndarray) -> tuple[Callable, list[np.ndarray]] | None:
        """The whole CoDAE, and the masks."""
        import tensorflow as tf

        model = self._encoder()
        return tf.function(lambda mask: model(mask)), [track_mask(images).astype(np.float32)]
