"""The command export: what it refuses, and what it says of the working points."""

import sys

import pytest

from codae_l1.scripts import cli, export

POINT = {"threshold_word": 7, "rate_khz": 0.0977, "error_khz": 0.0126, "reason": None, "rate_reason": None}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--events", "0"], "error: --events 0; expected a number >= 1"),
        (["--rates", "0.1", "0"], "error: --rates [0.1, 0.0]; expected finite numbers above zero, in kHz"),
        (["--rates", "inf"], "error: --rates [inf]; expected finite numbers above zero, in kHz"),
    ],
)
def test_numbers_that_say_nothing_are_refused(monkeypatch, capsys, tmp_path, arguments, says):
    monkeypatch.setattr(sys, "argv", ["export", "--run", "nowhere", "--out", str(tmp_path / "out"), *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.run(export.command)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(says)
    assert not (tmp_path / "out").exists()


def test_each_working_point_is_said_with_its_rate_or_why_there_is_none():
    interface = {
        "vectors": {"events": 300},
        "checksum": "ab" * 32,
        "trigger": {"latency_cycles": 6, "latency_ns": 30.0, "initiation_interval": 1},
        "resources": {"whole": {"LUT": 11000, "FF": 6700}, "trigger": {"wrapper": {"LUT": 5000, "FF": 4200}}},
        "decision": {
            "working_points": [
                {"name": "rate_0.1_khz", **POINT},
                {"name": "rate_0.003_khz", **POINT, "threshold_word": None, "reason": "6 events pass"},
                {"name": "fpr_0.1", **POINT, "rate_khz": None, "rate_reason": "no cross section"},
            ]
        },
        "simulated": {"codae_tb": "PASS: 0 of 300 events differ"},
    }
    assert export.summary(interface).splitlines() == [
        "300 vectors, self-test passed, checksum abababababab",
        "towers to accept bits: 6 clocks = 30 ns, an event every 1; 11,000 LUT, 6,700 FF, of which pooling and "
        "thresholds 5,000 and 4,200",
        "rate_0.1_khz: score >= 7, 0.0977 +- 0.013 kHz of QCD",
        "rate_0.003_khz: not carried, never fires (6 events pass)",
        "fpr_0.1: score >= 7, rate not known (no cross section)",
        "codae_tb: PASS: 0 of 300 events differ",
    ]
