"""Principal components of jet images: the linear auto-encoder, by scikit-learn.

    z = (x - m) V^T,  x' = m + z V,  score = sum over pixels (x - x')^2

m is the mean image of those fitted, V (k, pixels) the k directions of largest variance. With k = 0, x' = m.
"""

from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file


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

    def save(self, path: Path | str) -> None:
        """Write an .npz, whole or not at all."""
        with whole_file(path) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, mean=self.mean, components=self.components, variance=self.variance)

    @classmethod
    def load(cls, path: Path | str) -> "PrincipalComponents":
        """Read what save wrote; scores are equal to the bit."""
        if not Path(path).is_file():
            raise InputError(f"{path} does not exist", "components written by save", "fit them first")
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(*(stored[name] for name in ("mean", "components", "variance")))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(
                f"{path} cannot be read ({error})", "a whole .npz of components", "fit them anew"
            ) from error
