"""The command on toy events of objects: what it writes, what it keeps, what it refuses in words."""

import re
import shutil
import sys

import numpy as np
import pytest

from codae_l1.data.base.files import read_json
from codae_l1.data.formats.adc2021 import ROW_CLASS
from codae_l1.data.formats.tables import write_objects
from codae_l1.data.generation.objects import ObjectConfig
from codae_l1.models.training import loop as training
from codae_l1.scripts import objects
from codae_l1.scripts.reports import object_report
from codae_l1.scripts.run import cli

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")
CONFIG = """
[systems.anomaly_clr]
model = { width = 8, layers = 1 }
training = { epochs = 1, batch_size = 64 }
"""
BASELINES = ("multiplicity", "missing momentum", "sum of pT")


def make_events(n, seed, scale=1.0):
    """n events of one electron and some jets, (n, 19, 4); scale: of all pT."""
    rng = np.random.default_rng(seed)
    events = np.zeros((n, 19, 4))
    exists = np.isin(np.arange(19), (0, 1)) | ((ROW_CLASS == 4) & (np.arange(19) - 9 < rng.integers(1, 8, (n, 1))))
    pt = np.sort(20 + rng.exponential(20 * scale, (n, 19)), axis=1)[:, ::-1]
    events[..., :3] = np.stack([pt, rng.uniform(-2, 2, (n, 19)), rng.uniform(-3, 3, (n, 19))], axis=-1)
    events[..., 3] = ROW_CLASS
    return events * exists[..., None]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """200 events of background, 40 of each of two signals: one with five times the pT, one like the background."""
    folder = tmp_path_factory.mktemp("objects")
    (folder / "tiny.toml").write_text(CONFIG)
    for name, n, scale in (("background", 200, 1), ("hard", 40, 5), ("same", 40, 1), ("few", 9, 1)):
        write_objects(folder / f"{name}.h5", [make_events(n, n + scale, scale)], {})
    return folder


