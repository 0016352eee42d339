"""The verdict: every limit can be missed, and is then named; what is said is what was measured."""

import copy
from types import SimpleNamespace

import jinja2
import pytest

from codae_l1.scripts.report import (
    HLS_PROJECT,
    TEMPLATE,
    TIMING,
    _collect,
    _markdown,
    _training,
    _trigger,
    _trigger_lines,
)
from codae_l1.scripts.reports.figures import trigger_figure
from codae_l1.scripts.reports.verdict import verdict
from codae_l1.scripts.run._layout import misfit
from codae_l1.scripts.run.config import RunConfig

RANGE = {"low": 900, "high": 1300, "kind": "estimate", "how": "x"}
REPORT = {
    "resources": {"LUT": 1000, "FF": 10, "DSP": 0, "BRAM_18K": 0, "URAM": 0, "tool": "Yosys", "kind": "synthesis"},
    "latency_ns": 20.0,
    "latency_cycles": 4,
    "interval_cycles": 1,
    "latency_how": "counted",
    "interval_how": "counted",
    "clock_period_ns": 5.0,
    "further": [],
    "part": "xcvu13p-flga2577-2-e",
    "mismatches": {"qkeras-rtl": {"compared": 10, "different": 0}},
    "background": "qcd",
    "events": {"test": {"qcd": 500}},
    "estimates": [
        {"name": "LUT, adders only", **RANGE},
        {"name": "LUT cross-check", "kind": "estimate", "how": "they agree"},
        {"name": "clock period [ns]", **RANGE, "low": 2.8, "high": 5.7},
    ],
    "auc": {
        "h125": {
            "rtl": {"value": 0.84},
            "active_pixels": {"value": 0.81},
            "block_power": {"value": 0.845},
            "n_tracks": {"value": 0.85},
        }
    },
    "quantization_loss": {"h125": {"value": 0.002, "error": 0.001}},
    "trigger": None,
    "trigger_reason": "the config says none",
}


def changed(*keys_and_value):
    report = copy.deepcopy(REPORT)
    *keys, last, value = keys_and_value
    table = report
    for key in keys:
        table = table[key]
    table[last] = value
    return verdict(report)


def test_all_limits_held():
    result = verdict(REPORT)
    assert result["fits"]
    assert result["headline"] == "Fits the Level-1 budget at a clock of 5 ns, which is open until place and route."
    assert "costs 1,000 LUT (0.1 % of xcvu13p" in result["sentence"]
    assert "words are equal" in result["sentence"]
    assert "at most 0.20 points of AUC (of 100)" in result["sentence"]
    assert (
        "differs by +3.0 to +3.0 points (of 100) from that of counting active pixels, and by -0.5 to -0.5 points from "
        "that of the block power"
    ) in result["baseline"]
    assert "better score for SUEP 125 GeV" in result["baseline"]
    how = {check["name"]: check["how"] for check in result["checks"]}
    assert "da4ml's cost estimates 900 to 1,300: they agree" in how["LUT"]
    assert how["latency [ns]"] == "4 cycles of 5 ns, counted"


@pytest.mark.parametrize(("period", "ok"), [(2.7, False), (2.8, None), (5.0, None), (5.7, None), (8.0, None)])
def test_a_clock_is_excluded_or_open_and_never_met(period, ok):
    """No estimate can say that it is reached, not even beyond the band's end."""
    report = changed("clock_period_ns", period)
    row = next(check for check in report["checks"] if check["name"] == "clock period [ns]")
    how = "indicative: 2.8 to 5.7 ns can be expected of its stages" + "; open until place and route" * (ok is None)
    assert (row["ok"], row["how"]) == (ok, how)
    assert report["fits"] == (ok is None)
    line = next(line for line in TEMPLATE.read_text().splitlines() if "<td>{{ check.name }}</td>" in line)
    shown = jinja2.Template(line).render(check=row)
    assert ('<td class="no-text">NO</td>' if ok is False else '<td class="soft">open</td>') in shown


