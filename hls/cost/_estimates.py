"""What Vivado's place and route is expected to give, from da4ml's cost and Yosys' mapping, each figure with its band.

LUT = da4ml cost x 1.05 (adders only) or x 0.83 (lookup tables), +-10 %: two Vivado runs of one model differ by up to
12 %. LUT of Yosys' mapping x 1, -15 / +20 %; FF of Yosys -30 / +20 %; clock period = 1.3 ns + 0.55 ns x cutoff,
-30 / +40 %, up to 62 k LUT, indicative: a clock period is open until place and route.

The bands hold for the designs below, published figures of II = 1 pipelines by da4ml on a VU13P, for which da4ml 0.5.2
and Yosys 0.70 were run as well. A test checks that every ratio of `ratios` lies inside. Sources:
T: public artefact of a thesis (Vivado 2025.1); P: table III of arXiv:2604.22293 as T quotes it; J: arXiv:2508.15468.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from codae_l1.hls.network.executor import RtlDesign
from codae_l1.hls.target.parts import OPEN


class Vivado(NamedTuple):
    """LUT that Vivado counts. kind: S synthesis (T), R post-route (T), P post-route (P)."""

    kind: str
    lut: int


@dataclass(frozen=True)
class CalibrationDesign:
    """A published design. cutoff: da4ml's latency cutoff. cost: da4ml's. mapped_lut, mapped_ff: Yosys' counts.

    mapped_lut is the sum of LUT1..LUT6; with shift registers in LUTs, which `codae_l1.hls.cost.synthesis` counts, too,
    it is up to 4 % more. vivado: LUT by Vivado, one or two runs of the same model. vivado_ff: its FF. period_ns:
    shortest and longest post-route clock period of it and its like; None where nothing was published.
    """

    name: str
    cutoff: float
    cost: int
    mapped_lut: int
    vivado: tuple[Vivado, ...]
    mapped_ff: int | None = None
    vivado_ff: int | None = None
    period_ns: tuple[float, float] | None = None


DESIGNS = (
    CalibrationDesign(
        *("muon 228", 8, 17_266, 14_728, (Vivado("S", 13_103), Vivado("P", 14_549)), 4_496, 4_439, (5.6, 6.2))
    ),
    CalibrationDesign(
        *("muon 203", 8, 23_393, 20_297, (Vivado("S", 18_959), Vivado("P", 19_627)), 6_996, 4_988, (5.6, 6.2))
    ),
    CalibrationDesign(
        *("muon 190", 8, 37_862, 32_093, (Vivado("S", 30_664), Vivado("P", 30_612)), 9_738, 9_488, (5.6, 6.2))
    ),
    CalibrationDesign(
        *("jets 32x3", 2.5, 45_897, 40_659, (Vivado("S", 40_170), Vivado("P", 41_594)), 15_157, 17_613, (3.1, 3.1))
    ),
    CalibrationDesign("jets 32x16", 3.1, 28_762, 22_772, (Vivado("P", 25_288),)),
    CalibrationDesign(
        *("jets 64x16", 3, 46_059, 33_816, (Vivado("R", 35_616), Vivado("P", 39_765)), 19_884, 19_646, (3.5, 3.9))
    ),
)
# JEDI-linear, 20 post-route designs of adders only, 35,684 to 295.7 k LUT (J): smallest and largest LUT / cost; clock
# periods at cutoff 2 of those of 36 to 62 k LUT, and of the one of 296 k LUT, which no band reaches.
JEDI_DESIGNS, JEDI_RATIOS = 20, (0.97, 1.13)
JEDI_CUTOFF, JEDI_PERIODS_NS, JEDI_LARGEST_NS = 2.0, (2.6, 3.3), 4.9

# Tools that were run on the published designs.
CALIBRATED_WITH = {"da4ml": "da4ml 0.5.2", "Yosys": "Yosys 0.70"}
# Vivado LUT / da4ml cost; of adders alone the mean of JEDI-linear's.
ADDER_RATIO, LOOKUP_RATIO, RATIO_BAND = 1.05, 0.83, (-0.10, 0.10)
# Vivado / Yosys.
LUT_BAND, FF_BAND = (-0.15, 0.20), (-0.30, 0.20)
# Period [ns] = offset + slope x cutoff.
PERIOD_OFFSET_NS, PERIOD_PER_CUTOFF_NS, PERIOD_BAND = 1.3, 0.55, (-0.30, 0.40)
# Disagreement of the two LUT figures from which it is said.
CROSS_CHECK = 0.25
# Smallest design with a Vivado figure; largest for which the clock period was fitted.
CALIBRATED_FROM = min(run.lut for design in DESIGNS for run in design.vivado)
PERIOD_UP_TO = 62_000


class Ratio(NamedTuple):
    """A published figure over its estimate, the band that holds it, and of what it is."""

    quantity: str
    design: str
    value: float
    band: tuple[float, float]

    @property
    def inside(self) -> bool:
        """Whether the band holds it."""
        return 1 + self.band[0] <= self.value <= 1 + self.band[1]


def ratios(designs: tuple[CalibrationDesign, ...] = DESIGNS, **bands: tuple[float, float]) -> Iterator[Ratio]:
    """Published / estimated of every figure; bands: by quantity (cost, lut, ff, period), other than the stated."""
    cost, lut, ff, period = (
        bands.get(name, stated)
        for name, stated in (("cost", RATIO_BAND), ("lut", LUT_BAND), ("ff", FF_BAND), ("period", PERIOD_BAND))
    )
    for design in designs:
        for run in design.vivado:
            yield Ratio("cost", design.name, run.lut / (LOOKUP_RATIO * design.cost), cost)
            yield Ratio("lut", design.name, run.lut / design.mapped_lut, lut)
        if design.mapped_ff and design.vivado_ff:
            yield Ratio("ff", design.name, design.vivado_ff / design.mapped_ff, ff)
        for measured in design.period_ns or ():
            yield Ratio("period", design.name, measured / period_ns(design.cutoff), period)
    for ratio in JEDI_RATIOS:
        yield Ratio("cost", "JEDI-linear", ratio / ADDER_RATIO, cost)
    for measured in JEDI_PERIODS_NS:
        yield Ratio("period", "JEDI-linear", measured / period_ns(JEDI_CUTOFF), period)


def period_ns(cutoff: float) -> float:
    """Clock period [ns] of a pipeline with this da4ml cutoff.

    >>> period_ns(5.0)
    4.05
    """
    return round(PERIOD_OFFSET_NS + PERIOD_PER_CUTOFF_NS * cutoff, 3)


def table() -> str:
    """The calibration designs in Markdown, as docs/estimates.md shows them."""
    lines = [
        "| design (cutoff) | da4ml cost | Yosys LUT | Vivado LUT | Vivado / Yosys | Vivado / cost | FF | period [ns] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for design in DESIGNS:
        runs = design.vivado
        cells = (
            f"{design.name} ({design.cutoff:g})",
            f"{design.cost:,}",
            f"{design.mapped_lut:,}",
            "; ".join(f"{run.kind} {run.lut:,}" for run in runs),
            "; ".join(f"{run.lut / design.mapped_lut:.2f}" for run in runs),
            "; ".join(f"{run.lut / design.cost:.2f}" for run in runs),
            f"{design.mapped_ff:,}; {design.vivado_ff:,}" if design.mapped_ff and design.vivado_ff else "-",
            f"{period_ns(design.cutoff):.2f}; {_range(design.period_ns)}" if design.period_ns else "-",
        )
        lines.append(f"| {' | '.join(cells)} |")
    jedi = f"{period_ns(JEDI_CUTOFF):.2f}; {_range(JEDI_PERIODS_NS)} (296 k LUT: {JEDI_LARGEST_NS:g})"
    ends = f"{JEDI_RATIOS[0]:.2f} to {JEDI_RATIOS[1]:.2f}"
    lines.append(f"| JEDI-linear, {JEDI_DESIGNS} designs ({JEDI_CUTOFF:g}) | - | - | J | - | {ends} | - | {jedi} |")
    return "\n".join(lines) + "\n"


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g}" if ends[0] == ends[1] else f"{ends[0]:g} to {ends[1]:g}"


def estimates(design: RtlDesign, resources: dict[str, int], tool: str, inverters: int = 0) -> list[dict[str, Any]]:
    """What place and route is expected to give: rows {name, value, low, high, kind, how}, values in their units.

    design: the RTL's design.json. resources: LUT and FF by Yosys (`tool`). inverters: cells INV that Yosys leaves
    beside the LUTs.
    """
    cost, lut = design.da4ml_cost, resources["LUT"]
    rows = _cost_rows(design)
    said = _calibrated(lut) + _version(tool)
    how = f"synthesis: {tool} sum of LUT primitives, against Vivado {_percent(LUT_BAND)}{said}"
    rows.append(_row("LUT, Yosys", lut, LUT_BAND, how, "synthesis"))
    how = (
        f"synthesis: {tool} leaves these INV cells beside the LUTs, in no sum above (the bands were calibrated without "
        "them); place and route absorbs most into the inputs of LUTs, at worst each takes a LUT"
    )
    rows.append({"name": "inverters", "value": inverters, "low": 0, "high": inverters, "kind": "synthesis", "how": how})
    nearest = min(abs(lut / (ratio * cost) - 1) for _, ratio in _classes(design)) if cost else 0.0
    words = "differ by more than 25 %: expect anything between them" if nearest > CROSS_CHECK else "agree within 25 %"
    how = f"Yosys' LUT and da4ml's nearest cost estimate {words}"
    rows.append({"name": "LUT cross-check", "value": f"{100 * nearest:.0f} %", "kind": "estimate", "how": how})
    how = f"synthesis: {tool}, against Vivado {_percent(FF_BAND)}{said}"
    rows.append(_row("FF", resources["FF"], FF_BAND, how, "synthesis"))
    return [*rows, *_clock_rows(design, lut)]


def _classes(design: RtlDesign) -> list[tuple[str, float]]:
    """(class, LUT / cost) of the calibrated classes that a design may belong to: both where it is of neither."""
    kinds = design.operations_by_kind
    both = [("adders only", ADDER_RATIO), ("lookup tables and few adders", LOOKUP_RATIO)]
    # How many saturations, roundings and maxima make another class is not known: with any of them it is open.
    if not kinds or any(kinds.get(kind, 0) for kind in ("multiplexer", "relu", "slice")):
        return both
    return both[1:] if kinds.get("table", 0) else both[:1]


def _cost_rows(design: RtlDesign) -> list[dict[str, Any]]:
    rows, cost, classes = [], design.da4ml_cost, _classes(design)
    for which, ratio in classes:
        how = (
            f"estimate: {design.tool} cost {cost:,.0f} x {ratio}, {_percent(RATIO_BAND)}, calibrated on designs of "
            f"{which}{_calibrated(ratio * cost)}{_version(design.tool)}"
        )
        if len(classes) > 1:
            how += "; with its saturations, roundings and maxima this design is of neither class"
        rows.append(_row(f"LUT, {which}", ratio * cost, RATIO_BAND, how))
    return rows


def beyond_reach(cutoff: float, clock_period_ns: float) -> str:
    """What to say of a clock below the shortest period that stages of a latency cutoff are expected to reach; or "".

    >>> beyond_reach(5, 5.0), beyond_reach(5, 0.2)
    ('', 'a clock of 0.2 ns is out of reach: 2.83 to 5.67 ns can be expected of its stages')
    """
    row = _row("clock period [ns]", round(period_ns(cutoff), 2), PERIOD_BAND, "", digits=2)
    if clock_period_ns >= row["low"]:
        return ""
    expected = f"{row['low']:g} to {row['high']:g} ns can be expected of its stages"
    return f"a clock of {clock_period_ns:g} ns is out of reach: {expected}"


def _clock_rows(design: RtlDesign, lut: float) -> list[dict[str, Any]]:
    """Period, frequency and latency as place and route may leave them: indicative, all of them open before it."""
    period, cutoff = round(period_ns(design.latency_cutoff), 2), design.latency_cutoff
    how = (
        f"indicative: {PERIOD_OFFSET_NS:g} + {PERIOD_PER_CUTOFF_NS:g} x cutoff {cutoff:g}, {_percent(PERIOD_BAND)}; "
        f"{OPEN}"
    )
    if lut > PERIOD_UP_TO:
        how += f"; fitted up to {PERIOD_UP_TO:,} LUT, larger designs are slower (twice at 296,000 LUT)"
    rows = [_row("clock period [ns]", period, PERIOD_BAND, how, digits=2)]
    low, high = rows[0]["low"], rows[0]["high"]
    how = f"indicative: what that period means; {OPEN}"
    fmax = {"value": round(1000 / period), "low": round(1000 / high), "high": round(1000 / low)}
    rows.append({"name": "Fmax [MHz]", **fmax, "kind": "estimate", "how": how})
    cycles = design.stages
    how = f"indicative: {cycles} cycles (exact: da4ml's stages) of that period"
    times = {"value": round(cycles * period, 1), "low": round(cycles * low, 1), "high": round(cycles * high, 1)}
    rows.append({"name": "latency at that period [ns]", **times, "kind": "estimate", "how": how})
    return rows


def _calibrated(lut: float) -> str:
    """What to say of a design smaller than any with a Vivado figure."""
    return f"; no Vivado figure was compared below {CALIBRATED_FROM:,} LUT" if lut < CALIBRATED_FROM else ""


def _version(tool: str) -> str:
    """What to say of a tool of another version than the calibrated one.

    >>> _version("Yosys 0.71"), _version("Yosys 0.70")
    ('; calibrated with Yosys 0.70, not with this version', '')
    """
    calibrated = next((known for name, known in CALIBRATED_WITH.items() if tool.split()[:1] == [name]), tool)
    return "" if tool == calibrated else f"; calibrated with {calibrated}, not with this version"


def _percent(band: tuple[float, float]) -> str:
    """A band in words.

    >>> _percent((-0.15, 0.2)), _percent((-0.1, 0.1))
    ('-15 / +20 %', '+-10 %')
    """
    low, high = (100 * edge for edge in band)
    return f"+-{high:.0f} %" if low == -high else f"{low:.0f} / +{high:.0f} %"


def _row(
    name: str, value: float, band: tuple[float, float], how: str, kind: str = "estimate", digits: int = 0
) -> dict[str, Any]:
    low, high = (round(value * (1 + edge), digits or None) for edge in band)
    return {"name": name, "value": round(value, digits or None), "low": low, "high": high, "kind": kind, "how": how}
