"""The trigger around the network: events from towers to accept bits, clock by clock; its Verilog and its cost."""

import os
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.pooling import PoolingConfig, input_counts, pool_towers, tower_words
from codae_l1.data.sample import SAMPLE
from codae_l1.hls.cost.synthesis import black_box
from codae_l1.hls.network.executor import RtlDesign
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import build_rtl
from codae_l1.hls.rtl.verilator import _find_verilator, run_testbench
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger._vectors import Vectors
from codae_l1.hls.trigger._wrapper import TriggerRtl, adversarial_towers
from codae_l1.hls.trigger._wrapper_cost import wrapper_resources
from codae_l1.hls.trigger.emulator import fill
from codae_l1.hls.trigger.export import export
from codae_l1.hls.trigger.export_config import ExportConfig
from codae_l1.hls.trigger.thresholds import Decision, WorkingPoint
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig, input_word, output_word
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision

CONFIG = FirmwareConfig(
    conv=(ConvConfig(1),), precision={"output": LayerPrecision(weight_bits=4, output_bits=10, output_integer=6)}
)
EVENTS = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of the export, interface.json): shipped events of every process through a small network, all at once."""
    folder = tmp_path_factory.mktemp("trigger")
    model = build_qkeras(CONFIG, seed=3)
    firmware = FirmwareModel.rounded(model, CONFIG)
    with EventFile(SAMPLE) as file:
        images = file.read_where(np.linspace(0, len(file) - 1, EVENTS).astype(int)).images
    words = firmware.firmware_word(firmware.predict_words(input_counts(images, CONFIG.pooling)))
    assert len(np.unique(words)) > 10
    # Among the first events, some lie on the thresholds.
    points = tuple(
        WorkingPoint(f"share_{s}", int(np.quantile(words[:12], s, method="nearest"))) for s in (0.2, 0.5, 0.8)
    )
    build_rtl(read_network(model, input_word(CONFIG)), output_word(CONFIG), HlsConfig(), folder / "rtl", simulate=False)
    options = ExportConfig(measure=False)
    counts = np.zeros((0, *CONFIG.input_shape), np.int64)
    interface = export(firmware, folder / "rtl", images, counts, points, HlsConfig(), folder / "out", options)
    return folder / "out", interface


def test_shipped_events_from_towers_to_accept_bits_clock_by_clock(made, tmp_path):
    folder, interface = made
    assert interface["trigger"]["initiation_interval"] == 1
    assert interface["trigger"]["latency_cycles"] == interface["pipeline"]["latency_cycles"] + 2
    said = run_testbench(folder / "rtl", "codae_trigger_tb", HlsConfig(), tmp_path / "log")
    assert said.startswith("PASS: 0 of ")
    assert said.endswith(f"clocks wrong, {2 * interface['vectors']['from_towers'] + 3} events")
    accept = np.loadtxt(folder / "vectors" / "accept.txt", dtype=int)[:EVENTS]
    passing = accept.sum(axis=0).tolist()
    assert EVENTS > passing[0] > passing[1] > passing[2] > 0


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("codae_trigger.v", "", ""),
        ("codae_trigger.v", "oriented >=", "oriented >"),
        ("codae_trigger.v", "&& !killed", ""),
        ("codae_trigger.v", "killed <= kill;", "killed <= 1'b0;"),
        ("codae_trigger.v", "last <= last_slice", "last <= last_slice && !last"),
        ("codae_pool.v", "MARGIN = 1", "MARGIN = 0"),
        ("static/codae_shift_adder.v", "in0_ext + in1_ext", "in0_ext - in1_ext"),
    ],
)
def test_icarus_passes_and_finds_changed_rtl(made, tmp_path, file, old, new):
    folder = shutil.copytree(made[0], tmp_path / "out")
    path = folder / "rtl" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    # The first events will do.
    bench = folder / "rtl" / "codae_trigger_tb.v"
    bench.write_text(re.sub(r"EVENTS = \d+", "EVENTS = 12", bench.read_text()))
    passes_in_icarus(folder, not old)


def passes_in_icarus(folder, expected):
    """Whether the trigger's testbench in `folder`/rtl passes is as expected."""
    sources = [*(folder / "rtl").glob("*.v"), *(folder / "rtl" / "static").glob("*.v")]
    subprocess.run(["iverilog", "-g2012", "-s", "codae_trigger_tb", "-o", "tb", *sources], cwd=folder, check=True)
    done = subprocess.run(["vvp", "-N", folder / "tb"], cwd=folder / "rtl", capture_output=True, text=True)
    assert (done.returncode == 0, "PASS: 0 of" in done.stdout) == (expected, expected), done.stdout
    assert ("FAIL: " in done.stdout) != expected


