"""Stage synthesize: the firmware f_m as Verilog, its clocks counted in simulation, its resources; vendor tools' too.

    python scripts/synthesize.py --run runs/demo
    python scripts/synthesize.py --firmware data/sample/f_m.npz --out build/f_m

Reads quantize/f_m.npz and convert/hls4ml/. Writes synthesize/rtl/ and synthesize.json.

The stage has three parts: the trace with its Verilog, the compiled simulation, and Yosys. Each leaves a record in
synthesize/parts/ when it is done: what it was made from, its result, and the sums of its files. A stage that was killed
goes on with the first part that has no record, or whose files are not those of its record.

--firmware maps a network from a file, without a run or a training: RTL, clocks and resources into OUT, and the RTL's
words compared with QKeras'. data/sample/f_m.npz is the network of the README's table.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, sha256, write_json
from codae_l1.data.base.keep import digest
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.options import Companions

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run

# Part -> patterns of what it writes in synthesize/.
_WRITES = {
    "trace": ("rtl/*.json", "rtl/*.np[yz]", "rtl/src/**/*", "rtl/sim/*.cc", "rtl/sim/*.hh"),
    "simulation": ("rtl/sim/*.so",),
    "yosys": (),
}


def work(run: "Run") -> dict[str, Any]:
    """Trace and write the RTL, count its clocks in simulation, map it with Yosys; Vitis HLS and Vivado if on PATH."""
    from codae_l1.data.base.config import dump
    from codae_l1.data.base.keep import made_from, without_speed
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.network.executor import RtlDesign
    from codae_l1.hls.rtl.build import TOP, build_rtl, source_digest
    from codae_l1.hls.rtl.clocks import ClockCount, count_clocks
    from codae_l1.hls.rtl.verilator import compile_simulation
    from codae_l1.hls.vendor.run import run_vendor
    from codae_l1.scripts.run.cli import Progress

    config, folder = run.config.hls, run.path("synthesize", "rtl")

    def trace() -> None:
        from codae_l1.hls.network.records import firmware_network

        network = firmware_network(run.path("quantize", "f_m.npz"))
        with Progress("synthesize, RTL") as progress:
            build_rtl(*network, config, folder, progress, simulate=False)

    def simulation() -> dict[str, Any]:
        print("synthesize: compiling the simulation", flush=True)
        compile_simulation(folder, TOP, config)
        return count_clocks(folder).as_dict()

    def yosys() -> dict[str, Any]:
        with Progress("synthesize, Yosys") as progress:
            return synthesize(folder, config, progress, clocks)

    # The stage's own sum stands for code, versions and the stages before; the rest is for a file that was put there.
    made_of: list[Any] = [made_from(run.path("synthesize")), without_speed(dump(config))]
    _part(run, "trace", [*made_of, sha256(run.path("quantize", "f_m.npz"))], trace)
    design, made_of = RtlDesign.read(folder / "design.json", "run the stage again"), [*made_of, source_digest(folder)]
    clocks = ClockCount(**_part(run, "simulation", [*made_of, sha256(folder / "interpreter.npz")], simulation))
    report = _part(run, "yosys", [*made_of, clocks.as_dict(), design.as_dict()], yosys)
    with Progress("synthesize, vendor") as progress:
        vendor = run_vendor(run.path("convert", "hls4ml"), config, progress, folder, report, strict=False)
    resources = report["resources"]
    return {
        "summary": f"{resources['LUT']:,} LUT, {resources['FF']:,} FF, {resources['DSP']} DSP, {resources['BRAM_18K']} "
        f"BRAM by {resources['tool']}; {report['latency_cycles']} cycles = {report['latency_ns']:g} ns"
        f"{report['beyond_reach'] and '; ' + report['beyond_reach']}",
        **report,
        "design": design.as_dict(),
        "clocks": clocks.as_dict(),
        "vendor": vendor,
    }


def _part(run: "Run", name: str, made_of: list[Any], make: Callable[[], Any]) -> Any:
    """What `make` gives, JSON-ready: from the part's record, where it is of the same inputs and its files are whole."""
    folder = run.path("synthesize")
    record, asked = folder / "parts" / f"{name}.json", digest(made_of)
    kept = _read(record)
    if kept.get("made_of") == asked and kept["files"] == _sums(folder, name):
        print(f"synthesize: {name} is kept from before", flush=True)
        return kept["result"]
    record.unlink(missing_ok=True)
    made = {"made_of": asked, "result": make(), "files": _sums(folder, name)}
    write_json(record, {**made, "sum": digest(made)})
    return read_json(record)["result"]


def _read(record: Path) -> dict[str, Any]:
    """A part's record; empty where there is none, or it is not as it was written."""
    try:
        kept = read_json(record)
    except InputError:
        return {}
    return kept if isinstance(kept, dict) and kept.pop("sum", None) == digest(kept) else {}


def _sums(folder: Path, name: str) -> dict[str, str]:
    """File that a part has written, relative to the stage's folder -> its SHA-256."""
    files = {path for pattern in _WRITES[name] for path in folder.glob(pattern) if path.is_file()}
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(files)}


def _command() -> None:
    """The stage of a run, or a network from a file."""
    parser = cli.parser(__doc__)
    stage.add_run_arguments(parser)
    parser.add_argument("--firmware", type=Path, metavar="FILE", help="a network, f_m.npz, to map without a run")
    alone = Companions(parser, "--firmware")
    alone.add("--out", "folder to write", type=Path)
    arguments = parser.parse_args()
    alone.settle(arguments)
    if arguments.firmware is None:
        stage.do(stage.open_run(arguments.run, arguments.config, arguments.update), "synthesize", work)
        return
    from codae_l1.scripts._map_firmware import map_file

    map_file(arguments)


if __name__ == "__main__":
    cli.run(_command)
