"""Rows of working points: rates, thresholds and efficiencies of scores, ready for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation._crossing_sums import CrossingSums, Cut, Share
from codae_l1.models.evaluation._crossings import Fires, Sample

# The row of a point that is the menu itself.
MENU = "menu"
# Share of crossings below which a point is a slip: some 30 mHz at the LHC, where nothing of a run would fire.
_LEAST_SHARE = 1e-9
_ALL = Cut(None)


class Point(NamedTuple):
    """A working point: the share of crossings that it may take, of all or of those that the menu does not."""

    name: str
    share: float
    pure: bool


def parse_point(name: str, crossing_khz: float) -> Point:
    """A point of its name: a share of crossings, a rate in kHz, or a pure rate.

    >>> [tuple(parse_point(name, 40_000.0))[1:] for name in ("1e-3", "10 kHz", "1 kHz pure")]
    [(0.001, False), (0.00025, False), (2.5e-05, True)]
    """
    number, *unit = name.split() or [""]
    units = {(): 1.0, ("kHz",): crossing_khz, ("kHz", "pure"): crossing_khz}
    try:
        share = float(number) / units[tuple(unit)]
    except (ValueError, KeyError):
        share = 0.0
    if not _LEAST_SHARE <= share < 1:
        raise InputError(
            f"working point {name!r}",
            f"a share of crossings such as '1e-3', at least {_LEAST_SHARE:g}, a rate such as '1 kHz' below "
            f"{crossing_khz:g} kHz, or '1 kHz pure'",
            "correct the working point",
        )
    return Point(name, share, unit[-1:] == ["pure"])


class PointRows:
    """Sums over zero bias and over signals, and the rows of working points from them."""

    def __init__(
        self,
        zero_bias: Sample,
        signals: Mapping[str, Sample],
        menu: Fires,
        crossing_khz: float,
        scores: Sequence[str],
    ):
        self.scores = [score for score in scores if score != MENU]
        self.khz = crossing_khz
        self.zero = CrossingSums(zero_bias, self.scores, menu, crossing_khz)
        self.signals = {name: CrossingSums(sample, self.scores, menu, 1.0) for name, sample in signals.items()}

    def thresholds(self, points: Sequence[Point]) -> dict[tuple[str, Point], tuple[int | None, str]]:
        """Threshold, or why there is none, of each score at each point."""
        return {(s, p): self.zero.threshold(s, p.share, p.pure) for p in points for s in self.scores}

    def rows(
        self,
        points: Sequence[Point],
        thresholds: Mapping[tuple[str, Point], tuple[int | None, str]],
        fixed: bool = False,
    ) -> dict[str, Any]:
        """Point -> score -> row; fixed: thresholds of another sample, whose rates need not be those of the points."""
        known = [(score, t) for (score, _), (t, _) in thresholds.items() if t is not None]
        cuts = [_ALL, *(Cut(score, t, beyond) for score, t in known for beyond in (False, True))]
        zero = self.zero.measure(cuts)
        signals = {name: sums.measure(cuts) for name, sums in self.signals.items()}
        content: dict[str, Any] = {}
        for point in points:
            rows = {}
            for score in self.scores:
                threshold, reason = thresholds[score, point]
                if threshold is None:
                    rows[score] = _refused(reason)
                else:
                    rows[score] = self._row(score, threshold, point.pure, zero, signals, fixed)
            content[point.name] = {**rows, MENU: self._menu_row(zero[_ALL], signals)}
        return content

    def efficiency(
        self, name: str, score: str, threshold: int, shares: Mapping[Cut, Share], moved: tuple[float, float] | None
    ) -> dict[str, float]:
        """Efficiency of a signal and its part beyond the menu; moved: the threshold, moved by its rate's error."""
        result = {}
        for key, beyond in (("value", False), ("beyond_menu", True)):
            share = shares[Cut(score, threshold, beyond)]
            shift = 0.0
            if moved is not None:
                low, high = (self.signals[name].share_above(score, t, beyond) for t in moved)
                shift = abs(low - high) / 2
            result[key] = share.share
            result["error" if key == "value" else f"{key}_error"] = float(np.hypot(share.error, shift))
        return result

    def moved(self, score: str, share: Share, pure: bool) -> tuple[float, float]:
        """Thresholds whose rate is the share's, plus and minus its error."""
        low, high = share.share + share.error, max(share.share - share.error, 0.0)
        return self.zero.moved(score, low, pure), self.zero.moved(score, high, pure)

    def _row(
        self,
        score: str,
        threshold: int,
        pure: bool,
        zero: Mapping[Cut, Share],
        signals: Mapping[str, Mapping[Cut, Share]],
        fixed: bool,
    ) -> dict[str, Any]:
        defining = zero[Cut(score, threshold, pure)]
        reason = defining.refusal()
        if reason and not fixed:
            return _refused(reason)
        row = self.rates(zero[Cut(score, threshold)], zero[Cut(score, threshold, True)])
        row |= {"threshold": threshold, "effective": defining.effective}
        moved = None if fixed else self.moved(score, defining, pure)
        row["efficiency"] = {
            name: self.efficiency(name, score, threshold, shares, moved) for name, shares in signals.items()
        }
        return row | ({"reason": reason} if reason else {})

    def _menu_row(self, zero: Share, signals: Mapping[str, Mapping[Cut, Share]]) -> dict[str, Any]:
        reason = zero.refusal()
        row = {**self.rates(zero, None), "threshold": None, "effective": zero.effective}
        row["efficiency"] = {
            name: {"value": s[_ALL].share, "error": s[_ALL].error, "beyond_menu": 0.0, "beyond_menu_error": 0.0}
            for name, s in signals.items()
        }
        return row | ({"reason": reason} if reason else {})

    def rates(self, total: Share, pure: Share | None) -> dict[str, Any]:
        """Rates with errors in kHz, None where they are not carried."""
        row: dict[str, Any] = {}
        for key, share in (("", total), ("pure_", pure)):
            name = f"{key}khz" if key else "rate_khz"
            row |= {name: None, f"{key}error_khz": None}
            if share is not None and share.refusal() is None:
                row |= {name: share.share * self.khz, f"{key}error_khz": share.error * self.khz}
        return row


def _refused(reason: str) -> dict[str, Any]:
    keys = ("rate_khz", "error_khz", "pure_khz", "pure_error_khz", "threshold", "effective", "efficiency")
    return {**dict.fromkeys(keys), "reason": reason}
