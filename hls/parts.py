"""FPGA parts of the Level-1 trigger, the gates people use, and the budget that the firmware is judged by."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from codae_l1.data.errors import InputError

Gate = Literal["green", "amber", "red"]

# Share of a device's LUTs up to which a Level-1 algorithm is called comfortable (habit of trigger groups).
GREEN_SHARE = 0.10


@dataclass(frozen=True)
class Part:
    """Resources of one FPGA: LUT, FF, DSP, BRAM36 and URAM blocks, super logic regions (AMD product tables)."""

    name: str
    lut: int
    ff: int
    dsp: int
    bram36: int
    uram: int
    slr: int

    @property
    def bram_18k(self) -> int:
        """Half blocks of 18 kbit, as hls4ml counts."""
        return 2 * self.bram36

    @property
    def available(self) -> dict[str, int]:
        """Resources under hls4ml's report keys; BRAM_18K counts half blocks."""
        return {"LUT": self.lut, "FF": self.ff, "DSP": self.dsp, "BRAM_18K": self.bram_18k, "URAM": self.uram}

    def gate(self, lut: float) -> Gate:
        """Green up to 10 % of the device, amber up to one super logic region, red above.

        >>> [part("xcvu13p").gate(n) for n in (17_280, 200_000, 500_000)]
        ['green', 'amber', 'red']
        """
        if lut <= GREEN_SHARE * self.lut:
            return "green"
        return "amber" if lut <= self.lut / self.slr else "red"


# Source: AMD UltraScale+ and 7-series product selection tables.
PARTS = {
    row.name: row
    for row in (
        Part("xcvu13p", 1_728_000, 3_456_000, 12_288, 2_688, 1_280, 4),
        Part("xcvu9p", 1_182_240, 2_364_480, 6_840, 2_160, 960, 3),
        Part("xc7vx690t", 433_200, 866_400, 3_600, 1_470, 0, 1),
        Part("xcu55c", 1_303_680, 2_607_360, 9_024, 2_016, 960, 3),
        Part("xczu9eg", 274_080, 548_160, 2_520, 912, 0, 1),
        Part("xc7z020", 53_200, 106_400, 220, 140, 0, 1),
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
    raise InputError(f"hls.part = {name!r}", f"a part of {', '.join(PARTS)}", "choose one or add it to hls/parts.py")


@dataclass(frozen=True)
class Level1Budget:
    """What the firmware may cost; the defaults are the project's target on a VU13P at 40 MHz bunch crossings.

    lut: what the demonstration must stay under; lut_target: 1 % of a VU13P.
    """

    lut: int = 40_000
    lut_target: int = 17_280
    dsp: int = 0
    bram: int = 0
    latency_ns: float = 50.0
    interval_cycles: int = 1

    def verdict(self, report: dict[str, Any]) -> list[dict[str, Any]]:
        """One row per limit: {name, value, limit, unit, passed, kind, tool}; `report` is synthesis.json's content."""
        resources = report["resources"]
        source = {"kind": resources["kind"], "tool": resources["tool"]}
        exact = {"kind": "exact", "tool": report["latency_tool"]}
        rows = [
            ("LUT", resources["LUT"], self.lut, "LUT", source),
            ("LUT target", resources["LUT"], self.lut_target, "LUT", source),
            ("DSP", resources["DSP"], self.dsp, "blocks", source),
            ("BRAM_18K", resources["BRAM_18K"], self.bram, "blocks", source),
            ("latency", report["latency_ns"], self.latency_ns, "ns", exact),
            ("initiation interval", report["interval_cycles"], self.interval_cycles, "cycles", exact),
        ]
        return [
            {"name": name, "value": value, "limit": limit, "unit": unit, "passed": value <= limit} | how
            for name, value, limit, unit, how in rows
        ]

    def as_dict(self) -> dict[str, Any]:
        """The limits, JSON-ready."""
        return asdict(self)


# The budget of the project; 50 ns is the slot of one algorithm in the Level-1 global trigger (arXiv:2411.19506).
BUDGET = Level1Budget()
