"""Splits that share no pile-up: an event belongs to the split of the pile-up block that it was overlaid with.

Out of 20 consecutive blocks, 13 belong to training, 2 to validation, 1 to calibration and 4 to the test split. An event
takes all of its pile-up from one block, so two splits have no soft collision in common. Signals are made with test
blocks.
"""

import numpy as np

from codae_l1.data.base.errors import InputError

SPLITS = ("train", "validation", "calibration", "test")
# Blocks per cycle, and how many of them each split has, in the order of SPLITS.
CYCLE = 20
SHARES = (13, 2, 1, 4)


def split_of(pileup_block: np.ndarray) -> np.ndarray:
    """Split (N,) str of each event by its pile-up block (N,); the block is not negative.

    >>> split_of(np.array([0, 12, 13, 15, 16, 39])).tolist()
    ['train', 'train', 'validation', 'calibration', 'test', 'test']
    """
    block = np.asarray(pileup_block)
    if block.size and block.min() < 0:
        raise InputError(
            f"{int((block < 0).sum())} of {block.size} events without a known pile-up block",
            "blocks >= 0, as generated events have them",
            "keep the split that came with the events, such as the public sample's folders train and test",
        )
    return np.repeat(SPLITS, SHARES)[block % CYCLE]


def blocks_of(split: str, n_blocks: int) -> np.ndarray:
    """The blocks of a split among the first n_blocks, ascending int64.

    >>> blocks_of("test", 40).tolist()
    [16, 17, 18, 19, 36, 37, 38, 39]
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r}", f"one of {', '.join(SPLITS)}", "correct the name")
    blocks = np.arange(n_blocks)
    return blocks[split_of(blocks) == split]
