"""The trigger in RTL: towers of one bunch crossing -> pooled words -> the network's pipeline -> score and accept bits.

Modules (hls/cpp/*.v), of the export's namespace: <namespace>_trigger: handshake, thresholds, kill switch;
<namespace>_pool: one row of cells; <namespace>_cell.
Latency [cycles], from the edge that takes an event's last slice to the edge that puts its accept bits out:
1 (pooling; 2 beyond 16 towers per cell, whose sums of rows are registered) + the pipeline's + 1 (thresholds).
Interval: `slices` cycles per event.

A tower on the ports has one bit for "tracks" (track pT above zero) and count_bits + energy_shift bits for an energy, in
TOWER_LSB_GEV. Larger energies saturate before that; this changes no word, since a cell with such a tower saturates.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import N_ETA, N_PHI
from codae_l1.data.pooling import PoolingConfig
from codae_l1.hls.network.executor import RtlDesign
from codae_l1.hls.trigger.emulator import version_word
from codae_l1.hls.trigger.export_config import NAMESPACE, check_slices
from codae_l1.hls.trigger.thresholds import Decision

# Towers of a cell that are added between two registers: four levels of adders and a saturation.
_AT_ONCE = 16
# Modules of the wrapper: <namespace>_<name>, of the template <name>.v.
_MODULES = ("trigger", "pool", "cell")


@dataclass(frozen=True)
class TriggerRtl:
    """What the wrapper is made from.

    design: of the pipeline. slices: cycles per event; it divides the rows of cells (18 for pool 4).
    identity: version and checksum, of emulator.json. namespace: of all module names.
    """

    design: RtlDesign
    pooling: PoolingConfig
    decision: Decision
    slices: int
    version: str
    checksum: str
    namespace: str = NAMESPACE

    def __post_init__(self):
        check_slices(self.slices, self.pooling)
        low, high = -(1 << (self.score_bits - 1)), (1 << (self.score_bits - 1)) - 1
        for point in self.decision.points:
            if point.threshold is not None and not low <= point.threshold <= high:
                raise InputError(
                    f"threshold {point.threshold} of {point.name}",
                    f"{low} to {high}, what score words can be",
                    "correct it",
                )

    @property
    def files(self) -> dict[str, str]:
        """Verilog file of each module of the wrapper -> its template."""
        return {f"{self.namespace}_{name}.v": f"{name}.v" for name in _MODULES}

    @property
    def fields(self) -> list[dict[str, Any]]:
        """The channels of a tower on the ports, lowest bits first: name, offset and bits."""
        bits, names = self.design.input_word.width, self.pooling.inputs
        widths = [1 if n == "tracks" else bits + s for n, s in zip(names, self.pooling.shifts, strict=True)]
        offsets = np.cumsum([0, *widths[:-1]]).tolist()
        return [
            {"name": name, "offset": offset, "bits": width}
            for name, offset, width in zip(names, offsets, widths, strict=True)
        ]

    @property
    def tower_bits(self) -> int:
        """Bits of a tower."""
        return sum(field["bits"] for field in self.fields)

    @property
    def pool_stages(self) -> int:
        """Registers from a slice's towers to the network's input words."""
        return 1 if self.pooling.pool**2 <= _AT_ONCE else 2

    @property
    def latency(self) -> int:
        """Clocks from the edge that takes the last slice to the edge that puts the accept bits out."""
        return self.pool_stages + self.design.stages + 1

    @property
    def score_bits(self) -> int:
        """Bits of the score, signed, in steps of the output word."""
        port, made = self.design.rtl_output, self.design.output_word
        # The lowest word of a signed type has no counterpart above.
        extra = self.decision.sign < 0 if port.keep_negative else 1
        return port.width + made.fraction - port.fraction + extra

    def values(self) -> dict[str, Any]:
        """@NAME@ -> value of the Verilog templates."""
        port, made = self.design.rtl_output, self.design.output_word
        word, bits, points = self.design.input_word, self.score_bits, self.decision.points
        cells, columns, channels = self.pooling.shape
        two, fraction = self.pool_stages == 2, made.fraction - port.fraction
        lines = [f"{bits}'h{(p.threshold or 0) & ((1 << bits) - 1):x}" for p in points]
        comments = [
            f"  // {k}: {p.name}" + ("" if p.threshold is not None else ", never") for k, p in enumerate(points)
        ]
        lines = [
            line + ("," if k else "") + comment for k, (line, comment) in enumerate(zip(lines, comments, strict=True))
        ]
        return {
            "TOP": self.namespace,
            "VERSION": self.version,
            "VERSION_WORD": f"{version_word(self.version):08x}",
            "CHECKSUM": self.checksum,
            "SLICES": self.slices,
            "ROWS": N_PHI,
            "COLUMNS": N_ETA,
            "CELL_ROWS": cells,
            "CELLS": columns,
            "CHANNELS": channels,
            "POOLED": ", ".join(self.pooling.inputs),
            "SIDE": self.pooling.pool,
            "MARGIN": self.pooling.padding // 2,
            "TOWER_BITS": self.tower_bits,
            "WORD_BITS": word.width,
            "WIDTHS": _packed_parameter(field["bits"] for field in self.fields),
            "OFFSETS": _packed_parameter(field["offset"] for field in self.fields),
            "SHIFTS": _packed_parameter(self.pooling.shifts),
            "POOL_STAGES": self.pool_stages,
            "VALID_SHIFT": "{valid[0], in_valid}" if two else "in_valid",
            "LAST_SHIFT": "{last[0], last_slice}" if two else "last_slice",
            "EVENT_BITS": N_PHI * N_ETA * self.tower_bits,
            "ROW_BITS": self.pooling.pool * N_ETA * self.tower_bits,
            "INPUT_BITS": self.design.inputs * word.width,
            "STAGES": self.design.stages,
            "LATENCY": self.latency,
            "OUTPUT_BITS": self.design.outputs * port.width,
            "PORT_BITS": port.width,
            "COMPONENT": self.decision.component,
            "SCORE_BITS": bits,
            "EXTENSION": bits - port.width - fraction,
            "EXTENSION_BIT": f"word[{port.width - 1}]" if port.keep_negative else "1'b0",
            "FRACTION": f", {{{fraction}{{1'b0}}}}" if fraction else "",
            "ORIENTATION": "-" if self.decision.sign < 0 else "",
            "POINTS": len(points),
            "THRESHOLDS": "\n        ".join(reversed(lines)),
            "ARMED": "".join(str(int(point.threshold is not None)) for point in reversed(points)),
        }

    def slice_words(self, towers: np.ndarray) -> list[int]:
        """Tower words (N, 72, 58, inputs), not negative -> the number on the port `towers` of each slice, in order."""
        shape = (len(towers) * self.slices, N_PHI // self.slices * N_ETA, len(self.fields))
        numbers = np.zeros(shape[:2], np.int64)
        for field, channel in zip(self.fields, np.moveaxis(towers.reshape(shape), -1, 0), strict=True):
            numbers += np.minimum(channel, (1 << field["bits"]) - 1) << field["offset"]
        bits = (numbers[..., None] >> np.arange(self.tower_bits)) & 1
        packed = np.packbits(bits.reshape(len(numbers), -1).astype(np.uint8), axis=1, bitorder="little")
        return [int.from_bytes(row.tobytes(), "little") for row in packed]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: ports, packing, latency, interval."""
        period, n = self.design.clock_period_ns, len(self.decision.points)
        slice_bits = N_PHI * N_ETA * self.tower_bits // self.slices
        inputs = {"clk": 1, "rst": 1, "kill": 1, "in_start": 1, "in_valid": 1, "towers": slice_bits}
        outputs = {"out_valid": 1, "score": self.score_bits, "accept": n, "version": 32, "checksum": 256}
        ports = [
            {"name": name, "direction": direction, "width": width}
            for direction, group in (("input", inputs), ("output", outputs))
            for name, width in group.items()
        ]
        return {
            "top": f"{self.namespace}_trigger",
            "files": list(self.files),
            "ports": ports,
            "slices": self.slices,
            "rows_per_slice": N_PHI // self.slices,
            "tower_bits": self.tower_bits,
            "tower_fields": self.fields,
            "packing": f"tower (row, column) of a slice at bits [(row * {N_ETA} + column) * {self.tower_bits} +: "
            f"{self.tower_bits}], its fields at their offsets; rows in phi, from the first; energies in tower_lsb_gev, "
            "rounded down, the largest number of their field for all above",
            "handshake": "a slice on each clock with in_valid, the first with in_start; pauses are allowed; a start "
            "before the last slice drops the slices before it; slices without a start are ignored",
            "latency_cycles": self.latency,
            "latency_ns": self.latency * period,
            "latency_how": "from the edge that takes an event's last slice to the edge that puts out_valid, score and "
            "accept out; logic that reads them takes them in at the next edge",
            "initiation_interval": self.slices,
            "kill_latency_cycles": 1,
            "version_word": version_word(self.version),
        }


