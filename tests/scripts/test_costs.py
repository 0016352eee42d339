"""encoders.py --costs: rows, what each of them is, tables; mistakes of its options."""

import dataclasses
import sys

import pytest
from few_events import write_few_events

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.data.events import QCD
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.model import CoDAE, save_codae
from codae_l1.scripts import encoders
from codae_l1.scripts.run.config import DataConfig, RunConfig
from codae_l1.scripts.run.folder import RunFolder

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

MODEL = dataclasses.replace(TINY, f_m_filters=(4, 4, 4, 4), f_m_groups=(1, 2, 2, 2))
ROWS = ("norm: batch", "slope: 1/4", "slope: 0", "pooling: 2x2", "pooling: strided", "all swaps", "all swaps, fitted")


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return write_few_events(tmp_path_factory.mktemp("events") / "few.h5", ("h125", "svj2100"), 12)


@pytest.fixture
def costs(monkeypatch, events, tmp_path):
    """The command on a run of an untrained model; gives its folder and JSON."""

    def call(*arguments):
        folder = RunFolder(tmp_path / "run", RunConfig(data=DataConfig(events=str(events)), model=MODEL))
        save_codae(CoDAE(MODEL, seed=2), folder.path("train", "codae.keras"))
        write_json(folder.folder / "make_data.json", {"summary": "made"})
        write_json(folder.folder / "train.json", {"orientation": {name: 1 for name in ORIENTED} | {"z0": -1}})
        words = ["--run", folder.folder, "--costs", *arguments, "--warm-up-steps", 30, "--qat-steps", 5]
        monkeypatch.setattr(sys, "argv", ["encoders.py", *map(str, words)])
        encoders.command()
        return tmp_path / "run" / "encoders", read_json(tmp_path / "run" / "encoders" / "costs.json")

    return call


ORIENTED = (
    *("z0", "z1", "z_sum", "z_difference", "z_norm", "z0_over_norm", "z1_over_norm"),
    *("z_r_norm", "mse", "bce", "dice", "missed", "invented", "block_power"),
)


def test_rows_and_tables(costs, events, capsys):
    folder, content = costs("--bits", 8, 2, "--files", events, "--most", 10)
    assert list(content["rows"]) == ["float", "weights in float16", *ROWS, "8 bits", "2 bits"]
    assert content["events"]["the run's test events"] == {"h125": 10, QCD: 50, "svj2100": 10}
    assert content["events"]["the files"] == {"h125": 12, QCD: 240, "svj2100": 12}
    rank = {name: row["scores"]["the files"]["mse"]["rank_correlation"] for name, row in content["rows"].items()}
    assert rank["float"] == pytest.approx(1)
    assert 0.999 < rank["weights in float16"] <= 1
    assert all(rank[name] < 1 for name in ("slope: 0", "pooling: strided", "2 bits"))
    losses = content["rows"]["all swaps, fitted"]["loss"]
    assert {part: losses[part][-1] < losses[part][0] for part in losses} == {"f_m": True, "f_r": True}
    # Coarser words are further from the float model.
    of = {name: row["scores"]["the files"]["z0"]["rank_correlation"] for name, row in content["rows"].items()}
    assert of["2 bits"] < of["8 bits"]
    entry = content["rows"]["slope: 0"]["scores"]["the files"]["z0"]["auc"]["h125"]
    assert entry["difference"] == pytest.approx(entry["float"] - entry["quantized"])
    table = (folder / "costs.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert "AUC in % on the files (264 events, 240 of background):" in table
    assert f"| slope: 0 | {of['slope: 0']:.3f} | {100 * entry['quantized']:.1f} |" in table


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--epochs", "3"), "--epochs with --costs; expected --bits for the widths"),
        (("--weight-bits", "3", "--hls"), "--hls, --weight-bits with --costs"),
        (("--untrained",), "--untrained with --costs"),
        (("--files", "none.npz"), "none.npz does not exist"),
    ],
)
def test_options_that_it_does_not_read_are_refused(costs, words, says):
    with pytest.raises(InputError, match=says):
        costs(*words)


def test_bits_without_costs_are_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["encoders.py", "--run", "x", "--bits", "4"])
    with pytest.raises(InputError, match="--bits without --costs; expected both; add --costs"):
        encoders.command()
