"""Speed of event generation on one core, against the figures of another fast detector of the same physics.

    python benchmarks/bench_generation.py

Accepted events per CPU second at pile-up 50, starting Pythia and writing the chunk included, the pile-up pool apart.
CPU time, not wall time, so that other programs disturb little. The figures beside are those of a trial generator on
another machine (NumPy and Pythia 8, one event at a time): ratios to them compare machines, too. Prints one JSON object.
"""

import json
import tempfile
import time
from pathlib import Path

from codae_l1.data.generation._chunks import Task, make_chunk, make_pool_chunk, pool_chunks
from codae_l1.data.generation.config import GenerationConfig

# Chunks of this many events, the default of a sample.
EVENTS = 320
# Accepted events per CPU second that are asked for, and what the trial generator made (pile-up: collisions).
TARGETS = {"qcd": 40, "svj2100": 60, "svj4100": 60}
TRIAL = {"pile-up pool": 450, "qcd": 47, "svj2100": 71, "svj4100": 63, "h700": 13.8}


def main() -> None:
    """Make the pool and a chunk of each process; print the rates."""
    config = GenerationConfig(pileup_blocks=20)
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        # Imports are paid once a worker.
        _seconds(lambda: make_chunk(GenerationConfig(pileup_mean=0.0), Task("qcd", "test", 0, 0, 1), Path(folder)))
        pool = _seconds(lambda: [make_pool_chunk(config, chunk, Path(folder)) for chunk in pool_chunks(config)])
        rates["pile-up pool"] = config.pileup_blocks * config.pileup_block_size / pool
        for process in ("qcd", "svj2100", "svj4100", "h700"):
            task = Task(process, "test", 0, 0, EVENTS if process in TARGETS else EVENTS // 5)
            rates[process] = task.count / _seconds(lambda task=task: make_chunk(config, task, Path(folder)))
    result = {
        name: {"per_cpu_second": round(rate, 1), "trial": TRIAL[name], "ratio": round(rate / TRIAL[name], 2)}
        for name, rate in rates.items()
    }
    print(
        json.dumps({"events": EVENTS, "pileup_mean": config.pileup_mean, "targets": TARGETS, "rates": result}, indent=1)
    )


def _seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
