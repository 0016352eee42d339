"""Events per second and core: each executor of the demo's firmware against hls4ml's compiled model, in one run.

    python scripts/run_chain.py --config scripts/configs/demo.toml   # makes runs/demo
    python benchmarks/bench_executors.py [--run runs/demo] [--other FOLDER]

Prints one JSON object. CPU seconds of this process and its children, so that threads count. from_towers: the emulator
with its pooling, towers as int32, uint16 and uint8. --other: the folder of an emulator of the same network, built by
another commit, measured beside; other words are an error. Ends with status 1 and says why where the emulator is slower
than LEAST_RATE or LEAST_RATIO asks for.
"""

import argparse
import json
import resource
import sys
from pathlib import Path

# Events of a call (a tenth from towers); calls are repeated for at least so many CPU seconds.
EVENTS = 20_000
LEAST_SECONDS = 1.0
PEER = "hls"
TOWERS = ("int32", "uint16", "uint8")
# What the emulator has to reach: scores per second and core, and the ratio to the peer in the same run.
MEASURED, LEAST_RATE, LEAST_RATIO = "emulator", 1_000_000, 10.0


def cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def shortfalls(rates: dict[str, float]) -> list[str]:
    """What the emulator lacks; rates: executor -> events a CPU second."""
    rate, ratio = rates[MEASURED], rates[MEASURED] / rates[PEER]
    said = [f"{MEASURED}: {rate:,.0f} scores per second and core, fewer than {LEAST_RATE:,}"] * (rate < LEAST_RATE)
    return said + [f"{MEASURED}: {ratio:.1f} times {PEER}, less than {LEAST_RATIO:g}"] * (ratio < LEAST_RATIO)


def main() -> None:
    from codae_l1.scripts.run import cli

    cli.import_tensorflow()
    import numpy as np

    from codae_l1.data.calorimeter import N_ETA, N_PHI
    from codae_l1.hls.trigger.emulator import Emulator
    from codae_l1.scripts.run.executors import EXECUTORS, open_executor, open_float
    from codae_l1.scripts.run.folder import stamp
    from codae_l1.scripts.run.run import Run

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--other", type=Path)
    arguments = parser.parse_args()
    run = Run(arguments.run)
    shape = run.config.firmware.input_shape
    rng, rates = np.random.default_rng(0), {}
    counts = rng.integers(0, 5, (EVENTS, *shape))
    towers = rng.integers(0, 2, (EVENTS // 10, N_PHI, N_ETA, shape[-1]), np.int32)

    def measure(predict, inputs):
        predict(inputs[:100])
        started, events = cpu_seconds(), 0
        while cpu_seconds() - started < LEAST_SECONDS:
            predict(inputs)
            events += len(inputs)
        return events / (cpu_seconds() - started)

    for name in EXECUTORS:
        predict = open_float(run).predict_scores if name == "float" else open_executor(run, name).predict_words
        rates[name] = measure(predict, counts)
    emulators = {"": open_executor(run, MEASURED)}
    if arguments.other:
        emulators["_other"] = Emulator(arguments.other)
        rates[f"{MEASURED}_other"] = measure(emulators["_other"].predict_words, counts)
    for end, emulator in emulators.items():
        for kind in TOWERS:
            rates[f"from_towers_{kind}{end}"] = measure(emulator.predict_towers, towers.astype(kind))
        if (emulators[""].predict_words(counts) != emulator.predict_words(counts)).any():
            sys.exit(f"the emulator in {arguments.other} gives other words: it is not of the same network")
    ratios = {name: round(rate / rates[PEER], 2) for name, rate in rates.items()}
    print(
        json.dumps(
            {
                "events_per_call": EVENTS,
                "events_per_cpu_second": {name: round(rate) for name, rate in rates.items()},
                f"ratio_to_{PEER}": ratios,
                "shortfalls": shortfalls(rates),
                "stamp": stamp(run.config.seed),
            },
            indent=1,
        )
    )
    for said in shortfalls(rates):
        print(f"below target: {said}", file=sys.stderr)
    if shortfalls(rates):
        sys.exit(1)


if __name__ == "__main__":
    from codae_l1.scripts.run import cli

    cli.run(main, resumes=False)
