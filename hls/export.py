"""What an integrator takes away: emulator, golden vectors, Verilog with its testbenches, interface file, checksums.

Folder (whole or not there):
emulator/        C++17 sources (codae_l1.hls.emulator), thresholds and kill switch, and selftest.cpp
vectors/         golden vectors (codae_l1.hls.vectors)
rtl/             Verilog: the pipeline, the trigger around it (codae_l1.hls.wrapper), a testbench of each
interface.json   ports, words, latency, interval, thresholds with their rates, resources, version, checksum
selftest.sh      compiles the emulator with g++ alone, checks the vectors and SHA256SUMS
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.artifact import read_json, sha256
from codae_l1.data.errors import InputError
from codae_l1.data.pooling import TOWER_LSB_GEV, pool_towers, tower_words
from codae_l1.data.words import WordType
from codae_l1.hls.config import HlsConfig
from codae_l1.hls.emulator import NAMESPACE, emulator_sources, fill, values_of, version_word
from codae_l1.hls.folders import whole_folder
from codae_l1.hls.network import read_network
from codae_l1.hls.rtl import TOP, Interpreter, input_words
from codae_l1.hls.thresholds import Decision, WorkingPoint
from codae_l1.hls.vectors import Vectors
from codae_l1.hls.verilator import call_logged, run_testbench
from codae_l1.hls.wrapper import FILES, TriggerRtl, adversarial_towers
from codae_l1.hls.wrapper_cost import wrapper_resources
from codae_l1.quantization.firmware import FirmwareModel, input_word, output_word

_LOG = "selftest.log"
# Testbenches and their templates: of the pipeline, of the trigger.
TESTBENCHES = {f"{TOP}_tb.v": "testbench.v", f"{TOP}_trigger_tb.v": "trigger_tb.v"}


@dataclass(frozen=True)
class ExportConfig:
    """namespace: C++ namespace and file names of the emulator. slices: clocks in which an event's towers come in.

    simulate: also run both testbenches (Verilator). measure: map the trigger's own logic (Yosys). seed: of the towers
    that overflow and of the testbench's pauses.
    """

    namespace: str = NAMESPACE
    slices: int = 1
    simulate: bool = False
    measure: bool = True
    seed: int = 1


def export(
    firmware: FirmwareModel,
    rtl: Path | str,
    images: np.ndarray,
    counts: np.ndarray,
    points: Sequence[WorkingPoint],
    config: HlsConfig,
    folder: Path | str,
    options: ExportConfig = ExportConfig(),
    facts: dict[str, Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Write the folder, run its self-test, return interface.json.

    rtl: folder of `build_rtl` of the same firmware. images: (M, 72, 58, 3) GeV, pooled into the first vectors, towers
    that overflow after them; counts: (N, *input_shape) integers, further vectors, for the network alone. points: where
    to accept. facts: more for interface.json (resources of the pipeline, stamp).
    Raises ToolError where the self-test fails, or a testbench does.
    """
    say, rtl = progress or (lambda done, total, text: None), Path(rtl)
    design, pooling = read_json(rtl / "design.json"), firmware.config.pooling
    network, made = read_network(firmware.model, input_word(firmware.config)), output_word(firmware.config)
    decision = Decision(tuple(points), firmware.sign, firmware.component)
    sources, emulator = emulator_sources(network, made, pooling, options.namespace, decision)
    trigger = TriggerRtl(design, pooling, decision, options.slices, emulator["version"], emulator["checksum"])
    vectors = _vectors(firmware, rtl, trigger, images, counts, options.seed)
    interface = _interface(trigger, emulator, config, len(images), vectors)
    with whole_folder(folder) as temporary:
        _write_texts(temporary / "emulator", sources | {"selftest.cpp": fill("selftest.cpp", values_of(emulator))})
        _write_texts(temporary / "vectors", vectors.texts())
        vectors.write_hdf5(temporary / "vectors" / "vectors.h5", options.namespace)
        _write_rtl(temporary / "rtl", rtl, trigger, vectors, options.seed)
        say(1, 4, "the trigger's own logic")
        wrapper = wrapper_resources(temporary / "rtl", trigger, config) if options.measure else None
        interface |= {**(facts or {}), **_resources((facts or {}).get("resources"), wrapper)}
        say(2, 4, "testbenches" if options.simulate else "no testbench asked for")
        interface["simulated"] = _simulate(temporary / "rtl", config) if options.simulate else None
        _write_texts(temporary, {"interface.json": json.dumps(interface, indent=1) + "\n"})
        _write_texts(temporary, {"selftest.sh": fill("selftest.sh", {})})
        files = sorted(p for p in temporary.rglob("*") if p.is_file())
        sums = "".join(f"{sha256(p)}  {p.relative_to(temporary)}\n" for p in files)
        _write_texts(temporary, {"SHA256SUMS": sums})
        say(3, 4, "self-test")
        log = temporary / _LOG
        call_logged(["sh", "selftest.sh"], temporary, log, config, "The self-test")
        log.unlink()
    return interface


