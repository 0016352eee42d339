"""Vendor tools where they are on PATH, beside the open figures: Vitis HLS on the hls4ml project, Vivado on the RTL.

The two synthesise different designs: hls4ml's C++ and da4ml's Verilog. Vitis HLS estimates, Vivado synthesises. Their
logs are kept; where no tool is on PATH the record says so, and nothing else depends on it.
"""

import re
import shutil
import xml.etree.ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codae_l1.data.errors import ToolError
from codae_l1.hls.config import HlsConfig
from codae_l1.hls.folders import writing
from codae_l1.hls.hls4ml_project import TOP
from codae_l1.hls.tools import run_tool
from codae_l1.hls.vivado import rows as vivado_rows
from codae_l1.hls.vivado import synthesize_with_vivado

# Programs that run an hls4ml project's build_prj.tcl, and how; Vitis 2024.2 and later know vitis-run alone.
_COMMANDS: dict[str, tuple[str, ...]] = {
    "vitis-run": ("vitis-run", "--mode", "hls", "--tcl", "build_prj.tcl"),
    "vitis_hls": ("vitis_hls", "-f", "build_prj.tcl"),
}
_OPTIONS = "array set opt {reset 1 csim 0 synth 1 cosim 0 validation 0 export 0 vsynth 0 fifo_opt 0}\n"
_REPORT = Path(f"{TOP}_prj") / "solution1" / "syn" / "report" / f"{TOP}_csynth.xml"
_LOG = "vendor.log"
# Where the csynth report holds hls4ml's keys.
_PERFORMANCE = {
    "EstimatedClockPeriod": "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod",
    "BestLatency": "PerformanceEstimates/SummaryOfOverallLatency/Best-caseLatency",
    "WorstLatency": "PerformanceEstimates/SummaryOfOverallLatency/Worst-caseLatency",
    "IntervalMin": "PerformanceEstimates/SummaryOfOverallLatency/Interval-min",
    "IntervalMax": "PerformanceEstimates/SummaryOfOverallLatency/Interval-max",
}
# Rows shown beside the open figures, and their key in both reports.
_SHOWN = {
    **{key: key for key in ("LUT", "FF", "DSP", "BRAM_18K", "URAM")},
    "latency [cycles]": "WorstLatency",
    "interval [cycles]": "IntervalMax",
    "clock period [ns]": "EstimatedClockPeriod",
}


def vendor_tools() -> dict[str, str | None]:
    """Each vendor program and where it is on PATH, None where it is not."""
    return {name: shutil.which(name) for name in ("vitis-run", "vitis_hls", "vivado")}


def run_vendor(
    project: Path | str,
    config: HlsConfig,
    progress: Callable[[int, int, str], None] | None = None,
    rtl: Path | str | None = None,
    opened: dict[str, Any] | None = None,
    strict: bool = True,
) -> dict[str, Any]:
    """Synthesise with the vendor tools on PATH: the hls4ml project `project` (Vitis HLS), the folder `rtl` (Vivado).

    opened: the report of `codae_l1.hls.synthesis.synthesize`, shown beside; Vivado runs where rtl is given.
    Returns {tools, ran, tool, kind, sentence, records: rows {name, open, vendor, tool, kind}, CSynthesisReport,
    VivadoSynthReport, TimingReport (hls4ml's keys, numbers; None where not run)}.
    strict: raise ToolError where a tool fails (no licence, too slow) or ends without its report; where it is False, the
    record's sentence says so, marked FAILED, and the other tool goes on: the open figures stand without either.
    """
    tools, say = vendor_tools(), progress or (lambda done, total, text: None)
    record: dict[str, Any] = {"tools": tools, "records": []}
    record |= {"CSynthesisReport": None, "VivadoSynthReport": None, "TimingReport": None}
    found: list[tuple[str, str, str]] = []
    failed: list[str] = []
    name = next((name for name in _COMMANDS if tools[name]), None)
    vivado = tools["vivado"] is not None and rtl is not None
    total = (name is not None) + vivado
    if name is not None:
        say(0, total, f"{name} synthesises the hls4ml project")
        with _kept(failed, strict):
            found.append(_run_vitis(name, Path(project), config, record, opened))
    if vivado:
        say(total - 1, total, "vivado synthesises the RTL")
        with _kept(failed, strict):
            found.append(_run_vivado(Path(rtl or ""), config, record, opened))
    if total:
        say(total, total, f"{', '.join(tool for tool, _, _ in found) or 'no vendor tool'} done")
    return {**record, **_summary(found, failed, [tool for tool, place in tools.items() if place is None])}


