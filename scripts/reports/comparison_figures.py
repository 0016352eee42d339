"""Figures of the comparison, in the mplhep style: each panel takes `ax` and rows of comparison.json."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codae_l1.models.evaluation.roc import MINIMUM_BACKGROUND
from codae_l1.scripts.reports.comparison_report import is_shown, title
from codae_l1.scripts.reports.figures import TITLES, cms_style, new_figure
from codae_l1.scripts.studies.comparison import ROC_GRID

# What a score has learnt from -> colour, marker; of the Petroff six-colour scheme (arXiv:2107.02270).
LOOKS = {"none": ("#5790fc", "s"), "background": ("#e42536", "o"), "cms": ("#964a8b", "P"), "signals": ("#9c9ca1", "^")}
LEGEND = {
    "none": "no learning",
    "background": "learned from background",
    "cms": "learned from CMS data",
    "signals": "supervised",
}
FIRMWARE = ("#f89c20", "D")
# Observables in the plot of costs, which need no multiplication -> line style.
NO_NETWORK = {"block_power": "--", "active_pixels": "-"}
# Signals of the ROC panels, and the scores drawn there, as (model, score), where the comparison has them.
ROC_SIGNALS = ("h125", "h200", "svj2100", "svj3100")
ROC_ROWS = {
    ("cct", None): ("#9c9ca1", "-"),
    ("bdt", None): ("#9c9ca1", "--"),
    ("firmware", None): ("#f89c20", "-"),
    ("codae", None): ("#e42536", "-"),
    ("dirichlet", None): ("#7a21dd", "-"),
    ("mahalanobis", None): ("#964a8b", "--"),
    ("untrained", None): ("#1c2530", ":"),
    ("observables", "block_power"): ("#5790fc", "--"),
    ("observables", "active_pixels"): ("#5790fc", "-"),
}


def _look(row: dict[str, Any]) -> tuple[str, str]:
    """Colour and marker of a row."""
    return FIRMWARE if row["model"] == "firmware" else LOOKS[row["learning"]]


def _auc_panel(ax: Axes, rows: Sequence[dict[str, Any]], signal: str) -> None:
    """AUC of each row for one signal: bootstrap error as a bar, the seeds as small points."""
    for y, row in enumerate(rows):
        colour, marker = _look(row)
        found = row["auc"][signal]
        ax.errorbar(found["value"], y, xerr=found["error"], fmt=marker, color=colour, markersize=4, elinewidth=0.9)
        if found["spread"] is not None:
            ax.plot(found["values"], [y] * len(found["values"]), "|", color=colour, markersize=5, alpha=0.6)
    ax.axvline(0.5, color="#9c9ca1", linewidth=0.6, linestyle=":")
    ax.set_yticks(range(len(rows)), [title(row) for row in rows])
    ax.minorticks_off()
    ax.tick_params(length=3, top=False, right=False)
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlim=(None, 1.01))
    ax.set_title(TITLES[signal], loc="left")


def _roc_panel(ax: Axes, rows: Sequence[dict[str, Any]], signal: str, content: dict[str, Any]) -> None:
    """ROC curves of the rows in ROC_ROWS, x logarithmic from where ten background events pass."""
    for (model, score), (colour, line) in ROC_ROWS.items():
        for row in rows:
            if row["model"] == model and (row["score"] == score or (score is None and row["main"])):
                ax.plot(ROC_GRID, row["roc"][signal], color=colour, linestyle=line, linewidth=1.1, label=title(row))
    first, label = MINIMUM_BACKGROUND / content["events"]["background"], f"FPR ({TITLES[content['background']]})"
    ax.set(xscale="log", xlim=(first, 1), ylim=(0, 1.02), xlabel=label)
    ax.set_title(TITLES[signal], loc="left")


def _cost_panel(ax: Axes, rows: Sequence[dict[str, Any]], signals: Sequence[str]) -> None:
    """Mean AUC over the signals against the MACs of an event; the firmware's LUT beside its name."""
    points = [(_mean(row, signals), row) for row in rows if row["main"] and row.get("macs")]
    flat = [(_mean(row, signals), row) for row in rows if row["model"] == "observables" and row["score"] in NO_NETWORK]
    # Of systems that all have neither MACs nor a line there is nothing to show.
    heights = [mean for mean, _ in points + flat] or [0.0]
    step = 0.04 * (max(heights) - min(heights))
    named: list[tuple[float, float]] = []
    for mean, row in sorted(points, key=lambda point: point[0]):
        colour, marker = _look(row)
        ax.plot(row["macs"], mean, marker, color=colour, markersize=5)
        # A name goes up where it would cover another one.
        beside, name_at = float(np.log10(row["macs"])), mean
        for other, taken in sorted(named, key=lambda name: name[1]):
            if abs(beside - other) < 1.1 and abs(name_at - taken) < step:
                name_at = taken + step
        named.append((beside, name_at))
        text = row["model"] + (f", {row['lut']:,} LUT" if row.get("lut") else "")
        ax.annotate(text, (row["macs"], mean), (1.2 * row["macs"], name_at), fontsize=7, va="center")
    for mean, row in flat:
        ax.axhline(mean, color=LOOKS["none"][0], linewidth=0.8, linestyle=NO_NETWORK[row["score"]], label=row["score"])
    ax.set(xscale="log", xlabel="MACs per event", ylabel="mean AUC over the signals")
    ax.margins(x=0.25, y=0.12)
    ax.set_ylim(top=max([ax.get_ylim()[1], *(name_at + step for _, name_at in named)]))