def _vectors(
    firmware: FirmwareModel, rtl: Path, trigger: TriggerRtl, images: np.ndarray, counts: np.ndarray, seed: int
) -> Vectors:
    """Events, towers that overflow, then counts; InputError where the RTL gives other words than QKeras."""
    top = (1 << max(field["bits"] for field in trigger.fields)) - 1
    towers = np.concatenate([tower_words(images, trigger.pooling), adversarial_towers(trigger.pooling, top, seed)])
    inputs = input_words(trigger.design, np.concatenate([pool_towers(towers, trigger.pooling), counts]))
    inputs = inputs.reshape(-1, *firmware.config.input_shape)
    words = firmware.predict_words(inputs)
    different = int((Interpreter(rtl).predict_words(inputs) != words).any(axis=1).sum())
    if different:
        raise InputError(
            f"the RTL in {rtl} gives other words than the firmware on {different} of {len(words)} vectors",
            "the RTL of this firmware",
            "run the synthesize stage again",
        )
    return Vectors(trigger, towers, inputs, words)


def _interface(
    trigger: TriggerRtl, emulator: dict[str, Any], config: HlsConfig, images: int, vectors: Vectors
) -> dict[str, Any]:
    design, decision = trigger.design, trigger.decision
    given, made, port = (WordType(**design[key]) for key in ("input_word", "output_word", "rtl_output"))
    ports = [
        {"name": "clk", "direction": "input", "width": 1},
        {"name": "model_inp", "direction": "input", **_elements(design["inputs"], given)},
        {"name": "model_out", "direction": "output", **_elements(design["outputs"], port)},
    ]
    return {
        **{key: emulator[key] for key in ("version", "checksum", "network_checksum", "namespace")},
        "version_word": version_word(emulator["version"]),
        "clock_period_ns": config.clock_period_ns,
        "part": config.part,
        "trigger": trigger.as_dict(),
        "pipeline": {
            "top": f"{TOP}_wrapper",
            "ports": ports,
            "packing": "element i at bits [i * element_width +: element_width]; inputs in the order (phi, eta, input), "
            "the last index fastest; larger inputs have to be saturated before",
            "latency_cycles": design["stages"],
            "latency_ns": design["stages"] * config.clock_period_ns,
            "initiation_interval": 1,
        },
        "input": {
            "shape": design["input_shape"],
            "word": str(given),
            "pooling": emulator["pooling"],
            "tower_lsb_gev": TOWER_LSB_GEV,
        },
        "output": {"word": str(made), "lsb": made.lsb},
        "decision": decision.as_dict(),
        "vectors": {"events": len(vectors.inputs), "from_towers": len(vectors.towers), "from_images": images},
        "tools": {"rtl": design["tool"]},
    }


def _elements(number: int, word: WordType) -> dict[str, Any]:
    return {"width": number * word.width, "elements": number, "element_width": word.width, "element": str(word)}


def _resources(pipeline: dict[str, Any] | None, wrapper: dict[str, Any] | None) -> dict[str, Any]:
    """Of the pipeline, of what is around it, and their sum; what was not measured is None."""
    whole = None
    if pipeline and wrapper:
        whole = {key: pipeline[key] + wrapper["wrapper"][key] for key in ("LUT", "FF", "DSP", "BRAM_18K", "URAM")}
    return {"resources": {"pipeline": pipeline, "trigger": wrapper, "whole": whole}}


def _simulate(folder: Path, config: HlsConfig) -> dict[str, str]:
    """{testbench: what it said}."""
    log = folder / _LOG
    said = {Path(name).stem: run_testbench(folder, Path(name).stem, config, log) for name in TESTBENCHES}
    log.unlink()
    return said


def _write_texts(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


def _write_rtl(folder: Path, rtl: Path, trigger: TriggerRtl, vectors: Vectors, seed: int) -> None:
    shutil.copytree(rtl / "src", folder, ignore=shutil.ignore_patterns("memfiles"))
    values = {**trigger.values(), "HALF": trigger.design["clock_period_ns"] / 2, "SEED": seed}
    _write_texts(folder, {name: fill(template, values) for name, template in FILES.items()})
    pipeline = {"EVENTS": len(vectors.inputs), "LATENCY": trigger.design["stages"]}
    for name, facts in zip(TESTBENCHES, (pipeline, {"EVENTS": len(vectors.towers)}), strict=True):
        _write_texts(folder, {name: fill(TESTBENCHES[name], values | facts)})
