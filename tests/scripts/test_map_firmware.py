"""The shipped network of the README's table: its sum, its words, and its figures without a training."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.base.files import read_json, sha256
from codae_l1.data.sample import SAMPLE
from codae_l1.hls.network.records import firmware_network
from codae_l1.hls.rtl.build import Interpreter, build_rtl
from codae_l1.hls.target.config import HlsConfig
from codae_l1.quantization.f_m.config import DISTANCE
from codae_l1.scripts import synthesize
from codae_l1.scripts._map_firmware import read_firmware
from codae_l1.scripts.run import cli

SHIPPED, ROOT = Path(SAMPLE).parent / "f_m.npz", Path(__file__).parents[2]


def test_the_shipped_network_is_the_one_of_the_readme():
    assert sha256(SHIPPED) in (ROOT / "README.md").read_text()


def test_the_shipped_network_gives_its_words(tmp_path):
    firmware, counts = read_firmware(SHIPPED)
    assert firmware.config.distance == DISTANCE.distance
    assert len(counts) > 2000
    build_rtl(*firmware_network(firmware), HlsConfig(), tmp_path / "rtl", simulate=False)
    words = firmware.predict_words(counts)
    assert np.array_equal(Interpreter(tmp_path / "rtl").predict_words(counts), words)
    assert len(np.unique(words)) > 50


@pytest.mark.skipif("CODAE_MAP" not in os.environ, reason="CODAE_MAP is not set: Yosys and a simulation, a minute")
def test_the_command_gives_the_figures_of_the_readme(tmp_path, monkeypatch, capsys):
    out = tmp_path / "f_m"
    monkeypatch.setattr(sys, "argv", ["synthesize.py", "--firmware", str(SHIPPED), "--out", str(out)])
    synthesize._command()
    record = read_json(out / "synthesize.json")
    found = re.search(r"It takes ([\d,]+) LUT", (ROOT / "README.md").read_text())
    assert found
    assert record["resources"]["LUT"] == int(found[1].replace(",", ""))
    assert record["comparison"]["different"] == 0
    assert sha256(SHIPPED) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--firmware", "f_m.npz"], "--firmware without --out"),
        (["--firmware", "f_m.npz", "--out", "o", "--run", "r"], "--firmware with --run or --update"),
        (["--firmware", "missing.npz", "--out", "o"], "missing.npz does not exist"),
        (["--firmware", "config.json", "--out", "o"], "config.json"),
        (["--out", "o"], "--out without --firmware"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(SHIPPED, "f_m.npz")
    Path("config.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["synthesize.py", *options])
    with pytest.raises(SystemExit) as ended:
        cli.run(synthesize._command)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not Path("o").exists()
