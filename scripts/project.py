"""One HLS or RTL project of a run's firmware, its effective configuration, and whether its words are QKeras's.

    python scripts/project.py --run runs/demo --backend Vivado --io io_stream --strategy resource --reuse 3 --out DIR

--backend: an hls4ml backend, or Verilog or VHDL for the multiplier-free pipeline of da4ml. Known failures are said
before anything is converted. Where the emulation can be compiled here it is compared with QKeras, word for word, on
test events and on inputs that make words overflow; events that differ end it with status 1. All that is printed is in
DIR/project.json (of RTL: design.json).
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import write_json
from codae_l1.data.base.progress import Progress
from codae_l1.scripts.run import cli, stage

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


RTL = ("Verilog", "VHDL")
# Random inputs beside the events, single cells and full images.
RANDOM_EVENTS = 300


def command() -> None:
    """Parse the arguments, make the project, print what came of it."""
    from codae_l1.hls.target.config import BackendName, IoType, Strategy

    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with the stage quantize done")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; a project there is replaced")
    parser.add_argument("--backend", choices=(*BackendName.__args__, *RTL), help="default: the run's hls.backend")
    parser.add_argument("--io", choices=IoType.__args__, help="default: the run's hls.io_type")
    parser.add_argument("--strategy", choices=Strategy.__args__, help="default: the run's hls.strategy")
    parser.add_argument("--reuse", nargs="+", default=[], metavar="N", help="reuse factor; LAYER=N for a layer's own")
    parser.add_argument("--parallel-pixels", type=int, help="pixels of a convolution at once, 0 for all")
    parser.add_argument("--part", help="default: the run's, or what hls4ml names for another vendor's backend")
    parser.add_argument("--clock", type=float, help="clock period in ns (default: the run's)")
    parser.add_argument("--events", type=int, default=300, help="test events to compare")
    arguments = parser.parse_args()
    if arguments.events < 1:
        raise InputError(f"--events {arguments.events}", "a number >= 1", "correct it")

    from codae_l1.data.base.files import replaceable
    from codae_l1.hls.hls4ml.project import MARKS

    replaceable(arguments.out, MARKS)
    run = stage.open_run(arguments.run, None)
    cli.import_tensorflow()
    outside_stages(run, arguments.out)

    from codae_l1.scripts.run.folder import stamp

    config, language = configuration(arguments, run.config.hls)
    firmware, inputs = firmware_and_inputs(run, arguments.events)
    with cli.Progress("project") as progress:
        record = make(firmware, config, language, arguments.out, inputs, progress)
    file = arguments.out / ("design.json" if language else "project.json")
    write_json(file, {**record, "stamp": stamp(run.config.seed)})
    print(text(record))
    print(file, flush=True)
    fail_where_different([record])


def outside_stages(run: "Run", out: Path) -> None:
    """Refuse a folder below those of the run's stages: what they made would be replaced."""
    from codae_l1.scripts.run.stages import STAGES

    for name in STAGES:
        folder = run.path(name).resolve()
        if out.resolve().is_relative_to(folder):
            raise InputError(
                f"--out {out} is in the folder of the run's stage {name}, whose artifacts would be replaced",
                "a folder of its own",
                f"take for example {run.folder / 'project'}",
            )


def fail_where_different(records: list[dict[str, Any]]) -> None:
    """End the command with status 1 where a record's comparison counts events that differ."""
    if any((record.get("comparison") or {}).get("different") for record in records):
        raise SystemExit(1)


def configuration(arguments: Any, base: Any) -> tuple[Any, str]:
    """(HlsConfig of the run with what the arguments say, RTL language or an empty string)."""
    from codae_l1.hls.target.config import OTHER_PARTS

    language = arguments.backend if arguments.backend in RTL else ""
    plain = {"io": (None, "io_parallel"), "strategy": (None, "distributed_arithmetic"), "parallel_pixels": (None, 0)}
    if language and (set(arguments.reuse) - {"1"} or any(getattr(arguments, k) not in v for k, v in plain.items())):
        expected = "none of --io io_stream, --strategy latency or resource, --reuse above 1, --parallel-pixels"
        raise InputError(
            f"--backend {language} with options of HLS", expected, "its pipeline adds all at once: drop them"
        )
    backend = base.backend if language or arguments.backend is None else arguments.backend
    given: dict[str, Any] = {"backend": backend, **reuse_factors(arguments.reuse)}
    pairs = {"io_type": "io", "strategy": "strategy", "clock_period_ns": "clock", "parallel_pixels": "parallel_pixels"}
    given |= {key: getattr(arguments, name) for key, name in pairs.items() if getattr(arguments, name) is not None}
    if arguments.part or backend != base.backend:
        same_vendor = (backend in OTHER_PARTS) == (base.backend in OTHER_PARTS) and backend not in OTHER_PARTS
        given["part"] = arguments.part or (base.part if same_vendor else OTHER_PARTS.get(backend, type(base)().part))
    return dataclasses.replace(base, **given), language