@pytest.mark.parametrize(
    ("stated", "ok"),
    [("WNS 0.12, TNS 0, WHS 0.031", True), ("WNS -0.612, TNS -1,204.5", False), ("WNS 0, WHS -0.01", False)],
)
def test_the_timing_after_place_and_route_says_whether_the_clock_is_met(stated, ok):
    figures = f"LUT 3,906, FF 2,639; {stated}"
    row = {"name": "rtl implementation", "kind": "post-route", "tool": "vivado 2024.1", "figures": figures}
    others = [{**row, "name": name} for name in ("hls4ml vsynth", "codae, on another chip")]
    assert changed("further", others)["headline"].endswith("open until place and route.")
    result = changed("further", [*others, row])
    check = next(check for check in result["checks"] if check["name"] == "clock period [ns]")
    assert (check["ok"], check["how"].split(": ")[0]) == (ok, "vivado 2024.1, after place and route")
    met = "Fits the Level-1 budget at a clock of 5 ns, which is met after place and route."
    assert result["headline"] == (met if ok else "Misses: clock period [ns].")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (("resources", "LUT", 40_001), "LUT"),
        (("resources", "DSP", 1), "DSP"),
        (("resources", "BRAM_18K", 1), "BRAM_18K"),
        (("latency_ns", 50.1), "latency [ns]"),
        (("clock_period_ns", 2.7), "clock period [ns]"),
        (("interval_cycles", 2), "initiation interval [cycles]"),
        (("mismatches", "qkeras-rtl", "different", 1), "mismatches between executors"),
        (("auc", "h125", "rtl", "value", 0.799), "signals with RTL AUC >= active pixels - 0.01"),
    ],
)
def test_each_limit_can_be_missed(change, name):
    result = changed(*change)
    assert not result["fits"]
    assert result["missed"] == [name]
    assert result["headline"] == f"Misses: {name}."


def test_unequal_words_are_said():
    assert "words are NOT equal" in changed("mismatches", "qkeras-rtl", "different", 1)["sentence"]


def test_the_rate_of_a_false_positive_rate_says_what_it_is():
    """It is not the rate of the interface's working points, from weighted QCD, and has another name."""
    head = next(line for line in TEMPLATE.read_text().splitlines() if "report.fprs" in line)
    point = {"fpr": 0.01, "rate_if_all_crossings_khz": 400.0}
    assert "<th>FPR 0.01 (400 kHz)</th>" in jinja2.Template(head).render(report={"fprs": [point]})


def test_a_figure_that_a_vendor_tool_cannot_state_is_a_dash():
    line = next(line for line in TEMPLATE.read_text().splitlines() if "in report.vendor.records" in line)
    row = {"name": "latency", "open": 1_234, "vendor": None, "tool": "vitis_hls 2024.2", "kind": "estimate"}
    shown = jinja2.Template(f"{line}{{% endfor %}}").render(report={"vendor": {"records": [row]}})
    assert "<td>latency</td><td>1,234</td><td>-</td>" in shown


def row(value, beyond, rate=28.5, pure=27.0, **keys):
    shares = {"value": value, "error": 0.02, "beyond_menu": beyond, "beyond_menu_error": 0.03}
    rates = {"rate_khz": rate, "error_khz": 5.0, "pure_khz": pure, "pure_error_khz": 4.0, "threshold": 9}
    return {**rates, "effective": 30.0, "efficiency": {"h125": shares}, **keys}


REFUSED = {**dict.fromkeys(row(0, 0)), "reason": "no crossing fires"}
MENU = row(0.12, 0.0, 99.3, None, threshold=None)
TRIGGER = {
    "pileup": 50.0,
    "crossings": 25_000,
    "crossing_khz": 28_607.0,
    "effective": 5_000.0,
    "menu": {"rate_khz": 99.3, "paths": {"HT": {"threshold": 216, "rate_khz": 43.0}}},
    "reach_khz": {"rtl": 13.0, "bdt": None},
    "vertex_lost": {"h125": 0.125},
    "points": {
        "1e-2": {"rtl": row(0.4, 0.35, 286.0, 270.0), "menu": MENU},
        "1e-3": {"rtl": row(0.15, 0.1), "block_power": row(0.13, 0.09), "bdt": row(0.44, 0.4), "menu": MENU},
        "1 kHz pure": {"rtl": REFUSED, "block_power": REFUSED, "bdt": REFUSED, "menu": MENU},
    },
}


def test_the_first_page_says_total_and_pure_rate_at_the_lowest_rate_that_is_carried():
    assert changed("trigger", TRIGGER)["trigger"] == (
        "With its threshold at a total rate of 1e-3 of zero bias, this firmware alone fires at 28.5 ± 5.0 kHz in "
        "total. Its pure rate, of crossings that no path (seed) of the Level-1 menu takes, is 27.0 ± 4.0 kHz. It "
        "keeps 15.0 ± 2.0 % of SUEP 125 GeV in all, and 10.0 ± 3.0 % that the menu does not take. The menu alone "
        "keeps 12.0 ± 2.0 %, at a total rate of 99.3 ± 5.0 kHz. Beyond the menu and at the same rate, the block power "
        "keeps 9.0 ± 3.0 % and boosted trees that are shown the signals keep 40.0 ± 3.0 %. No threshold for a pure "
        "rate of 1 kHz can be determined on these crossings: no crossing fires."
    )


