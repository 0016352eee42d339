"""Do two samples of events agree? A classifier two-sample test (arXiv:1610.06545) on summaries of images.

Gradient-boosted trees learn to separate sample A from sample B by 37 numbers per event: n_tracks, and for each channel
its occupancy, energies, shape in eta, balance in phi and clustering. The AUC on events that were not used for training
says how well: 0.5 means that the samples are indistinguishable. How far the AUC can rise above 0.5 also depends on the
number of events, so this number is always given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import CHANNELS, N_ETA, N_PHI, PHI_STEP, eta_edges, phi_edges
from codae_l1.models.evaluation.roc import auc, auc_with_error

_PER_CHANNEL = (
    "active",  # pixels above zero
    "active_central",  # of them at |eta| < 1
    "active_forward",  # of them at |eta| > 2
    "neighbours",  # active pairs of pixels side by side, an active pixel
    "sum",  # GeV
    "hardest",  # GeV, largest pixel
    "hardest_ten",  # share of the ten largest pixels in the sum
    "median",  # GeV, of active pixels
    "upper_decile",  # GeV, of active pixels
    "imbalance",  # GeV, length of the vector sum in the transverse plane
    "mean_abs_eta",  # weighted by energy
    "rms_eta",  # likewise
)
SUMMARIES = ("n_tracks", *(f"{channel}_{name}" for channel in CHANNELS for name in _PER_CHANNEL))
# Edges of "central" and "forward".
_CENTRAL, _FORWARD = 1.0, 2.0


@dataclass(frozen=True)
class TwoSampleConfig:
    """folds: of the cross-validation. trees, leaves, learning_rate, leaf_events: of the boosting. maximum_events: of
    each sample, the first ones. minimum_events: below, the test says nothing."""

    folds: int = 5
    trees: int = 100
    leaves: int = 8
    learning_rate: float = 0.1
    leaf_events: int = 10
    maximum_events: int = 4000
    minimum_events: int = 50


@dataclass(frozen=True)
class _TwoSampleResult:
    """auc, error: mean over the folds, and its bootstrap error. events: of A and B. telling: the summaries that tell
    most by themselves, with their AUC (above 0.5: larger in B)."""

    auc: float
    error: float
    events: tuple[int, int]
    telling: dict[str, float]


def image_summaries(images: np.ndarray, n_tracks: np.ndarray) -> np.ndarray:
    """Images (N, 72, 58, 3) GeV and n_tracks (N,) -> summaries (N, 37) float64, in the order of SUMMARIES."""
    columns = [np.asarray(n_tracks, np.float64)[:, None]]
    columns += [_channel_summaries(images[..., c]) for c in range(len(CHANNELS))]
    return np.concatenate(columns, axis=1)


def two_sample_test(
    a: np.ndarray,
    b: np.ndarray,
    seed: int = 0,
    config: TwoSampleConfig = TwoSampleConfig(),
    identities: Sequence[Any] = (),
) -> _TwoSampleResult | None:
    """Cross-validated AUC of telling B (M, features) from A (N, features); None where either has too few events.

    identities (N + M,): of A's events, then of B's; those with equal ones are in the same fold. Trees that have learned
    one of a pair would know its twin: too well where both are of one sample, and take it for the other's where not.
    """
    known = list(identities) or [*range(len(a) + len(b))]
    known = [*known[: len(a)][: config.maximum_events], *known[len(a) :][: config.maximum_events]]
    a, b = a[: config.maximum_events], b[: config.maximum_events]
    if min(len({*known[: len(a)]}), len({*known[len(a) :]})) < config.minimum_events:
        return None
    if a.shape[1:] != b.shape[1:] or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError(
            f"summaries of shape {a.shape} and {b.shape}", "finite numbers, as many per event", "correct the summaries"
        )
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from threadpoolctl import threadpool_limits

    features, is_b = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
    group = np.unique(np.array([*map(str, known)]), return_inverse=True)[1]
    how = {"n_splits": config.folds, "shuffle": True, "random_state": seed}
    if len({*known}) == len(known):
        folds = StratifiedKFold(**how).split(features, is_b)
    else:
        folds = StratifiedGroupKFold(**how).split(features, is_b, group)
    found = []
    # One thread: the same numbers on every machine, and faster for so few events.
    with threadpool_limits(1):
        for learned, held in folds:
            trees = HistGradientBoostingClassifier(
                max_iter=config.trees,
                max_leaf_nodes=config.leaves,
                learning_rate=config.learning_rate,
                min_samples_leaf=config.leaf_events,
                early_stopping=False,
                random_state=seed,
            )
            scores = trees.fit(features[learned], is_b[learned]).decision_function(features[held])
            found.append(auc_with_error(scores[is_b[held] == 0], scores[is_b[held] == 1], seed=seed))
    values, errors = np.array(found).T
    error = float(np.sqrt(np.sum(errors**2)) / config.folds)
    return _TwoSampleResult(float(values.mean()), error, (len(a), len(b)), _telling(a, b))


def _telling(a: np.ndarray, b: np.ndarray, most: int = 5) -> dict[str, float]:
    single = np.array([auc(a[:, i], b[:, i]) for i in range(a.shape[1])])
    order = np.argsort(-np.abs(single - 0.5), kind="stable")[:most]
    names = SUMMARIES if len(single) == len(SUMMARIES) else tuple(map(str, range(len(single))))
    return {names[i]: float(single[i]) for i in order}


def _channel_summaries(image: np.ndarray) -> np.ndarray:
    """One channel (N, 72, 58) -> (N, 12) float64, in the order of _PER_CHANNEL; 0 where no pixel is active."""
    n = len(image)
    eta = (eta_edges()[1:] + eta_edges()[:-1]) / 2
    phi = phi_edges()[:-1] + PHI_STEP / 2
    active = image > 0
    by_eta = active.sum(axis=1)
    count = by_eta.sum(axis=1)
    pairs = (active & np.roll(active, 1, axis=1)).sum(axis=(1, 2)) + (active[..., 1:] & active[..., :-1]).sum((1, 2))
    columns, rows = image.sum(axis=1, dtype=np.float64), image.sum(axis=2, dtype=np.float64)
    total = columns.sum(axis=1)
    falling = -np.sort(-image.reshape(n, N_PHI * N_ETA), axis=1)
    every = np.arange(n)
    some, positive = np.maximum(count, 1), np.where(total > 0, total, 1)
    return np.column_stack(
        [
            count,
            by_eta[:, np.abs(eta) < _CENTRAL].sum(axis=1),
            by_eta[:, np.abs(eta) > _FORWARD].sum(axis=1),
            pairs / some,
            total,
            falling[:, 0],
            falling[:, :10].sum(axis=1, dtype=np.float64) / positive,
            falling[every, count // 2],
            falling[every, count // 10],
            np.hypot(rows @ np.cos(phi), rows @ np.sin(phi)),
            columns @ np.abs(eta) / positive,
            np.sqrt(columns @ eta**2 / positive),
        ]
    )