def _packed_parameter(numbers: Any) -> str:
    """Numbers of a packed Verilog parameter, the last first.

    >>> _packed_parameter([1, 8])
    "32'd8, 32'd1"
    """
    return ", ".join(f"32'd{number}" for number in reversed(list(numbers)))


def adversarial_towers(pooling: PoolingConfig, top: int, seed: int, n_random: int = 60) -> np.ndarray:
    """Tower words (N, 72, 58, inputs) int64 that fill cells up and beyond: none, all, single ones at the edges, random.

    top: largest energy that the ports hold; some towers are far above it.
    """
    rng, shape = np.random.default_rng(seed), (N_PHI, N_ETA, len(pooling.inputs))
    towers = np.zeros((8 + n_random, *shape), np.int64)
    towers[1], towers[2], towers[3] = 1, top, 1 << 20
    for event, (row, column) in zip(towers[4:8], ((0, 0), (0, -1), (-1, 0), (-1, -1)), strict=True):
        event[row, column] = top
    levels = np.array([1, pooling.pool, top // 4, top, 4 * top + 3]).clip(1)
    drawn = rng.integers(0, rng.choice(levels, (n_random, 1, 1, 1)), (n_random, *shape), endpoint=True)
    towers[8:] = drawn * (rng.random(drawn.shape) < rng.random((n_random, 1, 1, 1)))
    tracks = [name == "tracks" for name in pooling.inputs]
    return np.where(tracks, towers > 0, towers)
