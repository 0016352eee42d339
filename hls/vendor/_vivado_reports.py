"""Reports of Vivado: text in, typed record out; what is missing is named as in `codae_l1.hls.vendor._reports`."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from codae_l1.hls.vendor._reports import POSITIVE, SLACK, WHOLE, Number, Source, Subject, to_number

# Figure -> rows of Vivado's utilisation report: UltraScale+, 7-series, Versal. Of a placed Versal design, only the
# table of the distribution may have the registers, under UltraScale+'s name.
_SITES = {
    "LUT": ("CLB LUTs", "Slice LUTs"),
    "LUT as Logic": ("LUT as Logic",),
    "LUT as Memory": ("LUT as Memory",),
    "FF": ("CLB Registers", "Slice Registers", "Registers"),
    "Block RAM tiles": ("Block RAM Tile",),
    "RAMB36": ("RAMB36/FIFO", "RAMB36E5"),
    "RAMB18": ("RAMB18", "RAMB18E5"),
    "URAM": ("URAM",),
    "DSP48E": ("DSPs", "DSP Slices"),
}
# Rows that are there only where some LUT is a memory.
_MEMORIES = {"LUTRAM": ("LUT as Distributed RAM",), "SRL": ("LUT as Shift Register",)}
# hls4ml's key of ImplementationReport -> figure, and the one whose available sites it shares.
_IMPLEMENTATION = {
    "TotLUTs": ("LUT", "LUT"),
    "LogicLUTs": ("LUT as Logic", "LUT as Logic"),
    "LUTRAMs": ("LUTRAM", "LUT as Memory"),
    "SRLs": ("SRL", "LUT as Memory"),
    "FFs": ("FF", "FF"),
    "RAMB36s": ("RAMB36", "RAMB36"),
    "RAMB18s": ("RAMB18", "RAMB18"),
    "URAMs": ("URAM", "URAM"),
    "DSPs": ("DSP48E", "DSP48E"),
}
# Columns of Vivado's Design Timing Summary, in order.
_TIMING = (
    *("WNS", "TNS", "TNS Failing Endpoints", "TNS Total Endpoints"),
    *("WHS", "THS", "THS Failing Endpoints", "THS Total Endpoints"),
    *("WPWS", "TPWS", "TPWS Failing Endpoints", "TPWS Total Endpoints"),
)


@dataclass(frozen=True)
class Utilization:
    """Vivado's count of sites: used and available, keys of `_SITES`, LUTRAM and SRL; 7-series parts have no URAM."""

    version: str
    state: str
    subject: Subject
    used: dict[str, float]
    available: dict[str, int]

    @property
    def report(self) -> dict[str, int]:
        """hls4ml's keys of VivadoSynthReport; BRAM_18K in blocks of 18 kbit, two a tile."""
        used = {key: math.ceil(self.used[key]) for key in ("LUT", "FF", "URAM", "DSP48E")}
        return {**used, "BRAM_18K": round(2 * self.used["Block RAM tiles"])}

    @property
    def implementation(self) -> dict[str, Number]:
        """hls4ml's keys of ImplementationReport: counts, and their fraction of the part in %."""
        found: dict[str, Number] = {}
        for key, (used, available) in _IMPLEMENTATION.items():
            found[key] = math.ceil(self.used[used])
            found[f"{key}%"] = round(100 * self.used[used] / (self.available.get(available) or 1), 2)
        return found


@dataclass(frozen=True)
class Timing:
    """Vivado's Design Timing Summary [ns]; hold and pulse width are None where it says NA."""

    subject: Subject
    slack: dict[str, float | None]

    @property
    def met(self) -> bool:
        """Whether no slack is below zero."""
        return all(value is None or value >= 0 for value in self.report.values())

    @property
    def report(self) -> dict[str, float | None]:
        """hls4ml's keys of TimingReport."""
        return {key: self.slack[key] for key in ("WNS", "TNS", "WHS", "THS", "WPWS", "TPWS")}


def parse_utilization(text: str, source: Source, has_uram: bool = True) -> Utilization:
    """Text of report_utilization -> record. has_uram: whether the part has URAM; one without has no row of it."""
    used: dict[str, float] = {}
    available: dict[str, int] = {}
    rows = {name: key for key, names in (_SITES | _MEMORIES).items() for name in names}
    for name, columns in _site_rows(text):
        # A star refers to a footnote; a kind of memory has no sites of its own.
        key = rows.get(name.rstrip("*"))
        cells = [columns.get("Used", ""), "0" if key in _MEMORIES else columns.get("Available", "")]
        # A block RAM of 18 kbit is half a tile.
        form = POSITIVE if key == "Block RAM tiles" else WHOLE
        if key and key not in used and form.fullmatch(cells[0]) and WHOLE.fullmatch(cells[1]):
            used[key], available[key] = float(to_number(cells[0])), int(to_number(cells[1]))
    if not has_uram:
        used.setdefault("URAM", 0.0)
    if used.get("LUT as Memory") == 0:
        used = {**dict.fromkeys(_MEMORIES, 0.0), **used}
    for key, names in (_SITES | _MEMORIES).items():
        if key not in used:
            source.lacks(key, f"row {' or '.join(names)}, columns Used and Available", text)
    state = re.search(r"Design State\s*:\s*(.+)", text)
    stated = state.group(1).strip() if state else "unknown"
    return Utilization(_vivado_version(text), stated, _subject(text), used, available)


def parse_timing(text: str, source: Source) -> Timing:
    """Text of report_timing_summary -> record; ToolError, which says why, where no path is constrained."""
    _, _, table = text.partition("| Design Timing Summary")
    match = re.search(r"WNS\(ns\).*\n[\s-]*\n([^\n]*)\n", table)
    cells = match.group(1).split() if match else []
    if len(cells) == len(_TIMING) and set(cells) == {"NA"}:
        no_clock = "There are no user specified timing constraints" in table
        why = "no clock constrains the design" if no_clock else "no path is constrained"
        source.lacks(f"slack: {why}", "a clock that reaches the design's registers", text)
    stated = {}
    for name, cell in zip(_TIMING, cells, strict=False):
        if cell == "NA" or (WHOLE if name.endswith("Endpoints") else SLACK).fullmatch(cell):
            stated[name] = cell
    slack = {name: None if cell == "NA" else float(to_number(cell)) for name, cell in stated.items()}
    for name in _TIMING:
        if name not in slack or (name in ("WNS", "TNS") and slack[name] is None):
            source.lacks(name, f"a number under {name} of the Design Timing Summary", text)
    return Timing(_subject(text), slack)


def _site_rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(name, {column: cell}) of every row of the tables of sites; a row of another length is none."""
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] in ("Site Type", "Ref Name"):
            header = cells if cells[0] == "Site Type" else []
        elif cells and len(cells) == len(header):
            yield cells[0], dict(zip(header, cells, strict=True))


def _subject(text: str) -> Subject:
    """Part and design of the head of a report, which calls the part a device."""
    found = (re.search(rf"^\| {name}\s*:\s*(\S+)", text, re.MULTILINE) for name in ("Device", "Design"))
    return Subject(*(match.group(1) if match else "" for match in found))


def _vivado_version(text: str) -> str:
    found = re.search(r"Vivado v\.?(\S+)", text)
    return found.group(1) if found else "of unknown version"
