"""The whole chain, once, by the demo's config and the commands that a user types; then what must hold of it.

The full model is the tiny one, trained for two epochs; the network in situ trains briefly, and errors are of fewer
resamplings. Nothing below depends on how good they are: the firmware of the demo is a distance from zero bias, which
the full model does not enter, and is learned here exactly as in the demo.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest

from codae_l1.data.base.files import read_json, write_json
from codae_l1.data.events import SIGNALS
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.sample import SAMPLE
from codae_l1.scripts.run.tables import with_error

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).parents[1]
# Tables of the demo's config, and what is changed in them; distill.steps are those of the student in situ alone.
QUICK = {
    "model": {"preset": "tiny"},
    "training": {"epochs": 2},
    "distill": {"steps": 200},
    "in_situ": {"epochs": 1, "events": 256},
    "evaluation": {"bootstrap": 50},
}
INTEGER_EXECUTORS = ("qkeras", "hls", "emulator", "interpreter", "rtl")


def script(name, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "demo"
    config = tomllib.loads((ROOT / "scripts/configs/demo.toml").read_text())
    for table, changes in QUICK.items():
        config.setdefault(table, {}).update(changes)
    write_json(folder.with_suffix(".json"), config)
    result = script("run_chain.py", "--config", folder.with_suffix(".json"), "--run", folder)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert len(read_json(folder / "train" / "history.json")["loss"]) == 2
    return folder


@pytest.fixture(scope="module")
def report(run):
    return read_json(run / "report" / "report.json")


def test_every_executor_gives_the_same_words(report):
    with EventFile(SAMPLE) as file:
        shipped = len(file)
    pairs = {f"{a}-{b}" for i, a in enumerate(INTEGER_EXECUTORS) for b in INTEGER_EXECUTORS[i + 1 :]}
    assert set(report["mismatches"]) == pairs
    for pair, mismatch in report["mismatches"].items():
        assert mismatch["compared"] > shipped, pair
        assert mismatch["different"] == 0, pair


def test_the_firmware_fits_the_level_1_budget(report):
    resources = report["resources"]
    assert 0 < resources["LUT"] <= 17_280
    assert resources["FF"] > 0
    assert {key: resources[key] for key in ("DSP", "BRAM_18K", "URAM")} == {"DSP": 0, "BRAM_18K": 0, "URAM": 0}
    assert resources["kind"] in ("estimate", "synthesis", "post-route")
    assert report["interval_cycles"] == 1
    assert report["latency_ns"] == report["latency_cycles"] * report["clock_period_ns"] <= 50
    assert report["verdict"]["fits"]


def test_auc_of_every_signal_stands_beside_its_baselines(report):
    assert set(report["auc"]) == set(SIGNALS)
    for signal, row in report["auc"].items():
        assert {"float", "qkeras", "hls", "rtl", "n_tracks", "active_pixels"} <= set(row)
        assert row["rtl"] == row["qkeras"]
        assert row["rtl"]["value"] >= row["active_pixels"]["value"] - 0.01, signal
        assert 0 <= row["rtl"]["error"] < 0.05
    assert report["auc"]["h125"]["rtl"]["error"] > 0


def test_the_trigger_keeps_more_than_a_count_of_zero_bias(report):
    """At a thousandth of all crossings, against the best count that needs no learning (13, 48 and 77 %)."""
    rows = report["trigger"]["points"]["1e-3"]
    firmware, count = (rows[name]["efficiency"] for name in ("rtl", "block_power"))
    for signal, least in (("h125", 2.1), ("h200", 1.6), ("svj2100", 1.15)):
        assert firmware[signal]["value"] > least * count[signal]["value"], signal
    for signal in SIGNALS:
        assert firmware[signal]["value"] > count[signal]["value"] - 0.02, signal
    # Of the supervised ceiling, for those signals that leave it any room.
    for signal in ("h200", "h300", "svj2100", "svj3100"):
        assert firmware[signal]["value"] > 0.85 * rows["bdt"]["efficiency"][signal]["value"], signal


def test_report_html_is_self_contained(run):
    page = (run / "report" / "report.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.index("Fits the Level-1 budget at a clock of 5 ns, which is open until") < page.index("<h2>")
    # Trigger, ROC curves, rows of the distance, scatter, history, latent, event gallery.
    assert page.count('src="data:image/svg+xml;base64,') == 7
    for words in (
        "Do the fixed-point types hold all values?",
        "What does it add to a Level-1 menu?",
        "What does the firmware look at?",
        "What is kept of events above a selection in HT?",
        "not carried",
        "What does it cost?",
        "How everything was made",
    ):
        assert words in page


def test_a_second_start_does_nothing_again(run):
    before = {p: p.stat().st_mtime_ns for p in run.glob("*.json") if p.name != "config.json"}
    result = script("run_chain.py", "--run", run)
    assert result.returncode == 0
    assert result.stdout.count("done already") == 7
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_scores_of_other_files_equal_those_of_the_run(run, tmp_path):
    out = tmp_path / "scores.h5"
    result = script("score.py", "--run", run, "--events", SAMPLE, "--executor", "all", "--out", out)
    assert result.returncode == 0, result.stderr
    assert "words of qkeras, hls, emulator, interpreter, rtl: 0 of " in result.stdout
    with h5py.File(out) as scored, h5py.File(run / "evaluate" / "scores.h5") as kept, EventFile(SAMPLE) as file:
        assert set(scored) == {"float", *INTEGER_EXECUTORS, "signal", "file"}
        assert scored["signal"].asstr()[:].tolist() == file.signal.tolist()
        for name in INTEGER_EXECUTORS:
            assert np.array_equal(scored[name]["firmware_word"][:], kept[name]["firmware_word"][:])
            assert np.array_equal(scored[name]["firmware_score"][:], scored["rtl"]["firmware_score"][:])
        # Batches of another size may differ in a float's last bits.
        np.testing.assert_allclose(scored["float/firmware_score"][:], kept["float/firmware_score"][:], rtol=1e-4)


def test_the_export_checks_itself_and_says_how_to_decide(run, tmp_path):
    """The example of docs/integration.md."""
    out = tmp_path / "f_m_v1"
    result = script("export.py", "--run", run, "--out", out, "--namespace", "f_m_v1")
    assert result.returncode == 0, result.stderr
    assert "self-test passed" in result.stdout
    assert re.search(r"^rtl: 0 of \d+ vectors differ$", result.stdout, re.MULTILINE)
    assert "f_m_v1_trigger_tb: not simulated; export with --simulate" in result.stdout
    clean = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(["sh", out / "selftest.sh"], capture_output=True, text=True, env=clean)
    passed, loaded = done.stdout.splitlines()[-2:]
    assert passed.endswith(": passed"), done.stderr
    assert loaded.startswith("loaded by name: 0 of ")
    interface, report = read_json(out / "interface.json"), read_json(run / "synthesize.json")
    assert interface["pipeline"]["latency_cycles"] == report["latency_cycles"]
    assert interface["trigger"]["latency_cycles"] == report["latency_cycles"] + 2
    assert interface["trigger"]["latency_ns"] <= 50
    whole, alone = interface["resources"]["whole"], report["resources"]
    assert alone["LUT"] + 2000 < whole["LUT"] <= 17_280
    assert (whole["DSP"], whole["BRAM_18K"]) == (0, 0)
    assert interface["network_checksum"] == read_json(run / "convert.json")["emulator"]["checksum"]
    points = interface["decision"]["working_points"]
    evaluated = read_json(run / "report.json")["trigger"]["points"]
    assert [point["name"] for point in points] == list(evaluated)
    # The emulator's words of now, the RTL's of then.
    assert [p["threshold_word"] for p in points] == [rows["rtl"]["threshold"] for rows in evaluated.values()]
    rated = [point for point in points if point["threshold_word"] is not None]
    assert len(rated) >= 2
    for point in rated:
        assert set(SIGNALS) <= set(point["efficiency"])
        rate = with_error(point["rate_khz"], point["error_khz"])
        assert f"{point['name']}: score >= {point['threshold_word']}, {rate} kHz" in result.stdout
    for point in points:
        assert (point["threshold_word"] is None) == (point["reason"] is not None)


def test_the_comparison_has_the_firmware_and_the_observables_of_the_report(run, report):
    result = script("compare.py", "--run", run, "--seeds", 1, "--models", "observables")
    assert result.returncode == 0, result.stderr
    content = read_json(run / "comparison" / "comparison.json")
    rows = {row["score"]: row for row in content["rows"]}
    assert (rows["rtl"]["lut"], rows["rtl"]["latency_ns"]) == (report["resources"]["LUT"], report["latency_ns"])
    for name in ("rtl", "n_tracks", "active_pixels", "block_power"):
        assert {s: a["value"] for s, a in rows[name]["auc"].items()} == {
            s: report["auc"][s][name]["value"] for s in SIGNALS
        }


def test_another_backend_gives_the_same_words(run, tmp_path):
    """The example of docs/backends.md."""
    options = ("--backend", "oneAPI", "--io", "io_stream", "--strategy", "resource")
    options += ("--reuse", "3", "dense2=4", "dense3=4", "output=2")
    result = script("project.py", "--run", run, *options, "--out", tmp_path / "oneapi")
    assert result.returncode == 0, result.stderr
    assert "hls4ml took all as asked." in result.stdout
    assert " events equal" in result.stdout


@pytest.mark.parametrize("name", ["events_to_firmware", "your_events"])
def test_the_tutorial_runs(run, name):
    """Every cell of docs/tutorials, on the finished run; cells assert that the executors agree."""
    command = [sys.executable, ROOT / "docs/site/notebooks.py", ROOT / f"docs/tutorials/{name}.ipynb"]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CODAE_RUN": str(run)})
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.endswith("cells\n")


def test_the_run_scores_from_python_without_tensorflow(run):
    code = f"""
import sys
import numpy as np
import codae_l1
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.sample import SAMPLE
from codae_l1.scripts.run.tables import with_error
run = codae_l1.open_run({str(run)!r})
with EventFile(SAMPLE) as file:
    events = file.read_where(np.arange(0, len(file), 300))
words = [run.executor(name).score_words(events) for name in ("hls", "emulator", "interpreter", "rtl")]
assert all((w == words[0]).all() for w in words) and len(set(words[0])) > 5
accepted = run.accept(events, "3 %", "rtl")
assert 0 < accepted.sum() < len(accepted)
loaded = {{"tensorflow", "keras", "qkeras", "hls4ml"}} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
