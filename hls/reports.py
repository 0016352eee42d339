"""Reports of the vendor tools and of nextpnr: text in, typed record out, numbers as numbers.

Nothing here opens a file: a `Source` says whose text it is, and the error of a figure that is not there names tool,
file, figure and the tool's log, and whether the text looks cut off. `report` of a record gives hls4ml's keys.
hls4ml's own reader leaves strings, calls DSP by two names, puts tiles of 36 kbit under BRAM_18K and leaves out what it
does not find; here DSP and DSP48E are each where hls4ml has them and BRAM_18K always counts blocks of 18 kbit.
"""

import json
import math
import re
import xml.etree.ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from codae_l1.data.errors import ToolError

Number = float | int
# A number as the reports write it, thousands separated or not.
_NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?")
# hls4ml's key -> where the csynth report has it, below the profile.
_CSYNTH = {
    "TargetClockPeriod": "UserAssignments/TargetClockPeriod",
    "EstimatedClockPeriod": "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod",
    "BestLatency": "PerformanceEstimates/SummaryOfOverallLatency/Best-caseLatency",
    "WorstLatency": "PerformanceEstimates/SummaryOfOverallLatency/Worst-caseLatency",
    "IntervalMin": "PerformanceEstimates/SummaryOfOverallLatency/Interval-min",
    "IntervalMax": "PerformanceEstimates/SummaryOfOverallLatency/Interval-max",
}
_RESOURCES = ("BRAM_18K", "DSP", "FF", "LUT", "URAM")
# Figure -> rows of Vivado's utilisation report, UltraScale+ and 7-series.
_SITES = {
    "LUT": ("CLB LUTs", "Slice LUTs"),
    "LUT as Logic": ("LUT as Logic",),
    "LUT as Memory": ("LUT as Memory",),
    "FF": ("CLB Registers", "Slice Registers"),
    "Block RAM tiles": ("Block RAM Tile",),
    "RAMB36": ("RAMB36/FIFO",),
    "RAMB18": ("RAMB18",),
    "URAM": ("URAM",),
    "DSP48E": ("DSPs",),
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


class Source(NamedTuple):
    """Whose text a record is read from: the tool, the report's file and the log that the error points at."""

    tool: str
    path: Path | str
    log: Path | str = "of the tool"

    def lacks(self, figure: str, expected: str, text: str = "\n") -> NoReturn:
        """Raise the error of a figure that the text does not have."""
        raise ToolError(
            f"the report of {self.tool}, {self.path}, has no {figure}{_cut_off(text)}",
            expected,
            f"read the log {self.log}",
        )


def _cut_off(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return " (it is empty)" if not text else ""
    if lines[-1].lstrip().startswith("|") or not text.endswith("\n"):
        return f" (it is cut off in line {len(text.splitlines())}: {lines[-1].strip()[:40]!r})"
    return ""


@dataclass(frozen=True)
class CSynthesis:
    """C synthesis of an HLS tool, an estimate. report: hls4ml's keys of CSynthesisReport (ns, cycles, counts)."""

    version: str
    report: dict[str, Number]


@dataclass(frozen=True)
class Cosim:
    """Co-simulation of the HLS tool's RTL [clock cycles]; the interval is None where one event alone was simulated."""

    rtl: str
    status: str
    latency: tuple[int, Number, int]
    interval: tuple[int, Number, int] | None

    @property
    def report(self) -> dict[str, str | Number | None]:
        """hls4ml's keys of CosimReport."""
        ends = ("Min", "Avg", "Max")
        latency = dict(zip((f"Latency{end}" for end in ends), self.latency, strict=True))
        interval = dict(zip((f"Interval{end}" for end in ends), self.interval or (None,) * 3, strict=True))
        return {"RTL": self.rtl, "Status": self.status, **latency, **interval}


@dataclass(frozen=True)
class Utilization:
    """Vivado's count of sites: used and available, keys of `_SITES`, LUTRAM and SRL; 7-series parts have no URAM."""

    version: str
    state: str
    used: dict[str, float]
    available: dict[str, int]

    @property
    def report(self) -> dict[str, int]:
        """hls4ml's keys of VivadoSynthReport; BRAM_18K in blocks of 18 kbit, two a tile."""
        used = {key: math.ceil(self.used[key]) for key in ("LUT", "FF", "URAM", "DSP48E")}
        return {**used, "BRAM_18K": round(2 * self.used["Block RAM tiles"])}

    @property
    def implementation(self) -> dict[str, Number]:
        """hls4ml's keys of ImplementationReport: counts, and their share of the part in %."""
        found: dict[str, Number] = {}
        for key, (used, available) in _IMPLEMENTATION.items():
            found[key] = math.ceil(self.used[used])
            found[f"{key}%"] = round(100 * self.used[used] / (self.available.get(available) or 1), 2)
        return found


@dataclass(frozen=True)
class Timing:
    """Vivado's Design Timing Summary [ns]; hold and pulse width are None where it says NA."""

    slack: dict[str, float | None]

    @property
    def wns_ns(self) -> float:
        """Worst setup slack [ns]."""
        return self.slack["WNS"] or 0.0

    @property
    def met(self) -> bool:
        """Whether no slack is below zero."""
        return all(value is None or value >= 0 for value in self.report.values())

    @property
    def report(self) -> dict[str, float | None]:
        """hls4ml's keys of TimingReport."""
        return {key: self.slack[key] for key in ("WNS", "TNS", "WHS", "THS", "WPWS", "TPWS")}


@dataclass(frozen=True)
class IpCore:
    """What export_design made: the name under which Vivado's IP catalogue has the core."""

    vendor: str
    library: str
    name: str
    version: str


@dataclass(frozen=True)
class Placed:
    """nextpnr's result: sites used and available by their names, achieved and asked clock [MHz]."""

    used: dict[str, int]
    available: dict[str, int]
    achieved_mhz: float
    asked_mhz: float


def parse_csynth(text: str, source: Source) -> CSynthesis:
    """Text of TOP_csynth.xml -> record."""
    root = _xml(text, source)

    def number(where: str) -> Number:
        found = (root.findtext(where) or "").strip()
        if not _NUMBER.fullmatch(found):
            source.lacks(f"number {where}", f"a number, not {found!r}")
        return _number(found)

    report = {key: number(where) for key, where in _CSYNTH.items()}
    for prefix, where in (("", "AreaEstimates/Resources"), ("Available", "AreaEstimates/AvailableResources")):
        for key in _RESOURCES:
            # Vivado HLS called a DSP by its block's name.
            name = key if key != "DSP" or root.find(f"{where}/DSP") is not None else "DSP48E"
            report[prefix + key] = number(f"{where}/{name}")
    return CSynthesis(root.findtext("ReportVersion/Version") or "of unknown version", report)


def parse_csim(text: str, source: Source) -> int:
    """Text of TOP_csim.log -> errors that the C simulation ended with.

    >>> parse_csim("INFO: [SIM 1] CSim done with 0 errors.\\n", Source("vitis_hls", "codae_csim.log"))
    0
    """
    found = re.search(r"CSim done with (\d+) errors", text, re.IGNORECASE)
    if found is None:
        source.lacks("outcome", "a line 'CSim done with 0 errors.'", text)
    return int(found.group(1))


def parse_results(text: str, source: Source) -> list[list[float]]:
    """Text of tb_data/*_results.log, one event a line -> values (events, outputs).

    >>> parse_results("0.5 -1 \\n3 2.25 \\n", Source("vitis_hls", "csim_results.log"))
    [[0.5, -1.0], [3.0, 2.25]]
    """
    try:
        rows = [[float(cell) for cell in line.split()] for line in text.splitlines()]
    except ValueError as error:
        source.lacks(f"number everywhere ({error})", "numbers, one event a line", text)
    if not rows or len({len(row) for row in rows}) > 1:
        source.lacks("rows of one length", "numbers, one event a line", text)
    return rows


def parse_cosim(text: str, source: Source) -> Cosim:
    """Text of TOP_cosim.rpt -> record of the RTL that was simulated (Verilog or VHDL)."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells or cells[0] not in ("Verilog", "VHDL") or cells[1:2] == ["NA"]:
            continue
        if len(cells) < 8 or not all(cell == "NA" or _NUMBER.fullmatch(cell) for cell in cells[2:8]):
            source.lacks(f"whole row {cells[0]}", "status, latency and interval: min, avg, max", text)
        numbers = [None if cell == "NA" else _number(cell) for cell in cells[2:8]]
        if None in numbers[:3]:
            source.lacks("latency", f"numbers in the row {cells[0]}, which ended with {cells[1]}", text)
        interval: Any = None if None in numbers[3:] else tuple(numbers[3:])
        latency: Any = tuple(numbers[:3])
        return Cosim(cells[0], cells[1], latency, interval)
    source.lacks("row of a simulated RTL", "a row Verilog or VHDL whose status is not NA", text)


def parse_utilization(text: str, source: Source, has_uram: bool = True) -> Utilization:
    """Text of report_utilization -> record. has_uram: whether the part has URAM; one without has no row of it."""
    used: dict[str, float] = {}
    available: dict[str, int] = {}
    rows = {name: key for key, names in (_SITES | _MEMORIES).items() for name in names}
    for name, columns in _site_rows(text):
        # A star refers to a footnote; a kind of memory has no sites of its own.
        key = rows.get(name.rstrip("*"))
        cells = [columns.get("Used", ""), "0" if key in _MEMORIES else columns.get("Available", "")]
        if key and key not in used and all(_NUMBER.fullmatch(cell) for cell in cells):
            used[key], available[key] = float(_number(cells[0])), int(_number(cells[1]))
    if not has_uram:
        used.setdefault("URAM", 0.0)
    if used.get("LUT as Memory") == 0:
        used = {**dict.fromkeys(_MEMORIES, 0.0), **used}
    for key, names in (_SITES | _MEMORIES).items():
        if key not in used:
            source.lacks(key, f"row {' or '.join(names)}, columns Used and Available", text)
    state = re.search(r"Design State\s*:\s*(.+)", text)
    return Utilization(_vivado_version(text), state.group(1).strip() if state else "unknown", used, available)


def parse_timing(text: str, source: Source) -> Timing:
    """Text of report_timing_summary -> record; a design without constrained path has no slack."""
    _, _, table = text.partition("| Design Timing Summary")
    match = re.search(r"WNS\(ns\).*\n[\s-]*\n([^\n]*)\n", table)
    cells = match.group(1).split() if match else []
    slack = {name: float(cell) if _NUMBER.fullmatch(cell) else None for name, cell in zip(_TIMING, cells, strict=False)}
    for name in _TIMING:
        if name not in slack or (name in ("WNS", "TNS") and slack[name] is None):
            source.lacks(name, f"a number under {name} of the Design Timing Summary", text)
    return Timing(slack)


def parse_component(text: str, source: Source) -> IpCore:
    """Text of an exported component.xml (IP-XACT) -> record."""
    found = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in _xml(text, source)}
    for name in ("vendor", "library", "name", "version"):
        if not found.get(name):
            source.lacks(name, "an IP-XACT component with vendor, library, name and version")
    return IpCore(found["vendor"], found["library"], found["name"], found["version"])


def parse_nextpnr(text: str, source: Source) -> Placed:
    """Text of nextpnr's --report JSON -> record; the slowest clock counts.

    >>> parse_nextpnr('{"fmax": {"clk": {"achieved": 80.5, "constraint": 100}}, "utilization": {"TRELLIS_FF": '
    ...               '{"available": 83640, "used": 16}}}', Source("nextpnr", "report.json")).used
    {'TRELLIS_FF': 16}
    """
    try:
        content = json.loads(text)
        sites = {name: (int(row["used"]), int(row["available"])) for name, row in content["utilization"].items()}
        clocks = [(float(row["achieved"]), float(row["constraint"])) for row in content["fmax"].values()]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        source.lacks(f"utilization and fmax ({error})", "nextpnr's JSON report", text)
    if not clocks:
        source.lacks("clock", "a design with registers")
    used, available = ({name: row[i] for name, row in sites.items()} for i in (0, 1))
    return Placed(used, available, *min(clocks))


def _xml(text: str, source: Source) -> Any:
    try:
        return xml.etree.ElementTree.fromstring(text)
    except xml.etree.ElementTree.ParseError as error:
        source.lacks(f"end: it is cut off or no XML ({error})", "a whole XML file")


def _number(text: str) -> Number:
    text = text.replace(",", "")
    return float(text) if "." in text else int(text)


def _site_rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(name, {column: cell}) of every row of the tables of sites; a cell without its closing bar is none."""
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] in ("Site Type", "Ref Name"):
            header = cells if cells[0] == "Site Type" else []
        elif cells and header:
            yield cells[0], dict(zip(header, cells, strict=False))


def _vivado_version(text: str) -> str:
    found = re.search(r"Vivado v\.?(\S+)", text)
    return found.group(1) if found else "of unknown version"
