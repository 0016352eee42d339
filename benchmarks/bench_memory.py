"""Peak memory of the commands that read events, by the number of events, beside another build's; printed as a table.

    python benchmarks/bench_memory.py --run runs/demo --before ../other --events 10000 100000 1000000

Events are the shipped ones again and again, in files that are removed afterwards (1.2 kB per event). A cell is the peak
resident memory of the command's process in MB (getrusage). --before names a checkout of another build with its own
environment in .venv; its commands run on the same files, right after ours. `evaluate` and `train` are the work of the
stages, done in a copy of the run that reads the file, with a full model of the least sizes, of which `evaluate` takes
untrained weights: what grows with the events is the same. `train` reads all events, trains and validates on 200 batches
and scores all validation events.
"""

import argparse
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.calorimeter import CHANNELS
from codae_l1.data.formats.event_file import COLUMNS, STREAMS
from codae_l1.data.sample import SAMPLE

ROOT = Path(__file__).resolve().parents[1]
# The work of a stage on a run folder whose config names the events. What the stages before wrote stays, so that every
# number of events has the same networks.
STAGE = """import dataclasses, importlib, itertools, pathlib, shutil, sys
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.run import Run
folder, stage, events = sys.argv[1:]
for name in ("train", stage):
    pathlib.Path(folder, f"{name}.json").unlink(missing_ok=True)
shutil.rmtree(f"{folder}/{stage}")
run = Run(folder, trust=True)
data = dataclasses.replace(run.config.data, events=events)
training = dataclasses.replace(run.config.training, epochs=1)
four = {f"{part}_{key}": (value,) * 4 for part in ("f_m", "f_r", "decoder")
        for key, value in (("filters", 1), ("groups", 1), ("residuals", 0)) if (part, key) != ("f_m", "residuals")}
model = dataclasses.replace(run.config.model, **four, residual_groups=1, latent_channels=1)
run.config = dataclasses.replace(run.config, data=data, training=training, model=model)
run.check_own = run.require = lambda given: None
cli.import_tensorflow(training.deterministic)
if stage == "train":
    from codae_l1.models.training import loop
    for name in ("_batches", "_slices"):
        whole = getattr(loop, name)
        setattr(loop, name, lambda *given, whole=whole: itertools.islice(whole(*given), 200))
if stage == "evaluate":
    from codae_l1.models.codae.codvae import create_model
    from codae_l1.models.codae.model import save_codae
    save_codae(create_model(model, 1), run.path("train", "codae.keras"))
importlib.import_module(f"codae_l1.scripts.{stage}").work(run)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a finished run folder; it is copied")
    parser.add_argument("--before", type=Path, help="checkout of another build, with its .venv")
    parser.add_argument("--events", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--limit", type=int, default=100_000, help="most events that the other build is given")
    options = parser.parse_args()
    builds = {"now": ROOT} | ({"before": options.before.resolve()} if options.before else {})
    heads = [f"{n:,} {build}" for build in builds for n in options.events if build == "now" or n <= options.limit]
    print("| command | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    with tempfile.TemporaryDirectory(dir=options.run.resolve().parent) as name:
        scratch = Path(name)
        files = {}
        for n in options.events:
            files[n] = scratch / f"events-{n}.h5"
            write_repeated(files[n], n)
        for command in options.commands:
            cells = []
            for build, root in builds.items():
                for n in options.events:
                    if build == "now" or n <= options.limit:
                        run = Path(shutil.copytree(options.run, scratch / "run"))
                        cells.append(f"{peak_mb(root, COMMANDS[command], run, files[n], scratch):,.0f}")
                        shutil.rmtree(run)
            print(f"| {command} | " + " | ".join(cells) + " |", flush=True)


def write_repeated(path: Path, n: int) -> None:
    """Write the shipped events again and again, n in all, as they are stored: first the signals, then QCD.

    Else a short file would be without some of the classes, whose pictures and rows take memory, too.
    """
    sums: dict[str, Any] = {}
    with h5py.File(SAMPLE) as one, h5py.File(path, "w") as out:
        out.attrs.update(one.attrs)
        names = [*COLUMNS, *(f"{channel}/{stream}" for channel in CHANNELS for stream in STREAMS)]
        for name in names:
            # A channel's gaps and energies have as many rows as its counts add up to.
            counts = f"{name.split('/')[0]}/count" if name.endswith(("/gap", "/energy")) else None
            options = {"maxshape": (None,), "chunks": one[name].chunks, "fletcher32": True}
            made, column, left = out.create_dataset(name, (0,), one[name].dtype, **options), one[name][:], n
            qcd = int(np.sum(one["signal"][:] == b"qcd"))
            column = np.roll(column, -(int(one[counts][:qcd].sum()) if counts else qcd))
            sums[name] = hashlib.sha256()
            while left > 0:
                events = min(left, len(one["signal"]))
                part = column[: int(np.roll(one[counts][:], -qcd)[:events].sum())] if counts else column[:events]
                made.resize(len(made) + len(part), axis=0)
                made[len(made) - len(part) :] = part
                sums[name].update(part.view(np.uint8).data)
                left -= events
        out.attrs["checksum"] = hashlib.sha256(b"".join(s.digest() for s in sums.values())).hexdigest()


def peak_mb(root: Path, words: tuple[str, ...], run: Path, events: Path, scratch: Path) -> float:
    """Peak resident memory of a command of a checkout, MB; RuntimeError where it fails."""
    places = {"RUN": str(run), "EVENTS": str(events), "OUT": str(scratch / "out"), "SCRATCH": str(scratch)}
    given = [*words[:2], *(word.format(**places) for word in words[2:])]
    log = scratch / "log"
    shutil.rmtree(scratch / "out", ignore_errors=True)
    process = os.spawnve(
        os.P_NOWAIT,
        "/bin/sh",
        ["sh", "-c", 'cd "$0" && exec .venv/bin/python "$@" > "$LOG" 2>&1', str(root), *given],
        {**os.environ, "LOG": str(log)},
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"{' '.join(given)}: {log.read_text()[-1000:]}")
    return usage.ru_maxrss / 1000


_SCORE = ("scripts/score.py", "--run", "{RUN}", "--events", "{EVENTS}", "--out", "{SCRATCH}/scores.h5", "--trust")
# Command -> its words.
COMMANDS = {
    "score, emulator": (*_SCORE, "--executor", "emulator"),
    "score, float": (*_SCORE, "--executor", "float"),
    "events validate": ("scripts/events.py", "validate", "{EVENTS}", "{EVENTS}", "--out", "{SCRATCH}/validation.json"),
    "events show": ("scripts/events.py", "show", "{EVENTS}", "--out", "{OUT}"),
    "numerics": ("scripts/numerics.py", "--run", "{RUN}", "--events", "{EVENTS}", "--out", "{OUT}"),
    "train": ("-c", STAGE, "{RUN}", "train", "{EVENTS}"),
    "evaluate": ("-c", STAGE, "{RUN}", "evaluate", "{EVENTS}"),
}


if __name__ == "__main__":
    main()
