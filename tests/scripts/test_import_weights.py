"""Command import_weights: a run whose full model comes from files; what is refused, and what a later stage finds."""

import sys

import numpy as np
import pytest
from few_events import write_few_events
from published_files import SMALL, SMALL_CODVAE, checkpoint_variables, random_model, write_all, write_checkpoint

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.models.codae.codvae import load_codae
from codae_l1.scripts import import_weights, report, train
from codae_l1.scripts.run import cli, commands
from codae_l1.scripts.run.config import DataConfig, RunConfig
from codae_l1.scripts.run.run import Run

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src"),
    pytest.mark.usefixtures("small_batches"),
]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Configs of small sizes on few events, and the files of a model of each kind."""
    folder = tmp_path_factory.mktemp("given")
    events = write_few_events(folder / "few.h5", ("h300",), 8)
    made = {}
    for kind, config in {"codae": SMALL, "codvae": SMALL_CODVAE}.items():
        data = DataConfig(events=str(events))
        write_json(folder / f"{kind}.json", dump(RunConfig(data=data, model=config)))
        (folder / kind).mkdir()
        model = random_model(config)
        made[kind] = folder / f"{kind}.json", write_all(model, folder / kind), model
    return made


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Call it on a run in tmp_path; gives (exit code, what it printed, its complaint)."""
    monkeypatch.delenv("CODAE_SAMPLE", raising=False)

    def call(*arguments, out=tmp_path / "run"):
        monkeypatch.setattr(sys, "argv", ["import_weights.py", *map(str, arguments), "--out", str(out)])
        try:
            cli.run(import_weights._command)
        except SystemExit as stop:
            return stop.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return call


@pytest.mark.parametrize("kind", ["codae", "codvae"])
def test_a_run_goes_on_from_imported_weights(command, given, tmp_path, kind):
    config, files, model = given[kind]
    code, printed, error = command("--kind", kind, "--config", config, *files)
    assert (code, error) == (0, "")
    assert "warning: nothing verifies these weights: decoder, f_m, f_r are not the published ones" in printed
    assert ("no prior: its temperatures are in no file" in printed) == (kind == "codvae")
    run = Run(tmp_path / "run")
    assert run.is_done("train")
    assert all(
        (np.asarray(a) == np.asarray(b)).all()
        for a, b in zip(load_codae(run.path("train", "codae.keras")).weights, model.weights, strict=True)
    )
    told = run.require("train")
    assert told["imported"]["verified"] == "not verified: decoder, f_m, f_r differ from the published weights"
    assert told["orientation"]["mse"] == 1
    assert report._training(told) == {"training": None, "imported": told["imported"]}
    # Once more: nothing is done twice.
    code, printed, _ = command("--kind", kind, "--config", config, *files)
    assert code == 0
    assert "train: done already" in printed


def test_a_stage_that_is_done_again_imports_and_does_not_train(command, given, tmp_path, monkeypatch):
    config, files, _ = given["codae"]
    command("--kind", "codae", "--config", config, *files)
    (tmp_path / "run" / "train.json").unlink()
    monkeypatch.setattr("codae_l1.models.training.loop.train", None)
    run = Run(tmp_path / "run")
    assert "imported" in run.do("train", train.work)
    # Other weights in the run: the stage is out of date, and is not done from what nobody verified.
    weights = tmp_path / "run" / "weights" / "encoder2.tflite"
    weights.write_bytes(files[2].read_bytes())
    assert not Run(tmp_path / "run").is_done("train")
    with pytest.raises(InputError, match="weights with other files than were imported; expected those whose sums"):
        run.do("train", train.work)
    for text in ("[]", '{"kind": "codae"}'):
        (tmp_path / "run" / "weights" / "source.json").write_text(text)
        with pytest.raises(InputError, match=r"source.json without (a table|files, verified); .*import them again"):
            run.do("train", train.work)
    (tmp_path / "run" / "weights" / "source.json").unlink()
    with pytest.raises(InputError, match="weights without source"):
        run.do("train", train.work)


