"""Vivado, where it is on PATH: the same RTL that Yosys maps, out of context, with its reports as numbers.

Synthesis: the LUT count is before LUTs are combined and placed, the slack before anything is routed. Implementation:
opt, place and route of the synthesised design; its figures are the ones to quote.
"""

from pathlib import Path
from typing import Any, NamedTuple

from codae_l1.data.base.errors import InputError
from codae_l1.hls.rtl.build import TOP
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.target.parts import part
from codae_l1.hls.vendor._reports import Source, Subject
from codae_l1.hls.vendor._steps import Step, run_step
from codae_l1.hls.vendor._vivado_reports import Timing, Utilization, parse_timing, parse_utilization

STEPS = ("synthesis", "implementation")
# The folder of the scripts and reports, next to src/ of the RTL.
FOLDER = "vivado"
_LOG = "vivado.log"
_CHECKPOINT = "synthesis.dcp"


class VivadoResult(NamedTuple):
    """Utilisation and timing of one step."""

    utilization: Utilization
    timing: Timing


def rtl_source(rtl: Path | str) -> dict[str, bytes]:
    """Path -> content of what Vivado reads of a `build_rtl` folder: the pipeline, not the simulation's wrapper.

    InputError where the folder is not there or not whole.
    """
    source = Path(rtl) / "src"
    files = [path for suffix in ("v", "vhd", "mem") for path in sorted(source.rglob(f"*.{suffix}"))]
    files = [path for path in files if path.stem != f"{TOP}_wrapper"]
    if not any(path.parent == source and path.stem == TOP for path in files):
        raise InputError(f"{source / TOP}.v does not exist", "the Verilog of a finished RTL folder", "build it first")
    return {str(path.relative_to(rtl)): path.read_bytes() for path in files}


def rtl_steps(files: list[str], config: HlsConfig) -> list[Step]:
    """Synthesis and implementation; files: the paths of `rtl_source`."""
    has_uram = part(config.part).uram > 0

    def step(name: str, says: str, script: list[str], checkpoint: str, **more: Any) -> Step:
        command = ("vivado", "-mode", "batch", "-nojournal", "-nolog", "-notrace", "-source", f"{name}.tcl")
        texts = {f"{name}.tcl": "\n".join([f"set_param general.maxThreads {min(config.jobs, 8)}", *script]) + "\n"}
        texts["clock.xdc"] = f"create_clock -name clk -period {config.clock_period_ns:g} [get_ports clk]\n"
        reports = (f"{name}_utilization.rpt", f"{name}_timing.rpt")

        def read(found: list[tuple[str, Source]]) -> dict[str, Any]:
            result = VivadoResult(parse_utilization(*found[0], has_uram), parse_timing(*found[1]))
            for (_, source), part_of in zip(found, result, strict=False):
                source.check_subject(part_of.subject, Subject(config.part, TOP))
            return _as_json(name, result)

        more |= {"products": (checkpoint,), "files": texts, "folder": FOLDER}
        return Step(name, says, {"vivado": command}, reports, read, **more)

    synthesis, implementation = STEPS
    return [
        step(synthesis, "Vivado synthesises the RTL out of context", _synthesis(files, config), _CHECKPOINT),
        step(
            *(implementation, "Vivado places and routes it", _implementation(), "implementation.dcp"),
            needs=(synthesis,),
        ),
    ]


def _as_json(name: str, result: VivadoResult) -> dict[str, Any]:
    """hls4ml's keys of one step, and what they mean."""
    utilization, timing = result
    found: dict[str, Any] = {"VivadoSynthReport": utilization.report}
    if name == "implementation":
        found = {"ImplementationReport": utilization.implementation}
    return {
        **found,
        "TimingReport": timing.report,
        "TimingMet": timing.met,
        "DesignState": utilization.state,
        "version": utilization.version,
    }


def synthesize_with_vivado(rtl: Path | str, config: HlsConfig) -> dict[str, Any]:
    """Synthesise a `build_rtl` folder in its folder vivado/, reports and log kept there; the JSON of `_as_json`.

    Raises ToolError where Vivado fails, takes longer than config.tool_timeout_s or leaves a figure out.
    """
    rtl = Path(rtl)
    step = rtl_steps(list(rtl_source(rtl)), config)[0]
    return run_step(step, rtl, rtl / FOLDER / _LOG, config.tool_timeout_s)


def _synthesis(files: list[str], config: HlsConfig) -> list[str]:
    commands = {".v": "read_verilog", ".vhd": "read_vhdl -vhdl2008", ".mem": "read_mem"}
    return [
        f"set_part {config.part}",
        # Tcl takes a name in braces as it stands.
        *(f"{commands[Path(name).suffix]} {{../{name}}}" for name in files),
        "read_xdc -mode out_of_context clock.xdc",
        f"synth_design -top {TOP} -part {config.part} -mode out_of_context",
        *_reports("synthesis"),
        f"write_checkpoint -force {_CHECKPOINT}",
    ]


def _implementation() -> list[str]:
    return [
        f"open_checkpoint {_CHECKPOINT}",
        # A checkpoint made out of context may come without its clock.
        "if {[llength [get_clocks -quiet]] == 0} { read_xdc -mode out_of_context clock.xdc }",
        *("opt_design", "place_design", "phys_opt_design", "route_design"),
        *_reports("implementation"),
        "write_checkpoint -force implementation.dcp",
    ]


def _reports(name: str) -> list[str]:
    return [f"report_utilization -file {name}_utilization.rpt", f"report_timing_summary -file {name}_timing.rpt"]


def rows(found: dict[str, Any], config: HlsConfig, opened: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Beside the report of `codae_l1.hls.cost.synthesis.synthesize`: rows {name, open, vendor, tool, kind}."""
    ours = opened["CSynthesisReport"] if opened else {}
    used, slack = found["VivadoSynthReport"], found["TimingReport"]["WNS"]
    vendor = {
        **{name: used[key] for name, key in (("LUT", "LUT"), ("FF", "FF"), ("DSP", "DSP48E"))},
        **{name: used[name] for name in ("BRAM_18K", "URAM")},
        "clock period [ns]": round(config.clock_period_ns - slack, 3),
        "slack WNS [ns]": slack,
    }
    ours = {**ours, "clock period [ns]": ours.get("EstimatedClockPeriod")}
    label = {"tool": f"vivado {found['version']}, the RTL", "kind": "synthesis"}
    return [{"name": name, "open": ours.get(name), "vendor": value, **label} for name, value in vendor.items()]