def call(*arguments):
    """The command with arguments -> its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scripts/objects.py", *map(str, arguments)])
        try:
            return cli.run(objects._command) or 0
        except SystemExit as stop:
            return stop.code


def asked(files, out, *signals):
    paths = [files / f"{name}.h5" for name in signals]
    given = ("--background", files / "background.h5", "--signals", *paths, "--config", files / "tiny.toml")
    return (*given, "--out", out, "--seeds", 1)


@pytest.fixture(scope="module")
def made(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    assert call(*asked(files, out, "hard", "same")) == 0
    return out


def test_systems_baselines_and_signals_stand_in_one_table(made):
    content = read_json(made / "objects.json")
    assert content["events"] == {
        "train": 144,
        "validation": 16,
        "test": 40,
        "signals": {"hard": 40, "same": 40},
    }
    assert list(content["models"]) == ["anomaly_clr", "objects_ae"]
    assert set(content["baselines"]) == set(BASELINES)
    for row in content["models"].values():
        for signal in ("hard", "same"):
            summary = row["summary"][signal]
            one = row["seeds"]["1"]["scores"][row["main_score"]][signal]
            assert summary[row["main_score"]]["auc"]["mean"] == one["auc"]
            assert all(0 <= s["auc"]["mean"] <= 1 and 0 <= s["fpr"]["mean"] <= 1 for s in summary.values())
    assert set(content["models"]["anomaly_clr"]["summary"]["hard"]) == {"norm", "mahalanobis", "autoencoder"}
    assert content["models"]["anomaly_clr"]["summary"]["hard"]["norm"]["untrained_auc"]
    # What is known: the baselines of the test events, counted here.
    assert content["baselines"]["sum of pT"]["hard"]["auc"] > 0.8
    assert abs(content["baselines"]["sum of pT"]["same"]["auc"] - 0.5) < 0.25
    text = (made / "objects.md").read_text()
    for name in ("## hard, 40 events", "## same, 40 events", "| anomaly_clr, norm | ", "| objects_ae, mse | "):
        assert name in text
    assert text.count("no learning") == 2 * len(BASELINES)
    assert f"commit {content['stamp']['commit']}" in text


def test_a_second_call_trains_nothing_and_another_signal_is_scored(made, files, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *given, **more: pytest.fail("trained again"))
    before = read_json(made / "objects.json")
    assert call(*asked(files, made, "same")) == 0
    after = read_json(made / "objects.json")
    assert list(after["events"]["signals"]) == ["same"]
    assert after["models"]["objects_ae"]["summary"]["same"] == before["models"]["objects_ae"]["summary"]["same"]


def test_rejection_is_a_bound_where_no_background_passes():
    def tail(*fpr, test):
        content = {"events": {"test": test}, "efficiency": 0.3}
        return object_report._tail([{"fpr": x, "fpr_error": x / 10} for x in fpr], content)

    assert tail(0.04, test=1000) == ("25.0 (2.5)", "1.50")
    # The mean of 1 / FPR, and SIC of the mean FPR.
    assert tail(0.04, 0.02, test=1000) == ("37.5 ± 17.7 (2.5)", "1.73")
    assert tail(0.0, test=100) == ("> 43.9", "> 1.99")
    assert tail(0.04, 0.0, test=100) == ("> 43.9", "2.12")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "x", "--background", "b.h5"), "--background and --signals of which one is missing; expected both"),
        (("--out", "x", "--models", "codae"), "--models codae; expected some of anomaly_clr, objects_ae"),
        (("--out", "x", "--seeds", "3", "3"), "--seeds 3 3; expected different numbers"),
        (("--out", "x", "--seeds", "-1"), "--seeds -1; expected different numbers, 0 to 2,147,483,647"),
        (("--out", "x", "--most", "0"), "--most 0; expected a number >= 1"),
        # Before anything is generated.
        (("--out", "x", "--generate", "100"), "72 events to train on; expected at least 100; .* or --generate"),
    ],
)
def test_wrong_arguments_are_refused(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    assert re.search(words, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("settings.json", "[]", "settings.json without a table; expected a JSON table with names; remove it"),
        (
            "models/objects_ae/seed-1/trial.json",
            "{}",
            "trial.json without config; expected a JSON table with config",
        ),
    ],
)
def test_what_was_kept_and_changed_is_refused(made, files, tmp_path, capsys, name, content, words):
    out = tmp_path / "out"
    shutil.copytree(made, out)
    (out / name).write_text(content)
    assert call(*asked(files, out, "hard", "same")) == 2
    assert words in capsys.readouterr().err


def test_nothing_is_generated_into_a_folder_of_named_files(made, capsys):
    assert call("--out", made, "--generate", 200) == 2
    assert (
        "whose trainings are on other files, to generate background.h5 into; expected a new folder"
        in capsys.readouterr().err
    )
    assert not list(made.glob("*.h5"))


def test_wrong_files_are_refused(files, made, tmp_path, capsys):
    for signals, words in (
        (("few",), "9 events to measure with, few; expected at least 20"),
        (("nowhere",), "nowhere.h5 does not exist"),
        (("hard", "hard"), "expected files of different names"),
        (("background",), "none of them background"),
    ):
        assert call(*asked(files, tmp_path / "out", *signals)) == 2
        assert words in capsys.readouterr().err
    copy = shutil.copy(files / "background.h5", tmp_path / "copy.h5")
    first, *others = asked(files, tmp_path / "out", "hard")
    assert call(first, *others[:2], copy, *others[2:]) == 2
    assert "copy.h5, a copy of " in capsys.readouterr().err
    assert call(*asked(files, tmp_path / "out", "hard"), "--most", 50) == 2
    assert "36 events to train on; expected at least 100" in capsys.readouterr().err
    assert call(*asked(files, made, "hard"), "--split-seed", 7) == 2
    assert "made with other files or options (different: split_seed)" in capsys.readouterr().err


def test_generated_files_of_another_config_are_refused(tmp_path, capsys):
    (tmp_path / "background.work").mkdir()
    write_objects(tmp_path / "background.h5", [make_events(30, 1)], {"config": {"n_events": 300}})
    assert call("--out", tmp_path, "--generate", 300) == 2
    assert "background.h5 generated with other options (different: kind, seed, chunk_events)" in capsys.readouterr().err
    assert ObjectConfig().seed == 20260


def test_the_score_of_a_system_goes_into_firmware(files, made, monkeypatch):
    seen = {}

    def student(title, teacher, background, tested, plan, out):
        seen[title] = teacher(tested["hard"]), background, tested, plan
        synthesis = {"resources": {"LUT": 1, "FF": 2, "DSP": 0, "BRAM_18K": 0, "tool": "Yosys"}, "latency_ns": 5.0}
        auc = dict.fromkeys(("teacher", "float", "words", "lost", "lost_error"), 0.5)
        return {
            "auc": {"hard": auc},
            "comparison": {"rtl": {"different": 0, "compared": 7}},
            "permuted": {"different": 0, "compared": 7},
            "synthesis": {**synthesis, "latency_cycles": 1, "latency_how": "counted in simulation on 16 steps"},
        }

    monkeypatch.setattr("codae_l1.scripts._set_student.firmware_student", student)
    assert call(*asked(files, made, "hard"), "--models", "objects_ae", "--firmware", "objects_ae") == 0
    scores, background, tested, plan = seen["objects_ae"]
    assert list(tested) == ["background", "hard"]
    assert (background.shape, plan.config.rows, scores.shape) == ((144, 19, 3), (1, 4, 4, 10), (40,))
    content = read_json(made / "objects.json")
    assert content["firmware"]["objects_ae"]["auc"]["hard"]["words"] == 0.5
    assert "| objects_ae | hard | 50.0 |" in (made / "objects.md").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [("objects_ae:norm", "some of mse;"), ("anomaly_clr:nix", "some of norm, mahalanobis, autoencoder;")],
)
def test_firmware_of_a_score_that_a_system_does_not_have_is_refused(files, tmp_path, capsys, given, said):
    names = ("--models", "objects_ae", "anomaly_clr", "--firmware", "objects_ae", given)
    assert call(*asked(files, tmp_path / "out", "hard"), *names) == 2
    assert f"--firmware {given}; expected {said} correct --firmware" in capsys.readouterr().err
    assert not (tmp_path / "out" / "models").exists()


def test_firmware_of_what_is_not_trained_is_refused(files, tmp_path, capsys):
    assert call(*asked(files, tmp_path / "out", "hard"), "--models", "objects_ae", "--firmware", "anomaly_clr") == 2
    assert "--firmware anomaly_clr; expected some of objects_ae" in capsys.readouterr().err
    assert not (tmp_path / "out" / "models").exists()
