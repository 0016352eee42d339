"""train.py --model: the documented command on a tiny run, what is kept, nothing is trained twice, refusals in words."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.base.config import dump
from codae_l1.data.base.files import read_json, write_json
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.events import EventImages
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.model import CoDAE, save_codae
from codae_l1.models.codae.scores import codae_scores, orientations
from codae_l1.models.systems.registry import (
    DirichletConfig,
    DirichletSystemConfig,
    SystemsConfig,
    _CosineTraining,
    system_class,
)
from codae_l1.models.training import loop as training
from codae_l1.scripts import train
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run import events as dataset
from codae_l1.scripts.run.config import DataConfig, RunConfig

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A run's config: sixty QCD events per split, signals in the test split alone."""
    folder = tmp_path_factory.mktemp("events")
    images = np.zeros((250, *IMAGE_SHAPE), "float32")
    images[np.random.default_rng(0).random(images.shape) < 0.02] = 1.0
    signal, blocks = np.repeat(["qcd", "h300"], [240, 10]), np.repeat([0, 13, 15, 16], [60, 60, 60, 70])
    tracks = (images[..., 0] > 0).sum((1, 2)).astype(np.int32)
    write_events(folder / "events.h5", EventImages(images, signal, tracks, np.ones(250), blocks.astype(np.int32)))
    dirichlet = DirichletSystemConfig(DirichletConfig(hidden=4), _CosineTraining(2, 32, 1e-3))
    config = RunConfig(3, DataConfig(str(folder / "events.h5")), TINY, systems=SystemsConfig(dirichlet=dirichlet))
    write_json(folder / "tiny.json", dump(config))
    return folder / "tiny.json"


