"""The verdict: every limit can be missed, and is then named; what is said is what was measured."""

import copy

import jinja2
import pytest

from codae_l1.scripts.report import TEMPLATE
from codae_l1.scripts.reports.verdict import verdict

RANGE = {"low": 900, "high": 1300, "kind": "estimate", "how": "x"}
REPORT = {
    "resources": {"LUT": 1000, "FF": 10, "DSP": 0, "BRAM_18K": 0, "URAM": 0, "tool": "Yosys", "kind": "synthesis"},
    "latency_ns": 20.0,
    "latency_cycles": 4,
    "interval_cycles": 1,
    "latency_how": "counted",
    "interval_how": "counted",
    "clock_period_ns": 5.0,
    "part": "xcvu13p-flga2577-2-e",
    "mismatches": {"qkeras-rtl": {"compared": 10, "different": 0}},
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
    assert result["headline"] == "Fits the Level-1 budget."
    assert "costs 1,000 LUT (0.1 % of xcvu13p" in result["sentence"]
    assert "words are equal" in result["sentence"]
    assert "at most 0.20 % AUC" in result["sentence"]
    assert (
        "+3.0 to +3.0 %, and from that of the block power, which needs no learning, by -0.5 to -0.5 %"
        in result["baseline"]
    )
    assert "better score for h125" in result["baseline"]
    how = {check["name"]: check["how"] for check in result["checks"]}
    assert "da4ml's cost estimates 900 to 1,300: they agree" in how["LUT"]
    assert "2.8 to 5.7 ns, so closing 5 ns needs place and route" in how["latency [ns]"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (("resources", "LUT", 40_001), "LUT"),
        (("resources", "DSP", 1), "DSP"),
        (("resources", "BRAM_18K", 1), "BRAM_18K"),
        (("latency_ns", 50.1), "latency [ns]"),
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
