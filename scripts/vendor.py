"""Stages vendor and place: other tools on a run's designs. Vitis HLS, Vivado, and an open flow up to a bitstream.

    python scripts/vendor.py --run runs/demo
    python scripts/vendor.py --run runs/demo --steps synthesis implementation
    python scripts/vendor.py --run runs/demo --steps ecp5

hls4ml project (Vitis HLS or Vivado HLS): csim, csynth, cosim, vsynth, export. RTL (Vivado): synthesis and, where asked
for, implementation (place and route). RTL on an open FPGA family (Lattice ECP5, extra `place`): ecp5; Yosys maps it,
nextpnr places and routes it, ecppack writes the bitstream; its figures are those of that chip. A finished step is not
done again unless its inputs changed; where a step fails, those that do not need it go on. Writes vendor.json with
hls4ml's keys and place.json into the run folder, each step's log beside them in vendor/ and place/; the run's next
report shows them. Another project (--project) has a folder, a record and rows of its own, which say what it is.
docs/vendor.md and docs/estimates.md have more.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.scripts._seeds import require_seeds
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.folder import RunFolder

OWN, RTL, ECP5 = "hls4ml", "rtl", "ecp5"
HLS_STEPS, RTL_STEPS = ("csim", "csynth", "cosim", "vsynth", "export"), ("synthesis", "implementation")
# What each step's figures are.
KINDS = {
    **{"csim": "simulation", "csynth": "estimate", "cosim": "simulation", "vsynth": "synthesis", "export": "files"},
    **{"synthesis": "synthesis", "implementation": "post-route"},
}
# Whose figures a step shows, where another program starts it.
FIGURES_BY = {"vsynth": "vivado"}
# Events of the test split in the testbench; random inputs beside them: words overflow.
EVENTS, RANDOM_EVENTS = 50, 20


class Design(NamedTuple):
    """Steps of a design and its files. project: {path, backend, part, digest} of an hls4ml project, else None."""

    steps: list[Any]
    source: dict[str, bytes]
    project: dict[str, str] | None = None


class _Chosen(NamedTuple):
    """What is asked of a design: its folder's name, its hls4ml project (None: the RTL), steps (none: what was done)."""

    name: str
    project: Path | None
    steps: set[str]


def command() -> None:
    """Parse the arguments, run the steps, write the records."""
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with the stage synthesize done")
    told = f"what to run, of {', '.join((*HLS_STEPS, *RTL_STEPS, ECP5))} (default: {', '.join(HLS_STEPS)}, synthesis)"
    parser.add_argument(
        "--steps", nargs="+", default=[*HLS_STEPS, "synthesis"], choices=[*HLS_STEPS, *RTL_STEPS, ECP5], help=told
    )
    parser.add_argument("--project", type=Path, help="another hls4ml project of the run's network (Vitis, Vivado)")
    parser.add_argument("--events", type=int, help=f"test events in the testbench (default: as before, or {EVENTS})")
    parser.add_argument("--out-of-context", action="store_true", help="ecp5: the pipeline alone, no bitstream")
    parser.add_argument("--seed", type=int, help="ecp5: of the placer (default: 1)")
    parser.add_argument("--timeout-s", type=float, default=14_400.0, help="longest run of one step [s]")
    parser.add_argument("--quiet", action="store_true", help="do not follow the tools' output")
    arguments = parser.parse_args()
    for name, value in (("--events", arguments.events), ("--timeout-s", arguments.timeout_s)):
        if value is not None and not value > 0:
            raise InputError(f"{name} {value:g}", "a number above zero", "correct it")
    others = set(arguments.steps) - {ECP5}
    of_ecp5 = {"--out-of-context": arguments.out_of_context, "--seed": arguments.seed is not None}
    of_vendors = {"--project": arguments.project is not None, "--events": arguments.events is not None}
    for given, wanted, steps in ((of_ecp5, ECP5 in arguments.steps, ECP5), (of_vendors, others, "csim, csynth, ...")):
        for option in (name for name, there in given.items() if there and not wanted):
            raise InputError(f"{option} without one of --steps {steps}", "both, or neither", f"leave {option} out")
    if arguments.seed is not None:
        require_seeds("--seed", [arguments.seed])
    run = stage.open_run(arguments.run, None)
    run.require("synthesize")
    failed = _do_vendor(run, arguments) if others else []
    try:
        if ECP5 in arguments.steps:
            _do_place(run, arguments)
    except ToolError as error:
        failed.append(error)
    for error in failed[:-1]:
        print(f"error: {error}", file=sys.stderr)
    if failed:
        raise failed[-1]


def _do_vendor(run: RunFolder, arguments: Any) -> list[ToolError]:
    """Do the vendors' steps, print and write what worked; the errors of what did not."""
    failed: list[ToolError] = []
    try:
        made = run.do("vendor", lambda run: work(run, arguments, failed))
    except ToolError as error:
        # Where no step worked, there is no record; other errors are of no step.
        if error not in failed:
            raise
        return failed
    print("\n".join(f"{row['name']} ({row['kind']}, {row['tool']}): {row['figures']}" for row in made["rows"]))
    print(run.folder / "vendor.json")
    return failed + _other_words(
        {name: made[name] for name in (*made["projects"], RTL) if name in made}, run.path("vendor")
    )


