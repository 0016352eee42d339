"""Runs of several seeds: means, spreads and the table; wrong seeds are refused before anything runs."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codae_l1.scripts.report import COLUMNS
from codae_l1.scripts.seeds import markdown, summarise, write

ROOT = Path(__file__).parents[2]


def report(seed: int) -> dict:
    values = {key: {"value": 0.8 + 0.01 * seed, "error": 0.01} for key, _ in COLUMNS}
    return {
        "config": {"seed": seed},
        "stamp": {"commit": "abc"},
        "resources": {"LUT": 1000 * seed, "FF": 10},
        "latency_ns": 20.0,
        "auc": {"h125": values, "svj2100": copy.deepcopy(values)},
        "quantization_loss": {"h125": {"value": 0.001 * seed}, "svj2100": {"value": 0.0}},
    }


def test_mean_and_spread_over_seeds(tmp_path):
    summary = summarise([report(1), report(2), report(3)])
    assert summary["seeds"] == [1, 2, 3]
    assert summary["commits"] == ["abc"]
    assert summary["auc"]["h125"]["rtl"] == pytest.approx({"mean": 0.82, "spread": 0.01})
    assert summary["cost"]["LUT"] == pytest.approx({"mean": 2000, "spread": np.std([1000, 2000, 3000], ddof=1)})
    write(tmp_path, summary)
    text = (tmp_path / "seeds.md").read_text()
    assert text == markdown(summary)
    assert "Seeds 1, 2, 3, commit abc: 2,000 ± 1,000 LUT" in text
    assert "| h125 | " + "82.0 ± 1.0 | " * len(COLUMNS) + "+0.20 ± 0.10 |" in text


@pytest.mark.parametrize("seeds", [["1"], ["2", "2"], ["-1", "1"]])
def test_wrong_seeds_are_refused(tmp_path, seeds):
    command = [sys.executable, "scripts/seeds.py", "--config", "scripts/configs/demo.toml", "--seeds", *seeds]
    result = subprocess.run([*command, "--out", tmp_path / "x"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert "expected two or more different ones, >= 0; name them after --seeds" in result.stderr
    assert not (tmp_path / "x").exists()
