"""What versions of da4ml make of the same ten networks: cost, stages and register bits of each, and what Yosys maps.

    python benchmarks/da4ml_versions.py networks NETWORKS [--runs RUN ...]
    PYTHON benchmarks/da4ml_versions.py trace NETWORKS OUT [--hard-dc 2 ...] [--sum-first] [--stages BASE] [--alkaid]
    python benchmarks/da4ml_versions.py map OUT [--words BASE]

`networks` writes eight networks of the scan's default space with their first weights, rounded (seed 1; at most four
filters), and the trigger networks of finished runs. `trace` takes any Python with NumPy, h5py, this package and a
da4ml; of several values of the solver's option hard_dc it keeps what costs least, LUT bits and half of the register
bits added up. --sum-first: inputs whose weights are the same for every output are added up before they are multiplied.
--stages: only what has at most the stages of another OUT. --alkaid: by da4ml's successor, with and without its tables
of binary weights; words and figures alone, and how many words differ from those of --stages. `map` has Yosys count LUT
and FF, and says for how many of 300 random events the words differ from those of another OUT.
"""

import argparse
import heapq
import importlib
import json
import os
import pickle
import random
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

# Networks of the scan; events whose words are compared.
_DRAWN, _EVENTS = 8, 300


def _networks(arguments: argparse.Namespace) -> None:
    """Draw networks as the scan does, give them their first weights, and write their records."""
    from codae_l1.data.base.errors import InputError
    from codae_l1.data.formats.event_file import EventFile
    from codae_l1.data.pooling import input_counts
    from codae_l1.data.sample import SAMPLE
    from codae_l1.quantization.config import DistillConfig, SpaceConfig
    from codae_l1.quantization.distill import untrained
    from codae_l1.quantization.search import design, suggest
    from codae_l1.scripts.run import cli

    cli.import_tensorflow()
    from codae_l1.hls.network.records import firmware_network
    from codae_l1.quantization.f_m.network import FirmwareModel

    rng, found = random.Random(1), []

    class Trial:
        def suggest_categorical(self, name: str, values: list[Any]) -> Any:
            return rng.choice(values)

    with EventFile(SAMPLE) as file:
        images = next(iter(file.slices())).images[:500]
    while len(found) < _DRAWN:
        choices = suggest(Trial(), SpaceConfig())
        try:
            config, distill = design(choices, DistillConfig())
        except InputError:
            continue
        if choices["conv1.filters"] <= 4:
            model = untrained(config, input_counts(images, config.pooling), distill.sparsity, 1)
            kind = "tied" if config.tied else "not tied"
            found.append((f"{config.conv[0].filters} filters, {kind}", *firmware_network(model)))
    for run in arguments.runs:
        found.append((run.name, *firmware_network(FirmwareModel.load(run / "quantize" / "f_m.npz"))))
    arguments.networks.write_bytes(pickle.dumps(found))


