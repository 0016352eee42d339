"""Which collisions meet in a crossing: strata of the hardest scattering, and the weight of a crossing.

The number of inelastic collisions is Poisson with mean mu. A share f_0 of them is soft: no scattering above the first
cut in pT-hat. Shares f_1 ... f_K have their hardest scattering in slice 1 ... K. The numbers per slice are then
independent and Poisson with means mu f_k (a Poisson number split at random), so that the hardest slice that occurs is

    stratum 0, no hard collision      P_0 = exp(-mu (f_1 + ... + f_K))
    stratum k, slice k is the hardest P_k = (1 - exp(-mu f_k)) exp(-mu (f_{k+1} + ... + f_K))

Given stratum k, slice k has a Poisson number that is not zero, lower slices and the soft ones any, higher ones none. A
sample takes a share q_k of its crossings from stratum k; each counts with weight P_k / q_k. Nothing is missing and
nothing counts twice, the mean weight is 1, and no weight exceeds the largest P_k / q_k. (A product of one weight for
each biased collision, the usual way, has a variance that grows exponentially with mu f.)
"""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import N_PHI
from codae_l1.data.generation._overlay import Members

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Strata:
    """shares: (K + 1,) of inelastic collisions, soft ones first, adding up to 1. pools: for each the indices of its
    collisions. bias: crossings of stratum k are made in proportion to P_k ** (1 - bias); 0 gives each crossing the
    weight 1, 1 makes as many of each."""

    shares: np.ndarray
    pools: tuple[np.ndarray, ...]
    bias: float

    def probabilities(self, mu: np.ndarray) -> np.ndarray:
        """(n, K + 1), the chance of each stratum at a mean number of collisions (n,).

        >>> strata = Strata(np.array([0.98, 0.02]), (np.arange(9), np.arange(9, 12)), 0.0)
        >>> strata.probabilities(np.array([50.0])).round(3).tolist()
        [[0.368, 0.632]]
        """
        means = mu[:, None] * self.shares[1:]
        above = np.cumsum(means[:, ::-1], axis=1)[:, ::-1]
        beyond = np.concatenate([above[:, 1:], np.zeros((len(mu), 1))], axis=1)
        return np.concatenate([np.exp(-above[:, :1]), -np.expm1(-means) * np.exp(-beyond)], axis=1)

    def biased(self, first: int, mu: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Strata (n,) int64 and weights (n,) of crossings number `first` and on of a sample.

        mu: (n,) of each. mean: (K + 1,), chances of the strata over the whole sample, which decide how many are made.
        The strata follow a sequence that is as even as possible over any stretch of numbers.
        """
        made = np.where(mean > 0, mean, 0) ** (1 - self.bias) * (mean > 0)
        made /= made.sum()
        place = ((first + np.arange(len(mu)) + 0.5) * _GOLDEN) % 1
        stratum = np.minimum(np.searchsorted(np.cumsum(made), place, side="right"), len(made) - 1)
        return stratum, self.probabilities(mu)[np.arange(len(mu)), stratum] / made[stratum]

    def numbers(self, mu: np.ndarray, rng: np.random.Generator, stratum: np.ndarray | None = None) -> np.ndarray:
        """(n, K + 1) int64, how many collisions of each share; stratum (n,): given which slice is the hardest."""
        means = mu[:, None] * self.shares
        if stratum is None:
            return rng.poisson(means)
        slices = np.arange(len(self.shares))
        numbers = rng.poisson(np.where(slices <= stratum[:, None], means, 0))
        hard = np.flatnonzero(stratum > 0)
        mean = means[hard, stratum[hard]]
        # Of a Poisson process on (0, mean) that is not empty, the first point and, beyond it, any number.
        first = -np.log1p(rng.random(len(hard)) * np.expm1(-mean))
        numbers[hard, stratum[hard]] = 1 + rng.poisson(np.maximum(mean - first, 0))
        return numbers

    def members(self, numbers: np.ndarray, rng: np.random.Generator, extra: np.ndarray | None = None) -> Members:
        """Collisions drawn from the pools, each turned at random.

        numbers: (n, K + 1). extra: (n,) indices of one more collision of each crossing, its first member.
        """
        n = len(numbers)
        crossing = np.repeat(np.arange(n), numbers.sum(axis=1))
        source = np.repeat(np.tile(np.arange(numbers.shape[1]), n), numbers.ravel())
        sizes = np.array([len(pool) for pool in self.pools])
        empty = np.flatnonzero((sizes == 0) & (numbers.sum(axis=0) > 0))
        if len(empty):
            raise InputError(f"no collisions in slice {empty[0]} of the pool", "at least one", "make a larger pool")
        drawn = (rng.random(len(source)) * sizes[source]).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        collision = np.concatenate(self.pools)[offsets[source] + drawn]
        if extra is not None:
            at = np.concatenate([[0], np.cumsum(numbers.sum(axis=1))[:-1]])
            crossing, collision = np.insert(crossing, at, np.arange(n)), np.insert(collision, at, extra)
        return Members(crossing, collision, rng.integers(0, N_PHI, len(crossing)), n)
