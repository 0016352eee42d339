"""What scripts/jets.py writes from its JSON content and what it drew: the table and the pictures."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from codae_l1.scripts.jet_figures import (
    latent_figure,
    reconstruction_figure,
    roc_figure,
    save_png,
    score_figure,
)

# What the axes of the baselines say.
OBSERVABLE_LABELS = {"mass": "jet mass [GeV]", "multiplicity": "constituents", "width": "pT-weighted width"}


def markdown(content: dict[str, Any]) -> str:
    """The table of jets.md: AUC in %, mean ± spread over the seeds (bootstrap error of the first seed)."""
    jets, train_on, anomaly = content["jets"], content["train_on"], content["anomaly"]
    numbers = ", ".join(f"{sum(n for k, n in jets[p].items() if p == 'test' or k == train_on):,} {p}" for p in jets)
    lines = [
        f"Trained on {train_on} jets, {anomaly} jets are the anomaly ({numbers}; commit {content['stamp']['commit']}).",
        "",
    ]
    if "no_auc" in content:
        lines += [f"{content['no_auc']}.", ""]
    passing = f"{train_on} passing at {100 * content['efficiency']:.0f} % of {anomaly}, %"
    lines.append(f"| system, score | parameters | MACs | CPU s | AUC in % | untrained | {passing} |")
    lines.append("|---|---|---|---|---|---|---|")
    for title, row in content["models"].items():
        lines += _rows(title, row)
    for name, row in content["baselines"].items():
        cells = ("", "")
        if row:
            cells = (f"{100 * row['auc']:.1f} ({100 * row['auc_error']:.1f})", f"{100 * row['fpr']:.2f}")
        lines.append(f"| {name}, no learning | | | | {cells[0]} | | {cells[1]} |")
    seeds = max((len(row["seeds"]) for row in content["models"].values()), default=0)
    lines += ["", f"Mean ± standard deviation of {seeds} seeds; in brackets the bootstrap error of the test jets.", ""]
    for check in content["checks"]:
        verdict = "holds" if check["holds"] else "DOES NOT HOLD"
        between = f"between {100 * check['least']:.1f} and {100 * check['most']:.1f}"
        lines.append(
            f"- Expected of generated jets: {check['what']} {between}; it is {100 * check['value']:.1f}: {verdict}."
        )
    return "\n".join(lines) + "\n"


def _rows(title: str, row: dict[str, Any]) -> list[str]:
    """One line a score of a system, the main one first and with what it costs."""
    trials, main = list(row["seeds"].values()), row["main_score"]
    seconds = sum(trial["cpu_s"] for trial in trials) / len(trials)
    lines = []
    for name in (main, *(n for n in trials[0]["scores"] if n != main)):
        sizes = (f"{row['parameters']:,}", f"{row['macs']:,}", f"{seconds:.1f}") if name == main else ("", "", "")
        cells = ("", "", "")
        if "summary" in row:
            summary, error = row["summary"][name], trials[0]["scores"][name]["auc_error"]
            auc = f"{_percent(summary['auc'])} ({100 * error:.1f})"
            cells = (auc, _percent(summary.get("untrained_auc")), _percent(summary["fpr"], 2))
        lines.append(f"| {' | '.join((f'{title}, {name}', *sizes, *cells))} |")
    return lines


def write_pictures(content: dict[str, Any], drawn: dict[str, Any], out: Path) -> None:
    """reconstructions.png, scores.png, roc.png and latents.png in OUT, those that there is something for."""
    labels = {title: row["main_score"] for title, row in content["models"].items()} | OBSERVABLE_LABELS
    figures: dict[str, Figure] = {"scores": score_figure(drawn["scores"], drawn["kind"], labels)}
    if drawn["examples"]:
        figures["reconstructions"] = reconstruction_figure(drawn["examples"], drawn["examples_kind"])
    if drawn["latents"]:
        figures["latents"] = latent_figure(drawn["latents"], drawn["kind"])
    if "no_auc" not in content:
        kinds = content["train_on"], content["anomaly"]
        figures["roc"] = roc_figure(drawn["scores"], set(content["baselines"]), drawn["kind"], kinds)
    for name, figure in figures.items():
        save_png(figure, out / f"{name}.png")


def _percent(value: dict[str, float | None] | None, digits: int = 1) -> str:
    """Mean ± spread in %; of one seed the value alone."""
    if value is None:
        return ""
    text, spread = f"{100 * (value['mean'] or 0):.{digits}f}", value["spread"]
    return text if spread is None else f"{text} ± {100 * spread:.{digits}f}"
