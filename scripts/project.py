"""One HLS or RTL project of a run's firmware, its effective configuration, and whether its words are QKeras's.

    python scripts/project.py --run runs/demo --backend Vivado --io io_stream --strategy resource --reuse 3 --out DIR

--backend: an hls4ml backend, or Verilog or VHDL for the multiplier-free pipeline of da4ml. Known failures are said
before anything is converted. Where the emulation can be compiled here it is compared with QKeras, word for word, on
test events and on inputs that make words overflow; events that differ end it with status 1. All that is printed is in
DIR/project.json (of RTL: design.json).

    python scripts/project.py --run runs/demo --all --out runs/demo/backends

--all does this for every backend, io_type and strategy (or for those that --backends, --io and --strategies name), a
folder of DIR each, and writes the tables DIR/backends.json and DIR/backends.md. What cannot be made is in the table
with the reason. Called again, it goes on with what is missing or was made from other inputs.
"""

from argparse import Namespace
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import replaceable, write_json
from codae_l1.hls.hls4ml.effective import effective_table
from codae_l1.hls.hls4ml.project import MARKS
from codae_l1.hls.target.config import BackendName, IoType, Strategy
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.folder import stamp
from codae_l1.scripts.run.options import Companions
from codae_l1.scripts.run.run import Run
from codae_l1.scripts.studies.backends import Combinations, tabulate_backends
from codae_l1.scripts.studies.projects import (
    RTL,
    Choice,
    configuration,
    fail_where_different,
    firmware_and_inputs,
    make_project,
    outside_stages,
    reuse_factors,
)


def command() -> None:
    """Parse the arguments, make the project or all of them, print what came of it."""
    arguments = _parse()
    if arguments.events < 1:
        raise InputError(f"--events {arguments.events}", "a number >= 1", "correct it")
    if arguments.all:
        combinations, run = _combinations(arguments), _open(arguments)
        cli.output("--out", arguments.out, "folder of projects")
        rows = tabulate_backends(run, combinations, arguments.out, arguments.events)
        fail_where_different([{"comparison": row} for row in rows])
        return
    if len(arguments.io or []) > 1:
        raise InputError(
            f"--io {' '.join(arguments.io)}", "one io_type, or several with --all", "choose one, or add --all"
        )
    replaceable(arguments.out, MARKS)
    cli.output("--out", arguments.out, "folder")
    _make_one(_open(arguments), arguments)


def _parse() -> Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with the stage quantize done")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; a project there is replaced")
    parser.add_argument("--io", nargs="+", choices=IoType.__args__, help="default: the run's hls.io_type; all of --all")
    parser.add_argument(
        "--reuse", nargs="+", default=[], metavar="N", help="reuse factor; LAYER=N for a layer's own; 3 of --all"
    )
    parser.add_argument("--events", type=int, default=300, help="test events to compare")
    parser.add_argument("--all", action="store_true", help="make every combination, write their table")
    one, table = Companions(parser, "--all", present=False), Companions(parser, "--all")
    one.add("--backend", "default: the run's hls.backend", choices=(*BackendName.__args__, *RTL))
    one.add("--strategy", "default: the run's hls.strategy", choices=Strategy.__args__)
    one.add("--parallel-pixels", "pixels of a convolution at once, 0 for all", type=int)
    one.add("--part", "default: the run's, or what hls4ml names for another vendor's backend")
    one.add("--clock", "clock period in ns (default: the run's)", type=float)
    one.add("--namespace", "VHDL: first part of every entity's name (default: da4ml's names)")
    backends = Combinations.backends
    table.add("--backends", "backends of the table", backends, nargs="+", choices=backends)
    table.add("--strategies", "strategies of the table", Strategy.__args__, nargs="+", choices=Strategy.__args__)
    arguments = parser.parse_args()
    one.settle(arguments)
    table.settle(arguments)
    return arguments


def _combinations(arguments: Namespace) -> Combinations:
    """What --all is asked for; the reuse factor is that of the strategy resource."""
    words = arguments.reuse or [str(Combinations.reuse)]
    reuse = reuse_factors(words[:1]).get("reuse_factor", 0)
    if len(words) > 1 or reuse < 1:
        raise InputError(f"--reuse {' '.join(words)}", "a whole number >= 1, of all layers", "correct it")
    return Combinations(arguments.backends, arguments.io or IoType.__args__, arguments.strategies, reuse)


def _open(arguments: Namespace) -> Run:
    run = stage.open_run(arguments.run, None)
    outside_stages(run, arguments.out)
    cli.import_tensorflow()
    return run


def _make_one(run: Run, arguments: Namespace) -> None:
    (io,) = arguments.io or [None]
    choice = Choice(
        arguments.backend,
        io,
        arguments.strategy,
        tuple(arguments.reuse),
        arguments.parallel_pixels,
        arguments.part,
        arguments.clock,
        arguments.namespace,
    )
    config, language = configuration(choice, run.config.hls)
    firmware, inputs = firmware_and_inputs(run, arguments.events)
    with cli.Progress("project") as progress:
        name = arguments.namespace or ""
        record = make_project(firmware, config, language, arguments.out, inputs, progress, name)
    file = arguments.out / ("design.json" if language else "project.json")
    write_json(file, {**record, "stamp": stamp(run.config.seed)})
    print(_text(record))
    print(file, flush=True)
    fail_where_different([record])


def _text(record: dict[str, Any]) -> str:
    """What a reader wants to know of a project."""
    if "language" in record:
        head = (
            f"{record['tool']}, {record['language']}: {record['operations']:,} operations in {record['stages']} stages"
        )
        lines = [head, f"{record['part']}, {record['clock_period_ns']:g} ns, a new event every clock"]
        if "probes" in record:
            names = record["probes"]
            lines.append(f"layers that the simulation can show: {names if names == 'none' else ', '.join(names)}")
    else:
        lines = [effective_table(record)]
        cost = record["forecast"]
        clocks = (
            f"an event in {cost['latency_cycles_forecast']:,} clocks or more, the next one after "
            f"{cost['interval_cycles_forecast']:,}"
            if cost["interval_cycles_forecast"]
            else f"no clocks, for the loops of {record['backend']} are not known"
        )
        lines.append(f"forecast, no synthesis: {cost['multiplications']:,} multipliers, {clocks}")
    return "\n".join([*lines, record["not_compiled"] or record["agreement"]])


if __name__ == "__main__":
    cli.run(command)
