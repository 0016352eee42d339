"""The export: its self-test and its testbench pass, and both fail where one weight, word or file is another."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_attribute
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.pooling import input_counts, pool_towers
from codae_l1.hls.network.mismatch import adversarial_counts
from codae_l1.hls.network.records import firmware_network
from codae_l1.hls.rtl.build import RtlSimulation, build_rtl
from codae_l1.hls.rtl.verilator import _build_testbench, run_testbench
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.export import export
from codae_l1.hls.trigger.export_config import ExportConfig
from codae_l1.hls.trigger.thresholds import WorkingPoint
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig, input_word
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision

CONFIG = FirmwareConfig(
    pool=12,
    inputs=("tracks", "ecal"),
    energy_lsb_gev=16.0,
    conv=(ConvConfig(2, (3, 2), (3, 2)),),
    outputs=2,
    precision={"output": LayerPrecision(output_bits=7, output_integer=3)},
)
POINTS = (WorkingPoint("loose", 10, {"rate_khz": 0.1}), WorkingPoint("none", None), WorkingPoint("tight", 20))
OPTIONS = ExportConfig("f_m_v2", slices=3, measure=False)
# UBSan stops the self-test at an overflow or a shift that C++ does not define.
SANITIZED = "/usr/bin/g++ -Wall -Wextra -Werror -fsanitize=undefined -fno-sanitize-recover=all"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(firmware, images, folder of the export, interface.json)."""
    folder, rng = tmp_path_factory.mktemp("export"), np.random.default_rng(6)
    model = build_qkeras(CONFIG, seed=6)
    model.set_weights([rng.normal(0, 0.7, w.shape) for w in model.get_weights()])
    firmware = FirmwareModel.rounded(model, CONFIG, sign=-1, component=1)
    images = rng.exponential(3.0, (20, *IMAGE_SHAPE)).astype(np.float32) * (rng.random((20, *IMAGE_SHAPE)) < 0.1)
    build_rtl(*firmware_network(firmware), HlsConfig(part="xcvu13p-flga2577-2-e"), folder / "rtl")
    counts = adversarial_counts(CONFIG, 1, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CXX", raising=False)
        patch.setenv("PATH", str(only_clang(folder / "bin")))
        # Another clock than the RTL's own: design.json knows better.
        config = HlsConfig(clock_period_ns=2.5)
        arguments = (firmware, folder / "rtl", images, counts, POINTS, config, folder / "out", OPTIONS)
        interface = export(*arguments, {"seed": 6})
    return firmware, images, folder / "out", interface


def only_clang(folder):
    """A folder for PATH in which the compiler is named clang++, beside what the self-test needs."""
    folder.mkdir()
    for name in ("sh", "sha256sum", "mktemp", "rm", "dirname"):
        (folder / name).symlink_to(str(shutil.which(name)))
    compiler = folder / "clang++"
    compiler.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin exec {SANITIZED} "$@"\n')
    compiler.chmod(0o755)
    return folder


def selftest(folder, **more):
    """With an environment in which nothing is but the system's programs."""
    environment = {"PATH": "/usr/bin:/bin", **more}
    return subprocess.run(["sh", "selftest.sh"], cwd=folder, capture_output=True, text=True, env=environment)


def test_the_self_test_passes_with_gpp_alone(made):
    _, _, folder, interface = made
    done = selftest(folder)
    events, towers = interface["vectors"]["events"], interface["vectors"]["from_towers"]
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"blocks: 0 of {events} events differ",
        f"one by one: 0 of {events} events differ",
        f"pooling: 0 of {towers} events differ",
        f"score: 0 of {events} events differ",
        f"accept: 0 of {events} events differ",
        f"accept, all bits: 0 of {events} events differ",
        f"killed: 0 of {events} events differ",
        f"killed, all bits: 0 of {events} events differ",
        f"f_m_v2 {interface['version']}, checksum {interface['checksum']}: passed",
        f"loaded by name: 0 of {events} events differ",
    ]
    assert interface["cmssw"]["results"] == {"elements": 2, "types": ["std::int64_t", interface["output"]["word"]]}


