"""What a stage recorded is compared by whoever reads it: exact words, and what costs nothing stays free."""

import os
import shutil

import h5py
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, sha256, write_json
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.sample import SAMPLE
from codae_l1.hls.target.config import HlsConfig
from codae_l1.scripts.run import _sums, stage
from codae_l1.scripts.run.config import DataConfig, RunConfig
from codae_l1.scripts.run.events import read_each, read_split
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.run.stages import CHAIN

FILES = {
    "train": "codae.keras",
    "quantize": "f_m.npz",
    "convert": "emulator/libcodae-1.so",
    "synthesize": "rtl/design.json",
    "evaluate": "scores.h5",
    "report": "report.html",
}
OF = [(name, file) for name, file in FILES.items() if not file.endswith(".so")]


def do(run, *chosen):
    """Do stages that write one file each."""

    def work(run):
        if name == "make_data":
            with EventFile(run.config.data.events) as file:
                return {"summary": "made", "events": {"checksum": file.checksum}}
        file = run.path(name, FILES[name])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"of {name}")
        return {"summary": "made"}

    for name in chosen:
        stage.do(run, name, work)


def write(path, number):
    """The first of the shipped events as a file of their own."""
    with EventFile(SAMPLE) as file:
        write_events(path, file.read_where(np.arange(number)))


def make(folder):
    """A run folder with the whole chain done, on events beside it."""
    write(folder / "events.h5", 300)
    run = RunFolder(folder / "run", RunConfig(data=DataConfig(events=str(folder / "events.h5"))))
    do(run, *CHAIN)
    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("made")).folder


@pytest.fixture
def run(made, tmp_path):
    return RunFolder(shutil.copytree(made, tmp_path / "run"))


def opened(run, **how):
    return RunFolder(run.folder, **how)


def alter(path, content=b"altered"):
    """Other bytes of the same number, as a bit that flipped leaves them."""
    size = path.stat().st_size
    path.write_bytes((content * size)[:size])
    os.utime(path, ns=(1, 1))


def test_a_stage_records_its_files_and_what_it_was_made_from(run):
    for name, file in FILES.items():
        path, record = run.path(name, file), read_json(run.folder / f"{name}.json")["record"]
        stat = path.stat()
        row = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256(path)}
        assert record["files"] == {f"{name}/{file}": row}
    events = read_json(run.folder / "make_data.json")["record"]["files"]
    assert events["data.events"]["sha256"] == sha256(run.config.data.events)
    first, second = (read_json(run.folder / f"{name}.json")["record"] for name in ("make_data", "train"))
    assert second["needs"] == {"make_data": first["sum"]}


@pytest.mark.parametrize(("name", "file"), OF)
def test_an_altered_file_is_refused_with_stage_and_remedy(run, name, file):
    path, run = run.path(name, file), opened(run)
    then = sha256(path)
    alter(path)
    with pytest.raises(InputError) as refused:
        run.path(name, file)
    remedy = (
        f"put it back, or remove {run.folder}/{name}.json and run python scripts/{name}.py --run {run.folder}, which "
        "makes it anew"
    )
    assert str(refused.value) == (
        f"{path} was altered since stage {name} wrote it (SHA-256 {sha256(path)[:12]}, {then[:12]} then); "
        f"expected what the stage wrote; {remedy}"
    )
    with pytest.raises(InputError, match=f"was altered since stage {name} wrote it"):
        run.path(name)
    with pytest.raises(InputError, match=f"was altered since stage {name} wrote it"):
        do(run, *CHAIN)


@pytest.mark.parametrize(("name", "file"), OF)
def test_the_remedy_works(run, name, file):
    alter(run.path(name, file))
    (run.folder / f"{name}.json").unlink()
    again = opened(run)
    do(again, *CHAIN)
    assert again.path(name, file).read_text() == f"of {name}"


def test_a_file_that_is_gone_is_named(run):
    run.path("quantize", "f_m.npz").unlink()
    with pytest.raises(InputError, match=r"f_m\.npz, which stage quantize wrote, is not there \(No such file"):
        opened(run).path("quantize", "f_m.npz")


@pytest.mark.parametrize("name", CHAIN)
def test_a_number_changed_in_a_stage_json_is_refused(run, name):
    file = run.folder / f"{name}.json"
    file.write_text(file.read_text().replace('"summary": "made"', '"summary": "mad"', 1))
    with pytest.raises(InputError, match=rf"{name}\.json was altered since stage {name} wrote it .*remove .*{name}"):
        opened(run).read(name)
    with pytest.raises(InputError, match=rf"{name}\.json was altered"):
        do(opened(run), *CHAIN)


def test_a_stage_of_another_run_is_refused_though_it_is_whole(run, tmp_path):
    other = RunFolder(tmp_path / "other", run.config)
    do(other, "make_data", "train", "quantize")
    shutil.rmtree(run.folder / "quantize")
    shutil.copytree(other.folder / "quantize", run.folder / "quantize")
    shutil.copyfile(other.folder / "quantize.json", run.folder / "quantize.json")
    with pytest.raises(InputError, match=r"quantize\.json was made from another train\.json than lies beside it"):
        opened(run).require("synthesize")


def test_what_keeps_its_size_and_time_is_not_read_again(run, monkeypatch):
    monkeypatch.setattr(_sums, "sha256", None)
    again = opened(run)
    assert all(again.check(name) is None for name in CHAIN)


