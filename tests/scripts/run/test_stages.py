"""The stages as a graph: what each needs, which code it is of, what is done again when something changes."""

import re

import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import write_json
from codae_l1.hls.target.config import HlsConfig
from codae_l1.scripts.run import stages
from codae_l1.scripts.run.config import RunConfig
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.run.stages import CHAIN, ROOT, STAGES, _files_of, all_needs, code_of, dependents


def names(stage):
    return {path.relative_to(ROOT).as_posix() for path in _files_of(STAGES[stage].module)}


def done(run, *chosen):
    for stage in chosen:
        run.do(stage, lambda run: {"summary": "made"})


def test_needs_come_before_the_stage_and_end_at_the_events():
    for stage in STAGES:
        assert set(STAGES[stage].needs) <= set(all_needs(stage))
        if stage != "make_data":
            assert all_needs(stage)[0] == "make_data"
            assert stage in dependents("make_data")
        assert STAGES[stage].module.split(".")[-1] in {p.stem for p in (ROOT / "scripts").glob("*.py")}


def test_the_code_of_a_stage_is_what_it_imports():
    assert {"scripts/evaluate.py", "scripts/numerics.py", "models/evaluation/roc.py"} <= names("evaluate")
    assert {"scripts/run/events.py", "data/splits.py", "models/codae/model.py"} <= names("train")
    assert {"hls/rtl/build.py", "hls/layers/conv.py"} <= names("synthesize")
    assert "hls/cpp/emulator.cpp" in names("convert")
    # Jobs that run as processes of their own, and what opens the executors.
    assert {"hls/cost/_yosys_job.py", "hls/rtl/_trace_job.py"} <= names("synthesize")
    assert "scripts/run/executors.py" in names("evaluate")
    assert "scripts/reports/report.html.j2" in names("report")
    # Neither what other commands do, nor how a run folder is kept.
    for stage in CHAIN:
        assert not names(stage) & {
            "scripts/jets.py",
            "scripts/compare.py",
            "scripts/run/folder.py",
            "scripts/run/cli.py",
        }
    assert not {name for name in names("train") if name.startswith(("hls/", "quantization/", "scripts/studies/"))}


@pytest.fixture
def edited(monkeypatch):
    """Edit a source file in memory: edited("scripts/jets.py")."""

    def edit(name):
        for cached in (stages._content, stages._imports):
            cached.cache_clear()
        real = stages._content.__wrapped__
        path = ROOT / name
        assert path.is_file()
        monkeypatch.setattr(stages, "_content", lambda p: real(p) + (b"\n# A comment.\n" if p == path else b""))

    yield edit
    stages._imports.cache_clear()


@pytest.mark.parametrize(
    ("file", "again"),
    [
        ("scripts/jets.py", ()),
        ("scripts/compare.py", ()),
        ("scripts/report.py", ("report",)),
        ("scripts/numerics.py", ("evaluate",)),
        ("hls/hls4ml/project.py", ("convert",)),
        ("models/codae/losses.py", ("train", "quantize", "evaluate")),
    ],
)
def test_a_comment_changes_the_code_of_the_stages_that_import_the_file(edited, file, again):
    before = {stage: code_of(STAGES[stage].module) for stage in CHAIN}
    edited(file)
    changed = {stage for stage in CHAIN if code_of(STAGES[stage].module) != before[stage]}
    assert set(again) <= changed
    if not again or again == ("report",):
        assert changed == set(again)


def test_doing_a_stage_takes_away_only_those_that_need_it(tmp_path):
    run = RunFolder(tmp_path / "run", RunConfig())
    done(run, *CHAIN)
    for stage in ("vendor", "numerics"):
        run.do(stage, lambda run: {"rows": []})
    done(run, "quantize")
    left = {stage for stage in STAGES if (run.folder / f"{stage}.json").exists()}
    assert left == {"make_data", "train", "quantize"}


def test_a_stage_that_fails_leaves_the_others_but_they_are_not_used(tmp_path):
    run = RunFolder(tmp_path / "run", RunConfig())
    done(run, *CHAIN)

    def broken(run):
        raise InputError("a damaged model", "a model", "train it again")

    with pytest.raises(InputError, match="a damaged model"):
        run.do("quantize", broken)
    assert (run.folder / "synthesize.json").exists()
    with pytest.raises(InputError, match=r"stage quantize of .* is not done"):
        run.require("synthesize")


def test_an_optional_stage_shows_its_rows_until_its_design_is_made_again(tmp_path):
    run = RunFolder(tmp_path / "run", RunConfig())
    done(run, *CHAIN)
    row = {"name": "csynth", "kind": "estimate", "tool": "vitis_hls", "figures": "LUT 1"}
    run.do("vendor", lambda run: {"rows": [row]})
    assert run.rows() == [row]
    assert not (run.folder / "report.json").exists()
    said = (run.folder / "vendor.json").read_text()
    changed = RunFolder(run.folder, RunConfig(hls=HlsConfig(clock_period_ns=4.0)), update=True)
    done(changed, "convert", "synthesize")
    assert not (run.folder / "vendor.json").exists()
    (run.folder / "vendor.json").write_text(said)
    assert changed.rows() == []


def test_a_failing_optional_stage_keeps_what_it_said(tmp_path):
    run = RunFolder(tmp_path / "run", RunConfig())
    done(run, *CHAIN[:5])
    run.do("vendor", lambda run: {"rows": [], "events": 7})

    def broken(run):
        assert run.stored("vendor")["events"] == 7
        raise InputError("a", "b", "c")

    with pytest.raises(InputError):
        run.do("vendor", broken)
    assert run.stored("vendor")["events"] == 7


def test_a_run_of_before_the_graph_is_still_used_but_not_done(tmp_path):
    """Version 0.1 stamped other inputs and named no needs."""
    run = RunFolder(tmp_path / "run", RunConfig())
    for stage in CHAIN:
        write_json(run.folder / f"{stage}.json", {"summary": "made", "stamp": {"inputs": "f" * 64}})
    opened = RunFolder(run.folder)
    assert opened.require("synthesize")["summary"] == "made"
    assert not opened.is_done("make_data")
    with pytest.raises(InputError, match=r"stage make_data of .* is out of date .*run_chain\.py"):
        opened.do("train", lambda run: {})


def test_every_job_started_as_a_process_is_in_the_code_of_a_stage():
    started = {
        match
        for path in (ROOT / "hls").rglob("*.py")
        for match in re.findall(r'"-m",\s*"codae_l1\.([\w.]+)"', path.read_text())
    }
    assert {"hls.cost._yosys_job", "hls.rtl._trace_job"} <= started
    counted = set().union(*(names(stage) for stage in STAGES))
    assert {f"{name.replace('.', '/')}.py" for name in started} <= counted


@pytest.mark.parametrize("stamp", [None, [], "x"])
def test_a_record_without_a_stamp_shows_no_rows(tmp_path, stamp):
    run = RunFolder(tmp_path / "run", RunConfig())
    done(run, *CHAIN[:5])
    row = {"name": "a", "kind": "b", "tool": "c", "figures": "d"}
    write_json(run.folder / "vendor.json", {"rows": [row], "stamp": stamp})
    assert run.rows() == []
    write_json(run.folder / "vendor.json", {"rows": [{**row, "figures": 1}]})
    with pytest.raises(InputError, match="of another layout"):
        run.rows()