def test_tensorflow_is_loaded_in_the_mode_of_the_config(command, given, monkeypatch):
    config, files, _ = given["codae"]
    asked = []

    def loaded(deterministic=False):
        asked.append(deterministic)
        raise InputError("nothing", "nothing", "nothing")

    monkeypatch.setattr(cli, "import_tensorflow", loaded)
    # The training of the config is deterministic, that of the published model is not.
    for arguments in (("--config", config), ()):
        assert command("--kind", "codae", *arguments, *files)[0] == 2
    assert asked == [True, False]


def test_a_checkpoint_is_copied_whole(command, given, tmp_path):
    config, _, model = given["codae"]
    index = write_checkpoint(checkpoint_variables(model), tmp_path / "weights-30-0.873")
    assert command("--kind", "codae", "--config", config, index)[0] == 0
    names = {path.name for path in (tmp_path / "run" / "weights").iterdir()}
    assert names == {"source.json", "weights-30-0.873.index", "weights-30-0.873.data-00000-of-00001"}
    assert set(read_json(tmp_path / "run" / "weights" / "source.json")["files"]) == names - {"source.json"}


def test_mistakes_are_one_line_and_leave_nothing(command, given, tmp_path):
    config, files, _ = given["codae"]
    whole = ("--kind", "codae", "--config", config, *files)
    wrong = {
        ("--kind", "codae", "--config", config, *files[:2]): "no f_r in the files",
        ("--kind", "codae", *files): "kernel of conditioning-b0 of shape (3, 3, 4, 3)",
        ("--kind", "codvae", "--config", config, *files): "model.categorical = None for --kind codvae",
        (*whole, "--sample", tmp_path / "none"): "none does not exist; expected a file or folder",
        ("--kind", "codvae", "--sample", tmp_path, *files): "--sample with --kind codvae",
    }
    for arguments, words in wrong.items():
        code, printed, error = command(*arguments)
        assert (code, printed) == (2, "")
        assert words in error
        assert error.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_other_folders_and_other_weights_are_not_overwritten(command, given, tmp_path):
    config, files, _ = given["codae"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    code, _, error = command("--kind", "codae", "--config", config, *files, out=tmp_path / "mine")
    assert code == 2
    assert "holds other files; expected a new or empty folder" in error
    command("--kind", "codae", "--config", config, *files)
    other = write_all(random_model(SMALL, seed=8), tmp_path)
    code, _, error = command("--kind", "codae", "--config", config, *other)
    assert code == 2
    assert "weights holds other weights; expected a new run, or the same files" in error
    code, _, error = command("--kind", "codvae", "--config", given["codvae"][0], *given["codvae"][1])
    assert code == 2
    assert "was made from another config" in error


@pytest.mark.sample
def test_weights_that_score_otherwise_are_refused_where_the_sample_is_at_hand(command, given, codae_sample, tmp_path):
    config, files, _ = given["codae"]
    code, _, error = command("--kind", "codae", "--config", config, *files, "--sample", codae_sample)
    assert code == 2
    assert "of the public sample differs by" in error
    assert not (tmp_path / "run").exists()


def test_the_published_files_make_a_run_of_the_published_sizes(command, codae_weights, given, tmp_path):
    files = sorted((codae_weights / "codvae").glob("*.tflite"))
    config = tmp_path / "paper.toml"
    config.write_text(
        f'[data]\nevents = "{read_json(given["codae"][0])["data"]["events"]}"\n[model]\npreset = "paper"\n'
    )
    config.write_text(config.read_text() + "[model.categorical]\n")
    code, printed, _ = command("--kind", "codvae", "--config", config, *files)
    assert code == 0
    assert "codvae, 1,646,724 parameters: verified: the weights are the published ones" in printed
    assert "warning" not in printed


# Runpy runs the module that this file imports once more.
@pytest.mark.filterwarnings("ignore:.*found in sys.modules after import of package:RuntimeWarning")
def test_the_command_may_be_spelt_with_a_dash(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["codae-l1", "import-weights", "--help"])
    with pytest.raises(SystemExit, match="0"):
        commands.main()
    assert capsys.readouterr().out.startswith("usage: codae-l1 import-weights ")
