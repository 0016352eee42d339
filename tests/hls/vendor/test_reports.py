"""Reports in the vendors' form as typed records; a figure that is missing, of no number or cut off is named."""

import json
import re
from pathlib import Path

import pytest

from codae_l1.data.base.errors import ToolError
from codae_l1.hls.vendor._reports import (
    Cosim,
    IpCore,
    Source,
    Subject,
    parse_component,
    parse_cosim,
    parse_csim,
    parse_csynth,
    parse_nextpnr,
    parse_results,
    parse_transactions,
)
from codae_l1.hls.vendor._vivado_reports import parse_timing, parse_utilization

REPORTS = Path(__file__).parent / "texts"
TEXTS = {path.name: path.read_text() for path in REPORTS.iterdir()}
SOURCE = Source("vitis_hls", "some.rpt", "some.log")
NEXTPNR = json.dumps(
    {
        "fmax": {"slow": {"achieved": 71.5, "constraint": 200.0}, "fast": {"achieved": 300.0, "constraint": 200.0}},
        "utilization": {"TRELLIS_COMB": {"available": 83640, "used": 21833}},
    }
)
PARSERS = {
    "csynth.xml": parse_csynth,
    "cosim_whole.rpt": parse_cosim,
    "transaction.xml": parse_transactions,
    "utilization.rpt": parse_utilization,
    "timing.rpt": parse_timing,
    "component.xml": parse_component,
}


def test_csynth_has_hls4mls_keys_as_numbers():
    found = parse_csynth(TEXTS["csynth.xml"], SOURCE)
    assert (found.version, found.report["EstimatedClockPeriod"], found.report["LUT"]) == ("2023.2", 3.633, 45_321)
    assert {type(value) for value in found.report.values()} == {int, float}
    assert set(found.report) == {
        *("TargetClockPeriod", "EstimatedClockPeriod", "BestLatency", "WorstLatency", "IntervalMin", "IntervalMax"),
        *(prefix + key for prefix in ("", "Available") for key in ("BRAM_18K", "DSP", "FF", "LUT", "URAM")),
    }


@pytest.mark.parametrize(("low", "high"), [("Best-caseLatency", "Worst-caseLatency"), ("Interval-min", "Interval-max")])
def test_bounds_the_wrong_way_round_are_refused(low, high):
    text = TEXTS["csynth.xml"].replace(f"<{low}>", f"<{low}>9")
    with pytest.raises(ToolError, match=r"has no \w+ up to \w+ \(91?1, 1[2]?\); expected the lower figure first"):
        parse_csynth(text, SOURCE)


def test_vivado_hls_calls_a_dsp_by_its_block():
    text = TEXTS["csynth.xml"].replace("<DSP>", "<DSP48E>").replace("</DSP>", "</DSP48E>")
    assert parse_csynth(text, SOURCE) == parse_csynth(TEXTS["csynth.xml"], SOURCE)


def test_a_part_without_uram_has_none_in_reports_up_to_2018_3():
    found = parse_csynth(TEXTS["csynth_2018.xml"], SOURCE, has_uram=False)
    assert (found.version, found.subject) == ("2018.3", ("xc7z020clg400-1", "codae"))
    assert found.report == {
        **{"TargetClockPeriod": 5.0, "EstimatedClockPeriod": 4.321, "BestLatency": 7, "WorstLatency": 7},
        **{"IntervalMin": 1, "IntervalMax": 1, "BRAM_18K": 2, "DSP": 11, "FF": 310, "LUT": 940, "URAM": 0},
        **{"AvailableBRAM_18K": 280, "AvailableDSP": 220, "AvailableFF": 106_400, "AvailableLUT": 53_200},
        **{"AvailableURAM": 0},
    }
    with pytest.raises(ToolError, match="has no number AreaEstimates/Resources/URAM; expected a number, not ''"):
        parse_csynth(TEXTS["csynth_2018.xml"], SOURCE)
    # Where the report has it, it is read.
    assert parse_csynth(TEXTS["csynth.xml"], SOURCE, has_uram=False).report["AvailableURAM"] == 1_280


LATENCIES = ("Best-caseLatency", "Worst-caseLatency", "Interval-min", "Interval-max")


