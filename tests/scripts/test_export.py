"""The command export: what it refuses, and what it says of the working points."""

import sys

import pytest

from codae_l1.hls.trigger.export import NOT_SIMULATED
from codae_l1.hls.trigger.export_config import MARKS, check_target
from codae_l1.scripts import export
from codae_l1.scripts.run import cli

POINT = {"threshold_word": 7, "rate_khz": 0.0977, "error_khz": 0.0126, "reason": None, "rate_reason": None}
ZERO_BIAS = {"threshold_word": 9, "rate_khz": 28.5, "error_khz": 5.7, "pure_khz": 27.3, "pure_error_khz": 5.5}
ZERO_BIAS |= {"reason": None, "crossing_khz": 28_607.0}
POINT |= {"total_khz": 2.4, "passing_share": 0.0407}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--events", "0"], "error: --events 0; expected a number >= 1"),
        (["--rates", "0.1", "0"], "error: --rates [0.1, 0.0]; expected different finite numbers above zero, in kHz"),
        (["--rates", "inf"], "error: --rates [inf]; expected different finite numbers above zero, in kHz"),
        (["--rates", "1", "1.0"], "error: --rates [1.0, 1.0]; expected different finite numbers above zero, in kHz"),
        (["--rates", "1", "--points", "1e-3"], "error: --points and --rates; expected one of them"),
        (["--namespace", "a-b"], "error: namespace 'a-b'; expected a C++ name"),
        (["--namespace", "class"], "error: namespace 'class'; expected a C++ name"),
        (["--namespace", "int8_t"], "error: namespace 'int8_t', a name of the C or C++ library; expected another name"),
        (["--namespace", "div"], "error: namespace 'div', a name of the C or C++ library; expected another name"),
        (["--slices", "5"], "error: slices = 5; expected a divisor of the 18 rows of cells; take one of 1, 2, 3"),
    ],
)
def test_what_cannot_be_exported_is_said_before_anything_is_loaded(monkeypatch, capsys, tmp_path, arguments, says):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"firmware": {"pool": 4}}')
    assert refused(monkeypatch, capsys, tmp_path, tmp_path / "out", *arguments).startswith(says)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("[]", "without a table; expected a JSON table"),
        ('{"firmware": 3}', "config.json: firmware is 3; expected a table"),
        ('{"firmware": {"pool": "x"}}', "config.json: firmware.pool = 'x' (str); expected int"),
        ('{"firmware": {"pool": null}}', "config.json: firmware.pool = None (NoneType); expected int"),
    ],
)
def test_a_config_that_is_none_is_named(monkeypatch, capsys, tmp_path, config, says):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(config)
    assert says in refused(monkeypatch, capsys, tmp_path, tmp_path / "out")


def refused(monkeypatch, capsys, folder, out, *arguments):
    """What export says of its arguments; nothing is loaded."""
    monkeypatch.setattr(sys, "argv", ["export", "--run", str(folder / "run"), "--out", str(out), *arguments])
    monkeypatch.setattr(export.stage, "open_run", None)
    with pytest.raises(SystemExit) as stop:
        cli.run(export.command)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "says"),
    [
        (".", "is the current folder"),
        ("run", "holds other files (config.json)"),
        ("kept", "holds the run folder"),
        ("exports", "holds other files (f_m_v1)"),
        ("half", "holds other files (interface.json), which would be deleted"),
        ("file", "is a file; expected a folder to write"),
    ],
)
def test_a_folder_that_is_no_export_is_left_alone(monkeypatch, capsys, tmp_path, out, says):
    """kept: looks like an export, and holds the run."""
    for file in ("run/config.json", "exports/f_m_v1/interface.json", "half/interface.json", "file"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("{}")
    folder = tmp_path
    if out == "kept":
        folder = tmp_path / "kept"
        (folder / "run").mkdir(parents=True)
        for file in ("run/config.json", "interface.json", "SHA256SUMS"):
            (folder / file).write_text("{}")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert says in refused(monkeypatch, capsys, folder, out)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_older_export_and_a_new_folder_may_be_written(tmp_path):
    for file in MARKS:
        (tmp_path / file).write_text("{}")
    assert check_target(tmp_path, "runs/demo") == tmp_path.resolve()
    assert check_target(tmp_path / "new" / "one") == (tmp_path / "new" / "one").resolve()


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
                {"name": "1e-3", **ZERO_BIAS},
                {"name": "20 kHz pure", **ZERO_BIAS, "rate_khz": None},
                {"name": "1 kHz pure", **ZERO_BIAS, "threshold_word": None, "reason": "no crossing fires"},
            ]
        },
        "executed": {"rtl": "0 of 300 vectors differ"},
        "simulated": {"codae_trigger_tb": NOT_SIMULATED},
    }
    assert export._summary(interface).splitlines() == [
        "300 vectors, self-test passed, checksum abababababab",
        "towers to accept bits: 6 cycles = 30 ns, an event every 1; 11,000 LUT, 6,700 FF, of which pooling and "
        "thresholds 5,000 and 4,200",
        "rate_0.1_khz: score >= 7, 0.098 ± 0.013 kHz of QCD, 4.1 % of the sample's 2.4 kHz",
        "rate_0.003_khz: not carried, never fires (6 events pass)",
        "fpr_0.1: score >= 7, rate not known (no cross section)",
        "1e-3: score >= 9, 28.5 ± 5.7 kHz, 27.3 ± 5.5 kHz beyond the menu, of 28,607 kHz of crossings",
        "20 kHz pure: score >= 9, 27.3 ± 5.5 kHz beyond the menu, of 28,607 kHz of crossings",
        "1 kHz pure: not carried, never fires (no crossing fires)",
        "rtl: 0 of 300 vectors differ",
        "codae_trigger_tb: not simulated; export with --simulate, or run it as its head says",
    ]


@pytest.mark.parametrize(
    ("slices", "clock_ns", "says"),
    [(1, 5.0, None), (5, 5.0, None), (6, 5.0, (30, 2)), (18, 5.0, (90, 4)), (9, 2.5, None), (10, 2.5, None)],
)
def test_slices_that_miss_crossings_say_how_many_copies_take_all(slices, clock_ns, says):
    interface = {
        "vectors": {"events": 300},
        "checksum": "ab" * 32,
        "trigger": {"latency_cycles": 8, "latency_ns": 8 * clock_ns, "initiation_interval": slices},
        "resources": {"whole": {"LUT": 11000, "FF": 6700}, "trigger": {"wrapper": {"LUT": 5000, "FF": 4200}}},
        "decision": {"working_points": []},
        "executed": {},
        "simulated": {},
    }
    said = export._summary(interface).splitlines()[2:]
    line = "an event every {} ns, crossings every 25 ns: {} copies in turn take all of them"
    assert said == ([] if says is None else [line.format(*says)])
