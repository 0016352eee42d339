"""No command writes over what it reads, over a run's own files, or over a file of another kind."""

import os
import sys

import h5py
import numpy as np
import pytest

from codae_l1.data.base.files import write_json
from codae_l1.data.formats.arrays import write_arrays
from codae_l1.data.formats.crossing_file import COLUMNS, write_crossings
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.formats.tables import write_objects
from codae_l1.data.sample import SAMPLE
from codae_l1.scripts import (
    compare,
    encoders,
    events,
    export,
    import_weights,
    jets,
    make_data,
    numerics,
    objects,
    project,
    run_chain,
    score,
    swaps,
    synthesize,
)
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import RunConfig
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.studies import calibrate_cost

READ = " is read by the same command and would be overwritten; expected a file that it does not read; name another"
OTHER = " exists and holds something else, which would be overwritten; expected a new file, or a {}; name another"
STAGE = " is in the run folder's {}, which only the stage writes; expected a place of its own; name another"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with events, other files, and a run."""
    with EventFile(SAMPLE) as file:
        write_events(tmp_path / "ev.h5", file.read_where(np.arange(3)))
        write_events(tmp_path / "more.h5", file.read_where(np.arange(3, 5)))
    os.link(tmp_path / "ev.h5", tmp_path / "linked.h5")
    for name in ("notes.md", "notes.txt", "c.toml"):
        (tmp_path / name).write_text("[generation]\n" if name == "c.toml" else "mine")
    write_json(tmp_path / "other.json", {"auc": 1})
    (tmp_path / "folder").mkdir()
    # What is somebody else's may have names of ours.
    for name in ("rtl", "models", "train", "hls4ml"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    (tmp_path / "mine" / "f_m.npz").write_bytes(b"a firmware")
    with h5py.File(tmp_path / "scores.h5", "w") as file:
        file["signal"], file["file"] = [b"qcd"], [b"a"]
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file["table/table"] = [1.0]
    write_crossings(tmp_path / "crossings.h5", [{name: np.ones(2) for name in COLUMNS}], {})
    run = RunFolder(tmp_path / "run", RunConfig())
    run.path("quantize").mkdir()
    run.path("quantize", "f_m.npz").write_bytes(b"the firmware")
    (tmp_path / "broken.h5").symlink_to("gone.h5")
    for stage in ("quantize", "synthesize", "numerics"):
        write_json(run.folder / f"{stage}.json", {"summary": "made"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SCORE = (score, "--run", "run", "--events", "ev.h5", "more.h5", "--out")
CONVERT = (events, "convert", "ev.h5", "more.h5", "--out")
VALIDATE = (events, "validate", "ev.h5,more.h5", "more.h5")
NUMERICS = (numerics, "--run", "run", "--out")
FOREIGN = (
    " holds other files (f_m.npz, hls4ml, models); expected a new or empty folder, or a folder of {}; name another"
)
RUN = " holds other files (config.json, numerics.json, quantize); expected a new or empty folder, or a folder of {}"
NOWHERE = "a link that leads nowhere (to gone.h5); expected a place that can be written; name another"
BROKEN, UNDER_BROKEN = f" is {NOWHERE}", f" lies below broken.h5, which is {NOWHERE}"
UNDER_FILE = " lies below notes.txt, which is no folder; expected a place that can be written; name another"
NO_FOLDER = "; expected a {}, whose name does not end with {}; correct it"
ENDS = "; expected a name that ends with {}; correct it"
CASES = [
    (*SCORE, "broken.h5", BROKEN),
    (*SCORE, "broken.h5/new.h5", UNDER_BROKEN),
    (*SCORE, "notes.txt/folder/new.h5", UNDER_FILE),
    (*CONVERT, "broken.h5", BROKEN),
    (*CONVERT, "notes.txt/new.h5", UNDER_FILE),
    (*VALIDATE, "--out", "broken.h5", BROKEN),
    (*VALIDATE, "--plots", "notes.txt/new.svg", UNDER_FILE),
    (events, "show", "ev.h5", "--out", "broken.h5", BROKEN),
    (make_data, "--out", "notes.txt/new.h5", UNDER_FILE),
    (*NUMERICS, "notes.txt/new", UNDER_FILE),
    (export, "--run", "run", "--out", "broken.h5", BROKEN),
    (compare, "--run", "run", "--page", "broken.h5", BROKEN),
    (compare, "--run", "run", "--page", "notes.txt/new.md", UNDER_FILE),
    (encoders, "--run", "run", "--out", "notes.txt/new", UNDER_FILE),
    (synthesize, "--firmware", "mine/f_m.npz", "--out", "broken.h5/new", UNDER_BROKEN),
    (project, "--run", "run", "--out", "broken.h5", BROKEN),
    (project, "--run", "run", "--out", "notes.txt/new", UNDER_FILE),
    (jets, "--jets", "jets.h5", "--out", "broken.h5", BROKEN),
    (objects, "--out", "notes.txt/new", UNDER_FILE),
    (swaps, "--out", "broken.h5", BROKEN),
    (import_weights, "mine/f_m.npz", "--kind", "codae", "--out", "broken.h5", BROKEN),
    (run_chain, "--seeds", "1", "2", "--config", "demo", "--out", "notes.txt/new", UNDER_FILE),
    (calibrate_cost, "--out", "broken.h5", BROKEN),
    (*SCORE, "new.txt", ENDS.format(".h5 or .hdf5")),
    (*CONVERT, "new.npz", ENDS.format(".h5 or .hdf5")),
    (make_data, "--layout", "crossings", "--out", "new", ENDS.format(".h5 or .hdf5")),
    (make_data, "--layout", "top-tagging", "--out", "new.root", ENDS.format(".h5 or .hdf5")),
    (*VALIDATE, "--out", "new.txt", ENDS.format(".json")),
    (*VALIDATE, "--plots", "new.png", ENDS.format(".svg")),
    (compare, "--run", "run", "--page", "new.html", ENDS.format(".md")),
    (calibrate_cost, "--out", "new.toml", ENDS.format(".json")),
    (export, "--run", "run", "--out", "new.txt", NO_FOLDER.format("folder", ".txt")),
    (project, "--run", "run", "--out", "new.json", NO_FOLDER.format("folder", ".json")),
    (encoders, "--run", "run", "--out", "new.h5", NO_FOLDER.format("folder of encoders", ".h5")),
    (*SCORE, "ev.h5", READ),
    (*SCORE, "more.h5", READ),
    (*SCORE, "linked.h5", READ),
    (*SCORE, "folder/../ev.h5", READ),
    (*SCORE, "run/quantize/f_m.npz", STAGE.format("quantize")),
    (*SCORE, "run/quantize/new.h5", STAGE.format("quantize")),
    (*SCORE, "run/quantize.json", STAGE.format("quantize.json")),
    (*SCORE, "run/config.json", STAGE.format("config.json")),
    (*SCORE, "notes.txt", OTHER.format("file of scores")),
    (score, "--run", "run", "--events", "more.h5", "--out", "ev.h5", OTHER.format("file of scores")),
    (*SCORE, "folder", " is a folder; expected a file of scores; name another"),
    (*CONVERT, "ev.h5", READ),
    (*CONVERT, "more.h5", READ),
    (*CONVERT, "scores.h5", OTHER.format("file of events")),
    (*CONVERT, "notes.txt", OTHER.format("file of events")),
    (*VALIDATE, "--out", "ev.h5", READ),
    (*VALIDATE, "--out", "other.json", OTHER.format("JSON of a validation")),
    (*VALIDATE, "--plots", "notes.txt", OTHER.format("SVG picture")),
    (events, "validate", ".", "more.h5", "--plots", "ev.h5", READ),
    (events, "show", "ev.h5", "--out", "notes.txt", " is a file; expected a folder of pictures; name another"),
    (make_data, "--config", "c.toml", "--out", "c.toml", READ),
    (make_data, "--out", "notes.txt", OTHER.format("file of events")),
    (make_data, "--out", "jets.h5", OTHER.format("file of events")),
    (make_data, "--out", "crossings.h5", OTHER.format("file of events")),
    (make_data, "--layout", "crossings", "--out", "ev.h5", OTHER.format("file of crossings")),
    (make_data, "--layout", "top-tagging", "--out", "jets.h5", OTHER.format("generated sample")),
    (make_data, "--layout", "adc2021", "--out", "scores.h5", OTHER.format("generated sample")),
    (*CONVERT, "crossings.h5", OTHER.format("file of events")),
    (*CONVERT, "/dev/full", " is neither a file nor a folder; expected a place on a disk; name another"),
    (*SCORE, "run/weights/new.h5", STAGE.format("weights")),
    (*NUMERICS, "notes.txt", " is a file; expected a folder of profiles; name another"),
    (*NUMERICS, "run/quantize", STAGE.format("quantize")),
    (export, "--run", "run", "--out", "run/quantize/new", STAGE.format("quantize")),
    (encoders, "--run", "run", "--out", "run/quantize", STAGE.format("quantize")),
    (compare, "--run", "run", "--out", "run/quantize", STAGE.format("quantize")),
    (swaps, "--out", "notes.txt", " is a file; expected a folder of swaps; name another"),
    (calibrate_cost, "--out", "other.json", OTHER.format("JSON of designs")),
    (encoders, "--run", "run", "--out", "mine", FOREIGN.format("encoders")),
    (encoders, "--costs", "--run", "run", "--out", "mine", FOREIGN.format("encoders")),
    (encoders, "--untrained", "--out", "mine", FOREIGN.format("encoders")),
    (encoders, "--run", "run", "--out", "run", RUN.format("encoders")),
    (compare, "--run", "run", "--out", "mine", FOREIGN.format("a comparison")),
    (synthesize, "--firmware", "mine/f_m.npz", "--out", "mine", FOREIGN.format("a mapped network")),
    (synthesize, "--firmware", "mine/f_m.npz", "--out", "run", RUN.format("a mapped network")),
    (project, "--run", "run", "--all", "--out", "mine", FOREIGN.format("projects")),
    (jets, "--jets", "jets.h5", "--out", "mine", FOREIGN.format("trained jets")),
    (objects, "--out", "mine", FOREIGN.format("trained objects")),
    (*NUMERICS, "mine", FOREIGN.format("profiles")),
    (*NUMERICS, "run", RUN.format("profiles")),
    (events, "show", "ev.h5", "--out", "mine", FOREIGN.format("pictures")),
    (swaps, "--out", "mine", FOREIGN.format("swaps")),
    (run_chain, "--seeds", "1", "2", "--config", "demo", "--out", "mine", FOREIGN.format("runs")),
]


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{c[0].__name__.split('.')[-1]}-{c[-2].replace('/', '.')}" for c in CASES]
)
def test_nothing_that_was_there_is_written_over(here, case, monkeypatch, capsys):
    (module, *words), says, before = case[:-1], case[-1], contents(here)
    monkeypatch.setattr(sys, "argv", ["command", *words])
    with pytest.raises(SystemExit) as stop:
        cli.run(getattr(module, "command", None) or module._command)
    error = capsys.readouterr().err
    assert (stop.value.code, error.count("\n")) == (2, 1)
    # Whether a place is on a disk is asked where files are written, which knows of no option.
    option = "" if words[-1].startswith("/dev") else f"{words[-2]} "
    assert error.startswith(f"error: {option}{words[-1]}{says}")
    assert contents(here) == before


def test_a_page_of_somebody_else_is_left_alone(here, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", "--run", "run", "--page", "notes.md"])
    with pytest.raises(SystemExit):
        cli.run(compare.command)
    assert capsys.readouterr().err.startswith(
        "error: --page notes.md exists, and no numbers of a comparison lie at results/notes.json; expected a new page"
    )
    assert (here / "notes.md").read_text() == "mine"


def test_what_a_command_wrote_before_may_be_written_again(here):
    cli.output("--out", here / "scores.h5", "file of scores", [here / "ev.h5"], here / "run")
    cli.output("--out", here / "more.h5", "file of events", [here / "ev.h5"])
    cli.output("--out", here / "run" / "scores.h5", "file of scores", [here / "ev.h5"], here / "run")
    cli.output("--out", here / "folder", "folder", run=here / "run")
    cli.output("--out", None, "folder")
    write_arrays(here / "arrays.h5", [{"label": np.ones(1)}], {})
    write_objects(here / "objects.h5", [np.zeros((1, 19, 4))], {})
    cli.output("--out", here / "arrays.h5", "file of events")
    cli.output("--out", here / "objects.h5", "generated sample")
    cli.output("--out", here / "crossings.h5", "file of crossings")


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("pictures", "displays.svg"),
        ("profiles", "numerics.json"),
        ("a comparison", "parts/bdt-seed-1.npz"),
        ("encoders", "encoders.json"),
        ("encoders", "costs.json"),
        ("encoders", "hls4ml/project.json"),
        ("a mapped network", "rtl/design.json"),
        ("projects", "Vitis-io_stream-latency-1/.inputs"),
        ("trained jets", "jets.work/config.json"),
        ("trained objects", "settings.json"),
        ("swaps", "trials/0123/.inputs"),
        ("runs", "seed-1/config.json"),
    ],
)
def test_a_folder_that_a_killed_command_left_is_gone_on_with(tmp_path, kind, first):
    (tmp_path / first).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / first).touch()
    (tmp_path / "notes.txt").write_text("mine")
    cli.output("--out", tmp_path, f"folder of {kind}")


def test_images_of_crossings_are_not_written_over_another_file(here, monkeypatch, capsys):
    (here / "new_images.h5").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["make_data", "--layout", "crossings", "--n-images", "1", "--out", "new.h5"])
    with pytest.raises(SystemExit):
        cli.run(make_data.command)
    assert capsys.readouterr().err.startswith(f"error: --out new_images.h5{OTHER.format('file of events')}")
    assert (here / "new_images.h5").read_text() == "mine"
