"""The vendor's steps with stand-ins of the tools: order, figures, what is done again, the live log, every failure."""

import os
import signal
import time

import pytest
from vendor_bench import REPORTS, VITIS, Bench

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import locked, read_json
from codae_l1.hls.vendor import hls4ml_steps as steps_module
from codae_l1.hls.vendor._steps import check_programs
from codae_l1.hls.vendor.hls4ml_steps import STEPS, hls4ml_steps


@pytest.fixture
def bench(tmp_path, monkeypatch):
    made = Bench(tmp_path)
    monkeypatch.setenv("PATH", f"{made.programs}:/usr/bin:/bin")
    return made


ALL = ["csim 1", "synth 1", "cosim 1 validation 1", "vsynth 1", "vivado_synth", "export 1"]


def test_all_steps_in_order_with_their_figures_as_numbers(bench):
    said = []
    done = bench.run(progress=lambda done, total, text: said.append((done, total, text)))
    assert bench.calls == ALL
    assert list(done) == list(STEPS)
    assert done["csim"]["found"] == {"CSimReport": {"Errors": 0, "Events": 3, "Different": 0}}
    assert done["csynth"]["found"]["CSynthesisReport"]["LUT"] == 45_321
    assert done["cosim"]["found"]["CosimReport"]["LatencyMax"] == 12
    assert done["vsynth"]["found"]["VivadoSynthReport"]["BRAM_18K"] == 3
    assert done["export"]["found"]["ExportReport"]["name"] == "codae"
    assert said[0] == (0, 5, "csim: C simulation of the testbench")
    assert said[-1] == (5, 5, "all steps done")
    project = bench.work / "project"
    assert (project / "tb_data" / "tb_output_predictions.dat").read_text() == "1.5\n-0.5\n0.0\n"
    assert (project / "tb_data" / "tb_input_features.dat").read_text() == "0 0\n0 0\n0 0\n"
    assert not (project / "firmware" / "libcodae.so").exists()
    assert not (bench.project / "codae_prj").exists()


def test_a_finished_step_is_not_done_again_unless_its_inputs_changed(bench):
    first = bench.run()
    assert bench.run() == first
    assert bench.calls == ALL
    (bench.project / "firmware" / "codae.cpp").write_text("other code")
    assert bench.run()["csynth"]["inputs"] != first["csynth"]["inputs"]
    assert bench.calls == ALL * 2


def test_other_vectors_leave_what_does_not_read_them(bench):
    first, said = bench.run(), []
    done = bench.run("csynth", counts=1, progress=lambda *step: said.append(step))
    assert done == {name: first[name] for name in ("csynth", "vsynth", "export")}
    dropped = "csim, cosim: done before with other inputs, left out until done again"
    assert said == [(0, 0, dropped), (0, 0, "done already")]
    # Nothing ran and nothing was wiped: with the vectors of before all is there.
    assert bench.run() == first
    assert bench.calls == ALL
    done = bench.run("csim", counts=1, progress=lambda *step: said.append(step))
    assert list(done) == ["csynth", "vsynth", "export", "csim"]
    assert said[2] == (0, 1, dropped.replace("csim, ", ""))
    assert bench.calls[6:] == ["csim 1"]
    project = bench.work / "project"
    assert (project / "tb_data" / "tb_input_features.dat").read_text() == "1 1\n1 1\n1 1\n"
    assert (project / "codae_prj/solution1/sim/report/codae_cosim.rpt").is_file()


@pytest.mark.parametrize("text", ["{}", "[]", '{"inputs": 3}', "null"])
def test_a_step_file_of_another_shape_is_of_a_step_not_done(bench, text):
    first = bench.run("csim")
    (bench.work / "csim.json").write_text(text)
    assert bench.run("csim")["csim"]["reports"] == first["csim"]["reports"]
    assert bench.calls == ["csim 1"] * 2


def test_a_step_does_what_it_needs_and_no_more(bench):
    assert list(bench.run("export")) == ["csynth", "export"]
    bench.run("cosim")
    assert bench.calls == ["synth 1", "export 1", "csim 1", "cosim 1 validation 1"]


def test_a_killed_step_is_done_again_and_the_finished_ones_are_kept(bench):
    bench.install("vitis_hls", VITIS + "if asked cosim; then kill -9 $$; fi")
    with pytest.raises(
        ToolError, match=rf"vitis_hls ended with status -{signal.SIGKILL.value}: .*read the log .*cosim.log"
    ):
        bench.run()
    assert not (bench.work / "cosim.json").exists()
    bench.install("vitis_hls", VITIS)
    bench.run()
    assert bench.calls == ["csim 1", "synth 1", "cosim 1 validation 1", *ALL[2:]]


