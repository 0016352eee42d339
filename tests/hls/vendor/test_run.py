"""Vendor tools: absent, present (stand-ins that write reports in the vendors' form), and failing in each way."""

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.hls.cost.synthesis import _report
from codae_l1.hls.rtl.clocks import ClockCount
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.vendor.run import run_vendor

REPORTS = Path(__file__).parent / "texts"
REPORT = (REPORTS / "csynth.xml").read_text()


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a program of the name on PATH, alone with the shell's own; returns the project's folder."""
    project, programs = tmp_path / "project", tmp_path / "bin"
    project.mkdir()
    programs.mkdir()
    shutil.copy(REPORTS / "project.tcl", project)
    (programs / "report.xml").write_text(REPORT)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def install(name, script):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
        return project

    install.project, install.report = project, programs / "report.xml"
    return install


def writes_report(source):
    place = "codae_prj/solution1/syn/report"
    return f"echo started $0 $*; mkdir -p {place}; cp {source} {place}/codae_csynth.xml"


def test_absent_tools_are_a_record(stand_in):
    record = run_vendor(stand_in.project, HlsConfig())
    assert record["ran"] is False
    assert record["CSynthesisReport"] is None
    assert (
        record["sentence"]
        == "vitis-run, vitis_hls, vivado_hls, vivado not on PATH; the figures are those of the open tools."
    )


@pytest.mark.parametrize(("name", "arguments"), [("vitis_hls", "-f"), ("vitis-run", "--mode hls --tcl")])
def test_the_report_is_read_as_numbers(stand_in, name, arguments):
    project = stand_in(name, writes_report(stand_in.report))
    record = run_vendor(project, HlsConfig())
    found = record["CSynthesisReport"]
    assert (record["tool"], record["kind"]) == (f"{name} 2023.2", "estimate")
    assert found["LUT"] == 45_321
    assert found["DSP"] == 3
    assert found["EstimatedClockPeriod"] == 3.633
    assert (found["BestLatency"], found["WorstLatency"], found["IntervalMax"]) == (11, 12, 1)
    assert found["AvailableLUT"] == 1_728_000
    assert record["VivadoSynthReport"] is None
    assert {row["name"]: row["vendor"] for row in record["records"]}["latency [cycles]"] == 12
    assert f"{arguments} build_prj.tcl" in (project / "vendor.log").read_text()
    assert "cosim 0" in (project / "build_opt.tcl").read_text()


def test_a_latency_that_the_tool_cannot_state_has_no_figure(stand_in):
    stand_in.report.write_text(REPORT.replace(">12</Worst-case", ">undef</Worst-case"))
    record = run_vendor(stand_in("vitis_hls", writes_report(stand_in.report)), HlsConfig())
    rows = {row["name"]: row["vendor"] for row in record["records"]}
    assert (rows["latency [cycles]"], rows["interval [cycles]"], rows["LUT"]) == (None, 1, 45_321)


def test_an_old_report_is_not_taken_for_a_new_one(stand_in):
    run_vendor(stand_in("vitis_hls", writes_report(stand_in.report)), HlsConfig())
    stand_in("vitis_hls", "echo ERROR: no licence for xcvu13p")
    with pytest.raises(ToolError, match=r"vitis_hls ended without its report .*csynth.xml: ERROR: no licence.*log"):
        run_vendor(stand_in.project, HlsConfig())


def test_a_failing_tool_is_named(stand_in):
    project = stand_in("vitis_hls", "echo segmentation; exit 139")
    with pytest.raises(ToolError, match=r"vitis_hls ended with status 139: segmentation"):
        run_vendor(project, HlsConfig())


def test_a_tool_that_hangs_is_stopped(stand_in):
    project = stand_in("vitis_hls", "exec sleep 20")
    with pytest.raises(ToolError, match=r"vitis_hls took longer than hls.tool_timeout_s = 0.2"):
        run_vendor(project, HlsConfig(tool_timeout_s=0.2))


@pytest.mark.parametrize(
    ("old", "new", "figure"),
    [
        ("<LUT>45321</LUT>", "", "number AreaEstimates/Resources/LUT; expected a number, not ''"),
        (
            "3.633",
            "undef",
            "number PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod; expected a number",
        ),
        ("</profile>", "", r"end: it is cut off or no XML \(no element found"),
    ],
)
def test_a_broken_report_is_named(stand_in, old, new, figure):
    stand_in.report.write_text(REPORT.replace(old, new))
    project = stand_in("vitis_hls", writes_report(stand_in.report))
    with pytest.raises(
        ToolError, match=rf"the report of vitis_hls, .*codae_csynth.xml, has no {figure}.*; read the log .*vendor.log"
    ):
        run_vendor(project, HlsConfig())


def test_a_failure_is_said_where_it_is_not_raised(stand_in):
    project = stand_in("vitis_hls", "echo ERROR: no licence for xcvu13p; exit 1")
    record = run_vendor(project, HlsConfig(), strict=False)
    assert (record["ran"], record["records"], record["CSynthesisReport"]) == (False, [], None)
    assert record["sentence"].startswith(
        "FAILED: vitis_hls ended with status 1: ERROR: no licence for xcvu13p; expected"
    )
    assert record["sentence"].endswith("vivado not on PATH; the figures are those of the open tools.")


def test_the_stage_keeps_its_open_figures_where_the_vendor_tool_fails(stand_in, monkeypatch):
    from codae_l1.scripts import synthesize

    project = stand_in("vitis_hls", "echo ERROR: no licence; exit 1")
    run = SimpleNamespace(config=SimpleNamespace(hls=HlsConfig()), path=lambda *names: project)
    counted = ClockCount(4, 1, 16, 256, "Verilator")
    design = SimpleNamespace(operations_by_kind={}, tool="da4ml 0.5.2", da4ml_cost=7.0, latency_cutoff=5.0, stages=4)
    mapped = _report(design, {"LUT2": 8}, "Yosys 0.70 (git)", HlsConfig(), counted)
    parts = {"trace": None, "simulation": counted.as_dict(), "yosys": mapped}
    monkeypatch.setattr(synthesize, "_part", lambda run, name, made_of, make: parts[name])
    monkeypatch.setattr(synthesize, "sha256", lambda path: "0")
    monkeypatch.setattr("codae_l1.hls.rtl.build.source_digest", lambda folder: "0")
    monkeypatch.setattr("codae_l1.data.base.keep.made_from", lambda folder: "0")
    read = SimpleNamespace(as_dict=lambda: vars(design))
    monkeypatch.setattr("codae_l1.hls.network.executor.RtlDesign.read", lambda *arguments: read)
    content = synthesize.work(run)
    assert content["resources"]["LUT"] == 8
    assert content["vendor"]["sentence"].startswith("FAILED: vitis_hls ended with status 1: ERROR: no licence")


def test_a_full_disk_is_said(stand_in, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    project = stand_in("vitis_hls", writes_report(stand_in.report))
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match=r"project could not be written \(No space left on device\); expected a writ"):
        run_vendor(project, HlsConfig())
