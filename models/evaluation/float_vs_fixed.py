"""Float against QKeras on the same events: scatter of the scores, ROC curves, AUC difference with its error.

Everything is JSON-ready: plain lists and numbers. A loss by quantization is AUC(float) - AUC(QKeras), paired on the
same bootstrap samples, so that what the two scores share cancels.
"""

from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import BACKGROUNDS, SIGNALS
from codae_l1.models.evaluation.roc import auc_with_error, paired_auc_difference, roc_curve

# Points of a curve and events of a process that are kept: enough to draw, few enough to store.
CURVE_POINTS = 200
SCATTER_EVENTS = 500


def compare_scores(
    float_score: np.ndarray, qkeras_score: np.ndarray, signal: np.ndarray, n_bootstrap: int = 200, seed: int = 0
) -> dict[str, Any]:
    """Scores (N,) of the same events, higher = more anomalous, and their process names (N,), a background
    ("qcd", "zero_bias") among them.

    Gives `scatter` (process -> {float, qkeras}), `roc` (signal -> executor -> {fpr, tpr}), `auc` (signal -> executor ->
    {value, error}), `difference` (signal -> {value, error}, float - QKeras) and `correlation` on background.
    """
    scores = {"float": np.asarray(float_score, np.float64), "qkeras": np.asarray(qkeras_score, np.float64)}
    if {len(s) for s in scores.values()} != {len(signal)} or not (is_background := np.isin(signal, BACKGROUNDS)).any():
        raise InputError(
            f"{len(float_score)} float scores, {len(qkeras_score)} QKeras scores, {len(signal)} names",
            'the same number of each, "qcd" or "zero_bias" among the names',
            "score the same events with both",
        )
    background = {name: s[is_background] for name, s in scores.items()}
    result: dict[str, Any] = {"scatter": _scatter(scores, signal, seed), "roc": {}, "auc": {}, "difference": {}}
    result["correlation"] = _correlation(background["float"], background["qkeras"])
    for process in (s for s in SIGNALS if s in signal):
        pairs = {name: (background[name], s[signal == process]) for name, s in scores.items()}
        result["roc"][process] = {name: _curve(*pair) for name, pair in pairs.items()}
        errors = {name: auc_with_error(*pair, n_bootstrap, seed) for name, pair in pairs.items()}
        result["auc"][process] = {name: {"value": v, "error": e} for name, (v, e) in errors.items()}
        value, error = paired_auc_difference(*pairs["float"], *pairs["qkeras"], n_bootstrap, seed)
        result["difference"][process] = {"value": value, "error": error}
    return result


def _scatter(scores: dict[str, np.ndarray], signal: np.ndarray, seed: int) -> dict[str, dict[str, list[float]]]:
    rng, result = np.random.default_rng(seed), {}
    for process in (p for p in (*BACKGROUNDS, *SIGNALS) if p in signal):
        of = np.flatnonzero(signal == process)
        chosen = np.sort(rng.permutation(of)[:SCATTER_EVENTS])
        result[process] = {name: np.round(s[chosen], 5).tolist() for name, s in scores.items()}
    return result


def _curve(background: np.ndarray, signal: np.ndarray) -> dict[str, list[float]]:
    """At most CURVE_POINTS + 1 points of the ROC curve, both ends kept."""
    curve = roc_curve(background, signal)
    at = np.unique(np.linspace(0, len(curve.fpr) - 1, CURVE_POINTS + 1).astype(int))
    return {"fpr": np.round(curve.fpr[at], 6).tolist(), "tpr": np.round(curve.tpr[at], 6).tolist()}


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's; None where a score does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else None