def test_an_interrupted_command_stops_its_tool_and_goes_on_there(bench):
    def interrupt(step, line):
        raise KeyboardInterrupt

    bench.install("vitis_hls", VITIS + "if asked synth; then echo $$ > {reports}/pid; echo started; sleep 60; fi")
    with pytest.raises(KeyboardInterrupt):
        bench.run("csynth", follow=interrupt)
    assert not (bench.work / "csynth.json").exists()
    bench.install("vitis_hls", VITIS)
    assert list(bench.run("csynth")) == ["csynth"]
    assert bench.calls == ["synth 1", "synth 1"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((bench.reports / "pid").read_text()), 0)


def test_a_report_that_is_gone_is_made_again_with_all_that_follows_it(bench):
    bench.run()
    (bench.work / "project/codae_prj/solution1/syn/report/codae_csynth.xml").write_text("<changed/>")
    bench.reports.joinpath("csynth.xml").write_text((REPORTS / "csynth.xml").read_text().replace("45321", "45322"))
    assert bench.run("cosim")["csynth"]["found"]["CSynthesisReport"]["LUT"] == 45_322
    assert bench.calls[6:] == ["synth 1", "cosim 1 validation 1"]
    assert list(bench.run("csim")) == ["csim", "csynth", "cosim"]


def test_other_programs_of_the_vendor_make_it_anew(bench):
    bench.run("csynth")
    bench.install("vitis-run", VITIS)
    assert bench.run("csynth")["csynth"]["program"].endswith("bin/vitis_hls")
    (bench.programs / "vitis_hls").unlink()
    assert bench.run("csynth")["csynth"]["program"].endswith("bin/vitis-run")
    (bench.programs / "vitis-run").unlink()
    assert bench.run("csynth")["csynth"]["program"].endswith("bin/vitis-run")
    assert bench.calls == ["synth 1", "synth 1"]


def test_lines_are_followed_while_the_tool_runs(bench):
    heard = []

    def follow(step, line):
        heard.append((step, line))
        if line == "ready":
            (bench.reports / "go").touch()

    wait = "echo ready; until [ -e {reports}/go ]; do sleep 0.05; done; printf 'last word'"
    bench.install("vitis_hls", f"{wait}\n{VITIS}")
    bench.run("csynth", follow=follow)
    assert heard == [("csynth", "ready"), ("csynth", "last word")]


@pytest.mark.parametrize(
    ("program", "steps", "message"),
    [
        (
            "vitis_hls",
            STEPS,
            "vitis-run, vitis_hls not on PATH; expected the vendor's tools; source their settings64.sh",
        ),
        ("vivado", STEPS, "vivado not on PATH; expected the vendor's tools"),
    ],
)
def test_a_tool_that_is_not_there_is_said_before_anything_runs(bench, program, steps, message):
    (bench.programs / program).unlink()
    with pytest.raises(ToolError, match=message):
        bench.run(*steps)
    assert bench.calls == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo fine; echo 'ERROR: [Common 17-345] A valid license was not found for xcvu13p'; echo bye; exit 1",
            r"vitis_hls ended with status 1: ERROR: \[Common 17-345\] A valid license.* give the tool its licence "
            r"\(XILINXD_LICENSE_FILE or LM_LICENSE_FILE\), read the log .*work/csim.log, line 2",
        ),
        ("echo 'No space left on device'; exit 1", "No space left on device; expected .* give it more disk or memory"),
        ("echo quiet", r"ended without its report tb_data/csim_results.log: quiet; .*read the log .*csim.log"),
        ("exec sleep 20", r"vitis_hls took longer than --timeout-s = 1: an empty log"),
        (
            VITIS.replace("0 errors", "2 errors"),
            "has no C simulation that passed; expected 0 errors, not 2; .*csim.log",
        ),
    ],
)
def test_a_failure_is_named_with_the_place_of_its_log(bench, script, message):
    bench.install("vitis_hls", script)
    with pytest.raises(ToolError, match=message):
        bench.run(timeout_s=1.0 if "sleep" in script else 60.0, limit="--timeout-s")
    assert not (bench.work / "csim.json").exists()


def test_steps_that_do_not_need_the_one_that_fails_go_on(bench):
    failed, said = {}, []
    bench.install(
        "vitis_hls", f"if grep -qw 'cosim 1' build_opt.tcl; then echo ERROR: no simulator; exit 1; fi\n{VITIS}"
    )
    done = bench.run(failed=failed, progress=lambda *step: said.append(step))
    assert list(done) == ["csim", "csynth", "vsynth", "export"]
    assert str(failed.pop("cosim")).startswith(
        "vitis_hls ended with status 1: ERROR: no simulator; expected a run with"
    )
    assert failed == {}
    assert said[-1] == (5, 5, "not done: cosim")
    bench.install("vitis_hls", VITIS)
    assert list(bench.run(failed=failed)) == ["csim", "csynth", "vsynth", "export", "cosim"]
    assert (failed, bench.calls[-1]) == ({}, "cosim 1 validation 1")
    assert len(bench.calls) == len(ALL)


