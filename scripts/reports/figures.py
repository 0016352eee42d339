"""Figures of the report, in the mplhep style: each function takes stage JSON and returns a matplotlib Figure."""

import base64
import io
from pathlib import Path
from typing import Any

import matplotlib
import mplhep
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from codae_l1.data.base.files import whole_file
from codae_l1.data.calorimeter import ETA_MAX, IMAGE_SHAPE
from codae_l1.data.events import QCD, SIGNALS
from codae_l1.hls.network.profile import EXPONENTS
from codae_l1.models.evaluation.roc import MINIMUM_BACKGROUND
from codae_l1.scripts.reports._turn_on import turn_on_bins

matplotlib.use("Agg")

TITLES = {
    QCD: "QCD",
    **{s: f"SUEP {s[1:]} GeV" for s in SIGNALS if s.startswith("h")},
    **{s: f"SVJ {int(s[3:]) / 1000} TeV" for s in SIGNALS if s.startswith("svj")},
    **{"zero_bias": "zero bias", "w": "W", "z": "Z", "top": "top"},
}
# Beyond the largest word the scatter plot shows this fraction more of the float scores.
BEYOND = 0.25
# Name in the JSON -> label, colour, line style. Colours of the Petroff six-colour scheme (arXiv:2107.02270).
CURVES = {
    "codae_mse": ("CoDAE reconstruction MSE (float, full model)", "#7a21dd", (0, (1, 1))),
    "float": ("float f_m", "#f89c20", "-"),
    "rtl": ("firmware f_m (RTL)", "#e42536", (0, (4, 2))),
    "active_pixels": ("active pixels", "#5790fc", "-"),
    "block_power": ("block power", "#964a8b", "--"),
    "n_tracks": ("n_tracks", "#9c9ca1", "-"),
}

# Classes of the latent and scatter plots, and their colours.
LATENT_PROCESSES = (QCD, "zero_bias", "h125", "h300", "h700", "svj3100")
LATENT_COLOURS = ("#9c9ca1", "#5790fc", "#964a8b", "#e42536", "#f89c20")


def cms_style() -> Any:
    """Settings of matplotlib in which every figure is drawn."""
    sizes = {"font.size": 9, "axes.labelsize": 9, "axes.titlesize": 9, "legend.fontsize": 8}
    sizes |= {
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "lines.linewidth": 1.4,
        "axes.linewidth": 1.0,
        "figure.constrained_layout.use": True,
    }
    # DejaVu Sans comes with matplotlib, so that the style needs no font of the machine.
    return mplhep.style.CMS | sizes | {f"font.{name}": ["DejaVu Sans"] for name in ("family", "sans-serif", "cursive")}


