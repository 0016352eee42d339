"""Commands project, project and project --all on a tiny firmware: what they print, store and refuse."""

import dataclasses
import shutil
import sys

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.hls.network.mismatch import LayerDifference, Mismatch
from codae_l1.hls.target.config import HlsConfig
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.scripts import project
from codae_l1.scripts.run.config import RunConfig
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.studies import backends, projects

pytestmark = pytest.mark.usefixtures("quick_compiler")
CONFIG = FirmwareConfig(conv=(ConvConfig(2, (6, 5), (6, 5)),), tied=False, precision={})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder that holds a firmware of random weights, and nothing else."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    made = RunFolder(folder, RunConfig(seed=3, firmware=CONFIG))
    model, rng = build_qkeras(CONFIG, 3), np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    FirmwareModel.rounded(model, CONFIG).save(made.path("quantize", "f_m.npz"))
    for stage in ("make_data", "train", "quantize"):
        write_json(folder / f"{stage}.json", {"summary": "made"})
    return folder


def call(monkeypatch, command, *arguments):
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    command()


def test_a_project_is_made_compared_and_described(run, tmp_path, monkeypatch, capsys):
    out = tmp_path / "project"
    options = ["--backend", "oneAPI", "--io", "io_stream", "--reuse", "4", "output=3", "--clock", "4", "--events", "20"]
    call(monkeypatch, project.command, "--run", run, "--out", out, *options)
    printed, record = capsys.readouterr().out, read_json(out / "project.json")
    assert "hls4ml 1.3.0, oneAPI, io_stream, pipeline style auto, Agilex7, 4 ns" in printed
    assert "conv1: asked for strategy latency, hls4ml took resource." in printed
    assert "conv1: asked for reuse factor 4, hls4ml took 3." in printed
    events = record["comparison"]["compared"]
    assert f"qkeras-hls: {events} events equal" in printed
    assert events > 20 + 270
    assert record["comparison"]["different"] == 0
    assert record["forecast"]["multiplications"] == 60 // 3 + 18 // 3
    assert len(record["notes"]) == 3
    assert record["stamp"]["seed"] == 3
    assert record["asked"]["reuse_factor"] == {"conv1": 4, "output": 3}


