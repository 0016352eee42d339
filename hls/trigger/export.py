"""What an integrator takes away: emulator, golden vectors, Verilog with its testbenches, interface file, checksums.

The folder, written whole or not at all:
emulator/        C++17 sources (codae_l1.hls.trigger.emulator), thresholds and kill switch, and selftest.cpp
cmssw/           sources of the library that CMSSW loads by name (codae_l1.hls.trigger._cmssw), its Makefile and a host
vectors/         golden vectors (codae_l1.hls.trigger._vectors)
rtl/             Verilog: the pipeline, the trigger around it (codae_l1.hls.trigger._wrapper), the trigger between AXI4
                 streams (codae_l1.hls.trigger._axis), a testbench of each
interface.json   ports, words, latency, interval, thresholds with their rates, resources, version, checksum
selftest.sh      compiles emulator and library with g++ alone, checks the vectors and SHA256SUMS
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import sha256, whole_folder
from codae_l1.data.base.progress import Progress
from codae_l1.data.base.words import WordType
from codae_l1.data.pooling import TOWER_LSB_GEV, pool_towers, tower_words
from codae_l1.hls.network.executor import EmulatorDesign
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import Interpreter, RtlSimulation
from codae_l1.hls.rtl.modules import renamed_sources
from codae_l1.hls.rtl.verilator import SIMULATION_LIBRARY, run_testbench
from codae_l1.hls.target.compiler import call_logged, find_compiler
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger._axis import axis_interface, axis_values
from codae_l1.hls.trigger._cmssw import cmssw_interface, cmssw_sources
from codae_l1.hls.trigger._vectors import Vectors
from codae_l1.hls.trigger._wrapper import TriggerRtl, adversarial_towers
from codae_l1.hls.trigger._wrapper_cost import wrapper_resources
from codae_l1.hls.trigger.emulator import emulator_sources, fill, values_of, version_word
from codae_l1.hls.trigger.export_config import MARKS, ExportConfig, check_target
from codae_l1.hls.trigger.thresholds import Decision, WorkingPoint
from codae_l1.quantization.f_m.config import input_word, output_word
from codae_l1.quantization.f_m.network import FirmwareModel

_LOG = "selftest.log"
# Testbenches and their templates, after the namespace: of the pipeline, of the trigger, of its streams.
_TESTBENCHES = {"_tb.v": "testbench.v", "_trigger_tb.v": "trigger_tb.v", "_axis_tb.v": "axis_tb.v"}
_DEFAULTS = ExportConfig()
_AGAIN = "run the synthesize stage again"
# What is said of a testbench that was not run.
NOT_SIMULATED = "not simulated; export with --simulate, or run it as its head says"


def export(
    firmware: FirmwareModel,
    rtl: Path | str,
    images: np.ndarray,
    counts: np.ndarray,
    points: Sequence[WorkingPoint],
    config: HlsConfig,
    folder: Path | str,
    options: ExportConfig = _DEFAULTS,
    facts: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the folder, run its self-test, return interface.json.

    rtl: folder of `build_rtl` of the same firmware. images: (M, 72, 58, 3) GeV, pooled into the first vectors, towers
    that overflow after them; counts: (N, *input_shape) integers, further vectors, for the network alone. points: where
    to accept. config: of the tools; clock period and part are the RTL's own. facts: more for interface.json (resources
    of the pipeline, stamp).
    Raises ToolError where the self-test fails, or a testbench does.
    """
    say, rtl = progress or (lambda done, total, text: None), Path(rtl)
    check_target(folder)
    design, pooling = RtlSimulation.read_design(rtl), firmware.config.pooling
    network, made = read_network(firmware.model, input_word(firmware.config)), output_word(firmware.config)
    decision = Decision(tuple(points), firmware.sign, firmware.component)
    trigger = TriggerRtl(design, pooling, decision, options.slices, "", "", options.namespace)
    ports = {"slices": trigger.slices, "tower_fields": trigger.fields}
    sources, emulator = emulator_sources(network, made, pooling, options.namespace, decision, ports)
    trigger = replace(trigger, version=emulator.version, checksum=emulator.checksum)
    vectors = _vectors(firmware, trigger, images, counts, options.seed)
    executed = _compare(vectors, rtl)
    interface = _interface(trigger, emulator, len(images), vectors) | {"executed": executed}
    with whole_folder(folder, MARKS) as temporary:
        _write_texts(temporary / "emulator", sources | {"selftest.cpp": fill("selftest.cpp", values_of(emulator))})
        _write_texts(temporary / "cmssw", cmssw_sources(emulator, decision))
        _write_texts(temporary / "vectors", vectors.texts())
        vectors.write_hdf5(temporary / "vectors" / "vectors.h5", options.namespace)
        _write_rtl(temporary / "rtl", rtl, trigger, vectors, options.seed)
        say(1, 4, "the trigger's own logic")
        wrapper = wrapper_resources(temporary / "rtl", trigger, config) if options.measure else None
        interface |= {**(facts or {}), **_resources((facts or {}).get("resources"), wrapper)}
        say(2, 4, "testbenches" if options.simulate else "no testbench asked for")
        interface["simulated"] = _simulate(temporary / "rtl", options, config)
        _write_texts(temporary, {"interface.json": json.dumps(interface, indent=1) + "\n"})
        _write_texts(temporary, {"selftest.sh": fill("selftest.sh", values_of(emulator))})
        files = sorted(p for p in temporary.rglob("*") if p.is_file())
        sums = "".join(f"{sha256(p)}  {p.relative_to(temporary)}\n" for p in files)
        _write_texts(temporary, {"SHA256SUMS": sums})
        say(3, 4, "self-test")
        log = temporary / _LOG
        environment = {**os.environ, "CXX": find_compiler()}
        call_logged(["sh", "selftest.sh"], temporary, log, config, "The self-test", environment)
        log.unlink()
    return interface


