"""Commands build on what a stage made only where the run's config is still the one it was made from."""

import dataclasses
import shutil
import sys

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.sample import SAMPLE
from codae_l1.hls.target.config import HlsConfig
from codae_l1.models.training.config import COMPACT_TRAINING
from codae_l1.quantization.config import InSituConfig
from codae_l1.scripts import compare, encoders, make_data, score, train, vendor
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import DataConfig, RunConfig
from codae_l1.scripts.run.folder import RunFolder, made_from

BEFORE = ("make_data", "train", "quantize", "convert", "synthesize")
OTHER_CLOCK = RunConfig(hls=HlsConfig(clock_period_ns=4.0))
OTHER_EPOCHS = RunConfig(training=dataclasses.replace(COMPACT_TRAINING, epochs=2))


@pytest.fixture
def folder(tmp_path):
    """A run folder whose stages say that they are done, of the default config."""
    run = RunFolder(tmp_path / "run", RunConfig())
    for number, stage in enumerate(BEFORE, 1):
        content = {"config": made_from(run.config, BEFORE[:number]), "stamp": {"inputs": "of older code"}}
        write_json(run.folder / f"{stage}.json", content)
    return run.folder


def test_a_stage_says_of_which_config_it_is(tmp_path):
    run = RunFolder(tmp_path / "run", RunConfig(seed=3))
    run.do("make_data", lambda run: {"summary": "made"})
    run.do("train", lambda run: {"summary": "trained"})
    assert list(read_json(run.folder / "train.json")["config"]) == ["seed", "data", "model", "training"]
    assert run.require("train")["summary"] == "trained"


def test_newer_code_and_what_only_says_how_fast_leave_a_run_usable(folder):
    run = RunFolder(folder, RunConfig(hls=HlsConfig(jobs=1, tool_timeout_s=7.0)), update=True)
    assert not run.is_done("synthesize")
    assert run.require("synthesize")["stamp"]["inputs"] == "of older code"


@pytest.mark.parametrize(
    ("config", "stage", "key"),
    [
        (RunConfig(seed=2), "make_data", "seed: 1 then, 2 now"),
        (OTHER_EPOCHS, "train", r"training.epochs: \d+ then, 2 now"),
        (OTHER_EPOCHS, "synthesize", r"training.epochs: \d+ then, 2 now"),
        (OTHER_CLOCK, "convert", "hls.clock_period_ns: 5.0 then, 4.0 now"),
        (RunConfig(hls=HlsConfig(layer_reuse={"conv1": 9})), "synthesize", r"hls.layer_reuse.conv1: None then, 9 now"),
    ],
)
def test_a_stage_of_another_config_is_refused(folder, config, stage, key):
    RunFolder(folder).require(stage)
    run = RunFolder(folder, config, update=True)
    with pytest.raises(
        InputError, match=rf"stage {stage} of .* is out of date \(its config changed, {key}\); .*{stage}.py"
    ):
        run.require(stage)


def test_all_that_differs_is_named(folder):
    config = RunConfig(seed=2, training=OTHER_EPOCHS.training, hls=HlsConfig(clock_period_ns=4.0, jobs=3))
    with pytest.raises(
        InputError, match=r"\(hls.clock_period_ns: 5.0 there, 4.0 here; also hls.jobs, seed, training.ep"
    ):
        RunFolder(folder, config)
    run = RunFolder(folder, config, update=True)
    # That of speed alone is no difference to a stage.
    with pytest.raises(InputError, match=r"\(its config changed, hls.clock_period_ns: 5.0 .*; also seed, training.ep"):
        run.require("convert")


def test_stages_before_the_change_stay_usable(folder):
    run = RunFolder(folder, OTHER_CLOCK, update=True)
    assert all(run.require(stage) for stage in BEFORE[:3])


def test_stages_of_older_code_are_of_the_config_that_the_folder_had(folder):
    write_json(folder / "synthesize.json", {"summary": "made", "stamp": {}})
    assert RunFolder(folder).require("synthesize")["summary"] == "made"
    assert "config" not in read_json(folder / "synthesize.json")
    run = RunFolder(folder, RunConfig(in_situ=InSituConfig(epochs=77)), update=True)
    with pytest.raises(InputError, match=r"stage synthesize .* out of date .*in_situ.epochs: \d+ then, 77 now"):
        run.require("synthesize")


def test_a_config_of_other_keys_is_taken_as_it_is(folder):
    write_json(folder / "train.json", {"config": {"seed": 1, "model": {"of": "another version"}}, "stamp": {}})
    assert RunFolder(folder, OTHER_EPOCHS, update=True).require("train")


def refuse(run):
    raise InputError("events", "others", "take them")


@pytest.mark.parametrize("before", ["", "kept.txt"])
def test_a_first_stage_that_is_refused_leaves_nothing_of_its_own(tmp_path, before):
    run = RunFolder(tmp_path / "run", RunConfig())
    if before:
        (tmp_path / "run" / before).write_text("mine")
    with pytest.raises(InputError):
        run.do("make_data", refuse)
    kept = ["config.json", before, "make_data"] if before else []
    assert sorted(path.name for path in tmp_path.glob("run/*")) == sorted(kept)


