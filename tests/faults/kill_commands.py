"""The commands that kills.py kills, all of scripts/run/commands.py: words, inputs, and what of theirs is compared.

Inputs are small: a run with a tiny full model and a network of nine outputs, 240 QCD events, 210 jets.
"""

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("bases", "scripts")]

from few_events import write_few_events  # noqa: E402

from codae_l1.data.base.config import dump  # noqa: E402
from codae_l1.data.base.files import write_json  # noqa: E402
from codae_l1.data.events import QCD  # noqa: E402
from codae_l1.data.formats.event_file import EventFile, write_events  # noqa: E402
from codae_l1.data.formats.tables import write_objects  # noqa: E402
from codae_l1.data.splits import split_of  # noqa: E402
from codae_l1.scripts.run.config import load_config  # noqa: E402
from codae_l1.scripts.run.stages import CHAIN  # noqa: E402

SIZES = "".join(
    f"{part}_{key} = [{value}, {value}, {value}, {value}]\n"
    for part in ("f_m", "f_r", "decoder")
    for key, value in (("filters", 4), ("groups", 1), ("residuals", 0))
    if (part, key) != ("f_m", "residuals")
)
TOML = f"""seed = 3
[data]
events = "EVENTS"
[model]
{SIZES}residual_groups = 1
latent_channels = 4
[training]
epochs = 2
batch_size = 32
[firmware]
preset = "distilled"
conv = [{{ filters = 1, kernel = [6, 5], stride = [6, 5] }}]
[distill]
copies = 1
steps = 20
qat_steps = 20
[in_situ]
epochs = 1
events = 64
warm_up_copies = 1
[evaluation]
bootstrap = 10
[trigger]
crossings = "none"
points = ["2e-1", "1e-6"]
[trigger.menu]
total_khz = 3000.0
shares = {{ MET = 1.0, track_HT = 1.0 }}
[scan]
trials = 2
batch = 2
steps = 5
qat_steps = 5
front_seeds = 0
[scan.space]
filters = [1]
kernels = [3]
"""
# Keys of a JSON whose values say when, where or how fast: no result.
VOLATILE = {"stamp", "record", "seconds", "mtime_ns", "us", "timing", "log", "digest", "path"}
VOLATILE |= {"cpu_ms", "cpu_s", "cpu_seconds"}
# Files that are compared by their content; of all others the names count.
_CONTENT = (".json", ".npz", ".h5", ".keras", ".toml", ".v")


@dataclass(frozen=True)
class Command:
    """words(folder): arguments of a command that writes in the folder. out: what of the folder is compared.

    together: kills before it runs to its end. prepare(folder): what it works on. more: whether it
    is started twice at once and on a full disk, too. path: a folder of programs in front of all others.
    """

    name: str
    words: Callable
    out: str
    together: int = 4
    prepare: Callable = lambda folder: None
    more: bool = False
    path: Path | None = None

    def result(self, folder):
        """Names of all files, and the content of those that tell no time."""
        place = folder / self.out
        files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): content(path, folder) for path in files if path.suffix != ".log"}


def content(path, folder):
    """What of a file is compared, without the folder's own name and without times."""
    if path.suffix not in _CONTENT or path.name == "config.json":
        return None
    if path.suffix == ".json":
        return lasting(json.loads(path.read_text().replace(str(folder), "FOLDER")))
    if path.suffix == ".h5":
        return datasets(path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name].tolist() for name in arrays.files if name not in ("record", "header")}
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as file, file.open("model.weights.h5") as weights:
            return datasets(weights)
    return path.read_text().replace(str(folder), "FOLDER")


def datasets(path):
    """All datasets of an HDF5 file."""
    with h5py.File(path) as file:
        found = {}
        file.visititems(lambda n, i: found.update({n: i[...].tolist()}) if isinstance(i, h5py.Dataset) else None)
        return found


def lasting(value):
    """JSON without the keys of VOLATILE."""
    if isinstance(value, dict):
        return {key: lasting(v) for key, v in value.items() if key not in VOLATILE}
    return [lasting(v) for v in value] if isinstance(value, list) else value


def write_inputs(bench):
    """Events, a config, jets, weights in the published layout, and stand-ins of the vendors' tools."""
    import test_jets
    import test_objects
    import test_rates
    from published_files import SMALL, random_model, write_all

    events = write_few_events(bench / "events.h5", ("h125", "h400", "svj2100"), 12)
    (bench / "tiny.toml").write_text(TOML.replace("EVENTS", str(events)))
    with EventFile(events) as file:
        found = file.read()
    # A scan chooses by signals of the validation split: every second signal event moves there.
    validation = found.pileup_block[split_of(found.pileup_block) == "validation"][0]
    found.pileup_block[np.flatnonzero(found.signal != QCD)[::2]] = validation
    write_events(bench / "scan.h5", found)
    (bench / "scan.toml").write_text(TOML.replace("EVENTS", str(bench / "scan.h5")))
    jets = np.concatenate([test_jets.make_jets(150, 1, prongs=1), test_jets.make_jets(60, 2)])
    order = np.random.default_rng(0).permutation(210)
    test_jets.write(bench / "jets.h5", jets[order], (order >= 150))
    (bench / "jets.toml").write_text(test_jets.CONFIG)
    for name, events_of, scale in (("background", 200, 1), ("hard", 40, 5)):
        write_objects(bench / f"{name}.h5", [test_objects.make_events(events_of, events_of + scale, scale)], {})
    (bench / "objects.toml").write_text(test_objects.CONFIG)
    (bench / "rates.toml").write_text(test_rates.TOML)
    test_rates.pool(bench / "pool")
    small = dump(load_config(bench / "tiny.toml")) | {"model": dump(SMALL)}
    write_json(bench / "weights.json", small)
    (bench / "weights").mkdir()
    write_all(random_model(SMALL), bench / "weights")
    texts, programs = ROOT / "tests" / "hls" / "vendor" / "texts", bench / "bin"
    shutil.copytree(texts, bench / "reports")
    programs.mkdir()
    for name in ("vitis_hls", "vivado"):
        script = (texts / name).read_text().format(reports=bench / "reports")
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)


