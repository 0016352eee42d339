"""The firmware's input: active pixels counted in cells of pool x pool towers, an integer and a float twin.

    count = number of pixels of the cell whose track pT is above zero (0 to pool^2)

72 rows are a multiple of the pool; 58 columns are padded with as many empty ones on each side (one for pool 4), so that
the image stays symmetric in eta. Pool 4 gives (18, 15).
"""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.calorimeter import N_ETA, N_PHI
from codae_l1.data.errors import InputError

# The sides that PoolingConfig accepts, for its message.
_POOLS = ", ".join(str(p) for p in range(1, N_PHI + 1) if N_PHI % p == 0 and -N_ETA % p % 2 == 0)


@dataclass(frozen=True)
class PoolingConfig:
    """pool: side of a cell [towers]; it must divide the 72 rows, and leave an even number of columns to pad."""

    pool: int = 4

    def __post_init__(self):
        if self.pool < 1 or N_PHI % self.pool or self.padding % 2:
            raise InputError(f"pool = {self.pool}", "a divisor of 72 that pads 58 columns evenly", f"take {_POOLS}")

    @property
    def padding(self) -> int:
        """Empty columns added in all, half on each side."""
        return -N_ETA % self.pool

    @property
    def shape(self) -> tuple[int, int]:
        """Cells in (phi, eta).

        >>> PoolingConfig().shape
        (18, 15)
        """
        return N_PHI // self.pool, (N_ETA + self.padding) // self.pool


def active_counts(images: np.ndarray, config: PoolingConfig = PoolingConfig()) -> np.ndarray:
    """The integer twin: images (N, 72, 58, C) GeV, channel 0 the tracks -> counts (N, 18, 15, 1) int64."""
    return _sum_cells((images[..., :1] > 0).astype(np.int64), config)


def active_counts_float(masks: np.ndarray, config: PoolingConfig = PoolingConfig()) -> np.ndarray:
    """The float twin: masks (N, 72, 58, 1) of 0 and 1 -> counts (N, 18, 15, 1) float32, equal to the integer twin's."""
    return _sum_cells(masks.astype(np.float32), config)


def _sum_cells(pixels: np.ndarray, config: PoolingConfig) -> np.ndarray:
    side = config.padding // 2
    padded = np.pad(pixels, ((0, 0), (0, 0), (side, side), (0, 0)))
    rows, columns = config.shape
    cells = padded.reshape(len(pixels), rows, config.pool, columns, config.pool, pixels.shape[-1])
    return cells.sum(axis=(2, 4))
