"""Vivado where it is on PATH: the same Verilog that Yosys maps, synthesised out of context, its reports as numbers.

Synthesis only: the LUT count is before LUTs are combined and placed, the slack before anything is routed.
Vivado counts block RAM in tiles of 36 kbit; hls4ml's key BRAM_18K holds 18-kbit blocks here, two a tile.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codae_l1.data.errors import InputError, ToolError
from codae_l1.hls.config import HlsConfig
from codae_l1.hls.folders import writing
from codae_l1.hls.parts import part
from codae_l1.hls.rtl import TOP
from codae_l1.hls.tools import run_tool

COMMAND = ("vivado", "-mode", "batch", "-nojournal", "-nolog", "-notrace", "-source", "synthesis.tcl")
# Files in the folder vivado/ of the RTL.
_SCRIPT, _CLOCK, _LOG = "synthesis.tcl", "clock.xdc", "vivado.log"
_UTILIZATION, _TIMING = "utilization.rpt", "timing.rpt"
# hls4ml's key -> the row of the utilization report, UltraScale+ and 7-series.
_ROWS = {
    "LUT": ("CLB LUTs", "Slice LUTs"),
    "FF": ("CLB Registers", "Slice Registers"),
    "Block RAM tiles": ("Block RAM Tile",),
    "URAM": ("URAM",),
    "DSP48E": ("DSPs",),
}


@dataclass(frozen=True)
class VivadoSynthesis:
    """Vivado's out-of-context synthesis. bram_18k: blocks of 18 kbit. wns_ns: worst slack at the asked clock [ns]."""

    version: str
    lut: int
    ff: int
    bram_18k: int
    uram: int
    dsp48e: int
    wns_ns: float

    @property
    def report(self) -> dict[str, int]:
        """The figures under hls4ml's keys of VivadoSynthReport, as numbers.

        >>> VivadoSynthesis("2023.2", 10, 20, 1, 0, 0, 0.5).report
        {'LUT': 10, 'FF': 20, 'BRAM_18K': 1, 'URAM': 0, 'DSP48E': 0}
        """
        return {"LUT": self.lut, "FF": self.ff, "BRAM_18K": self.bram_18k, "URAM": self.uram, "DSP48E": self.dsp48e}


def synthesize_with_vivado(rtl: Path | str, config: HlsConfig) -> VivadoSynthesis:
    """Synthesise a `build_rtl` folder in its folder vivado/, reports and log kept there.

    Raises ToolError where Vivado fails, takes longer than config.tool_timeout_s or leaves a figure out.
    """
    rtl = Path(rtl)
    folder = rtl / "vivado"
    reports = folder / _UTILIZATION, folder / _TIMING
    with writing(folder):
        folder.mkdir(exist_ok=True)
        (folder / _SCRIPT).write_text(script(rtl, config))
        (folder / _CLOCK).write_text(f"create_clock -name clk -period {config.clock_period_ns:g} [get_ports clk]\n")
        run_tool(COMMAND, folder, folder / _LOG, config.tool_timeout_s, reports)
    return read_reports(*reports, has_uram=part(config.part).uram > 0)


def script(rtl: Path, config: HlsConfig) -> str:
    """The Tcl that synthesises the pipeline (not the simulation's wrapper) and writes both reports."""
    source = rtl / "src"
    files = [path for path in sorted(source.glob("*.v")) if path.stem != f"{TOP}_wrapper"]
    if source / f"{TOP}.v" not in files:
        raise InputError(f"{source / TOP}.v does not exist", "the Verilog of a finished RTL folder", "build it first")
    # Tcl takes a name in braces as it stands.
    verilog = [f"read_verilog {{../src/{path.name}}}" for path in files]
    verilog += [f"read_verilog {{../src/static/{path.name}}}" for path in sorted((source / "static").glob("*.v"))]
    memories = [f"read_mem {{../src/memfiles/{path.name}}}" for path in sorted((source / "memfiles").glob("*.mem"))]
    lines = [
        f"set_param general.maxThreads {min(config.jobs, 8)}",
        f"set_part {config.part}",
        *verilog,
        *memories,
        f"read_xdc -mode out_of_context {_CLOCK}",
        f"synth_design -top {TOP} -part {config.part} -mode out_of_context",
        f"report_utilization -file {_UTILIZATION}",
        f"report_timing_summary -file {_TIMING}",
    ]
    return "\n".join(lines) + "\n"


