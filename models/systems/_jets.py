"""The networks that read jet images: two auto-encoders, and a Dirichlet VAE (pca.py has the principal components)."""

from typing import Any, ClassVar

import numpy as np

from codae_l1.models.codae.layers import register
from codae_l1.models.systems._dirichlet import DirichletSystem, DirichletVae
from codae_l1.models.systems._jet_autoencoder import FnsAutoencoder, HandsOnAutoencoder, JetAutoencoder
from codae_l1.models.systems.base import JetSystem, KerasSystem
from codae_l1.models.systems.registry import (
    BRIEF,
    JetAEConfig,
    JetAESystemConfig,
    JetDirichletConfig,
    JetDirichletSystemConfig,
)
from codae_l1.models.training.network import in_slices


class JetAESystem(JetSystem, KerasSystem):
    """Jet-image auto-encoder; score: mse, the squared error summed over pixels.

    It is trained on jets as they are, without weight decay. A gradient longer than 1 is cut to this length, as
    for all networks here, because the loss is a sum over pixels; this happens in one or two steps of the first epochs.
    """

    name = "jet_ae"
    main_score = "mse"
    weight_decay = 0.0
    final_rate = 1.0
    augment = False
    network: ClassVar[type[JetAutoencoder]] = HandsOnAutoencoder

    @property
    def side(self) -> int:
        """Pixels per side of its images."""
        return self.network.side

    @classmethod
    def small(cls) -> Any:
        """Few units, two epochs."""
        return JetAESystemConfig(JetAEConfig(2), BRIEF)

    def create_model(self) -> Any:
        """The auto-encoder."""
        return self.network(self.config.model, self.seed)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """The images themselves, (N, side, side, 1)."""
        return self.checked(images)

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{"mse": (N,) float64}."""
        return {"mse": squared_error(images, self.reconstruct(images))}

    def latent(self, images: np.ndarray) -> np.ndarray:
        """Images -> z (N, bottleneck) float32."""
        return in_slices(self.model.encoder, self.network_inputs(images))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images -> their reconstructions (N, side, side, 1) float32."""
        return in_slices(self.model, self.network_inputs(images))


class FnsSystem(JetAESystem):
    """FNS auto-encoder of 40 x 40 images, with a quarter of the published 128 filters; score: mse."""

    name = "fns_ae"
    network = FnsAutoencoder


@register
class JetDirichletVae(DirichletVae):
    """The Dirichlet VAE with the config of jets."""

    config_class = JetDirichletConfig


class JetDirichletSystem(JetSystem, DirichletSystem):
    """Dirichlet VAE of jet images; scores as models/systems/_dirichlet.py, main score: mixture."""

    name = "jet_dirichlet"
    main_score = "mixture"
    weight_decay = 0.0
    final_rate = 1.0
    augment = False

    @property
    def side(self) -> int:
        """Pixels per side of its images."""
        return self.config.model.side

    @classmethod
    def small(cls) -> Any:
        """Few units, two epochs."""
        return JetDirichletSystemConfig(JetDirichletConfig(5, side=16), BRIEF)

    def create_model(self) -> DirichletVae:
        """The VAE of the configured sizes."""
        return JetDirichletVae(self.config.model, self.seed, (self.side, self.side, 1))

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """The images themselves, (N, side, side, 1)."""
        return self.checked(images)

    def latent(self, images: np.ndarray) -> np.ndarray:
        """Images -> shares r of the components (N, R) float32."""
        return in_slices(self.model.mixture, self.network_inputs(images))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images -> their reconstructions (N, side, side, 1) float32."""
        return in_slices(self.model, self.network_inputs(images))


def squared_error(images: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Sum over pixels of (x - x')^2: (N, ...) twice -> (N,) float64."""
    return np.square(images - reconstruction.astype(np.float64)).reshape(len(images), -1).sum(axis=1)
