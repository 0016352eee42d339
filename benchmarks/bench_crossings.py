"""Speed of zero-bias crossings on one core, against the overlay and read-out of selected events, in one run.

    python benchmarks/bench_crossings.py

The peer is what an event of the generator with a selection takes: `overlay` and `read_out` of a block of soft
collisions (codae_l1.data.generation._pileup, ._detector), and `make_block` for the pool. CPU time of this process, the
two taking turns, the smallest of all turns. Of the pool's collisions inelastic ones count: a fifth of the peer's are
elastic, which leave nothing. Prints one JSON object.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from codae_l1.data.generation._crossing_chunks import CrossingTask, crossings
from codae_l1.data.generation._detector import read_out
from codae_l1.data.generation._pileup import PileupBlock, make_block, overlay
from codae_l1.data.generation._pool import PoolChunk, make_pool_chunk, pool_pieces
from codae_l1.data.generation._processes import settings, start_pythia
from codae_l1.data.generation._propagation import Hits
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.menu import menu_words

COLLISIONS, TURNS = 300, 5
OLD = GenerationConfig(pileup_block_size=COLLISIONS)


def main() -> None:
    """Make a pool of either kind, then crossings from it; print the speeds and their ratios."""
    result = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = CrossingsConfig(n_crossings=(0, 0, 0, 1000), n_soft=5000, n_hard=700, processes=(), bias=0.0)
        for piece in pool_pieces(config):
            piece.make(folder)
        pythia = start_pythia(settings("pileup", OLD), 1)
        block = make_block(pythia, np.random.default_rng(1), OLD)
        result["pool collisions"] = _pool(folder, config, pythia)
        for mu in (50.0, 200.0):
            result[f"crossings at pile-up {mu:g}"] = _crossings(folder, config, mu, block)
    print(json.dumps(result, indent=1))


def _pool(folder: Path, config: CrossingsConfig, pythia) -> dict[str, float]:
    """Inelastic collisions per CPU second; the start of Pythia apart."""
    rng = np.random.default_rng(2)
    empty = PoolChunk("test", 0, 90, 1)
    start = _seconds(lambda: make_pool_chunk(config, empty, folder), 3)
    elastic = 1 - 78.58 / 100.3
    old = COLLISIONS * (1 - elastic) / _seconds(lambda: make_block(pythia, rng, OLD), TURNS)
    new = 1200 / (_seconds(lambda: make_pool_chunk(config, PoolChunk("test", 0, 91, 1200), folder), 3) - start)
    return _compared(old, new)


def _crossings(folder: Path, config: CrossingsConfig, mu: float, block: PileupBlock) -> dict[str, float]:
    n = int(4000 / mu)
    rng, none = np.random.default_rng(3), _no_hits()

    def peer() -> None:
        hits, kept = overlay(none, np.zeros(n), [block] * n, mu, rng)
        read_out(hits, kept, n, rng, OLD)

    found = {}
    for detector in ("trigger", "delphes"):
        changed = CrossingsConfig(
            **{**vars(config), "pileup": (mu,), "detector": detector, "n_soft": max(config.n_soft, int(20 * mu))}
        )
        task = CrossingTask("zero_bias", "test", 0, 0, n)
        # The pool is read at the first call.
        list(crossings(changed, task, folder))
        new = n / _seconds(lambda: list(crossings(changed, task, folder)), TURNS)  # noqa: B023
        found[detector] = _compared(n / _seconds(peer, TURNS), new)
    images = next(images for _, images in crossings(changed, task, folder))
    menu = len(images) / _seconds(lambda: menu_words(images), TURNS)
    return found["trigger"] | {"with the detector delphes": found["delphes"], "menu_per_cpu_second": round(menu, 1)}


def _no_hits() -> Hits:
    columns = {name: np.zeros(0, np.float32) for name in ("eta", "phi", "energy", "pt", "track_eta", "track_phi")}
    return Hits(event=np.zeros(0, np.int32), kind=np.zeros(0, np.int8), **columns)


def _compared(peer: float, new: float) -> dict[str, float]:
    return {"peer_per_cpu_second": round(peer, 1), "per_cpu_second": round(new, 1), "ratio": round(new / peer, 2)}


def _seconds(work: Callable[[], object], turns: int) -> float:
    """Smallest CPU time of some turns."""
    times = []
    for _ in range(turns):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()
