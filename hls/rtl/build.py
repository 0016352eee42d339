"""The traced network as an II = 1 Verilog pipeline, its integer interpreter, and its cycle-accurate simulation.

The folder of one design, written whole or not at all:
interpreter.npz   the network as da4ml's integer program, and a second one that gives the output of every layer
probes.npy        the wires of the pipeline that hold the layers' values (hls/rtl/probes.py)
design.json       words, shapes, layers, stages, cost, register bits, tool versions
src/*.v           the pipeline: codae.v (registers), codae_stage*.v (logic), codae_wrapper.v, static/
sim/              the Verilator model's binder and library
"""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base import children
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_arrays, scratch_folder, whole_folder, writing
from codae_l1.data.base.progress import Progress
from codae_l1.data.base.words import WordType, exact_words
from codae_l1.hls.layers import Weighted
from codae_l1.hls.network.executor import RtlDesign
from codae_l1.hls.network.records import Network
from codae_l1.hls.rtl._source import write_source
from codae_l1.hls.rtl._tracer import solved_once, symbolic_input, trace_layers
from codae_l1.hls.rtl.probes import ProbedSimulation, find_wires
from codae_l1.hls.rtl.verilator import SIMULATION_LIBRARY, SimulationLibrary, compile_simulation
from codae_l1.hls.target.config import HlsConfig

# Name of the top module.
TOP = "codae"
# da4ml: one adder bit costs 1, an adder of any width takes one unit of latency.
_ADDER_SIZE, _CARRY_SIZE = 1, -1
# Units of latency that sharing terms may add to the shortest adder tree.
_SOLVER = {"hard_dc": 2}
_AGAIN = "run the synthesize stage again"
# Weights of a kernel, zeros left out, that are optimised in plain Python; beyond it compiling da4ml's optimiser with
# Numba pays.
_PLAIN_WEIGHTS = 500


class Interpreter:
    """da4ml's integer interpreter of the traced network: fast, exact.

    Made by `build_rtl`, reopened from its folder: `Interpreter(folder)`.
    """

    name = "interpreter"

    def __init__(self, folder: Path | str, threads: int = 2):
        self.folder, self.threads = Path(folder), threads
        self.design = RtlDesign.read(self.folder / "design.json", _AGAIN)
        if self.design.language == "Verilog":
            # Both executors are of one design; VHDL has no sum, and is simulated nowhere.
            self.design = RtlSimulation.read_design(self.folder)
        path = _existing(self.folder / "interpreter.npz")
        programs = read_arrays(path, "the programs network and layers", _AGAIN, ("network", "layers"))
        self._program, self._layers = programs["network"], programs["layers"]

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, ...) integers -> output words (N, outputs) int64; counts beyond the input word saturate."""
        return exact_words(self._run(self._program, counts), self.design.output_word, self.name)

    def predict_layers(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Counts (N, ...) -> {layer name: values (N, *shape) float64}, in the order of the layers."""
        flat = self._run(self._layers, counts)
        layers, start = {}, 0
        for name, shape in self.design.layers.items():
            size = int(np.prod(shape))
            layers[name] = flat[:, start : start + size].reshape(-1, *shape)
            start += size
        return layers

    def _run(self, program: np.ndarray, counts: np.ndarray) -> np.ndarray:
        with _without_compiler():
            from da4ml._binary import dais_interp_run

        inputs = np.ascontiguousarray(self.design.saturated(counts), np.float64)
        if not len(inputs):
            return np.empty((0, int(program[3])))
        values = inputs * self.design.input_word.lsb
        return dais_interp_run(program, values, self.threads).reshape(len(counts), -1)