def reuse_factors(words: list[str]) -> dict[str, Any]:
    """["4", "conv1=9"] -> {"reuse_factor": 4, "layer_reuse": {"conv1": 9}}; nothing given changes nothing.

    >>> reuse_factors(["conv1=9"])
    {'layer_reuse': {'conv1': 9}}
    """
    found: dict[str, Any] = {}
    for word in words:
        layer, equals, number = word.rpartition("=")
        if not number.isdigit() or (equals and not layer):
            raise InputError(f"--reuse {word}", "a whole number, or LAYER=number", "correct it")
        if layer:
            found.setdefault("layer_reuse", {})[layer] = int(number)
        else:
            found["reuse_factor"] = int(number)
    return found


def firmware_and_inputs(run: "Run", n_events: int) -> tuple[Any, np.ndarray]:
    """The run's QKeras firmware; counts (N, 18, 15, inputs) of n_events test events, then those that overflow."""
    from codae_l1.data.pooling import input_counts
    from codae_l1.hls.network.mismatch import adversarial_counts
    from codae_l1.scripts.run.events import read_split
    from codae_l1.scripts.run.executors import open_firmware

    firmware, events = open_firmware(run), read_split(run, "test", qcd_only=False)
    chosen = np.unique(np.linspace(0, len(events) - 1, min(n_events, len(events))).astype(int))
    counts = input_counts(events.images[chosen], firmware.config.pooling)
    return firmware, np.concatenate([counts, adversarial_counts(firmware.config, run.config.seed, RANDOM_EVENTS)])


def make(
    firmware: Any,
    config: Any,
    language: str,
    out: Path,
    inputs: np.ndarray,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the project, compile and compare it where that can be.

    The record is hls4ml's project.json (or RTL's design.json) with not_compiled, comparison (None where not compiled)
    and, of HLS projects, notes and forecast.
    """
    from codae_l1.hls.hls4ml.check import check_project
    from codae_l1.hls.hls4ml.prediction import predict_project
    from codae_l1.hls.hls4ml.project import HlsProject, write_project
    from codae_l1.hls.network.mismatch import compare
    from codae_l1.hls.network.records import firmware_network

    network, output = firmware_network(firmware)
    if language:
        record, executor = _make_rtl(network, output, config, language, out, progress)
    else:
        notes = [str(note) for note in check_project(network, config)]
        record = write_project(firmware.model, network, output, config, out, progress)
        record |= {"notes": notes, "forecast": predict_project(network, config).as_dict()}
        executor = None if record["not_compiled"] else HlsProject(out)
    if executor is None:
        return record | {"comparison": None, "agreement": ""}
    mismatch = compare(firmware, executor, inputs)
    return record | {"comparison": mismatch.as_dict(), "agreement": str(mismatch)}


def _make_rtl(
    network: Any, output: Any, config: Any, language: str, out: Path, progress: Any
) -> tuple[dict[str, Any], Any]:
    from codae_l1.hls.rtl.build import RtlSimulation, build_rtl
    from codae_l1.hls.rtl.probes import shown_layers
    from codae_l1.hls.rtl.vhdl import VhdlSimulation, build_vhdl

    if language == "Verilog":
        record = build_rtl(network, output, config, out, progress).as_dict()
        probes = list(shown_layers(np.load(out / "probes.npy"), record["layers"])) or "none"
        record |= {"language": language, "not_compiled": "", "probes": probes}
        return record, RtlSimulation(out, config.jobs)
    record = build_vhdl(network, output, config, out, progress).as_dict()
    try:
        return {**record, "not_compiled": ""}, VhdlSimulation(out, config)
    except ToolError as error:
        return {**record, "not_compiled": f"written, not simulated: {error}"}, None


def text(record: dict[str, Any]) -> str:
    """What a reader wants to know of a project."""
    from codae_l1.hls.hls4ml.effective import effective_table

    if "language" in record:
        head = (
            f"{record['tool']}, {record['language']}: {record['operations']:,} operations in {record['stages']} stages"
        )
        lines = [head, f"{record['part']}, {record['clock_period_ns']:g} ns, a new event every clock"]
        if "probes" in record:
            names = record["probes"]
            lines.append(f"layers that the simulation can show: {names if names == 'none' else ', '.join(names)}")
    else:
        lines = [effective_table(record)]
        cost = record["forecast"]
        clocks = (
            f"an event in {cost['latency_cycles_forecast']:,} clocks or more, the next one after "
            f"{cost['interval_cycles_forecast']:,}"
            if cost["interval_cycles_forecast"]
            else f"no clocks, for the loops of {record['backend']} are not known"
        )
        lines.append(f"forecast, no synthesis: {cost['multiplications']:,} multipliers, {clocks}")
    return "\n".join([*lines, record["not_compiled"] or record["agreement"]])


if __name__ == "__main__":
    cli.run(command)
