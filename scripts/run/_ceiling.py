"""A supervised ceiling on the trigger's words: boosted trees that see the signals, trained for the tail.

scikit-learn grows the trees. They see what the pooled words and the menu know of a crossing, and every signal; no
trigger could be trained so. Zero bias is that of the train split, of which few crossings are hard, and that of the
validation split, most of which are: counted without their weights, they are the hard background of the tail. A trigger
takes a thousandth of all crossings, and trees that tell all of them apart spend their leaves elsewhere. So they are
grown in two steps:

    first    all crossings count alike
    second   zero bias below the quantile _HARD of the first score counts _EASY
    word     round(2^10 (log odds of the first + log odds of the second))

Signals count as much as zero bias in both. It is a ceiling in practice and none in principle.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from codae_l1.data.events import SIGNALS, ZERO_BIAS
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.pooling import INPUTS

# Steps of the score word in a unit of the log odds.
_STEPS = 1 << 10
_TREES, _LEAVES, _LEARNING_RATE, _LEAST = 80, 15, 0.1, 20
# Share of the zero bias that counts less in the second step, and how much it counts.
_HARD, _EASY = 0.97, 0.02
# Cells of the pooled words in a block, along each axis: 12 x 12 towers.
_BLOCK = 3


class Ceiling:
    """Boosted trees on a file's crossings; `words` gives their score."""

    def __init__(self, file: CrossingFile, seed: int):
        self._inputs = tuple(name for name in INPUTS if name in file.inputs)
        chosen = [*(file.where(ZERO_BIAS, split) for split in ("train", "validation"))]
        n = sum(map(len, chosen))
        chosen += [file.where(name, "validation") for name in SIGNALS]
        table = np.concatenate([self._table(file.pooled(self._inputs, w), file.words(w)) for w in chosen if len(w)])
        weight = np.ones(len(table))
        weight[n:] = n / (len(table) - n)
        first = _grow(table, n, weight, seed)
        score = first.decision_function(table[:n])
        hard = np.where(score > np.quantile(score, _HARD), 1.0, _EASY)
        weight[:n] = hard / hard.mean()
        self._models = first, _grow(table, n, weight, seed)

    def words(self, file: CrossingFile, which: np.ndarray) -> np.ndarray:
        """Score words (n,) int64 of some of a file's crossings, higher is more like a signal."""
        return self.words_of(file.pooled(self._inputs, which), file.words(which))

    def words_of(self, pooled: np.ndarray, menu: dict[str, np.ndarray]) -> np.ndarray:
        """The same from pooled inputs (n, 18, 15, inputs) and menu quantities, each (n,)."""
        if not len(pooled):
            return np.zeros(0, np.int64)
        with threadpool_limits(1):
            table = self._table(pooled, menu)
            log_odds = sum(model.decision_function(table) for model in self._models)
        return np.rint(log_odds * _STEPS).astype(np.int64)

    @staticmethod
    def _table(pooled: np.ndarray, menu: dict[str, np.ndarray]) -> np.ndarray:
        """Summaries of crossings (n, columns), float32; the tracks are the first input.

        Track counts of blocks as they lie, by size, and by ring in eta; sums; other inputs by ring; the menu.
        """
        n, rows, columns, _ = pooled.shape
        tracks = pooled[..., 0]
        blocks = tracks.reshape(n, rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK).sum(axis=(2, 4))
        flat = blocks.reshape(n, -1)
        parts: list[Any] = [flat, np.sort(flat, axis=1), blocks.sum(axis=1), pooled[..., 1:].sum(axis=1).reshape(n, -1)]
        for counts in (flat, tracks.reshape(n, -1)):
            parts.append(np.stack([(counts > 0).sum(axis=1), np.square(counts).sum(axis=1)], axis=1))
        parts += [flat.sum(axis=1)[:, None], np.stack([menu[name] for name in sorted(menu)], axis=1)]
        return np.concatenate(parts, axis=1).astype(np.float32)


def ceiling(file: CrossingFile, seed: int) -> Ceiling | None:
    """The trees of a file; the last ones are kept, so that networks judged on one file share them.

    None where the file does not have both classes outside the test split.
    """
    shown = any(len(file.where(name, "validation")) for name in SIGNALS)
    known = any(len(file.where(ZERO_BIAS, split)) for split in ("train", "validation"))
    return _kept(file.path, file.checksum, seed) if shown and known else None


@functools.lru_cache(maxsize=1)
def _kept(path: Path, _checksum: str, seed: int) -> Ceiling:
    return Ceiling(CrossingFile(path), seed)


def _grow(table: np.ndarray, background: int, weight: np.ndarray, seed: int) -> Any:
    """Trees of a table whose first rows are background."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        learning_rate=_LEARNING_RATE,
        min_samples_leaf=_LEAST,
        early_stopping=False,
        random_state=seed,
    )
    # Threads that wait for each other take longer than one alone, and sums over threads are not reproducible.
    with threadpool_limits(1):
        return trees.fit(table, np.arange(len(table)) >= background, sample_weight=weight)