# In place of the network: the sum of all input words times numbers of their places, in a register more than its stages.
STUB = """
module codae_wrapper (input clk, input [INPUT_BITS - 1:0] model_inp, output [OUTPUT_BITS - 1:0] model_out);
    reg [OUTPUT_BITS - 1:0] total, stages [0:4];
    integer i;
    assign model_out = stages[4];
    always @(posedge clk) begin
        total = 0;
        for (i = 0; i < INPUT_BITS / WORD_BITS; i = i + 1)
            total = total + model_inp[i * WORD_BITS +: WORD_BITS] * (2 * i + 1);
        stages[0] <= total;
        for (i = 1; i < 5; i = i + 1) stages[i] <= stages[i - 1];
    end
endmodule
"""


def write_bench(made, folder, events=8):
    """The trigger around the stub, its testbench and its vectors: some shipped events, and towers that overflow."""
    with EventFile(SAMPLE) as file:
        images = file.read_where(np.linspace(0, len(file) - 1, events).astype(int)).images
    towers = np.concatenate([tower_words(images, made.pooling), adversarial_towers(made.pooling, 7, 1, 4)])
    inputs = np.minimum(pool_towers(towers, made.pooling), input_word(CONFIG).bounds[1])
    port = made.design.rtl_output
    places = 2 * np.arange(inputs[0].size) + 1
    raw = (inputs.reshape(len(inputs), -1) @ places)[:, None].astype(np.int64) & ((1 << port.width) - 1)
    words = made.design.port_words(raw)
    assert len(np.unique(words)) > events
    accepted = made.decision.accept(words, kill=False)
    assert accepted.any()
    assert not accepted[:, 0].all()
    values = {**made.values(), "HALF": 2.5, "SEED": 3, "EVENTS": len(towers)}
    for name, template in {**made.files, "codae_trigger_tb.v": "trigger_tb.v"}.items():
        (folder / "rtl").mkdir(exist_ok=True)
        (folder / "rtl" / name).write_text(fill(template, values))
    stub = re.sub("INPUT_BITS|OUTPUT_BITS|WORD_BITS", lambda match: str(values[match[0]]), STUB)
    (folder / "rtl" / "codae_wrapper.v").write_text(stub)
    (folder / "vectors").mkdir()
    for name, text in Vectors(made, towers, inputs, words).texts().items():
        (folder / "vectors" / name).write_text(text)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
@pytest.mark.parametrize("slices", [1, 2, 6, 18])
def test_the_default_pooling_in_slices_is_the_python_twin_to_the_bit(tmp_path, slices):
    write_bench(trigger(slices=slices), tmp_path)
    passes_in_icarus(tmp_path, True)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("in_start ? {{(SLICES - 2){1'b0}}, 1'b1}", "in_start ? expected << 1 | 1'b1"),
        ("if (rst) expected <= {(SLICES - 1){1'b0}};\n                else if", "if"),
        ("stored <= event_words[ALL - 1:SLICE]", "stored <= {stored, words}"),
        ("&& !in_start", ""),
        ("if (valid[POOL_STAGES - 1]) stored", "stored"),
        ("killed <= kill;", "killed <= 1'b0;"),
    ],
)
def test_slices_handled_otherwise_are_found(tmp_path, old, new):
    write_bench(trigger(slices=6), tmp_path)
    path = tmp_path / "rtl" / "codae_trigger.v"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    passes_in_icarus(tmp_path, False)


def trigger(pooling=CONFIG.pooling, **changes):
    design = RtlDesign(
        pooling.shape,
        1,
        input_word(CONFIG),
        output_word(CONFIG),
        rtl_output=replace(output_word(CONFIG), fraction=1),
        layers={"output": (1,)},
        stages=4,
        clock_period_ns=5.0,
    )
    decision = Decision((WorkingPoint("a", 9), WorkingPoint("none", None)))
    given = {"decision": decision, "slices": 1, "version": "1.2.3", "checksum": "ab" * 32}
    return TriggerRtl(design, pooling, **(given | changes))


def write(made, folder):
    """The wrapper's Verilog, with an empty network."""
    values = made.values()
    for name, template in made.files.items():
        (folder / name).write_text(fill(template, values))
    ports = (
        f"input clk, input [{values['INPUT_BITS'] - 1}:0] model_inp, output [{values['OUTPUT_BITS'] - 1}:0] model_out"
    )
    (folder / "codae_wrapper.v").write_text(f"module codae_wrapper ({ports});\nendmodule\n")


