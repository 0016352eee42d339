"""Trigger rates on zero-bias crossings, and what signals they keep: all collisions count, not those of one selection.

A crossing is a set of inelastic collisions. It is drawn in strata s of its hardest scattering, with a weight w, and its
collisions come from finite pools, so that one collision is in many crossings. With h = 1 where a crossing fires:

    rate R = f sum(w h) / sum(w)                         f: rate of crossings, kHz
    c_i = w_i (h_i - p_s(i))                             p_s = sum_s(w h) / sum_s(w), share of the stratum that fires
    own = sum_i c_i^2 + sum over strata with p_s of 0 or 1 of the Wilson variance (about half a crossing of theirs)
    common = sum over collisions k of ((sum_{i with k} c_i)^2 - sum_{i with k} c_i^2)
    error = f sqrt(max(own, own + common)) / sum(w)      effective = (R / error)^2

`own` is the binomial error of a stratified sample. `common` is the covariance of crossings that share a collision:
to first order (Hoeffding's projection, of Poisson many collisions mu from a pool of M) the variance over pools is
mu^2 Var(g) / M with g(k) the probability that a crossing with collision k fires, however many crossings are drawn.
The members of a crossing are its few most important collisions; what the others have in common is left out, and a
pair of crossings that shares two collisions counts twice, which is an excess of the order of mu / M. As p_s is taken
from the same crossings, `common` is too small by the share of pairs with a common member: members have to be few. The
probabilities of strata are taken as known. A kind of collision that the pools do not hold is in no error.

An error of a sum over few collisions is itself uncertain, so that a rate with less than ten effective is refused. The
pure rate counts crossings that the score takes and the menu does not. A signal's efficiency is the same weighted share
of its crossings, with the same error, and the change from moving the threshold by its rate's error, in quadrature.

A sample is `Crossings` in chunks, read several times; what is kept grows with pools and distinct words alone, and is
the same to the last bit for any cut into chunks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from codae_l1.models.evaluation._crossing_curves import pileup_points, rate_curves, turn_on
from codae_l1.models.evaluation._crossing_points import PointRows, parse_point
from codae_l1.models.evaluation._crossing_single import CrossingRate, threshold_at, total_rate
from codae_l1.models.evaluation._crossings import Crossings, Fires, Sample, check_disjoint

__all__ = [
    "CrossingRate",
    "Crossings",
    "check_disjoint",
    "parse_point",
    "pileup_points",
    "rate_curves",
    "threshold_at",
    "total_rate",
    "trigger_points",
    "turn_on",
]


def trigger_points(
    zero_bias: Sample,
    signals: Mapping[str, Sample],
    points: Sequence[str],
    menu: Fires,
    crossing_khz: float,
    scores: Sequence[str],
) -> dict[str, Any]:
    """Working points, ready for JSON: point -> score -> row.

    points: "1e-3" (share of crossings), "1 kHz" (rate of the score) or "1 kHz pure" (rate beyond the menu). A row has
    rate_khz, error_khz, pure_khz, pure_error_khz, threshold, effective (of the rate that the point names) and
    efficiency: signal -> value, error, beyond_menu, beyond_menu_error. Where the point is not carried all of them are
    None, and `reason` says why; where it is, but the other of its two rates is not, that one is None.

    Each point has a row "menu": what the menu keeps alone, at its own rate whatever the point, beyond itself nothing.
    """
    asked = [parse_point(name, crossing_khz) for name in points]
    rows = PointRows(zero_bias, signals, menu, crossing_khz, scores)
    return rows.rows(asked, rows.thresholds(asked))
