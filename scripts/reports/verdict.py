"""The verdict of a report: each requirement with its limit, the value reached and how it was found, and in words."""

import re
from typing import Any

from codae_l1.hls.target.parts import BUDGET, OPEN, part
from codae_l1.scripts.reports._cells import with_error

# AUC by which the firmware may be below the count of active pixels.
AUC_TOLERANCE = 0.01
_MET = "met after place and route"
# The point of which the first sentence about the trigger speaks, where the crossings carry it.
SPOKEN_POINT = "1 kHz pure"


def verdict(report: dict[str, Any]) -> dict[str, Any]:
    """What the report begins with: headline, trigger, sentence, baseline, checks (rows), missed (names), fits."""
    checks = _budget_checks(report) + _agreement_checks(report)
    missed = [check["name"] for check in checks if check["ok"] is False]
    clock = f"a clock of {report['clock_period_ns']:g} ns, which is {_MET if _slacks(report) else OPEN}"
    headline = f"Misses: {', '.join(missed)}." if missed else f"Fits the Level-1 budget at {clock}."
    better = [s for s, row in report["auc"].items() if row["n_tracks"]["value"] > row["rtl"]["value"]]
    gain, power = (_gains(report, name) for name in ("active_pixels", "block_power"))
    baseline = (
        f"From signal to signal, its AUC differs by {100 * min(gain):+.1f} to {100 * max(gain):+.1f} points (of 100) "
        f"from that of counting active pixels, and by {100 * min(power):+.1f} to {100 * max(power):+.1f} points from "
        "that of the block power, which needs no learning. The number of tracks, which the image does not hold, is a "
        f"better score for {', '.join(map(_title, better)) or 'no signal'}."
    )
    return {
        "fits": not missed,
        "headline": headline,
        "trigger": _trigger_sentence(report),
        "sentence": _sentence(report),
        "baseline": baseline,
        "missed": missed,
        "checks": checks,
    }


def _budget_checks(report: dict[str, Any]) -> list[dict[str, Any]]:
    """LUT, DSP, BRAM, latency, interval and clock against the Level-1 budget: rows {name, limit, value, ok, how}.

    ok: None where it is open.
    """
    resources = report["resources"]
    how = f"{resources['tool']}, {resources['kind']}"
    estimates = {row["name"]: row for row in report["estimates"]}
    costs = [row for name, row in estimates.items() if name.startswith("LUT, ") and row["kind"] == "estimate"]
    lut_how, clock = how, estimates["clock period [ns]"]
    if costs:
        low, high = min(row["low"] for row in costs), max(row["high"] for row in costs)
        lut_how += f"; da4ml's cost estimates {low:,.0f} to {high:,.0f}: {estimates['LUT cross-check']['how']}"
    period, least = report["clock_period_ns"], clock["low"]
    timing = f"{report['latency_cycles']} cycles of {period:g} ns, {report['latency_how']}"
    rows = (
        ("LUT", resources["LUT"], BUDGET.lut, lut_how),
        ("DSP", resources["DSP"], BUDGET.dsp, how),
        ("BRAM_18K", resources["BRAM_18K"], BUDGET.bram, how),
        ("latency [ns]", report["latency_ns"], BUDGET.latency_ns, timing),
        ("initiation interval [cycles]", report["interval_cycles"], BUDGET.interval_cycles, report["interval_how"]),
    )
    checks = [_check(name, f"{limit:,g}", f"{value:,g}", value <= limit, text) for name, value, limit, text in rows]
    name = "clock period [ns]"
    if slacks := _slacks(report):
        words = ", ".join(f"{key} {value:g} ns" for key, value in slacks.items())
        how = f"{_routed(report)['tool']}, after place and route: {words}"
        return [*checks, _check(name, "slack of 0 or more", f"{period:g}", min(slacks.values()) >= 0, how)]
    # A latency means nothing at a clock that no such design reaches, and that one is reached no estimate can say.
    how, ok = f"indicative: {least:g} to {clock['high']:g} ns can be expected of its stages", False
    if period >= least:
        how, ok = f"{how}; {OPEN}", None
    return [*checks, _check(name, f"at least {least:g}", f"{period:g}", ok, how)]


def _routed(report: dict[str, Any]) -> dict[str, str]:
    """The row of the run's own RTL after place and route on its part; empty where that was not done."""
    return next((row for row in report["further"] if row["name"] == "rtl implementation"), {})


def _slacks(report: dict[str, Any]) -> dict[str, float]:
    """Worst slacks [ns] of setup, hold and pulse widths after place and route, those that the tool stated.

    >>> _slacks({"further": [{"name": "rtl implementation", "figures": "LUT 3,906; WNS -0.6, TNS -1,204.5, WHS 0.02"}]})
    {'WNS': -0.6, 'WHS': 0.02}
    """
    figures = _routed(report).get("figures", "")
    return {key: float(value) for key, value in re.findall(r"\b(WNS|WHS|WPWS) (-?\d+(?:\.\d+)?)\b", figures)}