def test_a_folder_of_other_files_is_not_replaced(run, tmp_path, monkeypatch):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"holds other files \(quick-c\+\+, thesis.tex\).*with project.json or design"):
        call(monkeypatch, project.command, "--run", run, "--out", tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("place", ["convert/hls4ml", "quantize", "synthesize/rtl/new"])
def test_a_folder_of_the_run_s_stages_is_not_replaced(run, monkeypatch, place):
    (run / "convert" / "hls4ml").mkdir(parents=True, exist_ok=True)
    (run / "convert" / "hls4ml" / "project.json").write_text("{}")
    stage = place.split("/")[0]
    words = rf"is in the folder of the run's stage {stage}, whose artifacts would be replaced; .*tiny/project"
    if place == "quantize":
        words += "|holds other files"
    with pytest.raises(InputError, match=words):
        call(monkeypatch, project.command, "--run", run, "--out", run / place)
    with pytest.raises(InputError, match=rf"is in the folder of the run's stage {stage}"):
        call(monkeypatch, project.command, "--all", "--run", run, "--out", run / place)
    assert (run / "convert" / "hls4ml" / "project.json").read_text() == "{}"


def broken(a, b, counts):
    """A comparison that finds the layer dense1 and two events that differ."""
    return Mismatch("qkeras-hls", len(counts), 2, 3, LayerDifference("dense1", 40, 5, 0.5), ())


@pytest.mark.parametrize(
    "words",
    [("--backend", "Vitis"), ("--all", "--backends", "Vitis", "--strategies", "latency", "--io", "io_parallel")],
)
def test_events_that_differ_end_the_command_and_name_the_layer(run, tmp_path, monkeypatch, capsys, words):
    monkeypatch.setattr("codae_l1.hls.network.mismatch.compare", broken)
    with pytest.raises(SystemExit) as stop:
        call(monkeypatch, project.command, "--run", run, "--out", tmp_path / "out", "--events", "3", *words)
    assert stop.value.code == 1
    assert "events differ, worst 3 LSB, first in layer dense1 (5 of 40 values)" in capsys.readouterr().out


def test_projects_are_made_again_when_anything_they_are_made_from_changes(run, tmp_path, monkeypatch):
    made = []

    def make(firmware, config, language, out, inputs):
        made.append((config.clock_period_ns, len(inputs)))
        return {"not_compiled": "", "comparison": {"compared": len(inputs), "different": 0}, "agreement": ""}

    monkeypatch.setattr(backends, "make_project", make)
    firmware = FirmwareModel.load(run / "quantize" / "f_m.npz")
    choice = projects.Choice("Verilog", "io_parallel", "distributed_arithmetic", ("1",))

    def one(config, firmware, inputs, commit):
        return backends._backend_row(config, firmware, inputs, choice, tmp_path / "out", {"commit": commit})

    inputs, config = np.zeros((3, 18, 15, 1), np.int64), HlsConfig()
    assert one(config, firmware, inputs, "a")["stamp"] == {"commit": "a"}
    # Another commit of the same code, another number of jobs: nothing to make.
    again = one(dataclasses.replace(config, jobs=1), firmware, inputs, "b")
    assert (again["stamp"], len(made)) == ({"commit": "a"}, 1)
    other = dataclasses.replace(config, clock_period_ns=4.0)
    assert one(other, firmware, inputs, "b")["stamp"] == {"commit": "b"}
    assert one(other, firmware, np.zeros((4, 18, 15, 1), np.int64), "b")["compared"] == 4
    one(other, firmware, np.ones((4, 18, 15, 1), np.int64), "b")
    firmware.model.set_weights([w + 1 for w in firmware.model.get_weights()])
    one(other, firmware, np.ones((4, 18, 15, 1), np.int64), "b")
    monkeypatch.setattr("codae_l1.scripts.studies.backends.code_of", lambda module: "another code")
    one(other, firmware, np.ones((4, 18, 15, 1), np.int64), "b")
    assert made == [(5.0, 3), (4.0, 3), (4.0, 4), (4.0, 4), (4.0, 4), (4.0, 4)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--reuse", "fast"), r"--reuse fast; expected a whole number"),
        (("--reuse", "conv1=3"), r"--reuse conv1=3; expected a whole number >= 1, of all layers"),
        (("--reuse", "0"), r"--reuse 0; expected a whole number >= 1"),
        (("--reuse", "2", "3"), r"--reuse 2 3; expected a whole number >= 1"),
        (("--events", "-1"), r"--events -1; expected a number >= 1"),
        (("--backend", "Vitis", "--clock", "4"), r"--backend, --clock with --all; expected one or the other"),
    ],
)
def test_mistakes_of_the_table_are_said_before_anything_is_read(run, tmp_path, monkeypatch, arguments, words):
    with pytest.raises(InputError, match=words):
        call(monkeypatch, project.command, "--all", "--run", run, "--out", tmp_path / "out", *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--io", "io_stream", "io_parallel"),
            "--io io_stream io_parallel; expected one io_type, or several with --all",
        ),
        (("--backends", "Vitis"), "--backends without --all; expected both"),
    ],
)
def test_options_of_the_table_need_it(run, tmp_path, monkeypatch, arguments, words):
    with pytest.raises(InputError, match=words):
        call(monkeypatch, project.command, "--run", run, "--out", tmp_path / "out", *arguments)


