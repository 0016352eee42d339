"""One trial of a scan on zero-bias crossings: a distance is learned, mapped by Yosys, and judged at a rate.

A design is worth the mean efficiency of some signals at a working point of the zero-bias crossings of the validation
split; its pure rate, what it adds to the menu, is a cost beside LUT. No signal is learned from.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.files import scratch_folder

# Of the crossings, without a network.
BASELINES = ("active_pixels", "block_power")
# Steps of a float score's word in its unit, and its largest value.
_STEPS, _LARGEST = 1 << 10, 1e6


def run_distance(request: dict[str, Any], keep: str) -> dict[str, Any]:
    """Do the trial of a request; keep: .npz file for the trained firmware. TensorFlow must be imported.

    request: firmware, distill, hls, trigger (dumped configs), seed, max_lut, point, signals. Result: `state` "trained",
    or "rejected" with a `reason` where it cannot be learned, or the crossings do not carry the point for it.
    """
    from codae_l1.data.base.config import parse
    from codae_l1.data.base.errors import InputError
    from codae_l1.hls.cost.lut_model import trained_cost
    from codae_l1.hls.target.config import HlsConfig
    from codae_l1.quantization.config import DistillConfig, Training
    from codae_l1.quantization.distance import learn_distance
    from codae_l1.quantization.f_m.config import FirmwareConfig
    from codae_l1.scripts.run.config import RunConfig, TriggerConfig
    from codae_l1.scripts.run.crossings import RunCrossings

    started = time.process_time()
    firmware = parse(FirmwareConfig, request["firmware"], "firmware")
    distill, hls = parse(DistillConfig, request["distill"], "distill"), parse(HlsConfig, request["hls"], "hls")
    trigger = parse(TriggerConfig, request["trigger"], "trigger")
    config = dataclasses.replace(RunConfig(), firmware=firmware, trigger=trigger)
    train, weight = RunCrossings.background(config, "train")
    calibration, _ = RunCrossings.background(config, "calibration")
    try:
        student = learn_distance(train, weight, calibration, firmware, Training(distill, seed=request["seed"]))
    except InputError as error:
        # Windows whose sums do not fit their words, say. Its size is not known; it counts as the largest that may be.
        return {"state": "rejected", "reason": str(error), "lut": request["max_lut"]}
    student.firmware.save(keep)
    resources = map_firmware(student.firmware, hls)
    stages = trained_cost(student.firmware, hls).stages
    found = {"lut": resources["LUT"], "ff": resources["FF"], "latency_ns": stages * hls.clock_period_ns}
    found |= {"synthesis": resources, **_judge(student, trigger, request)}
    return {**found, "cpu_seconds": round(time.process_time() - started, 1)}


def map_firmware(firmware: Any, hls: Any) -> dict[str, Any]:
    """Resources of a trained network by Yosys: LUT, FF, ..."""
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.network.records import firmware_network
    from codae_l1.hls.rtl.build import build_rtl

    with scratch_folder() as scratch:
        folder = Path(scratch) / "rtl"
        build_rtl(*firmware_network(firmware), hls, folder, simulate=False, compiled=True)
        return synthesize(folder, hls)["resources"]


def _judge(student: Any, trigger: Any, request: dict[str, Any]) -> dict[str, Any]:
    """What the words, the float score and the baselines keep at the point: state, merit, merit_mean, pure_khz, ..."""
    from codae_l1.data.events import SIGNALS, ZERO_BIAS
    from codae_l1.data.menu import solve_menu
    from codae_l1.models.evaluation.crossing_rates import trigger_points
    from codae_l1.scripts.run.crossings import RunCrossings
    from codae_l1.scripts.run.executors import RunExecutor, Trained

    firmware, point = student.firmware, request["point"]
    executor = RunExecutor("qkeras", firmware, Trained(firmware.config, firmware.sign, firmware.component))
    crossings = RunCrossings(trigger, executor, request["seed"], supervised=False)
    read = {}
    for process in (ZERO_BIAS, *SIGNALS):
        if len(crossings.file.where(process, "validation")):
            sample = crossings.read(process, "validation")
            score = student.float_model.predict_scores(crossings.counts(crossings.cells(process, "validation")))
            words = np.rint(np.minimum(score, _LARGEST) * _STEPS).astype(np.int64)
            read[process] = dataclasses.replace(sample, words={**sample.words, "float": words})
    zero_bias = read.pop(ZERO_BIAS)
    menu = solve_menu(zero_bias.words, zero_bias.weight, trigger.menu, trigger.crossing_khz)
    signals = {name: [sample] for name, sample in read.items()}
    asked = [zero_bias], signals, [point], menu.thresholds, trigger.crossing_khz, ("rtl", "float", *BASELINES)
    rows = {name: _row(row, request["signals"]) for name, row in trigger_points(*asked)[point].items()}
    for name in ("rtl", "float"):
        if "reason" in rows[name]:
            return {"state": "rejected", "reason": f"{name} at {point}: {rows[name]['reason']}"}
    if rows["rtl"]["pure_khz"] is None:
        return {"state": "rejected", "reason": f"rtl at {point}: the crossings do not carry its pure rate"}
    floating = {name: row["value"] for name, row in rows["float"]["merit"].items()}
    return {
        "state": "trained",
        **rows["rtl"],
        "merit_float": floating,
        "baselines": {name: rows[name] for name in (*BASELINES, "menu")},
    }


def _row(row: dict[str, Any], signals: list[str]) -> dict[str, Any]:
    """A working point as a figure of merit: merit, merit_mean, pure_khz; `reason` alone where it is not carried."""
    if row["efficiency"] is None:
        return {"reason": row["reason"]}
    merit = {name: {key: e[key] for key in ("value", "error")} for name, e in row["efficiency"].items()}
    return {
        "merit": merit,
        "merit_mean": float(np.mean([merit[name]["value"] for name in signals])),
        "pure_khz": row["pure_khz"],
    }