def commands(bench):
    """The commands, with the inputs and the finished run of the folder `bench`."""
    run, events = bench / "run", bench / "events.h5"
    small = ["--n-qcd", "24", "--n-signal", "2", "--processes", "qcd", "h125", "--pileup-blocks", "20"]
    small += ["--pileup-block-size", "2", "--pileup-mean", "2", "--chunk-events", "8", "--workers", "2"]
    files = sorted((bench / "weights").glob("*.tflite"))
    seed = ["--seeds", "1"]

    def copied(folder):
        shutil.copytree(run, folder / "run")

    def without(stage):
        def prepare(folder):
            copied(folder)
            for name in (*CHAIN[CHAIN.index(stage) :], "report"):
                (folder / "run" / f"{name}.json").unlink(missing_ok=True)
                shutil.rmtree(folder / "run" / name, ignore_errors=True)

        return prepare

    def with_pool(folder):
        copied(folder)
        shutil.copytree(bench / "pool", folder / "run" / "rates" / "tiny" / "pileup-2")

    def on_copy(name, *words, script=None, prepare=copied, **options):
        script = script or f"{name}.py"
        return Command(name, lambda f: [script, "--run", f / "run", *words], "run", prepare=prepare, **options)

    rates = ["--config", bench / "rates.toml", "--crossings", "450", "--signals", "60", "--pileup", "2"]
    jets = ["--jets", bench / "jets.h5", "--config", bench / "jets.toml", "--models", "jet_ae", "pca", *seed]
    objects = ["--background", bench / "background.h5", "--signals", bench / "hard.h5"]
    objects += ["--config", bench / "objects.toml", *seed]
    swaps = ["--model", "tiny", "--events", events, "--train-events", "60", "--epochs", "1", *seed]
    score = ["score.py", "--run", run, "--events", events, "--executor", "emulator", "--out"]
    scan = ["--config", bench / "scan.toml", "--jobs", "1"]
    vendor = ["--steps", "csynth", "vsynth", "synthesis", "--quiet"]
    encoders = ["--encoders", "f_r", "--pooling", "strided", "--warm-up-steps", "10", "--epochs", "1", "--events", "32"]
    imported = ["--kind", "codae", "--config", bench / "weights.json", *files]
    return [
        Command("score", lambda f: [*score, f / "s.h5"], "s.h5", more=True),
        Command("convert events", lambda f: ["events.py", "convert", events, "--out", f / "c.h5"], "c.h5", more=True),
        Command(
            "validate", lambda f: ["events.py", "validate", events, events, "--out", f / "v.json"], "v.json", more=True
        ),
        Command("show", lambda f: ["events.py", "show", events, "--out", f / "e"], "e", more=True),
        Command("export", lambda f: ["export.py", "--run", run, "--events", "20", "--out", f / "x"], "x", more=True),
        Command("generate", lambda f: ["make_data.py", *small, "--out", f / "g.h5"], "g.h5", more=True),
        Command(
            "project", lambda f: ["project.py", "--run", run, "--backend", "Verilog", "--out", f / "p"], "p", more=True
        ),
        *(on_copy(stage, prepare=without(stage)) for stage in CHAIN),
        on_copy("numerics"),
        on_copy("compare", "--models", "observables", "pca_events", *seed),
        on_copy("rates", *rates, "--name", "tiny", "--workers", "1", prepare=with_pool),
        Command("scan", lambda f: ["scan.py", *scan, "--run", f / "run"], "run"),
        on_copy("vendor", *vendor, path=bench / "bin"),
        on_copy("encoders", *encoders),
        Command("import_weights", lambda f: ["import_weights.py", *imported, "--out", f / "run"], "run"),
        Command("jets", lambda f: ["jets.py", *jets, "--components", "2", "--out", f / "j"], "j"),
        Command("objects", lambda f: ["objects.py", *objects, "--out", f / "o"], "o"),
        Command("swaps", lambda f: ["swaps.py", *swaps, "--rows", ROWS[0], ROWS[1], "--out", f / "w"], "w"),
        Command("run", lambda f: ["run_chain.py", "--config", bench / "tiny.toml", "--run", f / "run"], "run"),
    ]


# Two rows of the table of swaps.
ROWS = ("published layers", "norm: batch")


def uncovered():
    """Commands of scripts/run/commands.py that none of these starts."""
    from codae_l1.scripts.run.commands import COMMANDS

    started = {str(command.words(Path("x"))[0]).removesuffix(".py") for command in commands(Path("x"))}
    return set(COMMANDS.values()) - started
