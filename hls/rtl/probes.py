"""The values of every layer inside the Verilog pipeline: which wire holds which value, and a simulation that reads it.

da4ml's pipeline has the layers' values as wires `v<i>` of its stages, some of them shifted, negated or short of a
constant (a bias that was added later, together with another one). `find_wires` follows each value from the trace of all
layers into the network's program, through da4ml's retiming (done again here and compared with its result) to its stage:

    value = scale * word of the wire + offset

A wrapper around the delivered files, which stay as they are, shows these wires (`RtlSimulation.predict_layers`): each
event is held at the input until it has reached all stages. So what is compared is the Verilog text of the folder.
"""

import re
import shutil
from math import floor
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_array, scratch_folder
from codae_l1.hls.network.executor import RtlDesign
from codae_l1.hls.rtl.verilator import SIMULATION_LIBRARY, SimulationLibrary, compile_simulation
from codae_l1.hls.target.config import HlsConfig

# A value that is the same for every event; a value that no wire of the pipeline holds.
_CONSTANT, _NOWHERE = -1, -2
# Bits of a word that the simulation shows.
_LANE = 32
# Words that one call reads at most, to bound the memory.
_MOST_WORDS = 1 << 24
# stage, wire: of the pipeline. width, signed: of the wire. scale, offset: see above.
WIRE = np.dtype([("stage", "i4"), ("wire", "i4"), ("width", "i4"), ("signed", "?"), ("scale", "f8"), ("offset", "f8")])


def find_wires(network: Any, layers: Any, pipeline: Any, cutoff: float) -> np.ndarray:
    """WIRE records, one for each value of every layer, in order.

    network, layers: what `hls.rtl.trace` gives. pipeline: da4ml's, of the network. cutoff: it was asked for.
    """
    numbers: dict[Any, int] = {}
    ours = {number: i for i, number in enumerate(_number(network, numbers)) if network.ops[i].opcode != 5}
    theirs = _number(layers, numbers)
    retimed = _Retimed(network, pipeline, cutoff)
    records = np.zeros(len(layers.out_idxs), WIRE)
    ends = zip(layers.out_idxs, layers.out_shifts, layers.out_negs, strict=True)
    for value, (at, shift, negative) in enumerate(ends):
        scale, op, offset = (-1.0 if negative else 1.0) * 2.0**shift, layers.ops[at], 0.0
        if op.opcode == 4 and theirs[at] not in ours:
            offset, at = op.data * op.qint.step, op.id0
        if op.opcode == 5:
            place = _CONSTANT, 0, 1, False, 0.0, op.data * op.qint.step
        else:
            place = retimed.place(ours[theirs[at]]) if theirs[at] in ours else (_NOWHERE, 0, 1, False, 0.0, 0.0)
        *where, factor, start = place
        records[value] = (*where, scale * factor, scale * (start + offset))
    return records


def _number(comb: Any, numbers: dict[Any, int]) -> list[int]:
    """A number for each operation, equal for equal operations on equal values, in several programs."""
    found: list[int] = []
    for op in comb.ops:
        operands = [found[i] if i >= 0 and op.opcode != -1 else i for i in (op.id0, op.id1)]
        data = (found[op.data & 0xFFFFFFFF], op.data >> 32) if abs(op.opcode) == 6 else op.data
        found.append(numbers.setdefault((op.opcode, *operands, data, op.qint), len(numbers)))
    return found


class _Retimed:
    """The network's operations in the stages of its pipeline."""

    def __init__(self, network: Any, pipeline: Any, cutoff: float):
        from da4ml.trace import FixedVariable, HWConfig, comb_trace
        from da4ml.trace.pipeline import to_pipeline
        from da4ml.trace.tracer import gather_variables

        # The copies of values that enter the second stage say how long a stage is after retiming.
        second = pipeline.solutions[1].ops if len(pipeline.solutions) > 1 else ()
        length = next((op.latency for op in second if op.opcode == -1), cutoff)
        hardware = HWConfig(network.adder_size, network.carry_size, length)
        inputs = [FixedVariable(*op.qint, hwconf=hardware) for op in network.ops if op.opcode == -1]
        self.values = network(inputs, dump=True)
        ends = zip(network.out_idxs, network.out_shifts, network.out_negs, strict=True)
        outputs = [self.values[i] * ((-1.0 if negative else 1.0) * 2.0**shift) for i, shift, negative in ends]
        again = comb_trace(inputs, outputs)
        self.pipeline = pipeline
        self.index: dict[Any, int] = {}
        self.stages: list[tuple[int, int]] = []
        stages = to_pipeline(again, length, retiming=False, verbose=False).solutions
        if stages != pipeline.solutions:
            # Not retimed: da4ml found nothing better than its first cut.
            stages = to_pipeline(network, cutoff, retiming=False, verbose=False).solutions
            self.values, again, length = None, network, cutoff
        else:
            self.index = gather_variables(inputs, [o for o in outputs if isinstance(o, FixedVariable)])[1]
        self.found = stages == pipeline.solutions
        positions = [
            [i for i, op in enumerate(stage.ops) if op.opcode != -1 or number == 0]
            for number, stage in enumerate(pipeline.solutions)
        ]
        taken = [0] * len(positions)
        for op in again.ops if self.found else ():
            number = floor(op.latency / (length + 1e-9))
            self.stages.append((number, positions[number][taken[number]]))
            taken[number] += 1

    def place(self, at: int) -> tuple[int, int, int, bool, float, float]:
        """Stage, wire, width, signed, scale and offset of an operation of the network."""
        nowhere = (_NOWHERE, 0, 1, False, 0.0, 0.0)
        if not self.found:
            return nowhere
        scale = offset = 0.0
        if self.values is None:
            new, scale = at, 1.0
        else:
            value = self.values[at]
            if value.low == value.high:
                return _CONSTANT, 0, 1, False, 0.0, float(value.low)
            scale, origin = float(value._factor), value
            if value.id not in self.index and value.opr == "cadd":
                origin, offset = value._from[0], scale * float(value._data)
            if origin.id not in self.index:
                return nowhere
            new = self.index[origin.id]
        stage, wire = self.stages[new]
        return self._wire(stage, wire, scale, offset) or nowhere

    def _wire(self, stage: int, wire: int, scale: float, offset: float) -> Any:
        from da4ml.cmvm.types import _minimal_kif

        solution = self.pipeline.solutions[stage]
        signed, integer, fraction = _minimal_kif(solution.ops[wire].qint)
        width = int(signed) + integer + fraction
        if not 0 < width <= _LANE or not solution.ref_count[wire]:
            return None
        return stage, wire, width, bool(signed), scale * 2.0**-fraction, offset