@contextmanager
def _kept(failed: list[str], strict: bool) -> Iterator[None]:
    """Keep what a failing tool said, where it is not to be raised."""
    try:
        yield
    except ToolError as error:
        if strict:
            raise
        failed.append(f"FAILED: {error}.")


def _run_vitis(
    name: str, project: Path, config: HlsConfig, record: dict[str, Any], opened: dict[str, Any] | None
) -> tuple[str, str, str]:
    report, version = _synthesize_project(name, project, config)
    record["CSynthesisReport"] = report
    record["records"] += _rows(report, opened, f"{name} {version}, the hls4ml project")
    said = f"{name} {version} synthesised the hls4ml project (its own estimate, before place and route)."
    return f"{name} {version}", "estimate", said


def _run_vivado(
    rtl: Path, config: HlsConfig, record: dict[str, Any], opened: dict[str, Any] | None
) -> tuple[str, str, str]:
    synthesis = synthesize_with_vivado(rtl, config)
    record |= {"VivadoSynthReport": synthesis.report, "TimingReport": {"WNS": synthesis.wns_ns}}
    record["records"] += vivado_rows(synthesis, config, opened)
    said = f"vivado {synthesis.version} synthesised the RTL out of context (synthesis, before place and route)."
    return f"vivado {synthesis.version}", "synthesis", said


def _summary(found: list[tuple[str, str, str]], failed: list[str], missing: list[str]) -> dict[str, Any]:
    """What ran, its kind, and all of it in words; `found` holds (tool, kind, sentence), `failed` sentences."""
    sentences = [said for _, _, said in found] + failed
    if missing:
        sentences.append(f"{', '.join(missing)} not on PATH.")
    if not found:
        sentences[-1] = f"{sentences[-1][:-1]}; the figures are those of the open tools."
    return {
        "ran": bool(found),
        "tool": ", ".join(tool for tool, _, _ in found) or None,
        "kind": ", ".join(kind for _, kind, _ in found) or None,
        "sentence": " ".join(sentences),
    }


def _synthesize_project(name: str, project: Path, config: HlsConfig) -> tuple[dict[str, float | int], str]:
    with writing(project):
        (project / "build_opt.tcl").write_text(_OPTIONS)
        run_tool(_COMMANDS[name], project, project / _LOG, config.tool_timeout_s, (project / _REPORT,))
    return read_csynth(project / _REPORT, name)


def _rows(report: dict[str, float | int], opened: dict[str, Any] | None, tool: str) -> list[dict[str, Any]]:
    """Vitis HLS beside the open figures: rows {name, open, vendor, tool, kind}."""
    ours = opened["CSynthesisReport"] if opened else {}
    return [
        {"name": name, "open": ours.get(key), "vendor": report[key], "tool": tool, "kind": "estimate"}
        for name, key in _SHOWN.items()
    ]


def read_csynth(path: Path, tool: str) -> tuple[dict[str, float | int], str]:
    """A csynth report -> (hls4ml's keys as numbers, the tool's version); ToolError where a figure is missing."""
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (xml.etree.ElementTree.ParseError, OSError) as error:
        raise _unreadable(path, tool, str(error)) from error
    found: dict[str, float | int] = {
        "TargetClockPeriod": _number(root, "UserAssignments/TargetClockPeriod", path, tool)
    }
    for key, where in _PERFORMANCE.items():
        found[key] = _number(root, where, path, tool)
    for prefix, where in (("", "AreaEstimates/Resources"), ("Available", "AreaEstimates/AvailableResources")):
        for key in ("BRAM_18K", "DSP", "FF", "LUT", "URAM"):
            # Vivado HLS called a DSP by its block's name.
            name = key if key != "DSP" or root.find(f"{where}/DSP") is not None else "DSP48E"
            found[prefix + key] = _number(root, f"{where}/{name}", path, tool)
    return found, root.findtext("ReportVersion/Version") or "of unknown version"


def _number(root: Any, where: str, path: Path, tool: str) -> float | int:
    text = root.findtext(where)
    if text is None or not re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", text):
        raise _unreadable(path, tool, f"{where} is {text!r}")
    return float(text) if "." in text else int(text)


def _unreadable(path: Path, tool: str, why: str) -> ToolError:
    return ToolError(f"the report of {tool}, {path}, cannot be read ({why})", "a csynth report", "read the tool's log")
