"""What scripts/jets.py writes from its JSON content and what it drew: the table and the pictures."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from codae_l1.scripts.reports._cells import percent
from codae_l1.scripts.reports._jet_figures import (
    latent_figure,
    reconstruction_figure,
    roc_figure,
    save_png,
    score_figure,
)
from codae_l1.scripts.reports._jet_tables import dependence_table, rejection_table

# What the axes of the baselines say.
OBSERVABLE_LABELS = {
    "mass": "jet mass [GeV]",
    "pt": "jet pT [GeV]",
    "multiplicity": "constituents",
    "width": "pT-weighted width",
}
# Seeds of a random training that a number is quoted from, at least.
FEWEST_SEEDS = 3
# What is measured, in % with so many digits.
DIGITS = {"auc": 1, "fpr": 2}


def markdown(content: dict[str, Any]) -> str:
    """The table of jets.md: AUC and passing fraction in %, mean ± spread over the seeds (error of the first seed)."""
    jets, train_on, anomaly = content["jets"], content["train_on"], content["anomaly"]
    numbers = ", ".join(f"{sum(n for k, n in jets[p].items() if p == 'test' or k == train_on):,} {p}" for p in jets)
    lines = [
        f"Trained on {train_on} jets, {anomaly} jets are the anomaly ({numbers}; commit {content['stamp']['commit']}).",
        "",
    ]
    if "no_auc" in content:
        lines += [f"{content['no_auc']}.", ""]
    passing = f"{train_on} passing at {100 * content['efficiency']:.0f} % of {anomaly}, %"
    columns = ("system, score", "parameters", "MACs", "CPU s", "CPU ms per jet")
    lines += [f"| {' | '.join((*columns, 'AUC in %', 'untrained', passing))} |", f"|{'---|' * 8}"]
    for title, row in content["models"].items():
        lines += _rows(title, row)
    for name, row in content["baselines"].items():
        cells = [f"{100 * row[k]:.{d}f} ({100 * row[f'{k}_error']:.{d}f})" if row else "" for k, d in DIGITS.items()]
        lines.append(f"| {name}, no learning | | | | | {cells[0]} | | {cells[1]} |")
    lines += ["", " ".join(_legend(content["models"]))]
    if "tests" in content:
        lines += [*rejection_table(content), *dependence_table(content)]
    lines += ["", *_remarks(content["models"])]
    return "\n".join(lines + [_check(check) for check in content["checks"]]) + "\n"


def _remarks(models: dict[str, Any]) -> list[str]:
    """What a training says of itself, such as that it has not converged.

    >>> _remarks({"nae": {"seeds": {"1": {"history": {"remark": "the sampler has not converged"}}, "2": {}}}})
    ['- WARNING: nae, seed 1: the sampler has not converged.']
    """
    trials = [(title, seed, trial) for title, row in models.items() for seed, trial in row["seeds"].items()]
    remarks = [(title, seed, trial.get("history", {}).get("remark")) for title, seed, trial in trials]
    return [f"- WARNING: {title}, seed {seed}: {remark}." for title, seed, remark in remarks if remark]


def _check(check: dict[str, Any]) -> str:
    """The line of an expectation: whether it holds, or why it was not checked."""
    if "missing" in check:
        return f"- Not checked: {check['what']} above {check['missing']}, which was not asked for."
    verdict = "holds" if check["holds"] else "DOES NOT HOLD"
    between = f"between {100 * check['least']:.1f} and {100 * check['most']:.1f}"
    return f"- Expected of generated jets: {check['what']} {between}; it is {100 * check['value']:.1f}: {verdict}."


def _legend(models: dict[str, Any]) -> list[str]:
    """What the numbers are, and where seeds are too few to say how training varies."""
    trials = [list(row["seeds"].values()) for row in models.values()]
    # Without untrained scores nothing is random.
    seeds = max((len(t) for t in trials if t[0]["untrained"]), default=0)
    sentences = [f"Mean ± standard deviation of {seeds} seeds."] if seeds > 1 else []
    sentences.append("The brackets give the error from the number of test jets, for the first seed.")
    if 0 < seeds < FEWEST_SEEDS:
        sentences.append(f"WARNING: fewer than {FEWEST_SEEDS} seeds do not show how much training varies.")
    return sentences


def _rows(title: str, row: dict[str, Any]) -> list[str]:
    """One line per score of a system, the main one first and with what it costs."""
    trials, main = list(row["seeds"].values()), row["main_score"]
    seconds = f"{sum(trial['cpu_s'] for trial in trials) / len(trials):.1f}"
    timed = [trial["tflite"]["cpu_ms"] for trial in trials if trial.get("tflite")]
    speed = f"{sum(timed) / len(timed):.3f}" if timed else ""
    lines = []
    for name in (main, *(n for n in trials[0]["scores"] if n != main)):
        sizes = (f"{row['parameters']:,}", f"{row['macs']:,}", seconds, speed) if name == main else ("",) * 4
        cells = ("", "", "")
        if "summary" in row:
            summary, first = row["summary"][name], trials[0]["scores"][name]
            auc, passing = (f"{percent(summary[k], d)} ({100 * first[f'{k}_error']:.{d}f})" for k, d in DIGITS.items())
            cells = (auc, percent(summary.get("untrained_auc")), passing)
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
