"""Figures of scripts/jets.py, in the mplhep style: reconstructions, score histograms, ROC curves, latent planes."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from codae_l1.data.base.files import whole_file
from codae_l1.data.formats.jet_images import QCD
from codae_l1.models.evaluation.roc import MINIMUM_BACKGROUND, auc, roc_curve
from codae_l1.scripts.reports.figures import _figure, _style

# Of QCD and of the signal.
_COLOURS = ("#5790fc", "#e42536")
# Petroff's ten colours (arXiv:2107.02270), for curves.
COLOURS = ("#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd", "#94a4a2")
# Shares of the jet's pT that a pixel's colour spans.
_SHARES = LogNorm(1e-4, 0.5)
# Dots an inch.
_DPI = 100
# Jets that are drawn of each kind in a latent plane.
_POINTS = 600


def _kinds(kind: np.ndarray) -> list[str]:
    """Kinds of jets (N,), QCD first."""
    return sorted(set(kind.tolist()), key=lambda k: (k != QCD, k))


def _label(kind: str) -> str:
    return "QCD jets" if kind == QCD else f"{kind} jets"


def reconstruction_figure(examples: dict[str, dict[str, np.ndarray]], kind: np.ndarray) -> Figure:
    """One jet a column: its image of each size, eta upwards and phi to the right, and the reconstructions below it.

    examples: model -> {"image", "reconstruction"}, (n, side, side) shares of pT. kind: (n,) "qcd" or "top".
    """
    rows: list[tuple[str, np.ndarray]] = []
    for side in sorted({content["image"].shape[-1] for content in examples.values()}):
        alike = {model: content for model, content in examples.items() if content["image"].shape[-1] == side}
        rows.append((f"{side} x {side}", next(iter(alike.values()))["image"]))
        rows += [(model, content["reconstruction"]) for model, content in alike.items()]
    with matplotlib.rc_context(_style()):
        figure, axes = _figure(len(rows), len(kind), 1.2 * len(kind) + 1.0, 1.2 * len(rows) + 0.4)
        shown: Any = None
        for line, (title, pictures) in zip(axes, rows, strict=True):
            for ax, picture in zip(line, pictures, strict=True):
                positive = np.where(picture > 0, picture, np.nan)
                shown = ax.imshow(positive, norm=_SHARES, cmap="viridis", origin="lower", interpolation="nearest")
                ax.set(xticks=[], yticks=[])
            line[0].set_ylabel(title, loc="center")
        for ax, k in zip(axes[0], kind, strict=True):
            ax.set_title(_label(k).removesuffix("s"))
        figure.colorbar(shown, ax=axes, location="right", label="share of the jet's pT", aspect=50)
        return figure


def score_figure(scores: dict[str, np.ndarray], kind: np.ndarray, labels: dict[str, str]) -> Figure:
    """One panel a model or observable: QCD and top jets as histograms of area 1. scores: name -> (N,)."""
    with matplotlib.rc_context(_style()):
        columns = min(len(scores), 3)
        rows = -(-len(scores) // columns)
        figure, axes = _figure(rows, columns, 3.6 * columns, 3.0 * rows)
        for ax in axes.flat[len(scores) :]:
            ax.set_visible(False)
        for ax, (model, values) in zip(axes.flat, scores.items(), strict=False):
            bins = _bins(values)
            for k, colour in zip(_kinds(kind), _COLOURS, strict=False):
                if (kind == k).any():
                    ax.hist(values[kind == k], bins, density=True, histtype="step", color=colour, label=_label(k))
            ax.set(xlabel=labels[model], yticks=[])
            ax.set_title(model, loc="left")
        axes[0, 0].set_ylabel("jets")
        axes[0, 0].legend(frameon=False)
        return figure


def roc_figure(scores: dict[str, np.ndarray], baselines: set[str], kind: np.ndarray, kinds: tuple) -> Figure:
    """Background passing against efficiency of the anomaly; baselines without learning dashed.

    scores: name -> (N,). kinds: (background, anomaly). It ends where ten background jets pass.
    """
    background, anomaly = kinds
    with matplotlib.rc_context(_style()):
        figure, axes = _figure(1, 1, 5.6, 4.8)
        ax = axes[0, 0]
        for colour, (name, score) in zip(COLOURS, scores.items(), strict=False):
            classes = score[kind == background], score[kind == anomaly]
            curve = roc_curve(*classes)
            line = "--" if name in baselines else "-"
            ax.plot(curve.tpr, curve.fpr, line, color=colour, label=f"{name}: {100 * auc(*classes):.1f}")
        diagonal = np.geomspace(1e-6, 1, 50)
        ax.plot(diagonal, diagonal, color="#9c9ca1", linewidth=0.6)
        least = min(MINIMUM_BACKGROUND / np.count_nonzero(kind == background), 0.5)
        ax.set(yscale="log", ylim=(least, 1), xlim=(0, 1))
        ax.set(xlabel=f"efficiency of {_label(anomaly)}", ylabel=f"{_label(background)} passing")
        ax.legend(title="AUC in %", frameon=False, loc="lower right")
        return figure


def latent_figure(latents: dict[str, np.ndarray], kind: np.ndarray) -> Figure:
    """One panel a model with two numbers of a jet, (N, 2): QCD and top jets as points, as many of both."""
    with matplotlib.rc_context(_style()):
        figure, axes = _figure(1, len(latents), 4.2 * len(latents), 3.8)
        for ax, (model, z) in zip(axes.flat, latents.items(), strict=True):
            low, high = np.quantile(z, [0.005, 0.995], axis=0)
            for k, colour in zip(_kinds(kind), _COLOURS, strict=False):
                points = z[kind == k][:_POINTS]
                style = {"s": 5, "alpha": 0.6, "linewidths": 0, "rasterized": True}
                ax.scatter(*points.T, color=colour, label=_label(k), **style)
            margin = 0.05 * (high - low) + 1e-12
            ax.set(xlabel="$z_0$", ylabel="$z_1$", xlim=(low[0] - margin[0], high[0] + margin[0]))
            ax.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
            ax.set_title(model, loc="left")
        axes[0, 0].legend(markerscale=2, frameon=True, loc="upper left")
        return figure


def _bins(values: np.ndarray) -> np.ndarray:
    """About 50 bins up to the largest values but one in 200; of counts each bin holds as many integers."""
    low, high = np.quantile(values, [0.0, 0.995])
    if (values == np.round(values)).all():
        step = np.ceil((high - low + 1) / 50)
        return np.arange(low - 0.5, high + step, step)
    return np.linspace(low, high if high > low else low + 1, 50)


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes each time."""
    with whole_file(path) as temporary, matplotlib.rc_context(_style()):
        figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})
