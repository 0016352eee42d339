"""Results of a scan's trainings in numbers: mean and spread over seeds of a design, and what needs no network."""

from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.quantization.distill import combined, teacher_coefficients
from codae_l1.scripts.studies._scan_trial import auc_table, mean_auc
from codae_l1.scripts.studies.scan_data import BASELINES, ScanData

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


def summary(final: dict[str, Any]) -> dict[str, Any]:
    """One row of a design trained with several seeds: means and spreads over seeds, resources of the first.

    Seeds whose training gave no network are left out; InputError where none did.
    """
    results = [r for r in final["results"] if "merit" in r]
    if not results:
        reason = final["results"][0]["reason"]
        raise InputError(f"design {final['number']} without a result ({reason})", "one that trains", "change it")
    first = results[0]
    means = [r["merit_mean"] for r in results]
    merit = {}
    for signal, row in first["merit"].items():
        values = [r["merit"][signal]["value"] for r in results]
        merit[signal] = {"value": float(np.mean(values)), "error": row["error"], "spread": _spread(values)}
    return {
        **{key: final[key] for key in ("number", "choices")},
        **{key: first[key] for key in ("lut", "ff", "latency_ns")},
        **({"pure_khz": float(np.mean([r["pure_khz"] for r in results]))} if "pure_khz" in first else {}),
        "yosys": "synthesis" in first,
        "seeds": len(results),
        "merit": merit,
        "merit_mean": float(np.mean(means)),
        "merit_spread": _spread(means),
        "loss": loss(results),
    }


def loss(results: list[dict[str, Any]]) -> float:
    """Merit of the float twin - that of the integer words, mean over results, of the signal where it is largest."""
    return max(
        float(np.mean([r["merit_float"][s] - r["merit"][s]["value"] for r in results])) for s in results[0]["merit"]
    )


def baselines(run: "Run", events: ScanData) -> dict[str, Any]:
    """AUC by signal of what needs no firmware network: counts, the full model's MSE, the score that is distilled."""
    known = events.validation
    scores = {name: known[name].astype(np.float64) for name in BASELINES}
    full = {name.removeprefix("full/"): v for name, v in known.items() if name.startswith("full/")}
    scores["codae_mse"] = full["mse"]
    coefficients = teacher_coefficients(run.config.distill.scores, events.scores("calibration"), events.signs)
    scores["teacher"] = combined(coefficients, full)
    tables = {name: auc_table(score, known["signal"]) for name, score in scores.items()}
    return {name: {"merit": table, "merit_mean": mean_auc(table)} for name, table in tables.items()}


def _spread(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
