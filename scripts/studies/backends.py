"""Every backend, io_type and strategy with a run's firmware: made, compiled, equal to QKeras, or why not.

OUT/<backend>-<io>-<strategy>-<reuse>/project is a project; backends.json and backends.md hold the table. Called again,
it goes on with what is missing or was made from another config, other weights, inputs or code. A combination that
hls4ml cannot do is in the table with the reason that `codae_l1.hls.hls4ml.check` gives.
"""

import hashlib
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import whole_file, write_json
from codae_l1.data.base.keep import keep, without_speed
from codae_l1.hls.target.config import BackendName, HlsConfig, IoType, Strategy
from codae_l1.quantization.f_m.network import FirmwareModel
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.folder import stamp, versions
from codae_l1.scripts.run.run import Run
from codae_l1.scripts.run.stages import code_of
from codae_l1.scripts.run.tables import markdown_table
from codae_l1.scripts.studies.projects import RTL, Choice, configuration, firmware_and_inputs, make_project

_TITLES = ("backend", "io_type", "strategy", "reuse", "made", "compiled here", "events that differ", "remarks")


class _NotMade(Exception):
    """A project that cannot be made, and why."""


@dataclass(frozen=True)
class Combinations:
    """Which combinations the table holds. reuse: factor of the strategy resource; of the others it is 1."""

    backends: Sequence[str] = (*BackendName.__args__, *RTL)
    io: Sequence[str] = IoType.__args__
    strategies: Sequence[str] = Strategy.__args__
    reuse: int = 3

    def choices(self) -> list[Choice]:
        """One per project; the RTL pipelines have one each."""
        hls = itertools.product([b for b in self.backends if b not in RTL], self.io, self.strategies)
        rtl = ((backend, "io_parallel", "distributed_arithmetic") for backend in self.backends if backend in RTL)
        return [Choice(b, io, s, (str(self.reuse) if s == "resource" else "1",)) for b, io, s in (*hls, *rtl)]


def tabulate_backends(run: Run, combinations: Combinations, out: Path, n_events: int) -> list[dict[str, Any]]:
    """Make and compare the projects on n_events test events, write and print the table; returns its rows."""
    firmware, inputs = firmware_and_inputs(run, n_events)
    choices, rows = combinations.choices(), []
    with cli.Progress("backends") as progress:
        for done, choice in enumerate(choices):
            progress(done, len(choices), f"{choice.backend} {choice.io} {choice.strategy}")
            folder = out / f"{choice.backend}-{choice.io}-{choice.strategy}-{choice.reuse[0]}"
            rows.append(_backend_row(run.config.hls, firmware, inputs, choice, folder, stamp(run.config.seed)))
            content = {"rows": rows, "stamp": stamp(run.config.seed), "inputs": len(inputs)}
            write_json(out / "backends.json", content)
    with whole_file(out / "backends.md") as temporary:
        temporary.write_text(_backends_table(rows) + "\n")
    print(_backends_table(rows), flush=True)
    return rows


def _backend_row(
    base: HlsConfig, firmware: FirmwareModel, inputs: np.ndarray, choice: Choice, folder: Path, stamp: dict[str, Any]
) -> dict[str, Any]:
    """One row of the table; a project in `folder` that was made from the same is not made again."""
    asked = {"backend": choice.backend, "io": choice.io, "strategy": choice.strategy, "reuse": int(choice.reuse[0])}
    missing: dict[str, Any] = {**asked, "made": False, "compiled": False, "compared": 0, "different": None}
    missing["stamp"] = stamp
    try:
        config, language = configuration(choice, base)
    except InputError as error:
        return {**missing, "says": [str(error)]}

    def make(folder: Path) -> dict[str, Any]:
        try:
            made = make_project(firmware, config, language, folder / "project", inputs)
            return {**made, "stamp": stamp, "lacked": _lacking() if made["not_compiled"] else []}
        except (InputError, ToolError) as error:
            raise _NotMade(str(error)) from error

    try:
        of = _inputs(config, language, firmware, inputs)
        record = keep(folder, of, make)
        if {*record["lacked"]} - {*_lacking()}:
            # What the project was not compiled for want of has been installed.
            (folder / "result.json").unlink()
            record = keep(folder, of, make)
        return asked | _facts(record, language)
    except _NotMade as error:
        return {**missing, "says": [str(error)]}


def _lacking() -> list[str]:
    """The simulators that are not on PATH, of those that not every machine has."""
    return [name for name in ("ghdl", "shls") if not shutil.which(name)]


def _facts(record: dict[str, Any], language: str) -> dict[str, Any]:
    """What a row says of a project that was made."""
    comparison = record["comparison"] or {}
    says = [record["not_compiled"]] if record["not_compiled"] else list(record.get("differences", []))
    if comparison.get("different"):
        says.append(record["agreement"])
    return {
        "made": True,
        "compiled": comparison != {},
        "compared": comparison.get("compared", 0),
        "different": comparison.get("different"),
        "stamp": record["stamp"],
        "says": says,
        # The RTL pipelines take an event every clock.
        "interval_cycles_forecast": 1 if language else record["forecast"]["interval_cycles_forecast"],
    }


def _backends_table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = []
    for row in rows:
        agrees = f"{row['different']} of {row['compared']}" if row["compiled"] else ""
        marks = ["yes" if row[key] else "no" for key in ("made", "compiled")]
        remarks = " ".join(row["says"]).replace("|", "/")
        lines.append([row["backend"], row["io"], row["strategy"], row["reuse"], *marks, agrees, remarks])
    return markdown_table(_TITLES, lines)


def _inputs(config: HlsConfig, language: str, firmware: FirmwareModel, inputs: np.ndarray) -> dict[str, Any]:
    """All that a project and its comparison depend on."""
    arrays = hashlib.sha256()
    for array in (*firmware.model.get_weights(), inputs):
        arrays.update(np.ascontiguousarray(array).tobytes())
    return {
        "hls": without_speed(dump(config)),
        "language": language,
        "firmware": dump(firmware.config),
        "arrays": arrays.hexdigest(),
        "shape": list(inputs.shape),
        "versions": versions(),
        "code": code_of("codae_l1.scripts.studies.backends"),
    }
