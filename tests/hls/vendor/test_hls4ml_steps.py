"""The vendor's steps on an hls4ml project: its projects, its testbench, and the figures of each step."""

import shutil
from pathlib import Path

import hls4ml
import numpy as np
import pytest
from vendor_bench import REPORTS, VITIS, Bench

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_json
from codae_l1.data.base.words import WordType
from codae_l1.hls.vendor.hls4ml_steps import Expected, check_digits, hls4ml_steps, project_source


@pytest.fixture
def bench(tmp_path, monkeypatch):
    made = Bench(tmp_path)
    monkeypatch.setenv("PATH", f"{made.programs}:/usr/bin:/bin")
    return made


@pytest.mark.parametrize("backend", ["vitis", "vivado"])
def test_hls4mls_script_does_what_the_readers_rely_on(backend):
    """In its order: an error that it catches, a report from before the simulation, the RTL, and the line of the log."""
    script = (Path(hls4ml.__file__).parent / "templates" / backend / "build_prj.tcl").read_text()
    places = [
        script.find(line)
        for line in (
            "catch {config_array_partition -maximum_size $maximum_size}\n",
            "    cosim_design -trace_level all -setup\n",
            "    cd ${project_name}_prj/solution1/sim/verilog/\n    source run_sim.tcl\n",
            '    if {[compare_files $CSIM_RESULTS $RTL_COSIM_RESULTS]} {\n        puts "INFO: Test PASSED"\n',
        )
    ]
    assert -1 not in places
    assert places == sorted(places)


def test_the_testbench_prints_words_that_can_be_told_apart(bench):
    wide = WordType(True, 4, 16)
    words = np.array([[1_000_001], [1_000_002]])
    assert Expected(words, wide).different([[float(f"{w * wide.lsb:.6g}")] for w in words[:, 0]], None) == 1
    with pytest.raises(InputError, match=r"output words of 21 bits, of which .* prints 6 digits; expected a testbench"):
        check_digits(project_source(bench.project), wide)
    check_digits(project_source(bench.project), WordType(True, 4, 11))
    (bench.project / "codae_test.cpp").write_text("    std::ofstream fout(RESULTS_LOG);\n    int e = 0;\n")
    source = project_source(bench.project)
    assert source["codae_test.cpp"].decode().splitlines()[1] == "    fout.precision(17);"
    check_digits(source, wide)
    assert Expected(words, wide).different([[float(f"{w * wide.lsb:.17g}")] for w in words[:, 0]], None) == 0
    with pytest.raises(InputError, match=r"output words of 54 bits.* prints 17 digits"):
        check_digits(source, WordType(False, 4, 50))


def test_events_with_other_words_are_counted(bench):
    (bench.reports / "results").write_text("1.5 \n-1 \n0.5 \n")
    assert bench.run("csim")["csim"]["found"]["CSimReport"]["Different"] == 2
    (bench.reports / "results").write_text("1.5 \n")
    shutil.rmtree(bench.work)
    with pytest.raises(ToolError, match=r"csim_results.log, has no 3 events of 1 outputs; expected not \(1, 1\)"):
        bench.run("csim")


def test_a_simulation_without_its_outcome_is_named(bench):
    bench.install("vitis_hls", VITIS.replace("CSim done", "over"))
    with pytest.raises(ToolError, match=r"csim.log, has no outcome; expected a line 'CSim done with 0 errors.'"):
        bench.run("csim")


def test_a_report_of_another_part_is_refused(bench):
    text = (REPORTS / "csynth.xml").read_text()
    (bench.reports / "csynth.xml").write_text(text.replace("xcvu13p-flga2577-2-e", "xczu7ev-ffvc1156-2-e"))
    with pytest.raises(
        ToolError, match=r"csynth.xml, is of the part xczu7ev.*; expected the part xcvu13p-flga2577-2-e; see what"
    ):
        bench.run("csynth")
    (bench.reports / "csynth.xml").write_text(text)
    text = (REPORTS / "utilization.rpt").read_text()
    (bench.reports / "utilization.rpt").write_text(text.replace(": codae", ": other"))
    with pytest.raises(ToolError, match=r"vivado_synth.rpt, is of the design other; expected the design codae"):
        bench.run("vsynth")


def test_a_part_without_uram_needs_no_row_of_it(bench):
    file = bench.project / "project.tcl"
    file.write_text(file.read_text().replace("vitis", "vivado").replace("xcvu13p-flga2577-2-e", "xc7z020clg400-1"))
    place = "codae_prj/solution1/syn/report"
    bench.install("vivado_hls", f"mkdir -p {place}; cp {REPORTS}/csynth_2018.xml {place}/codae_csynth.xml")
    found = bench.run("csynth")["csynth"]["found"]["CSynthesisReport"]
    assert (found["URAM"], found["AvailableURAM"], found["LUT"]) == (0, 0, 940)