def _vectors(
    firmware: FirmwareModel, trigger: TriggerRtl, images: np.ndarray, counts: np.ndarray, seed: int
) -> Vectors:
    """Events, towers that overflow, then counts, with QKeras's words."""
    top = (1 << max(field["bits"] for field in trigger.fields)) - 1
    towers = np.concatenate([tower_words(images, trigger.pooling), adversarial_towers(trigger.pooling, top, seed)])
    inputs = trigger.design.saturated(np.concatenate([pool_towers(towers, trigger.pooling), counts]))
    inputs = inputs.reshape(-1, *firmware.config.input_shape)
    return Vectors(trigger, towers, inputs, firmware.predict_words(inputs))


def _compare(vectors: Vectors, rtl: Path) -> dict[str, str]:
    """{executor: what it said} of the RTL's interpreter and simulation; InputError where one gives other words."""
    said = {"rtl": f"not simulated: {rtl} has no compiled simulation"}
    for kind in (Interpreter, RtlSimulation) if (rtl / SIMULATION_LIBRARY).is_file() else (Interpreter,):
        different = int((kind(rtl).predict_words(vectors.inputs) != vectors.words).any(axis=1).sum())
        if different:
            raise InputError(
                f"the {kind.name} in {rtl} gives other words than the firmware on {different} of "
                f"{len(vectors.words)} vectors",
                "the RTL of this firmware",
                _AGAIN,
            )
        said[kind.name] = f"0 of {len(vectors.words)} vectors differ"
    return said


def _interface(trigger: TriggerRtl, emulator: EmulatorDesign, images: int, vectors: Vectors) -> dict[str, Any]:
    design, decision = trigger.design, trigger.decision
    given, made, port = design.input_word, design.output_word, design.rtl_output
    ports = [
        {"name": "clk", "direction": "input", "width": 1},
        {"name": "model_inp", "direction": "input", **_elements(design.inputs, given)},
        {"name": "model_out", "direction": "output", **_elements(design.outputs, port)},
    ]
    return {
        **{key: getattr(emulator, key) for key in ("version", "checksum", "network_checksum", "namespace")},
        "version_word": version_word(emulator.version),
        "clock_period_ns": design.clock_period_ns,
        "part": design.part,
        "modules": f"all Verilog modules are named {trigger.namespace}_*: exports of other namespaces fit one project",
        "trigger": trigger.as_dict(),
        "axis": axis_interface(trigger),
        "pipeline": {
            "top": f"{trigger.namespace}_wrapper",
            "ports": ports,
            "packing": "element i at bits [i * element_width +: element_width]; inputs in the order (phi, eta, input), "
            "the last index fastest; larger inputs have to be saturated before",
            "latency_cycles": design.stages,
            "latency_ns": design.latency_ns,
            "initiation_interval": 1,
        },
        "input": {
            "shape": list(design.input_shape),
            "word": str(given),
            "pooling": dump(emulator.pooling) if emulator.pooling else None,
            "tower_lsb_gev": TOWER_LSB_GEV,
        },
        "output": {"word": str(made), "lsb": made.lsb},
        "decision": decision.as_dict(),
        "cmssw": cmssw_interface(emulator),
        "vectors": {"events": len(vectors.inputs), "from_towers": len(vectors.towers), "from_images": images},
        "tools": {"rtl": design.tool},
    }


def _elements(number: int, word: WordType) -> dict[str, Any]:
    return {"width": number * word.width, "elements": number, "element_width": word.width, "element": str(word)}


def _resources(pipeline: dict[str, Any] | None, wrapper: dict[str, Any] | None) -> dict[str, Any]:
    """Resources of the pipeline, of the wrapper around it, and their sum; None where nothing was measured."""
    whole = None
    if pipeline and wrapper:
        whole = {key: pipeline[key] + wrapper["wrapper"][key] for key in ("LUT", "FF", "DSP", "BRAM_18K", "URAM")}
    return {"resources": {"pipeline": pipeline, "trigger": wrapper, "whole": whole}}


def _simulate(folder: Path, options: ExportConfig, config: HlsConfig) -> dict[str, str]:
    """{testbench: what it said}."""
    names = [Path(f"{options.namespace}{end}").stem for end in _TESTBENCHES]
    if not options.simulate:
        return dict.fromkeys(names, NOT_SIMULATED)
    log = folder / _LOG
    said = {name: run_testbench(folder, name, config, log) for name in names}
    log.unlink()
    return said


def _write_texts(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _write_rtl(folder: Path, rtl: Path, trigger: TriggerRtl, vectors: Vectors, seed: int) -> None:
    _write_texts(folder, renamed_sources(rtl / "src", trigger.namespace))
    values = {**axis_values(trigger), "HALF": trigger.design.clock_period_ns / 2, "SEED": seed}
    files = {**trigger.files, f"{trigger.namespace}_axis.v": "axis.v"}
    _write_texts(folder, {name: fill(template, values) for name, template in files.items()})
    pipeline = {"EVENTS": len(vectors.inputs), "LATENCY": trigger.design.stages}
    for end, template in _TESTBENCHES.items():
        facts = pipeline if template == "testbench.v" else {"EVENTS": len(vectors.towers)}
        _write_texts(folder, {f"{trigger.namespace}{end}": fill(template, values | facts)})
