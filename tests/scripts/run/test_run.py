"""A run opened from Python: executors, scores, working points, accept bits, and what is refused."""

import dataclasses
import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

import codae_l1
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_attribute, write_json
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.pooling import input_counts
from codae_l1.data.sample import CROSSINGS, SAMPLE
from codae_l1.hls.network.executor import EmulatorDesign, RtlDesign
from codae_l1.quantization.f_m.network import FirmwareModel
from codae_l1.scripts import make_data, score
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import DataConfig, EvaluationConfig, RunConfig, TriggerConfig
from codae_l1.scripts.run.events import indices, read_each, read_split
from codae_l1.scripts.run.run import Run

OF_QCD = {"rates_khz": (0.1, 0.01), "fprs": (0.1, 0.03)}
OF_CONFIG = {"rates_khz": EvaluationConfig().rates_khz, "fprs": EvaluationConfig().fprs}
NONE = TriggerConfig(crossings="none")


@pytest.fixture(scope="module")
def folder(scoring_run):
    return scoring_run


@pytest.fixture(scope="module")
def events():
    with EventFile(SAMPLE) as file:
        return file.read_where(np.arange(0, len(file), 400))


def test_the_package_says_its_version_and_that_it_is_typed():
    from importlib.metadata import version
    from importlib.resources import files

    assert codae_l1.__version__ == version("codae-l1")
    assert files("codae_l1").joinpath("py.typed").is_file()


def test_executors_give_equal_oriented_scores_for_every_form_of_events(folder, events):
    run = codae_l1.open_run(folder)
    firmware = FirmwareModel.load(folder / "quantize" / "f_m.npz")
    counts = input_counts(events.images, RunConfig().firmware.pooling)
    words = firmware.predict_words(counts)
    for name in ("qkeras", "emulator", "interpreter"):
        executor = run.executor(name)
        for given in (events, events.images, counts):
            assert np.array_equal(executor.words(given), words)
            assert np.array_equal(executor.score_words(given), -words[:, 0])
            assert np.array_equal(executor.scores(given), firmware.firmware_score(words))
    assert len(np.unique(words)) > 5


def test_designs_know_their_orientation(folder):
    assert (RtlDesign.read(folder / "synthesize/rtl/design.json", "").sign) == -1
    assert EmulatorDesign.read(folder / "convert/emulator/emulator.json", "").component == 0


def test_a_design_of_before_is_read_without_its_orientation(folder, tmp_path, events):
    record = json.loads((folder / "synthesize/rtl/design.json").read_text())
    del record["sign"], record["component"]
    (tmp_path / "design.json").write_text(json.dumps(record | {"inputs": 270, "unknown": 1}))
    design = RtlDesign.read(tmp_path / "design.json", "build it again")
    assert (design.sign, design.component, design.inputs) == (None, None, 270)
    (tmp_path / "design.json").write_text("[]")
    with pytest.raises(InputError, match=r"design\.json is not a record of this version .*build it again"):
        RtlDesign.read(tmp_path / "design.json", "build it again")


