"""Boosted decision trees on 30 summaries of an image: the supervised upper bound.

scikit-learn grows the trees (HistGradientBoostingClassifier, background against all signals together) and evaluates
them.

    score = baseline + sum over trees of the value of the leaf that the event falls into      (log odds, signal = 1)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.models.systems import _estimators
from codae_l1.models.systems._observables import tree_inputs
from codae_l1.models.systems.base import LabelledEvents, System
from codae_l1.models.systems.registry import BoostedTreesConfig


class BoostedTreesSystem(System):
    """Boosted trees on the inputs observables.TREE_INPUTS, background against all signals together; score: log_odds.

    The number of trees is the one of the lowest log loss on the validation events. Nothing in it is random.
    """

    name = "bdt"
    learning = "signals"
    main_score = "log_odds"

    @classmethod
    def small(cls) -> Any:
        """Five trees."""
        return BoostedTreesConfig(trees=5)

    def __init__(self, config: BoostedTreesConfig, seed: int = 0):
        super().__init__(config, seed)
        self.model: Any = None

    def learn(
        self, train: LabelledEvents, validation: LabelledEvents, folder: Path, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Grow the trees on train, keep as many as validation asks for; history: log loss after each tree."""
        labels = [~events.is_background for events in (train, validation)]
        for name, is_signal in zip(("training", "validation"), labels, strict=True):
            if is_signal.all() or not is_signal.any():
                raise InputError(
                    f"{int(is_signal.sum())} signal and {int((~is_signal).sum())} background events for the {name} of "
                    f"{self.name}",
                    "some of both, as it is supervised",
                    "take both classes from one split",
                )
        inputs = [tree_inputs(events.images) for events in (train, validation)]
        model = grow(inputs[0], labels[0], self.config, self.config.trees)
        losses = [log_losses(model.staged_decision_function(x), y) for x, y in zip(inputs, labels, strict=True)]
        best = int(np.argmin(losses[1])) + 1
        # A tree follows from those before it: the first ones are the same again.
        self.model = grow(inputs[0], labels[0], self.config, best)
        history = dict(zip(("loss", "validation_loss"), losses, strict=True))
        return {**history, "best_epoch": best, "best_validation_loss": losses[1][best - 1]}

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """log_odds (N,) of being a signal."""
        return {"log_odds": self.model.decision_function(tree_inputs(images))}

    def arrays(self) -> dict[str, np.ndarray]:
        """The trees."""
        return {} if self.model is None else {"trees": _estimators.to_array(self.model)}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the system whose arrays these are."""
        self.model = _estimators.from_array(arrays["trees"]) if "trees" in arrays else None

    @property
    def parameters(self) -> int:
        """Feature and threshold of each split and value of each leaf, of trees that have all their leaves."""
        return 0 if self.model is None else self.model.n_iter_ * (2 * (self.config.leaves - 1) + self.config.leaves)


def grow(x: np.ndarray, is_signal: np.ndarray, config: BoostedTreesConfig, trees: int) -> Any:
    """The trees of x (N, features) and labels (N,) bool, a fitted estimator. Nothing in it is random."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    options: dict[str, Any] = {"max_iter": trees, "max_leaf_nodes": config.leaves, "early_stopping": False}
    options |= {"learning_rate": config.learning_rate, "min_samples_leaf": config.leaf_events, "random_state": 0}
    # One thread: the same numbers on every machine, and faster for so few events.
    with threadpool_limits(1):
        return HistGradientBoostingClassifier(**options).fit(x, is_signal)


def log_losses(stages: Any, is_signal: np.ndarray) -> list[float]:
    """Mean log loss of each stage's log odds (N,), labels (N,) bool.

    >>> log_losses([np.zeros(2)], np.array([True, False]))
    [0.6931471805599453]
    """
    return [float(np.logaddexp(0, np.where(is_signal, -margin, margin)).mean()) for margin in stages]