def test_a_co_simulation_that_fails_is_an_error(bench):
    text = (REPORTS / "cosim.rpt").read_text()
    (bench.reports / "cosim.rpt").write_text(text.replace("      Pass|", "      Fail|"))
    with pytest.raises(
        ToolError, match=r"codae_cosim.rpt, has no co-simulation that passed; expected the status Pass, not Fail"
    ):
        bench.run()
    assert (bench.work / "csynth.json").exists()


def test_pass_in_a_report_from_before_the_simulation_proves_nothing(bench):
    bench.install("vitis_hls", VITIS.replace("INFO: Test PASSED", "INFO: [COSIM 212-1000] done"))
    with pytest.raises(
        ToolError, match=r"cosim.log, has no co-simulation that passed; expected a line 'INFO: Test PASSED'; read"
    ):
        bench.run("cosim")


def test_words_that_differ_between_the_simulations_are_what_the_tool_says(bench):
    bench.install("vitis_hls", VITIS.replace('"INFO: Test PASSED"', '"ERROR: Test failed"; exit 1'))
    with pytest.raises(ToolError, match=r"vitis_hls ended with status 1: ERROR: Test failed; .*cosim.log, line 1"):
        bench.run("cosim")


FIGURES = {
    **{"RTL": "Verilog", "Status": "Pass", "LatencyMin": 11, "LatencyAvg": 11, "LatencyMax": 12},
    **{"IntervalMin": 1, "IntervalAvg": 1, "IntervalMax": 1, "Events": 3, "Different": 0},
}


@pytest.mark.parametrize("transactions", [True, False])
def test_the_figures_of_cosim_are_in_its_transactions_or_its_report(bench, transactions):
    if not transactions:
        (bench.reports / "transaction.xml").unlink()
        shutil.copy(REPORTS / "cosim_whole.rpt", bench.reports / "cosim.rpt")
        bench.install("vitis_hls", VITIS.replace("cp $D/transaction.xml", ": "))
    assert bench.run("cosim")["cosim"]["found"]["CosimReport"] == FIGURES
    names = [Path(name).name for name in read_json(bench.work / "cosim.json")["reports"]]
    assert ("codae.performance.result.transaction.xml" in names) == transactions


def test_transactions_of_an_earlier_run_are_not_taken_for_new_ones(bench):
    bench.run("cosim")
    bench.install("vitis_hls", VITIS.replace("cp $D/transaction.xml", ": "))
    with pytest.raises(
        ToolError,
        match=r"cosim.rpt, has no latency; expected numbers in the row Verilog, or the file .*sim/verilog/codae",
    ):
        bench.run("cosim", counts=1)


def test_transactions_that_are_changed_make_the_step_anew(bench):
    first = bench.run("cosim")
    file = next((bench.work / "project").rglob("*transaction.xml"))
    file.write_text(file.read_text().replace("12", "13"))
    assert bench.run("cosim")["cosim"]["found"] == first["cosim"]["found"]
    assert bench.calls == ["csim 1", "synth 1", "cosim 1 validation 1", "cosim 1 validation 1"]


def test_vhdl_has_its_transactions_elsewhere(bench):
    text = (REPORTS / "cosim.rpt").read_text()
    text = text.replace("   Verilog|      Pass", "      VHDL|      Pass").replace(
        "      VHDL|        NA", "   Verilog|        NA"
    )
    (bench.reports / "cosim.rpt").write_text(text)
    (bench.reports / "transaction.xml").write_text("transaction        0            21            0\n")
    bench.install("vitis_hls", VITIS.replace("sim/verilog", "sim/vhdl"))
    found = bench.run("cosim")["cosim"]["found"]["CosimReport"]
    assert (found["RTL"], found["LatencyAvg"], found["IntervalMax"]) == ("VHDL", 21, None)


def test_a_vivado_project_takes_its_options_as_an_argument(bench):
    file = bench.project / "project.tcl"
    file.write_text(file.read_text().replace("vitis", "vivado"))
    steps = {step.name: step.commands for step in hls4ml_steps(bench.project)}
    options = "reset=0 csim=0 synth=1 cosim=0 validation=0 export=0 vsynth=0 fifo_opt=0"
    assert steps["csynth"] == {"vivado_hls": ("vivado_hls", "-f", "build_prj.tcl", options)}
    assert "cosim=1 validation=1" in steps["cosim"]["vivado_hls"][-1]


@pytest.mark.parametrize(
    "text", ["", b"\xff\xfe\x89", 'set project_name "codae"\nset backend "oneapi"\nset part "Agilex7"\n']
)
def test_a_project_of_another_backend_is_refused(bench, text):
    (bench.project / "project.tcl").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"project.tcl .*expected an hls4ml project of the Vitis or Vivado backend"):
        hls4ml_steps(bench.project)