def _trace(arguments: argparse.Namespace) -> None:
    """Trace each network by the da4ml of this Python; write the Verilog, the words and a line of figures of each."""
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    if arguments.alkaid:
        return _trace_alkaid(arguments)
    from da4ml.codegen.rtl.rtl_model import RTLModel
    from da4ml.trace import FixedVariable

    from codae_l1.hls.rtl.build import TOP, pipeline_design, trace_here
    from codae_l1.hls.target.config import HlsConfig

    plain: Any = FixedVariable.msb_mux

    def msb_mux(key: Any, a: Any, b: Any, qint: Any = None, *rest: Any) -> Any:
        # da4ml 0.6 takes the interval in floats alone.
        return plain(key, a, b, qint and tuple(map(float, qint)), *rest)

    FixedVariable.msb_mux = msb_mux
    if arguments.sum_first:
        _sum_first()
    limits = [json.loads(path.read_text())["stages"] for path in _designs(arguments.stages)] if arguments.stages else []
    config, rng = HlsConfig(), np.random.default_rng(0)
    for number, (name, network, word) in enumerate(pickle.loads(arguments.networks.read_bytes())):
        best, shape = None, (_EVENTS, *network.input_shape)
        for hard_dc in arguments.hard_dc:
            started = time.process_time()
            comb, _ = trace_here(network, config, {"hard_dc": hard_dc})
            seconds = time.process_time() - started
            design, pipeline = pipeline_design(network, word, config, comb)
            price = design.da4ml_cost + design.register_bits / 2
            if (not limits or design.stages <= limits[number]) and (best is None or price < best[0]):
                best = price, hard_dc, seconds, comb, design, pipeline
        dense = rng.random((_EVENTS, *[1] * len(network.input_shape)))
        counts = np.where(rng.random(shape) < dense, rng.integers(0, network.input_word.bounds[1], shape), 0)
        if best is None:
            print(f"{name}: none of as few stages")
            continue
        _, hard_dc, seconds, comb, design, pipeline = best
        folder = arguments.out / f"{number:02d}"
        RTLModel(pipeline, TOP, folder, "verilog", part_name=config.part, clock_period=config.clock_period_ns).write()
        np.save(folder / "words.npy", comb.predict(counts.reshape(_EVENTS, -1) * network.input_word.lsb))
        (folder / "design.json").write_text(json.dumps(design.as_dict()) + "\n")
        print(
            f"{name}: {design.tool}, hard_dc {hard_dc}, {seconds:.2f} s, cost {design.da4ml_cost:.0f}, depth "
            f"{max(comb.out_latency):.0f}, {design.stages} stages, {design.register_bits} register bits",
            flush=True,
        )


def _trace_alkaid(arguments: argparse.Namespace) -> None:
    """The same by alkaid under da4ml's names: its words, what costs least, and how many words differ."""
    _name_alkaid()
    from codae_l1.hls.rtl.build import pipeline_design, trace_here
    from codae_l1.hls.target.config import HlsConfig

    config, rng = HlsConfig(), np.random.default_rng(0)
    options = [{"hard_dc": n, **table} for n in arguments.hard_dc for table in ({}, {"binary_lut": False})]
    for number, (name, network, word) in enumerate(pickle.loads(arguments.networks.read_bytes())):
        shape = (_EVENTS, *network.input_shape)
        dense = rng.random((_EVENTS, *[1] * len(network.input_shape)))
        counts = np.where(rng.random(shape) < dense, rng.integers(0, network.input_word.bounds[1], shape), 0)
        best = None
        for solver in options:
            comb, _ = trace_here(network, config, solver)
            design, _ = pipeline_design(network, word, config, comb)
            price = design.da4ml_cost + design.register_bits / 2
            words = comb.predict(counts.reshape(_EVENTS, -1) * network.input_word.lsb)
            if best is None or price < best[0]:
                best = price, solver, words, design
        assert best is not None
        _, solver, words, design = best
        folder = arguments.out / f"{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "words.npy", words)
        line = f"{name}: {design.tool}, {solver}, {design.stages}; {design.da4ml_cost:,.0f}; {design.register_bits:,}"
        if arguments.stages:
            other = np.load(arguments.stages / folder.name / "words.npy")
            line += f"; {int((words != other).any(1).sum())} of {len(words)} words differ"
        print(line, flush=True)


def _name_alkaid() -> None:
    """da4ml's modules become alkaid's, as far as a trace asks for them; floats in the place of Decimals."""
    from codae_l1.hls.layers import _adders

    trace, cut = (importlib.import_module(f"alkaid.trace{end}") for end in ("", ".pipeline"))
    version = importlib.import_module("alkaid._version").__version__
    raw = importlib.import_module("alkaid.trace.fixed_variable_array").to_raw_arr
    trace.FVArray._vars = property(raw)
    _adders.Decimal = float  # type: ignore[assignment]

    def to_pipeline(comb: Any, cutoff: float, verbose: bool = False) -> Any:
        # Registers in front of each stage, as in da4ml.
        stages = cut._split_comb_logic(comb, latency_cutoff=cutoff, verbose=verbose)
        bits = int(np.sum(comb.inp_kifs)) + sum(int(np.sum(stage.out_kifs)) for stage in stages[:-1])
        return SimpleNamespace(solutions=stages, reg_bits=bits)

    names = {"FixedVariable": trace.FVariable, "FixedVariableArray": trace.FVArray, "HWConfig": trace.HWConfig}
    modules = {
        "da4ml": {},
        "da4ml._version": {"__version__": f"(alkaid {version})"},
        "da4ml.trace": {**names, "comb_trace": trace.trace},
        "da4ml.trace.pipeline": {"to_pipeline": to_pipeline},
    }
    for name, content in modules.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(content)


