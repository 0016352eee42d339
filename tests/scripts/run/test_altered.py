"""Each part of a finished run, altered by hand: no executor takes it, and the message names file and stage."""

import json
import re
import shutil
import sys

import h5py
import numpy as np
import pytest

import codae_l1
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.sample import SAMPLE
from codae_l1.scripts import score
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.folder import RunFolder


@pytest.fixture
def run(scoring_run, tmp_path):
    return shutil.copytree(scoring_run, tmp_path / "run")


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def save(path, changed):
    with open(path, "wb") as handle:
        np.savez(handle, **changed)


def sign(run):
    """The orientation of the score, turned over."""
    content = arrays(run / "quantize/f_m.npz")
    meta = json.loads(str(content["meta"]))
    save(run / "quantize/f_m.npz", content | {"meta": json.dumps(meta | {"sign": -meta["sign"]})})


def inputs(run):
    """Other inputs of the pooling."""
    content = arrays(run / "quantize/f_m.npz")
    meta = json.loads(str(content["meta"]))
    meta["config"]["inputs"] = ["hcal"]
    save(run / "quantize/f_m.npz", content | {"meta": json.dumps(meta)})


def weight(run):
    """One word of one kernel."""
    content = arrays(run / "quantize/f_m.npz")
    name = next(name for name in content if name != "meta" and content[name].size > 1)
    content[name].flat[0] += content[name].dtype.type(1)
    save(run / "quantize/f_m.npz", content)


def design(run):
    """A fraction bit of the RTL's port."""
    path = run / "synthesize/rtl/design.json"
    content = read_json(path)
    content["rtl_output"]["fraction"] -= 1
    write_json(path, content)


def interpreter(run):
    """One number of the traced network."""
    content = arrays(run / "synthesize/rtl/interpreter.npz")
    content["network"].flat[-1] += 1
    save(run / "synthesize/rtl/interpreter.npz", content)


def emulator(run):
    """The name of the library in emulator.json."""
    path = run / "convert/emulator/emulator.json"
    write_json(path, read_json(path) | {"library": "/tmp/other.so"})


def library(run):
    """One byte behind the sections of the compiled emulator."""
    path = next((run / "convert/emulator").glob("*.so"))
    path.write_bytes(path.read_bytes() + b"\0")


def stage_json(run):
    """What synthesize says of its cost."""
    path = run / "synthesize.json"
    path.write_text(path.read_text().replace('"summary": "made"', '"summary": "1 LUT"'))


CASES = [
    (sign, "qkeras", "f_m.npz", "quantize"),
    (sign, "emulator", "f_m.npz", "quantize"),
    (inputs, "interpreter", "f_m.npz", "quantize"),
    (weight, "qkeras", "f_m.npz", "quantize"),
    (design, "interpreter", "design.json", "synthesize"),
    (design, "rtl", "design.json", "synthesize"),
    (interpreter, "interpreter", "interpreter.npz", "synthesize"),
    (emulator, "emulator", "emulator.json", "convert"),
    (library, "emulator", ".so", "convert"),
    (stage_json, "interpreter", "synthesize.json", "synthesize"),
]


@pytest.mark.parametrize(("alter", "executor", "file", "stage"), CASES)
def test_no_executor_takes_an_altered_run(run, alter, executor, file, stage):
    alter(run)
    with pytest.raises(InputError, match=rf"{file} was altered since stage {stage} wrote it .*scripts/{stage}\.py"):
        codae_l1.open_run(run).executor(executor)


def scored(run, out, monkeypatch, capsys, *more, executor="emulator"):
    """(Exit status, standard error, standard output) of the command score on three events."""
    events = out.with_name("mine.h5")
    with EventFile(SAMPLE) as file:
        write_events(events, file.read_where([0, 1, 2]))
    words = ["--run", run, "--events", events, "--executor", executor, "--out", out, *more]
    monkeypatch.setattr(sys, "argv", ["score", *map(str, words)])
    try:
        cli.run(score.command)
    except SystemExit as stop:
        printed = capsys.readouterr()
        return stop.code, printed.err, printed.out
    printed = capsys.readouterr()
    return 0, printed.err, printed.out


@pytest.mark.parametrize(("alter", "executor", "file", "stage"), [CASES[1], CASES[6], CASES[8], CASES[9]])
def test_score_writes_nothing_of_an_altered_run(run, tmp_path, monkeypatch, capsys, alter, executor, file, stage):
    alter(run)
    status, error, _ = scored(run, tmp_path / "scores.h5", monkeypatch, capsys, executor=executor)
    assert (status, error.count("\n")) == (2, 1)
    assert f"{file} was altered since stage {stage} wrote it" in error
    assert not (tmp_path / "scores.h5").exists()


def test_score_loads_what_the_user_trusts(run, tmp_path, monkeypatch, capsys):
    library(run)
    status, error, _ = scored(run, tmp_path / "scores.h5", monkeypatch, capsys, "--trust")
    assert (status, error) == (0, "")
    with h5py.File(tmp_path / "scores.h5") as file:
        assert len(file["emulator/firmware_word"]) == 3


def test_a_run_of_an_older_release_scores_with_one_line_and_no_library(run, tmp_path, monkeypatch, capsys):
    for path in run.glob("*.json"):
        content = read_json(path)
        content.pop("record", None)
        write_json(path, content)
    out, line = tmp_path / "scores.h5", f"{run}: not verified, an older release made stage "
    status, error, _ = scored(run, out, monkeypatch, capsys)
    assert (status, error.count("\n")) == (2, 1)
    assert re.search(r"error: the compiled library .*\.so, of which stage convert recorded no sum; ", error)
    for executor, trust in (("emulator", ["--trust"]), ("interpreter", [])):
        status, error, printed = scored(run, out, monkeypatch, capsys, *trust, executor=executor)
        assert (status, error, printed.count("not verified"), printed.startswith(line)) == (0, "", 1, True)


def test_a_library_outside_is_not_loaded_though_the_record_is_whole(run, tmp_path):
    """A folder that somebody made with a design that names a library elsewhere, and all sums right."""
    folder, other = run / "convert/emulator", tmp_path / "other.so"
    shutil.copyfile(next(folder.glob("*.so")), other)

    def again(run):
        write_json(folder / "emulator.json", read_json(folder / "emulator.json") | {"library": str(other)})
        return {"summary": "made"}

    RunFolder(run).do("convert", again)
    with pytest.raises(InputError, match=rf"the compiled library {other}, of which stage convert recorded no sum"):
        codae_l1.open_run(run).executor("emulator")
    assert codae_l1.open_run(run, trust=True).executor("emulator").name == "emulator"