@pytest.mark.parametrize(
    ("undefined", "zero", "expected"),
    [
        (LATENCIES, (), (None, None, None, None)),
        (("Worst-caseLatency", "Interval-max"), (), (11, None, 1, None)),
        (LATENCIES[:2], LATENCIES[2:], (None, None, None, None)),
        ((), LATENCIES, (0, 0, 0, 0)),
    ],
)
def test_a_latency_that_the_tool_cannot_state_is_none(undefined, zero, expected):
    text = TEXTS["csynth.xml"]
    for names, value in ((undefined, "undef"), (zero, "0")):
        for name in names:
            text = re.sub(rf"<{name}>\d+<", f"<{name}>{value}<", text)
    report = parse_csynth(text, SOURCE).report
    assert tuple(report[key] for key in ("BestLatency", "WorstLatency", "IntervalMin", "IntervalMax")) == expected
    assert (report["EstimatedClockPeriod"], report["LUT"]) == (3.633, 45_321)


def test_cosim_reads_the_rtl_that_was_simulated():
    found = parse_cosim(TEXTS["cosim_whole.rpt"], SOURCE)
    assert found.report == {
        **{"RTL": "Verilog", "Status": "Pass", "LatencyMin": 11, "LatencyAvg": 11, "LatencyMax": 12},
        **{"IntervalMin": 1, "IntervalAvg": 1, "IntervalMax": 1},
    }
    alone = TEXTS["cosim_whole.rpt"].replace("              1|", "             NA|")
    assert parse_cosim(alone, SOURCE).latency == (11, 11, 12)
    assert parse_cosim(alone, SOURCE).interval is None
    assert parse_cosim(alone, SOURCE).report["IntervalMax"] is None


@pytest.mark.parametrize("status", ["Pass", "Fail"])
def test_a_cosim_report_without_figures_has_a_status_alone(status):
    text = TEXTS["cosim.rpt"].replace("      Pass|", f"      {status}|")
    for whole in (text, text.replace("|                    NA|", "|")):
        assert parse_cosim(whole, SOURCE) == Cosim("Verilog", status, None, None)


HEAD = "                             latency        interval\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("0:              21               4", "1:  22  5", "2:  26  x"), ((21, 23, 26), (4, 4, 5))),
        (("0:              21               0",), ((21, 21, 21), None)),
        ((" 0            21            0",), ((21, 21, 21), None)),
        ((" 0            21            4", " 1            24            0"), ((21, 22, 24), (4, 4, 4))),
    ],
)
def test_transactions_give_what_a_whole_cosim_report_has(lines, expected):
    """Means are rounded down, as the tool does; the last event has no interval; VHDL writes no colon."""
    text = HEAD + "".join(f"transaction       {line}\n" for line in lines)
    assert parse_transactions(text, SOURCE) == expected
    assert parse_transactions(TEXTS["transaction.xml"], SOURCE) == ((11, 11, 12), (1, 1, 1))


def test_utilization_has_both_reports_of_hls4ml():
    found = parse_utilization(TEXTS["utilization.rpt"], SOURCE)
    assert (found.version, found.state) == ("2023.2", "Synthesized")
    assert found.report == {"LUT": 14_210, "FF": 2_702, "URAM": 0, "DSP48E": 4, "BRAM_18K": 3}
    shares = {key: value for key, value in found.implementation.items() if key.endswith("%")}
    counts = {key: value for key, value in found.implementation.items() if key not in shares}
    assert counts == {
        **{"TotLUTs": 14_210, "LogicLUTs": 14_200, "LUTRAMs": 4, "SRLs": 6, "FFs": 2_702},
        **{"RAMB36s": 1, "RAMB18s": 1, "URAMs": 0, "DSPs": 4},
    }
    assert (shares["TotLUTs%"], shares["RAMB36s%"]) == (0.82, 0.04)


# What a placed Versal design says of its registers: the first table has lost its row.
PLACED = """
2. CLB Distribution
+---------------+------+-------+------------+-----------+-------+
|   Site Type   | Used | Fixed | Prohibited | Available | Util% |
+---------------+------+-------+------------+-----------+-------+
| CLB Registers | 2100 |     0 |          0 |   1799680 |  0.12 |
+---------------+------+-------+------------+-----------+-------+
"""


