"""A supervised ceiling on the trigger's words: boosted trees that see the signals, trained for the tail.

scikit-learn grows the trees. They see what the pooled words and the menu know of a crossing, and every signal together;
no trigger could be trained so. Zero bias is that of the train split, of which few crossings are hard, and that of the
validation split, most of which are: counted without their weights, they are the hard background of the tail.
"""

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from codae_l1.data.events import SIGNALS, ZERO_BIAS
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.pooling import INPUTS

# Steps of the score word in a unit of the log odds.
_STEPS = 1 << 10
_TREES, _LEAVES, _LEARNING_RATE, _LEAST, _BINS = 120, 24, 0.1, 20, 63
# Cells of the pooled words in a block, along each axis: 12 x 12 towers.
_BLOCK = 3


class Ceiling:
    """Boosted trees on a file's crossings; `words` gives their score."""

    def __init__(self, file: CrossingFile, seed: int):
        from sklearn.ensemble import HistGradientBoostingClassifier

        self._inputs = tuple(name for name in INPUTS if name in file.inputs)
        background = [file.where(ZERO_BIAS, split) for split in ("train", "validation")]
        signals = [file.where(name, "validation") for name in SIGNALS]
        chosen = [*background, *signals]
        table = np.concatenate([self._table(file.pooled(self._inputs, w), file.words(w)) for w in chosen if len(w)])
        label = np.arange(len(table)) >= sum(map(len, background))
        trees = HistGradientBoostingClassifier(
            max_iter=_TREES,
            max_leaf_nodes=_LEAVES,
            learning_rate=_LEARNING_RATE,
            min_samples_leaf=_LEAST,
            max_bins=_BINS,
            class_weight="balanced",
            early_stopping=False,
            random_state=seed,
        )
        # Threads that wait for each other take longer than one alone, and sums over threads are not reproducible.
        with threadpool_limits(1):
            self._model = trees.fit(table, label)

    def words(self, file: CrossingFile, which: np.ndarray) -> np.ndarray:
        """Score words (n,) int64 of some of a file's crossings, higher is more like a signal."""
        return self.words_of(file.pooled(self._inputs, which), file.words(which))

    def words_of(self, pooled: np.ndarray, menu: dict[str, np.ndarray]) -> np.ndarray:
        """The same from pooled inputs (n, 18, 15, inputs) and menu quantities, each (n,)."""
        if not len(pooled):
            return np.zeros(0, np.int64)
        with threadpool_limits(1):
            log_odds = self._model.decision_function(self._table(pooled, menu))
        return np.rint(log_odds * _STEPS).astype(np.int64)

    @staticmethod
    def _table(pooled: np.ndarray, menu: dict[str, np.ndarray]) -> np.ndarray:
        """Summaries of crossings: sums, sums of squares, blocks by size of every input; the menu. (n, columns)."""
        n, rows, columns, inputs = pooled.shape
        blocks = pooled.reshape(n, rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK, inputs).sum(axis=(2, 4))
        flat = blocks.reshape(n, -1, inputs)
        ordered = -np.sort(-flat, axis=1)
        parts: list[Any] = [flat.sum(axis=1), np.square(flat).sum(axis=1), (pooled > 0).sum(axis=(1, 2))]
        parts += [ordered[:, :12].reshape(n, -1), ordered[:, 12::6].reshape(n, -1)]
        parts.append(np.stack([menu[name] for name in sorted(menu)], axis=1))
        return np.concatenate(parts, axis=1).astype(np.float32)
