"""Run the whole chain of a config, from events to the Level-1 report. Finished stages are skipped.

    python scripts/run_chain.py --config scripts/configs/demo.toml
    codae-l1 run --config demo

make_data    which events: the shipped sample, a file, or generated ones
train        the full model, CoDAE: f_R, f_m and decoder, on QCD masks alone
quantize     the firmware f_m: an auto-encoder of zero bias, or distilled; and in situ; float, then QKeras, QAT
convert      hls4ml: a C++ emulation of the firmware, compared with QKeras word by word
synthesize   da4ml: Verilog, cycle-accurate simulation, technology mapping; vendor tools where they are on PATH
evaluate     all executors on all events: equal bits, AUC, rates
report       report.json and report.html

    python scripts/run_chain.py --config scripts/configs/demo.toml --seeds 1 2 3 --out runs/demo-seeds

--seeds runs the config once per seed, in OUT/seed-N, and writes mean and spread over the seeds to OUT/seeds.md.
"""

import importlib
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.options import Companions

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


def command() -> None:
    """Parse the arguments and run each stage in order."""
    parser = cli.parser(__doc__)
    stage.add_run_arguments(parser)
    parser.add_argument("--seeds", type=int, nargs="+", help="run the config once per seed; at least two seeds")
    several = Companions(parser, "--seeds")
    several.add("--out", "folder of the runs and of their table", type=Path)
    one = Companions(parser, "--seeds", present=False)
    one.add("--trust", default=False, **stage.TRUST)
    arguments = parser.parse_args()
    several.settle(arguments)
    one.settle(arguments)
    cli.output("--out", arguments.out, "folder of runs")
    if arguments.seeds is not None:
        from codae_l1.scripts.report import COLUMNS
        from codae_l1.scripts.studies.seeds import run_seeds

        print(run_seeds(arguments, chain, COLUMNS))
        return
    started = time.monotonic()
    run = stage.open_run(arguments.run, arguments.config, arguments.update, arguments.trust)
    chain(run)
    minutes = (time.monotonic() - started) / 60
    verdict = run.read("report")["verdict"]
    print("\n" + " ".join(verdict[part] for part in ("headline", "trigger", "sentence", "baseline")))
    print(f"{run.path('report', 'report.html')} ({minutes:.1f} min)")


def chain(run: "Run") -> None:
    """Do every stage of a run folder that is not done."""
    from codae_l1.hls.target.size import check_size
    from codae_l1.scripts.run.stages import CHAIN, STAGES

    # A network that cannot fit is refused before anything is trained.
    check_size(run.config.firmware, run.config.hls)
    # A finished run may be read-only.
    with nullcontext() if run.is_done(CHAIN[-1]) else run.alone():
        for name in CHAIN:
            stage.do(run, name, importlib.import_module(STAGES[name].module).work)


if __name__ == "__main__":
    cli.run(command)