def _agreement_checks(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Equal words everywhere, and the AUC of counting active pixels: rows as above."""
    different = sum(m["different"] for m in report["mismatches"].values())
    auc = report["auc"]
    below = [s for s, row in auc.items() if row["rtl"]["value"] < row["active_pixels"]["value"] - AUC_TOLERANCE]
    how = f"{report['events']['test'][report['background']]:,} test events of background"
    how += f"; below on {', '.join(below)}" if below else ""
    name, n = f"signals with RTL AUC >= active pixels - {AUC_TOLERANCE:g}", len(auc)
    return [
        _check("mismatches between executors", "0", f"{different:,}", different == 0, "words compared with =="),
        _check(name, f"{n} of {n}", f"{n - len(below)} of {n}", not below, how),
    ]


def _gains(report: dict[str, Any], baseline: str) -> list[float]:
    """AUC of the RTL minus that of a baseline, one per signal."""
    return [row["rtl"]["value"] - row[baseline]["value"] for row in report["auc"].values()]


def _check(name: str, limit: str, value: str, ok: bool | None, how: str) -> dict[str, Any]:
    return {"name": name, "limit": limit, "value": value, "ok": None if ok is None else bool(ok), "how": how}


def _trigger_sentence(report: dict[str, Any]) -> str:
    """What the firmware adds to the menu, at 1 kHz pure rate or at the lowest rate that the crossings carry."""
    trigger = report["trigger"]
    if trigger is None:
        return f"There are no trigger rates: {report['trigger_reason']}."
    rows = {point: scores["rtl"] for point, scores in trigger["points"].items()}
    carried = {point: row for point, row in rows.items() if row["efficiency"] is not None}
    if not carried:
        refused = "; ".join(f"{point}: {row['reason']}" for point, row in rows.items())
        return f"The crossings carry no rate of this firmware ({refused})."
    point = SPOKEN_POINT if SPOKEN_POINT in carried else min(carried, key=lambda name: _rate(carried[name]))
    row, of = carried[point], trigger["points"][point]
    signal = next(iter(row["efficiency"]))
    own, menu = row["efficiency"][signal], of["menu"]["efficiency"][signal]
    text = (
        f"With its threshold at {_point(point)}, this firmware alone fires at {_khz(row, 'rate_khz', 'error_khz')} in "
        f"total. Its pure rate, of crossings that no path (seed) of the Level-1 menu takes, is "
        f"{_khz(row, 'pure_khz', 'pure_error_khz')}. It keeps {_percent(own, 'value')} % of {_title(signal)} in all, "
        f"and {_percent(own, 'beyond_menu')} % that the menu does not take. The menu alone keeps "
        f"{_percent(menu, 'value')} %, at a total rate of {_khz(of['menu'], 'rate_khz', 'error_khz')}."
    )
    if "reason" in of["menu"]:
        text += f" Too few collisions set the menu, and what lies beyond it is no better known: {of['menu']['reason']}."
    others = {"block_power": "the block power keeps", "bdt": "boosted trees that are shown the signals keep"}
    kept = [
        f"{words} {_percent(of[score]['efficiency'][signal], 'beyond_menu')} %"
        for score, words in others.items()
        if of.get(score, {}).get("efficiency")
    ]
    if kept:
        text += f" Beyond the menu and at the same rate, {' and '.join(kept)}."
    if SPOKEN_POINT in rows and point != SPOKEN_POINT:
        refused = rows[SPOKEN_POINT]["reason"]
        text += f" No threshold for {_point(SPOKEN_POINT)} can be determined on these crossings: {refused}."
    return text


def _rate(row: dict[str, Any]) -> float:
    return min(row[key] for key in ("rate_khz", "pure_khz") if row[key] is not None)


def _percent(of: dict[str, float], key: str) -> str:
    error = of["error" if key == "value" else f"{key}_error"]
    return f"{100 * of[key]:.1f} ± {100 * error:.1f}"


def _khz(row: dict[str, Any], key: str, error: str) -> str:
    return "a rate that is not carried" if row[key] is None else f"{with_error(row[key], row[error])} kHz"


def _point(name: str) -> str:
    """A point's name in words.

    >>> _point("1e-3"), _point("20 kHz"), _point("1 kHz pure")
    ('a total rate of 1e-3 of zero bias', 'a total rate of 20 kHz', 'a pure rate of 1 kHz')
    """
    if name.endswith(" pure"):
        return f"a pure rate of {name.removesuffix(' pure')}"
    return f"a total rate of {name}{'' if 'kHz' in name else ' of zero bias'}"


def _cycles(interval: int) -> str:
    """How often, in words.

    >>> _cycles(1), _cycles(18)
    ('cycle', '18 cycles')
    """
    return "cycle" if interval == 1 else f"{interval} cycles"


def _title(signal: str) -> str:
    if signal.startswith("svj"):
        return f"SVJ {int(signal[3:]) / 1000} TeV"
    return f"SUEP {signal[1:]} GeV" if signal.startswith("h") else signal


def _sentence(report: dict[str, Any]) -> str:
    resources = report["resources"]
    share = 100 * resources["LUT"] / part(report["part"]).lut
    equal = "equal" if all(m["different"] == 0 for m in report["mismatches"].values()) else "NOT equal"
    loss = 100 * max([0.0, *(row["value"] for row in report["quantization_loss"].values())])
    return (
        f"The trigger network costs {resources['LUT']:,} LUT ({share:.1f} % of {report['part']}), "
        f"{resources['DSP']} DSP and {resources['BRAM_18K']} BRAM. It answers after {report['latency_ns']:g} ns and "
        f"takes a new event every {_cycles(report['interval_cycles'])}. Its output words are {equal} in QKeras, HLS "
        f"emulation and RTL. Going from float to firmware costs at most {loss:.2f} points of AUC (of 100)."
    )
