"""Resources and latency without vendor tools: Yosys maps the pipeline, and each figure says how it was determined.

LUT is the sum of LUT1..LUT6 primitives (and shift registers in LUTs) after Yosys' `synth_xilinx` for UltraScale+, in an
order that keeps da4ml's adders. Large stages are mapped separately, out of context and in parallel; the top module
with its registers and the small stages is mapped with these as black boxes.
Cycles are counted in the simulation (`codae_l1.hls.rtl.clocks`) if there is one; otherwise they are da4ml's stages.
The report says which. What place and route is expected to give, and the bands: `codae_l1.hls.cost._estimates`.
"""

import concurrent.futures
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from codae_l1.data.base import children
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_json, scratch_folder, writing
from codae_l1.data.base.logs import keep_log, tail
from codae_l1.data.base.progress import Progress
from codae_l1.hls.cost._estimates import beyond_reach, estimates, period_ns
from codae_l1.hls.network.executor import RtlDesign
from codae_l1.hls.rtl.build import TOP
from codae_l1.hls.rtl.clocks import ClockCount
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.target.parts import part

# A stage of more than this fraction of the Verilog is mapped separately.
LARGE_SHARE = 0.15

_LUTS = tuple(f"LUT{n}" for n in range(1, 7))
_SHIFT_REGISTERS = ("SRL16E", "SRLC16E", "SRLC32E")
_FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1")
# Memories in LUTs -> LUTs of each (AMD UG574).
_LUT_RAMS = {"RAM32M": 4, "RAM32M16": 8, "RAM64M": 4, "RAM64M8": 8}
_LUT_RAMS |= {"RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8}


def synthesize(
    folder: Path | str,
    config: HlsConfig,
    progress: Progress | None = None,
    clocks: ClockCount | None = None,
) -> dict[str, Any]:
    """Map the Verilog of a `build_rtl` folder; return the report, JSON-ready (see `_report`).

    clocks: what `count_clocks` found in the simulation.

    Raises ToolError where Yosys fails or takes longer than config.tool_timeout_s, InputError on a full disk.
    """
    folder = Path(folder)
    design = RtlDesign.read(folder / "design.json", "run the synthesize stage again")
    logs = folder / "yosys"
    total, creator = Counter(), ""
    with (
        writing(logs),
        scratch_folder() as scratch,
        children.threads(config.jobs) as pool,
    ):
        logs.mkdir(exist_ok=True)
        jobs = _jobs(folder, design.stages, Path(scratch))
        waiting = [pool.submit(map_module, name, files, Path(scratch), logs, config) for name, files in jobs]
        for done, finished in enumerate(concurrent.futures.as_completed(waiting)):
            result = finished.result()
            creator = result["creator"]
            total.update(result["cells"])
            if progress is not None:
                progress(done + 1, len(jobs), f"Yosys mapped {done + 1} of {len(jobs)} modules")
    return _report(design, dict(total), creator, config, clocks)


def _report(
    design: RtlDesign, cells: dict[str, int], creator: str, config: HlsConfig, clocks: ClockCount | None = None
) -> dict[str, Any]:
    """The synthesis report from cell counts: resources, hls4ml's keys, latency, estimates with their bands.

    Keys: resources {LUT, FF, DSP, BRAM_18K, URAM, tool, kind}, CSynthesisReport (hls4ml's keys, numbers),
    latency_cycles, latency_ns, interval_cycles, latency_tool, latency_how, interval_how (see `_timing`),
    clock_period_ns, beyond_reach (why no such design reaches the clock, or ""), part, estimates [{name, value, how,
    ...}], cells.
    """
    tool = " ".join(creator.split()[:2])
    resources = count_resources(cells)
    timing, period = _timing(design, clocks), config.clock_period_ns
    cycles, interval = timing["latency_cycles"], timing["interval_cycles"]
    found = {key: resources[key] for key in ("LUT", "FF", "DSP", "BRAM_18K", "URAM")}
    return {
        "resources": {**resources, "tool": tool, "kind": "synthesis"},
        **timing,
        "latency_ns": cycles * period,
        "clock_period_ns": period,
        "beyond_reach": beyond_reach(design.latency_cutoff, period),
        "part": config.part,
        "CSynthesisReport": {
            "TargetClockPeriod": period,
            "EstimatedClockPeriod": round(period_ns(design.latency_cutoff), 2),
            "BestLatency": cycles,
            "WorstLatency": cycles,
            "IntervalMin": interval,
            "IntervalMax": interval,
            **found,
            **{f"Available{key}": value for key, value in part(config.part).available.items()},
        },
        "estimates": estimates(design, resources, tool, cells.get("INV", 0)),
        "da4ml_cost": design.da4ml_cost,
        "cells": dict(sorted(cells.items())),
    }


def _timing(design: RtlDesign, clocks: ClockCount | None) -> dict[str, Any]:
    """Latency and interval with how they were got: counted in simulation where it was, else what da4ml built."""
    if clocks is None or clocks.latency_cycles is None or clocks.interval_cycles is None:
        why = "the pipeline was not simulated" if clocks is None else "every simulated event has the same word"
        how = f"not counted ({why}); {design.tool} built it so"
        timing = {"latency_cycles": design.stages, "interval_cycles": 1, "latency_tool": design.tool}
        return {**timing, "latency_how": how, "interval_how": how}
    return {
        "latency_cycles": clocks.latency_cycles,
        "interval_cycles": clocks.interval_cycles,
        "latency_tool": clocks.tool,
        "latency_how": f"counted in simulation ({clocks.tool}) on {clocks.steps} steps of the input, "
        "from the clock edge that takes an event in to the one that puts its word out; logic that reads the word takes "
        "it in at the next edge",
        "interval_how": f"counted in simulation ({clocks.tool}) on {clocks.events} different events back to back",
    }


def count_resources(cells: dict[str, int]) -> dict[str, int]:
    """Cell counts -> resources; memories in LUTs count as LUTs."""

    def total(names: tuple[str, ...]) -> int:
        return sum(cells.get(name, 0) for name in names)

    return {
        "LUT": total(_LUTS) + total(_SHIFT_REGISTERS) + sum(n * cells.get(name, 0) for name, n in _LUT_RAMS.items()),
        "FF": total(_FLIP_FLOPS),
        "DSP": sum(n for name, n in cells.items() if name.startswith("DSP")),
        "BRAM_18K": sum(n * (2 if "36" in name else 1) for name, n in cells.items() if name.startswith("RAMB")),
        "URAM": sum(n for name, n in cells.items() if name.startswith("URAM")),
    }


def _jobs(folder: Path, stages: int, scratch: Path) -> list[tuple[str, list[Path]]]:
    """(module, its files), the largest first: each large stage alone, then the top module with the others."""
    source = folder / "src"
    static = [path for path in sorted((source / "static").glob("*.v")) if path.stem != "lookup_table"]
    files = [source / f"{TOP}_stage{i}.v" for i in range(stages)]
    for path in (*files, source / f"{TOP}.v"):
        if not path.is_file():
            raise InputError(f"{path} does not exist", "the Verilog of a finished RTL folder", "build the RTL first")
    if any("lookup_table #" in path.read_text() for path in files):
        table = scratch / "lookup_table.v"
        table.write_text(plain_tables((source / "static" / "lookup_table.v").read_text()))
        static.append(table)
    files.sort(key=lambda path: -path.stat().st_size)
    total = sum(path.stat().st_size for path in files)
    large = [path for path in files if path.stat().st_size > LARGE_SHARE * total]
    black_boxes = scratch / "black_boxes.v"
    black_boxes.write_text("\n".join(black_box(path) for path in large))
    small = [path for path in files if path not in large]
    jobs = [(path.stem, [path, *static]) for path in large]
    return [*jobs, (TOP, [source / f"{TOP}.v", black_boxes, *small, *static])]


def plain_tables(verilog: str) -> str:
    """Verilog without the attribute rom_style, which would keep Yosys from mapping tables as logic.

    >>> plain_tables('(* rom_style = (BW_IN <= 999) ? "distributed" : "block" *) reg x;')
    'reg x;'
    """
    return re.sub(r"\(\*\s*rom_style\b.*?\*\)\s*", "", verilog, flags=re.DOTALL)


def black_box(path: Path) -> str:
    """The empty module of a stage."""
    header = re.search(r"module .*?\);", path.read_text(), re.DOTALL)
    assert header is not None
    return f"(* blackbox *)\n{header.group()}\nendmodule\n"


def map_module(name: str, files: list[Path], scratch: Path, logs: Path, config: HlsConfig) -> dict[str, Any]:
    """Map one module by Yosys in a process of its own: {"creator": Yosys' version, "cells": {type: count}}."""
    out, log = scratch / f"{name}.json", logs.resolve() / f"{name}.log"
    log.unlink(missing_ok=True)
    arguments = ["xcup", name, str(out), str(log), *(str(path.resolve()) for path in files)]
    command = [sys.executable, "-m", "codae_l1.hls.cost._yosys_job", *arguments]
    try:
        # Tables are read from where their memory files lie.
        tables = files[0].parent / "memfiles"
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        place = tables if tables.is_dir() else None
        status = children.run(command, config.tool_timeout_s, cwd=place, **output)
    except subprocess.TimeoutExpired:
        raise _failure(name, f"took longer than hls.tool_timeout_s = {config.tool_timeout_s:g}", log) from None
    if status.returncode or not out.is_file():
        how = f"was killed by signal {-status.returncode}" if status.returncode < 0 else f"failed ({status.returncode})"
        raise _failure(name, how, log)
    return read_json(out)


def _failure(name: str, how: str, log: Path) -> ToolError:
    return ToolError(
        f"Yosys {how} on module {name}: {tail(log)}",
        "a clean run of pyosys",
        f"read the log {keep_log(log, always=False)}, or give it more time or memory",
    )