def _mean(row: dict[str, Any], signals: Sequence[str]) -> float:
    return float(np.mean([row["auc"][s]["value"] for s in signals]))


def _auc_figure(content: dict[str, Any]) -> Figure:
    """AUC of every system, one panel per signal."""
    rows, signals = [r for r in content["rows"] if is_shown(r)], list(content["events"]["signals"])
    columns = min(3, len(signals))
    lines = -(-len(signals) // columns)
    with matplotlib.rc_context(cms_style() | {"ytick.labelsize": 6.5}):
        figure, axes = new_figure(lines, columns, 3.0 + 2.2 * columns, lines * (0.7 + 0.14 * len(rows)), sharey=True)
        for ax, signal in zip(axes.flat, signals, strict=False):
            _auc_panel(ax, rows, signal)
        for ax in axes.flat[len(signals) :]:
            ax.set_visible(False)
        for ax in axes[-1]:
            ax.set_xlabel("AUC")
        for key, (colour, marker) in LOOKS.items():
            if key != "cms" or any(row["learning"] == key for row in rows):
                axes[0, 0].plot([], [], marker, color=colour, label=LEGEND[key])
        axes[0, 0].plot([], [], FIRMWARE[1], color=FIRMWARE[0], label="firmware")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return figure


def _roc_figure(content: dict[str, Any]) -> Figure:
    """ROC curves of a few signals."""
    rows, signals = content["rows"], list(content["events"]["signals"])
    shown = [s for s in ROC_SIGNALS if s in signals] or signals[:1]
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(1, len(shown), 2.4 * len(shown) + 1.2, 3.7, sharey=True)
        for ax, signal in zip(axes[0], shown, strict=True):
            _roc_panel(ax, rows, signal, content)
        axes[0, 0].set_ylabel("TPR")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return figure


def _cost_figure(content: dict[str, Any]) -> Figure:
    """AUC against cost."""
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(1, 1, 6.8, 4.4)
        _cost_panel(axes[0, 0], content["rows"], list(content["events"]["signals"]))
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return figure


# Name of the file -> title, function.
FIGURES = {
    "auc": ("AUC of every system on every signal", _auc_figure),
    "roc": ("ROC curves", _roc_figure),
    "cost": ("Mean AUC against multiply-accumulates", _cost_figure),
}
