"""Sums over a sample of crossings that rates need, in memory that does not grow with the number of crossings.

Kept are a histogram of each word (distinct words), sums of each collision (its pool) and of each stratum. Every sum is
taken in the order of the crossings, so that it does not depend on how they are cut into chunks, to the last bit.
The formulas are in crossing_rates.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation._crossings import MAXIMUM_STRATA, Crossings, Fires, Sample, chunks, fired
from codae_l1.models.evaluation.roc import MINIMUM_BACKGROUND, binomial_error

# Sums of collisions that are held at once (8 bytes each).
_CELLS = 16_000_000
# Relative; sums of floating-point weights are rounded.
_ROUNDING = 1e-9


class Cut(NamedTuple):
    """Crossings with a word at or above the threshold; beyond: without those that the menu takes.

    score None: those that the menu takes.
    """

    score: str | None
    threshold: int = 0
    beyond: bool = False


@dataclass(frozen=True)
class Share:
    """Share of crossings that fire, with its error.

    effective: (share / error)^2. fired: number of crossings. collisions: the fewest different collisions that could
    be in all of them.
    """

    share: float
    error: float
    effective: float
    fired: int
    collisions: int

    def refusal(self) -> str | None:
        """Why the sample does not carry this rate, or None."""
        if self.effective * (1 + _ROUNDING) >= MINIMUM_BACKGROUND:
            return None
        if not self.fired:
            return "no crossing fires"
        return (
            f"{_number(self.fired, 'crossing')} with {_number(self.collisions, 'different collision')} fire: "
            f"{self.effective:.2g} effective, fewer than {MINIMUM_BACKGROUND:g} (collisions count, not crossings)"
        )


class _Histogram:
    """Exact weights of each word: values (V,) ascending, weight and beyond (V,) (of all, of those without the menu)."""

    def __init__(self):
        self.values, self.sums = np.zeros(0, np.int64), np.zeros((2, 0))

    def add(self, words: np.ndarray, weight: np.ndarray, beyond: np.ndarray) -> None:
        values = np.union1d(self.values, words.astype(np.int64))
        if len(values) > len(self.values):
            grown = np.zeros((2, len(values)))
            grown[:, np.searchsorted(values, self.values)] = self.sums
            self.values, self.sums = values, grown
        at = np.searchsorted(self.values, words)
        for row, weights in zip(self.sums, (weight, weight * beyond), strict=True):
            np.add.at(row, at, weights)

    def above(self, beyond: bool) -> np.ndarray:
        """(V + 1,) weight at or above each value, and 0 above them all."""
        return np.append(np.cumsum(self.sums[int(beyond)][::-1])[::-1], 0.0)


class _Fired:
    """Sums over the crossings that a cut takes: of strata (rows: number, w, w^2, members x w^2) and of collisions."""

    def __init__(self, size: int):
        self.strata, self.collisions = np.zeros((4, MAXIMUM_STRATA)), np.zeros(size)
        # Number and weight of crossings without a member.
        self.alone = np.zeros(2)

    def add(self, chunk: Crossings, takes: np.ndarray) -> None:
        at = np.flatnonzero(takes)
        weight, members = chunk.weight[at], chunk.members[at]
        known = members >= 0
        _add_to_strata(self.strata, chunk.stratum[at], weight, known.sum(axis=1))
        np.add.at(self.collisions, members[known], np.repeat(weight, known.sum(axis=1)))
        alone = weight[~known.any(axis=1)]
        np.add.at(self.alone, np.zeros(len(alone), int), 1)
        np.add.at(self.alone, np.ones(len(alone), int), alone)


class CrossingSums:
    """What one pass over a sample leaves, and further passes for the rates of cuts.

    sample: crossings in chunks, read as often as needed. scores: words that thresholds are sought for. menu: what
    fires already. scale_khz: rate of all crossings, for the words of a refusal.
    """

    def __init__(self, sample: Sample, scores: Sequence[str], menu: Fires, scale_khz: float):
        if not 0 < scale_khz < np.inf:
            raise InputError(f"{scale_khz} kHz of crossings", "a finite number above 0", "correct the crossing rate")
        self._sample, self._menu, self._scale = sample, menu, scale_khz
        self._strata = np.zeros((4, MAXIMUM_STRATA))
        # Stratum -> (K,) weight of the crossings that each collision is in.
        self._collisions: dict[int, np.ndarray] = {}
        self._histograms = {score: _Histogram() for score in scores}
        for chunk in chunks(sample):
            self._add(chunk)
        self.total = float(self._strata[1].sum())
        if not 0 < self.total < np.inf:
            raise InputError(
                f"{self._strata[0].sum():.0f} crossings, the sum of whose weights is {self.total}",
                "a sum of weights above 0",
                "give crossings with weights",
            )
        self._size = max((len(sums) for sums in self._collisions.values()), default=0)

    def state_bytes(self) -> int:
        """Memory that is kept between passes."""
        arrays = [self._strata, *self._collisions.values()]
        arrays += [array for h in self._histograms.values() for array in (h.values, h.sums)]
        return sum(array.nbytes for array in arrays)

    def threshold(self, score: str, share: float, beyond: bool = False) -> tuple[int | None, str]:
        """(Lowest threshold whose share of crossings is at most `share`, '') or (None, why there is none)."""
        histogram = self._histograms[score]
        above = histogram.above(beyond) / self.total
        kind = "pure rate" if beyond else "rate"
        if share >= above[0] * (1 - _ROUNDING):
            return None, f"{self._khz(share)} is not below the total {kind} of {self._khz(above[0])}: everything fires"
        at = int(np.argmax(above <= share * (1 + _ROUNDING)))
        if above[at] == 0:
            # Beyond the menu, larger words may be there: of crossings that it takes.
            last = int(np.flatnonzero(above[:-1] > 0)[-1])
            which = f"the largest word{' beyond the menu' if beyond else ''}, {histogram.values[last]:,},"
            return None, f"{which} has a {kind} of {self._khz(above[last])}, above {self._khz(share)}"
        return int(histogram.values[at]), ""

    def moved(self, score: str, share: float, beyond: bool = False) -> float:
        """Threshold as above, without refusal: the lowest word where everything fires, +inf where nothing does."""
        histogram = self._histograms[score]
        at = int(np.argmax(histogram.above(beyond) / self.total <= share * (1 + _ROUNDING)))
        return float(np.append(histogram.values, np.inf)[at])

    def share_above(self, score: str, threshold: float, beyond: bool = False) -> float:
        """Share of crossings at or above a threshold, from the histogram."""
        histogram = self._histograms[score]
        return float(histogram.above(beyond)[np.searchsorted(histogram.values, threshold)] / self.total)

    def ladder(self, score: str, n: int) -> list[int]:
        """At most n thresholds, descending, whose rates grow by equal factors from one crossing to all."""
        shares = np.geomspace(1 / self._strata[0].sum(), 1, n)
        return sorted({int(t) for t in (self.moved(score, share) for share in shares) if t < np.inf}, reverse=True)

    def measure(self, cuts: Sequence[Cut]) -> dict[Cut, Share]:
        """Shares of crossings with their errors."""
        found, rest, rows = {}, list(dict.fromkeys(cuts)), max(1, _CELLS // max(1, self._size))
        while rest:
            some, rest = rest[:rows], rest[rows:]
            sums = {cut: _Fired(self._size) for cut in some}
            for chunk in chunks(self._sample):
                menu = fired(self._menu, chunk)
                for cut, fires in sums.items():
                    takes = menu if cut.score is None else chunk.word(cut.score) >= cut.threshold
                    fires.add(chunk, takes & ~menu if cut.beyond else takes)
            found |= {cut: self._share(fires) for cut, fires in sums.items()}
        return found

    def _add(self, chunk: Crossings) -> None:
        known = chunk.members >= 0
        _add_to_strata(self._strata, chunk.stratum, chunk.weight, known.sum(axis=1))
        size = int(chunk.members.max(initial=-1)) + 1
        for stratum in np.unique(chunk.stratum).tolist():
            rows = known & (chunk.stratum == stratum)[:, None]
            sums = self._collisions.get(stratum, np.zeros(0))
            if size > len(sums):
                sums = np.pad(sums, (0, size - len(sums)))
            np.add.at(sums, chunk.members[rows], np.repeat(chunk.weight, rows.sum(axis=1)))
            self._collisions[stratum] = sums
        if self._histograms:
            beyond = ~fired(self._menu, chunk)
            for score, histogram in self._histograms.items():
                histogram.add(chunk.word(score), chunk.weight, beyond)

    def _share(self, fires: _Fired) -> Share:
        """Share and error of what fired: the formulas of crossing_rates.py."""
        _, weight, squares, shared = self._strata
        _, taken, taken_squares, taken_shared = fires.strata
        p = np.divide(taken, weight, out=np.zeros_like(weight), where=weight > 0)
        own = float(np.sum(_centred(p, squares, taken_squares) + _unseen(p, weight, squares)))
        centred = fires.collisions.copy()
        for stratum, sums in self._collisions.items():
            centred[: len(sums)] -= p[stratum] * sums
        common = float(np.sum(np.square(centred)) - np.sum(_centred(p, shared, taken_shared)))
        value, error = float(taken.sum() / self.total), float(np.sqrt(max(own, own + common)) / self.total)
        counted = np.cumsum(np.sort(fires.collisions[fires.collisions > 0])[::-1])
        needed = (taken.sum() - fires.alone[1]) * (1 - _ROUNDING)
        collisions = int(np.searchsorted(counted, needed)) + 1 if needed > 0 else 0
        effective = (value / error) ** 2 if error > 0 else 0.0
        return Share(value, error, effective, int(fires.strata[0].sum()), int(fires.alone[0]) + collisions)

    def _khz(self, share: float) -> str:
        return f"{share * self._scale:.3g} kHz"


def _add_to_strata(sums: np.ndarray, stratum: np.ndarray, weight: np.ndarray, members: np.ndarray) -> None:
    for row, values in zip(sums, (1.0, weight, np.square(weight), np.square(weight) * members), strict=True):
        np.add.at(row, stratum, values)


def _centred(p: np.ndarray, squares: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(strata,) sum of (w (h - p))^2 from the sums of w^2 over all crossings and over those that fire."""
    return taken * np.square(1 - p) + (squares - taken) * np.square(p)


def _unseen(p: np.ndarray, weight: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """(strata,) variance where none or all of a stratum fire: the 68 % Wilson interval's, about half a crossing."""
    found = np.zeros_like(p)
    for s in np.flatnonzero((weight > 0) & ((p == 0) | (p == 1))):
        found[s] = (weight[s] * binomial_error(p[s], weight[s] ** 2 / squares[s])) ** 2
    return found


def _number(n: int, of: str) -> str:
    return f"{n} {of}{'' if n == 1 else 's'}"