@pytest.mark.parametrize("placed", [False, True])
def test_versal_calls_its_sites_by_other_names(placed):
    text = TEXTS["versal.rpt"]
    if placed:
        text = re.sub(r"\| Registers .*\n", "", text).replace("\n3. BLOCKRAM", f"{PLACED}\n3. BLOCKRAM")
    found = parse_utilization(text, SOURCE)
    assert found.version == "2025.1"
    assert found.report == {"LUT": 4_300, "FF": 2_100, "URAM": 0, "DSP48E": 5, "BRAM_18K": 3}
    counts = {key: value for key, value in found.implementation.items() if not key.endswith("%")}
    assert counts == {
        **{"TotLUTs": 4_300, "LogicLUTs": 4_290, "LUTRAMs": 4, "SRLs": 6, "FFs": 2_100},
        **{"RAMB36s": 1, "RAMB18s": 1, "URAMs": 0, "DSPs": 5},
    }


@pytest.mark.parametrize(
    ("part", "asked", "same"),
    [
        ("xcvu13p-flga2577-2-e", "xcvu13p-flga2577-2-e", True),
        ("xcvu13pflga2577-2", "xcvu13p-flga2577-2-e", True),
        ("7z020-clg400", "xc7z020clg400-1", True),
        ("7z020clg400-1", "xc7z020clg400-1", True),
        ("", "xc7z020clg400-1", True),
        ("7z020clg400-2", "xc7z020clg400-1", False),
        ("xcu250-figd2104-2L-e", "xcvu13p-flga2577-2-e", False),
        ("xczu7ev-ffvc1156-2-e", "xczu9eg-ffvb1156-2-e", False),
    ],
)
def test_a_part_is_the_same_however_the_report_writes_it(part, asked, same):
    expected = ("", "") if same else (f"part {part}", f"part {asked}")
    assert Subject(part, "codae").differs(Subject(asked, "codae")) == expected


def test_reports_say_what_they_are_of():
    part = "xcvu13p-flga2577-2-e"
    assert parse_csynth(TEXTS["csynth.xml"], SOURCE).subject == (part, "codae")
    assert parse_utilization(TEXTS["utilization.rpt"], SOURCE).subject == (part, "codae")
    assert parse_timing(TEXTS["timing.rpt"], SOURCE).subject == ("xcvu13p-flga2577", "codae")
    assert Subject(part, "other").differs(Subject(part, "codae")) == ("design other", "design codae")


def test_no_lut_as_memory_has_no_rows_of_its_kinds():
    lines = TEXTS["utilization.rpt"].splitlines(keepends=True)
    kept = "".join(line for line in lines if "Distributed" not in line and "Shift Reg" not in line)
    assert parse_utilization(kept.replace("|    10 |", "|     0 |"), SOURCE).implementation["SRLs"] == 0
    with pytest.raises(ToolError, match="has no LUTRAM; expected row LUT as Distributed RAM, columns Used"):
        parse_utilization(kept, SOURCE)


def test_only_the_column_used_is_read():
    moved = TEXTS["utilization.rpt"].replace("|  Used |", "| Other |").replace("|       |  0.82 |", "|       |  0.82 |")
    with pytest.raises(ToolError, match="has no LUT; expected row CLB LUTs or Slice LUTs, columns Used"):
        parse_utilization(moved, SOURCE)


def test_timing_is_met_where_no_slack_is_below_zero():
    found = parse_timing(TEXTS["timing.rpt"], SOURCE)
    assert found.report == {"WNS": -0.612, "TNS": -3.1, "WHS": 0.031, "THS": 0.0, "WPWS": 2.225, "TPWS": 0.0}
    assert not found.met
    assert parse_timing(TEXTS["timing.rpt"].replace("-0.612", "0.612").replace("-3.1", "0.0"), SOURCE).met
    assert parse_timing(TEXTS["timing.rpt"].replace("0.031", "   NA"), SOURCE).report["WHS"] is None


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("There are no user specified timing constraints.", "no clock constrains the design"),
        ("All user specified timing constraints are met.", "no path is constrained"),
    ],
)
def test_a_summary_without_a_path_says_why(sentence, why):
    text = re.sub(r"(?m)^ +-0\.612.*$", "     " + "           NA" * 12, TEXTS["timing.rpt"])
    text = text.replace("Timing constraints are not met.", sentence)
    with pytest.raises(ToolError, match=f"has no slack: {why}; expected a clock that reaches the design's registers"):
        parse_timing(text, SOURCE)


