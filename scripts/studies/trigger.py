"""What a trigger says at its working points: rates on zero bias, pure rates, efficiencies beside the menu, curves.

One form for the shipped crossings (stage evaluate) and for millions that are streamed (scripts/rates.py).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.menu import Menu, solve_menu
from codae_l1.models.evaluation.crossing_rates import Crossings, rate_curves, trigger_points, turn_on
from codae_l1.scripts.run.config import TriggerConfig

Sample = Iterable[Crossings]

# Points of a curve in the JSON.
_CURVE_POINTS = 40
# Signals, and generated quantities with the edges of their bins [GeV], of the turn-on.
_TURN_ON = ("h125", "h400", "svj2100")
_EDGES = {
    "jet_ht": (0, 50, 100, 150, 200, 300, 400, 600, 1000, 2000, 5000),
    "scalar_pt": (0, 50, 100, 150, 200, 250, 300, 400, 600, 1000, 2000, 5000),
}


def trigger_section(
    config: TriggerConfig,
    zero_bias: Sample,
    signals: Mapping[str, Sample],
    scores: Sequence[str],
    generated: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> dict[str, Any]:
    """The JSON of a trigger on crossings: menu, points, reach_khz, effective, curves, turn_on.

    zero_bias, signals: chunks of crossings, which hold every word of scores and menu. Thresholds of scores and menu are
    solved on the zero bias that gives the rates. generated: signal -> quantity -> (N,) GeV, for the turn-on. The menu
    has a `reason` where fewer than ten effective crossings fire it: it is then that of the few collisions in them.
    """
    menu = _menu(config, zero_bias)
    fires = menu.thresholds
    points = trigger_points(zero_bias, signals, config.points, fires, config.crossing_khz, scores)
    curves, reach = {}, {}
    for score in scores:
        curve = rate_curves(zero_bias, signals, score, fires, config.crossing_khz, _CURVE_POINTS)
        curves[score], reach[score] = curve, curve.pop("reach_khz")
    return {
        "crossing_khz": config.crossing_khz,
        **_effective(points, scores[0], config.crossing_khz),
        "menu": menu.as_dict() | _menu_carried(points),
        "reach_khz": reach,
        "points": points,
        "curves": curves,
        "turn_on": _turn_on(signals, points, fires, generated or {}),
    }


def _menu(config: TriggerConfig, zero_bias: Sample) -> Menu:
    """The menu at its rate; InputError where the crossings do not carry it."""
    paths = tuple(config.menu.shares)
    return solve_menu(_Words(zero_bias, paths), _Weights(zero_bias), config.menu, config.crossing_khz)


def _menu_carried(points: Mapping[str, Any]) -> dict[str, Any]:
    """Effective crossings behind the menu's rate, and why they are too few where they are; it is solved on crossings,
    which may share very few collisions."""
    row = next(iter(points.values()))["menu"]
    return {key: row[key] for key in ("effective", "reason") if key in row}


@dataclass(frozen=True)
class _Words:
    """The words of a menu's paths, a chunk at a time, however often."""

    sample: Sample
    paths: tuple[str, ...]

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for chunk in self.sample:
            missing = [path for path in self.paths if path not in chunk.words]
            if missing:
                raise InputError(
                    f"trigger.menu.shares with {', '.join(missing)}",
                    f"quantities of the crossings: {', '.join(chunk.words)}",
                    "correct the names",
                )
            yield {path: chunk.words[path] for path in self.paths}


@dataclass(frozen=True)
class _Weights:
    """The weights, a chunk at a time, however often."""

    sample: Sample

    def __iter__(self) -> Iterator[np.ndarray]:
        for chunk in self.sample:
            yield chunk.weight


def _effective(points: Mapping[str, Any], score: str, crossing_khz: float) -> dict[str, Any]:
    """How many independent crossings of equal weight would give the error of a score's rate, and at which point.

    With a share p of crossings and (rate / error)^2 = e these are e (1 - p) / p. The point is 1e-3 if it is carried,
    else the first one that is; None where none is.
    """
    for name in sorted(points, key=lambda name: name != "1e-3"):
        row = points[name][score]
        rate = row["pure_khz"] if name.endswith("pure") else row["rate_khz"]
        if rate:
            return {"effective": row["effective"] * (crossing_khz / rate - 1), "effective_at": name}
    return {"effective": None, "effective_at": None}


def _turn_on(
    signals: Mapping[str, Sample],
    points: Mapping[str, Any],
    fires: Mapping[str, int],
    generated: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """Efficiency of rtl at each carried point, and of the menu, in bins of what was generated."""
    result: dict[str, Any] = {}
    for signal in (name for name in _TURN_ON if name in generated and name in signals):
        for quantity, values in generated[signal].items():
            edges = np.array(_EDGES[quantity], np.float64)
            rows = {"menu": turn_on(signals[signal], fires, values, edges)}
            for point, of in points.items():
                if of["rtl"]["threshold"] is not None:
                    rows[point] = turn_on(signals[signal], {"rtl": of["rtl"]["threshold"]}, values, edges)
            result.setdefault(signal, {})[quantity] = rows
    return result
