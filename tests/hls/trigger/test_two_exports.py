"""Two exports in one FPGA project: one Verilator model and one Yosys design hold both, and each gives its own words."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_json
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.hls.network.records import firmware_network
from codae_l1.hls.rtl.build import build_rtl
from codae_l1.hls.rtl.modules import renamed_sources
from codae_l1.hls.rtl.verilator import run_testbench
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.export import export
from codae_l1.hls.trigger.export_config import ExportConfig, check_namespace
from codae_l1.hls.trigger.thresholds import WorkingPoint
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision

# Another network each, with other stages, of the same towers; the second's namespace is a word of Verilog.
CONV = {"f_m_v1": (ConvConfig(2, (3, 2), (3, 2)),), "module": (ConvConfig(1, (2, 1), (2, 1)), ConvConfig(2, (3, 5)))}
SLICES, EVENTS = 3, 88

BENCH = """`timescale 1 ns / 1 ps
module checked #(parameter WIDTH = 1, SCORES = "", ACCEPTS = "") (
    input clk, input out_valid, input [WIDTH - 1:0] score, input [1:0] accept
);
    reg [WIDTH - 1:0] scores [0:EVENTS - 1];
    reg [1:0] accepts [0:EVENTS - 1];
    integer seen = 0, failed = 0;
    initial begin
        $readmemh(SCORES, scores);
        $readmemh(ACCEPTS, accepts);
    end
    always @(negedge clk) if (out_valid) begin
        if (score !== scores[seen] || accept !== accepts[seen]) failed = failed + 1;
        seen = seen + 1;
    end
endmodule

module both_tb;
    reg clk = 0, in_start = 0;
    reg [TOWERS - 1:0] towers = 0;
    reg [TOWERS - 1:0] slices [0:EVENTS * SLICES - 1];
    integer t;
EACH
    initial begin
        $readmemh("towers.hex", slices);
        for (t = 0; t < (EVENTS + 20) * SLICES; t = t + 1) begin
            in_start = t % SLICES == 0 && t < EVENTS * SLICES;
            towers = slices[t % (EVENTS * SLICES)];
            #2 clk = 1;
            #2 clk = 0;
        end
        #2 $display("%0s: %0d of %0d and %0d of %0d wrong", first.failed + second.failed == 0 ? "PASS" : "FAIL",
            first.failed, first.seen, second.failed, second.seen);
        if (first.failed + second.failed != 0) $fatal(1);
        $finish;
    end
endmodule
"""
EACH = """
    wire valid_NAME;
    wire [WIDTH - 1:0] score_NAME;
    wire [1:0] accept_NAME;
    NAME_trigger dut_NAME (
        .clk(clk), .rst(1'b0), .kill(1'b0), .in_start(in_start), .in_valid(1'b1), .towers(towers),
        .out_valid(valid_NAME), .score(score_NAME), .accept(accept_NAME), .version(), .checksum()
    );
    checked #(.WIDTH(WIDTH), .SCORES("NAME_scores.hex"), .ACCEPTS("NAME_accept.hex")) PLACE (
        .clk(clk), .out_valid(valid_NAME), .score(score_NAME), .accept(accept_NAME)
    );
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder that holds both exports, and rtl/ with the Verilog of both."""
    folder, rng = tmp_path_factory.mktemp("two"), np.random.default_rng(6)
    images = rng.exponential(3.0, (20, *IMAGE_SHAPE)).astype(np.float32) * (rng.random((20, *IMAGE_SHAPE)) < 0.1)
    for name, conv in CONV.items():
        precision = {"output": LayerPrecision(output_bits=7, output_integer=3)}
        config = FirmwareConfig(pool=12, inputs=("tracks",), conv=conv, outputs=1, precision=precision)
        model = build_qkeras(config, seed=6)
        model.set_weights([rng.normal(0, 0.7, w.shape) for w in model.get_weights()])
        firmware = FirmwareModel.rounded(model, config)
        build_rtl(*firmware_network(firmware), HlsConfig(), folder / f"{name}_made", simulate=False)
        points, counts = (WorkingPoint("a", 3), WorkingPoint("b", 9)), np.zeros((0, *config.input_shape), np.int64)
        options = ExportConfig(name, SLICES, measure=False)
        export(firmware, folder / f"{name}_made", images, counts, points, HlsConfig(), folder / name, options)
        shutil.copytree(folder / name / "rtl", folder / "rtl", dirs_exist_ok=True)
    return folder


def bench(made, folder, **changed):
    """A copy of rtl/ with a testbench of both triggers and their vectors; changed: vectors of one name for another."""
    rtl, each = shutil.copytree(made / "rtl", folder / "rtl"), ""
    for name, place in zip(CONV, ("first", "second"), strict=True):
        interface = read_json(made / name / "interface.json")
        widths = {port["name"]: str(port["width"]) for port in interface["trigger"]["ports"]}
        each += EACH.replace("WIDTH", widths["score"], 1).replace("(WIDTH)", f"({widths['score']})")
        each = each.replace("NAME", name).replace("PLACE", place)
    text = BENCH.replace("EACH", each)
    for key, value in {"TOWERS": widths["towers"], "EVENTS": EVENTS, "SLICES": SLICES}.items():
        text = text.replace(key, str(value))
    (rtl / "both_tb.v").write_text(text)
    shutil.copy(made / "f_m_v1" / "vectors" / "towers.hex", rtl / "towers.hex")
    for name in CONV:
        for kind in ("scores", "accept"):
            shutil.copy(made / changed.get(name, name) / "vectors" / f"{kind}.hex", rtl / f"{name}_{kind}.hex")
    return rtl


def test_one_verilator_model_holds_both(made, tmp_path):
    first, second = (made / name / "vectors" for name in CONV)
    assert (first / "towers.hex").read_text() == (second / "towers.hex").read_text()
    assert (first / "scores.hex").read_text() != (second / "scores.hex").read_text()
    rtl, said = bench(made, tmp_path), f"PASS: 0 of {EVENTS} and 0 of {EVENTS} wrong"
    assert run_testbench(rtl, "both_tb", HlsConfig(), tmp_path / "log") == said
    (tmp_path / "other").mkdir()
    rtl = bench(made, tmp_path / "other", module="f_m_v1")
    with pytest.raises(ToolError, match="The testbench both_tb ended with status"):
        run_testbench(rtl, "both_tb", HlsConfig(), tmp_path / "log")


def yosys(files, top):
    """What Yosys says of a design with a top above both triggers."""
    script = f"""
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in ("read_verilog {" ".join(map(str, files))}", "hierarchy -check -top {top}", "proc", "check -assert"):
    ys.run_pass(command, design)
print("modules:", *sorted(str(name) for name in design.modules_.keys()))
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


def test_one_yosys_design_holds_both(made, tmp_path):
    top = tmp_path / "both.v"
    calls = "\n".join(
        f"{name}_axis {name}_of (.aclk(clk), .aresetn(rst), .kill(rst), .s_axis_tdata(towers), .s_axis_tvalid(rst), "
        f".s_axis_tlast(rst), .m_axis_tready(rst), .m_axis_tdata({port}));"
        for name, port in zip(CONV, "ab", strict=True)
    )
    ports = "input clk, input rst, input [72 * 58 / 3 - 1:0] towers, output [15:0] a, output [15:0] b"
    top.write_text(f"module both ({ports});\n{calls}\nendmodule\n")
    kept = [path for path in (made / "rtl").rglob("*.v") if not path.stem.endswith(("_tb", "_lookup_table"))]
    done = yosys([*kept, top], "both")
    assert done.returncode == 0, done.stderr[-500:] + done.stdout[-500:]
    modules = done.stdout.split("modules:")[1]
    for name in CONV:
        for part in ("axis", "trigger", "pool", "cell", "wrapper", "pipeline", "stage0", "shift_adder"):
            assert f"{name}_{part}" in modules


def test_modules_of_one_name_do_not_fit(made):
    files = [made / "rtl" / "f_m_v1_stage0.v", made / "f_m_v1" / "rtl" / "f_m_v1_stage0.v"]
    done = yosys(files, "f_m_v1_stage0")
    assert done.returncode != 0
    assert "Re-definition of module" in done.stdout + done.stderr


def test_every_module_and_file_carries_the_namespace(made):
    for name in CONV:
        source, found = made / f"{name}_made" / "src", made / name / "rtl"
        texts = renamed_sources(source, name)
        assert {path.stem for path in found.rglob("*.v")} >= {
            f"{name}_{part}" for part in ("pipeline", "mux", "stage0")
        }
        for path, text in texts.items():
            assert path.rpartition("/")[2].startswith(f"{name}_")
            assert (found / path).read_text() == text
            assert "codae" not in text


def test_modules_that_would_have_one_name_are_refused(tmp_path):
    (tmp_path / "a.v").write_text("module codae_mux (input a);\nendmodule\nmodule mux (input a);\nendmodule\n")
    with pytest.raises(InputError, match="modules codae_mux, mux; expected names that stay different"):
        renamed_sources(tmp_path, "f_m_v1")


def test_no_namespace_that_continues_another_has_names_of_it(made):
    """a and a_S: where a_S_X is a name of a, and a_X one as well, a_S is refused."""
    own, ends = "f_m_v1", set()
    for path in (made / own).rglob(f"{own}_*"):
        ends.add(path.name.removeprefix(f"{own}_"))
    for path in (made / own / "rtl").rglob("*.v"):
        ends |= {name.removeprefix(f"{own}_") for name in re.findall(r"^\s*module (\w+)", path.read_text(), re.M)}
    assert {"trigger", "trigger.v", "pipeline", "wrapper", "pool", "cell", "stage0", "network.h"} <= ends
    clashes = {
        name[: -len(end) - 1] for name in ends for end in ends if name.endswith(f"_{end}") and len(name) > len(end) + 1
    }
    for between in clashes:
        with pytest.raises(InputError, match="another end"):
            check_namespace(f"{own}_{between}")
    for end in ("trigger", "pool", "axis", "network", "pipeline"):
        with pytest.raises(InputError, match="which ends like a file of"):
            check_namespace(f"{own}_{end}")
    check_namespace(f"{own}_2")
