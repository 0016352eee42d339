"""The firmware's input: values of cells of pool x pool towers, in integers and in floats.

    tracks                 number of pixels in the cell whose track pT, or its word, is not zero (0 to pool^2)
    track_pt, ecal, hcal   floor(sum over the cell of floor(ET / TOWER_LSB) * TOWER_LSB / energy_lsb_gev)

Everything is integer arithmetic on the words of a trigger's towers, so that firmware can do the same. 72 rows are a
multiple of the pool; the 58 columns are padded with equally many empty columns on each side (one for pool 4), so that
the image stays symmetric in eta. Pool 4 gives (18, 15).
"""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import REAL, WordType
from codae_l1.data.calorimeter import N_CHANNELS, N_ETA, N_PHI

# Input -> channel of the image that it is made of.
INPUTS = {"tracks": 0, "track_pt": 0, "ecal": 1, "hcal": 2}
# GeV; least significant bit of a tower's transverse energy, as in the trigger of CMS (arXiv:2006.10165).
TOWER_LSB_GEV = 0.5
# Events whose towers are in memory at a time.
_BATCH = 2048
# Largest word of a tower: as the emulator in C++ saturates energies, so that no sum overflows 32 bits.
_HIGHEST_TOWER = 1 << 20
_TOWER_WORD = WordType(False, 21, 0)
# The sides that PoolingConfig accepts, for its message.
_POOLS = ", ".join(str(p) for p in range(1, N_PHI + 1) if N_PHI % p == 0 and -N_ETA % p % 2 == 0)


