"""An executor's values as integers in steps of their word type: nothing is rounded and nothing is clipped.

A comparison with == is only as good as its input. `WordType.to_words` would round a value that is off by 0.4 LSB and
clip one that is out of range, and so hide both.
"""

import numpy as np

from codae_l1.data.base.errors import ToolError
from codae_l1.data.base.words import WordType


def exact_words(values: np.ndarray, word: WordType, executor: str) -> np.ndarray:
    """Values of any shape -> int64 words, value / LSB; words out of the type's range stay as they are.

    Raises ToolError, which names the executor, where a value lies between two words or is not finite.

    >>> exact_words(np.array([0.5, -1.0, 9.5]), WordType(True, 2, 1), "hls").tolist()
    [1, -2, 19]
    """
    scaled = np.asarray(values, np.float64) / word.lsb
    off = ~np.isfinite(scaled) | (scaled != np.rint(scaled))
    if off.any():
        first = float(np.asarray(values, np.float64)[off].flat[0])
        raise ToolError(
            f"executor {executor} gave {int(off.sum())} of {off.size} outputs off the grid of {word} (first {first:g})",
            f"multiples of {word.lsb:g}",
            "make its folder again, and report it if that does not help: its last layer does not round as the model's",
        )
    return scaled.astype(np.int64)
