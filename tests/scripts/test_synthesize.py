"""Stage synthesize keeps its three parts one by one; a stage that was stopped gives what an undisturbed one does."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from scoring_run import make_scoring_run

from codae_l1.data.base.files import read_json
from codae_l1.hls.cost import synthesis
from codae_l1.hls.rtl import build, verilator
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.precision import LayerPrecision
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.run.run import Run
from codae_l1.scripts.synthesize import work

SMALL = FirmwareConfig(
    pool=12,
    conv=(ConvConfig(1, (3, 5), (3, 5)),),
    precision={
        "conv1": LayerPrecision(weight_bits=3, output_bits=3),
        "output": LayerPrecision(weight_bits=3, output_bits=6, output_integer=4),
    },
)
PARTS = {
    "trace": (build, "build_rtl"),
    "simulation": (verilator, "compile_simulation"),
    "yosys": (synthesis, "synthesize"),
}


def files(run):
    """SHA-256 of what the stage left, without the logs, which name times and folders."""
    left = (p for p in run.path("synthesize").rglob("*") if p.is_file() and p.suffix != ".log")
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in left}


def fresh(scoring_run, folder):
    """A run whose stage synthesize is not done."""
    shutil.copytree(scoring_run, folder)
    shutil.rmtree(folder / "synthesize")
    (folder / "synthesize.json").unlink()
    return Run(folder)


@pytest.fixture(scope="module")
def scoring_run(tmp_path_factory):
    """A run of one filter and few bits, which Yosys maps in a second."""
    return make_scoring_run(tmp_path_factory.mktemp("small") / "run", config=SMALL)


@pytest.fixture(scope="module")
def undisturbed(scoring_run, tmp_path_factory):
    run = fresh(scoring_run, tmp_path_factory.mktemp("undisturbed") / "run")
    return work(run), run


def calls_of(monkeypatch, stop=None, **instead):
    """The parts that are made from now on; `stop`: the one before which the stage is interrupted; others: instead."""
    made = []
    for name, (module, function) in PARTS.items():
        real = instead.get(name) or getattr(module, function)

        def call(*args, name=name, real=real, **kwargs):
            if name == stop:
                raise KeyboardInterrupt
            made.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(module, function, call)
    return made


def test_a_stage_that_was_stopped_between_its_parts_goes_on_and_gives_the_same(
    scoring_run, undisturbed, tmp_path, monkeypatch
):
    run, made = fresh(scoring_run, tmp_path / "run"), []
    for stop in ("simulation", "yosys", None):
        with monkeypatch.context() as patch:
            made.append(calls_of(patch, stop))
            if stop:
                with pytest.raises(KeyboardInterrupt):
                    work(run)
            else:
                assert work(run) == undisturbed[0]
    assert made == [["trace"], ["simulation"], ["yosys"]]
    assert files(run) == files(undisturbed[1])


def lose(run, file):
    run.path("synthesize", file).unlink()


def cut(run, file):
    path = run.path("synthesize", file)
    path.write_bytes(path.read_bytes()[:-3])


def change(run, file):
    path = run.path("synthesize", file)
    content = read_json(path)
    content["result"]["resources"]["LUT"] -= 1
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("harm", "file", "again"),
    [
        (lambda run, file: None, "", []),
        (cut, "rtl/sim/libcodae_rtl.so", ["simulation"]),
        (lose, "parts/yosys.json", ["yosys"]),
        (cut, "parts/yosys.json", ["yosys"]),
        (change, "parts/yosys.json", ["yosys"]),
        # The trace replaces the folder of the RTL.
        (cut, "rtl/src/codae.v", ["trace", "simulation"]),
    ],
    ids=["whole", "library", "lost", "cut", "changed", "source"],
)
def test_what_is_not_whole_is_made_again(harm, file, again, undisturbed, tmp_path, monkeypatch):
    content, run = undisturbed
    run = Run(shutil.copytree(run.folder, tmp_path / "run"))
    report = read_json(run.path("synthesize", "parts/yosys.json"))["result"]
    harm(run, file)
    made = calls_of(monkeypatch, yosys=lambda *arguments: report)
    assert work(run) == content
    assert made == again
    assert files(run) == files(undisturbed[1])


def test_another_network_keeps_nothing(undisturbed, tmp_path, monkeypatch):
    run = Run(shutil.copytree(undisturbed[1].folder, tmp_path / "run"))
    with np.load(run.path("quantize", "f_m.npz")) as stored:
        arrays = dict(stored)
    name = next(name for name in arrays if name.endswith("kernel"))
    arrays[name] = -arrays[name]
    np.savez(run.path("quantize", "f_m.npz"), **arrays)
    (run.folder / "quantize.json").unlink()
    monkeypatch.setattr(RunFolder, "require", lambda run, stage: {})
    made = calls_of(monkeypatch, yosys=lambda *arguments: undisturbed[0])
    assert work(run)["design"]["source_sha256"] != undisturbed[0]["design"]["source_sha256"]
    assert made == ["trace", "simulation", "yosys"]