def test_one_khz_pure_is_what_it_speaks_of_where_it_is_carried():
    trigger = copy.deepcopy(TRIGGER)
    trigger["points"]["1 kHz pure"]["rtl"] = row(0.05, 0.04, 1.2, 0.98)
    said = changed("trigger", trigger)["trigger"]
    assert said.startswith("With its threshold at a pure rate of 1 kHz, this firmware alone fires at 1.2 ± 5.0 kHz")
    assert "takes, is 1.0 ± 4.0 kHz." in said
    # No other score is carried there, and nothing is refused.
    assert said.endswith("The menu alone keeps 12.0 ± 2.0 %, at a total rate of 99.3 ± 5.0 kHz.")


def test_a_menu_that_few_collisions_have_set_is_said_where_it_is_compared_with():
    trigger, why = copy.deepcopy(TRIGGER), "455 crossings with 6 different collisions fire: 1.8 effective"
    trigger["menu"]["reason"] = why
    for rows in trigger["points"].values():
        rows["menu"] = {**row(0.12, 0.0, None, None, threshold=None), "reason": why}
    said = changed("trigger", trigger)["trigger"]
    assert f"set the menu, and what lies beyond it is no better known: {why}." in said
    begin = "HT &ge; 216 (43.0 kHz), thresholds in steps of 0.5 GeV, 99.3 kHz together"
    assert f"{begin}, which is not carried: {why}. Its thresholds" in rendered(trigger)
    assert f"{begin}. Its thresholds" in rendered(TRIGGER)


def test_no_rates_have_a_reason():
    assert verdict(REPORT)["trigger"] == "There are no trigger rates: the config says none."
    only = {**TRIGGER, "points": {"1 kHz pure": TRIGGER["points"]["1 kHz pure"]}}
    assert changed("trigger", only)["trigger"] == (
        "The crossings carry no rate of this firmware (1 kHz pure: no crossing fires)."
    )


def rendered(trigger, **report):
    """The page's section of the trigger."""
    begin, end = "<h2>What does it add to a Level-1 menu?</h2>", "<h2>Does the firmware see"
    macros, page = TEMPLATE.read_text().split("<!doctype", 1)
    section = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        macros + page[page.index(begin) : page.index(end)]
    )
    titles, figures = {"h125": "SUEP 125 GeV"}, {"trigger": "<svg>drawn</svg>"}
    return section.render(report={"trigger": trigger, **report}, titles=titles, figures=figures)


def test_the_table_of_points_scores_and_signals():
    shown = rendered(TRIGGER)
    assert "<th>SUEP 125 GeV</th>" in shown
    assert "<tr><td>1e-3: block_power</td><td>28.5 <small>&plusmn; 5.0</small></td>" in shown
    assert "<td>15.0 <small>&plusmn; 2.0</small> (10.0)</td>" in shown
    assert '<td class="left soft" colspan="3">not carried: no crossing fires</td>' in shown
    assert "HT &ge; 216 (43.0 kHz), thresholds in steps of 0.5 GeV, 99.3 kHz together" in shown
    assert "rtl 13.0 kHz, bdt none" in shown
    assert "12.5 % of SUEP 125 GeV" in shown
    without = rendered(None, trigger_reason="no file")
    assert "No trigger rates: no file" in without
    assert "<table>" not in without


def test_the_markdown_has_the_same_table():
    lines = _trigger_lines({"trigger": TRIGGER, "verdict": {"trigger": "Said."}})
    assert lines[1] == "Said."
    assert "| 1e-3: rtl | 28.5, 27.0 | 15 (10) |" in lines
    assert "| 1e-3: menu | 99.3, - | 12 (0) |" in lines
    assert "| 1 kHz pure: bdt | not carried | |" in lines
    assert _trigger_lines(REPORT)[1] == "No trigger rates: the config says none."