def test_thousands_are_read_where_they_are_right():
    csynth = TEXTS["csynth.xml"].replace("45321", "12,345").replace("3.633", "1,234.5")
    report = parse_csynth(csynth, SOURCE).report
    assert (report["LUT"], report["EstimatedClockPeriod"]) == (12_345, 1234.5)
    cosim = TEXTS["cosim_whole.rpt"].replace("   12|", "1,234|")
    assert parse_cosim(cosim, SOURCE).latency == (11, 11, 1_234)
    timing = TEXTS["timing.rpt"].replace("-3.100", "-1,003.100")
    assert parse_timing(timing, SOURCE).slack["TNS"] == -1003.1


def test_the_exported_core_has_its_catalogue_name():
    assert parse_component(TEXTS["component.xml"], SOURCE) == IpCore("xilinx.com", "hls", "codae", "1.0")


def test_the_slowest_clock_of_nextpnr_counts():
    found = parse_nextpnr(NEXTPNR, SOURCE)
    assert (found.achieved_mhz, found.asked_mhz, found.used["TRELLIS_COMB"]) == (71.5, 200.0, 21_833)


def outcome(parse, text):
    try:
        return parse(text, SOURCE)
    except ToolError as error:
        return error


@pytest.mark.parametrize("name", PARSERS)
def test_a_report_cut_off_anywhere_is_an_error_or_says_the_same(name):
    text, parse = TEXTS[name], PARSERS[name]
    whole = parse(text, SOURCE)
    said = [outcome(parse, text[:end]) for end in range(0, len(text), 7)]
    errors = [found for found in said if found != whole]
    assert len(errors) > 10
    for error in errors:
        assert str(error).startswith("the report of vitis_hls, some.rpt, has no ")
        assert str(error).endswith("; read the log some.log")


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_utilization, "", r"has no LUT \(it is empty\)"),
        (
            parse_utilization,
            "| Site Type | Used |\n| CLB LUTs | 1",
            r"has no LUT \(it is cut off in line 2: '\| CLB LUTs",
        ),
        (
            parse_cosim,
            TEXTS["cosim.rpt"].replace("Verilog", "SystemC"),
            "has no row of a simulated RTL; expected a row Ver",
        ),
        (
            parse_cosim,
            TEXTS["cosim_whole.rpt"].replace("  12|", "  NA|"),
            "has no latency; expected numbers in the row Verilog",
        ),
        (
            parse_cosim,
            TEXTS["cosim_whole.rpt"].replace("   12|", " many|"),
            "has no whole row Verilog; expected status, latency",
        ),
        (parse_transactions, HEAD, "has no whole line an event; expected lines such as 'transaction 0: 21 4'"),
        (parse_transactions, f"{HEAD}transaction 0: x 4\n", "has no whole line an event"),
        (parse_transactions, "transaction 0: 21 4\ntransaction 2: 21 x\n", "has no line of every event; expected ev"),
        (parse_transactions, "transaction 0: 21 x\ntransaction 1: 21 x\n", "has no line of every event"),
        (parse_transactions, "transaction 0: 21 4\ntransaction 1: 21 4\n", "has no line of every event"),
        (parse_transactions, "transaction 0: 21 0\ntransaction 1: 21 x\n", "has no interval above 0; expected a cycle"),
        (
            parse_csim,
            "ERROR: [SIM 211-100] CSim failed with errors.\n",
            "has no outcome; expected a line 'CSim done with",
        ),
        (parse_results, "0.5 nan1\n", "has no number everywhere .*nan1.*; expected numbers, one event a line"),
        (parse_results, "0.5 1\n2\n", "has no rows of one length"),
        (parse_results, "", "has no rows of one length"),
        (parse_results, "0.5 nan\n", "has no finite number everywhere"),
        (parse_results, "0.5 -inf\n", "has no finite number everywhere"),
        (parse_timing, TEXTS["timing.rpt"].replace("-3.100", "    NA"), "has no TNS; expected a number under TNS"),
        # A hold slack that is no number was taken for one that is not there, and the timing for met.
        (parse_timing, TEXTS["timing.rpt"].replace("0.031", "    x"), "has no WHS; expected a number under WHS"),
        (parse_timing, TEXTS["timing.rpt"].replace("2.225", "1.2.3"), "has no WPWS; expected a number under WPWS"),
        (parse_timing, TEXTS["timing.rpt"].replace("-0.612", "9" * 400), "has no WNS; expected a number under WNS"),
        *(
            (parse_csynth, TEXTS["csynth.xml"].replace("45321", found), f"has no number .*/LUT; .* not '{found[:40]}'")
            for found in ("-1", "12.5", "9" * 5000)
        ),
        # A decimal comma is none of thousands, and a time has a point behind those.
        *(
            (parse_csynth, TEXTS["csynth.xml"].replace("3.633", found), f"has no number .*/EstimatedC.*not '{found}'")
            for found in ("4,321", "3,6", "1,23.5", "-3.633")
        ),
        *(
            (parse_csynth, TEXTS["csynth.xml"].replace("45321", found), f"has no number .*/LUT; .* not '{found}'")
            for found in ("9,40", "0,940", ",940", "1,2345", "12,345,67", "9,")
        ),
        (
            parse_utilization,
            TEXTS["utilization.rpt"].replace("|    4 |", "| 9,40 |"),
            "has no DSP48E; expected row DSPs",
        ),
        (parse_timing, TEXTS["timing.rpt"].replace("-0.612", "-0,612"), "has no WNS; expected a number under WNS"),
        (parse_timing, TEXTS["timing.rpt"].replace("-0.612", "-1,612"), "has no WNS; expected a number under WNS"),
        (
            parse_cosim,
            TEXTS["cosim_whole.rpt"].replace("   12|", "    9|"),
            r"has no min, avg and max in order \(11, 1",
        ),
        (
            parse_cosim,
            TEXTS["cosim_whole.rpt"].replace("    1|", "    7|", 1),
            r"has no min, avg and max in .* \(7, 1, 1\)",
        ),
        (parse_cosim, TEXTS["cosim_whole.rpt"].replace("   12|", " 12.5|"), "has no whole row Verilog"),
        (parse_cosim, TEXTS["cosim_whole.rpt"].replace("   12|", " 1,25|"), "has no whole row Verilog"),
        (parse_cosim, TEXTS["cosim_whole.rpt"].replace("Pass|", "    |"), "has no whole row Verilog; expected status"),
        (parse_cosim, TEXTS["cosim_whole.rpt"].replace("   12|", "  -12|"), "has no whole row Verilog"),
        (parse_transactions, f"{HEAD}transaction 0: {'9' * 5000} 0\n", "has no whole line an event"),
        (parse_csim, f"CSim done with {'9' * 5000} errors.\n", "has no outcome"),
        (
            parse_utilization,
            TEXTS["utilization.rpt"].replace("|    4 |", "|   -4 |"),
            "has no DSP48E; expected row DSPs",
        ),
        (
            parse_utilization,
            TEXTS["utilization.rpt"].replace("|    4 |", "|  4.5 |"),
            "has no DSP48E; expected row DSPs",
        ),
        (parse_component, TEXTS["component.xml"].replace("hls<", "<"), "has no library; expected an IP-XACT component"),
        (parse_component, "<html/>", "has no vendor; expected an IP-XACT component"),
        (parse_nextpnr, "{", "has no utilization and fmax .*; expected nextpnr's JSON report"),
        (parse_nextpnr, NEXTPNR.replace("achieved", "reached"), r"has no utilization and fmax \('achieved'\)"),
        *(
            (parse_nextpnr, NEXTPNR.replace("21833", used), rf"has no utilization and fmax \({said} used of 83640\)")
            for used, said in (("-3", "-3"), ("3.9", "3.9"), ("true", "True"), ("83641", "83641"), ('"16"', "'16'"))
        ),
        (parse_nextpnr, NEXTPNR.replace("83640", "-1"), r"has no utilization and fmax \(21833 used of -1\)"),
        *(
            (parse_nextpnr, NEXTPNR.replace("71.5", mhz), rf"has no utilization and fmax \({said} MHz\)")
            for mhz, said in (("-80", "-80"), ("0", "0"), ("true", "True"), ("null", "None"), ('"80"', "'80'"))
        ),
        (parse_nextpnr, NEXTPNR.replace("200.0", "-200.0"), r"has no utilization and fmax \(-200.0 MHz\)"),
        (parse_nextpnr, '{"fmax": {}, "utilization": {}}', "has no clock; expected a design with registers"),
    ],
)
def test_what_is_missing_is_named(parse, text, message):
    with pytest.raises(ToolError, match=rf"the report of vitis_hls, some.rpt, {message}"):
        parse(text, SOURCE)
