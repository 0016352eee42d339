"""HLS and RTL projects of a run's firmware: what is asked for, the project, and whether its words are QKeras's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import parse
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_array
from codae_l1.data.base.progress import Progress
from codae_l1.data.base.words import WordType
from codae_l1.data.pooling import input_counts
from codae_l1.hls.hls4ml.check import check_project
from codae_l1.hls.hls4ml.prediction import predict_project
from codae_l1.hls.hls4ml.project import HlsProject, write_project
from codae_l1.hls.network import mismatch
from codae_l1.hls.network.records import Network, firmware_network
from codae_l1.hls.rtl.build import RtlSimulation, build_rtl
from codae_l1.hls.rtl.probes import shown_layers
from codae_l1.hls.rtl.vhdl import VhdlSimulation, build_vhdl
from codae_l1.hls.target.config import OTHER_PARTS, HlsConfig
from codae_l1.hls.trigger.export_config import check_namespace
from codae_l1.quantization.f_m.network import FirmwareModel
from codae_l1.scripts.run.events import read_split
from codae_l1.scripts.run.executors import open_firmware
from codae_l1.scripts.run.run import Run
from codae_l1.scripts.run.stages import STAGES

RTL = ("Verilog", "VHDL")
# Random inputs beside the events, single cells and full images.
_RANDOM_EVENTS = 300


def outside_stages(run: Run, out: Path) -> None:
    """Refuse a folder below those of the run's stages: what they made would be replaced."""
    for name in STAGES:
        folder = (run.folder / name).resolve()
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


@dataclass(frozen=True)
class Choice:
    """What a project is asked to be; None keeps what the run's [hls] says.

    backend: of hls4ml, or Verilog or VHDL. reuse: a number, or LAYER=number. clock: period in ns.
    """

    backend: str | None = None
    io: str | None = None
    strategy: str | None = None
    reuse: tuple[str, ...] = ()
    parallel_pixels: int | None = None
    part: str | None = None
    clock: float | None = None
    namespace: str | None = None


def configuration(choice: Choice, base: HlsConfig) -> tuple[HlsConfig, str]:
    """(HlsConfig of the run with what is chosen, RTL language or an empty string)."""
    language = choice.backend if choice.backend in RTL else ""
    plain = {"io": (None, "io_parallel"), "strategy": (None, "distributed_arithmetic"), "parallel_pixels": (None, 0)}
    if language and (set(choice.reuse) - {"1"} or any(getattr(choice, k) not in v for k, v in plain.items())):
        expected = "none of --io io_stream, --strategy latency or resource, --reuse above 1, --parallel-pixels"
        remedy = "its pipeline adds all at once: drop them"
        raise InputError(f"--backend {language} with options of HLS", expected, remedy)
    if choice.namespace is not None:
        if language != "VHDL":
            raise InputError(
                f"--namespace without --backend {RTL[1]}", "both", "leave it out; Verilog of a namespace is export's"
            )
        check_namespace(choice.namespace)
    backend = base.backend if language or choice.backend is None else choice.backend
    given: dict[str, Any] = {"backend": backend, **reuse_factors(choice.reuse)}
    pairs = {"io_type": "io", "strategy": "strategy", "clock_period_ns": "clock", "parallel_pixels": "parallel_pixels"}
    given |= {key: getattr(choice, name) for key, name in pairs.items() if getattr(choice, name) is not None}
    if choice.part or backend != base.backend:
        same_vendor = (backend in OTHER_PARTS) == (base.backend in OTHER_PARTS) and backend not in OTHER_PARTS
        given["part"] = choice.part or (base.part if same_vendor else OTHER_PARTS.get(backend, type(base)().part))
    # As from a config, whose limits hold here as well.
    return parse(HlsConfig, given, "hls", base), language


def reuse_factors(words: Sequence[str]) -> dict[str, Any]:
    """["4", "conv1=9"] -> {"reuse_factor": 4, "layer_reuse": {"conv1": 9}}; nothing given changes nothing.

    >>> reuse_factors(["conv1=9"])
    {'layer_reuse': {'conv1': 9}}
    """
    numbers: dict[str, int] = {}
    for word in words:
        layer, equals, number = word.rpartition("=")
        # Ten digits hold what HlsConfig takes; it names what is too large.
        if not re.fullmatch("[0-9]{1,10}", number) or (equals and not layer):
            raise InputError(f"--reuse {word}", "a whole number, or LAYER=number", "correct it")
        if layer in numbers:
            of = f"for {layer}" if layer else "for all layers"
            raise InputError(f"--reuse {numbers[layer]} and {number} {of}", "one number", "leave one out")
        numbers[layer] = int(number)
    found: dict[str, Any] = {"reuse_factor": numbers.pop("")} if "" in numbers else {}
    return found | ({"layer_reuse": numbers} if numbers else {})


def firmware_and_inputs(run: Run, n_events: int) -> tuple[FirmwareModel, np.ndarray]:
    """The run's QKeras firmware; counts (N, 18, 15, inputs) of n_events test events, then those that overflow."""
    firmware, events = open_firmware(run), read_split(run, "test", background_only=False)
    chosen = np.unique(np.linspace(0, len(events) - 1, min(n_events, len(events))).astype(int))
    counts = input_counts(events.images[chosen], firmware.config.pooling)
    overflowing = mismatch.adversarial_counts(firmware.config, run.config.seed, _RANDOM_EVENTS)
    return firmware, np.concatenate([counts, overflowing])


def make_project(
    firmware: FirmwareModel,
    config: HlsConfig,
    language: str,
    out: Path,
    inputs: np.ndarray,
    progress: Progress | None = None,
    namespace: str = "",
) -> dict[str, Any]:
    """Write the project, compile and compare it where that can be. namespace: of VHDL's entities.

    The record is hls4ml's project.json (or RTL's design.json) with not_compiled, comparison (None where not compiled)
    and, of HLS projects, notes and forecast.
    """
    network, output = firmware_network(firmware)
    if language:
        record, executor = _make_rtl(network, output, config, language, out, progress, namespace)
    else:
        notes = [str(note) for note in check_project(network, config)]
        record = write_project(firmware.model, network, output, config, out, progress)
        record |= {"notes": notes, "forecast": predict_project(network, config).as_dict()}
        executor = None if record["not_compiled"] else HlsProject(out)
    if executor is None:
        return record | {"comparison": None, "agreement": ""}
    found = mismatch.compare(firmware, executor, inputs)
    return record | {"comparison": found.as_dict(), "agreement": str(found)}


def _make_rtl(
    network: Network,
    output: WordType,
    config: HlsConfig,
    language: str,
    out: Path,
    progress: Progress | None,
    namespace: str,
) -> tuple[dict[str, Any], RtlSimulation | VhdlSimulation | None]:
    if language == "Verilog":
        record = build_rtl(network, output, config, out, progress).as_dict()
        probes = (
            list(shown_layers(read_array(out / "probes.npy", "the wires of the layers"), record["layers"])) or "none"
        )
        record |= {"language": language, "not_compiled": "", "probes": probes}
        return record, RtlSimulation(out, config.jobs)
    record = build_vhdl(network, output, config, out, progress, namespace).as_dict()
    try:
        return {**record, "not_compiled": ""}, VhdlSimulation(out, config)
    except ToolError as error:
        return {**record, "not_compiled": f"written, not simulated: {error}"}, None
