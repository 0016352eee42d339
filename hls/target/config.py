"""The hardware options of a run: backend, part, clock, pipelining, and the limits on external tools."""

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from codae_l1.data.base.errors import InputError
from codae_l1.hls.target.parts import part as find_part

BackendName = Literal["Vitis", "Vivado", "Catapult", "oneAPI", "Libero"]
IoType = Literal["io_parallel", "io_stream"]
Strategy = Literal["latency", "resource", "distributed_arithmetic"]

# Backends whose default part hls4ml chooses; it is not in hls/target/parts.py, and no size is compared with it.
OTHER_PARTS = {"oneAPI": "Agilex7", "Libero": "MPF300"}
# Of any number here: 32 years, a second, more products than any part holds.
_LARGEST = 1e9
# ns, ten times as fast as any FPGA.
_SHORTEST_NS = 0.1


@dataclass(frozen=True)
class HlsConfig:
    """Part, clock, backend and pipelining of the firmware.

    part: an FPGA of `codae_l1.hls.target.parts.PARTS`; of another vendor for oneAPI ("Agilex7") and Libero ("MPF300").
    clock_period_ns: period asked of every tool; latency_ns = cycles x clock_period_ns.
    backend, io_type, strategy: of the hls4ml project (docs/backends.md).
    reuse_factor: products that share one multiplier. layer_reuse: layer name -> its own. parallel_pixels: pixels of a
    convolution that are computed at once in io_parallel, 0 for all.
    latency_cutoff: longest chain of adders between two registers, in da4ml's latency units (one adder = 1).
    jobs: processes that compile or map at once, and threads of the Verilator model and of the integer interpreter.
    tool_timeout_s: longest run of one outside tool.

    >>> HlsConfig(clock_period_ns=4.0).part
    'xcvu13p-flga2577-2-e'
    """

    part: str = "xcvu13p-flga2577-2-e"
    clock_period_ns: float = 5.0
    backend: BackendName = "Vitis"
    io_type: IoType = "io_parallel"
    strategy: Strategy = "latency"
    reuse_factor: int = 1
    layer_reuse: dict[str, int] = field(default_factory=dict)
    parallel_pixels: int = 1
    latency_cutoff: float = 5.0
    jobs: int = 2
    tool_timeout_s: float = 900.0
    REMOVED: ClassVar[dict[str, Any]] = {"simulation_threads": ...}

    def __post_init__(self):
        for name, known in (("backend", BackendName), ("io_type", IoType), ("strategy", Strategy)):
            if getattr(self, name) not in known.__args__:
                expected = f"one of {', '.join(known.__args__)}"
                raise InputError(f"hls.{name} = {getattr(self, name)!r}", expected, "choose one of them")
        if self.backend in OTHER_PARTS:
            if not self.part or self.part.startswith("xc"):
                expected = f"a part of its vendor, e.g. {OTHER_PARTS[self.backend]!r}"
                raise InputError(f"hls.part = {self.part!r} for backend {self.backend}", expected, "correct it")
        else:
            find_part(self.part)
        if not re.fullmatch(r"[\w.+-]+", self.part, re.ASCII):
            raise InputError(f"hls.part = {self.part!r}", "letters, digits, hyphens and points", "correct it")
        positive = ("clock_period_ns", "latency_cutoff", "jobs", "tool_timeout_s", "reuse_factor")
        numbers = {name: getattr(self, name) for name in positive}
        numbers |= {f"layer_reuse.{name}": value for name, value in self.layer_reuse.items()}
        for name, value in numbers.items():
            if not 0 < value <= _LARGEST:
                raise InputError(f"hls.{name} = {value}", "a number above zero, at most 10^9", "correct it")
        if self.clock_period_ns < _SHORTEST_NS:
            raise InputError(f"hls.clock_period_ns = {self.clock_period_ns}", f"at least {_SHORTEST_NS}", "correct it")
        if self.parallel_pixels < 0:
            raise InputError(
                f"hls.parallel_pixels = {self.parallel_pixels}", "a number of pixels, or 0 for all", "correct it"
            )

    def reuse(self, layer: str) -> int:
        """Reuse factor asked for a layer.

        >>> HlsConfig(reuse_factor=4, layer_reuse={"conv1": 9}).reuse("conv1")
        9
        """
        return self.layer_reuse.get(layer, self.reuse_factor)
