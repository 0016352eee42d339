"""The export: its self-test and its testbench pass, and both fail where one weight, word or file is another."""

import json
import os
import re
import shutil
import subprocess

import h5py
import numpy as np
import pytest

from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.errors import InputError, ToolError
from codae_l1.hls.config import HlsConfig
from codae_l1.hls.export import export
from codae_l1.hls.mismatch import adversarial_counts
from codae_l1.hls.rtl import build_rtl
from codae_l1.hls.verilator import find_verilator
from codae_l1.quantization.firmware import (
    ConvConfig,
    FirmwareConfig,
    FirmwareModel,
    build_qkeras,
    input_counts,
    input_word,
    output_word,
)
from codae_l1.quantization.precision import LayerPrecision

CONFIG = FirmwareConfig(
    pool=12,
    inputs=("tracks", "ecal"),
    energy_lsb_gev=16.0,
    conv=(ConvConfig(2, (3, 2), (3, 2)),),
    outputs=2,
    precision={"output": LayerPrecision(output_bits=7, output_integer=3)},
)
# UBSan stops the self-test at an overflow or a shift that C++ does not define.
SANITIZED = "g++ -Wall -Wextra -Werror -fsanitize=undefined -fno-sanitize-recover=all"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(firmware, images, folder of the export, interface.json)."""
    folder, rng = tmp_path_factory.mktemp("export"), np.random.default_rng(6)
    model = build_qkeras(CONFIG, seed=6)
    model.set_weights([rng.normal(0, 0.7, w.shape) for w in model.get_weights()])
    firmware = FirmwareModel(model, CONFIG, sign=-1, component=1)
    images = rng.exponential(3.0, (20, *IMAGE_SHAPE)).astype(np.float32) * (rng.random((20, *IMAGE_SHAPE)) < 0.1)
    words = input_word(CONFIG), output_word(CONFIG)
    build_rtl(model, *words, HlsConfig(), folder / "rtl", simulate=False)
    counts = adversarial_counts(CONFIG, 1, 100)
    compiler = folder / "compiler"
    compiler.write_text(f'#!/bin/sh\nexec {SANITIZED} "$@"\n')
    compiler.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", str(compiler))
        interface = export(firmware, folder / "rtl", images, counts, HlsConfig(), folder / "out", {"seed": 6}, "f_m_v2")
    return firmware, images, folder / "out", interface


def selftest(folder, **environment):
    return subprocess.run(
        ["sh", "selftest.sh"], cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_the_self_test_passes_with_gpp_alone(made):
    _, images, folder, interface = made
    done = selftest(folder, CXX="g++", PYTHONPATH="")
    events = interface["vectors"]["events"]
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"blocks: 0 of {events} events differ",
        f"one by one: 0 of {events} events differ",
        f"pooling: 0 of {len(images)} events differ",
        f"f_m_v2 {interface['version']}, checksum {interface['checksum']}: passed",
    ]


def test_vectors_are_those_of_qkeras(made):
    firmware, images, folder, interface = made
    inputs = np.loadtxt(folder / "vectors" / "inputs.txt", dtype=np.int64).reshape(-1, *CONFIG.input_shape)
    words = np.loadtxt(folder / "vectors" / "words.txt", dtype=np.int64)
    assert len(words) == interface["vectors"]["events"] > 100
    np.testing.assert_array_equal(words, firmware.predict_words(inputs))
    top = input_word(CONFIG).bounds[1]
    np.testing.assert_array_equal(inputs[: len(images)], np.minimum(input_counts(images, CONFIG), top))
    with h5py.File(folder / "vectors" / "vectors.h5") as file:
        np.testing.assert_array_equal(file["inputs"][:], inputs)
        np.testing.assert_array_equal(file["words"][:], words)
        np.testing.assert_array_equal(file["firmware_word"][:], -words[:, 1])
        assert file["towers"].shape == (len(images), 72, 58, 2)
        assert file.attrs["checksum"] == interface["checksum"]


def test_the_interface_file_says_what_the_ports_are(made):
    _, _, folder, interface = made
    assert json.loads((folder / "interface.json").read_text()) == interface
    ports = {port["name"]: port for port in interface["ports"]}
    verilog = (folder / "rtl" / "codae_wrapper.v").read_text()
    for name in ("model_inp", "model_out"):
        assert f"[{ports[name]['width'] - 1}:0] {name}" in verilog
    assert ports["model_inp"]["elements"] * ports["model_inp"]["element_width"] == 6 * 5 * 2 * 5
    assert interface["latency_ns"] == interface["latency_cycles"] * 5.0
    assert interface["initiation_interval"] == 1
    assert (interface["output"]["sign"], interface["output"]["component"]) == (-1, 1)
    assert interface["input"]["pooling"] == {"pool": 12, "inputs": ["tracks", "ecal"], "energy_lsb_gev": 16.0}
    assert interface["seed"] == 6


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("emulator/f_m_v2_network.h", r"(weights\[\d+\] = {)", r"\g<1>1 + ", "blocks: [1-9]"),
        ("emulator/f_m_v2_pooling.cpp", "shift = 5", "shift = 4", "pooling: [1-9]"),
        ("vectors/words.txt", "-", "", "one by one: [1-9]"),
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
    done = selftest(folder)
    assert done.returncode == 1
    assert re.search(says, done.stdout)
    assert done.stdout.endswith("FAILED\n")


def test_an_export_that_does_not_pass_is_not_left(made, tmp_path, monkeypatch):
    firmware, images, folder, _ = made
    monkeypatch.setattr("codae_l1.hls.export.tower_words", lambda *_: np.ones((len(images), 72, 58, 2), np.int64))
    with pytest.raises(ToolError, match=r"The self-test ended with status 1: .*pooling: 20 of 20 events differ"):
        export(firmware, folder.parent / "rtl", images, np.zeros((0, 6, 5, 2), np.int64), HlsConfig(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_rtl_of_another_firmware_is_refused(made, tmp_path):
    _, images, folder, _ = made
    other = FirmwareModel(build_qkeras(CONFIG, seed=7), CONFIG)
    with pytest.raises(InputError, match=r"gives other words than the firmware on \d+ of 20 vectors; expected the RTL"):
        export(other, folder.parent / "rtl", images, np.zeros((0, 6, 5, 2), np.int64), HlsConfig(), tmp_path / "out")


def simulate(folder):
    """The testbench by Verilator; one translation unit, since its makefile takes three times as long."""
    program, root = find_verilator()
    flags = ["--cc", "--exe", "--main", "--timing", "-Wno-fatal", "-Wno-WIDTH", "-Istatic"]
    command = [program, *flags, "--top-module", "codae_tb", "codae_tb.v"]
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "VERILATOR_ROOT": str(root)})
    runtime = (root / "include" / f"{name}.cpp" for name in ("verilated", "verilated_timing", "verilated_threads"))
    sources = [*(folder / "obj_dir").glob("*.cpp"), *runtime]
    (folder / "all.cc").write_text("".join(f'#include "{path}"\n' for path in sources))
    includes = [f"-I{path}" for path in (root / "include", root / "include" / "vltstd", "obj_dir")]
    compiler = ["g++", "-std=c++20", "-fcoroutines", "-O0", "-w", "-pthread", *includes]
    subprocess.run([*compiler, "all.cc", "-o", "tb"], cwd=folder, check=True)
    return subprocess.run(["./tb"], cwd=folder, capture_output=True, text=True)


def test_the_testbench_passes_and_finds_a_changed_word(made, tmp_path):
    folder = shutil.copytree(made[2], tmp_path / "out")
    done = simulate(folder / "rtl")
    events = made[3]["vectors"]["events"]
    assert f"passed: 0 of {events} events differ" in done.stdout
    assert done.returncode == 0
    lines = (folder / "vectors" / "words.hex").read_text().splitlines()
    lines[7] = f"{int(lines[7], 16) ^ 1:0{len(lines[7])}x}"
    (folder / "vectors" / "words.hex").write_text("\n".join(lines) + "\n")
    done = subprocess.run(["./tb"], cwd=folder / "rtl", capture_output=True, text=True)
    assert "event 7: " in done.stdout
    assert f"FAILED: 1 of {events} events differ" in done.stdout
    assert done.returncode != 0
