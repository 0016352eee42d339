"""The trigger between two AXI4-Stream ports: its testbench passes with pauses on both sides and finds changes."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from codae_l1.data.base.errors import ToolError
from codae_l1.hls.rtl.verilator import run_testbench
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger._axis import axis_interface, axis_values
from codae_l1.hls.trigger.emulator import fill

# The trigger around a stand-in of the network, with its vectors.
_SPEC = importlib.util.spec_from_file_location("wrapper_tests", Path(__file__).with_name("test_wrapper.py"))
wrapper = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(wrapper)


def write(folder, slices):
    made = wrapper.trigger(slices=slices)
    wrapper.write_bench(made, folder)
    values = {**axis_values(made), "HALF": 2.5, "SEED": 3, "EVENTS": 20}
    for name in ("axis.v", "axis_tb.v"):
        (folder / "rtl" / f"codae_{name}").write_text(fill(name, values))
    return folder / "rtl"


@pytest.mark.parametrize("slices", [1, 6])
def test_every_frame_gives_its_beat_in_verilator(tmp_path, slices):
    said = run_testbench(write(tmp_path, slices), "codae_axis_tb", HlsConfig(), tmp_path / "log")
    assert said.startswith("PASS: 0 faults, ")


# Of one frame: kill switch, room, marks, frames of other lengths, beats held, resets, signs, order.
CHANGES = [
    ("kill ? {POINTS{1'b0}} : first", "first"),
    (".kill(kill)", ".kill(1'b0)"),
    ("!open[ADDRESS]", "1'b1"),
    ("{!out_valid, accept", "{1'b0, accept"),
    ("s_axis_tlast ? 0 : beats == SLICES ? beats", "beats == SLICES - 1 ? 0 : beats == SLICES ? beats"),
    ("beats == SLICES ? beats : beats + 1'b1", "beats + 1'b1"),
    ("(!m_axis_tvalid || m_axis_tready)", "1'b1"),
    ("else if (m_axis_tready) m_axis_tvalid", "else m_axis_tvalid"),
    ("            ended <= 0;\n            head", "            head"),
    ("            beats <= 0;\n            ended", "            ended"),
    ("            open <= 0;\n            waiting", "            waiting"),
    ("            waiting <= 0;\n            m_axis", "            m_axis"),
    ("aresetn && !open", "!open"),
    ("{first[SCORE - 1]}", "{1'b0}"),
    ("store = ended[LATENCY]", "store = ended[LATENCY - 1]"),
]


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
@pytest.mark.parametrize("slices", [1, 2, 6, 18])
def test_every_frame_gives_its_beat_in_icarus(tmp_path, slices):
    passes_in_icarus(write(tmp_path, slices), True)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_icarus_finds_what_is_changed(tmp_path, old, new):
    change(write(tmp_path, 6), old, new)
    passes_in_icarus(tmp_path / "rtl", False)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_a_memory_too_small_loses_clocks(tmp_path):
    change(write(tmp_path, 1), "$clog2(LATENCY + 3), DEPTH", "$clog2(LATENCY + 3) - 1, DEPTH")
    passes_in_icarus(tmp_path / "rtl", False)


def change(rtl, old, new):
    path = rtl / "codae_axis.v"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def passes_in_icarus(rtl, expected):
    sources = sorted(rtl.glob("*.v"))
    subprocess.run(["iverilog", "-g2012", "-s", "codae_axis_tb", "-o", "tb", *sources], cwd=rtl, check=True)
    done = subprocess.run(["vvp", "-N", "tb"], cwd=rtl, capture_output=True, text=True)
    assert (done.returncode == 0, "PASS: 0 faults" in done.stdout) == (expected, expected), done.stdout
    assert ("FAIL: " in done.stdout) != expected


def test_verilator_finds_what_is_changed(tmp_path):
    change(write(tmp_path, 1), *CHANGES[0])
    with pytest.raises(ToolError, match="The testbench codae_axis_tb ended with status"):
        run_testbench(tmp_path / "rtl", "codae_axis_tb", HlsConfig(), tmp_path / "log")


def test_the_interface_names_fields_that_the_verilog_has():
    made = wrapper.trigger(slices=6)
    said, values = axis_interface(made), axis_values(made)
    assert said["m_axis_tdata"]["width"] == values["SCORE_FIELD"] + values["ACCEPT_FIELD"] == 16 + 8
    assert said["m_axis_tdata"]["accept"] == {"offset": 16, "width": 2}
    assert said["s_axis_tdata"] == {"width": 696, "towers": 72 * 58 // 6}
    assert axis_interface(wrapper.trigger(slices=18))["s_axis_tdata"] == {"width": 232, "towers": 232}
    assert said["latency_cycles"] == made.latency + 2
