"""Commands of the encoders: the swap table, trials done once; QKeras encoders of a run, as documented."""

import dataclasses
import sys

import numpy as np
import pytest
from few_events import write_few_events

from codae_l1.data.base.errors import ToolError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.models.codae.codvae import TINY_CODVAE, create_model
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.model import CoDAE, save_codae
from codae_l1.models.training import loop as training
from codae_l1.quantization.encoders import in_situ
from codae_l1.quantization.encoders.network import QuantizedEncoder
from codae_l1.scripts import encoders, swaps
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import DataConfig, RunConfig
from codae_l1.scripts.run.folder import RunFolder

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src"),
    pytest.mark.usefixtures("small_batches"),
]

ROWS = ["pooling: strided"]


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return write_few_events(tmp_path_factory.mktemp("events") / "few.h5", ("h300", "svj3100"), 8)


@pytest.fixture
def run(monkeypatch, events, tmp_path):
    def call(*arguments):
        words = ["--out", tmp_path / "out", "--events", events, "--model", "tiny", "--epochs", 1, *arguments]
        monkeypatch.setattr(sys, "argv", ["swaps.py", *map(str, words)])
        try:
            cli.run(swaps.command)
        except SystemExit as stop:
            return stop.code
        return read_json(tmp_path / "out" / "swaps.json")

    return call


@pytest.fixture
def trains_once(monkeypatch):
    """The first model is trained; the others stay as their seeds made them, for the table is none of the training's."""
    train, trained = training.train, []

    def once(model, *arguments):
        trained.append(model.config.swaps)
        if len(trained) == 1:
            return train(model, *arguments)
        folder = arguments[3]
        folder.mkdir(parents=True, exist_ok=True)
        return {"best_validation_loss": float(len(trained))}

    monkeypatch.setattr(training, "train", once)
    return trained


def test_rows_seeds_and_table_and_nothing_is_trained_twice(run, trains_once, tmp_path, monkeypatch, capsys):
    first = run("--seeds", 1, 2, "--rows", *ROWS)
    assert len(trains_once) == 4
    assert len(set(trains_once)) == 2
    assert list(first["rows"]) == ["published layers", *ROWS]
    assert set(first["active_pixels"]) == {"h300", "svj3100"}
    row = first["rows"]["pooling: strided"]
    assert row["swaps"] == {"norm": "instance", "slope": 0.2, "pooling": "strided"}
    assert row["parameters"] == first["rows"]["published layers"]["parameters"]
    values = row["auc"]["mse"]["h300"]
    assert len(values["values"]) == 2
    assert values["mean"] == pytest.approx(np.mean(values["values"]))
    means = [
        np.mean([first["rows"][name]["auc"]["z0"][s]["values"] for s in ("h300", "svj3100")], axis=0)
        for name in ("pooling: strided", "published layers")
    ]
    assert row["difference"]["z0"]["values"] == pytest.approx(means[0] - means[1])
    table = (tmp_path / "out" / "swaps.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert f"| pooling: strided | {sum(row['parameters'][p] for p in ('f_m', 'f_r'))} |" in table

    def fail(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "train", fail)
    again = run("--seeds", 1, 2, "--rows", *ROWS)
    assert again["rows"] == first["rows"]
    with pytest.raises(AssertionError, match="trained again"):
        run("--seeds", 3, "--rows", ROWS[0])


def test_all_rows_have_the_same_sizes():
    rows = swaps._rows_of("compact", None)
    assert len(rows) == 10
    sizes = {dataclasses.replace(c, swaps=rows["published layers"].swaps) for c in rows.values()}
    assert len(sizes) == 2  # groups as published, and one group


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rows", "norm: layer"), "--rows norm: layer; expected some of published layers, norm: batch"),
        (("--seeds", 1, 1), "--seeds 1 1; expected different numbers"),
        (("--train-events", 0), "--train-events 0; expected a number >= 1"),
    ],
)
def test_mistakes_are_one_line(run, capsys, arguments, words):
    assert run(*arguments) == 2
    assert words in capsys.readouterr().err


_train_encoders = in_situ.train_encoders
TRAINED = {}


def trained_once(model, train, calibration, config, training):
    """The encoders of a model and a config are the same each time; they are trained for the first test that asks."""
    key = (type(model), config, training.in_situ, training.seed)
    if key not in TRAINED:
        TRAINED[key] = _train_encoders(model, train, calibration, config, training)
    return TRAINED[key]


@pytest.fixture
def quantize(monkeypatch, events, tmp_path):
    """The documented command on a run of a tiny, untrained model; gives its JSON."""

    monkeypatch.setattr(in_situ, "train_encoders", trained_once)

    def call(model, *arguments):
        folder = RunFolder(tmp_path / "run", RunConfig(data=DataConfig(events=str(events)), model=model.config))
        save_codae(model, folder.path("train", "codae.keras"))
        write_json(folder.folder / "make_data.json", {"summary": "made"})
        write_json(folder.folder / "train.json", {"summary": "made"})
        short = ["--warm-up-steps", 10, "--epochs", 1, "--events", 32]
        words = ["--run", folder.folder, *arguments, *short]
        monkeypatch.setattr(sys, "argv", ["encoders.py", *map(str, words)])
        encoders.command()
        return folder.path("encoders"), read_json(folder.path("encoders", "encoders.json"))

    return call


def test_the_documented_command_writes_encoders_and_their_table(quantize, capsys):
    folder, content = quantize(CoDAE(TINY), "--encoders", "f_m", "f_r", "--pooling", "strided")
    assert QuantizedEncoder.load(folder / "f_m.npz").config.pooling == "strided"
    assert QuantizedEncoder.load(folder / "f_r.npz").outputs == ("z_r_word",)
    entry = content["scores"]["mse"]["auc"]["h300"]
    table = (folder / "encoders.md").read_text()
    assert f"{100 * entry['quantized']:.1f} ({-100 * entry['difference']:+.1f} ± {100 * entry['error']:.1f})" in table
    assert table.strip() in capsys.readouterr().out
    assert set(content["forecast"]["f_m"]) == {"io_parallel", "io_stream"}


def test_a_codvae_s_encoders(quantize):
    folder, content = quantize(create_model(TINY_CODVAE), "--encoders", "f_r", "--hls")
    assert "kl" in content["scores"]
    assert "outputs z_r_word, softplus_word" in content["hls4ml"]["f_r"]["refused"]
    assert not (folder / "f_m.npz").exists()


def test_without_a_compiler_nothing_is_trained_in_vain(quantize, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ToolError, match=r"no C\+\+ compiler on PATH; expected g\+\+ or clang"):
        quantize(CoDAE(TINY), "--encoders", "f_r", "--hls")
    assert not (tmp_path / "run" / "encoders").exists()


def test_what_was_trained_is_kept_when_hls4ml_stops(quantize, monkeypatch, tmp_path):
    def stop(*arguments):
        raise RuntimeError("hls4ml crashed")

    monkeypatch.setattr(encoders, "_hls", stop)
    with pytest.raises(RuntimeError, match="hls4ml crashed"):
        quantize(CoDAE(TINY), "--encoders", "f_m", "f_r", "--pooling", "strided", "--hls")
    assert "mse" in read_json(tmp_path / "run" / "encoders" / "encoders.json")["scores"]