@pytest.fixture
def call(monkeypatch):
    """The command with arguments -> its exit code."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["scripts/train.py", *map(str, arguments)])
        try:
            cli.run(train.command)
        except SystemExit as stop:
            return stop.code
        return 0

    return run


def test_the_documented_command_trains_once(call, config, tmp_path, capsys):
    (line,) = re.findall(r"^python scripts/train\.py .*--model.*$", PAGE.read_text(), re.MULTILINE)
    words, run = shlex.split(line)[2:], tmp_path / "run"
    assert words[:2] == ["--run", "runs/demo"]
    words[1] = run
    stage.open_run(run, config)
    assert call(*words) == 0
    folder = run / "systems" / "dirichlet" / "seed-2"
    assert re.search(r"dirichlet: 29,278 parameters, \d+ s, .*dirichlet/seed-2/model.keras", capsys.readouterr().out)
    assert {p.name for p in folder.iterdir()} == {".inputs", "history.json", "model.keras", "system.json"}
    record = read_json(folder / "system.json")
    assert record["stamp"]["seed"] == 2
    assert record["events"] == [60, 60]
    assert record["orientation"]["kl"] == 1
    assert len(record["history"]["loss"]) == 2
    assert record["history"] == read_json(folder / "history.json")
    written = (folder / "model.keras").stat().st_mtime_ns
    assert call(*words) == 0
    assert (folder / "model.keras").stat().st_mtime_ns == written
    # Another seed has a folder of its own; the run's seed is the default.
    assert call("--run", run, "--model", "dirichlet") == 0
    assert read_json(run / "systems" / "dirichlet" / "seed-3" / "system.json")["history"] != record["history"]


def test_a_run_of_zero_bias_learns_from_its_crossings(call, config, tmp_path, capsys):
    stored = read_json(config)
    with EventFile(stored["data"]["events"]) as file:
        events = file.read()
    path = tmp_path / "crossings.h5"
    named = np.where(events.signal == "qcd", "zero_bias", events.signal)
    write_events(path, EventImages(events.images, named, events.n_tracks, events.weight, events.pileup_block))
    table = stored | {"data": stored["data"] | {"events": str(path)}}
    (tmp_path / "c.json").write_text(json.dumps(table))
    arguments = ("--model", "dirichlet", "--seed", 2)
    assert call("--run", tmp_path / "a", "--config", tmp_path / "c.json", *arguments) == 2
    assert "whose background is 'zero_bias'" in capsys.readouterr().err
    table["data"]["background"] = "zero_bias"
    (tmp_path / "c.json").write_text(json.dumps(table))
    assert call("--run", tmp_path / "b", "--config", tmp_path / "c.json", *arguments) == 0
    record = read_json(tmp_path / "b" / "systems" / "dirichlet" / "seed-2" / "system.json")
    assert record["events"] == [60, 60]
    # The same images under another name: the same training.
    assert call("--run", tmp_path / "q", "--config", config, *arguments) == 0
    assert record["history"] == read_json(tmp_path / "q/systems/dirichlet/seed-2/system.json")["history"]


def test_the_run_s_full_model_is_not_trained_twice(config, tmp_path, monkeypatch):
    run, stored = stage.open_run(tmp_path / "run", config), CoDAE(TINY, seed=5)
    save_codae(stored, run.path("train", "codae.keras"))
    write_json(run.folder / "train.json", {"history": {"loss": [1.0]}, "stamp": {"seconds": 100.0}})
    assert not train._is_full_model(run, "codae", 3)
    monkeypatch.setattr(run, "is_done", lambda name: name == "train")
    monkeypatch.setattr(training, "train", None)
    system, seconds = train.train_system(run, "codae", 3)
    assert 100 <= seconds < 1000
    masks = (np.random.default_rng(1).random((3, 72, 58, 1)) < 0.02).astype("float32")
    assert (np.asarray(system.model(masks)) == np.asarray(stored(masks))).all()
    record = read_json(run.path("systems", "codae", "seed-3", "system.json"))
    assert record["history"] == {"loss": [1.0]}
    assert record["orientation"] == system.signs
    # The signs are of QCD in the validation split.
    qcd = track_mask(dataset.read_split(run, "validation").images)
    assert system.signs == orientations(codae_scores(stored, qcd))
    kept, _ = train.train_system(run, "codae", 3)
    assert kept.signs == system.signs
    assert (np.asarray(kept.model(masks)) == np.asarray(stored(masks))).all()
    assert not train._is_full_model(run, "codae", 4)
    assert not train._is_full_model(run, "codvae", 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--model", "vae"),
            "model 'vae'; expected one of codae, codvae, dirichlet, qcd_or_what, raw_ae, cct, cct_three_class",
        ),
        (
            ("--model", "cct"),
            "no signal events among 48 for the training of cct; .*supervised; .*--n-signal-validation",
        ),
        (("--model", "dirichlet", "--seed", "-1"), "--seed -1; expected numbers, 0 to 2,147,483,647"),
        (("--seed", "1"), "--seed without --model; expected both, or neither"),
        (("--model", "jet_ae"), "jet_ae, which reads jets; expected a system of events; .*scripts/jets.py"),
    ],
)
def test_mistakes_are_named(call, config, tmp_path, capsys, arguments, words):
    assert call("--run", tmp_path / "run", "--config", config, *arguments) == 2
    assert re.search(f"error: .*{words}", capsys.readouterr().err)
    assert not (tmp_path / "run" / "systems").exists() or "cct" in arguments


def test_supervised_training_keeps_every_fifth_event_of_each_process_apart(config, tmp_path, monkeypatch):
    run = stage.open_run(tmp_path / "run", config)
    signal = np.repeat(["qcd", "h125", "svj2100"], [10, 5, 7])
    images = np.arange(22.0)[:, None, None, None] * np.ones((1, *IMAGE_SHAPE))
    columns = np.zeros(22, np.int32), np.ones(22), np.full(22, 13, np.int32)
    asked = []

    def read(run, split, background_only=True):
        asked.append((split, background_only))
        return EventImages(images.astype("float32"), signal, *columns)

    monkeypatch.setattr(dataset, "read_split", read)
    learnt, apart = train._system_events(run, system_class("cct"))
    assert asked == [("validation", False)]
    assert apart.images[:, 0, 0, 0].tolist() == [4, 9, 14, 19]
    assert apart.label.tolist() == ["qcd", "qcd", "h125", "svj2100"]
    assert sorted([*learnt.images[:, 0, 0, 0], *apart.images[:, 0, 0, 0]]) == list(range(22))
