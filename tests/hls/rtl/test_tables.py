"""The tables of a design are part of its source: no memory file, the same words from any working directory."""

import re

import numpy as np
import pytest

from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import Interval, Square
from codae_l1.hls.network.executor import RtlDesign
from codae_l1.hls.network.records import Network
from codae_l1.hls.rtl.build import RtlSimulation, build_rtl
from codae_l1.hls.rtl.vhdl import build_vhdl
from codae_l1.hls.target.config import HlsConfig

WORD = WordType(True, 3, 1)
WORDS = np.arange(-16, 16)
NETWORK = Network("x", WORD, (2,), (Square("square", (2,), Interval(0.0, 64.0, 0.25)),))
OUTPUT = NETWORK.layers[0].word
ROWS = {"v": r"5'd(\d+): readout = 9'h([0-9A-F]+);", "vhd": r'"([01]{9})" when "([01]{5})"'}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for name in ("verilog", "again"):
        build_rtl(NETWORK, OUTPUT, HlsConfig(), folder / name, simulate=name == "verilog")
    build_vhdl(NETWORK, OUTPUT, HlsConfig(), folder / "vhdl")
    return folder


@pytest.mark.parametrize(("language", "suffix"), [("verilog", "v"), ("vhdl", "vhd")])
def test_a_table_is_written_once_with_all_its_words(folders, language, suffix):
    source = folders / language / "src"
    assert not list(source.rglob("*.mem"))
    (table,) = source.glob("static/codae_table*")
    rows = re.findall(ROWS[suffix], table.read_text())
    found = {int(i): int(w, 16) for i, w in rows} if suffix == "v" else {int(i, 2): int(w, 2) for w, i in rows}
    assert found == {word % 32: word * word for word in WORDS.tolist()}
    stage = (source / f"codae_stage0.{suffix}").read_text()
    assert stage.count("codae_table0") == 2
    assert "lookup_table" not in stage


def test_the_source_is_the_same_each_time(folders):
    first, again = (RtlDesign.read(folders / name / "design.json", "") for name in ("verilog", "again"))
    assert first.source_sha256 == again.source_sha256 != ""


def test_the_simulation_needs_no_file_of_the_working_directory(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts = np.stack([WORDS, WORDS[::-1]], axis=1)
    simulation = RtlSimulation(folders / "verilog")
    np.testing.assert_array_equal(simulation.predict_words(counts), counts**2)
    np.testing.assert_array_equal(simulation.predict_layers(counts)["square"], (counts * WORD.lsb) ** 2)
