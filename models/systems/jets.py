"""The systems that read jet images: two auto-encoders, principal components, and a Dirichlet VAE.

Beside what models/systems/base.py asks, each gives `side` (pixels a side of its images), `latent` (N, k) and `reconstruct`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.systems._jet_autoencoder import HANDS_ON, SIDES, Architecture, JetAEConfig, JetAutoencoder
from codae_l1.models.systems.base import Batch, KerasSystem, System, qcd_only
from codae_l1.models.systems.dirichlet import DirichletConfig, DirichletSystem
from codae_l1.models.systems.pca import PrincipalComponents
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.loop import Progress
from codae_l1.models.training.network import in_slices


@dataclass(frozen=True)
class JetTrainingConfig(TrainingConfig):
    """Of the hands-on: 10 epochs of Adam at a constant rate, batch 32; no decay of weights, jets as they are.

    Unlike there, a gradient longer than clipnorm is cut to it, as for all networks here: the loss is summed over pixels
    where the hands-on's is their mean. Few are: of one or two steps in the first epochs.
    """

    epochs: int = 10
    batch_size: int = 32
    weight_decay: float = 0.0
    augment: bool = False


@dataclass(frozen=True)
class JetAESystemConfig:
    """The hands-on's auto-encoder."""

    model: JetAEConfig = HANDS_ON
    training: JetTrainingConfig = field(default_factory=JetTrainingConfig)

    def __post_init__(self):
        _require_architecture("jet_ae", self.model, "hands_on", "fns_ae")


@dataclass(frozen=True)
class FnsConfig(JetAEConfig):
    """FNS with a quarter of the published 128 filters, a fifteenth of their MACs."""

    architecture: Architecture = "fns"
    filters: int = 32
    bottleneck: int = 6


@dataclass(frozen=True)
class FnsSystemConfig:
    """FNS, trained as jet_ae."""

    model: FnsConfig = field(default_factory=FnsConfig)
    training: JetTrainingConfig = field(default_factory=JetTrainingConfig)

    def __post_init__(self):
        _require_architecture("fns_ae", self.model, "fns", "jet_ae")


@dataclass(frozen=True)
class JetDirichletModelConfig(DirichletConfig):
    """Sizes of arXiv:2104.08291: 40 x 40 pixels, 100 units."""

    shape: tuple[int, ...] = (40, 40)
    hidden: int = 100


@dataclass(frozen=True)
class JetDirichletTrainingConfig(JetTrainingConfig):
    """As arXiv:2104.08291, with 30 of its 200 epochs."""

    epochs: int = 30
    batch_size: int = 100
    learning_rate: float = 5e-3


@dataclass(frozen=True)
class JetDirichletConfig:
    """Dirichlet VAE of jet images; shape = [16, 16] takes the coarse ones."""

    model: JetDirichletModelConfig = field(default_factory=JetDirichletModelConfig)
    training: JetDirichletTrainingConfig = field(default_factory=JetDirichletTrainingConfig)

    def __post_init__(self):
        if self.model.shape not in ((16, 16), (40, 40)):
            raise InputError(
                f"jet_dirichlet.model.shape = {list(self.model.shape)}", "[16, 16] or [40, 40]", "choose one of them"
            )


@dataclass(frozen=True)
class PcaConfig:
    """components: k. side: pixels a side of its images, 16 or 40."""

    components: int = 2
    side: int = 16

    def __post_init__(self):
        if self.components < 0 or self.side not in SIDES.values():
            raise InputError(
                f"pca of {self.components} components, side {self.side}", "0 or more, 16 or 40", "correct them"
            )


class JetAESystem(KerasSystem):
    """Jet-image auto-encoder; score: mse, the squared error summed over pixels."""

    name = "jet_ae"
    inputs = "jets"
    main_score = "mse"

    @property
    def side(self) -> int:
        """Pixels a side of its images."""
        return self.config.model.side

    def create_model(self) -> Any:
        """The auto-encoder."""
        return JetAutoencoder(self.config.model, self.seed)

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
    """FNS auto-encoder of 40 x 40 images; score: mse."""

    name = "fns_ae"


class JetDirichletSystem(DirichletSystem):
    """Dirichlet VAE of jet images; scores as models/systems/dirichlet.py, main score: mixture."""

    name = "jet_dirichlet"
    inputs = "jets"
    main_score = "mixture"

    @property
    def side(self) -> int:
        """Pixels a side of its images."""
        return self.config.model.shape[0]

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
        """Pixels a side of its images."""
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
        """Of encoding and decoding: 2 k a pixel."""
        return 2 * self.pca.components.size

    def predict_function(self, images: np.ndarray) -> tuple[Callable, list[np.ndarray]] | None:
        """None: there is no network."""
        return None


def _require_architecture(system: str, config: JetAEConfig, expected: Architecture, other: str) -> None:
    """InputError where a system's table asks for the network of the other system."""
    if config.architecture != expected:
        raise InputError(
            f"{system}.model.architecture = {config.architecture!r}",
            f"{expected!r}",
            f"remove the key, or take the system {other}",
        )


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