def test_scoring_without_keras_imports_no_tensorflow(folder, tmp_path, events):
    np.save(tmp_path / "images.npy", events.images)
    code = f"""
import sys
import numpy as np
import codae_l1
run = codae_l1.open_run({str(folder)!r})
images = np.load({str(tmp_path / "images.npy")!r})
a, b = (run.executor(name).scores(images) for name in ("emulator", "interpreter"))
assert (a == b).all() and run.accept(images, "10 %").dtype == bool
loaded = {{"tensorflow", "keras", "qkeras", "hls4ml"}} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_accept_bits_follow_the_threshold_of_each_working_point(folder, events):
    run = codae_l1.open_run(folder)
    scores = run.executor("emulator").score_words(events)
    points = {point.name: point for point in (*run.working_points(), *run.working_points(**OF_QCD))}
    assert {"fpr_0.1", "rate_0.1_khz", "1e-2", "1e-3", "1 kHz pure"} <= set(points)
    assert points["1e-2"].threshold is not None
    assert points["1 kHz pure"].threshold is None
    for name, point in points.items():
        if point.threshold is None:
            with pytest.raises(InputError, match=f"{name}.*sample does not carry"):
                run.accept(events, name)
        else:
            assert np.array_equal(run.accept(events, name), scores >= point.threshold)
    assert np.array_equal(run.accept(events, "3 %"), run.accept(events, "3e-2", "interpreter"))
    assert run._point("3 %").facts["of"] == "zero-bias crossings"


def test_a_threshold_is_the_one_of_the_zero_bias_counted_by_hand(folder):
    """The lowest word whose share of the test crossings, by weight, is at most one per cent, and what it keeps."""
    run, file = codae_l1.open_run(folder), CrossingFile(CROSSINGS)
    (point,) = run.working_points(points=("1e-2",))
    score = run.executor("emulator")
    words, weight = [], []
    for process in ("zero_bias", "h400"):
        which = file.where(process, "test")
        words.append(score.score_words(file.pooled(("tracks",), which)))
        weight.append(file.weight[which])
    share = {t: weight[0][words[0] >= t].sum() / weight[0].sum() for t in np.unique(words[0]).tolist()}
    assert point.threshold == min(t for t, s in share.items() if s <= 0.01)
    assert point.facts["rate_khz"] == pytest.approx(28_607.0 * share[point.threshold], rel=1e-9)
    kept = point.facts["efficiency"]["h400"]
    assert kept["value"] == pytest.approx(np.mean(words[1] >= point.threshold))
    assert 0 <= kept["beyond_menu"] <= kept["value"]
    assert point.facts["reason"] is None


def test_a_run_without_crossings_has_the_points_of_its_own_events(folder, tmp_path):
    run = Run(
        shutil.copytree(folder, tmp_path / "run"),
        dataclasses.replace(codae_l1.open_run(folder).config, trigger=NONE),
        update=True,
    )
    assert [p.name for p in run.working_points()] == [p.name for p in run.working_points(**OF_CONFIG)]
    with pytest.raises(InputError, match=r'without crossings \(trigger\.crossings = "none"\).*rate_0\.1_khz'):
        run.working_points(points=("1e-3",))
    assert run._point("10 %").name == "fpr_0.1"


def test_crossings_that_do_not_fit_the_network_are_no_reason_to_stop(folder, tmp_path, monkeypatch):
    """The shipped ones; those that the config names must."""

    def refuse(*arguments, **keys):
        raise InputError("cells of 2 x 2", "of 4 x 4", "make others")

    monkeypatch.setattr("codae_l1.scripts.run.crossings.RunCrossings", refuse)
    assert codae_l1.open_run(folder)._crossings == "cells of 2 x 2; expected of 4 x 4; make others"
    named = TriggerConfig(crossings=str(CROSSINGS))
    run = Run(
        shutil.copytree(folder, tmp_path / "run"),
        dataclasses.replace(codae_l1.open_run(folder).config, trigger=named),
        update=True,
    )
    with pytest.raises(InputError, match="cells of 2 x 2"):
        run.working_points()


@pytest.mark.parametrize("points", [("1e-3", "0.001"), ("500 kHz", "500.0 kHz"), ("1e-2", "5 kHz pure", "5 kHz pure")])
def test_a_point_that_is_named_twice_is_refused(folder, points):
    expected = f"working points {', '.join(points)}, two of which are one; expected different"
    with pytest.raises(InputError, match=expected):
        codae_l1.open_run(folder).working_points(points=points)


def test_points_of_both_kinds_can_be_asked_for_together(folder):
    points = codae_l1.open_run(folder).working_points(fprs=(0.1,), points=("1e-2", "500 kHz"))
    assert [point.name for point in points] == ["1e-2", "500 kHz", "fpr_0.1"]


def test_a_threshold_is_the_one_of_the_test_events_counted_by_hand(folder):
    """A tenth of the test split's QCD events, ties left out: the largest share at most that the words allow."""
    run = codae_l1.open_run(folder)
    with EventFile(SAMPLE) as file:
        part = indices(file, "test", background_only=True)
        qcd = run.executor("emulator").score_words(file.read_where(part))
    (point,) = run.working_points(fprs=(0.1,))
    allowed = [t for t in range(int(qcd.min()), int(qcd.max()) + 2) if np.mean(qcd >= t) <= 0.1]
    assert point.threshold == min(allowed)


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ("rate_40_khz", "'rate_40_khz', which the run's sample does not carry .*not below the sample's total"),
        ("1e-6", "'1e-6', which the run's sample does not carry .the largest word"),
        ("loose", "working point 'loose'; expected a share of crossings such as"),
        ("rate_x", "working point 'rate_x'; expected a rate such as"),
        (0.01, "working point 0.01; expected a rate such as"),
        ("0 %", "working point '0 %'"),
        ("100 %", "working point '100 %'"),
    ],
)
def test_a_working_point_that_there_is_none_of_is_refused(folder, events, point, words):
    with pytest.raises(InputError, match=words):
        codae_l1.open_run(folder).accept(events, point)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((2, 72, 58, 2)), r"shape \(2, 72, 58, 2\), float64; expected EventImages"),
        (np.zeros((2, 15, 18, 1), np.int64), r"shape \(2, 15, 18, 1\), int64"),
        (np.zeros((2, 72, 58, 3), np.int64), r"shape \(2, 72, 58, 3\), int64"),
        (np.full((1, 72, 58, 3), np.nan), "negative or non-finite energies"),
        (np.full((1, 72, 58, 3), -1.0), "negative or non-finite energies"),
        (np.full((1, 18, 15, 1), -1), "counts from -1 to -1"),
        (np.full((1, 18, 15, 1), 2**63, np.uint64), "counts from 9223372036854775808"),
        (np.ma.masked_array(np.zeros((1, 18, 15, 1), np.int64)), "a masked array"),
    ],
)
def test_events_of_no_known_form_are_refused(folder, given, words):
    with pytest.raises(InputError, match=words):
        codae_l1.open_run(folder).executor("emulator").scores(given)


