"""Every backend, io_type and strategy with a run's firmware: made, compiled, equal to QKeras, or why not.

    python scripts/backends.py --run runs/demo --out runs/demo/backends

Writes a project folder each, backends.json and the table backends.md. Killed, it goes on with what is missing; a
combination that hls4ml cannot do is in the table with the reason that `codae_l1.hls.project_check` gives.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

from codae_l1.data.artifact import read_json, whole_file, write_json
from codae_l1.data.errors import InputError, ToolError
from codae_l1.scripts import cli, stage
from codae_l1.scripts.project import RTL, configuration, firmware_and_inputs, make


def command() -> None:
    """Parse the arguments, make all projects, write the table."""
    from codae_l1.hls.config import BackendName, IoType, Strategy

    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with the stage quantize done")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--backends", nargs="+", choices=(*BackendName.__args__, *RTL))
    parser.add_argument("--io", nargs="+", choices=IoType.__args__, default=list(IoType.__args__))
    parser.add_argument("--strategies", nargs="+", choices=Strategy.__args__, default=list(Strategy.__args__))
    parser.add_argument("--reuse", default="3", help="reuse factor of strategy resource; of the others it is 1")
    parser.add_argument("--events", type=int, default=300, help="test events to compare")
    arguments = parser.parse_args()
    run = stage.open_run(arguments.run, None)

    from codae_l1.scripts.run_folder import stamp

    firmware, inputs = firmware_and_inputs(run, arguments.events)
    wanted = arguments.backends or [*BackendName.__args__, *RTL]
    hls = itertools.product([b for b in wanted if b not in RTL], arguments.io, arguments.strategies)
    combinations = [*hls, *((b, "io_parallel", "distributed_arithmetic") for b in wanted if b in RTL)]
    rows = []
    with cli.Progress("backends") as progress:
        for done, (backend, io_type, strategy) in enumerate(combinations):
            progress(done, len(combinations), f"{backend} {io_type} {strategy}")
            reuse = [arguments.reuse] if strategy == "resource" else ["1"]
            given = {"backend": backend, "io": io_type, "strategy": strategy, "reuse": reuse}
            row = one(run.config.hls, firmware, inputs, given, arguments.out / f"{backend}-{io_type}-{strategy}")
            rows.append(row)
            content = {"rows": rows, "stamp": stamp(run.config.seed), "inputs": len(inputs)}
            write_json(arguments.out / "backends.json", content)
    with whole_file(arguments.out / "backends.md") as temporary:
        temporary.write_text(table(rows) + "\n")
    print(table(rows))


def one(base: Any, firmware: Any, inputs: Any, given: dict[str, Any], out: Path) -> dict[str, Any]:
    """One combination: its row of the table; what is in `out` already is not made again."""
    nothing = dict.fromkeys(("part", "clock", "parallel_pixels"))
    row = {**given, "reuse": int(given["reuse"][0]), "made": False, "compiled": False, "says": []}
    row |= {"compared": 0, "different": None}
    try:
        config, language = configuration(argparse.Namespace(**given, **nothing), base)
        file = out / ("design.json" if language else "project.json")
        record = read_json(file) if file.is_file() else {}
        if "comparison" not in record:
            record = make(firmware, config, language, out, inputs)
            write_json(file, record)
    except (InputError, ToolError) as error:
        return {**row, "says": [str(error)]}
    comparison = record["comparison"] or {}
    says = [record["not_compiled"]] if record["not_compiled"] else record.get("differences", [])
    return {
        **row,
        "made": True,
        "compiled": comparison != {},
        "compared": comparison.get("compared", 0),
        "different": comparison.get("different"),
        "says": says,
        "clocks": record.get("forecast", {}).get("interval_cycles", 1),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, a row a combination."""
    titles = ("backend", "io_type", "strategy", "reuse", "made", "compiled here", "events that differ", "remarks")
    lines = [titles, ["---"] * len(titles)]
    for row in rows:
        agrees = f"{row['different']} of {row['compared']}" if row["compiled"] else ""
        marks = ["yes" if row[key] else "no" for key in ("made", "compiled")]
        cells = [row["backend"], row["io"], row["strategy"], str(row["reuse"]), *marks, agrees]
        lines.append([*cells, " ".join(row["says"]).replace("|", "/")])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    cli.run(command)
