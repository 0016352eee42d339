"""What the hardware side of a run can be told: part, clock, pipelining and the limits of the outside tools."""

from dataclasses import dataclass

from codae_l1.data.errors import InputError
from codae_l1.hls.parts import part as find_part


@dataclass(frozen=True)
class HlsConfig:
    """Part, clock and pipelining of the firmware.

    part: an FPGA of `codae_l1.hls.parts.PARTS`.
    clock_period_ns: period asked of every tool; latency_ns = cycles x clock_period_ns.
    latency_cutoff: longest chain of adders between two registers, in da4ml's latency units (one adder = 1).
    simulation_threads: threads of the Verilator model and of the integer interpreter.
    jobs: processes that compile or map at once.
    tool_timeout_s: longest run of one outside tool.

    >>> HlsConfig(clock_period_ns=4.0).part
    'xcvu13p-flga2577-2-e'
    """

    part: str = "xcvu13p-flga2577-2-e"
    clock_period_ns: float = 5.0
    latency_cutoff: float = 5.0
    simulation_threads: int = 2
    jobs: int = 2
    tool_timeout_s: float = 900.0

    def __post_init__(self):
        find_part(self.part)
        for name in ("clock_period_ns", "latency_cutoff", "simulation_threads", "jobs", "tool_timeout_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"hls.{name} = {getattr(self, name)}", "a number above zero", "correct it")