class RtlSimulation:
    """The Verilog pipeline run clock by clock by Verilator, one event a clock.

    Made by `build_rtl`, reopened from its folder: `RtlSimulation(folder)`. config: jobs and time limit of the tools
    that `predict_layers` calls.
    """

    name = "rtl"

    def __init__(self, folder: Path | str, threads: int = 2, config: HlsConfig | None = None):
        self.folder, self.threads, self.config = Path(folder), threads, config or HlsConfig()
        self.design = self.read_design(self.folder)
        self._library = SimulationLibrary(_existing(self.folder / SIMULATION_LIBRARY))
        self._probed: ProbedSimulation | None = None

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, ...) integers -> output words (N, outputs) int64; counts beyond the input word saturate."""
        raw = self._library.run(self.design.saturated(counts), self.design.outputs, self.threads)
        return self.design.port_words(raw)

    def predict_layers(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Counts (N, ...) -> {layer name: values (N, *shape) float64}, read off the pipeline's wires.

        The first call compiles the Verilog once more, with these wires on its ports (hls/rtl/probes.py). A layer that
        has no wires of its own is left out.
        """
        if self._probed is None:
            self._probed = ProbedSimulation(self.folder, TOP, self.design, self.config)
        return self._probed.predict_layers(self.design.saturated(counts))

    @staticmethod
    def read_design(folder: Path) -> RtlDesign:
        """design.json of a folder; InputError if the Verilog beside it is not the one for which it was written."""
        design = RtlDesign.read(folder / "design.json", _AGAIN)
        if (found := source_digest(folder)) != design.source_sha256:
            raise InputError(
                f"the Verilog in {folder / 'src'} has been changed since it was made (SHA-256 {found[:12]})",
                f"the sources of its design.json ({design.source_sha256[:12]}), which were simulated",
                _AGAIN,
            )
        return design

    def predict_clocks(self, counts: np.ndarray) -> np.ndarray:
        """Counts (T, ...) held at the input at rising edge t -> the output word after each edge (T, outputs) int64.

        The first words are those of a pipeline of zeros; `codae_l1.hls.rtl.clocks` counts the latency from these.
        """
        raw = self._library.run_clocks(self.design.saturated(counts), self.design.outputs)
        return self.design.port_words(raw)