def new_figure(rows: int, columns: int, width: float, height: float, **kwargs: Any) -> tuple[Figure, np.ndarray]:
    """A figure of width x height inches with rows x columns panels, an array of that shape."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


# Names that scripts/reports/_jet_figures.py has for them.
_style, _figure = cms_style, new_figure


def roc_figure(roc: dict[str, Any], n_background: int, background: str = QCD) -> Figure:
    """ROC of float against fixed-point, one panel per signal, with both baselines; x logarithmic.

    It starts where ten of the n_background background events pass: below, the sample says nothing.
    """
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(3, 3, 9.6, 8.6, sharex=True, sharey=True)
        for ax, signal in zip(axes.flat, roc, strict=False):
            for name, (label, colour, line) in CURVES.items():
                curve = roc[signal][name]
                ax.plot(curve["fpr"], curve["tpr"], color=colour, linestyle=line, label=label)
            ax.set(xscale="log", xlim=(MINIMUM_BACKGROUND / n_background, 1), ylim=(0, 1.02))
            ax.set_title(TITLES[signal], loc="left")
        for ax in axes[-1]:
            ax.set_xlabel(f"false-positive rate ({TITLES[background]})")
        for ax in axes[:, 0]:
            ax.set_ylabel("true-positive rate")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return figure


def trigger_figure(trigger: dict[str, Any]) -> Figure:
    """Rates of the firmware against its threshold, what each score keeps beyond the menu, and a turn-on.

    trigger: as in evaluate.json. Bands are the errors; a curve begins at the reach of the sample.
    """
    curves, colours = trigger["curves"], {"bdt": ("trees shown the signals", "#f89c20", ":")}
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(1, 3, 9.6, 3.4)
        looks = {"rate_khz": ("rate", "#e42536", "-"), "pure_khz": ("beyond the menu", "#5790fc", "--")}
        for key, look in looks.items():
            _band(axes[0, 0], curves["rtl"], "threshold", key, look)
        axes[0, 0].set(xlabel="threshold (score word)", ylabel="rate [kHz]", yscale="log")
        signal = next(iter(curves["rtl"]["efficiency"]))
        for name, (label, colour, line) in (CURVES | colours).items():
            if name in curves:
                of = {"rate_khz": curves[name]["rate_khz"], **curves[name]["efficiency"][signal]}
                _band(axes[0, 1], of, "rate_khz", "beyond_menu", (label, colour, line))
        axes[0, 1].set(xlabel="rate [kHz]", ylabel="efficiency beyond the menu", xscale="log", ylim=(0, 1.02))
        axes[0, 1].set_title(TITLES[signal], loc="left")
        _turn_on(axes[0, 2], trigger["turn_on"])
        for ax in axes.flat:
            ax.legend(frameon=False)
        return figure


# Signal and generated quantity of the turn-on, and the title of its axis.
_TURN_ON = ("svj2100", "jet_ht", "generated HT of jets [GeV]")


def _turn_on(ax: Any, turn_on: dict[str, Any]) -> None:
    """Efficiency of the menu, and of the firmware at the points that are carried, in bins of a generated quantity."""
    signal, quantity, title = _TURN_ON
    ax.set(xlabel=title, ylabel="efficiency", ylim=(0, 1.02))
    ax.set_title(TITLES[signal], loc="left")
    for colour, (name, of) in zip(LATENT_COLOURS, turn_on.get(signal, {}).get(quantity, {}).items(), strict=False):
        middle, _, value, errors = turn_on_bins(of)
        label = name if name == "menu" else f"firmware, {name}"
        ax.errorbar(middle, value, errors, color=colour, marker="o", markersize=3, label=label)


def _band(ax: Any, curve: dict[str, list], x: str, y: str, look: tuple[str, str, Any]) -> None:
    """A line of curve[y] against curve[x] in a band of its error; what is not carried is left out."""
    error = {"rate_khz": "error_khz", "pure_khz": "pure_error_khz"}.get(y, f"{y}_error")
    rows = [row for row in zip(curve[x], curve[y], curve[error], strict=True) if None not in row]
    if not rows:
        return
    at, value, half = np.array(rows, np.float64).T
    label, colour, line = look
    ax.plot(at, value, color=colour, linestyle=line, label=label)
    ax.fill_between(at, np.maximum(value - half, 0), value + half, color=colour, alpha=0.2, linewidth=0)


def latent_figure(latents: dict[str, dict[str, list]]) -> Figure:
    """The 2-d latent z_m of background and of some signals: one panel a model."""
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(1, len(latents), 4.8 * len(latents), 4.2)
        for ax, (title, points) in zip(axes.flat, latents.items(), strict=True):
            for colour, (process, z) in zip(LATENT_COLOURS, points.items(), strict=False):
                z = np.array(z)
                ax.scatter(z[:, 0], z[:, 1], s=6, color=colour, label=TITLES[process], rasterized=True, linewidths=0)
            ax.set(xlabel="$z_m[0]$", ylabel="$z_m[1]$")
            ax.set_title(title, loc="left")
            ax.legend(markerscale=2, frameon=False)
        return figure


def scatter_figure(scatter: dict[str, dict[str, list]]) -> Figure:
    """Float score against the firmware's, one colour per class, and the histogram of their difference.

    Float scores have no largest word: the axis ends a little beyond that of the firmware, and so does the histogram.
    """
    largest = max(max(of["qkeras"]) for of in scatter.values())
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(1, 2, 9.6, 3.8)
        shown = dict(zip(LATENT_COLOURS, (p for p in scatter if p in LATENT_PROCESSES), strict=False))
        for colour, process in shown.items():
            a, b = (np.array(scatter[process][name]) for name in ("float", "qkeras"))
            axes[0, 0].scatter(a, b, s=5, color=colour, label=TITLES[process], rasterized=True, linewidths=0)
        axes[0, 0].axline((0, 0), slope=1, color="#1c2530", linewidth=0.6)
        axes[0, 0].legend(markerscale=2, frameon=False)
        axes[0, 0].set(xlabel="float f_m score", ylabel="firmware f_m score")
        pairs = np.concatenate([np.array([of["float"], of["qkeras"]]) for of in scatter.values()], axis=1)
        if pairs[0].max() > largest * (1 + BEYOND):
            axes[0, 0].set_xlim(pairs[0].min() - 0.05 * largest, largest * (1 + BEYOND))
        a, b = pairs[:, pairs[0] <= largest]
        axes[0, 1].hist(b - a, bins=60, histtype="stepfilled", color="#5790fc", alpha=0.7)
        axes[0, 1].set(xlabel="firmware - float", ylabel="events")
        return figure


def history_figure(history: dict[str, list[float]]) -> Figure:
    """Training and validation loss per epoch."""
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(1, 1, 6.0, 3.4)
        epochs = np.arange(1, len(history["loss"]) + 1)
        axes[0, 0].plot(epochs, history["loss"], color="#5790fc", label="training")
        axes[0, 0].plot(epochs, history["validation_loss"], color="#e42536", label="validation")
        axes[0, 0].set(xlabel="epoch", ylabel="loss per event")
        axes[0, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0, 0].legend(frameon=False)
        return figure


def gallery_figure(gallery: list[dict[str, Any]]) -> Figure:
    """One event a row: the three channels, the pooled counts that the firmware reads, CoDAE's reconstruction."""
    titles = ("track pT [GeV]", "ECAL ET [GeV]", "HCAL ET [GeV]", "firmware input [pixels]", "reconstruction")
    grid = (-ETA_MAX, ETA_MAX, -180, 180)
    most = max(np.max(event["counts"]) for event in gallery)
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(len(gallery), 5, 11, 2.6 * len(gallery), sharex=True, sharey=True)
        for row, event in zip(axes, gallery, strict=True):
            image = np.zeros(np.prod(IMAGE_SHAPE), np.float32)
            image[event["pixels"]] = event["energies"]
            image = image.reshape(IMAGE_SHAPE)
            show = {"aspect": "auto", "extent": grid, "origin": "lower", "interpolation": "nearest"}
            for channel, ax in enumerate(row[:3]):
                energy = np.where(image[..., channel] > 0, image[..., channel], np.nan)
                shown = [ax.imshow(energy, norm=LogNorm(0.2, 200), cmap="viridis", **show)]
            shown.append(row[3].imshow(np.array(event["counts"]), vmin=0, vmax=most, cmap="magma", **show))
            shown.append(row[4].imshow(np.array(event["reconstruction"]), vmin=0, vmax=1, cmap="magma", **show))
            row[0].set_ylabel(f"{TITLES[event['signal']]}\n$\\phi$ [degrees]")
        bars = (axes[:, :3], axes[:, 3:4], axes[:, 4:]), ("GeV", "active pixels in a cell", "probability")
        for image, ax, label in zip(shown, *bars, strict=True):
            figure.colorbar(image, ax=ax, location="bottom", label=label, aspect=30 if label == "GeV" else 10, pad=0.01)
        for ax, title in zip(axes[0], titles, strict=True):
            ax.set_title(title)
        for ax in axes[-1]:
            ax.set_xlabel("$\\eta$")
        return figure