def _do_place(run: RunFolder, arguments: Any) -> None:
    """Place and route on ECP5, and print what came of it."""
    placed = run.do("place", lambda run: place(run, arguments))[_variant(arguments)]
    sites = ", ".join(f"{used:,} of {placed['available'][key]:,} {key}" for key, used in placed["used"].items())
    print(f"{placed['design']}: {sites}")
    print(f"clock {placed['achieved_mhz']:g} MHz of the asked {placed['asked_mhz']:g} MHz; {placed['how']}")
    print(f"bitstream: {placed['bitstream'] or 'none out of context'}")
    print(run.folder / "place.json")


def work(run: RunFolder, arguments: Any, failed: list[ToolError]) -> dict[str, Any]:
    """Run the vendor steps; {design: {step: its record}}, with "projects", "events" and "rows" beside the designs.

    failed: takes the errors of steps, without which the others go on. Raises the first one where no step worked, and
    ToolError where a tool is not there, before anything else is done.
    """
    before = run.stored("vendor") or {}
    events = arguments.events or before.get("events", EVENTS)
    chosen = _chosen(run, arguments, before)
    _look_for_tools(run, chosen)
    designs = _designs(run, chosen, events)
    _look_for_tools(run, chosen, designs)
    record, projects = {}, {}
    for name, _, steps in chosen:
        record[name] = _run_design(run, name, designs[name], steps, arguments, failed)
        project = designs[name].project
        projects |= {name: project} if project else {}
    if failed and not any(record.values()):
        raise failed[0]
    return {**record, "projects": projects, "events": events, "rows": _rows_of(record, projects)}


def place(run: RunFolder, arguments: Any) -> dict[str, Any]:
    """Place and route on ECP5; {"board" or "out_of_context": its record, "rows"}, what was done before included."""
    from codae_l1.hls.vendor.ecp5 import place_and_route

    def progress(done: int, total: int, text: str) -> None:
        print(f"[{done}/{total}] {text}", flush=True)

    variant, heard = _variant(arguments), None if arguments.quiet else _follow
    options = {
        "seed": 1 if arguments.seed is None else arguments.seed,
        "bitstream": not arguments.out_of_context,
        "timeout_s": arguments.timeout_s,
    }
    rtl, folder = run.path("synthesize", "rtl"), run.path("place", variant)
    placed = place_and_route(rtl, run.config.hls, folder, follow=heard, progress=progress, **options)
    before = run.stored("place") or {}
    found = {key: before[key] for key in ("board", "out_of_context") if key in before} | {variant: placed}
    rows = [
        {
            "name": f"{record['design']}, on another chip",
            "kind": "post-route",
            "tool": record["tool"],
            "figures": f"{_figures(record['used'])}, {record['achieved_mhz']:g} MHz; {record['how']}",
        }
        for record in found.values()
    ]
    return {**found, "rows": rows}


def _variant(arguments: Any) -> str:
    return "out_of_context" if arguments.out_of_context else "board"


def _follow(step: str, line: str) -> None:
    """Print a line of a running tool."""
    print(f"{step} | {line}", flush=True)


def _figures(report: dict[str, Any]) -> str:
    """A report's numbers on one line, what is available of a part left out.

    >>> _figures({"LUT": 45321, "AvailableLUT": 1728000, "WNS": -0.5, "IntervalMax": None})
    'LUT 45,321, WNS -0.5, IntervalMax -'
    """
    shown = {key: value for key, value in report.items() if not key.startswith("Available")}
    words = {k: f"{v:,}" if isinstance(v, int | float) else "-" if v is None else str(v) for k, v in shown.items()}
    return ", ".join(f"{key} {word}" for key, word in words.items())


def _chosen(run: RunFolder, arguments: Any, before: dict[str, Any]) -> list[_Chosen]:
    """The designs that are asked for, or were done before. before: the record of then."""
    asked, found = set(arguments.steps), []
    own, other = run.path("convert", "hls4ml").resolve(), arguments.project and arguments.project.resolve()
    target = other or own
    known = [Path(project["path"]) for project in before.get("projects", {}).values()]
    for project in dict.fromkeys([own, target, *known]):
        name = OWN if project == own else f"{OWN}-{hashlib.sha256(str(project).encode()).hexdigest()[:8]}"
        chosen = asked & set(HLS_STEPS) if project == target else set()
        if not chosen and not run.path("vendor", name).is_dir():
            continue
        if not chosen and not (project / "project.tcl").is_file():
            print(f"{name}: {project} is not there any more, left out", flush=True)
            continue
        found.append(_Chosen(name, project, chosen))
    chosen = asked & set(RTL_STEPS)
    return found + ([_Chosen(RTL, None, chosen)] if chosen or run.path("vendor", RTL).is_dir() else [])


