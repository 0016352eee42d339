"""The systems that read jet images: two auto-encoders, principal components, and a Dirichlet VAE.

In addition to what models/systems/base.py requires, each has `side` (pixels per side of its images), `latent` (N, k)
and `reconstruct`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.models.codae.layers import register
from codae_l1.models.systems._jet_autoencoder import FnsAutoencoder, HandsOnAutoencoder, JetAutoencoder
from codae_l1.models.systems.base import Batch, KerasSystem, System, qcd_only
from codae_l1.models.systems.dirichlet import DirichletSystem, DirichletVae
from codae_l1.models.systems.pca import PrincipalComponents
from codae_l1.models.systems.registry import JetDirichletConfig, PcaConfig
from codae_l1.models.training.network import in_slices


class JetAESystem(KerasSystem):
    """Jet-image auto-encoder; score: mse, the squared error summed over pixels.

    It is trained on jets as they are, without weight decay. A gradient longer than clipnorm is cut to this length, as
    for all networks here, because the loss is a sum over pixels; this happens in one or two steps of the first epochs.
    """

    name = "jet_ae"
    inputs = "jets"
    main_score = "mse"
    weight_decay = 0.0
    augment = False
    network: ClassVar[type[JetAutoencoder]] = HandsOnAutoencoder

    @property
    def side(self) -> int:
        """Pixels per side of its images."""
        return self.network.side

    def create_model(self) -> Any:
        """The auto-encoder."""
        return self.network(self.config.model, self.seed)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """The images themselves, (N, side, side, 1)."""
        return check_side(images, self.name, self.side)

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


class JetDirichletSystem(DirichletSystem):
    """Dirichlet VAE of jet images; scores as models/systems/dirichlet.py, main score: mixture."""

    name = "jet_dirichlet"
    inputs = "jets"
    main_score = "mixture"
    weight_decay = 0.0
    augment = False

    @property
    def side(self) -> int:
        """Pixels per side of its images."""
        return self.config.model.side

    def create_model(self) -> DirichletVae:
        """The VAE of the configured sizes."""
        return JetDirichletVae(self.config.model, self.seed, (self.side, self.side, 1))

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """The images themselves, (N, side, side, 1)."""
        return check_side(images, self.name, self.side)

    def latent(self, images: np.ndarray) -> np.ndarray:
        """Images -> shares r of the components (N, R) float32."""
        return in_slices(self.model.mixture, self.network_inputs(images))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images -> their reconstructions (N, side, side, 1) float32."""
        return in_slices(self.model, self.network_inputs(images))


class PcaSystem(System):
    """Principal components fitted to QCD; score: mse. Of no components it is the squared distance from the mean image,
    what learning of a mean alone gives."""

    name = "pca"
    inputs = "jets"
    supervised = False
    random = False
    main_score = "mse"
    file = "components.npz"

    def __init__(self, config: PcaConfig, seed: int = 0):
        self.config, self.seed = config, seed
        self.fitted: PrincipalComponents | None = None

    @property
    def side(self) -> int:
        """Pixels per side of its images."""
        return self.config.side

    @property
    def pca(self) -> PrincipalComponents:
        """The fitted components."""
        if self.fitted is None:
            raise InputError("pca that is not trained", "a trained one", "call fit or load first")
        return self.fitted

    def fit(self, train: Batch, validation: Batch, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Fit to the training events; nothing is chosen by validation, whose mean score is in the history."""
        qcd_only(self.name, train, validation)
        self.fitted = PrincipalComponents.fit(check_side(train.images, self.name, self.side), self.config.components)
        losses = [float(np.mean(self.pca.score(batch.images))) for batch in (train, validation)]
        return {"loss": [losses[0]], "validation_loss": [losses[1]], "best_epoch": 1, "best_validation_loss": losses[1]}

    def scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{"mse": (N,) float64}, an error of reconstruction, so higher = more anomalous."""
        return {"mse": self.pca.score(check_side(images, self.name, self.side))}

    def latent(self, images: np.ndarray) -> np.ndarray:
        """Images -> z (N, k) float64."""
        return self.pca.encode(images)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images -> their reconstructions (N, side, side, 1) float64."""
        return self.pca.reconstruct(images)

    def save(self, path: Path) -> None:
        """Write the components."""
        self.pca.save(path)

    def load(self, path: Path) -> None:
        """Take up what save wrote."""
        self.fitted = PrincipalComponents.load(path)

    @property
    def parameters(self) -> int:
        """Numbers of mean and components."""
        return self.pca.parameters

    @property
    def macs(self) -> int:
        """MACs of encoding and decoding: 2 k per pixel."""
        return 2 * self.pca.components.size

    def predict_function(self, images: np.ndarray) -> tuple[Callable, list[np.ndarray]] | None:
        """None: there is no network."""
        return None


def squared_error(images: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Sum over pixels of (x - x')^2: (N, ...) twice -> (N,) float64."""
    return np.square(images - reconstruction.astype(np.float64)).reshape(len(images), -1).sum(axis=1)


def check_side(images: np.ndarray, name: str, side: int) -> np.ndarray:
    """The images, if they are what the system reads; else InputError."""
    if images.ndim != 4 or images.shape[1:] != (side, side, 1):
        raise InputError(
            f"images of shape {images.shape} for {name}", f"jet images (N, {side}, {side}, 1)", "read a jets file"
        )
    return images
