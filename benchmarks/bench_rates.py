"""Peak memory of the study of rates against the number of crossings: it must not grow with them.

    python benchmarks/bench_rates.py

The peer is the same study with a tenth of the crossings. Chunks of invented words, of the shape and the pool of a study
of `scripts/rates.py`, are written and analysed by a process of its own; peak resident memory is that of the whole
process, libraries included. The same for a worker that makes as many crossings from a small pool of Pythia's. Prints
one JSON object.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.generation._crossing_chunks import CrossingTask, crossing_tasks, make_crossings
from codae_l1.data.generation._pool import pool_pieces
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.menu import QUANTITIES, menu_words
from codae_l1.scripts.run.config import TriggerConfig
from codae_l1.scripts.studies import streamed

CROSSINGS, SIGNALS = (100_000, 1_000_000), 600
_SCORES = ("rtl", "block_power", "active_pixels")
# A worker's crossings: few and soft collisions, so that many are made in minutes.
_QUICK = {"n_soft": 1000, "n_hard": 600, "cuts_gev": (20.0, 60.0), "processes": (), "n_signal_validation": 0}


def main() -> None:
    """Without arguments both numbers of crossings of both kinds, else the peak memory of one, in MB."""
    if len(sys.argv) > 1:
        {"analysis": _analyse, "worker": _make}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
        print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        return
    result = {}
    with tempfile.TemporaryDirectory() as name:
        for piece in pool_pieces(_quick(1000)):
            piece.make(Path(name))
        for kind in ("analysis", "worker"):
            found = {n: _peak(kind, n, name) for n in CROSSINGS}
            (few, _), (many, _) = found.values()
            rows = {str(n): {"peak_mb": round(mb), "seconds": round(s)} for n, (mb, s) in found.items()}
            result[kind] = {**rows, "ratio": round(many / few, 3)}
    print(json.dumps(result, indent=1))


def _peak(kind: str, crossings: int, folder: str) -> tuple[float, float]:
    """Peak memory [MB] and seconds of a process."""
    if kind == "analysis":
        _invent(_config(crossings), Path(folder) / str(crossings))
    started = time.time()
    command = [sys.executable, __file__, kind, str(crossings), folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]), time.time() - started


def _analyse(crossings: int, folder: Path) -> None:
    config, place = _config(crossings), folder / str(crossings)
    study = streamed.Study(place, {50.0: config}, streamed.RunWords("", place))
    of = {p: [t for t in crossing_tasks(config) if t.process == p] for p in (ZERO_BIAS, *config.processes)}
    samples = {p: streamed.Streamed(tasks, study.sample_folder(50.0)) for p, tasks in of.items()}
    streamed.study_results(study, TriggerConfig(), {50.0: samples})


def _make(crossings: int, folder: Path) -> None:
    config = _quick(crossings)
    for task in crossing_tasks(config):
        make_crossings(config, task, menu_words, folder)
        (folder / task.file).unlink()


def _config(crossings: int) -> CrossingsConfig:
    return streamed.study_configs({}, crossings, SIGNALS, (50.0,))[50.0]


def _quick(crossings: int) -> CrossingsConfig:
    return CrossingsConfig(n_crossings=(0, 0, 0, crossings), n_signal=0, pileup=(2.0,), **_QUICK)


def _invent(config: CrossingsConfig, study: Path) -> None:
    """Chunks of a study: words that fall about exponentially, six members of the pool each."""
    folder = study / "pileup-50"
    folder.mkdir(parents=True)
    for task in crossing_tasks(config):
        rng = np.random.default_rng([task.first, len(task.process)])
        np.savez(folder / task.file, **_columns(task, rng, config.n_soft + config.n_hard))


def _columns(task: CrossingTask, rng: np.random.Generator, pool: int) -> dict[str, np.ndarray]:
    n = task.count
    stratum = rng.integers(0, 8, n)
    ids = rng.integers(0, pool // 6, (n, 6)) * 6 + np.arange(6)
    columns = {"weight": 4.0**-stratum, "stratum": stratum.astype(np.int8), "members": ids.astype(np.int32)}
    for name in ("pt_hat", "scalar_pt", "jet_ht"):
        columns[name] = rng.exponential(100, n).astype(np.float32)
    columns |= {"collisions": rng.poisson(50, n).astype(np.uint16), "n_tracks": rng.poisson(30, n).astype(np.int32)}
    columns["vertex_lost"] = rng.random(n) < 0.05
    for name in (*_SCORES, *QUANTITIES):
        columns[f"words/{name}"] = np.minimum(rng.exponential(60.0 * (1 + stratum)), 4000).astype(np.int64)
    return columns


if __name__ == "__main__":
    main()