@dataclass(frozen=True)
class PoolingConfig:
    """pool: side of a cell [towers]; it must divide the 72 rows, and leave an even number of columns to pad.

    inputs: names in INPUTS, the channels of the pooled words in order. energy_lsb_gev: step of the energy words, a
    power of two times TOWER_LSB_GEV.
    """

    pool: int = 4
    inputs: tuple[str, ...] = ("tracks",)
    energy_lsb_gev: float = 4.0

    def __post_init__(self):
        if self.pool < 1 or N_PHI % self.pool or self.padding % 2:
            raise InputError(f"pool = {self.pool}", "a divisor of 72 that pads 58 columns evenly", f"take {_POOLS}")
        unknown = [name for name in self.inputs if name not in INPUTS]
        if unknown or not self.inputs or len(set(self.inputs)) < len(self.inputs):
            raise InputError(
                f"inputs = {list(self.inputs)}", f"different names out of {', '.join(INPUTS)}", "correct them"
            )
        steps = self.energy_lsb_gev / TOWER_LSB_GEV
        if not (steps >= 1 and steps.is_integer() and int(steps).bit_count() == 1):
            raise InputError(
                f"energy_lsb_gev = {self.energy_lsb_gev}", f"{TOWER_LSB_GEV} times 1, 2, 4, 8 ...", "correct it"
            )

    @property
    def padding(self) -> int:
        """Number of empty columns that are added, half of them on each side."""
        return -N_ETA % self.pool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells in (phi, eta), and inputs.

        >>> PoolingConfig().shape
        (18, 15, 1)
        """
        return N_PHI // self.pool, (N_ETA + self.padding) // self.pool, len(self.inputs)

    @property
    def energy_shift(self) -> int:
        """Bits by which a cell's sum of tower words is shifted right.

        >>> PoolingConfig(energy_lsb_gev=4.0).energy_shift
        3
        """
        return int(self.energy_lsb_gev / TOWER_LSB_GEV).bit_length() - 1

    @property
    def shifts(self) -> tuple[int, ...]:
        """Bits by which the sums of each input are shifted right: none for counts.

        >>> PoolingConfig(inputs=("tracks", "hcal")).shifts
        (0, 3)
        """
        return tuple(0 if name == "tracks" else self.energy_shift for name in self.inputs)

    def check_towers(self, towers: np.ndarray) -> np.ndarray:
        """Tower words (N, 72, 58, inputs) as int64; InputError unless they are integers from 0 to 2^20."""
        return _TOWER_WORD.check(towers, (N_PHI, N_ETA, len(self.inputs)), "tower words", _HIGHEST_TOWER)

    def check_images(self, images: np.ndarray, masks: bool = False, start: int = 0) -> np.ndarray:
        """Images (N, 72, 58, 3) GeV as float32.

        Raises InputError for another shape, and where values are masked, not finite or negative. masks: whether
        (N, 72, 58, 1) does where the tracks are the only input. start: number of the first event, for the message.
        """
        given = _TOWER_WORD.array(images, "images")
        channels = (1, N_CHANNELS) if masks and self.inputs == ("tracks",) else (N_CHANNELS,)
        if given.shape[1:3] != (N_PHI, N_ETA) or given.ndim != 4 or given.shape[3] not in channels:
            expected = f"(N, {N_PHI}, {N_ETA}, {N_CHANNELS}) for {', '.join(self.inputs)}"
            raise InputError(f"images of shape {given.shape}", expected, "give the energies of the grid")
        with np.errstate(over="ignore"):
            pixels = _TOWER_WORD.array(given, "images", REAL).astype(np.float32, copy=False)
        # The minimum of an array with NaN is NaN, and no comparison with NaN holds.
        if pixels.size and not (pixels.min() >= 0 and pixels.max() < np.inf):
            event = start + int(np.argmax(~(np.isfinite(pixels) & (pixels >= 0)).all(axis=(1, 2, 3))))
            raise InputError(
                f"images with negative or non-finite energies, first in event {event}",
                "finite energies >= 0 GeV",
                "correct them",
            )
        return pixels


def track_mask(images: np.ndarray) -> np.ndarray:
    """Input of the models: (N, 72, 58, 3) GeV -> (N, 72, 58, 1) uint8, 1 where the track channel is above zero."""
    return (_TOWER_WORD.array(images, "images", REAL)[..., :1] > 0).astype(np.uint8)


def tower_words(images: np.ndarray, config: PoolingConfig = PoolingConfig()) -> np.ndarray:
    """Images (N, 72, 58, 3) GeV -> (N, 72, 58, inputs) int64: 1 where a track is, or ET in TOWER_LSB_GEV, floored."""
    return _tower_words(config.check_images(images, masks=True), config)


def input_counts(images: np.ndarray, config: PoolingConfig = PoolingConfig()) -> np.ndarray:
    """Images (N, 72, 58, 3) GeV -> the firmware's inputs (N, 18, 15, inputs) int64, not yet saturated.

    Masks (N, 72, 58, 1) do where the tracks are the only input. The towers of a batch at a time are in memory. Energies
    count as float32: what is zero there is no track.
    """
    if not getattr(images, "ndim", 0):
        # A list, or what is no array.
        images = config.check_images(images, True)
    parts = []
    for start in range(0, len(images), _BATCH):
        towers = _tower_words(config.check_images(images[start : start + _BATCH], True, start), config)
        parts.append(_pooled(towers, config))
    return np.concatenate([np.zeros((0, *config.shape), np.int64), *parts])


def pool_towers(towers: np.ndarray, config: PoolingConfig = PoolingConfig()) -> np.ndarray:
    """Tower words (N, 72, 58, inputs) integers -> words (N, 18, 15, inputs) int64, not yet saturated.

    Words of pT do for the tracks: any that is not 0 counts as one.
    """
    return _pooled(config.check_towers(towers), config)


def _tower_words(pixels: np.ndarray, config: PoolingConfig) -> np.ndarray:
    columns = []
    for name in config.inputs:
        values = pixels[..., INPUTS[name]]
        words = values > 0 if name == "tracks" else np.floor(values.astype(np.float64) / TOWER_LSB_GEV)
        columns.append(np.minimum(words, _HIGHEST_TOWER).astype(np.int64))
    return np.stack(columns, axis=-1)


def _pooled(towers: np.ndarray, config: PoolingConfig) -> np.ndarray:
    """Tower words (N, 72, 58, inputs) int64 -> words (N, 18, 15, inputs) int64."""
    counted = np.array([name == "tracks" for name in config.inputs])
    return _sum_cells(np.where(counted, towers != 0, towers), config) >> np.array(config.shifts)


def active_counts_float(masks: np.ndarray, config: PoolingConfig = PoolingConfig()) -> np.ndarray:
    """The counts of "tracks" in floats: masks (N, 72, 58, 1) of 0 and 1 -> (N, 18, 15, 1) float32, equal to
    input_counts."""
    return _sum_cells(masks.astype(np.float32), config)


def _sum_cells(pixels: np.ndarray, config: PoolingConfig) -> np.ndarray:
    side = config.padding // 2
    padded = np.pad(pixels, ((0, 0), (0, 0), (side, side), (0, 0)))
    rows, columns = config.shape[:2]
    cells = padded.reshape(len(pixels), rows, config.pool, columns, config.pool, pixels.shape[-1])
    return cells.sum(axis=(2, 4))
