"""Runs of several seeds: means, spreads and the table; wrong seeds are refused before anything runs."""

import copy
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.scripts import run_chain
from codae_l1.scripts.report import COLUMNS
from codae_l1.scripts.studies.seeds import _write_seeds, run_seeds

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "scripts" / "configs" / "demo.toml"


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
    text = _write_seeds(tmp_path, [report(1), report(2), report(3)], COLUMNS)
    summary = read_json(tmp_path / "seeds.json")
    assert summary["seeds"] == [1, 2, 3]
    assert summary["commits"] == ["abc"]
    assert summary["auc"]["h125"]["rtl"] == pytest.approx({"mean": 0.82, "spread": 0.01})
    assert summary["cost"]["LUT"] == pytest.approx({"mean": 2000, "spread": np.std([1000, 2000, 3000], ddof=1)})
    assert (tmp_path / "seeds.md").read_text() == text
    assert "Seeds 1, 2, 3, commit abc: 2,000 ± 1,000 LUT" in text
    assert "| h125 | " + "82.0 ± 1.0 | " * len(COLUMNS) + "+0.20 ± 0.10 |" in text


def test_efficiencies_that_every_seed_carries_are_averaged(tmp_path):
    reports = [report(1), report(2)]
    for r in reports:
        kept = {"h125": {"value": 0.3 + 0.1 * r["config"]["seed"]}}
        r["trigger"] = {"points": {"1e-3": {"rtl": {"efficiency": kept}, "bdt": {"efficiency": kept}}}}
    reports[1]["trigger"]["points"]["1e-3"]["bdt"]["efficiency"] = None
    text = _write_seeds(tmp_path, reports, COLUMNS)
    assert "| 1e-3: rtl | 45.0 ± 7.1 |" in text
    assert set(read_json(tmp_path / "seeds.json")["trigger"]["1e-3"]) == {"rtl"}
    reports[1]["trigger"] = None
    assert "1e-3" not in _write_seeds(tmp_path, reports, COLUMNS)
    assert read_json(tmp_path / "seeds.json")["trigger"] == {}


def test_a_score_that_no_run_has_has_no_column(tmp_path):
    reports = [report(1), report(2)]
    for r in reports:
        for row in r["auc"].values():
            del row["teacher"]
    assert "teacher" not in _write_seeds(tmp_path, reports, COLUMNS)


def test_each_seed_is_a_run_of_its_own(tmp_path):
    def chain(run):
        assert run.folder == tmp_path / f"seed-{run.config.seed}"
        write_json(run.folder / "report.json", report(run.config.seed))

    given = Namespace(seeds=[5, 2], config=CONFIG, out=tmp_path, run=None, update=False)
    assert "Seeds 5, 2, commit abc: 3,500" in run_seeds(given, chain, COLUMNS)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--seeds", "1", "--out", "x"], "expected two or more different ones, >= 0; name them after --seeds"),
        (["--seeds", "2", "2", "--out", "x"], "expected two or more different ones, >= 0"),
        (["--seeds", "-1", "1", "--out", "x"], "expected two or more different ones, >= 0"),
        (["--seeds", "1", "2"], "--seeds; expected --config and --out beside it, and no --run"),
        (["--seeds", "1", "2", "--out", "x", "--run", "y"], "--seeds; expected --config and --out beside it"),
        (["--out", "x"], "--out without --seeds; expected both; add --seeds, or leave it out"),
    ],
)
def test_wrong_seeds_are_refused(tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_chain.py", "--config", str(CONFIG), *words])
    with pytest.raises(InputError, match=says):
        run_chain.command()
    assert list(tmp_path.iterdir()) == []
