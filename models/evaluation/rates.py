"""Background rates from weighted events: cross sections and a luminosity, with their statistical error.

    rate = L sigma sum_pass(w) / sum(w)        error = L sigma sqrt(sum_pass(w^2)) / sum(w)

sigma is the cross section of the events that the sample accepts, w the weights of the events that were scored (any part
of the sample, such as its test split). The effective number of passing events is (sum w)^2 / sum(w^2). The rate
is that of the sample's events, QCD above its selection. Collisions below the selection are not included, so a trigger
that also fires on them has a higher rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation.roc import MINIMUM_BACKGROUND, binomial_error, effective_size

# cm^-2 s^-1; to which the LHC levels the luminosity of CMS in Run 3 (arXiv:2309.05466).
RUN3_LUMINOSITY = 2e34
# kHz for 1 pb (1e-36 cm^2) at 1 cm^-2 s^-1.
_KHZ_PER_PB = 1e-36 * 1e-3


@dataclass(frozen=True)
class _BackgroundRate:
    """Rate of the background events with score >= threshold.

    rate_khz, error_khz: None where the sample cannot carry it, then `reason` says why. effective_events: effective
    number of passing events. one_event_khz: what one event of the sample's largest weight stands for; a rate below it
    could be changed by one unseen event, and is refused.
    """

    threshold: float
    rate_khz: float | None
    error_khz: float | None
    effective_events: float
    one_event_khz: float
    reason: str | None = None


def accepted_cross_section(provenance: Mapping[str, Any], process: str, weight: np.ndarray) -> float:
    """Cross section [pb] of a process's events in a generated file, with the file's provenance.

    weight: (N,) of all events of the process in the file.

    >>> record = {"processes": {"qcd": {"cross_section_pb": 50.0, "sum_weight": 8.0}}}
    >>> accepted_cross_section(record, "qcd", np.array([1.0, 1.0, 0.5, 1.5]))
    25.0
    """
    record = provenance.get("processes", {}).get(process, {})
    if not {"cross_section_pb", "sum_weight"} <= set(record):
        raise InputError(
            f"events without a cross section of {process}",
            "cross_section_pb and sum_weight in the provenance, as generated events have them",
            "generate the events (scripts/make_data.py) or leave rates out",
        )
    return float(record["cross_section_pb"] * np.sum(weight) / record["sum_weight"])


def background_rate(
    scores: np.ndarray, weight: np.ndarray, threshold: float, cross_section_pb: float, luminosity: float
) -> _BackgroundRate:
    """Rate above a threshold: scores and weights (N,) of the background; luminosity in cm^-2 s^-1.

    >>> rate = background_rate(np.arange(1000.0), np.ones(1000), 900.0, cross_section_pb=1e5, luminosity=2e34)
    >>> round(rate.rate_khz, 6), round(rate.error_khz, 6), rate.effective_events
    (0.2, 0.02, 100.0)
    >>> background_rate(np.arange(1000.0), np.ones(1000), 995.0, 1e5, 2e34).reason
    '5 effective background events pass, fewer than 10'
    """
    scores, weight = np.asarray(scores), np.asarray(weight, np.float64)
    scale = _scale(scores, weight, cross_section_pb, luminosity)
    passing = weight[scores >= threshold]
    effective, one = effective_size(passing, passing), float(scale * weight.max())
    rate, error = float(scale * passing.sum()), float(scale * np.sqrt(np.square(passing).sum()))
    # Sums of floating-point weights: allow for their rounding.
    tolerance = 1 + 1e-9
    if effective * tolerance < MINIMUM_BACKGROUND:
        reason = f"{effective:.3g} effective background events pass, fewer than {MINIMUM_BACKGROUND:g}"
    elif rate * tolerance < one:
        reason = f"{rate:.3g} kHz is less than one event of the largest weight stands for, {one:.3g} kHz"
    else:
        return _BackgroundRate(float(threshold), rate, error, effective, one)
    return _BackgroundRate(float(threshold), None, None, effective, one, reason)


def _at_rate(
    scores: np.ndarray, weight: np.ndarray, rate_khz: float, cross_section_pb: float, luminosity: float
) -> _BackgroundRate:
    """The lowest threshold whose rate does not exceed `rate_khz`, and its rate.

    Refused where it is not below the rate of all events: what lies below the sample's selection would fire, too.

    >>> _at_rate(np.arange(1000.0), np.ones(1000), 0.2, cross_section_pb=1e5, luminosity=2e34).threshold
    900.0
    """
    scores, weight = np.asarray(scores), np.asarray(weight, np.float64)
    scale = _scale(scores, weight, cross_section_pb, luminosity)
    values, codes = np.unique(scores, return_inverse=True)
    above = scale * np.cumsum(np.bincount(codes, weight)[::-1])[::-1]
    allowed = np.flatnonzero(above <= rate_khz * (1 + 1e-9))
    if len(allowed) and not allowed[0]:
        reason = f"{rate_khz:.3g} kHz is not below the sample's total of {above[0]:.3g} kHz: everything would fire"
        return _BackgroundRate(np.inf, None, None, effective_size(weight, weight), float(scale * weight.max()), reason)
    threshold = float(values[allowed[0]]) if len(allowed) else np.inf
    return background_rate(scores, weight, threshold, cross_section_pb, luminosity)


def _weighted_rates(
    scores: Mapping[str, np.ndarray],
    signal: np.ndarray,
    weight: np.ndarray,
    cross_section_pb: float,
    rates_khz: Sequence[float],
    luminosity: float = RUN3_LUMINOSITY,
    background: str = "qcd",
) -> dict[str, Any]:
    """Signal efficiencies at background rates, JSON-ready.

    scores: name -> (N,). signal: (N,) str. weight: (N,). cross_section_pb: of the accepted background. The result has
    the luminosity, the whole background's rate, and for each score and rate asked for the _BackgroundRate's fields with
    `asked_khz` and `tpr`: signal -> value and error (None where the rate is refused).
    """
    is_background = signal == background
    w = weight[is_background]
    total = background_rate(np.zeros(len(w)), w, 0.0, cross_section_pb, luminosity)
    content: dict[str, Any] = {"luminosity_cm2s": luminosity, "total": vars(total), "scores": {}}
    processes = [str(name) for name in np.unique(signal) if name != background]
    for name, values in scores.items():
        rows = []
        for asked in rates_khz:
            point = _at_rate(values[is_background], w, asked, cross_section_pb, luminosity)
            threshold = None if np.isinf(point.threshold) else point.threshold
            tpr = {p: _efficiency(values[signal == p], point) for p in processes}
            rows.append({"asked_khz": asked, **vars(point), "threshold": threshold, "tpr": tpr})
        content["scores"][name] = rows
    return content


def sample_rates(
    scores: Mapping[str, np.ndarray],
    part: np.ndarray,
    signal: np.ndarray,
    weight: np.ndarray,
    provenance: Mapping[str, Any],
    rates_khz: Sequence[float],
    luminosity: float = RUN3_LUMINOSITY,
) -> dict[str, Any]:
    """weighted_rates of a part of a file (its test split), or {"reason": ...} where the file has no cross sections.

    scores: name -> (n,) of the part. part: (n,) indices or (N,) mask of its events. signal (N,), weight (N,) and
    provenance are the whole file's, so that the part stands for the whole cross section.
    """
    if not np.any(is_qcd := np.asarray(signal == "qcd")):
        return {"reason": "no QCD in the sample; rates of zero bias are those of its crossings"}
    try:
        section = accepted_cross_section(provenance, "qcd", weight[is_qcd])
    except InputError as error:
        return {"reason": str(error)}
    return _weighted_rates(scores, signal[part], weight[part], section, rates_khz, luminosity)


def _efficiency(scores: np.ndarray, point: _BackgroundRate) -> dict[str, float] | None:
    if point.rate_khz is None:
        return None
    value = float((scores >= point.threshold).mean())
    return {"value": value, "error": binomial_error(value, len(scores))}


def _scale(scores: np.ndarray, weight: np.ndarray, cross_section_pb: float, luminosity: float) -> float:
    """kHz for a weight of 1; InputError where the numbers say nothing."""
    for name, value in (("cross section", cross_section_pb), ("luminosity", luminosity)):
        if not 0 < value < np.inf:
            raise InputError(f"{name} {value}", "a finite number above 0", f"correct the {name}")
    bad = scores.ndim != 1 or not len(scores) or scores.shape != weight.shape or not np.isfinite(scores).all()
    if bad or not (weight.min() >= 0 and 0 < weight.sum() < np.inf):
        raise InputError(
            f"background scores of shape {scores.shape} with weights of shape {weight.shape}",
            "as many finite scores as weights >= 0, not all zero",
            "correct the scores or the weights",
        )
    return float(_KHZ_PER_PB * luminosity * cross_section_pb / weight.sum())
