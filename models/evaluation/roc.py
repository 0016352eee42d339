"""How well a score separates signal from background: AUC, ROC curve, efficiency at a trigger rate, with uncertainties.

Scores are (N,) arrays, higher = more anomalous. An event passes a threshold t where score >= t. A tie between a
background and a signal event counts one half in the AUC.

    AUC = P(signal > background) + P(signal = background) / 2
    rate [kHz] = FPR x 40,000 kHz (25 ns bunch crossings, every one filled)

Errors are standard deviations over bootstrap samples of both classes: one class sets the threshold at which the other
is counted, so the error of a working point includes both; the binomial error of the counted class alone is too small.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation._resampling import coded, histogram, samples

# kHz; LHC bunch crossings come every 25 ns.
CROSSING_RATE_KHZ = 40_000.0
# Background events that must pass for a threshold to be quoted: 10 give it a statistical error of 32 %.
MINIMUM_BACKGROUND = 10.0
# Bootstrap samples that an error is taken from: it is good to 5 %.
N_BOOTSTRAP = 200
# Relative; a rate such as 10 / 1000 is not exact in binary.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class _RocCurve:
    """Points from (0, 0) to (1, 1), one a distinct score: fpr, tpr (K,), threshold (K,) falling from +inf."""

    fpr: np.ndarray
    tpr: np.ndarray
    threshold: np.ndarray


@dataclass(frozen=True)
class WorkingPoint:
    """Signal efficiency at a fixed false-positive rate.

    value, error: TPR and its standard deviation over bootstrap samples of both classes (of a TPR of 0 or 1 the
    half-width of the 68 % Wilson interval); None where the sample cannot carry it, then `reason` says why. fpr: what
    was asked for. fpr_reached: of the threshold (at most fpr; lower where scores tie). background_passing: effective
    number of background events that pass.
    """

    fpr: float
    value: float | None
    error: float | None
    threshold: float | None
    fpr_reached: float | None
    background_passing: float
    reason: str | None = None

    @property
    def rate_khz(self) -> float:
        """The false-positive rate as a trigger rate, kHz."""
        return rate_khz(self.fpr)


def auc(
    background: np.ndarray,
    signal: np.ndarray,
    background_weight: np.ndarray | None = None,
    signal_weight: np.ndarray | None = None,
) -> float:
    """Area under the ROC curve, ties one half; events weighted where weights are given.

    >>> auc(np.array([0, 1, 1]), np.array([1, 2]))  # pairs: 1 + 1/2 + 1/2 + 3 x 1 of 6
    0.8333333333333334
    """
    codes, counts = _codes((background, background_weight), (signal, signal_weight))
    return _auc_of_codes(codes, counts)


def auc_with_error(
    background: np.ndarray,
    signal: np.ndarray,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    background_weight: np.ndarray | None = None,
    signal_weight: np.ndarray | None = None,
) -> tuple[float, float]:
    """(AUC, its standard deviation over bootstrap samples of both classes' events)."""
    codes, size = _codes((background, background_weight), (signal, signal_weight))
    return _auc_of_codes(codes, size), _spread(codes, size, n_bootstrap, seed, _auc_of_counts)


def paired_auc_difference(
    background_a: np.ndarray,
    signal_a: np.ndarray,
    background_b: np.ndarray,
    signal_b: np.ndarray,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
) -> tuple[float, float]:
    """(AUC of score a - AUC of score b, its error) for two scores of the same events, in the same order.

    Both are recomputed on the same bootstrap samples, so what the scores share cancels.
    """
    if len(background_a) != len(background_b) or len(signal_a) != len(signal_b):
        raise InputError(
            f"{len(background_a)} / {len(background_b)} background, {len(signal_a)} / {len(signal_b)} signal events",
            "two scores of the same events",
            "score the same file with both",
        )
    pairs = [_codes((background_a, None), (signal_a, None)), _codes((background_b, None), (signal_b, None))]
    a, b = _bootstrap([codes for codes, _ in pairs], [size for _, size in pairs], n_bootstrap, seed)
    difference = _auc_of_codes(*pairs[0]) - _auc_of_codes(*pairs[1])
    return difference, float(np.std(a - b, ddof=1))


def roc_curve(
    background: np.ndarray,
    signal: np.ndarray,
    background_weight: np.ndarray | None = None,
    signal_weight: np.ndarray | None = None,
) -> _RocCurve:
    """ROC curve with one point a distinct score, so ties are one straight step.

    >>> curve = roc_curve(np.array([0, 1]), np.array([1, 2]))
    >>> curve.fpr.tolist(), curve.tpr.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    codes, size = _codes((background, background_weight), (signal, signal_weight))
    rates = []
    for code, weight in codes:
        passing = np.concatenate([[0.0], np.cumsum(histogram(code, weight, size)[::-1])])
        rates.append(passing / passing[-1])
    values = np.unique(np.concatenate([background, signal]))[::-1].astype(np.float64)
    return _RocCurve(rates[0], rates[1], np.concatenate([[np.inf], values]))


def tpr_at_fpr(
    background: np.ndarray,
    signal: np.ndarray,
    fpr: float,
    background_weight: np.ndarray | None = None,
    minimum_background: float = MINIMUM_BACKGROUND,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
) -> WorkingPoint:
    """Signal efficiency at the lowest threshold whose false-positive rate does not exceed `fpr`.

    Refused (value None, with a reason) where fewer than `minimum_background` background events are expected to pass,
    or do: nothing is extrapolated. With weights the number of events is the effective one.

    >>> point = tpr_at_fpr(np.arange(1000), np.array([995, 900]), 0.01)
    >>> point.value, point.threshold, point.background_passing
    (0.5, 990.0, 10.0)
    >>> tpr_at_fpr(np.arange(1000), np.array([995, 900]), 1e-5).reason
    '0.01 of 1000 effective background events would pass, fewer than 10'
    """
    if not 0 < fpr <= 1:
        raise InputError(f"false-positive rate {fpr}", "a number above 0, at most 1", "correct the working point")
    curve = roc_curve(background, signal, background_weight)
    n = effective_size(background, background_weight)
    tolerance = 1 + _ROUNDING
    if fpr * n * tolerance < minimum_background:
        reason = f"{fpr * n:.3g} of {n:.0f} effective background events would pass, fewer than {minimum_background:g}"
        return WorkingPoint(fpr, None, None, None, None, fpr * n, reason)
    at = int(np.flatnonzero(curve.fpr <= fpr * tolerance)[-1])
    reached, threshold = float(curve.fpr[at]), float(curve.threshold[at])
    passes = np.asarray(background) >= threshold
    passing = effective_size(background[passes], None if background_weight is None else background_weight[passes])
    if passing * tolerance < minimum_background:
        reason = f"{passing:.3g} effective background events pass (ties above them), fewer than {minimum_background:g}"
        # More of the background than asked for has the largest score: no threshold is low enough, and JSON has no inf.
        return WorkingPoint(fpr, None, None, threshold if np.isfinite(threshold) else None, reached, passing, reason)
    value = float(curve.tpr[at])
    if 0 < value < 1:
        codes, size = _codes((background, background_weight), (signal, None))
        error = _spread(codes, size, n_bootstrap, seed, lambda b, s: _tpr_of_counts(b, s, fpr))
    else:
        error = binomial_error(value, len(signal))
    return WorkingPoint(fpr, value, error, threshold, reached, passing)


def fpr_at_tpr(
    background: np.ndarray, signal: np.ndarray, tpr: float, n_bootstrap: int = N_BOOTSTRAP, seed: int = 0
) -> tuple[float, float]:
    """(Share of the background that passes the highest threshold which keeps at least `tpr` of the signal, its error).

    The error is the standard deviation over bootstrap samples of both classes. Where no background event passes the
    share is 0: nothing is known but that it lies below about 1 / N; then, and at 1, the error is the half-width of the
    68 % Wilson interval.

    >>> share, error = fpr_at_tpr(np.arange(100), np.array([98, 97, 20, 10, 5]), 0.4)
    >>> share, round(error, 2)  # two of five signal events set the threshold: it might as well be at 20
    (0.03, 0.36)
    >>> fpr_at_tpr(np.arange(100), np.array([100, 101]), 0.4) == (0.0, binomial_error(0.0, 100))
    True
    """
    if not 0 < tpr <= 1:
        raise InputError(f"true-positive rate {tpr}", "a number above 0, at most 1", "correct the working point")
    curve = roc_curve(background, signal)
    share = float(curve.fpr[np.flatnonzero(curve.tpr >= tpr * (1 - _ROUNDING))[0]])
    if not 0 < share < 1:
        return share, binomial_error(share, len(background))
    codes, size = _codes((background, None), (signal, None))
    return share, _spread(codes, size, n_bootstrap, seed, lambda b, s: _fpr_of_counts(b, s, tpr))


def rate_khz(fpr: float) -> float:
    """Trigger rate of a false-positive rate, kHz.

    >>> rate_khz(2.5e-5)
    1.0
    """
    return fpr * CROSSING_RATE_KHZ


def effective_size(events: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Effective number of events, (sum w)^2 / sum w^2; their number without weights.

    >>> effective_size(np.zeros(4)), effective_size(np.zeros(2), np.array([1.0, 3.0]))
    (4.0, 1.6)
    """
    if weight is None or not len(events):
        return float(len(events))
    return float(np.sum(weight) ** 2 / np.sum(np.square(weight)))


def binomial_error(share: float, n: float) -> float:
    """Half-width of the 68 % Wilson interval of a share of n events: above zero at 0 and 1, too.

    >>> round(binomial_error(0.5, 100), 4), round(binomial_error(0.0, 100), 4)
    (0.0498, 0.005)
    """
    return float(np.sqrt(share * (1 - share) / n + 1 / (4 * n**2)) / (1 + 1 / n))


def _codes(*classes: tuple[np.ndarray, np.ndarray | None]) -> tuple[list[tuple[np.ndarray, np.ndarray | None]], int]:
    """Scores as ranks of their distinct values: [(code (N,), weight), ...] and the number of distinct values."""
    for name, (scores, weight) in zip(("background", "signal"), classes, strict=True):
        if np.ndim(scores) != 1 or not len(scores) or not np.isfinite(scores).all():
            raise InputError(
                f"{name} scores of shape {np.shape(scores)}, {np.size(scores) - np.isfinite(scores).sum()} not finite",
                "(N >= 1,) finite numbers",
                "correct the scores",
            )
        if weight is not None and (
            np.shape(weight) != np.shape(scores) or np.min(weight) < 0 or not np.sum(weight) > 0
        ):
            raise InputError(
                f"{name} weights of shape {np.shape(weight)} from {np.min(weight)}",
                f"{len(scores)} weights >= 0, not all zero",
                "correct the weights",
            )
    codes, size = coded([np.asarray(scores) for scores, _ in classes])
    return [(code, weight) for code, (_, weight) in zip(codes, classes, strict=True)], size


def _auc_of_codes(codes: list, size: int) -> float:
    """AUC of both classes' codes and weights."""
    return float(_auc_of_counts(*(histogram(code, weight, size)[None] for code, weight in codes))[0])


def _auc_of_counts(background: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """AUC from histograms (B, K) over the distinct values, lowest first: (B,)."""
    below = np.cumsum(background, axis=1) - background / 2
    return np.sum(below * signal, axis=1) / (background.sum(axis=1) * signal.sum(axis=1))


def _tpr_of_counts(background: np.ndarray, signal: np.ndarray, fpr: float) -> np.ndarray:
    """TPR at the lowest threshold whose FPR does not exceed `fpr`, from histograms as above: (B,)."""
    above, found = _passing(background), _passing(signal)
    at = np.sum(above <= fpr * (1 + _ROUNDING), axis=1) - 1
    return found[np.arange(len(found)), at]


def _fpr_of_counts(background: np.ndarray, signal: np.ndarray, tpr: float) -> np.ndarray:
    """FPR at the highest threshold whose TPR is at least `tpr`, from histograms as above: (B,)."""
    above, found = _passing(background), _passing(signal)
    return above[np.arange(len(above)), np.argmax(found >= tpr * (1 - _ROUNDING), axis=1)]


def _passing(counts: np.ndarray) -> np.ndarray:
    """Histograms (B, K), lowest value first -> shares at or above each value, from none to all: (B, K + 1)."""
    passing = np.cumsum(counts[:, ::-1], axis=1)
    return np.concatenate([np.zeros((len(counts), 1)), passing / passing[:, -1:]], axis=1)


def _spread(codes: list, size: int, n_bootstrap: int, seed: int, statistic: Callable) -> float:
    """Standard deviation of a statistic of histograms over bootstrap samples of both classes."""
    return float(np.std(_bootstrap([codes], [size], n_bootstrap, seed, statistic)[0], ddof=1))


def _bootstrap(
    pairs: list, sizes: list[int], n_bootstrap: int, seed: int, statistic: Callable = _auc_of_counts
) -> np.ndarray:
    """Statistic of each pair [(code, weight) of background, of signal] on the same resampled events, by default the
    AUC: (pairs, n_bootstrap)."""
    drawn = samples(pairs, sizes, n_bootstrap, seed)
    return np.concatenate([[statistic(*histograms) for histograms in part] for part in drawn], axis=1)