def pareto_figure(scan: dict[str, Any]) -> Figure:
    """Mean figure of merit against LUT: every trained design of a scan, its front, what needs no network."""
    trained = [t for t in scan["trials"] if t["state"] == "trained"]
    front, sigma = scan["front"], scan["estimates"]["trained"]["sigma"]
    with matplotlib.rc_context(cms_style()):
        figure, axes = new_figure(1, 1, 6.4, 4.4)
        ax = axes[0, 0]
        lut, merit = ([t[key] for t in trained] for key in ("lut", "merit_mean"))
        mapped = bool(trained) and "synthesis" in trained[0]
        error = None if mapped else [sigma * x for x in lut]
        style = {"fmt": "o", "markersize": 3, "elinewidth": 0.6}
        ax.errorbar(
            lut, merit, xerr=error, color="#9c9ca1", label="trial" if mapped else "trial (LUT estimated)", **style
        )
        spread = [row["merit_spread"] or 0 for row in front]
        lut, merit = ([row[key] for row in front] for key in ("lut", "merit_mean"))
        label = "front (Yosys, spread of seeds)" if front and front[0]["yosys"] else "front (LUT estimated)"
        # Without a line: mapped and trained again, a design of the front may lie behind another.
        ax.errorbar(lut, merit, yerr=spread, color="#e42536", label=label, **(style | {"markersize": 4}))
        for name in ("codae_mse", "active_pixels", "n_tracks"):
            if "merit" not in scan["baselines"].get(name, {}):
                continue
            title, colour, line = CURVES[name]
            ax.axhline(scan["baselines"][name]["merit_mean"], color=colour, linestyle=line, linewidth=1, label=title)
        ax.set(xscale="log", xlabel="LUT", ylabel=f"mean {scan['measure']}")
        ax.legend(frameon=False)
        return figure


