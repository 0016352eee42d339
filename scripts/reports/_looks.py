"""The rows that are squared as images, and tables: the highest zero bias, and how robust the threshold is."""

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from codae_l1.scripts.reports.figures import TITLES, cms_style, new_figure
from codae_l1.scripts.run.tables import markdown_table

# Titles and rows.
_Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
# What is not known, or not carried.
_NONE = "-"
_HIGHEST = (
    *("score", "hardest pT-hat [GeV]", "jet HT [GeV]", "scalar pT [GeV]", "active pixels", "menu takes it", "weight"),
    *("decided by", "row (its share)", "ring in eta (its share)"),
)


def looks_figure(groups: list[dict[str, Any]]) -> Figure:
    """Each row that is squared as an image on the calorimeter, the rings' rows first, all on one colour scale.

    groups: as in evaluate.json, looks.
    """
    rings, lines = groups[0]["rings"], [len(group["rows"]) // group["rings"] for group in groups]
    most = max(float(np.abs(group["rows"]).max()) for group in groups) or 1.0
    with matplotlib.rc_context(cms_style()):
        height = 0.9 + 1.45 * sum(lines)
        figure, axes = new_figure(sum(lines), rings, 9.6, height, sharex=True, sharey=True)
        panels = iter(axes.flat)
        for group in groups:
            half = group["eta_max"]
            for number, row in enumerate(group["rows"]):
                ax = next(panels)
                shown = ax.imshow(
                    np.array(row),
                    vmin=-most,
                    vmax=most,
                    cmap="RdBu_r",
                    aspect="auto",
                    origin="lower",
                    interpolation="nearest",
                    extent=(-half, half, -180, 180),
                )
                kind = "rings, row" if number < rings else "windows, row"
                ax.set_title(f"{', '.join(group['inputs'])}: {kind} {number + 1}", loc="left", fontsize=7)
        for ax in axes[:, 0]:
            ax.set_ylabel("$\\phi$ [degrees]")
        for ax in axes[-1]:
            ax.set_xlabel("$\\eta$")
        figure.colorbar(shown, ax=axes, label="y per count in a cell", aspect=40, pad=0.01)
        return figure


def looks_tables(looks: Mapping[str, Any]) -> list[_Table]:
    """Titles and rows of the tables: zero bias of the highest score, and the stability where a threshold is carried."""
    stability = looks["stability"]
    tables: list[_Table] = [(_HIGHEST, [_highest_cells(row) for row in looks["highest"]])]
    if stability["rows"]:
        titles = (f"threshold of {stability['share']:g} kept", "rate [kHz]")
        titles += tuple(f"{TITLES[name]} [%]" for name in stability["signals"])
        rows = []
        for row in stability["rows"]:
            kept = (_number(row["efficiency"][name].values(), 100) for name in stability["signals"])
            rows.append((row["name"], _number((row["rate_khz"], row["error_khz"]), 1), *kept))
        tables.append((titles, rows))
    return tables


def looks_lines(looks: Mapping[str, Any] | None) -> list[str]:
    """The tables in Markdown, or why there is no stability; no line without a distance."""
    if looks is None:
        return []
    lines = [line for titles, rows in looks_tables(looks) for line in ("", markdown_table(titles, rows, 1))]
    return lines if looks["stability"]["rows"] else [*lines, "", looks_refusal(looks)]


def looks_refusal(looks: Mapping[str, Any]) -> str:
    """Why there is no stability; empty where there is."""
    stability = looks["stability"]
    return "" if stability["rows"] else f"No stability at {stability['share']:g} of zero bias: {stability['reason']}."


def _highest_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    driven: tuple[str, ...] = (_NONE, _NONE, _NONE)
    if row["row"] is not None:
        low, high = row["ring_eta"]
        driven = (
            f"{', '.join(row['inputs'])}: {row['distance']}",
            f"{row['row'] + 1} ({100 * row['row_share']:.0f} %)",
            f"{low:.2f} to {high:.2f} ({100 * row['ring_share']:.0f} %)",
        )
    generated = (_NONE if row[key] is None else f"{row[key]:,.0f}" for key in ("jet_ht_gev", "scalar_pt_gev"))
    taken = "yes" if row["menu"] else "no"
    facts = (_slice(row["pt_hat_gev"]), *generated, str(row["active_pixels"]), taken, f"{row['weight']:.2g}")
    least = "at least " if row["saturated"] else ""
    return f"{least}{row['score']:.2f}", *facts, *driven


def _slice(edges: list[float | None] | None) -> str:
    """A slice of pT-hat in words."""
    if edges is None:
        return _NONE
    low, high = edges
    if low is None and high is None:
        return _NONE
    if low is None:
        return f"below {high:g}"
    return f"above {low:g}" if high is None else f"{low:g} to {high:g}"


def _number(cell: Iterable[Any], factor: float) -> str:
    value, error, *_ = cell
    return _NONE if value is None else f"{factor * value:.1f} ± {factor * error:.1f}"
