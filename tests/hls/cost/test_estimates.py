"""Estimates within the stated band on the calibration designs; a band narrowed beyond them fails."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from codae_l1.hls.cost._estimates import (
    CALIBRATED_FROM,
    CALIBRATED_WITH,
    DESIGNS,
    FF_BAND,
    JEDI_CUTOFF,
    JEDI_LARGEST_NS,
    LUT_BAND,
    PERIOD_BAND,
    RATIO_BAND,
    estimates,
    period_ns,
    ratios,
    table,
)

DOCS = Path(__file__).parents[3] / "docs" / "estimates.md"
BANDS = {"cost": RATIO_BAND, "lut": LUT_BAND, "ff": FF_BAND, "period": PERIOD_BAND}
DESIGN = {"tool": "da4ml 0.5.2", "da4ml_cost": 20_000.0, "latency_cutoff": 5.0, "stages": 4}


def rows_of(operations=None, lut=18_000, yosys="Yosys 0.70", **changed):
    design = SimpleNamespace(**{**DESIGN, **changed, "operations_by_kind": operations or {}})
    return {row["name"]: row for row in estimates(design, {"LUT": lut, "FF": 3_000}, yosys)}


def test_every_published_figure_lies_within_its_band():
    found = list(ratios())
    assert len(found) == 11 + 11 + 5 + 2 * 5 + 2 + 2
    assert {ratio.quantity for ratio in found} == set(BANDS)
    assert [ratio for ratio in found if not ratio.inside] == []
    assert BANDS == {"cost": (-0.10, 0.10), "lut": (-0.15, 0.20), "ff": (-0.30, 0.20), "period": (-0.30, 0.40)}


@pytest.mark.parametrize("quantity", BANDS)
def test_a_band_narrowed_beyond_the_designs_is_caught(quantity):
    values = [ratio.value for ratio in ratios() if ratio.quantity == quantity]
    low, high = BANDS[quantity]
    for band in ((min(values) - 0.999, high), (low, max(values) - 1.001)):
        assert any(not ratio.inside for ratio in ratios(**{quantity: band})), band


def test_the_documentation_shows_the_designs_and_the_bands_of_the_code():
    text = DOCS.read_text()
    assert table() in text
    for words in ("-15 / +20 %", "-30 / +20 %", "-30 / +40 %", f"below {CALIBRATED_FROM:,} LUT"):
        assert words in text
    assert DESIGNS[0].vivado[0].lut == CALIBRATED_FROM


@pytest.mark.parametrize(
    ("operations", "names"),
    [
        ({"add": 100, "table": 0}, ["LUT, adders only"]),
        ({"add": 5, "table": 80}, ["LUT, lookup tables and few adders"]),
        ({"add": 100, "relu": 30}, ["LUT, adders only", "LUT, lookup tables and few adders"]),
        ({"table": 80, "slice": 1}, ["LUT, adders only", "LUT, lookup tables and few adders"]),
    ],
)
def test_both_classes_are_printed_where_a_design_is_of_neither(operations, names):
    rows = rows_of(operations)
    found = [row for name, row in rows.items() if name.startswith("LUT, ") and row["kind"] == "estimate"]
    assert [row["name"] for row in found] == names
    assert all(("of neither class" in row["how"]) == (len(names) == 2) for row in found)


def test_the_cross_check_takes_the_classes_that_are_printed():
    assert rows_of({"add": 1}, lut=16_600)["LUT cross-check"]["value"] == "21 %"
    assert rows_of({"table": 1}, lut=16_600)["LUT cross-check"]["value"] == "0 %"
    assert "differ by more than 25 %" in rows_of({"add": 1}, lut=15_000)["LUT cross-check"]["how"]


def test_the_clock_is_a_band_that_is_not_called_met():
    rows = rows_of()
    assert [rows["clock period [ns]"][key] for key in ("low", "value", "high")] == [2.83, 4.05, 5.67]
    assert [rows["Fmax [MHz]"][key] for key in ("low", "value", "high")] == [176, 247, 353]
    assert [rows["latency at that period [ns]"][key] for key in ("low", "value", "high")] == [11.3, 16.2, 22.7]
    for name in ("clock period [ns]", "Fmax [MHz]", "latency at that period [ns]"):
        assert rows[name]["how"].startswith("indicative: ")
        assert "met" not in rows[name]["how"] or "no clock is met before it is routed" in rows[name]["how"]


def test_a_large_design_is_said_to_be_outside_the_clock_band():
    assert period_ns(JEDI_CUTOFF) * (1 + PERIOD_BAND[1]) < JEDI_LARGEST_NS
    assert "fitted up to 62,000 LUT" in rows_of(lut=70_000)["clock period [ns]"]["how"]
    assert "fitted up to" not in rows_of(lut=60_000)["clock period [ns]"]["how"]


def test_every_lut_and_ff_figure_of_a_small_design_says_that_none_was_compared():
    small = rows_of({"add": 1}, lut=6_000, da4ml_cost=8_000.0)
    large = rows_of({"add": 1}, lut=20_000)
    for name in ("LUT, adders only", "LUT, Yosys", "FF"):
        assert "no Vivado figure was compared below 13,103 LUT" in small[name]["how"]
        assert "no Vivado figure" not in large[name]["how"]


def test_a_tool_of_another_version_than_the_calibrated_one_is_said():
    """Where the bands are printed; what was calibrated is what the module says, and the page."""
    names = {"da4ml": ["LUT, adders only", "LUT, lookup tables and few adders"], "Yosys": ["LUT, Yosys", "FF"]}
    other = {"da4ml": rows_of(tool="da4ml 0.6.0"), "Yosys": rows_of(yosys="Yosys 0.71")}
    for tool, rows in other.items():
        assert CALIBRATED_WITH[tool] in DOCS.read_text()
        said = [name for name, row in rows.items() if f"; calibrated with {CALIBRATED_WITH[tool]}, not" in row["how"]]
        assert said == names[tool]
    assert "not with this version" not in str(rows_of())


def test_what_is_not_comparable_is_not_printed():
    text = str(rows_of())
    for word in ("LCs", "CARRY", "ltp", "xcup"):
        assert word not in text
