"""Every backend, io_type and strategy with a run's firmware: made, compiled, equal to QKeras, or why not.

    python scripts/backends.py --run runs/demo --out runs/demo/backends

Writes a project folder each, backends.json and the table backends.md. Called again, it goes on with what is missing or
was made from another config, other weights, inputs or code. A combination that hls4ml cannot do is in the table with
the reason that `codae_l1.hls.hls4ml.check` gives; events that differ end the command with status 1.
"""

import argparse
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_json, whole_file, write_json
from codae_l1.scripts.project import (
    RTL,
    configuration,
    fail_where_different,
    firmware_and_inputs,
    make,
    outside_stages,
    reuse_factors,
)
from codae_l1.scripts.run import cli, stage


def command() -> None:
    """Parse the arguments, make all projects, write the table."""
    from codae_l1.hls.target.config import BackendName, IoType, Strategy

    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with the stage quantize done")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--backends", nargs="+", choices=(*BackendName.__args__, *RTL))
    parser.add_argument("--io", nargs="+", choices=IoType.__args__, default=list(IoType.__args__))
    parser.add_argument("--strategies", nargs="+", choices=Strategy.__args__, default=list(Strategy.__args__))
    parser.add_argument("--reuse", default="3", help="reuse factor of strategy resource; of the others it is 1")
    parser.add_argument("--events", type=int, default=300, help="test events to compare")
    arguments = parser.parse_args()
    if arguments.events < 1:
        raise InputError(f"--events {arguments.events}", "a number >= 1", "correct it")
    if reuse_factors([arguments.reuse]).get("reuse_factor", 0) < 1:
        raise InputError(f"--reuse {arguments.reuse}", "a whole number >= 1, of all layers", "correct it")
    run = stage.open_run(arguments.run, None)
    cli.import_tensorflow()
    outside_stages(run, arguments.out)

    from codae_l1.scripts.run.folder import stamp

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
            out = arguments.out / f"{backend}-{io_type}-{strategy}-{reuse[0]}"
            rows.append(one(run.config.hls, firmware, inputs, given, out, stamp(run.config.seed)))
            content = {"rows": rows, "stamp": stamp(run.config.seed), "inputs": len(inputs)}
            write_json(arguments.out / "backends.json", content)
    with whole_file(arguments.out / "backends.md") as temporary:
        temporary.write_text(table(rows) + "\n")
    print(table(rows), flush=True)
    fail_where_different([{"comparison": row} for row in rows])


def one(
    base: Any, firmware: Any, inputs: np.ndarray, given: dict[str, Any], out: Path, stamp: dict[str, Any]
) -> dict[str, Any]:
    """One combination: its row of the table; what `out` holds is not made again where it was made from the same."""
    nothing = dict.fromkeys(("part", "clock", "parallel_pixels"))
    row = {**given, "reuse": int(given["reuse"][0]), "made": False, "compiled": False, "says": []}
    row |= {"compared": 0, "different": None, "stamp": stamp}
    try:
        config, language = configuration(argparse.Namespace(**given, **nothing), base)
        file = out / ("design.json" if language else "project.json")
        record = read_json(file) if file.is_file() else {}
        inputs_now = made_from(config, language, firmware, inputs)
        if record.get("made_from") != inputs_now or "comparison" not in record:
            record = make(firmware, config, language, out, inputs)
            record |= {"made_from": inputs_now, "stamp": stamp}
            write_json(file, record)
    except (InputError, ToolError) as error:
        return {**row, "says": [str(error)]}
    comparison = record["comparison"] or {}
    says = [record["not_compiled"]] if record["not_compiled"] else list(record.get("differences", []))
    if comparison.get("different"):
        says.append(record["agreement"])
    return {
        **row,
        "stamp": record["stamp"],
        "made": True,
        "compiled": comparison != {},
        "compared": comparison.get("compared", 0),
        "different": comparison.get("different"),
        "says": says,
        # The RTL pipelines take an event every clock.
        "interval_cycles_forecast": 1 if language else record["forecast"]["interval_cycles_forecast"],
    }


def made_from(config: Any, language: str, firmware: Any, inputs: np.ndarray) -> str:
    """SHA-256 of all that a project and its comparison depend on."""
    from codae_l1.data.base.keep import without_speed
    from codae_l1.scripts.run.folder import versions
    from codae_l1.scripts.run.stages import code_of

    asked = without_speed(dump(config))
    parts = [
        asked,
        language,
        dump(firmware.config),
        versions(),
        code_of("codae_l1.scripts.project"),
        list(inputs.shape),
    ]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for array in (*firmware.model.get_weights(), inputs):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


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