def test_a_copy_with_other_times_opens_anywhere_and_nothing_is_written(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "elsewhere" / "copy", copy_function=shutil.copyfile)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    run = RunFolder(copy)
    assert [run.require(name)["summary"] for name in CHAIN] == ["made"] * len(CHAIN)
    assert all(run.check(name) is None for name in CHAIN)
    assert run.library("convert", run.path("convert", FILES["convert"])).is_file()
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_a_copy_of_the_same_time_is_hashed_once(run, monkeypatch):
    path = run.path("train", "codae.keras")
    os.utime(path, ns=(5, 5))
    hashed = []
    monkeypatch.setattr(_sums, "sha256", lambda path: hashed.append(path) or sha256(path))
    again = opened(run)
    for _ in range(3):
        again.path("train", "codae.keras")
    assert hashed == [path]


def test_updating_and_resuming_go_on_as_before(run):
    changed = RunFolder(run.folder, RunConfig(data=run.config.data, hls=HlsConfig(clock_period_ns=4.0)), update=True)
    do(changed, *CHAIN)
    assert [opened(run).require(name)["config"]["seed"] for name in CHAIN] == [1] * len(CHAIN)
    (run.folder / "report.json").unlink()
    do(opened(run), *CHAIN)
    assert opened(run).is_done("report")


def test_events_that_were_altered_in_place_are_refused(tmp_path):
    """The checksum that the file states is kept: 256 events are of another process."""
    run = make(tmp_path)
    with h5py.File(tmp_path / "events.h5", "r+") as file:
        signal = file["signal"]
        signal[:256] = "h125"
    words = r"events\.h5 was altered since stage make_data wrote it .*remove .*make_data\.json"
    for reader in (
        lambda run: run.check("make_data"),
        lambda run: read_split(run, "test"),
        lambda run: read_each(run, "train", len),
        lambda run: do(run, "make_data"),
    ):
        with pytest.raises(InputError, match=words):
            reader(opened(run))
    run = opened(run)
    (run.folder / "train.json").unlink()
    with pytest.raises(InputError, match=words):
        run.do("train", lambda run: {})


def test_other_events_do_not_keep_a_run_from_scoring(tmp_path):
    run = opened(make(tmp_path))
    write(tmp_path / "events.h5", 3)
    assert run.require("quantize")["summary"] == "made"
    with pytest.raises(InputError, match=r"events\.h5 holds other events than the run was made from \(checksum"):
        read_split(run, "test")


def test_a_run_of_an_older_release_says_once_that_it_is_not_verified(run, capsys):
    for name in CHAIN:
        content = read_json(run.folder / f"{name}.json")
        del content["record"]
        write_json(run.folder / f"{name}.json", content)
    capsys.readouterr()
    old = opened(run)
    assert [old.require(name)["summary"] for name in CHAIN] == ["made"] * len(CHAIN)
    old.path("quantize", "f_m.npz")
    assert capsys.readouterr().out == (
        f"{run.folder}: not verified, an older release made stage make_data and recorded no sums\n"
    )
    library = run.folder / "convert" / FILES["convert"]
    with pytest.raises(InputError) as refused:
        old.library("convert", library)
    assert str(refused.value) == (
        f"the compiled library {library}, of which stage convert recorded no sum; expected one that the stage made "
        f"and recorded; remove {run.folder}/convert.json and run python scripts/convert.py --run {run.folder}, which "
        "makes it anew, or add --trust"
    )
    assert opened(run, trust=True).library("convert", library) == library


def test_what_an_older_release_did_not_say_is_named(run):
    """A JSON without a record may be of any content: whoever asks for a key that it lacks names it, however deep."""
    write_json(run.folder / "synthesize.json", {"stamp": {}, "resources": {"LUT": 3}, "list": [{"a": 1}]})
    said = RunFolder(run.folder).read("synthesize")
    assert said == {"stamp": {}, "resources": {"LUT": 3}, "list": [{"a": 1}]}
    for where, table, key in (
        (": resources", said["resources"], "FF"),
        ("", said, "latency_ns"),
        (": list", said["list"][0], "b"),
    ):
        with pytest.raises(InputError, match=rf"synthesize.json{where} without {key}; .*synthesize.py --run"):
            table[key]
        assert table.get(key) is None


def test_an_altered_library_is_loaded_only_by_who_trusts_it(run):
    path = run.path("convert", FILES["convert"])
    alter(path)
    with pytest.raises(InputError, match=r"libcodae-1\.so was altered .*which makes it anew, or add --trust$"):
        opened(run).path("convert", "emulator")
    with pytest.raises(InputError, match=r"libcodae-1\.so was altered .*which makes it anew, or add --trust$"):
        opened(run).library("convert", path)
    trusted = opened(run, trust=True)
    assert trusted.library("convert", trusted.path("convert", FILES["convert"])) == path
    alter(run.folder / "synthesize/rtl/design.json")
    with pytest.raises(InputError, match=r"design\.json was altered"):
        opened(run, trust=True).path("synthesize", "rtl")


@pytest.mark.parametrize("where", ["../../lib.so", "{outside}/lib.so", "emulator/../../../lib.so", "emulator/new.so"])
def test_a_library_that_was_not_recorded_is_not_loaded(run, tmp_path, where):
    """Outside of the folder, or new in it."""
    path = run.folder / "convert" / where.format(outside=tmp_path)
    path.write_text("a library")
    with pytest.raises(InputError, match=r"the compiled library .*\.so, of which stage convert recorded no sum; "):
        opened(run).library("convert", path)
    assert opened(run, trust=True).library("convert", path) == path


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({}, r"quantize\.json was made from another train\.json"),
        ([], r"quantize\.json was made from another train\.json"),
        ({"sum": 7}, r"train\.json is what another stage than train said"),
        ({"sum": "", "files": {}}, r"train\.json is what another stage than train said"),
    ],
)
def test_a_record_that_is_taken_away_or_none_is_refused(run, record, words):
    write_json(run.folder / "train.json", {"record": record, "summary": "made"})
    with pytest.raises(InputError, match=words):
        opened(run).read("quantize")
