"""Sums, maxima and magnitudes of tower words for data/menu.py: integers, many events at once.

The towers of a batch lie in one flat array: each row has 7 empty columns before it, which end the windows at the edge
in eta, and each event has its last 7 rows before the first and its first 7 after the last, so that phi wraps around. A
shift by one is then a step in eta, and by `STRIDE` a step in phi. Index i of a sliding sum or maximum stands for the
window whose lowest tower is i.
"""

import numpy as np

from codae_l1.data.calorimeter import N_ETA, N_PHI, PHI_STEP

# Towers that a window and its strip reach beyond the seed: 4 of the window, 3 of the strip.
REACH = 7
STRIDE, ROWS = N_ETA + REACH, N_PHI + 2 * REACH
# Bits of the fraction of the cosines. 12 give a single tower of 11 bits its own word back as missing ET.
ANGLE_BITS = 12
_ROW_PHI = PHI_STEP * (np.arange(N_PHI) + 0.5) - np.pi
# Cosine and sine of the rows' centres: (72, 2) int64.
ROTATION = np.rint(np.stack([np.cos(_ROW_PHI), np.sin(_ROW_PHI)], axis=-1) * 2**ANGLE_BITS).astype(np.int64)


def flat(words: np.ndarray) -> np.ndarray:
    """Words (n, 72, 58) -> the flat array that this module describes, int32."""
    events = len(words)
    padded = np.zeros(events * ROWS * STRIDE + REACH, np.int32)
    grid = padded[: events * ROWS * STRIDE].reshape(events, ROWS, STRIDE)[:, :, REACH:]
    grid[:, REACH:-REACH] = words
    grid[:, :REACH] = words[:, -REACH:]
    grid[:, -REACH:] = words[:, :REACH]
    return padded


def places(event: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Index in the flat array of towers of the image."""
    return (event * ROWS + row + REACH) * STRIDE + column + REACH


def is_largest(towers: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Whether the tower at each place is the largest of its 9 x 9: (k,) bool.

    It must exceed the 40 towers before it (lower rows, and in its own row lower columns) and reach the 40 after it, so
    that one of two equal towers counts.
    """
    word = towers[at]
    nine = _largest3(_largest3(towers, 1), 3)
    four_rows = _largest_of_4(nine, STRIDE)
    four = _largest_of_4(towers, 1)
    exceeds = (word > four_rows[at - 4 * STRIDE - 4]) & (word > four[at - 4])
    return exceeds & (word >= four[at + 1]) & (word >= four_rows[at + STRIDE - 4])


def window_words(towers: np.ndarray, at: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the 9 x 9 towers around each place, and the pile-up to subtract from it: (k,) int32 each.

    The pile-up is the sum of the three lowest of four strips: two of 3 rows x 9 columns, two of 9 rows x 3 columns. At
    the edge in eta the window and the strips in phi are cut to w columns; a strip in eta that is not whole is replaced
    by the opposite one, and both are multiplied by w and divided by 9, rounded down.
    """
    three = _sum3(towers, 1)
    rows = _sum3(_sum3(three, 3), STRIDE)
    window = _sum3(rows, 3 * STRIDE)
    columns = _sum3(_sum3(three, STRIDE), 3 * STRIDE)
    below, above = rows[at - 7 * STRIDE - 4], rows[at + 5 * STRIDE - 4]
    left, right = columns[at - 4 * STRIDE - 7], columns[at - 4 * STRIDE + 5]
    left, right = np.where(column < REACH, right, left), np.where(column > N_ETA - 1 - REACH, left, right)
    width = 9 - np.maximum(4 - column, 0) - np.maximum(column - (N_ETA - 5), 0)
    strips = np.stack([below, above, left * width // 9, right * width // 9])
    return window[at - 4 * STRIDE - 4], strips.sum(axis=0) - strips.max(axis=0)


def magnitude(vectors: np.ndarray, largest: int) -> np.ndarray:
    """Length of vectors (n, 2) int64 in units of 2^-12 words -> words (n,) int64, half up, at most `largest`.

    The root of the sum of the squares is rounded down to an integer, and that to a word. A component as long as the
    largest word + 1 saturates the result, and is clipped to that first: the squares have at most 50 bits.

    >>> magnitude(np.array([[3 << 12, 4 << 12]]), 4095).tolist()
    [5]
    """
    limit = (largest + 1) << ANGLE_BITS
    # Below 2^52 the root of an integer in floats, rounded down, is the integer square root.
    root = np.sqrt(np.square(vectors.clip(-limit, limit)).sum(axis=-1).astype(np.float64)).astype(np.int64)
    return np.minimum((root + (1 << (ANGLE_BITS - 1))) >> ANGLE_BITS, largest)


def _sum3(values: np.ndarray, step: int) -> np.ndarray:
    sums = values[: -2 * step] + values[step:-step]
    sums += values[2 * step :]
    return sums


def _largest3(values: np.ndarray, step: int) -> np.ndarray:
    return np.maximum(np.maximum(values[: -2 * step], values[step:-step]), values[2 * step :])


def _largest_of_4(values: np.ndarray, step: int) -> np.ndarray:
    two = np.maximum(values[:-step], values[step:])
    return np.maximum(two[: -2 * step], two[2 * step :])
