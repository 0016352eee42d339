"""Bootstrap samples of two classes' events as histograms over their distinct scores, in memory that hardly grows.

A sample draws as many events of each class as it has, with replacement. The random numbers are those of one generator
that draws whole blocks of samples, the first class before the second; the blocks are made piece by piece, with one
generator for each class.
"""

import copy
from collections.abc import Iterator, Sequence

import numpy as np

# Codes of one score (N,), in the smallest integers that hold them, and weights (N,) or None: of a class.
Coded = tuple[np.ndarray, np.ndarray | None]
# Draws of a block of samples (8 bytes each, had it been made as a whole), and of a piece.
_BLOCK, _PIECE = 4_000_000, 1 << 16


def coded(parts: Sequence[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """Scores (N,) of each class -> ranks of their distinct values, and how many values there are.

    >>> [codes.tolist() for codes in coded([np.array([0.5, 2.0]), np.array([2, 3])])[0]]
    [[0, 1], [1, 2]]
    """
    slices = [part[at : at + _PIECE] for part in parts for at in range(0, len(part), _PIECE)]
    values = np.unique(np.concatenate([np.unique(piece) for piece in slices]))
    codes = [np.empty(len(part), np.min_scalar_type(len(values))) for part in parts]
    for part, code in zip(parts, codes, strict=True):
        for at in range(0, len(part), _PIECE):
            code[at : at + _PIECE] = np.searchsorted(values, part[at : at + _PIECE])
    return codes, len(values)


def histogram(code: np.ndarray, weight: np.ndarray | None, size: int) -> np.ndarray:
    """Events, or the sum of their weights, of each of `size` values: (size,)."""
    if weight is not None:
        return np.bincount(code, weight, size)
    counts = np.zeros(size, np.int64)
    for at in range(0, len(code), _PIECE):
        _count(counts, code[at : at + _PIECE])
    return counts


def samples(
    pairs: Sequence[Sequence[Coded]], sizes: Sequence[int], n_samples: int, seed: int
) -> Iterator[list[list[np.ndarray]]]:
    """Some samples after another: of each score of the same events the histograms (n, size) of both classes.

    pairs: of each score both classes. sizes: of each score the number of its values.
    """
    generator, lengths = np.random.default_rng(seed), [len(code) for code, _ in pairs[0]]
    most = max(*sizes, *lengths)
    block, rows = (max(1, cells // most) for cells in (_BLOCK, 4 * _PIECE))
    for start in range(0, n_samples, block):
        # The second class is drawn behind all of the block's first.
        left, first = min(block, n_samples - start), copy.deepcopy(generator)
        for at in range(0, left * lengths[0], _PIECE):
            generator.integers(0, lengths[0], min(_PIECE, left * lengths[0] - at))
        while left:
            n = min(rows, left)
            both = [_drawn(g, [pair[k] for pair in pairs], sizes, n) for k, g in enumerate((first, generator))]
            yield [list(of_score) for of_score in zip(*both, strict=True)]
            left -= n


def _drawn(generator: np.random.Generator, coded: Sequence[Coded], sizes: Sequence[int], n: int) -> list[np.ndarray]:
    """Histograms (n, size) of each score of one class, of n samples."""
    length = len(coded[0][0])
    if n == 1 and all(weight is None for _, weight in coded):
        counts = [np.zeros(size, np.int64) for size in sizes]
        for at in range(0, length, _PIECE):
            drawn = generator.integers(0, length, min(_PIECE, length - at))
            for of_score, (code, _) in zip(counts, coded, strict=True):
                _count(of_score, code[drawn])
        return [of_score[None] for of_score in counts]
    drawn, found = generator.integers(0, length, (n, length)), []
    for (code, weight), size in zip(coded, sizes, strict=True):
        cells = (code[drawn] + size * np.arange(n)[:, None]).ravel()
        weights = None if weight is None else weight[drawn].ravel()
        found.append(np.bincount(cells, weights, n * size).reshape(n, size))
    return found


def _count(counts: np.ndarray, code: np.ndarray) -> None:
    """Add the events of some codes to counts (size,); of many values a histogram each time would take longer."""
    if len(counts) > 4 * len(code):
        np.add.at(counts, code, 1)
    else:
        counts += np.bincount(code, minlength=len(counts))