def test_curves_stay_in_the_stage_and_are_drawn_with_their_bands():
    efficiency = {
        "value": [0.1, 0.2],
        "error": [0.01, 0.02],
        "beyond_menu": [0.1, 0.2],
        "beyond_menu_error": [0.1, 0.1],
    }
    curve = {
        "threshold": [9, 5],
        "rate_khz": [10.0, 100.0],
        "error_khz": [3.0, 9.0],
        "efficiency": {"h125": efficiency},
    }
    curve |= {"pure_khz": [None, 90.0], "pure_error_khz": [None, 8.0]}
    bins = {"edges": [0.0, 100.0, 300.0, 900.0], "value": [None, 0.5, 1.0], "low": [None, 0.4, 0.6]}
    bins |= {"high": [None, 0.7, 1.0], "effective": [0.0, 10.0, 2.0]}
    turn_on = {"svj2100": {"jet_ht": {"menu": bins, "1e-3": bins}}}
    section = {**TRIGGER, "curves": {"rtl": curve, "bdt": curve}, "turn_on": turn_on}
    figure = trigger_figure(section)
    rates, kept, turned = figure.axes
    assert [line.get_label() for line in rates.lines] == ["rate", "beyond the menu"]
    # A pure rate that is not carried is no point of its line.
    assert [line.get_xdata().tolist() for line in rates.lines] == [[9.0, 5.0], [5.0]]
    assert [line.get_ydata().tolist() for line in kept.lines] == [[0.1, 0.2]] * 2
    assert len(kept.collections) == 2
    # An empty bin is left out, and one of two crossings; the bars are those of the bin.
    assert [(c.get_label(), c.lines[0].get_xdata().tolist()) for c in turned.containers] == [
        ("menu", [200.0]),
        ("firmware, 1e-3", [200.0]),
    ]
    assert turned.containers[0].lines[2][0].get_segments()[0].tolist() == [[200.0, 0.4], [200.0, 0.7]]
    assert _trigger({"trigger": section}) == {"trigger": TRIGGER}
    assert _trigger({"trigger": None, "trigger_reason": "why"}) == {"trigger": None, "trigger_reason": "why"}


@pytest.mark.parametrize(
    ("pixels", "cells"),
    [({"value": 0.25, "error": 0.1}, "81.0 <small>&plusmn; 2.0</small>, 25.0"), ({"value": None}, "not carried")],
)
def test_a_true_positive_rate_that_is_not_carried_is_said(pixels, cells):
    """Of the pixels' few values none may leave so little background, where words do."""
    page = TEMPLATE.read_text()
    start = page.index("{% for signal in report.tpr %}")
    section = page[start : page.index("{% endfor %}</table>", start)] + "{% endfor %}"
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(section)
    points = [{"rtl": {"value": 0.81, "error": 0.02}, "active_pixels": pixels}]
    shown = template.render(report={"tpr": {"h125": points}}, titles={"h125": "SUEP"})
    assert cells in shown
    assert "81.0 <small>" in shown
    assert misfit("evaluate", {"tpr": {"h125": points}}) is None


def test_an_imported_model_has_no_curve_of_its_training_but_says_where_it_is_from():
    line = next(line for line in TEMPLATE.read_text().splitlines() if "report.training" in line)
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(line)
    imported = {"files": {"encoder1.tflite": "ab", "decoder.tflite": "cd"}, "verified": "not verified: f_m differs"}
    page = template.render(report=_training({"imported": imported}), figures={})
    assert "imported, not trained: encoder1.tflite, decoder.tflite; not verified: f_m differs." in page
    assert "figure" not in page
    history = {"best_validation_loss": 3.25, "best_epoch": 2, "loss": [4.0], "validation_loss": [3.25]}
    page = template.render(report=_training({"history": history}), figures={"history": "<svg>"})
    assert "<svg>" in page
    assert "best validation loss 3.25 at epoch 2." in page


def test_the_weights_were_made_where_the_stage_that_made_them_ran():
    """On the processor and in the mode of that stage's stamp, not of another's and not of this process."""
    shares = {"value": 0.5, "error": 0.01}
    evaluation = {key: REPORT[key] for key in ("mismatches", "trigger", "trigger_reason", "quantization_loss")}
    evaluation |= {"auc": {"h125": dict.fromkeys(REPORT["auc"]["h125"], shares)}, "looks": None, "tpr": {}, "rates": {}}
    evaluation |= {"events": REPORT["events"]}
    profiles = {name: {"qkeras": [], "float": []} for name in ("all", "qcd")}
    evaluation |= {"numerics": {"events": {"all": 9, "qcd": 5}, "profiles": profiles}}
    stages = {
        "make_data": {"events": {}},
        "train": {"imported": "some files", "parameters": {}},
        "quantize": {"distance": None, "parameters": 12},
        "convert": {"project": dict.fromkeys(HLS_PROJECT)},
        "synthesize": {key: REPORT[key] for key in (*TIMING, "resources", "estimates")} | {"vendor": None},
        "evaluate": evaluation,
    }
    for name, record in stages.items():
        record["stamp"] = {"machine": {"text": f"the abacus of {name}, bead mode"}}
    run = SimpleNamespace(config=RunConfig(), rows=list)
    line = next(line for line in TEMPLATE.read_text().splitlines() if "weights_made_on" in line)
    made_on = "the abacus of quantize, bead mode"
    for _ in range(2):
        report = _collect(run, stages)
        assert f" events. Weights made on {made_on}.\n" in _markdown(report)
        assert jinja2.Template(line).render(report=report) == f"<p>The firmware's weights were made on {made_on}.</p>"
        # As in a run made before stamps had a machine.
        stages["quantize"]["stamp"].pop("machine", None)
        made_on = "a processor that was not recorded"