def test_names_and_folders_that_are_none_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="executor 'verilog'; expected one of float, qkeras"):
        codae_l1.open_run(folder).executor("verilog")
    with pytest.raises(InputError, match="is not a run folder"):
        codae_l1.open_run(tmp_path)


def test_thresholds_of_other_events_than_the_runs_are_refused(folder, tmp_path, events):
    write_events(tmp_path / "other.h5", events)
    run = Run(tmp_path / "run", RunConfig(data=DataConfig(events=str(tmp_path / "other.h5"))))
    write_json(run.folder / "make_data.json", {"events": {"checksum": "0" * 64}})
    for read in (
        run.working_points,
        lambda: read_split(run, "test", background_only=False),
        lambda: read_each(run, "train", lambda images: images),
    ):
        with pytest.raises(
            InputError, match=r"other.h5 holds other events than the run was made from \(checksum .* 0000"
        ):
            read()


@pytest.mark.parametrize("weight", [-1e-9, np.nan, np.inf])
def test_weights_that_are_none_end_the_first_stage(tmp_path, events, weight):
    weights = np.ones(len(events))
    weights[3] = weight
    write_events(tmp_path / "w.h5", dataclasses.replace(events, weight=weights))
    run = Run(tmp_path / "run", RunConfig(data=DataConfig(events=str(tmp_path / "w.h5"))))
    with pytest.raises(
        InputError, match=rf"w.h5: 1 of {len(events)} events with a negative or non-finite weight, the fi"
    ):
        make_data.work(run)


def test_score_writes_accept_bits_beside_the_words(folder, tmp_path, events, monkeypatch, capsys):
    write_events(tmp_path / "mine.h5", events)
    out = tmp_path / "scores.h5"
    arguments = ["--run", folder, "--events", tmp_path / "mine.h5", "--executor", "emulator", "--out", out]
    monkeypatch.setattr(sys, "argv", ["score.py", *map(str, arguments)])
    cli.run(score.command)
    lines = capsys.readouterr().out.splitlines()
    whose = "AUC of all events read, any that the run learned from included; stage evaluate takes test events alone"
    assert lines[lines.index(whose) + 1].startswith("AUC in %")
    run = codae_l1.open_run(folder)
    with h5py.File(out) as file:
        words = file["emulator/firmware_word"][()]
        assert set(file["emulator/accept"]) == {point.name for point in run.working_points()}
        for point in run.working_points():
            bits = file[f"emulator/accept/{point.name}"]
            assert bits.dtype == bool
            if point.threshold is None:
                assert "never fires" in read_attribute(bits, "reason")
                assert not bits[()].any()
            else:
                assert np.array_equal(bits[()], words >= bits.attrs["threshold_word"])
    assert np.array_equal(run.accept(events, "3 %"), words >= run.working_points(points=("0.03",))[0].threshold)


