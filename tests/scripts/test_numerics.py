"""The command of docs/numerics.md on a small run; the counters in the report."""

import subprocess
import sys

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, sha256, write_json
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.sample import SAMPLE
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.float_model import FloatModel
from codae_l1.quantization.f_m.network import FirmwareModel, build_float, build_qkeras
from codae_l1.scripts import numerics, report
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import RunConfig
from codae_l1.scripts.run.folder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose stage quantize is done: untrained models of the default network."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    RunFolder(folder, RunConfig())
    config = FirmwareConfig()
    (folder / "quantize").mkdir()
    FirmwareModel.rounded(build_qkeras(config, 1), config).save(folder / "quantize" / "f_m.npz")
    FloatModel(build_float(config, 1), config).save(folder / "quantize" / "f_m_float.npz")
    for stage in ("make_data", "train", "quantize"):
        write_json(folder / f"{stage}.json", {"stamp": {}})
    return folder


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Twelve QCD events and twelve others."""
    path = tmp_path_factory.mktemp("events") / "few.h5"
    with EventFile(SAMPLE) as file:
        of = [np.flatnonzero(file.signal == name)[:12] for name in ("qcd", "h700")]
        write_events(path, file.read_where(np.sort(np.concatenate(of))))
    return path


@pytest.fixture(scope="module")
def found(run, events):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["numerics.py", "--run", str(run), "--events", str(events)])
        cli.run(numerics.command)
    return read_json(run / "numerics" / "numerics.json")


def test_both_models_are_profiled_on_qcd_and_on_all_events(found, run, events):
    assert found["events"] == {"qcd": 12, "all": 24}
    assert found["made_from"] == {str(path): sha256(path) for path in (run / "quantize" / "f_m.npz", events)}
    names = ["counts", "conv1", "conv1_relu", "flatten", "output", "output_word"]
    for models in found["profiles"].values():
        assert set(models) == {"qkeras", "float"}
        for rows in models.values():
            assert [row["layer"] for row in rows] == names
    qkeras = {row["layer"]: row for row in found["profiles"]["all"]["qkeras"]}
    assert qkeras["counts"]["values"] == 24 * 18 * 15
    assert qkeras["counts"]["high"] <= 16
    # The untrained network's words are narrow, and what leaves them is never beyond them.
    assert qkeras["conv1_relu"]["saturated"] > 0
    assert qkeras["conv1_relu"]["head_room"] == 0
    assert [qkeras[name]["wrapped"] for name in ("conv1", "output")] == [0, 0]
    assert (run / "numerics" / "numerics.svg").read_text().startswith("<?xml")


def test_the_reports_rows_count_saturated_and_wrapped_values(found):
    rows = report._overflow_rows({"numerics": found, "background": "qcd"})
    profiles = found["profiles"] | {"background": found["profiles"]["qcd"]}
    for i, row in enumerate(rows):
        records = [profiles[events][model][i] for events, model in report.OVERFLOWS]
        assert row["overflows"] == [record["saturated"] + record["wrapped"] for record in records]
    assert sum(rows[2]["overflows"]) > 0


def test_the_stage_evaluate_calls_the_same(found, run, events):
    with EventFile(events) as file:
        images, signal = file.read_where(np.arange(24)).images, file.signal
    from codae_l1.data.pooling import input_counts

    again = numerics.numerics(RunFolder(run), input_counts(images, FirmwareConfig().pooling), signal)
    assert again == {key: found[key] for key in ("events", "profiles")}


def test_names_of_processes_take_nine_bytes_per_event(run, events, tmp_path):
    counts, signal = numerics._read_events(RunFolder(run), [events, events], tmp_path, tell=print)
    with EventFile(events) as file:
        assert signal.astype(str).tolist() == [*file.signal, *file.signal]
    assert (len(counts), signal.nbytes) == (48, 48 * 9)


def test_a_run_in_use_is_refused_before_the_work(run, events, monkeypatch, capsys):
    other = "import sys, time; from pathlib import Path; from codae_l1.data.base.files import alone\n"
    other += "with alone(Path(sys.argv[1])):\n    print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", other, run], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        monkeypatch.setattr(numerics, "_read_events", None)
        monkeypatch.setattr(sys, "argv", ["numerics.py", "--run", str(run), "--events", str(events)])
        with pytest.raises(SystemExit, match="2"):
            cli.run(numerics.command)
        process.kill()
    assert f"{run} is in use by another command or by a tool that still runs (process {process.pid} on" in (
        capsys.readouterr().err
    )


def test_a_run_without_models_says_what_to_do(tmp_path, events, monkeypatch, capsys):
    RunFolder(tmp_path / "run", RunConfig())
    monkeypatch.setattr(sys, "argv", ["numerics.py", "--run", str(tmp_path / "run"), "--events", str(events)])
    with pytest.raises(SystemExit, match="2"):
        cli.run(numerics.command)
    assert "stage quantize of" in capsys.readouterr().err


def test_events_named_twice_are_said(run, events, tmp_path, monkeypatch):
    read = []

    def stop(run, files, out, tell, **how):
        read.extend(tell)
        raise InputError("read", "nothing more", "stop")

    monkeypatch.setattr(numerics, "_read_events", stop)
    words = ["numerics.py", "--run", str(run), "--events", str(events), str(events), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(InputError, match="read"):
        numerics.command()
    assert read == [f"{events}: named 2 times, so each of its events counts 2 times"]