def source_digest(folder: Path) -> str:
    """SHA-256 of the names and contents of all files in `folder`/src; InputError where there are none."""
    digest, source = hashlib.sha256(), folder / "src"
    files = sorted(path for path in source.rglob("*") if path.is_file())
    if not files:
        raise InputError(f"{source} does not exist or is empty", "the Verilog of the design", _AGAIN)
    for path in files:
        digest.update(
            f"{path.relative_to(source).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return digest.hexdigest()


def build_rtl(
    network: Network,
    output_word: WordType,
    config: HlsConfig,
    folder: Path | str,
    progress: Progress | None = None,
    simulate: bool = True,
    compiled: bool = False,
) -> RtlDesign:
    """Trace a network, write its Verilog pipeline and interpreter, compile the simulation; return design.json.

    simulate: False leaves out the Verilator model. compiled: see `trace`.
    Raises ToolError where Verilator or the compiler fails.
    """
    say = progress or (lambda done, total, text: None)
    with whole_folder(folder) as temporary:
        say(0, 4, "tracing the network into adders")
        comb, layers = trace(network, config, compiled)
        say(1, 4, f"pipelining {len(comb.ops)} operations, da4ml cost {comb.cost:.0f}")
        design, pipeline = pipeline_design(network, output_word, config, comb)
        np.savez(temporary / "interpreter.npz", network=comb.to_binary(), layers=layers.to_binary())
        np.save(temporary / "probes.npy", find_wires(comb, layers, pipeline, config.latency_cutoff))
        write_source(pipeline, TOP, temporary, config, "verilog")
        design = replace(design, source_sha256=source_digest(temporary))
        (temporary / "design.json").write_text(json.dumps(design.as_dict(), indent=1) + "\n")
        if simulate:
            say(2, 4, f"compiling the simulation of {design.stages} stages")
            compile_simulation(temporary, TOP, config)
        say(4, 4, f"RTL ready: {design.stages} stages, da4ml cost {design.da4ml_cost:.0f}")
    return design


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Whatever imports da4ml first inside the block gets its optimiser as plain Python, not compiled by Numba."""
    import numba

    settings: Any = numba.config
    before = settings.DISABLE_JIT
    settings.DISABLE_JIT = 1
    try:
        yield
    finally:
        settings.DISABLE_JIT = before


def trace(network: Network, config: HlsConfig, compiled: bool = False) -> tuple[Any, Any]:
    """(CombLogic of the network, CombLogic that gives every layer's output one after the other).

    Numba compiles da4ml's optimiser for one to two minutes on first use in an environment; a trigger-sized network
    takes seconds in plain Python, and the result is the same. How da4ml was imported decides which it is, so where it
    was imported the other way (hls4ml does it), the trace runs in a process of its own. compiled: here, as
    da4ml was imported, else compiled however small the network: for whoever traces many.
    """
    plain = _is_small(network) and not compiled
    core = sys.modules.get("da4ml.cmvm.core")
    if core is None or compiled or hasattr(core.cmvm, "py_func") != plain:
        with _without_compiler() if plain else nullcontext():
            return trace_here(network, config)
    return _trace_apart(network, config, plain)


def _is_small(network: Network) -> bool:
    """Whether plain Python optimises the kernels faster than Numba compiles what would."""
    kernels = [layer.kernel for layer in network.layers if isinstance(layer, Weighted)]
    return all(np.count_nonzero(kernel) <= _PLAIN_WEIGHTS for kernel in kernels)


def _trace_apart(network: Network, config: HlsConfig, plain: bool) -> tuple[Any, Any]:
    """`trace_here` in a fresh process (codae_l1.hls.rtl._trace_job), which has Numba's setting from its environment."""
    with scratch_folder() as scratch, writing(scratch):
        given, made = Path(scratch) / "network.pickle", Path(scratch) / "trace.pickle"
        given.write_bytes(pickle.dumps((network, config)))
        command = [sys.executable, "-m", "codae_l1.hls.rtl._trace_job", str(given), str(made)]
        environment = {**os.environ, "NUMBA_DISABLE_JIT": str(int(plain))}
        try:
            output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            done = children.run(command, config.tool_timeout_s, env=environment, **output)
            ending = f"ended with status {done.returncode}: {' | '.join(done.stderr.splitlines()[-3:])[-400:]}"
        except subprocess.TimeoutExpired:
            ending = f"took longer than hls.tool_timeout_s = {config.tool_timeout_s:g}"
        if not made.is_file():
            raise ToolError(
                f"tracing the network {ending}", "a trace by da4ml", "mend what it names, or give it more time"
            )
        found = pickle.loads(made.read_bytes())
    if isinstance(found, InputError):
        raise found
    return found


def trace_here(network: Network, config: HlsConfig, solver: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """`trace` in this process, with da4ml as it was or will be imported here; solver: other options of its solver."""
    from da4ml.trace import HWConfig, comb_trace

    hardware = HWConfig(_ADDER_SIZE, _CARRY_SIZE, config.latency_cutoff)
    inputs = symbolic_input(network.input_shape, network.input_word, hardware, solver or _SOLVER)
    with solved_once():
        traces = trace_layers(network, inputs)
    flat = inputs.ravel()._vars
    every = np.concatenate([value.ravel()._vars for value in traces.values()])
    output = list(traces.values())[-1].ravel()._vars
    return tuple(comb_trace(list(flat), list(out), keep_dead_inputs=True) for out in (output, every))  # type: ignore


def pipeline_design(network: Network, output_word: WordType, config: HlsConfig, comb: Any) -> tuple[RtlDesign, Any]:
    """The traced network cut into stages: its record, still without the sum of its sources, and da4ml's Pipeline."""
    from da4ml._version import __version__
    from da4ml.trace.pipeline import to_pipeline

    pipeline = to_pipeline(comb, config.latency_cutoff, verbose=False)
    kifs = pipeline.solutions[-1].out_kifs
    # A constant zero has no fraction bit to leave out where the others' words begin above the point.
    dead = np.flatnonzero(np.sum(kifs, axis=0) == 0)
    if len(dead) == comb.shape[1] or (len(dead) and output_word.fraction < 0):
        raise InputError(
            f"a network whose output {dead[0]} is zero for every event", "outputs that vary", "train it again"
        )
    kif = np.max(kifs, axis=1)
    port = WordType(bool(kif[0]), int(kif[1]), int(kif[2]))
    if port.fraction > output_word.fraction:
        raise InputError(
            f"an output of {port.fraction} fraction bits",
            f"at most those of the output word {output_word}",
            "end the model with a QActivation of the output word",
        )
    design = RtlDesign(
        input_shape=tuple(network.input_shape),
        outputs=comb.shape[1],
        input_word=network.input_word,
        output_word=output_word,
        sign=network.sign,
        component=network.component,
        rtl_output=port,
        layers={layer.name: tuple(layer.shape) for layer in network.layers},
        stages=len(pipeline.solutions),
        register_bits=pipeline.reg_bits,
        operations=len(comb.ops),
        operations_by_kind=_count_kinds(comb),
        da4ml_cost=comb.cost,
        latency_cutoff=config.latency_cutoff,
        clock_period_ns=config.clock_period_ns,
        part=config.part,
        tool=f"da4ml {__version__}",
    )
    return design, pipeline


def _count_kinds(comb: Any) -> dict[str, int]:
    kinds = {0: "add", 1: "add", 2: "relu", 3: "slice", 4: "constant_add", 6: "multiplexer", 7: "multiply", 8: "table"}
    counts = dict.fromkeys(sorted(set(kinds.values())), 0)
    for op in comb.ops:
        kind = kinds.get(abs(op.opcode)) if op.opcode != -1 else None
        if kind:
            counts[kind] += 1
    return counts


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} does not exist", "a finished RTL folder", "run the synthesize stage first")
    return path
