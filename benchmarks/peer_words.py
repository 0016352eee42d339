"""What is kept of each crossing for the triggers that it is scored with: regions, and sums that learn nothing."""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.menu import menu_words
from codae_l1.data.pooling import PoolingConfig, input_counts
from codae_l1.scripts.studies._cicada import region_words

# Cells of pool 4 in a block, along each axis.
_BLOCK = 3


@dataclass(frozen=True)
class PeerWords:
    """Images (n, 72, 58, 3) GeV -> what is kept, name -> (n, ...).

    regions (n, 18, 14) uint16 in steps of 0.5 GeV; words/<name> (n,) int64 of the menu's quantities, of active_pixels
    (pixels with a track) and of block_power (the squares of their numbers in blocks of 12 x 12, added).
    """

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        tracks = input_counts(images, PoolingConfig())[..., 0].astype(np.int64)
        n, rows, columns = tracks.shape
        blocks = tracks.reshape(n, rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK).sum(axis=(2, 4))
        words = {**menu_words(images), "active_pixels": blocks.sum(axis=(1, 2))}
        words["block_power"] = np.square(blocks).sum(axis=(1, 2))
        kept = {f"words/{name}": values.astype(np.int64) for name, values in words.items()}
        return {"regions": region_words(images).astype(np.uint16), **kept}
