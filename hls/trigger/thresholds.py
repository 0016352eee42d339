"""Working points of the trigger: integer thresholds on the score word, what they let through, and the kill switch.

    score = sign * word[component]                     higher is more anomalous
    accept[k] = not kill and score >= threshold[k]     a tie fires

Thresholds are words, so that Python, C++ and RTL take the same decision to the bit. They are those of rates on
zero-bias crossings, or of weighted QCD where a run has no crossings. A working point that the sample cannot support
(models/evaluation/crossing_rates.py and rates.py say why) keeps its place and never fires: nothing is extrapolated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import BACKGROUNDS, QCD
from codae_l1.hls.network.executor import score_words
from codae_l1.models.evaluation.crossing_rates import Crossings, trigger_points
from codae_l1.models.evaluation.rates import accepted_cross_section, background_rate, sample_rates
from codae_l1.models.evaluation.roc import binomial_error, tpr_at_fpr

# Accept bits fit one integer of C++.
_MOST_POINTS = 64


@dataclass(frozen=True)
class WorkingPoint:
    """name: e.g. "1e-3" or "1 kHz pure". threshold: lowest score word that fires; None: never fires, `facts` say why.

    facts: JSON-ready; rate, errors, signal efficiencies.
    """

    name: str
    threshold: int | None
    facts: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def fires(self, scores: np.ndarray) -> np.ndarray:
        """Score words (N,) int64 -> (N,) bool; a tie with the threshold fires."""
        return np.zeros(len(scores), bool) if self.threshold is None else scores >= self.threshold


@dataclass(frozen=True)
class Decision:
    """From output words to accept bits.

    points: accept bit k is that of points[k]. sign, component: which output word is the score, and its orientation
    (FirmwareModel). The kill switch has no state: it is what its port, or argument, is.

    >>> decision = Decision((WorkingPoint("loose", 5), WorkingPoint("tight", 9), WorkingPoint("beyond", None)))
    >>> decision.accept(np.array([[4], [5], [20]]), kill=False).astype(int).tolist()
    [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """

    points: tuple[WorkingPoint, ...]
    sign: int = 1
    component: int = 0

    def __post_init__(self):
        names = [point.name for point in self.points]
        if not 1 <= len(names) <= _MOST_POINTS or len(set(names)) < len(names):
            raise InputError(f"working points {names}", f"1 to {_MOST_POINTS} of different names", "correct them")

    def scores(self, words: np.ndarray) -> np.ndarray:
        """Output words (N, outputs) -> (N,) int64."""
        return score_words(words, self.sign, self.component)

    def accept(self, words: np.ndarray, kill: bool) -> np.ndarray:
        """Output words (N, outputs), the kill switch -> accept bits (N, points) bool."""
        scores = self.scores(words)
        return np.stack([point.fires(scores) for point in self.points], axis=1) & (not kill)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: the rule, the switch, each working point with its accept bit and its facts."""
        return {
            "score": "sign * word[component], higher is more anomalous",
            "sign": self.sign,
            "component": self.component,
            "rule": "accept bit k = not kill and score >= threshold_word of point k; a tie fires",
            "kill_switch": {
                "active": 1,
                "effect": "all accept bits are 0",
                "default": "none: it is what its port (RTL) or argument (C++) is; tie it high to fail safe",
            },
            "working_points": [
                {"accept_bit": k, "name": p.name, "threshold_word": p.threshold, **p.facts}
                for k, p in enumerate(self.points)
            ],
        }


def zero_bias_points(
    zero_bias: Crossings,
    signals: Mapping[str, Crossings],
    points: Sequence[str],
    menu: Mapping[str, int],
    crossing_khz: float,
    score: str = "rtl",
) -> tuple[WorkingPoint, ...]:
    """Thresholds of a score at rates on zero-bias crossings, total ("1e-3", "10 kHz") or pure ("1 kHz pure").

    menu: thresholds of the paths that run already. The facts are those of `trigger_points`. Rates beyond the reach of
    the sample, and such that the crossings with the largest word alone exceed, are not carried.

    >>> words = {"rtl": np.arange(1000), "HT": np.zeros(1000, int)}
    >>> alone = np.stack([np.arange(1000), np.full(1000, -1)], axis=1)
    >>> crossings = Crossings(words, np.ones(1000), np.zeros(1000, int), alone)
    >>> [(p.name, p.threshold) for p in zero_bias_points(crossings, {}, ("1e-1", "1e-3"), {"HT": 1}, 40_000.0)]
    [('1e-1', 900), ('1e-3', None)]
    """
    found = trigger_points(zero_bias, signals, points, menu, crossing_khz, (score,))
    result = []
    for name in points:
        row = dict(found[name][score])
        threshold = row.pop("threshold")
        facts = {"of": "zero-bias crossings", "crossing_khz": crossing_khz, "reason": None, **row}
        result.append(WorkingPoint(name, threshold, facts))
    return tuple(result)


def working_points(
    scores: np.ndarray,
    part: np.ndarray,
    signal: np.ndarray,
    weight: np.ndarray,
    provenance: Mapping[str, Any],
    rates_khz: Sequence[float],
    luminosity: float,
    fprs: Sequence[float] = (),
) -> tuple[WorkingPoint, ...]:
    """Thresholds at rates of weighted QCD, then at shares of the background events, QCD or zero bias.

    scores: (n,) int64 score words of a part of a file (its test split); part: its indices (n,) in the file. signal (N,)
    str, weight (N,) and provenance: of the whole file, which the part stands for. luminosity: cm^-2 s^-1.
    """
    rated = sample_rates({"score": scores}, part, signal, weight, provenance, rates_khz, luminosity)
    points = []
    for asked in rates_khz:
        row = {"asked_khz": asked, "rate_khz": None, "error_khz": None, "reason": rated.get("reason"), "tpr": None}
        if "scores" in rated:
            row |= next(found for found in rated["scores"]["score"] if found["asked_khz"] == asked)
        points.append(_rate_point(row, luminosity, rated.get("total", {}).get("rate_khz")))
    names, weights = signal[part], weight[part]
    try:
        section = accepted_cross_section(provenance, QCD, weight[signal == QCD])
    except InputError as error:
        section = error.received
    return (*points, *(_share_point(fpr, scores, names, weights, section, luminosity) for fpr in fprs))


def _rate_point(row: dict[str, Any], luminosity: float, total: float | None) -> WorkingPoint:
    threshold = None if row["rate_khz"] is None else int(row["threshold"])
    tpr = row["tpr"] if threshold is not None else None
    facts = {key: row[key] for key in ("asked_khz", "rate_khz", "error_khz", "reason")}
    facts |= _of_total(row["rate_khz"], total) | {"luminosity_cm2s": luminosity, "tpr": tpr}
    return WorkingPoint(f"rate_{row['asked_khz']:g}_khz", threshold, facts)


def _of_total(rate_khz: float | None, total: float | None) -> dict[str, float | None]:
    """Rate of all QCD that the sample holds, and the fraction of it that passes, by weight."""
    return {"total_khz": total, "passing_share": rate_khz / total if rate_khz is not None and total else None}


def _share_point(
    fpr: float, scores: np.ndarray, signal: np.ndarray, weight: np.ndarray, section: float | str, luminosity: float
) -> WorkingPoint:
    """Threshold at a fraction of the background events, each counted once; section: accepted cross section [pb], or
    why none."""
    is_background = np.isin(signal, BACKGROUNDS)
    background = scores[is_background]
    own = tpr_at_fpr(background, background, fpr)
    # Binomial: of two bootstraps of the same events the threshold's would count twice.
    error = None if own.value is None else binomial_error(own.value, len(background))
    facts = {"asked_fpr": fpr, "fpr": own.value, "fpr_error": error, "reason": own.reason, "tpr": None}
    facts |= {"luminosity_cm2s": luminosity, "rate_khz": None, "error_khz": None, "rate_reason": own.reason}
    facts |= _of_total(None, None)
    if own.threshold is not None and own.threshold <= background.min():
        facts["reason"] = facts["rate_reason"] = f"the share {fpr:g} would let every background event pass"
        return WorkingPoint(f"fpr_{fpr:g}", None, facts)
    if own.value is None or own.threshold is None:
        return WorkingPoint(f"fpr_{fpr:g}", None, facts)
    others = np.unique(signal[~is_background])
    found = {str(name): tpr_at_fpr(background, scores[signal == name], fpr) for name in others}
    facts["tpr"] = {name: {"value": point.value, "error": point.error} for name, point in found.items()}
    if isinstance(section, str):
        facts["rate_reason"] = section
    else:
        rate, whole = (
            background_rate(background, weight[is_background], t, section, luminosity)
            for t in (own.threshold, background.min())
        )
        facts |= {"rate_khz": rate.rate_khz, "error_khz": rate.error_khz, "rate_reason": rate.reason}
        facts |= _of_total(rate.rate_khz, whole.rate_khz)
    return WorkingPoint(f"fpr_{fpr:g}", int(own.threshold), facts)
