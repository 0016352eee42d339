"""Principal components of images, the linear auto-encoder, by scikit-learn: of jets, and of pooled counts of events.

    z = (x - m) V^T,  x' = m + z V,  score mse = sum over pixels (x - x')^2

m is the mean image of those fitted, V (k, pixels) the k directions of largest variance. With k = 0, x' = m: what
learning of a mean alone gives. Nothing in it is random, and it learns from background alone.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.data.pooling import PoolingConfig, active_counts_float, track_mask
from codae_l1.models.systems.base import JetSystem, LabelledEvents, System


def pooled_counts(images: np.ndarray) -> np.ndarray:
    """Images (N, 72, 58, 3) GeV -> active pixels of each cell of 4 x 4 towers, (N, 18, 15, 1) float32."""
    return active_counts_float(track_mask(images))


class PrincipalComponents:
    """mean: (pixels,) float64. components: (k, pixels) float64, orthonormal rows. variance: (k,) float64 of each z."""

    def __init__(self, mean: np.ndarray, components: np.ndarray, variance: np.ndarray):
        self.mean, self.components, self.variance = mean, components, variance

    @classmethod
    def fit(cls, images: np.ndarray, k: int) -> "PrincipalComponents":
        """Fit to images (N, ...); the sign of a component makes its largest entry positive."""
        from sklearn.decomposition import PCA

        flat = images.reshape(len(images), -1).astype(np.float64)
        if not 0 <= k <= min(flat.shape):
            raise InputError(
                f"{k} components of {flat.shape[0]} images of {flat.shape[1]} pixels",
                "0 to the smaller of both",
                "take fewer components or more jets",
            )
        found: Any = PCA(k, svd_solver="covariance_eigh").fit(flat)
        strongest = np.abs(found.components_).argmax(axis=1) if k else np.zeros(0, int)
        sign = np.sign(found.components_[np.arange(k), strongest])
        return cls(found.mean_, found.components_ * sign[:, None], found.explained_variance_)

    @property
    def parameters(self) -> int:
        """Numbers that were fitted and that a score needs."""
        return self.mean.size + self.components.size

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Images (N, ...) -> z (N, k) float64."""
        return (images.reshape(len(images), -1) - self.mean) @ self.components.T

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images (N, ...) -> their reconstructions, same shape, float64; pixels may be negative."""
        return (self.mean + self.encode(images) @ self.components).reshape(images.shape)

    def score(self, images: np.ndarray) -> np.ndarray:
        """Squared error summed over pixels: images (N, ...) -> (N,) float64."""
        return np.square(images - self.reconstruct(images)).reshape(len(images), -1).sum(axis=1)


class PcaEventsSystem(System):
    """Principal components of QCD's pooled counts, active pixels in cells of 4 x 4 towers (data/pooling.py)."""

    name = "pca_events"
    main_score = "mse"

    def __init__(self, config: Any, seed: int = 0):
        super().__init__(config, seed)
        self.fitted: PrincipalComponents | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the images that it fits."""
        return PoolingConfig().shape

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """Images -> those that it fits, (N, *shape)."""
        return pooled_counts(images)

    def learn(
        self, train: LabelledEvents, validation: LabelledEvents, folder: Path, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Fit to the training events; nothing is chosen by validation, whose mean score is in the history."""
        self.fitted = PrincipalComponents.fit(self.pixels(train.images), self.config.components)
        losses = [float(np.mean(self.raw_scores(events.images)["mse"])) for events in (train, validation)]
        return {"loss": [losses[0]], "validation_loss": [losses[1]], "best_epoch": 1, "best_validation_loss": losses[1]}

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{"mse": (N,) float64}, an error of reconstruction, so higher = more anomalous."""
        return {"mse": self.pca.score(self.pixels(images))}

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
            raise InputError(f"{self.name} that is not trained", "a trained one", "call fit or load first")
        return self.fitted

    @property
    def parameters(self) -> int:
        """Numbers of mean and components."""
        return (1 + self.config.components) * prod(self.shape)

    @property
    def macs(self) -> int:
        """Of encoding and decoding: 2 k per pixel."""
        return 2 * self.config.components * prod(self.shape)


class PcaSystem(JetSystem, PcaEventsSystem):
    """Principal components of QCD's jet images."""

    name = "pca"

    @property
    def side(self) -> int:
        """Pixels per side of its images."""
        return self.config.side

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a jet image."""
        return (self.side, self.side, 1)

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """The images themselves."""
        return self.checked(images)

    def latent(self, images: np.ndarray) -> np.ndarray:
        """Images -> z (N, k) float64."""
        return self.pca.encode(images)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images -> their reconstructions (N, side, side, 1) float64."""
        return self.pca.reconstruct(images)
