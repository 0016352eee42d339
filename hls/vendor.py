"""Vitis HLS where it is on PATH: synthesise the hls4ml project, read its report into numbers, keep its log.

Where no tool is on PATH the record says so; nothing else depends on it.
"""

import re
import shutil
import subprocess
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codae_l1.data.errors import ToolError
from codae_l1.hls.config import HlsConfig
from codae_l1.hls.folders import tail
from codae_l1.hls.hls4ml_project import TOP

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


def vendor_tools() -> dict[str, str | None]:
    """Each vendor program and where it is on PATH, None where it is not."""
    return {name: shutil.which(name) for name in ("vitis-run", "vitis_hls", "vivado")}


def run_vendor(
    project: Path | str, config: HlsConfig, progress: Callable[[int, int, str], None] | None = None
) -> dict[str, Any]:
    """Synthesise the hls4ml project in the folder `project` where a vendor tool is on PATH.

    Returns {tools, ran, sentence, records, CSynthesisReport (hls4ml's keys, numbers; None where not run), kind, tool}.
    Raises ToolError where the tool fails or ends without its report.
    """
    project, tools = Path(project), vendor_tools()
    name = next((name for name in _COMMANDS if tools[name]), None)
    missing = ", ".join(name for name, place in tools.items() if place is None)
    absent = f"{missing} not on PATH" if missing else ""
    record = {"tools": tools, "ran": name is not None, "records": {}, "CSynthesisReport": None, "kind": "estimate"}
    if name is None:
        return {**record, "tool": None, "sentence": f"{absent}; the figures are those of the open tools."}
    if progress is not None:
        progress(0, 1, f"{name} synthesises the hls4ml project")
    (project / "build_opt.tcl").write_text(_OPTIONS)
    (project / _REPORT).unlink(missing_ok=True)
    _run(name, project, config)
    found, version = read_csynth(project / _REPORT, name)
    if progress is not None:
        progress(1, 1, f"{name} done")
    sentence = f"{name} {version} synthesised the hls4ml project (its own estimate, before place and route)."
    return {
        **record,
        "tool": f"{name} {version}",
        "sentence": f"{sentence} {absent}.".strip() if absent else sentence,
        "records": found,
        "CSynthesisReport": found,
    }


def _run(name: str, project: Path, config: HlsConfig) -> None:
    log = project / _LOG
    with open(log, "w") as handle:
        try:
            status = subprocess.run(
                _COMMANDS[name], cwd=project, stdout=handle, stderr=subprocess.STDOUT, timeout=config.tool_timeout_s
            ).returncode
            ending = f"ended with status {status}" if status else ""
        except subprocess.TimeoutExpired:
            ending = f"took longer than hls.tool_timeout_s = {config.tool_timeout_s:g}"
        except OSError as error:
            ending = f"could not be started ({error.strerror})"
    if not ending and not (project / _REPORT).is_file():
        ending = f"ended without its report {_REPORT}"
    if ending:
        raise ToolError(
            f"{name} {ending}: {tail(log)}", "a synthesis with its report", f"read the log {log}, check its licence"
        )


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
