"""Vivado on the RTL: script and reports read as numbers, beside the open figures; failing and silent in each way."""

import shutil
import time
from pathlib import Path

import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.vendor._reports import Source
from codae_l1.hls.vendor._vivado_reports import parse_utilization
from codae_l1.hls.vendor.run import run_vendor

REPORTS = Path(__file__).parent / "texts"
UTILIZATION = (REPORTS / "utilization.rpt").read_text()
TIMING = (REPORTS / "timing.rpt").read_text()
OPEN = {
    "CSynthesisReport": {
        **{"LUT": 12_000, "FF": 2_700, "DSP": 0, "BRAM_18K": 0, "URAM": 0},
        **{"WorstLatency": 4, "IntervalMax": 1, "EstimatedClockPeriod": 4.05},
    }
}
CSYNTH = (REPORTS / "csynth.xml").read_text()
COPIES = "cp {0}/utilization.rpt synthesis_utilization.rpt; cp {0}/timing.rpt synthesis_timing.rpt"
WRITES = f"echo started $*; {COPIES}; echo checkpoint > synthesis.dcp"


class Workshop:
    """Programs alone on PATH with the shell's own, the reports they copy, an RTL folder and an hls4ml project."""

    def __init__(self, root):
        self.programs, self.rtl, self.project = root / "bin", root / "rtl with blank", root / "project"
        for folder in (self.programs, self.rtl / "src" / "static", self.rtl / "src" / "memfiles", self.project):
            folder.mkdir(parents=True)
        shutil.copy(REPORTS / "project.tcl", self.project)
        for name in ("codae.v", "codae_stage0.v", "codae_wrapper.v", "static/shift_adder.v"):
            (self.rtl / "src" / name).write_text("module m; endmodule\n")
        self.report("utilization.rpt", UTILIZATION)
        self.report("timing.rpt", TIMING)

    def report(self, name, text):
        (self.programs / name).write_text(text)

    def install(self, script=WRITES, name="vivado"):
        (self.programs / name).write_text(f"#!/bin/sh\n{script.format(self.programs)}\n")
        (self.programs / name).chmod(0o755)

    def run(self, config=None, rtl=True, **options):
        return run_vendor(self.project, config or HlsConfig(), rtl=self.rtl if rtl else None, opened=OPEN, **options)


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    made = Workshop(tmp_path)
    monkeypatch.setenv("PATH", f"{made.programs}:/usr/bin:/bin")
    return made


def test_vivado_stands_beside_the_open_figures(workshop):
    workshop.install()
    record = workshop.run()
    assert record["VivadoSynthReport"] == {"LUT": 14_210, "FF": 2_702, "BRAM_18K": 3, "URAM": 0, "DSP48E": 4}
    assert all(type(value) is int for value in record["VivadoSynthReport"].values())
    assert record["TimingReport"] == {
        **{"WNS": -0.612, "TNS": -3.1, "WHS": 0.031, "THS": 0.0, "WPWS": 2.225, "TPWS": 0.0}
    }
    assert (record["ran"], record["tool"], record["kind"]) == (True, "vivado 2023.2", "synthesis")
    rows = {row["name"]: (row["open"], row["vendor"]) for row in record["records"]}
    assert rows["LUT"] == (12_000, 14_210)
    assert rows["DSP"] == (0, 4)
    assert rows["clock period [ns]"] == (4.05, 5.612)
    assert rows["slack WNS [ns]"] == (None, -0.612)
    assert {(row["tool"], row["kind"]) for row in record["records"]} == {("vivado 2023.2, the RTL", "synthesis")}
    assert record["sentence"] == (
        "vivado 2023.2 synthesised the RTL out of context (synthesis, before place and route). "
        "vitis-run, vitis_hls, vivado_hls not on PATH."
    )


def test_both_tools_keep_their_labels(workshop):
    workshop.report("csynth.xml", CSYNTH)
    place = "codae_prj/solution1/syn/report"
    workshop.install(f"mkdir -p {place}; cp {{0}}/csynth.xml {place}/codae_csynth.xml", "vitis_hls")
    workshop.install()
    said = []
    record = workshop.run(progress=lambda done, total, text: said.append((done, total)))
    assert (record["tool"], record["kind"]) == ("vitis_hls 2023.2, vivado 2023.2", "estimate, synthesis")
    luts = [(row["open"], row["vendor"], row["kind"]) for row in record["records"] if row["name"] == "LUT"]
    assert luts == [(12_000, 45_321, "estimate"), (12_000, 14_210, "synthesis")]
    assert record["CSynthesisReport"]["LUT"] == 45_321
    assert said == [(0, 2), (1, 2), (2, 2)]


def test_vivado_goes_on_where_the_other_tool_fails(workshop):
    workshop.install("echo ERROR: no licence; exit 1", "vitis_hls")
    workshop.install()
    record = workshop.run(strict=False)
    assert (record["ran"], record["tool"], record["kind"]) == (True, "vivado 2023.2", "synthesis")
    assert record["CSynthesisReport"] is None
    assert record["VivadoSynthReport"]["LUT"] == 14_210
    assert "route). FAILED: vitis_hls ended with status 1: ERROR: no licence; expected a run" in record["sentence"]
    assert record["sentence"].endswith("vitis-run, vivado_hls not on PATH.")