def test_steps_that_need_the_one_that_fails_are_left_out(bench):
    failed, said = {}, []
    bench.install("vitis_hls", VITIS.replace("CSim done with 0", "CSim done with 2"))
    done = bench.run(failed=failed, progress=lambda *step: said.append(step[2]))
    assert list(done) == ["csynth", "vsynth", "export"]
    assert str(failed["csim"]).endswith(
        "has no C simulation that passed; expected 0 errors, not 2; read the log " + str(bench.work / "csim.log")
    )
    assert list(failed) == ["csim"]
    assert "cosim: left out, it needs csim" in said
    assert not (bench.work / "csim.json").exists()


def test_a_report_that_cannot_be_read_keeps_no_step_from_working_on_the_rest(bench):
    (bench.reports / "csynth.xml").write_text((REPORTS / "csynth.xml").read_text().replace("<LUT>45321</LUT>", ""))
    for _ in range(2):
        failed = {}
        assert list(bench.run(failed=failed)) == ["csim", "cosim", "vsynth", "export"]
        assert "csynth.xml, has no number AreaEstimates/Resources/LUT" in str(failed.pop("csynth"))
        assert failed == {}
    with pytest.raises(ToolError, match="has no number AreaEstimates/Resources/LUT"):
        bench.run("csynth")
    # Each tool ran once: what csynth left is read again, not made again.
    assert bench.calls == ALL


def test_a_report_that_could_not_be_read_is_read_again_by_newer_code(bench, monkeypatch):
    def unable(text, source, has_uram):
        source.lacks("form that is known", "another")

    with monkeypatch.context() as patch:
        patch.setattr(steps_module, "parse_csynth", unable)
        with pytest.raises(ToolError, match="has no form that is known"):
            bench.run("csynth")
    done = bench.run("csynth")
    assert done["csynth"]["found"]["CSynthesisReport"]["LUT"] == 45_321
    assert read_json(bench.work / "csynth.json") == done["csynth"]
    assert bench.calls == ["synth 1"]


def test_programs_are_looked_for_without_the_files_of_the_design(bench):
    steps = hls4ml_steps(bench.project)
    bench.run("csynth")
    (bench.programs / "vitis_hls").unlink()
    check_programs(steps, bench.work, ("csynth",))
    with pytest.raises(ToolError, match="vitis-run, vitis_hls not on PATH"):
        check_programs(steps, bench.work, ("export",))
    with pytest.raises(ToolError, match="vitis-run, vitis_hls not on PATH"):
        check_programs(steps, bench.work, ("csynth",), {"firmware/codae.cpp": b"other"})


def test_a_folder_in_use_is_refused(bench):
    bench.work.mkdir()
    with (
        locked(bench.work / ".lock"),
        pytest.raises(InputError, match=r"work is in use by another command or by a tool that still runs"),
    ):
        bench.run()


def wait_until_free(path):
    for _ in range(200):
        try:
            with locked(path):
                return
        except InputError:
            time.sleep(0.1)


def test_what_a_tool_leaves_running_ends_with_it(bench):
    bench.install("vitis_hls", f"{VITIS}\n(sleep 60) > /dev/null &")
    bench.run("csynth")
    wait_until_free(bench.work / ".lock")
    assert list(bench.run("csynth")) == ["csynth"]


def test_a_tool_of_a_session_of_its_own_holds_the_folder(bench):
    lingers = "setsid sh -c 'until [ -e {reports}/go ]; do sleep 0.05; done' > /dev/null & sleep 0.3"
    bench.install("vitis_hls", f"{VITIS}\n{lingers}")
    bench.run("csynth")
    with pytest.raises(InputError, match="in use by another command or by a tool that still runs"):
        bench.run("csynth")
    (bench.reports / "go").touch()
    wait_until_free(bench.work / ".lock")
    assert list(bench.run("csynth")) == ["csynth"]


def test_an_unknown_step_is_named(bench):
    with pytest.raises(InputError, match=r"step 'place'; expected steps of csim, csynth, cosim, vsynth, export"):
        bench.run("place")


def test_vivado_places_and_routes_what_it_synthesised(bench):
    done = bench.run_rtl("implementation")
    assert bench.calls == ["synthesis", "implementation"]
    assert done["synthesis"]["found"]["VivadoSynthReport"]["LUT"] == 14_210
    found = done["implementation"]["found"]
    assert (found["ImplementationReport"]["TotLUTs"], found["TimingReport"]["WNS"]) == (14_210, -0.612)
    assert found["TimingMet"] is False
    script = (bench.work / "rtl/project/vivado/implementation.tcl").read_text().splitlines()
    assert [line for line in script if line.endswith("_design")] == [
        *("opt_design", "place_design", "phys_opt_design", "route_design"),
    ]
    assert script.index("open_checkpoint synthesis.dcp") < script.index("opt_design")
    bench.run_rtl("synthesis", "implementation")
    assert bench.calls == ["synthesis", "implementation"]
    assert read_json(bench.work / "rtl" / "implementation.json") == done["implementation"]