def test_the_example_of_the_docs_compiles(made, tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "integration.md").read_text()
    example = text.split("```cpp\n")[1].split("```")[0].replace("f_m_v1", "f_m_v2")
    includes, body = example.split("\n\n")
    given = (
        "const float *image, const std::int32_t *many_inputs, const std::uint8_t *towers, std::size_t events, "
        "std::int64_t *many_words, bool killed"
    )
    (tmp_path / "example.cpp").write_text(f"{includes}\nbool decide({given}) {{\n{body}return fires;\n}}\n")
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{made[2] / 'emulator'}"]
    done = subprocess.run(["g++", *flags, "example.cpp"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode == 0


def test_vectors_are_those_of_qkeras(made):
    firmware, images, folder, interface = made
    inputs = np.loadtxt(folder / "vectors" / "inputs.txt", dtype=np.int64).reshape(-1, *CONFIG.input_shape)
    words = np.loadtxt(folder / "vectors" / "words.txt", dtype=np.int64)
    assert len(words) == interface["vectors"]["events"] > 100
    np.testing.assert_array_equal(words, firmware.predict_words(inputs))
    top = input_word(CONFIG).bounds[1]
    np.testing.assert_array_equal(inputs[: len(images)], np.minimum(input_counts(images, CONFIG.pooling), top))
    with h5py.File(folder / "vectors" / "vectors.h5") as file:
        np.testing.assert_array_equal(file["inputs"][:], inputs)
        np.testing.assert_array_equal(file["words"][:], words)
        np.testing.assert_array_equal(file["scores"][:], -words[:, 1])
        np.testing.assert_array_equal(np.loadtxt(folder / "vectors" / "scores.txt", dtype=np.int64), -words[:, 1])
        assert file["towers"].shape == (interface["vectors"]["from_towers"], 72, 58, 2)
        scores = -words[:, 1]
        assert file["accept"][:].tolist() == [[s >= 10, False, s >= 20] for s in scores]
        assert {0, 10, 20} < set(scores) | {0}
        assert read_attribute(file, "checksum") == interface["checksum"]


def test_the_interface_file_says_what_the_ports_are(made):
    _, _, folder, interface = made
    assert json.loads((folder / "interface.json").read_text()) == interface
    pipeline, trigger = interface["pipeline"], interface["trigger"]
    ports = {port["name"]: port for port in pipeline["ports"]}
    verilog = (folder / "rtl" / f"{pipeline['top']}.v").read_text()
    for name in ("model_inp", "model_out"):
        assert f"[{ports[name]['width'] - 1}:0] {name}" in verilog
    assert ports["model_inp"]["elements"] * ports["model_inp"]["element_width"] == 6 * 5 * 2 * 5
    assert (pipeline["initiation_interval"], trigger["initiation_interval"]) == (1, 3)
    for module in (pipeline, trigger):
        assert module["latency_ns"] == module["latency_cycles"] * 5.0
    ports = {port["name"]: port["width"] for port in trigger["ports"]}
    assert trigger["tower_fields"] == [
        {"name": "tracks", "offset": 0, "bits": 1},
        {"name": "ecal", "offset": 1, "bits": 10},
    ]
    assert ports["towers"] == 72 * 58 * 11 // 3
    verilog = (folder / "rtl" / f"{trigger['top']}.v").read_text()
    assert f"[{72 * 58 * 11} / SLICES - 1:0] towers" in verilog
    assert f"[{ports['score']} - 1:0] score" in verilog
    assert f"[{ports['accept']} - 1:0] accept" in verilog
    assert f"256'h{interface['checksum']}" in verilog
    decision = interface["decision"]
    assert (decision["sign"], decision["component"]) == (-1, 1)
    assert (interface["clock_period_ns"], interface["part"]) == (5.0, "xcvu13p-flga2577-2-e")
    events = interface["vectors"]["events"]
    assert interface["executed"] == {name: f"0 of {events} vectors differ" for name in ("interpreter", "rtl")}
    assert set(interface["simulated"]) == {"f_m_v2_tb", "f_m_v2_trigger_tb", "f_m_v2_axis_tb"}
    assert all("not simulated; export with --simulate" in said for said in interface["simulated"].values())
    assert "all Verilog modules are named f_m_v2_*" in interface["modules"]
    assert (pipeline["top"], trigger["top"]) == ("f_m_v2_wrapper", "f_m_v2_trigger")
    assert [point["threshold_word"] for point in decision["working_points"]] == [10, None, 20]
    assert decision["working_points"][0]["rate_khz"] == 0.1
    assert interface["checksum"] != interface["network_checksum"]
    assert interface["input"]["pooling"] == {"pool": 12, "inputs": ["tracks", "ecal"], "energy_lsb_gev": 16.0}
    assert interface["seed"] == 6


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("emulator/f_m_v2_network.h", r"(weights\[\d+\] = {)", r"\g<1>1 + ", "blocks: [1-9]"),
        ("emulator/f_m_v2_pooling.cpp", "shift = 5", "shift = 4", "pooling: [1-9]"),
        ("vectors/words.txt", "-", "", "one by one: [1-9]"),
        ("vectors/accept.txt", "1", "0", "accept: 1 of"),
        ("vectors/scores.txt", "-", "", "score: 1 of"),
        ("emulator/f_m_v2_decision.h", "true, 10}", "true, 9}", "accept: [1-9]"),
        ("emulator/f_m_v2_decision.h", r"bits \|= ", "bits = ", "accept, all bits: [1-9]"),
        ("emulator/f_m_v2_decision.h", r"words, k, kill\)", "words, k, false)", "killed, all bits: [1-9]"),
        ("emulator/f_m_v2_decision.h", "!kill && ", "", "killed: [1-9]"),
        ("vectors/identity.txt", "\\n.", "\\nx", "the vectors are of"),
        ("cmssw/f_m_v2_model.cpp", r"words\[o\]\);", "words[0]);", "loaded by name: [1-9]"),
    ],
)
def test_one_weight_word_or_shift_changed_is_caught(made, tmp_path, file, old, new, says):
    folder = shutil.copytree(made[2], tmp_path / "out")
    text = (folder / file).read_text()
    changed, found = re.subn(old, new, text, count=1)
    assert found == 1
    (folder / file).write_text(changed)
    assert f"{file}: FAILED" in selftest(folder).stdout
    (folder / "SHA256SUMS").write_text("")
    (folder / "selftest.sh").write_text((folder / "selftest.sh").read_text().replace("sha256sum", ": "))
    done = selftest(folder, CXX="g++ -w")
    assert done.returncode == 1
    assert re.search(says, done.stdout)
    assert done.stdout.endswith("events differ\n" if file.startswith("cmssw") else "FAILED\n")