def numerics_figure(models: dict[str, list[dict[str, Any]]]) -> Figure:
    """Records of hls.profile of the QKeras and the float model: each layer's values by power of two, beside its word.

    Dark: a large share of the values other than zero. Red: the weights of the word's bits, lowest to highest.
    """
    with matplotlib.rc_context(cms_style()):
        rows = next(iter(models.values()))
        figure, axes = new_figure(1, len(models), 5.2 * len(models), 1.2 + 0.42 * len(rows), sharey=True)
        for ax, (model, records) in zip(axes.flat, models.items(), strict=True):
            shares = np.array([row["exponents"] for row in records], np.float64)
            shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
            first = EXPONENTS[0]
            shown = ax.imshow(
                np.where(shares > 0, shares, np.nan),
                norm=LogNorm(1e-5, 1),
                cmap="Blues",
                aspect="auto",
                extent=(first, first + shares.shape[1], len(records) - 0.5, -0.5),
            )
            for i, row in enumerate(records):
                low, high = -row["fraction"], row["integer"]
                ax.plot([low, low, high, high, low], [i - 0.4, i + 0.4, i + 0.4, i - 0.4, i - 0.4], color="#e42536")
            ax.set(xlabel=r"$\log_2$|value|", yticks=range(len(records)), yticklabels=[row["layer"] for row in records])
            ax.set_title(
                f"{model}, {sum(row['saturated'] + row['wrapped'] for row in records):,} overflows", loc="left"
            )
            ax.minorticks_off()
        figure.colorbar(shown, ax=axes, label="share of values")
        return figure


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, the same bytes each time."""
    with whole_file(path) as temporary:
        temporary.write_text(_svg(figure))


def to_html(figure: Figure) -> str:
    """A figure as an image element that holds its SVG: ids of two figures cannot collide, same bytes each time."""
    return f'<img alt="" src="data:image/svg+xml;base64,{base64.b64encode(_svg(figure).encode()).decode()}">'


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    with matplotlib.rc_context(cms_style() | {"svg.hashsalt": "codae-l1"}):
        figure.savefig(text, format="svg", dpi=150, metadata={"Date": None})
    return text.getvalue()
