"""FPGA parts of the Level-1 trigger, and the budget by which the firmware is judged."""

from dataclasses import dataclass

from codae_l1.data.base.errors import InputError


@dataclass(frozen=True)
class Part:
    """Resources of one FPGA: LUT, FF, DSP, BRAM36 and URAM blocks (AMD product tables)."""

    name: str
    lut: int
    ff: int
    dsp: int
    bram36: int
    uram: int

    @property
    def bram_18k(self) -> int:
        """Half blocks of 18 kbit, as hls4ml counts."""
        return 2 * self.bram36

    @property
    def available(self) -> dict[str, int]:
        """Resources under hls4ml's report keys; BRAM_18K counts half blocks."""
        return {"LUT": self.lut, "FF": self.ff, "DSP": self.dsp, "BRAM_18K": self.bram_18k, "URAM": self.uram}


# Source: AMD UltraScale+ and 7-series product selection tables.
PARTS = {
    row.name: row
    for row in (
        Part("xcvu13p", 1_728_000, 3_456_000, 12_288, 2_688, 1_280),
        Part("xcvu9p", 1_182_240, 2_364_480, 6_840, 2_160, 960),
        Part("xc7vx690t", 433_200, 866_400, 3_600, 1_470, 0),
        Part("xcu55c", 1_303_680, 2_607_360, 9_024, 2_016, 960),
        Part("xczu9eg", 274_080, 548_160, 2_520, 912, 0),
        Part("xc7z020", 53_200, 106_400, 220, 140, 0),
    )
}


def part(name: str) -> Part:
    """The part of a full name such as xcvu13p-flga2577-2-e.

    >>> part("xcvu13p-flga2577-2-e").lut
    1728000
    """
    for key, row in PARTS.items():
        if name.startswith(key):
            return row
    raise InputError(
        f"hls.part = {name!r}", f"a part of {', '.join(PARTS)}", "choose one or add it to hls/target/parts.py"
    )


@dataclass(frozen=True)
class _Level1Budget:
    """What the firmware may cost; the defaults are the project's target on a VU13P at 40 MHz bunch crossings."""

    lut: int = 17_280
    dsp: int = 0
    bram: int = 0
    latency_ns: float = 50.0
    interval_cycles: int = 1


# The budget of the project; 50 ns is the slot of one algorithm in the Level-1 global trigger (arXiv:2411.19506).
BUDGET = _Level1Budget()
# What every estimate says of a clock that its band does not exclude.
OPEN = "open until place and route"