def test_score_of_a_run_that_is_not_finished_says_one_line(folder, tmp_path, events, monkeypatch, capsys):
    run, out = shutil.copytree(folder, tmp_path / "run"), tmp_path / "scores.h5"
    (run / "convert.json").unlink()
    write_events(tmp_path / "mine.h5", events)
    words = ["--run", run, "--events", tmp_path / "mine.h5", "--executor", "emulator", "--out", out]
    monkeypatch.setattr(sys, "argv", ["score.py", *map(str, words)])
    with pytest.raises(SystemExit, match="2"):
        cli.run(score.command)
    printed = capsys.readouterr()
    assert "accept bits" not in printed.out
    assert printed.err.startswith(f"error: stage convert of {run} is not done")
    assert printed.err.count("\n") == 1
    assert not out.exists()


def test_score_ends_with_status_1_where_words_differ(folder, tmp_path, events, monkeypatch, capsys):
    from codae_l1.hls.rtl.build import Interpreter

    write_events(tmp_path / "mine.h5", events)
    arguments = ["--run", folder, "--events", tmp_path / "mine.h5", "--out", tmp_path / "scores.h5"]
    monkeypatch.setattr(sys, "argv", ["score.py", *map(str, arguments)])
    monkeypatch.setattr(score, "EXECUTORS", ("emulator", "interpreter"))
    cli.run(score.command)
    assert f"words of emulator, interpreter: 0 of {len(events)} events differ" in capsys.readouterr().out
    words = Interpreter.predict_words
    monkeypatch.setattr(
        Interpreter, "predict_words", lambda self, counts: words(self, counts) + (np.arange(len(counts)) == 2)[:, None]
    )
    with pytest.raises(SystemExit) as ended:
        cli.run(score.command)
    assert ended.value.code == 1
    assert f"words of emulator, interpreter: 1 of {len(events)} events differ" in capsys.readouterr().out
    assert (tmp_path / "scores.h5").is_file()


@pytest.mark.parametrize("damage", ["cut", "text", "other group", "other length"])
def test_scores_that_evaluate_left_damaged_are_computed_anew(folder, tmp_path, monkeypatch, damage):
    expected = codae_l1.open_run(folder).working_points(**OF_QCD)
    run = Run(shutil.copytree(folder, tmp_path / "run"))
    path = run.path("evaluate", "scores.h5")
    path.parent.mkdir()
    if damage == "text":
        path.write_text("no HDF5")
    else:
        with h5py.File(path, "w") as file:
            file["rtl/firmware_word" if damage != "other group" else "float"] = np.zeros(100, np.int64)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    monkeypatch.setattr(run, "is_done", lambda stage: True)
    assert [p.threshold for p in run.working_points(**OF_QCD)] == [p.threshold for p in expected]


@pytest.mark.parametrize("content", ['{"stamp": null}', '{"events": []}', '{"events": null, "stamp": []}'])
def test_a_stage_json_without_its_tables_is_no_reason_to_stop(folder, tmp_path, content):
    run = Run(shutil.copytree(folder, tmp_path / "run"), trust=True)
    for stage in ("train", "quantize", "convert", "synthesize"):
        write_json(run.folder / f"{stage}.json", {"summary": "made by an older release"})
    (run.folder / "make_data.json").write_text(content)
    (run.folder / "evaluate.json").write_text(content)
    assert not run.is_done("evaluate")
    assert len(run.working_points(**OF_QCD)) == 4
    assert len(run.working_points()) == 4


@pytest.mark.parametrize("asked", [{"rates_khz": [float("nan")]}, {"rates_khz": [-1.0]}, {"fprs": [1.0]}])
def test_rates_that_are_none_are_refused(folder, asked):
    with pytest.raises(InputError, match="finite rates above zero, false-positive rates between 0 and 1"):
        codae_l1.open_run(folder).working_points(**asked)


def test_no_points_are_not_all_points(folder):
    with pytest.raises(InputError, match=r"working points \[\]; expected 1 to 64"):
        codae_l1.open_run(folder).decision(())
