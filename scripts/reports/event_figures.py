"""Figures of events, in the mplhep style: displays, average images, and two samples compared."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from codae_l1.data.calorimeter import CHANNELS, ETA_MAX, N_ETA, N_PHI, eta_edges
from codae_l1.data.events import BACKGROUNDS, CLASSES
from codae_l1.scripts.reports.figures import TITLES, cms_style, new_figure

CHANNEL_TITLES = {"tracks": "track pT [GeV]", "ecal": "ECAL ET [GeV]", "hcal": "HCAL ET [GeV]"}
CHANNEL_COLOURS = {"tracks": "#5790fc", "ecal": "#f89c20", "hcal": "#e42536"}
SAMPLE_COLOURS = {"a": "#5790fc", "b": "#e42536"}
# AUC of the two-sample test up to which samples count as alike; QCD and SUEP of the shipped sample reach 0.51 to 0.58
# against the public one (data/sample/README.md).
ALIKE = 0.62
# GeV, colour range of an event's pixels, and of the mean over many events.
_EVENT_RANGE, _MEAN_RANGE = (0.2, 200.0), (1e-2, 10.0)


def display_figure(events: Sequence[dict[str, Any]]) -> Figure:
    """One event per row: its three channels, the mask of tracks, and each input of the firmware.

    events: signal, image (72, 58, 3) GeV, mask (72, 58), words: input's name -> (18, 15) pooled integers.
    """
    inputs = list(events[0]["words"])
    most = {name: max(1, *(int(event["words"][name].max()) for event in events)) for name in inputs}
    columns: list[tuple[str, Any, str]]
    columns = [(CHANNEL_TITLES[c], LogNorm(*_EVENT_RANGE), "viridis") for c in CHANNELS]
    columns.append(("track mask", Normalize(0, 1), "magma"))
    columns += [(f"firmware input\n{name}", Normalize(0, most[name]), "magma") for name in inputs]
    rows = []
    for event in events:
        energies = [_shown(event["image"][..., c]) for c in range(len(CHANNELS))]
        rows.append((TITLES[event["signal"]], [*energies, event["mask"], *event["words"].values()]))
    return _image_grid(rows, columns)


def average_figure(averages: dict[str, np.ndarray], events: dict[str, int]) -> Figure:
    """One class per row: the mean of each channel, (72, 58, 3) GeV; events: how many of each class."""
    columns = [(f"mean {CHANNEL_TITLES[c]}", LogNorm(*_MEAN_RANGE), "viridis") for c in CHANNELS]
    rows = []
    for name, image in averages.items():
        rows.append((f"{TITLES[name]} ({events[name]:,})", [_shown(image[..., c]) for c in range(len(CHANNELS))]))
    return _image_grid(rows, columns)


def validation_figure(content: dict[str, Any]) -> Figure:
    """One page of what `events.py validate` finds: n_tracks, occupancy, energies, profiles, AUCs, the test."""
    common = [name for name in CLASSES if name in content["a"] and name in content["b"]]
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(3, 3, 12.0, 10.5)
        _tracks(axes[0, 0], content, common)
        for ax, key, what in zip(axes[0, 1:], ("active_{}", "sum_{}_gev"), ("active pixels", "energy"), strict=True):
            _ratios(ax, content, common, key)
            ax.set_title(f"{what}, B / A", loc="left")
        shown = next((name for name in BACKGROUNDS if name in common), common[0])
        for ax, channel in zip(axes[1], CHANNELS, strict=True):
            _profile(ax, content, shown, channel)
        _phi(axes[2, 0], content, shown)
        _baselines(axes[2, 1], content, common)
        _two_sample(axes[2, 2], content, common)
        return figure


def _shown(energy: np.ndarray) -> np.ndarray:
    return np.where(energy > 0, energy, np.nan)


def _image_grid(rows: Sequence[tuple[str, list[np.ndarray]]], columns: Sequence[tuple[str, Any, str]]) -> Figure:
    """Images (phi, eta) on the grid of towers: rows of (title, images), columns of (title, norm, colour map)."""
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(len(rows), len(columns), 2.3 * len(columns), 2.3 * len(rows) + 0.8)
        for i, (line, (title, images)) in enumerate(zip(axes, rows, strict=True)):
            for ax, image, (_, norm, colours) in zip(line, images, columns, strict=True):
                # The pooled grid is wider than the towers by its padding.
                edge = ETA_MAX * image.shape[1] * (N_PHI // image.shape[0]) / N_ETA
                show = {"aspect": "auto", "extent": (-edge, edge, -180, 180), "origin": "lower"}
                ax.imshow(image, norm=norm, cmap=colours, interpolation="nearest", **show)
                ax.tick_params(labelbottom=i == len(rows) - 1, labelleft=ax is line[0])
            line[0].set_ylabel(f"{title}\n$\\phi$ [degrees]")
        for column, (title, norm, colours) in zip(axes.T, columns, strict=True):
            column[0].set_title(title)
            column[-1].set_xlabel("$\\eta$")
            scale = ScalarMappable(norm, colours)
            figure.colorbar(scale, ax=list(column), location="bottom", aspect=12, pad=0.01)
        return figure


def _tracks(ax: Any, content: dict[str, Any], common: list[str]) -> None:
    """Median and 5 to 95 % of n_tracks."""
    for shift, (sample, colour) in zip((-0.15, 0.15), SAMPLE_COLOURS.items(), strict=True):
        low, _, middle, _, high = np.array([content[sample][p]["n_tracks"]["quantiles"] for p in common]).T
        at = np.arange(len(common)) + shift
        ax.errorbar(at, middle, [middle - low, high - middle], fmt="o", ms=4, color=colour, label=sample.upper())
    ax.set_title("tracks: median, 5 to 95 %", loc="left")
    ax.legend(frameon=False)
    _classes(ax, common)


def _ratios(ax: Any, content: dict[str, Any], common: list[str], key: str) -> None:
    """B / A of the means of each channel with both errors."""
    for shift, channel in zip((-0.2, 0, 0.2), CHANNELS, strict=True):
        pairs = [(content["a"][p][key.format(channel)], content["b"][p][key.format(channel)]) for p in common]
        ratio = np.array([_ratio(a["value"], a["error"], b["value"], b["error"]) for a, b in pairs]).T
        at = np.arange(len(common)) + shift
        ax.errorbar(at, ratio[0], ratio[1], fmt="o", ms=4, color=CHANNEL_COLOURS[channel], label=channel)
    ax.axhline(1, color="#1c2530", linewidth=0.6)
    ax.legend(frameon=False)
    _classes(ax, common)


def _profile(ax: Any, content: dict[str, Any], process: str, channel: str) -> None:
    for sample, colour in SAMPLE_COLOURS.items():
        profile = content["profiles"][sample][process]["energy_by_eta_gev"][channel]
        value, error = np.array(profile["value"]), np.array(profile["error"])
        ax.stairs(value, eta_edges(), color=colour, label=sample.upper())
        ax.stairs(value + error, eta_edges(), baseline=value - error, color=colour, alpha=0.3, fill=True)
    ax.set(xlabel="$\\eta$", ylabel="GeV a column")
    ax.set_ylim(bottom=0)
    ax.set_title(f"{TITLES[process]}: {channel} by eta", loc="left")
    ax.legend(frameon=False)


def _phi(ax: Any, content: dict[str, Any], process: str) -> None:
    at = (np.arange(N_PHI) + 0.5) * 360 / N_PHI - 180
    for channel in CHANNELS:
        a, b = (content["profiles"][s][process]["energy_by_phi_gev"][channel] for s in SAMPLE_COLOURS)
        ratio, error = _ratio(*(np.array(x) for x in (a["value"], a["error"], b["value"], b["error"])))
        ax.errorbar(at, ratio, error, fmt=".", ms=3, elinewidth=0.6, color=CHANNEL_COLOURS[channel], label=channel)
    ax.axhline(1, color="#1c2530", linewidth=0.6)
    ax.set(xlabel="$\\phi$ [degrees]", ylim=(0.5, 1.5))
    ax.set_title(f"{TITLES[process]}: energy by phi, B / A", loc="left")
    ax.legend(frameon=False)


def _baselines(ax: Any, content: dict[str, Any], common: list[str]) -> None:
    signals = [p for p in common if all("auc_n_tracks" in content[s][p] for s in SAMPLE_COLOURS)]
    for shift, (sample, colour) in zip((-0.15, 0.15), SAMPLE_COLOURS.items(), strict=True):
        points = [content[sample][p]["auc_n_tracks"] for p in signals]
        value, error = [p["value"] for p in points], [p["error"] for p in points]
        ax.errorbar(np.arange(len(signals)) + shift, value, error, fmt="o", ms=4, color=colour, label=sample.upper())
    ax.set_title("AUC of n_tracks against background", loc="left")
    ax.legend(frameon=False)
    _classes(ax, signals)


def _two_sample(ax: Any, content: dict[str, Any], common: list[str]) -> None:
    shown = [p for p in common if content["two_sample"][p]["auc"] is not None]
    tests = [content["two_sample"][p] for p in shown]
    ax.errorbar(np.arange(len(shown)), [t["auc"] for t in tests], [t["error"] for t in tests], fmt="o", ms=4, c="k")
    ax.axhline(0.5, color="#1c2530", linewidth=0.6)
    ax.axhline(ALIKE, color="#e42536", linewidth=1, linestyle="--", label=f"{ALIKE}: alike below")
    ax.set_ylim(0.38, 1.02)
    ax.set_title("two-sample test: AUC of telling A from B", loc="left")
    ax.legend(frameon=False, loc="upper left")
    _classes(ax, shown)


def _ratio(a: Any, a_error: Any, b: Any, b_error: Any) -> tuple[Any, Any]:
    """b / a and its error; NaN where a is not above zero."""
    a = np.where(np.asarray(a) > 0, a, np.nan)
    return b / a, np.hypot(b_error / a, b * a_error / a**2)


def _classes(ax: Any, names: list[str]) -> None:
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.minorticks_off()
