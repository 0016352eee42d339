"""Many inputs with one thing wrong, of each kind, in processes that may die: the table of docs/reliability.md.

    python tests/faults/fuzz.py --cases 2000 --seed 1 --out faults.json
    python tests/faults/fuzz.py --kind adc2021 --change value --case 12345      # one case again, its message in full

Ends with status 1 where a case was neither read right nor refused by name. Interrupted (INT or TERM), it prints and
writes the counts of what was tried until then.
"""

import argparse
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "bases")]

import numpy as np  # noqa: E402
from fault_engine import GOOD, OUTCOMES  # noqa: E402
from fault_kinds import KINDS  # noqa: E402

# Seconds after which a case counts as dead: all take far less than one.
DEADLINE = 120


def serve(name, folder, connection):
    """Judge the cases that come over the connection, until None comes; a terminal's interrupt is for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    kind = KINDS[name](Path(folder))
    kind.prepare()
    connection.send(list(kind.changes))
    for change, seed in iter(connection.recv, None):
        outcome = kind.judge(change, seed)
        connection.send((outcome.outcome, outcome.said))


class Worker:
    """A process that judges the cases of one kind; it is started again where it died."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self._start()

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(self.name, self.folder, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.changes = self.connection.recv()

    def judge(self, change, seed):
        """(outcome, message) of one case."""
        self.connection.send((change, seed))
        try:
            if self.connection.poll(DEADLINE):
                return self.connection.recv()
            said = f"longer than {DEADLINE} s"
        except EOFError:
            self.process.join()
            said = f"ended with status {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self._start()
        return "death", said

    def stop(self):
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join()


def run_kind(name, cases, seed):
    """Counts of the outcomes of one kind and its bad cases; fewer than `cases` where it was interrupted."""
    rng, counts, bad, start = np.random.default_rng([seed, list(KINDS).index(name)]), Counter(), [], time.time()
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(name, folder)
        with suppress(KeyboardInterrupt):
            for i in range(cases):
                change, case = worker.changes[i % len(worker.changes)], int(rng.integers(2**32))
                outcome, said = worker.judge(change, case)
                counts[outcome] += 1
                if outcome not in GOOD:
                    bad.append({"kind": name, "change": change, "case": case, "outcome": outcome, "said": said})
                    print(f"{name} {change} {case}: {outcome}: {said[-300:]}", flush=True)
        worker.stop()
    tried = {"cases": counts.total(), **{o: counts[o] for o in OUTCOMES}}
    return {**tried, "seconds": round(time.time() - start)}, bad


def commit():
    """The commit that was tried."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main():
    """Parse the arguments, try the kinds, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--cases", type=int, default=2000, help="of each kind (default: 2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--change", help="with --case: one case again")
    parser.add_argument("--case", type=int)
    parser.add_argument("--out", type=Path, help="JSON of the counts and of the bad cases")
    arguments = parser.parse_args()
    if arguments.case is not None:
        with tempfile.TemporaryDirectory() as folder:
            worker = Worker(arguments.kind[0], folder)
            print(*worker.judge(arguments.change, arguments.case), sep=": ")
            worker.stop()
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    table, bad = {}, []
    for name in arguments.kind:
        table[name], worse = run_kind(name, arguments.cases, arguments.seed)
        bad += worse
        print(name, table[name], flush=True)
        if table[name]["cases"] < arguments.cases:
            print("interrupted", flush=True)
            break
    head = ("kind", "cases", *OUTCOMES)
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name, row in table.items():
        print("| " + " | ".join(map(str, (name, *(row[key] for key in head[1:])))) + " |")
    if arguments.out:
        content = {"commit": commit(), "seed": arguments.seed, "kinds": table, "bad": bad}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    sys.exit(bool(bad) or any(row["cases"] < arguments.cases for row in table.values()))


if __name__ == "__main__":
    main()
