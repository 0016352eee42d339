"""What commands beside the chain found of a run's firmware (vendor tools, place and route), for its report.

Each writes one JSON into the run folder; it says of which design it speaks, the synthesize stage's inputs, so that the
report shows it only beside that design. Writing takes the report's JSON away: the next report shows it.
"""

from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json

# Where the commands write, in the run folder.
VENDOR, BOARD, OUT_OF_CONTEXT = "vendor/vendor.json", "place/board.json", "place/out_of_context.json"
# What a row holds.
ROW = ("name", "kind", "tool", "figures")


def follow(step: str, line: str) -> None:
    """Print a line of a running tool."""
    print(f"{step} | {line}", flush=True)


def write(run: Any, name: str, content: dict[str, Any], rows: list[dict[str, str]]) -> Path:
    """Write one of the files; rows: what the report shows of it, keys `ROW`."""
    from codae_l1.scripts.run.folder import stamp

    design = run.read("synthesize")["stamp"]["inputs"]
    write_json(run.path(name), {**content, "rows": rows, "design": design, "stamp": stamp(run.config.seed)})
    run.path("report.json").unlink(missing_ok=True)
    return run.path(name)


def read(run: Any, name: str) -> dict[str, Any] | None:
    """What one of the files holds, None where it is not there; InputError where it is of another layout."""
    file = run.path(name)
    if not file.is_file():
        return None
    content = read_json(file)
    rows = content.get("rows") if isinstance(content, dict) else None
    whole = isinstance(rows, list) and all(isinstance(row, dict) and set(ROW) <= set(row) for row in rows)
    if not whole or "design" not in content:
        raise InputError(
            f"{file} is of another layout",
            f"a design and its rows of {', '.join(ROW)}",
            "remove it, and run the command that writes it again",
        )
    return content


def rows(run: Any) -> list[dict[str, str]]:
    """The rows of all files that speak of the run's design of now."""
    design = run.read("synthesize")["stamp"]["inputs"]
    found = [read(run, name) for name in (VENDOR, BOARD, OUT_OF_CONTEXT)]
    return [row for content in found if content and content["design"] == design for row in content["rows"]]


def figures(report: dict[str, Any]) -> str:
    """A report's numbers on one line, what is available of a part left out.

    >>> figures({"LUT": 45321, "AvailableLUT": 1728000, "WNS": -0.5, "IntervalMax": None})
    'LUT 45,321, WNS -0.5, IntervalMax -'
    """
    shown = {key: value for key, value in report.items() if not key.startswith("Available")}
    words = {k: f"{v:,}" if isinstance(v, int | float) else "-" if v is None else str(v) for k, v in shown.items()}
    return ", ".join(f"{key} {word}" for key, word in words.items())
