"""Reports of the vendors' HLS tools and of nextpnr: text in, typed record out, numbers as numbers.

Nothing here opens a file: a `Source` says where the text comes from, and the error for a missing figure names the tool,
the file, the figure and the tool's log, and whether the text looks cut off. `report` of a record gives hls4ml's keys.
hls4ml's own reader leaves strings, calls DSP by two names, puts tiles of 36 kbit under BRAM_18K and leaves out what it
does not find; here DSP and DSP48E are each where hls4ml has them and BRAM_18K always counts blocks of 18 kbit.
Vivado's reports: `codae_l1.hls.vendor._vivado_reports`.
"""

import itertools
import math
import re
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import parse_json

Number = float | int
# What the reports write: a count, its mean or half (of thousands, separated or not), a time in ns. A comma alone in a
# time could be the decimal one.
_THOUSANDS = r"[1-9]\d{0,2}(,\d{3}){1,4}"
WHOLE = re.compile(rf"\d{{1,15}}|{_THOUSANDS}", re.ASCII)
POSITIVE = re.compile(rf"({WHOLE.pattern})(\.\d{{1,15}})?", re.ASCII)
TIME = re.compile(rf"\d{{1,15}}(\.\d{{1,15}})?|{_THOUSANDS}\.\d{{1,15}}", re.ASCII)
SLACK = re.compile(f"-?({TIME.pattern})", re.ASCII)
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
_LATENCIES, _INTERVALS = ("BestLatency", "WorstLatency"), ("IntervalMin", "IntervalMax")
# An event's line of a co-simulation's transaction file: number, latency and interval [clock cycles]. VHDL has no colon.
_CYCLES = r"\d{1,15}"
_TRANSACTION = re.compile(rf"\s*transaction\s+({_CYCLES})(\s*:)?\s+({_CYCLES})\s+({_CYCLES}|x)\s*", re.ASCII)
# What the HLS tools write where they cannot state a latency or an interval, for example of a loop without bound.
_UNDEFINED = "undef"


class Subject(NamedTuple):
    """What a report is of: the part and the top of the design, each empty where the report does not name it."""

    part: str
    design: str

    def differs(self, asked: "Subject") -> tuple[str, str]:
        """(what the report names, what was asked for) of the first that is another one; empty where none is.

        Vivado's reports name a part with or without xc, hyphens and the grades at its end; what is named has to agree.

        >>> Subject("7z020-clg400", "").differs(Subject("xc7z020clg400-1", "codae"))
        ('', '')
        >>> Subject("xcu250-figd2104-2L-e", "codae").differs(Subject("xcvu13p-flga2577-2-e", "codae"))
        ('part xcu250-figd2104-2L-e', 'part xcvu13p-flga2577-2-e')
        """
        ours, theirs = (re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("xc") for name in (asked.part, self.part))
        if not ours.startswith(theirs) and not theirs.startswith(ours):
            return f"part {self.part}", f"part {asked.part}"
        if self.design not in ("", asked.design):
            return f"design {self.design}", f"design {asked.design}"
        return "", ""


class Unreadable(ToolError):
    """A report lacks what its tool ought to have written; what else the tool made may be whole."""


