"""How rare a point is in QCD: densities and distances of latent vectors, fitted on QCD alone.

    norm               |z|
    Mahalanobis        sqrt((z - m)^T C^-1 (z - m)), m and C the mean and covariance of QCD
    Gaussian mixture   -log sum over k of w_k N(z; m_k, C_k)
    isolation forest   2^(-<path length> / c(events per tree)), c(n) = 2 (ln(n - 1) + 0.5772) - 2 (n - 1) / n

scikit-learn fits mixture and forest; of the mixture, means and covariances are kept. Orientation: each is low where QCD
is dense (the norm: at zero) by its definition, so all grow with rarity: fixed without signal and label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.systems import _estimators
from codae_l1.models.training.network import SLICE

# Added to the diagonal of a covariance, as a share of its mean diagonal: a latent number that never moves cannot make
# it singular.
RIDGE = 1e-6
# From which each tree of an isolation forest grows (Liu, Ting and Zhou, ICDM 2008), or from all where there are fewer.
TREE_EVENTS = 256


class Density(Protocol):
    """What is fitted on QCD's z (N, d) and gives each z a rarity."""

    def rarity(self, z: np.ndarray) -> np.ndarray:
        """(N, d) -> (N,) float64, higher = rarer among QCD."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """All its numbers by name."""
        ...

    @property
    def parameters(self) -> int:
        """Numbers that were learnt."""
        ...


@dataclass(frozen=True)
class Norm:
    """The length of z."""

    def rarity(self, z: np.ndarray) -> np.ndarray:
        """(N, d) -> (N,) float64."""
        return np.sqrt(np.square(z).sum(axis=1))

    def arrays(self) -> dict[str, np.ndarray]:
        """None."""
        return {}

    @property
    def parameters(self) -> int:
        """Nothing was learnt."""
        return 0


@dataclass(frozen=True)
class Gaussians:
    """A mixture of Gaussians; one alone gives its Mahalanobis distance, several -log density.

    weights (K,), means (K, d), covariances (K, d, d) float64.

    >>> round_one = Gaussians(np.ones(1), np.zeros((1, 2)), np.diag([4.0, 1.0])[None])
    >>> round_one.rarity(np.array([[2.0, 0.0], [0.0, 3.0]])).round(5).tolist()
    [1.0, 3.0]
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def distances(self, z: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance to each Gaussian: (N, d) -> (N, K)."""
        white = [np.linalg.solve(c, (z - m).T) for c, m in zip(self._roots(), self.means, strict=True)]
        return np.stack([np.square(w).sum(axis=0) for w in white], axis=1)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """log sum_k w_k N(z; m_k, C_k): (N, d) -> (N,)."""
        log_volume = np.log(np.diagonal(self._roots(), axis1=1, axis2=2)).sum(axis=1)
        normal = np.log(self.weights) - log_volume - z.shape[1] / 2 * np.log(2 * np.pi)
        return np.logaddexp.reduce(normal - self.distances(z) / 2, axis=1)

    def rarity(self, z: np.ndarray) -> np.ndarray:
        """(N, d) -> (N,) float64: Mahalanobis distance of one, -log density of several."""
        return np.sqrt(self.distances(z)[:, 0]) if len(self.weights) == 1 else -self.log_density(z)

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers by name."""
        return dict(vars(self))

    @property
    def parameters(self) -> int:
        """Weights, means and covariances."""
        return self.weights.size + self.means.size + self.covariances.size

    def _roots(self) -> np.ndarray:
        """Lower Cholesky factors of the covariances, the ridge added: (K, d, d)."""
        d = self.means.shape[1]
        ridge = RIDGE * np.trace(self.covariances, axis1=1, axis2=2) / d
        try:
            return np.linalg.cholesky(self.covariances + ridge[:, None, None] * np.eye(d))
        except np.linalg.LinAlgError:
            raise InputError(
                "a latent that does not vary over QCD",
                "a covariance above zero",
                "train the encoder, or choose another",
            ) from None


@dataclass(frozen=True)
class Isolation:
    """An isolation forest of scikit-learn."""

    forest: Any

    def rarity(self, z: np.ndarray) -> np.ndarray:
        """(N, d) -> (N,) float64 in (0, 1)."""
        return -self.forest.score_samples(z)

    def arrays(self) -> dict[str, np.ndarray]:
        """The forest as bytes."""
        return {"forest": _estimators.to_array(self.forest)}

    @property
    def parameters(self) -> int:
        """Feature and threshold of each split, value of each leaf."""
        trees = [estimator.tree_ for estimator in self.forest.estimators_]
        return int(sum(2 * (tree.node_count - tree.n_leaves) + tree.n_leaves for tree in trees))


def fit_mahalanobis(z: np.ndarray) -> Gaussians:
    """One Gaussian with the mean and covariance (maximum likelihood) of z (N, d)."""
    _check(z)
    covariance = np.cov(z, rowvar=False, bias=True).reshape(1, z.shape[1], z.shape[1])
    return Gaussians(np.ones(1), z.mean(axis=0, keepdims=True), covariance)


def fit_mixture(z: np.ndarray, components: int, seed: int) -> Gaussians:
    """A mixture of full covariances by expectation maximisation from a seeded k-means start."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    _check(z)
    scale = float(np.mean(np.var(z, axis=0)))
    with threadpool_limits(1):
        model = GaussianMixture(components, random_state=seed, reg_covar=RIDGE * scale, max_iter=300, tol=1e-4).fit(z)
    return Gaussians(model.weights_, model.means_, model.covariances_)


def fit_isolation(z: np.ndarray, trees: int, seed: int) -> Isolation:
    """An isolation forest of z (N, d)."""
    from sklearn.ensemble import IsolationForest

    _check(z)
    forest = IsolationForest(n_estimators=trees, max_samples=min(TREE_EVENTS, len(z)), random_state=seed)
    return Isolation(forest.fit(z))


def rarities(density: Density, z: np.ndarray) -> np.ndarray:
    """z (N, d) -> rarity (N,), in whole slices: that of an event does not depend on how many there are."""
    padded = np.pad(z, ((0, -len(z) % SLICE), (0, 0)), mode="edge") if len(z) else z
    parts = [density.rarity(padded[i : i + SLICE]) for i in range(0, len(padded), SLICE)]
    return np.concatenate([np.zeros(0), *parts])[: len(z)]


def load_density(arrays: Mapping[str, np.ndarray]) -> Density:
    """The density whose `arrays` these are."""
    if not arrays:
        return Norm()
    if "means" in arrays:
        return Gaussians(**arrays)
    return Isolation(_estimators.from_array(arrays["forest"]))


def _check(z: np.ndarray) -> None:
    if z.ndim != 2 or len(z) < 2 or not np.isfinite(z).all():
        raise InputError(f"latents of shape {z.shape}", "(N >= 2, d) finite numbers", "correct the encoder's output")
