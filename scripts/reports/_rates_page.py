"""Trigger rates of streamed crossings: figures, and a page of Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from codae_l1.data.base.files import whole_file
from codae_l1.scripts.reports._turn_on import turn_on_bins
from codae_l1.scripts.reports.figures import CURVES, TITLES, cms_style, new_figure, save_svg
from codae_l1.scripts.run.tables import markdown_table

# Colours of signals and points in one panel (arXiv:2107.02270).
_COLOURS = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#7a21dd", "#9c9ca1")
_AXES = {"jet_ht": "generated HT of jets [GeV]", "scalar_pt": "generated scalar sum of pT [GeV]"}
_PANELS = 3


def write_rates(content: Mapping[str, Any], folder: Path) -> None:
    """Write rates.md and the figures that the content has."""
    figures = {"rate.svg": _rate_figure(content["trigger"])}
    if content["trigger"]["points"] and _signals(content["trigger"]):
        figures["efficiency.svg"] = _efficiency_figure(content["trigger"])
    if content["trigger"]["turn_on"]:
        figures["turn_on.svg"] = _turn_on_figure(content["trigger"]["turn_on"])
    if content["against_pileup"]:
        figures["pileup.svg"] = _pileup_figure(content["against_pileup"])
    for name, figure in figures.items():
        save_svg(figure, folder / name)
    with whole_file(folder / "rates.md") as temporary:
        temporary.write_text(_markdown(content))


def _signals(section: Mapping[str, Any]) -> list[str]:
    curve = next(iter(section["curves"].values()))
    return list(curve["efficiency"])


def _rate_figure(section: Mapping[str, Any]) -> Figure:
    """Rate and pure rate against the threshold: a panel a score, from its reach on, with their errors."""
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(1, len(section["curves"]), 3.4 * len(section["curves"]), 3.2, sharey=True)
        for ax, (score, curve) in zip(axes.flat, section["curves"].items(), strict=True):
            for key, label, colour in (("", "all", "#5790fc"), ("pure_", "beyond the menu", "#e42536")):
                rate, error = (_numbers(curve[name]) for name in (f"{key or 'rate_'}khz", f"{key}error_khz"))
                _band(ax, np.array(curve["threshold"]), rate, error, label, colour)
            ax.set(xlabel="threshold word", yscale="log")
            ax.set_title(CURVES[score][0], loc="left", fontsize=7)
        axes[0, 0].set_ylabel("rate [kHz]")
        axes[0, 0].legend(frameon=False)
        return figure


def _efficiency_figure(section: Mapping[str, Any]) -> Figure:
    """Efficiency against the rate: a panel a signal, scores with bands; the dot is the menu at its own rate."""
    signals = _signals(section)
    rows = -(-len(signals) // _PANELS)
    menu = next(iter(section["points"].values()))["menu"]
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(rows, _PANELS, 9.6, 2.9 * rows, sharex=True, sharey=True)
        for ax, signal in zip(axes.flat, signals, strict=False):
            for score, curve in section["curves"].items():
                label, colour, line = CURVES[score]
                of = curve["efficiency"][signal]
                x = _numbers(curve["rate_khz"])
                _band(ax, x, _numbers(of["value"]), _numbers(of["error"]), label, colour, line)
            if menu["rate_khz"] is not None:
                ax.plot(menu["rate_khz"], menu["efficiency"][signal]["value"], "o", color="#1c2530", label="menu")
            ax.set(xscale="log", ylim=(0, 1.02))
            ax.set_title(TITLES[signal], loc="left")
        for ax in axes.flat[len(signals) :]:
            ax.set_visible(False)
        figure.supxlabel("rate [kHz]", fontsize=9)
        figure.supylabel("efficiency", fontsize=9)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return figure


def _turn_on_figure(turn_on: Mapping[str, Any]) -> Figure:
    """Efficiency in bins of what was generated: a row a signal, a column a quantity; menu and rtl."""
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(len(turn_on), len(_AXES), 8.4, 2.7 * len(turn_on), sharey=True)
        for row, (signal, quantities) in zip(axes, turn_on.items(), strict=True):
            for ax, (quantity, label) in zip(row, _AXES.items(), strict=True):
                names = quantities[quantity]
                for colour, (name, of) in zip(("#1c2530", *_COLOURS), names.items(), strict=False):
                    middle, half, value, error = turn_on_bins(of)
                    shown = name if name == "menu" else f"firmware, {name}"
                    style = {"fmt": "o", "markersize": 2.5, "elinewidth": 0.8, "color": colour, "label": shown}
                    ax.errorbar(middle, value, error, half, **style)
                ax.set(xlabel=label, ylim=(0, 1.02))
                ax.set_title(TITLES[signal], loc="left")
            row[0].set_ylabel("efficiency")
        axes[0, 0].legend(frameon=False)
        return figure


def _pileup_figure(against: Mapping[str, Any]) -> Figure:
    """Rate and efficiency of rtl against pile-up; full: thresholds fixed, dashed: solved at each. A column a point."""
    x = [float(mu) for mu in against["pileup"]]
    points = list(against["fixed"][against["pileup"][0]])
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(2, len(points), 3.4 * len(points), 5.6, sharex=True)
        for column, point in zip(axes.T, points, strict=True):
            for way, line in (("fixed", "-"), ("solved", "--")):
                rows = [against[way][mu][point]["rtl"] for mu in against["pileup"]]
                label = f"thresholds of {against['fixed_at']}" if way == "fixed" else "of each pile-up"
                rate, error = (_numbers([row[key] for row in rows]) for key in ("rate_khz", "error_khz"))
                column[0].errorbar(x, rate, error, marker="o", markersize=3, linestyle=line, label=label)
                signals = next((list(row["efficiency"]) for row in rows if row["efficiency"]), [])
                for colour, signal in zip(_COLOURS, signals[:: max(1, len(signals) // 4)], strict=False):
                    value, error = _of_signal(rows, signal)
                    label = TITLES[signal] if way == "fixed" else None
                    _band(column[1], np.array(x), value, error, label, colour, line)
            column[0].set(yscale="log")
            column[0].set_title(point, loc="left")
            column[1].set(xlabel="pile-up", ylim=(0, 1.02))
        axes[0, 0].set_ylabel("rate of the firmware [kHz]")
        axes[1, 0].set_ylabel("efficiency")
        axes[0, 0].legend(frameon=False)
        axes[1, 0].legend(frameon=False)
        return figure


def _of_signal(rows: list[Mapping[str, Any]], signal: str) -> tuple[np.ndarray, np.ndarray]:
    """Efficiency and error of a signal in each row, NaN where the point is not carried."""
    found = [(row["efficiency"] or {}).get(signal, {}) for row in rows]
    return _numbers([of.get("value") for of in found]), _numbers([of.get("error") for of in found])


def _numbers(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _band(
    ax: Any, x: np.ndarray, y: np.ndarray, error: np.ndarray, label: str | None, colour: str, line: Any = "-"
) -> None:
    ax.plot(x, y, color=colour, linestyle=line, label=label)
    ax.fill_between(x, y - error, y + error, color=colour, alpha=0.2, linewidth=0)


def _markdown(content: Mapping[str, Any]) -> str:
    """The reach, the working points, the vertex, and the pile-up, as tables."""
    section = content["trigger"]
    title = f"# Rates on {section['crossings']:,} crossings at pile-up {section['pileup']:g}"
    reach = [(score, f"{khz:.3g}") for score, khz in section["reach_khz"].items()]
    parts = [title, markdown_table(("score", "reach [kHz]"), reach, 1), _points(section["points"]), _menu(section)]
    if reasons := _reasons(section["points"]):
        parts.append("\n".join(("Not carried, and therefore not stated:", "", *reasons)))
    lost = [(TITLES.get(name, name), f"{100 * share:.2f}") for name, share in section["vertex_lost"].items()]
    parts.append(markdown_table(("crossings", "hard collision is not the vertex [%]"), lost, 1))
    if redrawn := content["redrawn_collisions"]:
        parts.append(f"Soft collisions drawn again, with hadrons that no parton explains: {redrawn}.")
    if against := content["against_pileup"]:
        for way, text in (("fixed", f"of pile-up {against['fixed_at']}"), ("solved", "of each pile-up")):
            parts.append(f"Thresholds {text}:")
            parts.append(_against(against[way]))
    return "\n\n".join(parts) + "\n"


def _points(points: Mapping[str, Any]) -> str:
    signals = next((list(row["efficiency"]) for of in points.values() for row in of.values() if row["efficiency"]), [])
    titles = ("point", "score", "threshold", "rate [kHz]", "beyond the menu [kHz]", *(f"{s} [%]" for s in signals))
    rows = [_row(name, score, of, signals) for name, scores in points.items() for score, of in scores.items()]
    return markdown_table(titles, rows, 2)


def _menu(section: Mapping[str, Any]) -> str:
    """The menu's thresholds, and that they mean little where few collisions have set them."""
    menu = section["menu"]
    paths = (f"{path} >= {of['threshold']} ({of['rate_khz']:.3g} kHz)" for path, of in menu["paths"].items())
    text = f"The menu: {', '.join(paths)}, in steps of 0.5 GeV; {menu['rate_khz']:.3g} kHz together."
    if "reason" not in menu:
        return f"{text} {menu['effective']:.0f} effective crossings."
    return f"{text} Too few collisions set it, and what lies beyond it is no better known: {menu['reason']}."


