"""The table of what energies add: every variant asked for with each seed, means and spreads, the words of the table."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.scripts import scan
from codae_l1.scripts.run.config import RunConfig
from codae_l1.scripts.studies.energies import VARIANTS, _energy_rows, _energy_table


def fake_evaluate(requests: list[dict]) -> list[dict]:
    """AUC and LUT that follow from the number of inputs and the seed."""
    assert len({str(r) for r in requests}) == len(requests)
    return [
        {
            "merit": {"h125": {"value": 0.8 + 0.01 * r["seed"], "error": 0.01}},
            "merit_float": {"h125": 0.85},
            "merit_mean": 0.8,
            "lut": 1000 * len(r["firmware"]["inputs"]),
            "ff": 10,
            "latency_ns": 20.0,
            **({"synthesis": {}} if r["map"] else {}),
        }
        for r in requests
    ]


def test_each_variant_is_trained_with_each_seed():
    run = SimpleNamespace(config=RunConfig(), path=lambda *parts: Path("runs", *parts))
    asked = []

    def evaluate(requests: list[dict]) -> list[dict]:
        asked.extend(requests)
        return fake_evaluate(requests)

    rows = _energy_rows(run, evaluate, seeds=3)
    assert len(asked) == 3 * len(VARIANTS)
    assert [tuple(r["firmware"]["inputs"]) for r in asked[::3]] == [inputs for inputs, _ in VARIANTS]
    assert [r["distill"]["given_energies"] for r in asked[::3]] == [given for _, given in VARIANTS]
    assert sum(r["map"] for r in asked) == len(VARIANTS)
    assert rows[0]["merit"]["h125"]["value"] == pytest.approx(0.82)
    table = _energy_table(rows, {"n_tracks": {"merit": {"h125": {"value": 0.79}}}}, {"seed": 1, "commit": "abc"})
    assert "| n_tracks |  | 79.0 |" in table
    assert "| tracks | 1,000 | 82.0 ± 1.0 |" in table
    assert "| tracks + track_pt, given energies | 2,000 | 82.0 ± 1.0 |" in table
    assert "mean and spread of 3 seeds, LUT by Yosys of the first. Seed 1, commit abc." in table


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--variants", "energies", "--seeds", "0"), "--seeds 0; expected a number >= 1"),
        (("--seeds", "2"), "--seeds without --variants; expected both; add --variants, or leave it out"),
    ],
)
def test_wrong_numbers_are_refused(monkeypatch, words, says):
    monkeypatch.setattr(sys, "argv", ["scan.py", *words])
    with pytest.raises(InputError, match=says):
        scan.command()