class Source(NamedTuple):
    """Whose text a record is read from: the tool, the report's file and the log that the error points at."""

    tool: str
    path: Path | str
    log: Path | str = "of the tool"

    def lacks(self, figure: str, expected: str, text: str = "\n") -> NoReturn:
        """Raise the error of a figure that the text does not have."""
        raise Unreadable(
            f"the report of {self.tool}, {self.path}, has no {figure}{_cut_off(text)}",
            expected,
            f"read the log {self.log}",
        )

    def denies(self, success: str, expected: str) -> NoReturn:
        """Raise the error of a step that did not succeed, as the text says."""
        raise ToolError(
            f"the report of {self.tool}, {self.path}, has no {success}", expected, f"read the log {self.log}"
        )

    def check_subject(self, found: Subject, asked: Subject) -> None:
        """Raise the error of a report of another part or design than what the tool was asked for."""
        other, ours = found.differs(asked)
        if ours:
            raise ToolError(
                f"the report of {self.tool}, {self.path}, is of the {other}",
                f"the {ours}",
                f"see what its Tcl scripts ask for, read the log {self.log}",
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
    """C synthesis of an HLS tool, an estimate. report: hls4ml's keys of CSynthesisReport (ns, cycles, counts).

    A latency or an interval that the tool cannot state is None.
    """

    version: str
    subject: Subject
    report: dict[str, Number | None]


@dataclass(frozen=True)
class Cosim:
    """Co-simulation of the HLS tool's RTL [clock cycles]; the interval is None where one event alone was simulated.

    Latency and interval of a report from before the RTL was simulated (`cosim_design -setup`) are None, and its status
    Pass says nothing; `parse_transactions` has the figures.
    """

    rtl: str
    status: str
    latency: tuple[int, Number, int] | None
    interval: tuple[int, Number, int] | None

    @property
    def report(self) -> dict[str, str | Number | None]:
        """hls4ml's keys of CosimReport."""
        ends = ("Min", "Avg", "Max")
        latency = dict(zip((f"Latency{end}" for end in ends), self.latency or (None,) * 3, strict=True))
        interval = dict(zip((f"Interval{end}" for end in ends), self.interval or (None,) * 3, strict=True))
        return {"RTL": self.rtl, "Status": self.status, **latency, **interval}


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


def parse_csynth(text: str, source: Source, has_uram: bool = True) -> CSynthesis:
    """Text of TOP_csynth.xml -> record. has_uram: whether the part has URAM; of one without, Vivado HLS up to 2018.3
    says nothing."""
    root = _xml(text, source)

    def number(where: str) -> Number:
        found = (root.findtext(where) or "").strip()
        # All but clock periods are counts.
        if not (TIME if where.endswith("ClockPeriod") else WHOLE).fullmatch(found):
            source.lacks(f"number {where}", f"a number, not {found[:40]!r}")
        return to_number(found)

    def latency(key: str, where: str) -> Number | None:
        stated = (root.findtext(where) or "").strip() != _UNDEFINED
        return number(where) if stated or key not in _LATENCIES + _INTERVALS else None

    report = {key: latency(key, where) for key, where in _CSYNTH.items()}
    for low, high in (_LATENCIES, _INTERVALS):
        least, most = report[low], report[high]
        if least is not None and most is not None and least > most:
            source.lacks(f"{low} up to {high} ({least}, {most})", "the lower figure first", text)
    for bound, interval in zip(_LATENCIES, _INTERVALS, strict=True):
        # Vitis HLS 2024.2 writes 0 for the interval of a latency that it cannot state; no interval is that short.
        if report[bound] is None and report[interval] == 0:
            report[interval] = None
    for prefix, where in (("", "AreaEstimates/Resources"), ("Available", "AreaEstimates/AvailableResources")):
        for key in _RESOURCES:
            # Vivado HLS called a DSP by its block's name.
            name = key if key != "DSP" or root.find(f"{where}/DSP") is not None else "DSP48E"
            absent = key == "URAM" and not has_uram and root.find(f"{where}/{name}") is None
            report[prefix + key] = 0 if absent else number(f"{where}/{name}")
    part, design = ((root.findtext(f"UserAssignments/{name}") or "").strip() for name in ("Part", "TopModelName"))
    version = root.findtext("ReportVersion/Version") or "of unknown version"
    return CSynthesis(version, Subject(part, design), report)


def parse_csim(text: str, source: Source) -> int:
    """Text of TOP_csim.log -> errors that the C simulation ended with.

    >>> parse_csim("INFO: [SIM 1] CSim done with 0 errors.\\n", Source("vitis_hls", "codae_csim.log"))
    0
    """
    found = re.search(rf"CSim done with ({_CYCLES}) errors", text, re.IGNORECASE | re.ASCII)
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
    if not all(map(math.isfinite, (value for row in rows for value in row))):
        source.lacks("finite number everywhere", "numbers, one event a line", text)
    return rows


def parse_cosim(text: str, source: Source) -> Cosim:
    """Text of TOP_cosim.rpt -> record of the RTL that was simulated (Verilog or VHDL)."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells or cells[0] not in ("Verilog", "VHDL") or cells[1:2] == ["NA"]:
            continue
        forms = (WHOLE, POSITIVE, WHOLE) * 2
        good = (cell == "NA" or form.fullmatch(cell) for cell, form in zip(cells[2:8], forms, strict=False))
        if len(cells) < 8 or not cells[1] or not all(good):
            source.lacks(f"whole row {cells[0]}", "status, latency and interval: min, avg, max", text)
        numbers = [None if cell == "NA" else to_number(cell) for cell in cells[2:8]]
        if None in numbers[:3] and set(numbers) != {None}:
            source.lacks("latency", f"numbers in the row {cells[0]}, which ended with {cells[1]}", text)
        latency, interval = (cast(Any, None if None in t else tuple(t)) for t in (numbers[:3], numbers[3:]))
        for three in (latency, interval):
            if three and not three[0] <= three[1] <= three[2]:
                source.lacks(f"min, avg and max in order {three}", "the lowest figure first", text)
        return Cosim(cells[0], cells[1], latency, interval)
    source.lacks("row of a simulated RTL", "a row Verilog or VHDL whose status is not NA", text)


def parse_transactions(text: str, source: Source) -> tuple[tuple[int, int, int], tuple[int, int, int] | None]:
    """Text of TOP.performance.result.transaction.xml, no XML -> (latency, interval): min, mean, max [clock cycles].

    The simulated testbench writes it, one line an event. The tool rounds means down. The last event has no interval
    (x); where it is the only one, its 0 is none either: None. (Vivado HLS 2017.4 to Vitis HLS 2025.2.)

    >>> parse_transactions("latency interval\\ntransaction 0: 21 4\\ntransaction 1: 22 x\\n", Source("vitis_hls", "x"))
    ((21, 21, 22), (4, 4, 4))
    """
    lines = [line for line in text.splitlines() if line.split() not in ([], ["latency", "interval"])]
    events = [match for line in lines if (match := _TRANSACTION.fullmatch(line))]
    if not lines or len(events) < len(lines):
        source.lacks("whole line an event", "lines such as 'transaction 0: 21 4', latency and interval", text)
    latencies = [int(event[3]) for event in events]
    *intervals, last = [event[4] for event in events]
    numbered = [int(event[1]) for event in events] == list(range(len(events)))
    # How VHDL ends the last of several events has not been seen.
    ended = last == "x" or (last == "0" if len(events) == 1 else events[-1][2] is None)
    if not numbered or not ended or "x" in intervals:
        source.lacks("line of every event", "events 0, 1, ..., of which the last alone has the interval x", text)
    if 0 in map(int, intervals):
        source.lacks("interval above 0", "a cycle or more from each event to the next", text)
    return _extent(latencies), (_extent([int(interval) for interval in intervals]) if intervals else None)


def _extent(cycles: list[int]) -> tuple[int, int, int]:
    """Minimum, mean rounded down, maximum."""
    return min(cycles), sum(cycles) // len(cycles), max(cycles)


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
        content = parse_json(text, source.path)
        sites = {name: (row["used"], row["available"]) for name, row in content["utilization"].items()}
        clocks = [(row["achieved"], row["constraint"]) for row in content["fmax"].values()]
        for used, available in sites.values():
            if not (type(used) is type(available) is int and 0 <= used <= available):
                raise ValueError(f"{used!r} used of {available!r}")
        for clock in itertools.chain(*clocks):
            if type(clock) not in (int, float) or clock <= 0:
                raise ValueError(f"{clock!r} MHz")
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        source.lacks(f"utilization and fmax ({error})", "nextpnr's JSON report", text)
    if not clocks:
        source.lacks("clock", "a design with registers")
    used, available = ({name: row[i] for name, row in sites.items()} for i in (0, 1))
    return Placed(used, available, *map(float, min(clocks)))


def _xml(text: str, source: Source) -> Any:
    try:
        return xml.etree.ElementTree.fromstring(text)
    except xml.etree.ElementTree.ParseError as error:
        source.lacks(f"end: it is cut off or no XML ({error})", "a whole XML file")


def to_number(text: str) -> Number:
    """A number as a report writes it.

    >>> to_number("1,234"), to_number("0.5")
    (1234, 0.5)
    """
    text = text.replace(",", "")
    return float(text) if "." in text else int(text)