def test_an_export_that_does_not_pass_is_not_left(made, tmp_path, monkeypatch):
    firmware, images, folder, _ = made
    monkeypatch.setattr("codae_l1.hls.trigger.export.pool_towers", lambda *given: pool_towers(*given) + 1)
    with pytest.raises(ToolError, match=r"The self-test ended with status 1: .*FAILED; .*read the log .*out-selftest"):
        export(*again(firmware, folder, images, tmp_path))
    assert not (tmp_path / "out").exists()
    assert re.search(r"pooling: [1-9]\d* of 88 events differ", (tmp_path / "out-selftest.log").read_text())


def test_the_rtl_of_another_firmware_is_refused(made, tmp_path):
    _, images, folder, _ = made
    other = FirmwareModel.rounded(build_qkeras(CONFIG, seed=7), CONFIG)
    with pytest.raises(InputError, match=r"gives other words than the firmware on \d+ of 88 vectors; expected the RTL"):
        export(*again(other, folder, images, tmp_path))


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("src/static/shift_adder.v", r"the Verilog in .*rtl/src has been changed since it was made"),
        ("src", r"rtl/src does not exist or is empty; .*run the synthesize stage again"),
        (
            "design.json",
            r"design.json is not a record of this version \(key input_shape is missing\); .*run the synthesize",
        ),
        ("interpreter.npz", r"interpreter.npz cannot be read \(.*run the synthesize stage again"),
        ("sim/libcodae_rtl.so", r"libcodae_rtl.so cannot be loaded \(cut short\).*run the synthesize stage again"),
    ],
)
def test_rtl_that_is_not_as_it_was_made_is_refused(made, tmp_path, file, says):
    firmware, images, folder, _ = made
    rtl = shutil.copytree(folder.parent / "rtl", tmp_path / "rtl")
    if file == "src":
        shutil.rmtree(rtl / "src")
    elif file == "design.json":
        (rtl / file).write_text("{}")
    elif file.endswith(".v"):
        assert "in0_ext + in1_ext" in (rtl / file).read_text()
        (rtl / file).write_text((rtl / file).read_text().replace("in0_ext + in1_ext", "in0_ext - in1_ext"))
    else:
        (rtl / file).write_bytes((rtl / file).read_bytes()[: (rtl / file).stat().st_size // 2])
    arguments = list(again(firmware, folder, images, tmp_path))
    arguments[1] = rtl
    with pytest.raises(InputError, match=says):
        export(*arguments)
    assert not (tmp_path / "out").exists()


def test_rtl_whose_simulation_is_of_another_network_is_refused(made, tmp_path, monkeypatch):
    firmware, images, folder, _ = made
    predict = RtlSimulation.predict_words
    monkeypatch.setattr(RtlSimulation, "predict_words", lambda self, counts: predict(self, counts) + 1)
    with pytest.raises(InputError, match=r"the rtl in .*rtl gives other words than the firmware on 88 of 88 vectors"):
        export(*again(firmware, folder, images, tmp_path))


def test_no_folder_but_an_export_is_written_over(made, tmp_path):
    firmware, images, folder, _ = made
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out holds other files \(notes.txt\), which would be deleted"):
        export(*again(firmware, folder, images, tmp_path))
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def again(firmware, folder, images, out):
    counts = np.zeros((0, *CONFIG.input_shape), np.int64)
    return firmware, folder.parent / "rtl", images, counts, POINTS, HlsConfig(), out / "out", OPTIONS


def run_mutated(program, folder, file, line, bit):
    """The compiled testbench on vectors with one bit of one line flipped."""
    path = folder / "vectors" / file
    kept, lines = path.read_text(), path.read_text().splitlines()
    lines[line] = f"{int(lines[line], 16) ^ 1 << bit:0{len(lines[line])}x}"
    path.write_text("\n".join(lines) + "\n")
    done = subprocess.run([program], cwd=folder / "rtl", capture_output=True, text=True)
    path.write_text(kept)
    assert done.returncode != 0
    return done.stdout


def test_the_testbench_of_the_streams_passes(made, tmp_path):
    folder = shutil.copytree(made[2], tmp_path / "out")
    said = run_testbench(folder / "rtl", made[3]["axis"]["top"] + "_tb", HlsConfig(), tmp_path / "log")
    assert said.startswith("PASS: 0 faults, ")


def test_the_testbench_of_the_network_passes_and_finds_a_changed_word(made, tmp_path):
    folder = shutil.copytree(made[2], tmp_path / "out")
    program = _build_testbench(folder / "rtl", "f_m_v2_tb", HlsConfig(), tmp_path / "log", tmp_path)
    done = subprocess.run([program], cwd=folder / "rtl", capture_output=True, text=True)
    events = made[3]["vectors"]["events"]
    assert f"PASS: 0 of {events} events differ" in done.stdout
    assert done.returncode == 0
    said = run_mutated(program, folder, "words.hex", 7, 0)
    assert "event 7: " in said
    assert f"FAIL: 1 of {events} events differ" in said


def test_the_testbench_of_the_trigger_passes_and_finds_what_is_changed(made, tmp_path):
    """Energies and tracks in three slices per event, towers beyond every word, a pooling of two stages."""
    folder = shutil.copytree(made[2], tmp_path / "out")
    assert made[3]["trigger"]["latency_cycles"] == 2 + made[3]["pipeline"]["latency_cycles"] + 1
    assert made[3]["trigger"]["initiation_interval"] == 3
    program = _build_testbench(folder / "rtl", "f_m_v2_trigger_tb", HlsConfig(), tmp_path / "log", tmp_path)
    done = subprocess.run([program], cwd=folder / "rtl", capture_output=True, text=True)
    towers = made[3]["vectors"]["from_towers"]
    assert re.search(rf"PASS: 0 of \d+ clocks wrong, {2 * towers + 3} events", done.stdout)
    assert done.returncode == 0
    assert "event 5: " in run_mutated(program, folder, "scores.hex", 5, 1)
    assert "event 6: " in run_mutated(program, folder, "accept.hex", 6, 0)
    assert "the vectors are of" in run_mutated(program, folder, "identity.hex", 0, 0)
    # The largest word of a tower in the middle of the empty event's second slice.
    tower = (10 * 58 + 29) * 11
    assert f"event {len(made[1])}: " in run_mutated(program, folder, "towers.hex", 3 * len(made[1]) + 1, tower + 10)