POOLINGS = (
    (PoolingConfig(), 1),
    (PoolingConfig(), 18),
    (PoolingConfig(4, ("ecal", "tracks", "hcal"), 0.5), 6),
    (PoolingConfig(12, ("tracks", "track_pt"), 8.0), 2),
    (PoolingConfig(1, ("tracks", "ecal")), 36),
)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("pooling", "slices"), POOLINGS)
def test_its_verilog_has_no_warning_of_verilator(tmp_path, pooling, slices, sign):
    decision = Decision((WorkingPoint("a", -9), WorkingPoint("none", None)), sign)
    write(trigger(pooling, slices=slices, decision=decision), tmp_path)
    (tmp_path / "codae_wrapper.v").write_text(
        "/* verilator lint_off UNUSEDSIGNAL */ /* verilator lint_off UNDRIVEN */\n"
        + (tmp_path / "codae_wrapper.v").read_text()
    )
    program, root = _find_verilator()
    command = [program, "--lint-only", "-Wall", "--timescale", "1ns/1ps", "codae_trigger.v", "-I."]
    environment = {**os.environ, "VERILATOR_ROOT": str(root)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.stderr == ""
    assert done.returncode == 0


def test_towers_lie_on_the_port_where_the_interface_says(tmp_path):
    made = trigger(PoolingConfig(6, ("ecal", "tracks"), 2.0), slices=3)
    assert [(f["name"], f["offset"], f["bits"]) for f in made.fields] == [("ecal", 0, 7), ("tracks", 7, 1)]
    towers = np.zeros((2, 72, 58, 2), np.int64)
    towers[1, 24, 0] = 3, 1
    towers[1, 71, 57] = 1 << 30, 0
    assert made.slice_words(towers) == [0, 0, 0, 0, 3 | 1 << 7, 127 << (23 * 58 + 57) * 8]


@pytest.mark.parametrize("pooling", [PoolingConfig(4, ("ecal", "tracks", "hcal"), 0.5), PoolingConfig(12, ("hcal",))])
def test_towers_saturated_to_their_port_give_the_same_words(pooling):
    made, top = trigger(pooling), input_word(CONFIG).bounds[1]
    energy = max(field["bits"] for field in made.fields)
    towers = adversarial_towers(pooling, (1 << energy) - 1, 5)
    held = np.minimum(towers, [(1 << field["bits"]) - 1 for field in made.fields])
    assert (held != towers).any()
    words = np.minimum(pool_towers(towers, pooling), top)
    assert len(np.unique(words)) > 16
    assert words.max() == top
    np.testing.assert_array_equal(np.minimum(pool_towers(held, pooling), top), words)
    shorter = np.minimum(towers, (1 << (energy - 1)) - 1)
    assert (np.minimum(pool_towers(shorter, pooling), top) != words).any()


def test_what_it_costs_is_counted_row_by_row(tmp_path):
    made = trigger(slices=18)
    write(made, tmp_path)
    cost = wrapper_resources(tmp_path, made, HlsConfig())
    # 15 cells of 16 bits, of which the outer two have 12.
    assert 15 * 10 < cost["pooling"]["LUT"] < 15 * 25
    assert cost["pooling"]["FF"] == 0
    # Towers and 17 of 18 rows of words; slices; what runs; kill; score but its two constant bits; accept, valid.
    assert cost["control"]["FF"] == 232 + 17 * 75 + 17 + 2 + 5 + 1 + made.score_bits - 2 + 1 + 1
    assert cost["wrapper"]["LUT"] == cost["pooling"]["LUT"] + cost["control"]["LUT"]
    assert cost["tool"].startswith("Yosys")
    (tmp_path / "codae_cell.v").write_text("module codae_cell (;\nendmodule\n")
    with pytest.raises(ToolError, match=r"Yosys .* on module codae_pool: .*syntax error"):
        wrapper_resources(tmp_path, made, HlsConfig())


def test_what_cannot_be_built_is_said():
    with pytest.raises(InputError, match=r"slices = 5; .*divisor of the 18 rows.*take one of 1, 2, 3, 6, 9, 18"):
        trigger(slices=5)
    with pytest.raises(InputError, match=r"threshold 512 of far; expected -512 to 511"):
        trigger(decision=Decision((WorkingPoint("far", 512),)))


def test_a_black_box_has_the_ports_alone(tmp_path):
    write(trigger(), tmp_path)
    assert "endmodule" in black_box(tmp_path / "codae_pool.v")
    assert "cells" not in black_box(tmp_path / "codae_pool.v")