def read_reports(utilization: Path, timing: Path, has_uram: bool = True) -> VivadoSynthesis:
    """The two reports -> numbers; ToolError names a figure that is missing. A part without URAM has no row of it."""
    text = utilization.read_text(errors="replace")
    used = parse_utilization(text)
    if not has_uram:
        used.setdefault("URAM", 0.0)
    for key in _ROWS:
        if key not in used:
            raise _missing(key, utilization, f"row {' or '.join(_ROWS[key])}, column Used")
    slack = parse_slack(timing.read_text(errors="replace"))
    if slack is None:
        raise _missing("WNS", timing, "a number under WNS(ns) of the Design Timing Summary")
    version = re.search(r"Vivado v\.?(\S+)", text)
    return VivadoSynthesis(
        version=version.group(1) if version else "of unknown version",
        lut=math.ceil(used["LUT"]),
        ff=math.ceil(used["FF"]),
        bram_18k=round(2 * used["Block RAM tiles"]),
        uram=round(used["URAM"]),
        dsp48e=round(used["DSP48E"]),
        wns_ns=slack,
    )


def parse_utilization(text: str) -> dict[str, float]:
    """Text of report_utilization -> {key of `_ROWS`: number used}, the first row of each name; rows not there left out.

    >>> parse_utilization("| Site Type | Used | Fixed |\\n| CLB LUTs* | 1,234 | 0 |\\n| Block RAM Tile | 0.5 | 0 |")
    {'LUT': 1234.0, 'Block RAM tiles': 0.5}
    """
    names = {name: key for key, rows in _ROWS.items() for name in rows}
    found: dict[str, float] = {}
    for name, cell in _used_cells(text):
        # A star refers to a footnote.
        key, number = names.get(name.rstrip("*")), cell.replace(",", "")
        if key and key not in found and re.fullmatch(r"\d+(\.\d+)?", number):
            found[key] = float(number)
    return found


def parse_slack(text: str) -> float | None:
    """Worst slack [ns] of the Design Timing Summary; None where there is none (no table, or NA: no constrained path).

    >>> parse_slack("| Design Timing Summary\\n  WNS(ns)  TNS(ns)\\n  -------  -------\\n   -0.250   -1.500\\n")
    -0.25
    """
    _, _, table = text.partition("| Design Timing Summary")
    match = re.search(r"WNS\(ns\).*\n[\s-]*\n\s*(-?\d+\.\d+)\s", table)
    return float(match.group(1)) if match else None


def _used_cells(text: str) -> Iterator[tuple[str, str]]:
    """(name, content of the column Used) of every row of the tables of sites."""
    column = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.strip().startswith("|") or len(cells) < 2:
            continue
        if cells[0] in ("Site Type", "Ref Name"):
            column = cells.index("Used") if cells[0] == "Site Type" and "Used" in cells else None
        elif column is not None and column < len(cells):
            yield cells[0], cells[column]


def _missing(figure: str, path: Path, expected: str) -> ToolError:
    return ToolError(f"the report of vivado, {path}, has no {figure}", expected, "read the report and vivado's log")


def rows(found: VivadoSynthesis, config: HlsConfig, opened: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Beside the report of `codae_l1.hls.synthesis.synthesize`: rows {name, open, vendor, tool, kind}."""
    ours = opened["CSynthesisReport"] if opened else {}
    vendor = {
        "LUT": found.lut,
        "FF": found.ff,
        "DSP": found.dsp48e,
        "BRAM_18K": found.bram_18k,
        "URAM": found.uram,
        "clock period [ns]": round(config.clock_period_ns - found.wns_ns, 3),
        "slack WNS [ns]": found.wns_ns,
    }
    ours = {**ours, "clock period [ns]": ours.get("EstimatedClockPeriod")}
    label = {"tool": f"vivado {found.version}, the RTL", "kind": "synthesis"}
    return [{"name": name, "open": ours.get(name), "vendor": value, **label} for name, value in vendor.items()]
