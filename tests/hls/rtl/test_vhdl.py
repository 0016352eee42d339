"""The pipeline in VHDL: what GHDL simulates is QKeras's words; without GHDL the VHDL is written all the same."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from codae_l1.data.base.errors import ToolError
from codae_l1.hls.network.mismatch import adversarial_counts, compare
from codae_l1.hls.network.records import firmware_network
from codae_l1.hls.rtl.build import Interpreter
from codae_l1.hls.rtl.vhdl import VhdlSimulation, _bits, _find_ghdl, _vhdl_sources, build_vhdl
from codae_l1.hls.target.config import HlsConfig
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision

CONFIG = FirmwareConfig(
    conv=(ConvConfig(2, (6, 5), (6, 5)),),
    dense=(2,),
    outputs=2,
    tied=False,
    precision={"output": LayerPrecision(output_bits=6, output_integer=2)},
)
COUNTS = adversarial_counts(CONFIG, seed=5, n_random=60)
needs_ghdl = pytest.mark.skipif(shutil.which("ghdl") is None, reason="needs GHDL: apt-get install ghdl")


@pytest.fixture(scope="module")
def firmware():
    model, rng = build_qkeras(CONFIG, 3), np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return FirmwareModel.rounded(model, CONFIG)


@pytest.fixture(scope="module")
def folder(firmware, tmp_path_factory):
    made = tmp_path_factory.mktemp("vhdl") / "vhdl"
    build_vhdl(*firmware_network(firmware), HlsConfig(latency_cutoff=3.0), made)
    return made


def test_the_vhdl_is_written_without_ghdl(firmware, folder):
    assert {"codae.vhd", "codae_stage0.vhd", "codae_wrapper.vhd", "codae.xdc"} <= {p.name for p in folder.glob("src/*")}
    assert not list(folder.rglob("*.v"))
    assert "entity work.codae_wrapper" in (folder / "testbench" / "codae_testbench.vhd").read_text()
    assert compare(firmware, Interpreter(folder), COUNTS).different == 0


@needs_ghdl
def test_ghdl_simulates_the_words_of_qkeras(firmware, folder):
    simulation, words = VhdlSimulation(folder), firmware.predict_words(COUNTS)
    assert simulation.design.stages > 1
    assert str(compare(firmware, simulation, COUNTS)) == f"qkeras-vhdl: {len(COUNTS)} events equal"
    assert len(np.unique(words)) > 20
    assert simulation.predict_words(COUNTS[:0]).shape == (0, 2)


@needs_ghdl
def test_one_changed_sign_in_the_vhdl_is_found(firmware, folder, tmp_path):
    changed = shutil.copytree(folder, tmp_path / "vhdl")
    path = sorted(changed.glob("src/codae_stage*.vhd"))[-1]
    text = path.read_text()
    assert "IS_SUB=>0" in text
    path.write_text(text.replace("IS_SUB=>0", "IS_SUB=>1", 1))
    assert compare(firmware, VhdlSimulation(changed), COUNTS).different > 0


@needs_ghdl
def test_vhdl_that_does_not_analyse_or_drives_nothing_is_named(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "vhdl")
    wrapper = broken / "src" / "codae_wrapper.vhd"
    text = wrapper.read_text()
    wrapper.write_text(text.replace("end architecture rtl;", "end architecture;;"))
    with pytest.raises(ToolError, match=r"GHDL's analysis ended with status 1: .*codae_wrapper.vhd"):
        VhdlSimulation(broken).predict_words(COUNTS[:2])
    lines = [line for line in text.splitlines() if "model_out" not in line or "<=" not in line]
    wrapper.write_text("\n".join(lines) + "\n")
    with pytest.raises(ToolError, match=r"or bits that are neither 0 nor 1; expected 2 rows of defined bits; build"):
        VhdlSimulation(broken).predict_words(COUNTS[:2])


@pytest.fixture(scope="module")
def two(firmware, tmp_path_factory):
    """(folder, firmware) of pipelines in the namespaces f_m_v1 and, of other weights, `signal`, a word of VHDL."""
    model, rng = build_qkeras(CONFIG, 4), np.random.default_rng(4)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    found = {"f_m_v1": firmware, "signal": FirmwareModel.rounded(model, CONFIG)}
    folder = tmp_path_factory.mktemp("two")
    for name, one in found.items():
        build_vhdl(*firmware_network(one), HlsConfig(latency_cutoff=3.0), folder / name, namespace=name)
    return folder, found


def test_every_entity_and_file_carries_the_namespace(two):
    for name in two[1]:
        sources = list((two[0] / name).rglob("*.vhd"))
        assert len(sources) > 8
        for path in sources:
            assert path.name.startswith(f"{name}_")
            text = path.read_text().lower()
            entities = re.findall(r"^ *entity +(\w+) +is|entity +work\.(\w+)", text, re.MULTILINE)
            assert {(a or b).startswith(f"{name}_") for a, b in entities} == {True}
            assert "codae" not in text


@needs_ghdl
def test_two_namespaces_in_one_library_give_their_own_words(two, tmp_path):
    """Both are analysed into one library before either is simulated."""
    folder, found = two
    for name, firmware in found.items():
        assert compare(firmware, VhdlSimulation(folder / name), COUNTS).different == 0
    flags = ["--std=08", f"--workdir={tmp_path}"]
    designs = {name: VhdlSimulation(folder / name).design for name in found}
    for name in found:
        subprocess.run(["ghdl", "-a", *flags, *_vhdl_sources(folder / name, name)], cwd=tmp_path, check=True)
    words = {}
    for name, firmware in found.items():
        stages = designs[name].stages
        lines = _bits(np.pad(designs[name].saturated(COUNTS), ((0, stages), (0, 0))), designs[name])
        (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n")
        subprocess.run(["ghdl", "-e", *flags, f"{name}_testbench"], cwd=tmp_path, check=True)
        run = ["ghdl", "-r", *flags, f"{name}_testbench", "--ieee-asserts=disable"]
        subprocess.run(run, cwd=tmp_path, check=True)
        rows, width = (tmp_path / "words.txt").read_text().split()[stages:], designs[name].rtl_output.width
        raw = [[int(row[width:], 2), int(row[:width], 2)] for row in rows]
        words[name] = designs[name].port_words(np.array(raw, np.int64))
        np.testing.assert_array_equal(words[name], firmware.predict_words(COUNTS))
    assert (words["f_m_v1"] != words["signal"]).any()


def test_a_missing_ghdl_is_said_with_the_remedy(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"no ghdl on PATH; expected GHDL, which checks VHDL; install it, e.g. apt-get"):
        _find_ghdl()
    with pytest.raises(ToolError, match="no ghdl on PATH"):
        VhdlSimulation(folder)
