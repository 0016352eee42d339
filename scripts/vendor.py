"""Run the vendor's tools on a run's designs, step by step: Vitis HLS on the hls4ml project, Vivado on the RTL.

    python scripts/vendor.py --run runs/demo
    python scripts/vendor.py --run runs/demo --steps synthesis implementation

hls4ml project: csim, csynth, cosim, vsynth, export. RTL: synthesis and, where asked for, implementation (place and
route). A finished step is not done again unless its inputs changed. Writes vendor/vendor.json with hls4ml's keys, and
each step's log beside it; the run's next report shows it. docs/vendor.md has more.
"""

from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.errors import InputError, ToolError
from codae_l1.scripts import cli, further, stage

HLS_STEPS, RTL_STEPS = ("csim", "csynth", "cosim", "vsynth", "export"), ("synthesis", "implementation")
# What each step's figures are.
KINDS = {
    **{"csim": "simulation", "csynth": "estimate", "cosim": "simulation", "vsynth": "synthesis", "export": "files"},
    **{"synthesis": "synthesis", "implementation": "post-route"},
}
# Random inputs beside the test events in the testbench: words overflow.
RANDOM_EVENTS = 20


def command() -> None:
    """Parse the arguments, run the steps, write the record."""
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with the stage synthesize done")
    parser.add_argument("--steps", nargs="+", default=[*HLS_STEPS, "synthesis"], choices=[*HLS_STEPS, *RTL_STEPS])
    parser.add_argument("--project", type=Path, help="another hls4ml project of the run's network (Vitis, Vivado)")
    parser.add_argument("--events", type=int, default=50, help="events of the test split in the testbench")
    parser.add_argument("--timeout-s", type=float, default=14_400.0, help="longest run of one step [s]")
    parser.add_argument("--quiet", action="store_true", help="do not follow the tools' output")
    arguments = parser.parse_args()
    for name, value in (("--events", arguments.events), ("--timeout-s", arguments.timeout_s)):
        if not value > 0:
            raise InputError(f"{name} {value:g}", "a number above zero", "correct it")
    run = stage.open_run(arguments.run, None)

    run.require("synthesize")
    designs: dict[str, Any] = {"hls4ml": (HLS_STEPS, hls_design), "rtl": (RTL_STEPS, rtl_design)}
    record = {
        name: run_design(run, name, design(run, arguments), arguments)
        for name, (steps, design) in designs.items()
        # A design of which nothing is asked for is looked at where something of it was done before.
        if set(steps) & set(arguments.steps) or run.path("vendor", name).is_dir()
    }
    rows = rows_of(record)
    print("\n".join(f"{row['name']} ({row['kind']}, {row['tool']}): {row['figures']}" for row in rows))
    print(further.write(run, further.VENDOR, record, rows))
    check_words(record, run.path("vendor", "hls4ml", "project", "tb_data"))


def check_words(record: dict[str, Any], folder: Path) -> None:
    """Raise ToolError where a simulation of the vendor's gives other words than QKeras."""
    for steps in record.values():
        for name, row in steps.items():
            different = sum(report.get("Different", 0) for report in row.values() if isinstance(report, dict))
            if different:
                received = f"{name} gives other words than QKeras in {different} events"
                raise ToolError(received, "0", f"compare the results in {folder} and report it")


def hls_design(run: Any, arguments: Any) -> tuple[list[Any], dict[str, bytes]]:
    """The steps of the hls4ml project and its files, a testbench of test events and random ones among them."""
    from codae_l1.hls.hls4ml_steps import Expected, hls4ml_steps, project_source, vectors
    from codae_l1.hls.mismatch import adversarial_counts
    from codae_l1.quantization.firmware import input_counts, output_word
    from codae_l1.scripts.dataset import read_split
    from codae_l1.scripts.executors import open_executor

    project, firmware = arguments.project or run.path("convert", "hls4ml"), open_executor(run, "qkeras")
    events = read_split(run, "test", qcd_only=False)
    chosen = np.linspace(0, len(events) - 1, min(arguments.events, len(events))).astype(int)
    counts = input_counts(events.images[chosen], firmware.config)
    counts = np.concatenate([counts, adversarial_counts(firmware.config, run.config.seed, RANDOM_EVENTS)])
    words, word = firmware.predict_words(counts), output_word(firmware.config)
    return hls4ml_steps(project, Expected(words, word)), project_source(project) | vectors(counts, words, word)


def rtl_design(run: Any, arguments: Any) -> tuple[list[Any], dict[str, bytes]]:
    """The steps of the RTL and its files."""
    from codae_l1.hls.vivado import rtl_source, rtl_steps

    source = rtl_source(run.path("synthesize", "rtl"))
    return rtl_steps(list(source), run.config.hls), source


def run_design(run: Any, name: str, design: tuple[list[Any], dict[str, bytes]], arguments: Any) -> dict[str, Any]:
    """Do the chosen steps of one design, following them on standard output; the record of all that are done."""
    from codae_l1.hls.vendor_steps import run_steps

    steps, source = design
    chosen = tuple(step.name for step in steps if step.name in arguments.steps)

    def progress(done: int, total: int, text: str) -> None:
        print(f"{name} [{done}/{total}] {text if total or not chosen else 'done already'}", flush=True)

    heard, work = None if arguments.quiet else further.follow, run.path("vendor", name)
    found = run_steps(steps, source, work, chosen, arguments.timeout_s, heard, progress, "--timeout-s")
    kept = ("program", "seconds", "log")
    return {
        step: {"kind": KINDS[step], **{key: content[key] for key in kept}, **content["found"]}
        for step, content in found.items()
    }


def rows_of(record: dict[str, Any]) -> list[dict[str, str]]:
    """What the report shows of a record: rows {name, kind, tool, figures}."""
    return [
        {
            "name": f"{design} {step}",
            "kind": row["kind"],
            "tool": " ".join([Path(row["program"]).name, row.get("version", "")]).strip(),
            "figures": "; ".join(further.figures(report) for report in row.values() if isinstance(report, dict)),
        }
        for design, steps in record.items()
        for step, row in steps.items()
    ]


if __name__ == "__main__":
    cli.run(command)
