"""compare.py --tflite on a run: the files, the table, and what it refuses."""

import json
import sys

import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import write_json
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.model import CoDAE, save_codae
from codae_l1.models.evaluation import tflite
from codae_l1.scripts import compare
from codae_l1.scripts.run.config import load_config
from codae_l1.scripts.run.folder import RunFolder

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")


def test_the_full_model_of_a_run_is_converted_and_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tflite, "TIMED_SECONDS", 0.0)
    config = tmp_path / "tiny.toml"
    sizes = {name: value for name, value in vars(TINY).items() if isinstance(value, tuple)}
    lines = [f"{name} = {list(value)}" for name, value in sizes.items()]
    config.write_text("\n".join(["[model]", *lines, "residual_groups = 1", "latent_channels = 2"]))
    run = tmp_path / "run"
    RunFolder(run, load_config(config))
    save_codae(CoDAE(TINY, seed=1), run / "train" / "codae.keras")
    write_json(run / "make_data.json", {"summary": "made"})
    write_json(run / "train.json", {"summary": "made"})
    monkeypatch.setattr(sys, "argv", ["compare.py", "--run", str(run), "--config", str(config), "--tflite", "16"])
    compare.command()
    printed = capsys.readouterr().out
    table = json.loads((run / "tflite" / "table.json").read_text())
    assert len(table["rows"]) == 12
    assert printed.count("| decoder |") == 4
    assert (run / "tflite" / "f_m_int8_static.tflite").stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--tflite", "0"), "--tflite 0; expected a number of events >= 1"),
        (("--tflite", "--models", "codae"), "--models with --tflite; expected one or the other"),
    ],
)
def test_wrong_options_are_refused(tmp_path, monkeypatch, words, says):
    config = tmp_path / "plain.toml"
    config.write_text("seed = 1\n")
    arguments = ["compare.py", "--run", str(tmp_path / "run"), "--config", str(config), *words]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(InputError, match=says):
        compare.command()
