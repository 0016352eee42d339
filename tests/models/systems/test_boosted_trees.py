"""Boosted trees: scikit-learn's own scores, the best number of trees, kept without pickle."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from codae_l1.data.base.errors import InputError
from codae_l1.models.systems import _estimators
from codae_l1.models.systems._boosted_trees import BoostedTreesSystem, grow
from codae_l1.models.systems.base import LabelledEvents
from codae_l1.models.systems.registry import BoostedTreesConfig

RNG = np.random.default_rng(0)
CONFIG = BoostedTreesConfig(trees=20)


def sample(n: int, seed: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ((rng.random((n, 72, 58, 3)) < share) * rng.exponential(2, (n, 72, 58, 3))).astype(np.float32)


def two_classes(n: int, seed: int) -> LabelledEvents:
    images = np.concatenate([sample(n, seed, 0.010), sample(n, seed + 1, 0.012)])
    return LabelledEvents(images, np.repeat(["qcd", "h125"], n))


def test_the_first_trees_are_the_same_however_many_follow():
    x, new = RNG.normal(size=(400, 4)), RNG.normal(size=(300, 4))
    y = x[:, 0] + x[:, 1] ** 2 > 0.5
    options = {"max_iter": 20, "max_leaf_nodes": 8, "learning_rate": 0.05, "min_samples_leaf": 20}
    theirs = HistGradientBoostingClassifier(**options, early_stopping=False).fit(x, y)
    stages = list(theirs.staged_decision_function(new))
    for trees in (7, 20):
        ours = grow(x, y, CONFIG, trees)
        assert np.array_equal(ours.decision_function(new), stages[trees - 1])
        again = _estimators.from_array(_estimators.to_array(ours))
        assert np.array_equal(again.decision_function(new), stages[trees - 1])


def test_boosted_trees_learn_and_keep_the_best_number(tmp_path):
    train, validation = two_classes(60, 0), two_classes(40, 10)
    system = BoostedTreesSystem(CONFIG)
    history = system.fit(train, validation, tmp_path)
    assert history["best_epoch"] == int(np.argmin(history["validation_loss"])) + 1 == system.model.n_iter_
    assert history["best_validation_loss"] == min(history["validation_loss"]) < np.log(2)
    scores = system.scores(validation.images)["log_odds"]
    y = validation.label != "qcd"
    assert np.logaddexp(0, np.where(y, -scores, scores)).mean() == pytest.approx(history["best_validation_loss"])
    # 7 splits and 8 leaves per tree.
    assert system.parameters == system.model.n_iter_ * 22


def test_what_a_supervised_system_refuses():
    system, images = BoostedTreesSystem(CONFIG), sample(6, 0, 0.01)
    one_class = LabelledEvents(images, np.repeat("qcd", 6))
    with pytest.raises(
        InputError, match="0 signal and 6 background events for the training of bdt; expected some of both"
    ):
        system.fit(one_class, one_class, None)
    with pytest.raises(InputError, match=r"systems\.bdt\.trees = 0; expected a number >= 1"):
        BoostedTreesConfig(trees=0)


def test_no_other_estimator_is_read_from_a_file():
    class Other(LogisticRegression):
        pass

    with pytest.raises(InputError, match=r"an estimator that cannot be read .*Other.*; expected one of scikit-learn"):
        _estimators.from_array(_estimators.to_array(Other()))
    with pytest.raises(InputError, match="an estimator that cannot be read"):
        _estimators.from_array(np.frombuffer(b"PK", np.uint8))
