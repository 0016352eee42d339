"""Boosted decision trees on 30 summaries of an image: the supervised upper bound.

scikit-learn grows the trees (HistGradientBoostingClassifier, QCD against all signals together); the model is then the
arrays of a `Forest`, which NumPy walks and `.npz` holds: no pickle, and nothing of scikit-learn is needed to score.

    score = baseline + sum over trees of the value of the leaf that the event falls into      (log odds, signal = 1)
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from codae_l1.models.systems.registry import BoostedTreesConfig


@dataclass(frozen=True)
class Forest:
    """Binary trees, all nodes in one row: go left where x[feature] <= threshold. A leaf's children are itself.

    feature, left, right: (nodes,) int64. threshold, value: (nodes,) float64. root: (trees,) int64, first node of each.

    >>> tree = (np.array([-1.0, 0, 0]), np.array([0, 0, 0]), np.array([1, -1, -1]), np.array([2, -1, -1]))
    >>> forest = join_trees([(*tree, np.array([0.0, 3.0, 4.0]))])
    >>> forest.leaf_values(np.array([[-2.0], [0.5]])).tolist()
    [[3.0], [4.0]]
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    root: np.ndarray

    def leaf_values(self, x: np.ndarray) -> np.ndarray:
        """x (N, features) -> (N, trees) float64, the value of the leaf that each event falls into."""
        node = np.broadcast_to(self.root, (len(x), len(self.root)))
        event = np.arange(len(x))[:, None]
        while True:
            goes_left = x[event, self.feature[node]] <= self.threshold[node]
            following = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(following, node):
                return self.value[node]
            node = following

    def first(self, trees: int) -> "Forest":
        """The first trees of it."""
        end = self.root[trees] if trees < len(self.root) else len(self.feature)
        return Forest(**{name: a[: trees if name == "root" else end] for name, a in self.arrays().items()})

    def arrays(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Its arrays by name, for an .npz file."""
        return {prefix + f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], prefix: str = "") -> "Forest":
        """The forest whose arrays these are."""
        return cls(*(arrays[prefix + f.name] for f in fields(cls)))

    @property
    def parameters(self) -> int:
        """Numbers that were learnt: feature and threshold of each split, value of each leaf."""
        leaves = int(np.sum(self.left == np.arange(len(self.left))))
        return 2 * (len(self.left) - leaves) + leaves


def join_trees(trees: list[tuple[np.ndarray, ...]]) -> Forest:
    """One forest of (threshold, feature, left, right, value) of each tree; children count within a tree, leaves: -1."""
    columns, roots, start = [], [], 0
    for threshold, feature, left, right, value in trees:
        own = np.arange(len(feature))
        leaf = np.asarray(left, np.int64) < 0
        children = [start + np.where(leaf, own, side) for side in (left, right)]
        columns.append((np.where(leaf, 0, feature), np.where(leaf, 0.0, threshold), *children, value))
        roots.append(start)
        start += len(own)
    kinds = (np.int64, np.float64, np.int64, np.int64, np.float64)
    joined = [np.concatenate(c).astype(k) for c, k in zip(zip(*columns, strict=True), kinds, strict=True)]
    return Forest(*joined, root=np.array(roots, np.int64))


def grow(x: np.ndarray, is_signal: np.ndarray, config: BoostedTreesConfig) -> tuple[Forest, float]:
    """All trees and the baseline from x (N, features) and labels (N,) bool. Nothing in it is random."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    options: dict[str, Any] = {"max_iter": config.trees, "max_leaf_nodes": config.leaves, "early_stopping": False}
    options |= {"learning_rate": config.learning_rate, "min_samples_leaf": config.leaf_events, "random_state": 0}
    # One thread: the same numbers on every machine, and faster for so few events.
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(**options).fit(x, is_signal)
    trees = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        sides = [np.where(nodes["is_leaf"], -1, nodes[side].astype(np.int64)) for side in ("left", "right")]
        trees.append((nodes["num_threshold"], nodes["feature_idx"], *sides, nodes["value"]))
    return join_trees(trees), float(model._baseline_prediction[0, 0])


def log_losses(margins: np.ndarray, is_signal: np.ndarray) -> np.ndarray:
    """Mean log loss after each number of trees: margins (N, trees) log odds, labels (N,) bool -> (trees,)."""
    return np.logaddexp(0, np.where(is_signal[:, None], -margins, margins)).mean(axis=0)