def _look_for_tools(run: RunFolder, chosen: list[_Chosen], designs: dict[str, Design] | None = None) -> None:
    """Refuse tools that are not there: at first of steps that were never done; with designs, of all that are to run."""
    from codae_l1.hls.vendor.hls4ml_steps import hls4ml_steps
    from codae_l1.hls.vendor.run import check_programs

    for name, project, asked in chosen:
        steps = hls4ml_steps(project) if project else _rtl_design(run).steps
        source = designs[name].source if designs else None
        check_programs(steps, run.path("vendor", name), tuple(asked), source)


def _designs(run: RunFolder, chosen: list[_Chosen], events: int) -> dict[str, Design]:
    """Name -> design; the hls4ml projects have one testbench of `events` test events."""
    bench = _testbench(run, events) if any(project for _, project, _ in chosen) else ()
    return {name: _hls_design(project, *bench) if project else _rtl_design(run) for name, project, _ in chosen}


def _other_words(record: dict[str, Any], folder: Path) -> list[ToolError]:
    """The errors of the vendor's simulations that give other words than QKeras."""
    found = []
    for design, steps in record.items():
        for name, row in steps.items():
            different = sum(report.get("Different", 0) for report in row.values() if isinstance(report, dict))
            if different:
                received = f"{design} {name} gives other words than QKeras in {different} events"
                place = folder / design / "project" / "tb_data"
                found.append(ToolError(received, "0", f"compare the results in {place} and report it"))
    return found


def _testbench(run: RunFolder, n_events: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Counts (N, 18, 15, inputs) of test events and of random ones, QKeras' words (N, outputs), and their type."""
    from codae_l1.data.pooling import input_counts
    from codae_l1.hls.network.mismatch import adversarial_counts
    from codae_l1.quantization.f_m.config import output_word
    from codae_l1.scripts.run.events import read_split
    from codae_l1.scripts.run.executors import open_firmware

    firmware, events = open_firmware(run), read_split(run, "test", background_only=False)
    chosen = np.linspace(0, len(events) - 1, min(n_events, len(events))).astype(int)
    counts = input_counts(events.images[chosen], firmware.config.pooling)
    counts = np.concatenate([counts, adversarial_counts(firmware.config, run.config.seed, RANDOM_EVENTS)])
    return counts, firmware.predict_words(counts), output_word(firmware.config)


def _hls_design(project: Path, counts: np.ndarray, words: np.ndarray, word: Any) -> Design:
    """An hls4ml project with a testbench of counts and the words expected of them."""
    from codae_l1.hls.vendor.hls4ml_steps import (
        Expected,
        check_digits,
        hls4ml_steps,
        project_facts,
        project_source,
        vectors,
    )
    from codae_l1.hls.vendor.run import digest_of

    source, facts = project_source(project), project_facts(project)
    steps = hls4ml_steps(project, Expected(words, word))
    check_digits(source, word)
    known = {"path": str(project), "backend": facts.backend, "part": facts.part, "digest": digest_of(source)}
    return Design(steps, source | vectors(counts, words, word), known)


def _rtl_design(run: RunFolder) -> Design:
    """The steps of the RTL and its files."""
    from codae_l1.hls.vendor.run import rtl_source, rtl_steps

    source = rtl_source(run.path("synthesize", "rtl"))
    return Design(rtl_steps(list(source), run.config.hls), source)


def _run_design(
    run: RunFolder, name: str, design: Design, asked: set[str], arguments: Any, failed: list[ToolError]
) -> dict[str, Any]:
    """Do the steps asked for of one design, following them on standard output; the record of all that are done."""
    from codae_l1.hls.vendor.run import run_steps

    chosen = tuple(step.name for step in design.steps if step.name in asked)

    def progress(done: int, total: int, text: str) -> None:
        print(f"{name} [{done}/{total}] {text}", flush=True)

    heard, work = None if arguments.quiet else _follow, run.path("vendor", name)
    errors: dict[str, ToolError] = {}
    options = {"follow": heard, "progress": progress, "limit": "--timeout-s", "failed": errors}
    found = run_steps(design.steps, design.source, work, chosen, arguments.timeout_s, **options)
    failed += [
        ToolError(f"{name} {step}: {error.received}", error.expected, error.remedy) for step, error in errors.items()
    ]
    kept = ("program", "seconds", "log")
    return {
        step: {"kind": KINDS[step], **{key: content[key] for key in kept}, **content["found"]}
        for step, content in found.items()
    }


def _rows_of(record: dict[str, Any], projects: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """What the report shows of a record: rows {name, kind, tool, figures}; another project is named as what it is."""

    def title(design: str, step: str) -> str:
        if design in (OWN, RTL):
            return f"{design} {step}"
        of = projects[design]
        return f"{OWN} {step}, of the project {of['path']} ({of['backend']}, {of['part']}, {of['digest'][:8]})"

    return [
        {
            "name": title(design, step),
            "kind": row["kind"],
            "tool": " ".join([FIGURES_BY.get(step, Path(row["program"]).name), row.get("version", "")]).strip(),
            "figures": "; ".join(_figures(report) for report in row.values() if isinstance(report, dict)),
        }
        for design, steps in record.items()
        for step, row in steps.items()
    ]


if __name__ == "__main__":
    cli.run(command)