def test_the_table_says_of_each_combination_what_it_is_worth(run, tmp_path, monkeypatch, capsys):
    def no_ghdl():
        raise ToolError("no ghdl on PATH", "GHDL", "install it")

    installed, which = {"ghdl": None}, shutil.which
    monkeypatch.setattr("codae_l1.hls.rtl.vhdl._find_ghdl", no_ghdl)
    monkeypatch.setattr("shutil.which", lambda name: installed[name] if name in installed else which(name))
    out, wanted = tmp_path / "backends", ("--backends", "Libero", "VHDL", "--io", "io_parallel")
    arguments = ("--run", run, "--out", out, *wanted, "--strategies", "resource", "--events", "5")
    call(monkeypatch, project.command, "--all", *arguments)
    rows = {row["backend"]: row for row in read_json(out / "backends.json")["rows"]}
    assert (rows["Libero"]["made"], rows["Libero"]["compiled"]) == (False, False)
    assert (rows["VHDL"]["made"], rows["VHDL"]["compiled"], rows["VHDL"]["different"]) == (True, False, None)
    table = (out / "backends.md").read_text()
    assert capsys.readouterr().out.endswith(table)
    assert "| Libero | io_parallel | resource | 3 | no | no |  | backend Libero, which has no code for conv1" in table
    assert (
        "| VHDL | io_parallel | distributed_arithmetic | 1 | yes | no |  | written, not simulated: no ghdl on" in table
    )
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/project/design.json")}
    assert len(before) == 1
    call(monkeypatch, project.command, "--all", *arguments)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    installed["ghdl"] = "/opt/ghdl"
    call(monkeypatch, project.command, "--all", *arguments)
    assert all(path.stat().st_mtime_ns > time for path, time in before.items())
    # A row that was simulated stays where the simulator is gone.
    before = {path: path.stat().st_mtime_ns for path in before}
    monkeypatch.setattr(backends, "_lacking", lambda: ["ghdl", "shls", "more"])
    call(monkeypatch, project.command, "--all", *arguments)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_row_of_a_compiled_project_counts_the_events_that_differ():
    row = {"backend": "Vivado", "io": "io_stream", "strategy": "resource", "reuse": 3, "made": True, "compiled": True}
    lines = backends._backends_table([row | {"compared": 9, "different": 2, "says": ["a | b.", "c."]}]).splitlines()
    assert lines[2:] == ["| Vivado | io_stream | resource | 3 | yes | yes | 2 of 9 | a / b. c. |"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fast"], r"--reuse fast; expected a whole number, or LAYER=number"),
        (["=3"], r"--reuse =3; expected a whole"),
        # Digits that are none to int(), and more of them than Python reads.
        (["²"], r"--reuse ²; expected a whole number"),
        (["conv1=²"], r"--reuse conv1=²; expected a whole number"),
        (["٣"], r"--reuse ٣; expected a whole number"),
        (["9" * 5000], r"--reuse 999.* expected a whole number"),
        # The last would win.
        (["3", "4"], r"--reuse 3 and 4 for all layers; expected one number"),
        (["conv1=3", "2", "conv1=3"], r"--reuse 3 and 3 for conv1; expected one number"),
    ],
)
def test_a_reuse_factor_that_is_none_is_refused(words, message):
    with pytest.raises(InputError, match=message):
        projects.reuse_factors(words)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"parallel_pixels": 10**10}, r"hls.parallel_pixels = 10000000000; expected at most 1,000,000"),
        ({"parallel_pixels": -1}, r"hls.parallel_pixels = -1; expected a number of pixels"),
        ({"clock": float("nan")}, r"hls.clock_period_ns = nan; expected a finite number"),
        ({"reuse": ("2000000000",)}, r"hls.reuse_factor = 2000000000; expected a number above zero, at most 10\^9"),
        ({"reuse": ("conv1=0",)}, r"hls.layer_reuse.conv1 = 0; expected a number above zero"),
        ({"part": "xcvu13p-flga2577-2-e "}, r"hls.part = 'xcvu13p-flga2577-2-e '; expected letters, digits"),
        ({"part": "xcvu13p;exit"}, r"hls.part = 'xcvu13p;exit'; expected letters, digits"),
        ({"backend": "oneAPI", "part": "Agilex7\n"}, r"hls.part = 'Agilex7.n'; expected letters, digits"),
    ],
)
def test_what_a_config_refuses_is_refused_of_a_project(asked, message):
    with pytest.raises(InputError, match=message):
        projects.configuration(projects.Choice(**asked), HlsConfig())


def test_what_is_not_asked_for_stays_the_runs():
    base = HlsConfig(reuse_factor=2, layer_reuse={"conv1": 3}, clock_period_ns=4.0)
    asked = projects.Choice(reuse=("output=5", "7", "conv1=9"), parallel_pixels=10**6)
    config, _ = projects.configuration(asked, base)
    assert (config.reuse_factor, config.layer_reuse) == (7, {"output": 5, "conv1": 9})
    assert (config.parallel_pixels, config.clock_period_ns) == (10**6, 4.0)
    assert projects.configuration(projects.Choice(), base)[0] == base


def test_the_part_follows_the_vendor():
    def taken(backend, part=None, reuse=()):
        return projects.configuration(projects.Choice(backend, part=part, reuse=reuse), HlsConfig(part="xcvu9p"))

    assert [taken(b)[0].part for b in ("Vivado", "oneAPI", "Libero")] == ["xcvu9p", "Agilex7", "MPF300"]
    assert taken("oneAPI", "Agilex5")[0].part == "Agilex5"
    assert (taken("VHDL")[1], taken("VHDL")[0].backend) == ("VHDL", "Vitis")
    with pytest.raises(InputError, match=r"hls.part = 'xcvu9p' for backend Libero"):
        taken("Libero", "xcvu9p")
    with pytest.raises(
        InputError, match=r"--backend VHDL with options of HLS; expected none of --io io_stream.*drop them"
    ):
        taken("VHDL", reuse=("3",))


def test_a_namespace_is_one_of_vhdl_alone():
    assert projects.configuration(projects.Choice("VHDL", namespace="f_m_v1"), HlsConfig())[1] == "VHDL"
    for backend in (None, "Vitis", "Verilog"):
        with pytest.raises(InputError, match=r"--namespace without --backend VHDL; expected both"):
            projects.configuration(projects.Choice(backend, namespace="f_m_v1"), HlsConfig())
    with pytest.raises(InputError, match=r"namespace 'a-b'; expected a C\+\+ name"):
        projects.configuration(projects.Choice("VHDL", namespace="a-b"), HlsConfig())