def test_the_script_synthesises_the_pipeline_at_the_configured_clock(workshop):
    for name, text in (("utilization.rpt", UTILIZATION), ("timing.rpt", TIMING)):
        workshop.report(
            name, text.replace("xcvu13p-flga2577-2-e", "xcvu9p-flga2104-2-e").replace("vu13p-flga2577", "vu9p-flga2104")
        )
    workshop.install()
    workshop.run(HlsConfig(clock_period_ns=2.5, part="xcvu9p-flga2104-2-e"))
    folder = workshop.rtl / "vivado"
    lines = (folder / "synthesis.tcl").read_text().splitlines()
    assert [line for line in lines if "read_verilog" in line] == [
        "read_verilog {../src/codae.v}",
        "read_verilog {../src/codae_stage0.v}",
        "read_verilog {../src/static/shift_adder.v}",
    ]
    assert "synth_design -top codae -part xcvu9p-flga2104-2-e -mode out_of_context" in lines
    assert (folder / "clock.xdc").read_text() == "create_clock -name clk -period 2.5 [get_ports clk]\n"
    assert "-mode batch" in (folder / "vivado.log").read_text()


def test_vivado_without_rtl_is_left_alone(workshop):
    workshop.install("exit 1")
    assert workshop.run(rtl=False)["ran"] is False


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo ERROR: no licence; exit 1", r"vivado ended with status 1: ERROR: no licence; .*vivado.log"),
        (
            "echo nothing written",
            r"without its report synthesis_utilization.rpt, synthesis_timing.rpt, .*dcp: nothing written",
        ),
        (COPIES, r"vivado ended without its report synthesis.dcp: an empty log"),
    ],
)
def test_a_failing_or_silent_vivado_is_named(workshop, script, message):
    workshop.install()
    workshop.run()
    workshop.install(script)
    with pytest.raises(ToolError, match=message):
        workshop.run()


def test_a_vivado_that_hangs_is_stopped_with_its_children(workshop):
    workshop.install("(sleep 2; touch survived) & sleep 20")
    started = time.monotonic()
    with pytest.raises(ToolError, match=r"vivado took longer than hls.tool_timeout_s = 0.3"):
        workshop.run(HlsConfig(tool_timeout_s=0.3))
    assert time.monotonic() - started < 2
    time.sleep(2.2)
    assert not (workshop.rtl / "vivado" / "survived").exists()


@pytest.mark.parametrize(
    ("name", "old", "new", "figure"),
    [
        ("utilization.rpt", "| CLB LUTs*  ", "| something  ", "LUT; expected row CLB LUTs or Slice LUTs"),
        ("utilization.rpt", "2,702", "n/a", "FF; expected row CLB Registers"),
        ("utilization.rpt", "Block RAM Tile", "Block RAM", "Block RAM tiles"),
        ("utilization.rpt", "| URAM ", "| ULTRA", "URAM"),
        ("utilization.rpt", "| DSPs ", "| none ", "DSP48E"),
        (
            "utilization.rpt",
            "Shift Register  |     6 |",
            "Shift Register  |    6",
            "SRL; expected row LUT as Shift Register",
        ),
        ("timing.rpt", "-0.612", "    NA", "WNS; expected a number under WNS"),
        ("timing.rpt", " 2703\n", "", "TPWS Total Endpoints"),
        ("timing.rpt", "| Design Timing Summary", "", "WNS"),
    ],
)
def test_a_missing_figure_is_named(workshop, name, old, new, figure):
    whole = {"utilization.rpt": UTILIZATION, "timing.rpt": TIMING}[name]
    assert old in whole
    workshop.report(name, whole.replace(old, new))
    workshop.install()
    with pytest.raises(ToolError, match=rf"the report of vivado, .*{name}, has no {figure}"):
        workshop.run()


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("utilization.rpt", "xcvu13p-flga2577-2-e", "xcu250-figd2104-2L-e", "part xcu250-figd2104-2L-e; expected the"),
        ("timing.rpt", "xcvu13p-flga2577", "xcvu9p-flga2577", "part xcvu9p-flga2577; expected the part xcvu13p-flga25"),
        ("utilization.rpt", ": codae", ": other", "design other; expected the design codae"),
    ],
)
def test_a_report_of_another_part_or_design_is_refused(workshop, name, old, new, message):
    whole = {"utilization.rpt": UTILIZATION, "timing.rpt": TIMING}[name]
    assert old in whole
    workshop.report(name, whole.replace(old, new))
    workshop.install()
    with pytest.raises(ToolError, match=rf"the report of vivado, .*{name}, is of the {message}"):
        workshop.run()


def test_a_7_series_part_has_other_rows_and_no_uram():
    text = UTILIZATION.replace("CLB LUTs*", "Slice LUTs*").replace("CLB Reg", "Slice Reg").replace("| URAM ", "| none ")
    found = parse_utilization(text, Source("vivado", "u"), has_uram=False)
    assert found.report == {"LUT": 14_210, "FF": 2_702, "BRAM_18K": 3, "URAM": 0, "DSP48E": 4}
    with pytest.raises(ToolError, match="no URAM"):
        parse_utilization(text, Source("vivado", "u"))


def test_an_rtl_folder_without_verilog_is_named(workshop):
    workshop.install()
    (workshop.rtl / "src" / "codae.v").unlink()
    with pytest.raises(InputError, match=r"codae.v does not exist; expected the Verilog of a finished RTL folder"):
        workshop.run()
