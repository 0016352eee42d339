"""Vendor tools, where they are on PATH, in addition to the open figures: HLS synthesis of the hls4ml project, Vivado on
the RTL.

The two synthesise different designs: hls4ml's C++ and da4ml's Verilog. The HLS tool estimates, Vivado synthesises.
Their logs are kept. If no tool is on PATH, the record says so, and nothing else depends on it. All steps, including
place and route: `codae_l1.hls.vendor._steps`, command scripts/vendor.py.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.vendor._steps import check_programs, digest_of, run_step, run_steps
from codae_l1.hls.vendor._vivado import rows as vivado_rows
from codae_l1.hls.vendor._vivado import rtl_source, rtl_steps, synthesize_with_vivado
from codae_l1.hls.vendor.hls4ml_steps import hls4ml_steps

__all__ = ["check_programs", "digest_of", "rtl_source", "rtl_steps", "run_steps", "run_vendor"]

_LOG = "vendor.log"
# Programs that synthesise C++, of which a project takes those of its backend; and the one that synthesises RTL.
_HLS = ("vitis-run", "vitis_hls", "vivado_hls")
# Rows that are shown next to the open figures, and their key in both reports.
_SHOWN = {
    **{key: key for key in ("LUT", "FF", "DSP", "BRAM_18K", "URAM")},
    "latency [cycles]": "WorstLatency",
    "interval [cycles]": "IntervalMax",
    "clock period [ns]": "EstimatedClockPeriod",
}


def _vendor_tools() -> dict[str, str | None]:
    """Each vendor program and where it is on PATH, None where it is not."""
    return {name: shutil.which(name) for name in (*_HLS, "vivado")}


def run_vendor(
    project: Path | str,
    config: HlsConfig,
    progress: Progress | None = None,
    rtl: Path | str | None = None,
    opened: dict[str, Any] | None = None,
    strict: bool = True,
) -> dict[str, Any]:
    """Synthesise with the vendor tools on PATH: the hls4ml project `project` (Vitis HLS), the folder `rtl` (Vivado).

    opened: the report of `codae_l1.hls.cost.synthesis.synthesize`, shown next to them; Vivado runs if rtl is given.
    Returns {tools, ran, tool, kind, sentence, records: rows {name, open, vendor, tool, kind}, CSynthesisReport,
    VivadoSynthReport, TimingReport (hls4ml's keys, numbers or None; None where not run)}.
    strict: raise ToolError where a tool fails (no licence, too slow) or ends without its report; where it is False, the
    record's sentence says so, marked FAILED, and the other tool goes on: the open figures stand without either.
    """
    tools, say = _vendor_tools(), progress or (lambda done, total, text: None)
    keys = ("CSynthesisReport", "VivadoSynthReport", "TimingReport")
    record: dict[str, Any] = {"tools": tools, "records": [], **dict.fromkeys(keys)}
    found: list[tuple[str, str, str]] = []
    failed: list[str] = []
    hls = any(tools[name] for name in _HLS)
    vivado = tools["vivado"] is not None and rtl is not None
    total = hls + vivado
    if hls:
        with _kept(failed, strict):
            say(0, total, "the HLS tool synthesises the hls4ml project")
            found.append(_run_hls(Path(project), config, record, opened))
    if vivado:
        say(total - 1, total, "vivado synthesises the RTL")
        with _kept(failed, strict):
            found.append(_run_vivado(Path(rtl or ""), config, record, opened))
    if total:
        say(total, total, f"{', '.join(tool for tool, _, _ in found) or 'no vendor tool'} done")
    return {**record, **_summary(found, failed, [tool for tool, place in tools.items() if place is None])}


@contextmanager
def _kept(failed: list[str], strict: bool) -> Iterator[None]:
    """Keep what a failing tool said, where it is not to be raised; a disk that cannot be written is, always."""
    try:
        yield
    except InputError as error:
        if strict or isinstance(error.__cause__, OSError):
            raise
        failed.append(f"FAILED: {error}.")


def _run_hls(
    project: Path, config: HlsConfig, record: dict[str, Any], opened: dict[str, Any] | None
) -> tuple[str, str, str]:
    step = next(step for step in hls4ml_steps(project) if step.name == "csynth")
    name, _ = step.program()
    content = run_step(step, project, project / _LOG, config.tool_timeout_s)
    report, tool = content["CSynthesisReport"], f"{name} {content['version']}"
    record["CSynthesisReport"] = report
    record["records"] += _rows(report, opened, f"{tool}, the hls4ml project")
    return tool, "estimate", f"{tool} synthesised the hls4ml project (its own estimate, before place and route)."


def _run_vivado(
    rtl: Path, config: HlsConfig, record: dict[str, Any], opened: dict[str, Any] | None
) -> tuple[str, str, str]:
    content = synthesize_with_vivado(rtl, config)
    record |= {key: content[key] for key in ("VivadoSynthReport", "TimingReport")}
    record["records"] += vivado_rows(content, config, opened)
    tool = f"vivado {content['version']}"
    return tool, "synthesis", f"{tool} synthesised the RTL out of context (synthesis, before place and route)."


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


def _rows(report: dict[str, float | int | None], opened: dict[str, Any] | None, tool: str) -> list[dict[str, Any]]:
    """The HLS tool next to the open figures: rows {name, open, vendor, tool, kind}."""
    ours = opened["CSynthesisReport"] if opened else {}
    return [
        {"name": name, "open": ours.get(key), "vendor": report[key], "tool": tool, "kind": "estimate"}
        for name, key in _SHOWN.items()
    ]
