"""A small Level-1 menu on the towers and tracks that the network sees: the trigger's sums, in integers.

Words are in TOWER_LSB_GEV (0.5 GeV). That of a tower is floor(ECAL / 0.5 GeV) + floor(HCAL / 0.5 GeV), at most 2047.
Jets are those of layer 2 of the calorimeter trigger of CMS (arXiv:2006.10165): windows of 9 x 9 towers around a seed,
the pile-up of the three lowest of the four 3 x 9 strips around them subtracted.

    jet1, jet2   ET of the hardest and of the second jet, 0 where there is none
    HT, MHT      scalar and vector sum of the jets of at least 30 GeV
    MET          vector sum of the towers
    track_HT     sum of floor(track pT / 0.5 GeV) of the towers, tracks of the primary vertex

Jets saturate at 2047, sums at 4095 (11 and 12 bits). Every jet on the grid has a seed within |eta| < 2.5. Nothing is
calibrated: a threshold here is not the offline threshold of a seed of the same name.

`solve_menu` finds the thresholds of a `MenuConfig` on zero-bias crossings.
"""

import numpy as np

from codae_l1.data import _menu_sums as sums
from codae_l1.data._menu_thresholds import Menu, MenuConfig, solve_menu
from codae_l1.data.events import check_images
from codae_l1.data.pooling import TOWER_LSB_GEV

__all__ = ["QUANTITIES", "Menu", "MenuConfig", "menu_words", "solve_menu"]

QUANTITIES = ("HT", "MHT", "MET", "jet1", "jet2", "track_HT")
# Largest word of towers and jets (11 bits), and of sums (12 bits), as in the trigger of CMS.
LARGEST_JET, LARGEST_SUM = 2047, 4095
# Words of TOWER_LSB_GEV: 4 GeV of a seed, 30 GeV of a jet in HT and MHT (caloStage2Params of CMSSW).
SEED_WORD, HT_JET_WORD = 8, 60
# Events whose towers are in memory at a time: their words stay in the cache.
_BATCH = 32


def menu_words(images: np.ndarray, met_tower_word: int = 1) -> dict[str, np.ndarray]:
    """Images (N, 72, 58, 3) GeV -> the QUANTITIES, each (N,) int64 in TOWER_LSB_GEV.

    met_tower_word: towers below this word are left out of MET, which is otherwise not corrected for pile-up; CMS raises
    it with pile-up.

    >>> image = np.zeros((1, 72, 58, 3))
    >>> image[0, 10, 20, 1:] = 30.2, 20.0
    >>> {name: words.tolist() for name, words in menu_words(image).items()}
    {'HT': [100], 'MHT': [100], 'MET': [100], 'jet1': [100], 'jet2': [0], 'track_HT': [0]}
    """
    check_images(images)
    words = {name: np.zeros(len(images), np.int64) for name in QUANTITIES}
    for first in range(0, len(images), _BATCH):
        part = slice(first, first + _BATCH)
        for name, values in _batch_words(images[part], met_tower_word).items():
            words[name][part] = values
    return words


def _batch_words(images: np.ndarray, met_tower_word: int) -> dict[str, np.ndarray]:
    tracks, towers = _tower_words(images)
    event, row, jet = _jets(towers)
    kept = towers if met_tower_word <= 1 else np.where(towers < met_tower_word, 0, towers)
    met = kept.sum(axis=2) @ sums.ROTATION
    first, second = _two_hardest(event, jet, len(images))
    hard = jet >= HT_JET_WORD
    event, row, jet = event[hard], row[hard], jet[hard]
    # Row 0 is the scalar sum, 1 and 2 are the vector's components.
    total = np.zeros((3, len(images)), np.int64)
    for line, values in zip(total, (jet, *(jet[:, None] * sums.ROTATION[row]).T), strict=True):
        np.add.at(line, event, values)
    return {
        "HT": np.minimum(total[0], LARGEST_SUM),
        "MHT": sums.magnitude(total[1:].T, LARGEST_SUM),
        "MET": sums.magnitude(met, LARGEST_SUM),
        "jet1": first,
        "jet2": second,
        "track_HT": np.minimum(tracks, LARGEST_SUM),
    }


def _tower_words(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the track words (n,) int64, and the words of the towers (n, 72, 58) int32."""
    # Energies are not negative, so the cast rounds down; the product with a power of two is exact.
    words = np.minimum(images * images.dtype.type(1 / TOWER_LSB_GEV), LARGEST_JET).astype(np.int16)
    towers = np.minimum(words[..., 1] + words[..., 2], LARGEST_JET)
    return words[..., 0].sum(axis=(1, 2), dtype=np.int64), towers.astype(np.int32)


def _jets(towers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Event, row of the seed, and word of each jet above zero: (k,) int64, in the order of the events."""
    event, row, column = np.nonzero(towers >= SEED_WORD)
    flat, at = sums.flat(towers), sums.places(event, row, column)
    seeds = sums.is_largest(flat, at)
    event, row, column, at = event[seeds], row[seeds], column[seeds], at[seeds]
    window, pileup = sums.window_words(flat, at, column)
    jet = (window - pileup).astype(np.int64)
    real = jet > 0
    return event[real], row[real], np.minimum(jet[real], LARGEST_JET)


def _two_hardest(event: np.ndarray, jet: np.ndarray, events: int) -> tuple[np.ndarray, np.ndarray]:
    """Words (events,) of the hardest and of the second jet."""
    # Sorted by event, and by falling ET in it; two jets of 0 end every event.
    ends = np.repeat(np.arange(events), 2)
    key = np.sort(np.concatenate([event, ends]) * (LARGEST_JET + 1) + LARGEST_JET - np.concatenate([jet, 0 * ends]))
    start = np.searchsorted(key, np.arange(events) * (LARGEST_JET + 1))
    first, second = (LARGEST_JET - key[start + k] % (LARGEST_JET + 1) for k in (0, 1))
    return first, second