def _sum_first() -> None:
    """Convolutions and dense layers add up what has the same weights for every output before they multiply."""
    from codae_l1.hls.layers import _adders
    from codae_l1.hls.layers.conv import Conv
    from codae_l1.hls.layers.dense import Dense

    def total(values: list[Any]) -> Any:
        # What is ready first is added first, the shorter words before the longer ones.
        heap = [(float(value.latency), sum(value.kif), i, value) for i, value in enumerate(values)]
        heapq.heapify(heap)
        for number in range(len(values), 2 * len(values) - 1):
            value = heapq.heappop(heap)[3] + heapq.heappop(heap)[3]
            heapq.heappush(heap, (float(value.latency), sum(value.kif), number, value))
        return heap[0][3]

    def product(value: Any, matrix: np.ndarray) -> Any:
        rows, inverse = np.unique(matrix, axis=0, return_inverse=True)
        if 4 * len(rows) > len(matrix):
            return value @ matrix
        groups = [group for group in range(len(rows)) if rows[group].any()]
        inputs = value._vars.reshape(-1, len(matrix))
        sums = np.empty((len(inputs), len(groups)), object)
        for at in np.ndindex(sums.shape):
            sums[at] = total(list(inputs[at[0], inverse.ravel() == groups[at[1]]]))
        return _adders.array(sums.reshape(*value.shape[:-1], len(groups)), value) @ rows[groups]

    def conv(self: Any, value: Any) -> Any:
        patches = _adders.windows(value, self.kernel.shape[:2], self.strides)
        flat = _adders.array(patches.reshape(*patches.shape[:2], -1), value)
        return product(flat, self.kernel.reshape(-1, self.kernel.shape[-1])) + self.bias

    def dense(self: Any, value: Any) -> Any:
        return product(value, self.kernel) + self.bias

    Conv.trace, Dense.trace = conv, dense


def _map(arguments: argparse.Namespace) -> None:
    """Map each traced network by Yosys."""
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.target.config import HlsConfig

    for path in _designs(arguments.out):
        found, words = synthesize(path.parent, HlsConfig())["resources"], np.load(path.parent / "words.npy")
        line = f"{path.parent.name}: {found['LUT']:,} LUT, {found['FF']:,} FF"
        if arguments.words:
            other = np.load(arguments.words / path.parent.name / "words.npy")
            line += f", {int((words != other).any(1).sum())} of {len(words)} words differ"
        print(line, flush=True)


def _designs(out: Path) -> list[Path]:
    return sorted(out.glob("*/design.json"))


def _command() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    networks = parts.add_parser("networks")
    networks.set_defaults(do=_networks)
    networks.add_argument("networks", type=Path)
    networks.add_argument("--runs", type=Path, nargs="*", default=[])
    trace = parts.add_parser("trace")
    trace.set_defaults(do=_trace)
    trace.add_argument("networks", type=Path)
    trace.add_argument("out", type=Path)
    trace.add_argument("--hard-dc", type=int, nargs="+", default=[2])
    trace.add_argument("--sum-first", action="store_true")
    trace.add_argument("--stages", type=Path)
    trace.add_argument("--alkaid", action="store_true")
    mapped = parts.add_parser("map")
    mapped.set_defaults(do=_map)
    mapped.add_argument("out", type=Path)
    mapped.add_argument("--words", type=Path)
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    _command()
