"""Events a second and core: each executor of the demo's firmware against hls4ml's compiled model, in one run.

    python scripts/run_chain.py --config scripts/configs/demo.toml   # makes runs/demo
    python benchmarks/bench_executors.py [--run runs/demo]

Prints one JSON object. CPU seconds of this process and its children, so that threads count.
"""

import argparse
import json
import resource
from pathlib import Path

# Events of a call; calls are repeated for at least so many CPU seconds.
EVENTS = 20_000
LEAST_SECONDS = 1.0
PEER = "hls"


def cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def main() -> None:
    from codae_l1.scripts import cli

    cli.import_tensorflow()
    import numpy as np

    from codae_l1.scripts.executors import EXECUTORS, open_executor
    from codae_l1.scripts.run_folder import RunFolder, stamp

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    run = RunFolder(parser.parse_args().run)
    shape = run.config.firmware.input_shape
    counts = np.random.default_rng(0).integers(0, 5, (EVENTS, *shape))
    rates = {}
    for name in EXECUTORS:
        executor = open_executor(run, name)
        predict = executor.predict_scores if name == "float" else executor.predict_words
        predict(counts[:100])
        started, events = cpu_seconds(), 0
        while cpu_seconds() - started < LEAST_SECONDS:
            predict(counts)
            events += EVENTS
        rates[name] = events / (cpu_seconds() - started)
    ratios = {name: round(rate / rates[PEER], 2) for name, rate in rates.items()}
    print(
        json.dumps(
            {
                "events_per_call": EVENTS,
                "events_per_cpu_second": {name: round(rate) for name, rate in rates.items()},
                f"ratio_to_{PEER}": ratios,
                "stamp": stamp(run.config.seed),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    from codae_l1.scripts import cli

    cli.run(main)
