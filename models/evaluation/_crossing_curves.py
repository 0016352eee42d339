"""Rates and efficiencies along thresholds, pile-up and a quantity of the event, ready for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation._crossing_points import PointRows, parse_point
from codae_l1.models.evaluation._crossing_sums import Cut
from codae_l1.models.evaluation._crossings import Fires, Sample, chunks, fired
from codae_l1.models.evaluation.roc import binomial_error

# Points of a curve.
CURVE_POINTS = 100


def rate_curves(
    zero_bias: Sample,
    signals: Mapping[str, Sample],
    score: str,
    menu: Fires,
    crossing_khz: float,
    points: int = CURVE_POINTS,
) -> dict[str, Any]:
    """Rate, pure rate and efficiencies of a score against its threshold: lists of equal length, thresholds falling.

    Rates grow by about equal factors. The curve begins at `reach_khz`, the lowest rate such that this and every higher
    one of the curve is carried by ten effective collisions; it is known to one step of the curve. Pure rates are None
    where they are not carried. Efficiencies are dictionaries of lists: value, error, beyond_menu, beyond_menu_error;
    their errors hold the threshold's.
    """
    rows = PointRows(zero_bias, signals, menu, crossing_khz, [score])
    ladder = rows.zero.ladder(score, points)
    zero = rows.zero.measure([Cut(score, t, beyond) for t in ladder for beyond in (False, True)])
    refused = [i for i, t in enumerate(ladder) if zero[Cut(score, t)].refusal() is not None]
    ladder = ladder[refused[-1] + 1 :] if refused else ladder
    rates = [rows.rates(zero[Cut(score, t)], zero[Cut(score, t, True)]) for t in ladder]
    content: dict[str, Any] = {"threshold": ladder, "reach_khz": rates[0]["rate_khz"]}
    for key in ("rate_khz", "error_khz", "pure_khz", "pure_error_khz"):
        content[key] = [rate[key] for rate in rates]
    content["effective"] = [zero[Cut(score, t)].effective for t in ladder]
    content["efficiency"] = {}
    moved = [rows.moved(score, zero[Cut(score, t)], False) for t in ladder]
    for name, sums in rows.signals.items():
        shares = sums.measure([Cut(score, t, beyond) for t in ladder for beyond in (False, True)])
        found = [rows.efficiency(name, score, t, shares, m) for t, m in zip(ladder, moved, strict=True)]
        keys = ("value", "error", "beyond_menu", "beyond_menu_error")
        content["efficiency"][name] = {key: [row[key] for row in found] for key in keys}
    return content


def pileup_points(
    samples: Mapping[float, tuple[Sample, Mapping[str, Sample]]],
    points: Sequence[str],
    menu: Fires,
    crossing_khz: float,
    scores: Sequence[str],
    fixed_at: float,
) -> dict[str, Any]:
    """Working points against pile-up: {"fixed_at", "pileup", "solved", "fixed"}.

    samples: mean number of collisions -> (zero bias, signals). solved: pile-up -> rows of `trigger_points`, thresholds
    chosen at each pile-up. fixed: the same with the thresholds of the pile-up `fixed_at`; where the rate is not
    carried, it is None with a reason, while the efficiencies, whose errors are the signal's alone, are given.
    """
    if fixed_at not in samples:
        raise InputError(
            f"thresholds fixed at pile-up {fixed_at:g}",
            f"one of {', '.join(f'{mu:g}' for mu in samples)}",
            "name a pile-up that has a sample",
        )
    asked = [parse_point(name, crossing_khz) for name in points]
    # The thresholds come first.
    order = sorted(samples, key=lambda mu: (mu != fixed_at, mu))
    solved, fixed, thresholds = {}, {}, {}
    for mu in order:
        zero_bias, signals = samples[mu]
        rows = PointRows(zero_bias, signals, menu, crossing_khz, scores)
        own = rows.thresholds(asked)
        solved[f"{mu:g}"] = rows.rows(asked, own)
        if mu == fixed_at:
            refused = {key: solved[f"{mu:g}"][key[1].name][key[0]].get("reason") for key in own}
            thresholds = {key: (None, refused[key]) if refused[key] else own[key] for key in own}
        fixed[f"{mu:g}"] = rows.rows(asked, thresholds, fixed=True)
    pileup = [f"{mu:g}" for mu in sorted(samples)]
    return {
        "fixed_at": f"{fixed_at:g}",
        "pileup": pileup,
        "solved": {mu: solved[mu] for mu in pileup},
        "fixed": {mu: fixed[mu] for mu in pileup},
    }


def turn_on(sample: Sample, fires: Fires, values: np.ndarray, edges: np.ndarray) -> dict[str, list]:
    """Efficiency in bins of a quantity of the event: {"edges", "value", "low", "high", "effective"}.

    fires: what is counted: {score: threshold}, or a menu. values: (N,) of the sample's crossings, in their order, such
    as the generated HT in GeV. edges: (B + 1,) rising, in the same unit; a bin holds its lower edge. low and high are
    the 68 % Wilson interval of the bin's effective number of events; value, low and high are None in an empty bin.
    """
    edges = np.asarray(edges, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise InputError(f"edges {edges.tolist()}", "at least two rising numbers", "correct the edges")
    sums, start = np.zeros((3, len(edges) + 1)), 0
    for chunk in chunks(sample):
        part = values[start : start + chunk.size]
        start += chunk.size
        if len(part) < chunk.size or not np.isfinite(part).all():
            start = -1
            break
        bins = np.searchsorted(edges, part, side="right")
        taken = chunk.weight * fired(fires, chunk)
        for row, term in zip(sums, (chunk.weight, np.square(chunk.weight), taken), strict=True):
            np.add.at(row, bins, term)
    if start != len(values):
        raise InputError(
            f"values of shape {np.shape(values)}", "one finite value per crossing", "give each crossing its value"
        )
    rows = [_wilson(*column) for column in sums[:, 1:-1].T.tolist()]
    keys = ("value", "low", "high", "effective")
    return {"edges": edges.tolist(), **{key: [row[i] for row in rows] for i, key in enumerate(keys)}}


def _wilson(weight: float, squares: float, taken: float) -> tuple[float | None, float | None, float | None, float]:
    """(Share, ends of its 68 % Wilson interval, effective number)."""
    if not weight > 0:
        return None, None, None, 0.0
    n, share = weight**2 / squares, taken / weight
    centre, half = (share + 0.5 / n) / (1 + 1 / n), binomial_error(share, n)
    return share, max(centre - half, 0.0), min(centre + half, 1.0), n