def _reasons(points: Mapping[str, Any]) -> list[str]:
    """Why a score has no row at a point, or one of its two rates is missing; the menu's own is said beside it."""
    rows = ((name, score, of) for name, scores in points.items() for score, of in scores.items() if score != "menu")
    return [f"- {name}, {score}: {of['reason']}" for name, score, of in rows if "reason" in of]


def _row(point: str, score: str, of: Mapping[str, Any], signals: list[str]) -> list[str]:
    efficiency = of["efficiency"] or {}
    threshold = "-" if of["threshold"] is None else str(of["threshold"])
    rates = [_with_error(of["rate_khz"], of["error_khz"]), _with_error(of["pure_khz"], of["pure_error_khz"])]
    shares = [efficiency.get(name, {}) for name in signals]
    kept = [_with_error(*(None if x is None else 100 * x for x in (s.get("value"), s.get("error")))) for s in shares]
    return [point, score, threshold, *rates, *kept]


def _against(rows: Mapping[str, Any]) -> str:
    points = list(next(iter(rows.values())))
    titles = ("pile-up", *(f"rtl at {point} [kHz]" for point in points))
    table = [
        [mu, *(_with_error(of[point]["rtl"]["rate_khz"], of[point]["rtl"]["error_khz"]) for point in points)]
        for mu, of in rows.items()
    ]
    return markdown_table(titles, table, 1)


def _with_error(value: float | None, error: float | None) -> str:
    """
    >>> _with_error(9.87, 0.345), _with_error(None, None)
    ('9.87 ± 0.34', '-')
    """
    return "-" if value is None or error is None else f"{value:.3g} ± {error:.2g}"