@pytest.mark.parametrize("name", ["make_data/thesis.tex", "train.json"])
def test_a_folder_of_the_users_with_names_of_stages_is_left_alone(tmp_path, name):
    mine = tmp_path / "run" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match=rf"no config.json\) and holds {name.split('/')[0]}; expected a new or empty"):
        RunFolder(tmp_path / "run", RunConfig())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [mine.name]
    assert mine.read_text() == "mine"


def test_a_missing_file_of_events_leaves_no_run_folder(tmp_path):
    config = RunConfig(data=DataConfig(str(tmp_path / "none.h5")))
    with pytest.raises(InputError, match=r"^data.events = '.*none.h5': .*none.h5 does not exist; expected an HDF5"):
        RunFolder(tmp_path / "run", config).do("make_data", refuse)
    assert not (tmp_path / "run").exists()


def test_of_a_run_that_another_command_makes_nothing_is_asked_but_to_wait(folder, monkeypatch):
    run = RunFolder(folder)
    first = f"evaluate of .* is not done.* run python scripts/evaluate.py --run {folder} first"
    with pytest.raises(InputError, match=first):
        run.read("evaluate")
    monkeypatch.setattr("codae_l1.scripts.run.folder.used_by", lambda used: f"process 7 in {used}")
    with pytest.raises(InputError, match=rf"is not done; .* the run is in use \(process 7 in {folder}\): wait until"):
        run.read("evaluate")


def test_what_an_optional_stage_wrote_is_compared_where_the_report_reads_it(folder):
    row = {"name": "a", "kind": "b", "tool": "c", "figures": "d"}

    def work(run):
        write_json(run.path("numerics", "table.json"), {"bits": 5})
        return {"rows": [row], "summary": "made"}

    run = RunFolder(folder)
    run.do("numerics", work)
    assert RunFolder(folder).rows() == [row]
    write_json(folder / "numerics" / "table.json", {"bits": 6})
    with pytest.raises(InputError, match=r"table.json was altered since stage numerics wrote it .*numerics.py"):
        RunFolder(folder).rows()
    run.do("numerics", work)
    assert RunFolder(folder).rows() == [row]


@pytest.mark.parametrize("text", ["[]", '"done"'])
def test_a_stage_file_without_a_table_is_refused(folder, text):
    (folder / "train.json").write_text(text)
    with pytest.raises(InputError, match=r"train.json holds no table; expected what the stage says; remove it"):
        RunFolder(folder).read("train")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (vendor.command, ()),
        (score.command, ("--events", "{file}", "--out", "scores.h5", "--executor", "rtl")),
        (compare.command, ("--tflite",)),
        (encoders.command, ()),
    ],
)
def test_commands_refuse_a_run_of_another_config(folder, monkeypatch, capsys, command, arguments):
    RunFolder(folder, RunConfig(seed=2), update=True)
    monkeypatch.setattr(score, "read_counts", lambda *_, **__: ([], [], [], {}))
    given = [word.format(file=folder / "config.json") for word in arguments]
    monkeypatch.setattr(sys, "argv", ["command", "--run", str(folder), *given])
    with pytest.raises(SystemExit, match="2"):
        cli.run(command)
    assert "is out of date (its config changed, seed: 1 then, 2 now)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"), [(compare.command, ("--models", "observables")), (train.command, ("--model", "observables"))]
)
@pytest.mark.parametrize("replaced", [True, False])
def test_a_command_beside_the_chain_takes_no_stage_away(tmp_path, monkeypatch, capsys, command, words, replaced):
    """Neither where the events file was replaced, which is refused, nor where only the code is newer."""
    events = tmp_path / "events.h5"
    shutil.copyfile(SAMPLE, events)
    run = RunFolder(tmp_path / "run", RunConfig(data=DataConfig(str(events))))
    for stage in ("make_data", "train"):
        run.do(stage, make_data.work if stage == "make_data" else lambda run: {"summary": "trained"})
    if replaced:
        with EventFile(SAMPLE) as file:
            write_events(events, file.read_where(np.arange(0, len(file), 3)))
    else:
        monkeypatch.setattr(RunFolder, "is_done", lambda self, stage: False)
    before = {path.name: path.read_bytes() for path in run.folder.glob("*.json")}
    monkeypatch.setattr(compare, "_compare", stopped)
    monkeypatch.setattr(train, "train_system", stopped)
    monkeypatch.setattr(sys, "argv", ["command", "--run", str(run.folder), *words])
    with pytest.raises(SystemExit, match="2"):
        cli.run(command)
    said = "holds other events than the run was made from" if replaced else "far enough"
    assert said in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in run.folder.glob("*.json")} == before


def stopped(*arguments):
    raise InputError("far enough", "nothing", "stop")


def test_the_comparison_leaves_a_firmware_of_another_config_out(folder, capsys):
    assert compare._firmware_part(RunFolder(folder, OTHER_CLOCK, update=True), None) is None
    assert "firmware: left out, stage synthesize of" in capsys.readouterr().out
