"""The events of a run: which split each is in, what is refused before any work."""

from types import SimpleNamespace

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import EventImages
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.scripts import make_data
from codae_l1.scripts.run.config import DataConfig, RunConfig
from codae_l1.scripts.run.events import indices, splits


@pytest.fixture
def store(tmp_path):
    """Write empty events with given signals and pile-up blocks; gives the path."""

    def write(signal, block):
        n = len(signal)
        images, ones = np.zeros((n, 72, 58, 3), np.float32), np.ones(n)
        path = tmp_path / "events.h5"
        write_events(path, EventImages(images, np.array(signal), ones.astype(int), ones, np.array(block), {}))
        return path

    return write


def test_events_of_unknown_blocks_belong_to_no_split(store):
    with EventFile(store(["qcd"] * 120 + ["h125"], [0, -1] * 60 + [16])) as file:
        assert splits(file)[[0, 1, 120]].tolist() == ["train", "none", "test"]
        assert indices(file, "train").tolist() == list(range(0, 120, 2))


def test_too_few_of_known_blocks_are_refused(store):
    with EventFile(store(["qcd"] * 120, [0] * 40 + [-1] * 80)) as file, pytest.raises(InputError) as error:
        indices(file, "train")
    assert "40 QCD events in the train split" in str(error.value)
    assert "(80 of 120 events without a known pile-up block); expected at least 50" in str(error.value)


def stage_of(path):
    return make_data.work(SimpleNamespace(config=RunConfig(data=DataConfig(events=str(path)))))


def test_a_run_without_signals_is_refused_by_its_first_stage(store):
    with pytest.raises(InputError, match=r"no signal events in the test split of .*events.h5; expected at least one"):
        stage_of(store(["qcd"] * 60, [16] * 60))
    # A signal of the training blocks is none of the test split.
    with pytest.raises(InputError, match="no signal events in the test split"):
        stage_of(store(["qcd", "h125"], [16, 0]))


def test_the_first_stage_counts_unknown_blocks_apart(store):
    blocks = [0, 13, 15, 16] * 50
    counts = stage_of(store(["qcd"] * 201 + ["svj2100"], [*blocks, -1, 16]))["events"]["splits"]
    of_qcd = {name: {"qcd": 50} for name in ("train", "validation", "calibration", "test")}
    assert counts == {**of_qcd, "none": {"qcd": 1}, "test": {"qcd": 50, "svj2100": 1}}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--n-qcd", "5"], "--n-qcd without --out; expected --out"),
        (["--workers", "2"], "--workers without --out; expected --out"),
        (["--out", "e.h5", "--workers", "0"], "--workers 0; expected a number >= 1"),
        (["--out", "e.h5", "--workers", "-3"], "--workers -3; expected a number >= 1"),
        (
            ["--out", "e.h5", "--config", "typo.toml"],
            "typo.toml with generatoin; expected the table [generation] alone",
        ),
    ],
)
def test_wrong_arguments_of_make_data_are_named(tmp_path, monkeypatch, words, error):
    (tmp_path / "typo.toml").write_text("[generatoin]\nn_qcd = 5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["make_data.py", *words])
    with pytest.raises(InputError) as caught:
        make_data.command()
    assert error in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["typo.toml"]


def test_help_names_the_configs_defaults(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["make_data.py", "--help"])
    with pytest.raises(SystemExit):
        make_data.command()
    text = " ".join(capsys.readouterr().out.split())
    told = f"events of each signal in the blocks of the test split (default: {GenerationConfig().n_signal})"
    assert f"--n-signal N_SIGNAL {told}" in text
    assert "None" not in text
