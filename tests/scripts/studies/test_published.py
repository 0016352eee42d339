"""encoders.py --untrained: the published f_m as an hls4ml project, what is refused, events that differ."""

import os
import stat
import sys

import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.model import CoDAE, save_codae
from codae_l1.scripts import encoders
from codae_l1.scripts.run.config import RunConfig
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.studies.projects import fail_where_different

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")


@pytest.fixture(autouse=True)
def quick_compiler(tmp_path, monkeypatch):
    """The compiler without optimisation: the words are the same."""
    script = tmp_path / "quick-c++"
    script.write_text('#!/bin/bash\nexec g++ "${@/-O3/-O0}"\n')
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("CXX", str(script))


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["encoders.py", *map(str, arguments)])
    encoders.command()


def test_the_published_f_m_streams_word_for_word(tmp_path, monkeypatch, capsys):
    call(monkeypatch, "--untrained", "--size", "tiny", "--out", tmp_path / "published", "--events", "3")
    content, printed = read_json(tmp_path / "published" / "published.json"), capsys.readouterr().out
    assert content["comparison"]["compared"] == 5
    assert content["comparison"]["different"] == 0
    assert content["comparison"]["distinct_words"] > 2
    assert content["project"]["io_type"] == "io_stream"
    assert {row["name"] for row in content["layers"]} == {"level0", "level1", "level2", "level3", "z_m"}
    assert content["forecast"]["interval_cycles_forecast"] >= 72 * 58
    assert "Emulation: qkeras-hls: 5 events equal; built in " in printed
    assert "Forecast for xcvu13p-flga2577-2-e, no synthesis: " in printed
    # The reuse factors found are those that hls4ml takes.
    taken = {row["name"]: row["reuse_factor"] for row in content["project"]["layers"] if "reuse_factor" in row}
    assert taken == {row["name"]: row["reuse"] for row in content["layers"]}


def test_the_forecast_of_the_paper_size_needs_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", os.devnull)
    arguments = ("--size", "compact", "--reuse", "4", "--forecast-only", "--out", tmp_path / "out")
    call(monkeypatch, "--untrained", *arguments)
    content = read_json(tmp_path / "out" / "published.json")
    expected = {"size", "of", "float_parameters", "part", "clock_period_ns", "forecast", "layers", "stamp"}
    assert set(content) == expected
    assert content["forecast"]["dsp"] > 0


def test_the_f_m_of_a_run_costs_what_an_untrained_one_costs(tmp_path, monkeypatch):
    """Shapes and widths decide, not values."""
    run = RunFolder(tmp_path / "run", RunConfig(model=TINY))
    model = CoDAE(TINY, seed=9)
    save_codae(model, run.path("train", "codae.keras"))
    write_json(run.folder / "make_data.json", {"summary": "made"})
    write_json(run.folder / "train.json", {"summary": "made"})
    found = []
    for name, arguments in {"own": ("--of", run.folder), "any": ("--size", "tiny", "--seed", "9")}.items():
        call(monkeypatch, "--untrained", "--forecast-only", *arguments, "--out", tmp_path / name)
        found.append(read_json(tmp_path / name / "published.json"))
    assert [content["of"] for content in found] == [str(run.folder), None]
    # The same weights by either way: everything is equal.
    assert found[0]["forecast"] == found[1]["forecast"]
    assert found[0]["layers"] == found[1]["layers"]


def test_a_published_f_m_that_differs_fails():
    with pytest.raises(SystemExit, match="1"):
        fail_where_different([{"comparison": None}, {}, {"comparison": {"different": 1}}])
    fail_where_different([{"comparison": {"different": 0}}, {"comparison": None}])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--untrained",), "--untrained; expected --out beside it"),
        (("--untrained", "--out", "x", "--events", "0"), "--events 0 --reuse 0; expected at least 1 and 0"),
        (("--untrained", "--out", "x", "--epochs", "3"), "--epochs with --untrained; expected one or the other"),
        (("--size", "paper", "--run", "x"), "--size without --untrained; expected both; add --untrained"),
        (
            ("--untrained", "--out", "x", "--of", "y", "--size", "tiny"),
            "--size or --seed with --of; expected the sizes",
        ),
        (("--untrained", "--out", "x", "--of", "y"), "y is not a run folder"),
        ((), "no --run; expected a run folder whose full model is trained"),
    ],
)
def test_options_of_the_other_way_are_refused(monkeypatch, words, says):
    with pytest.raises(InputError, match=says):
        call(monkeypatch, *words)