def shown_layers(wires: np.ndarray, layers: dict[str, Any]) -> dict[str, slice]:
    """Layer -> the part of the WIRE records that is its own, of the layers whose values all have a wire.

    layers: name -> shape, in order.
    """
    found, start = {}, 0
    for name, shape in layers.items():
        part = slice(start, start + int(np.prod(shape)))
        if (wires["stage"][part] != _NOWHERE).all():
            found[name] = part
        start = part.stop
    return found


class ProbedSimulation:
    """The folder's Verilog, compiled once more in a place of its own with every layer's wires on its ports."""

    def __init__(self, folder: Path, top: str, design: RtlDesign, config: HlsConfig):
        self.design = design
        path = folder / "probes.npy"
        if not path.is_file():
            raise InputError(f"{path} does not exist", "the RTL of this version", "run the synthesize stage again")
        self.wires = read_array(path, "the wires of the layers", "run the synthesize stage again")
        self.shown = np.flatnonzero(self.wires["stage"] >= 0)
        with scratch_folder() as scratch:
            build = Path(scratch) / folder.name
            for name in ("src", "sim"):
                shutil.copytree(folder / name, build / name, ignore=shutil.ignore_patterns("*.so", "*.log"))
            self._write(build, top)
            compile_simulation(build, f"{top}_probe", config)
            # Loaded libraries outlive their files.
            self._library = SimulationLibrary(build / SIMULATION_LIBRARY)

    def predict_layers(self, words: np.ndarray) -> dict[str, np.ndarray]:
        """Input words (N, inputs) int32 -> {layer: values (N, *shape) float64} of the layers that have their wires."""
        hold, lanes = self.design.stages + 1, len(self.shown)
        step = max(1, _MOST_WORDS // (hold * max(lanes, 1)))
        parts = []
        for start in range(0, len(words), step):
            stream = np.repeat(words[start : start + step], hold, axis=0)
            parts.append(self._library.run_clocks(stream, lanes)[hold - 1 :: hold])
        raw = np.concatenate([np.zeros((0, lanes), np.int32), *parts]).astype(np.int64)
        # Lanes are int32: an unsigned wire of all their bits must not turn negative.
        raw[:, ~self.wires["signed"][self.shown]] &= (1 << _LANE) - 1
        values = np.tile(self.wires["offset"], (len(words), 1))
        values[:, self.shown] += raw * self.wires["scale"][self.shown]
        parts = shown_layers(self.wires, self.design.layers)
        return {name: values[:, part].reshape(-1, *self.design.layers[name]) for name, part in parts.items()}

    def _write(self, build: Path, top: str) -> None:
        """The wrapper that shows the wires, and the binder that reads them."""
        wrapper = (build / "src" / f"{top}_wrapper.v").read_text()
        given, made = re.findall(r"(?:input|output) \[(\d+):0\]", wrapper)
        lines = [
            f"module {top}_probe_wrapper (input clk, input [{given}:0] model_inp, "
            f"output [{_LANE * len(self.shown) - 1}:0] model_out);",
            f"    wire [{made}:0] word;",
            f"    {top}_wrapper dut (.clk(clk), .model_inp(model_inp), .model_out(word));",
        ]
        for lane, wire in enumerate(self.wires[self.shown]):
            name, width = f"dut.op.stage{wire['stage']}.v{wire['wire']}", int(wire["width"])
            extended = f"{{{{{_LANE}{{{name}[{width - 1}] & 1'b{int(wire['signed'])}}}}}, {name}}}"
            lines.append(f"    wire [{_LANE + width - 1}:0] probe{lane} = {extended};")
            lines.append(f"    assign model_out[{_LANE * lane} +: {_LANE}] = probe{lane}[{_LANE - 1}:0];")
        text = "\n".join((*lines, "endmodule", ""))
        (build / "src" / f"{top}_probe_wrapper.v").write_text(text)
        binder = (build / "sim" / f"{top}_wrapper_binder.cc").read_text()
        binder = binder.replace(f"{top}_wrapper", f"{top}_probe_wrapper")
        binder = re.sub(r"N_out = \d+", f"N_out = {len(self.shown)}", binder)
        binder = re.sub(r"max_out_bw = \d+", f"max_out_bw = {_LANE}", binder)
        (build / "sim" / f"{top}_probe_wrapper_binder.cc").write_text(binder)
