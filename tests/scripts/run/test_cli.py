"""Commands: a user's mistake is one line that says what to do, and exit code 2; nothing is lost."""

import gc
import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, sha256, write_json
from codae_l1.scripts import run_chain, score
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.config import RunConfig, load_config
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.run.stages import CHAIN


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command in process; gives (exit code, standard error)."""

    def call(function, *arguments):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            cli.run(function)
        except SystemExit as stop:
            return stop.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return call


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run", RunConfig())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[training]\nepoch = 3", "unknown key training.epoch; expected one of epochs, batch_size"),
        ("[training]\nepochs = 'three'", "training.epochs = 'three' (str); expected int"),
        ("[data]\nevents = 3", "data.events = 3 (int); expected str"),
        ("[firmware.precision.conv9]\nweight_bits = 3", "firmware.precision.conv9; expected one of"),
        ("[hls]\npart = 'xc1'", "xc1"),
        ("[evaluation]\nfprs = [2.0]", "evaluation.fprs = [2.0]"),
        ("seed = ", "is not TOML"),
        ("seed = -1", "seed = -1; expected a number >= 0"),
        ("[distill.scores]\nchi2 = 1.0", "distill.scores.chi2 = 1.0; expected a finite weight of one of z0, z1"),
        ("[distill]\nmargin = 0.5", "distill.margin = 0.5; expected a finite number >= 1"),
        ("[training]\nepochs = 0", "training.epochs = 0; expected a number >= 1"),
        ("[training]\nlearning_rate = nan", "training.learning_rate = nan; expected a finite number"),
        ("[training]\nclipnorm = 2.0", "training.clipnorm = 2.0, which can no longer be set; expected 1.0"),
        ("[model]\nz_m_size = 3", "model.z_m_size = 3, which can no longer be set; expected 2"),
        (
            "[model]\npreset = 'paper'\nf_m_filters = [64, 127, 128, 256]",
            "model.f_m_groups[1] = 2 for 64 -> 127 channels",
        ),
        ("[model]\nf_r_groups = [1, 4, 0, 4]", "model.f_r_groups = [1, 4, 0, 4]; expected numbers >= 1"),
        (
            "[model]\npreset = 'paper'\nresidual_groups = 3",
            "model.residual_groups = 3 for 64 channels of f_r_filters[0]",
        ),
        ("[firmware]\npreset = 'distilled'\noutputs = 2", "firmware.outputs = 2; expected 1"),
        (
            "[data]\nevents = 'public.npz'",
            "data.events = 'public.npz' with suffix '.npz'; expected \"sample\", \"generate\"",
        ),
    ],
)
def test_bad_config_is_one_line(command, tmp_path, text, words):
    config = tmp_path / "bad.toml"
    config.write_text(text)
    code, error = command(run_chain.command, "--config", config, "--run", tmp_path / "run")
    assert code == 2
    assert words in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "cannot be read (Is a directory)"),
        (lambda path: path.write_bytes(b"\x89HDF\xff\xfe"), "can't decode byte 0x89"),
        (lambda path: None, "does not exist"),
    ],
)
def test_config_that_cannot_be_read_is_one_line(command, tmp_path, suffix, make, words):
    config = tmp_path / f"bad{suffix}"
    make(config)
    code, error = command(run_chain.command, "--config", config, "--run", tmp_path / "run")
    assert code == 2
    assert f"error: {config} " in error
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (("--run", "", "--events", "a.h5", "--out", "b.h5"), " after --run"),
        (("--run", "run", "--events", "a.h5", "", "--out", "b.h5"), " after a.h5"),
        (("--run", "run", "--events", "a.h5", "--out="), " after a.h5"),
        (("",), ""),
    ],
)
def test_an_empty_word_is_not_the_current_folder(command, words, after):
    code, error = command(score.command, *words)
    assert (code, error) == (2, f"error: an empty argument{after}; see command --help\n")


@pytest.mark.parametrize("words", [("--event", "a.h5"), ("--ou=b.h5",)])
def test_options_are_given_by_their_whole_names(command, words):
    code, error = command(score.command, "--run", "run", "--events", "a.h5", "--out", "b.h5", *words)
    assert (code, error) == (2, f"error: unrecognized arguments: {' '.join(words)}; see command --help\n")


def test_config_without_permission_is_one_line(command, tmp_path, monkeypatch):
    def refused(*arguments, **kwargs):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.toml").touch()
    # Root may read anything, so the refusal is made.
    monkeypatch.setattr("codae_l1.data.base._opening.Path.read_bytes", refused)
    code, error = command(run_chain.command, "--config", tmp_path / "a.toml", "--run", tmp_path / "run")
    assert code == 2
    assert "a.toml may not be read (permission denied); expected a TOML config" in error


def test_network_too_large_for_the_part_is_refused_before_anything_is_trained(command, tmp_path):
    config, run = tmp_path / "large.toml", tmp_path / "run"
    config.write_text(
        '[hls]\npart = "xc7z020clg400-1"\n[firmware]\npreset = "distilled"\ndense = [32]\n'
        "[[firmware.conv]]\nfilters = 16\n"
    )
    code, error = command(run_chain.command, "--config", config, "--run", run)
    assert code == 2
    assert "the network is too large for the part: about" in error
    assert "at most the 53,200 LUT of xc7z020clg400-1; take fewer filters" in error
    assert error.count("\n") == 1
    assert [p.name for p in run.iterdir()] == ["config.json"]


def test_run_folder_of_another_config_is_refused(command, tmp_path, run):
    (tmp_path / "other.toml").write_text("seed = 7")
    code, error = command(run_chain.command, "--config", tmp_path / "other.toml", "--run", run.folder)
    assert code == 2
    assert "was made from another config (seed: 1 there, 7 here)" in error
    assert "--update" in error
    assert read_json(run.folder / "config.json")["seed"] == 1


def test_no_run_folder(command, tmp_path):
    code, error = command(
        score.command, "--run", tmp_path / "none", "--events", "x.h5", "--out", tmp_path / "scores.h5"
    )
    assert code == 2
    assert "is not a run folder (no config.json)" in error


def test_stage_before_its_inputs_names_the_script(run):
    with pytest.raises(InputError, match=r"stage make_data .* is not done.*make_data\.py --run"):
        run.do("train", lambda run: {})


def test_stage_after_stale_inputs_is_refused(run):
    stage.do(run, CHAIN[0], lambda run: {"summary": "made"})
    changed = RunFolder(run.folder, RunConfig(seed=2), update=True)
    with pytest.raises(InputError, match=r"stage make_data of .* is out of date .*scripts/run_chain\.py"):
        changed.do("train", lambda run: {})


def test_missing_events_file(command, tmp_path, run):
    code, error = command(score.command, "--run", run.folder, "--events", tmp_path / "x.h5", "--out", tmp_path / "o.h5")
    assert code == 2
    assert f"{tmp_path / 'x.h5'} does not exist" in error


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 58, 72, 3), np.float32), "of shape (2, 58, 72, 3)"),
        (np.full((2, 72, 58, 3), np.nan, np.float32), "NaN or infinite energy in 2 of 2 events"),
        (np.full((2, 72, 58, 3), -1, np.float32), "negative energy in 2 of 2 events"),
    ],
)
def test_bad_events_leave_no_scores(command, tmp_path, run, images, words):
    events = tmp_path / "events.npz"
    np.savez(events, images=images, labels=np.zeros(2), masses=np.zeros(2), n_tracks=np.zeros((2, 1)))
    code, error = command(score.command, "--run", run.folder, "--events", events, "--out", tmp_path / "scores.h5")
    assert code == 2
    assert words in error
    assert not (tmp_path / "scores.h5").exists()


def test_config_round_trip(tmp_path):
    write_json(tmp_path / "config.json", dump(RunConfig()))
    assert load_config(tmp_path / "config.json") == RunConfig()


def test_a_finished_stage_is_not_done_twice_unless_its_inputs_changed(run, capsys):
    done = []

    def work(run):
        done.append(run.config.seed)
        return {"summary": "made"}

    stage.do(run, CHAIN[0], work)
    stage.do(run, CHAIN[0], work)
    assert done == [1]
    assert "done already" in capsys.readouterr().out
    changed = RunFolder(run.folder, RunConfig(seed=2), update=True)
    (run.path(CHAIN[0]) / "old").write_text("of seed 1")
    stage.do(changed, CHAIN[0], work)
    assert done == [1, 2]
    assert not (run.path(CHAIN[0]) / "old").exists()


def test_a_stage_that_fails_is_not_done(run):
    def work(run):
        (run.path(CHAIN[0]) / "half").write_text("checkpoint")
        raise InputError("a", "b", "c")

    with pytest.raises(InputError):
        run.do(CHAIN[0], work)
    assert not run.is_done(CHAIN[0])
    # What the stage had is kept, to go on from.
    assert (run.path(CHAIN[0]) / "half").exists()


def test_scores_file_form(tmp_path):
    values, words = np.array([0.5, -1.0]), np.array([2, -4])
    scored = {"float": (values, None), "rtl": (values, words)}
    (tmp_path / "a").write_text("events")
    with score.write_scores(tmp_path / "s.h5", ["a line"], [tmp_path / "a"]) as out:
        out.add({name: (v[:1], None if w is None else w[:1]) for name, (v, w) in scored.items()}, *_named("qcd"))
        out.add({name: (v[1:], None if w is None else w[1:]) for name, (v, w) in scored.items()}, *_named("h125"))
    with h5py.File(tmp_path / "s.h5") as file:
        assert set(file) == {"float", "rtl", "signal", "file"}
        assert json.loads(file.attrs["reading"]) == ["a line"]
        assert json.loads(file.attrs["made_from"]) == {str(tmp_path / "a"): sha256(tmp_path / "a")}
        assert file["rtl/firmware_word"].dtype == np.int64
        assert file["rtl/firmware_word"][:].tolist() == [2, -4]
        assert file["float/firmware_score"].dtype == np.float64
        assert "firmware_word" not in file["float"]
        assert file["signal"].asstr()[:].tolist() == ["qcd", "h125"]


def _named(process):
    return np.array([process]), np.array(["a"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_says_how_to_go_on_whichever_signal(command, number):
    # Under nohup HUP would stay ignored.
    before = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    handler = signal.getsignal(number)
    left = []

    def interrupted():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            left.append("cleared")

    assert command(interrupted) == (
        130,
        "interrupted; run the same command again to continue: what was finished is kept\n",
    )
    assert left == ["cleared"]
    # Python's own end, which would go through all objects, is left nothing to do.
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
    assert signal.getsignal(number) == handler
    signal.signal(number, before)


def test_a_command_that_keeps_nothing_does_not_say_that_it_goes_on(capsys):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="130"):
        cli.run(interrupted, resumes=False)
    assert capsys.readouterr().err == "interrupted\n"
    gc.unfreeze()
    for number, handler in zip((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), before, strict=True):
        signal.signal(number, handler)


def test_a_path_that_the_system_refuses_is_one_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.run(lambda: open("x" * 300).close())
    assert capsys.readouterr().err.startswith("error: xxx")
    with pytest.raises(OSError, match="ours"):
        cli.run(lambda: (_ for _ in ()).throw(OSError("ours")))


def test_keras_is_imported_without_what_nobody_uses_and_that_can_be_imported_later():
    names = ("sklearn", "matplotlib", "pandas")
    code = (
        "import matplotlib, sys; from codae_l1.scripts.run.cli import import_tensorflow; import_tensorflow();"
        f"print([name in sys.modules for name in {names}]); import sklearn.svm; print(matplotlib is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["[False, True, False]", "True"], done.stderr


def test_keras_does_not_read_the_settings_of_the_user(tmp_path):
    """Neither those that it cannot take, nor those that it cannot read."""
    (tmp_path / "keras.json").write_text('{"floatx": "bfloat16", "backend": "jax", "epsilon": 1e-3}')
    code = (
        "from codae_l1.scripts.run.cli import import_tensorflow; import_tensorflow(); import keras, os;"
        "print(keras.config.floatx(), keras.config.backend(), os.environ['KERAS_HOME'])"
    )
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["float32", "tensorflow", str(tmp_path)], done.stderr
