"""One trial of a scan, run by a Dask worker: cost, training, AUC on validation events, cost again, synthesis if asked.

A trial is a request (JSON-ready, it decides every number) and gives a result (JSON-ready); the request's content is the
name it is kept under, so no trial is trained twice.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.scripts.run import cli
from codae_l1.scripts.studies._scan_crossings import map_firmware, run_distance

# Events that the first weights' words are calibrated on, and resamplings of an AUC's error.
CALIBRATION_EVENTS, BOOTSTRAP = 500, 50


def run_trial(request: dict[str, Any], data: str, keep: str) -> dict[str, Any]:
    """Do the trial of a request; data: folder of scan_data.prepare. keep: .npz file for the trained firmware.

    request: firmware, distill, in_situ, hls (dumped configs), training, deterministic, seed, max_lut, max_latency_ns,
    map (whether Yosys maps it); of a distance from zero bias what _scan_crossings says. Result: `state` "trained", or
    "rejected" with a `reason` where it is too large before training.
    """
    cli.import_tensorflow(request["deterministic"])
    if request["training"] == "zero_bias":
        return run_distance(request, keep)
    from codae_l1.data.base.config import parse
    from codae_l1.data.base.errors import InputError
    from codae_l1.hls.cost.lut_model import effective_bits, estimate_lut, trained_cost, untrained_cost
    from codae_l1.hls.target.config import HlsConfig
    from codae_l1.quantization.config import DistillConfig
    from codae_l1.quantization.f_m.config import FirmwareConfig
    from codae_l1.scripts.studies.scan_data import ScanData

    started, events = time.process_time(), ScanData(data)
    firmware = parse(FirmwareConfig, request["firmware"], "firmware")
    distill, hls = parse(DistillConfig, request["distill"], "distill"), parse(HlsConfig, request["hls"], "hls")
    calibration = events.counts("calibration", firmware.pooling)
    found: dict[str, Any] = {}
    expected = estimate_lut("effective_bits", effective_bits(firmware, distill.sparsity))
    if expected.high > request["max_lut"]:
        # In doubt: what da4ml makes of its first weights tells more, in the time of a trace.
        before = untrained_cost(firmware, calibration[:CALIBRATION_EVENTS], hls, distill.sparsity, request["seed"])
        expected = estimate_lut("untrained", before.features)
        found["untrained"] = {**before.as_dict(), "lut": vars(expected)}
        # Training may save a stage.
        reason = _too_large(expected.low, before.stages - 1, hls, request)
        if reason:
            return {"state": "rejected", "reason": reason, **found, "lut": expected.lut}
    try:
        student = _train(request, firmware, distill, events, calibration)
    except InputError as error:
        return {"state": "rejected", "reason": str(error), **found, "lut": expected.lut}
    after = trained_cost(student.firmware, hls)
    student.firmware.save(keep)
    lut = estimate_lut("trained", after.features)
    found["trained"] = {**after.as_dict(), "lut": vars(lut)}
    found |= {"lut": lut.lut, "ff": after.register_bits, "latency_ns": after.stages * hls.clock_period_ns}
    if request["map"]:
        found["synthesis"] = map_firmware(student.firmware, hls)
        found |= {"lut": found["synthesis"]["LUT"], "ff": found["synthesis"]["FF"]}
    found |= _measure(student, events)
    return {"state": "trained", **found, "cpu_seconds": round(time.process_time() - started, 1)}


def _too_large(lut: float, stages: int, hls: Any, request: dict[str, Any]) -> str | None:
    """Why a design is out of the budget: its LUT or its latency, in words."""
    latency = stages * hls.clock_period_ns
    if lut > request["max_lut"]:
        return f"at least {lut:,.0f} LUT estimated, more than {request['max_lut']:,}"
    if latency > request["max_latency_ns"]:
        return f"at least {latency:g} ns, more than {request['max_latency_ns']:g}"
    return None


def auc_table(score: np.ndarray, signal: np.ndarray) -> dict[str, dict[str, float]]:
    """AUC of a score (N,) against background by process: signal -> {value, error}."""
    from codae_l1.data.events import BACKGROUNDS, SIGNALS
    from codae_l1.models.evaluation.roc import auc_with_error

    table = {}
    for name in (s for s in SIGNALS if s in signal):
        value, error = auc_with_error(score[np.isin(signal, BACKGROUNDS)], score[signal == name], BOOTSTRAP)
        table[name] = {"value": value, "error": error}
    return table


def mean_auc(table: dict[str, dict[str, float]]) -> float:
    """What the search maximises: the mean AUC over the signals.

    >>> mean_auc({"h125": {"value": 0.5, "error": 0}, "h200": {"value": 1.0, "error": 0}})
    0.75
    """
    return float(np.mean([row["value"] for row in table.values()]))


def _train(request: dict[str, Any], firmware: Any, distill: Any, events: Any, calibration: np.ndarray) -> Any:
    """The Student of a request."""
    from codae_l1.quantization.config import Training
    from codae_l1.quantization.distill import combined, learn_scores, teacher_coefficients

    if request["training"] == "in situ":
        return _train_in_situ(request, firmware, distill, events)
    coefficients = teacher_coefficients(distill.scores, events.scores("calibration"), events.signs)
    scores, counts = combined(coefficients, events.scores("train")), events.counts("train", firmware.pooling)
    return learn_scores(counts, scores, calibration, firmware, Training(distill, seed=request["seed"]))


def _train_in_situ(request: dict[str, Any], firmware: Any, distill: Any, events: Any) -> Any:
    from codae_l1.data.base.config import parse
    from codae_l1.models.codae.codvae import load_codae
    from codae_l1.quantization.config import InSituConfig, Training
    from codae_l1.quantization.in_situ import train_in_situ

    masks = events.masks("train"), events.masks("calibration")
    config = parse(InSituConfig, request["in_situ"], "in_situ")
    codae = load_codae(Path(request["codae"]))
    return train_in_situ(codae, *masks, firmware, Training(distill, config, request["seed"]))


def _measure(student: Any, events: Any) -> dict[str, Any]:
    """AUC by signal of the integer words, and of the float twin."""
    counts, signal = events.counts("validation", student.firmware.config.pooling), events.validation["signal"]
    words = student.firmware.firmware_score(student.firmware.predict_words(counts))
    auc = auc_table(words, signal)
    floating = auc_table(student.float_model.predict_scores(counts), signal)
    return {"merit": auc, "merit_mean": mean_auc(auc), "merit_float": {s: row["value"] for s, row in floating.items()}}
