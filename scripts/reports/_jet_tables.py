"""Tables of jets.md beside the first: background rejection with the linear classifiers, and model dependence."""

from typing import Any

from codae_l1.scripts.reports._cells import rejection, spread


def rejection_table(content: dict[str, Any]) -> list[str]:
    """Lines of the table of AUC and 1 / FPR: every score, untrained networks, linear classifiers, observables."""
    tests, anomaly = content["tests"], content["anomaly"]
    shares = tests["efficiencies"]
    heads = ["system, score", "AUC in %", *(f"rejection at {100 * s:g} % of {anomaly}" for s in shares)]
    lines = ["", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for title, entries in _rows(content):
        cells = [_auc([entry["auc"] for entry in entries])]
        cells += [rejection([entry["passing"][f"{s:g}"] for entry in entries], tests["background"]) for s in shares]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    told = f"Rejection is 1 / FPR on {tests['background']:,} {content['train_on']} test jets"
    lines += ["", f"{told}; where none passes, a bound at 90 % confidence."]
    if any("linear classifier" in title for title, _ in _rows(content)):
        lines[-1] += " Linear classifiers are trained with labels; all other scores are not."
    return lines


def dependence_table(content: dict[str, Any]) -> list[str]:
    """Lines of the table of AUC for each further file: a row a score, a column a file."""
    files = content["tests"]["further"]
    if not files:
        return []
    names = [f"{name} ({told['jets']:,})" for name, told in files.items()]
    lines = ["", f"| AUC in %, trained once | {' | '.join(names)} |", f"|{'---|' * (len(names) + 1)}"]
    for title, entries in _rows(content):
        cells = [_auc([entry["further"][name] for entry in entries]) for name in files]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return [*lines, "", "In brackets, in the first line: signal jets of each file; below: the error of the first seed."]


def _rows(content: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Title of a row -> its entries, one a seed."""
    rows = []
    for title, row in content["models"].items():
        trials = [trial["tests"] for trial in row["seeds"].values()]
        rows += [(f"{title}, {name}", [trial[name] for trial in trials]) for name in trials[0]]
    return rows + [(f"{name}, no learning", [entry]) for name, entry in content["tests"]["baselines"].items()]


def _auc(measured: list[Any]) -> str:
    """(value, error) of each seed -> mean ± spread (error of the first) in %.

    >>> _auc([(0.5, 0.01), (0.6, 0.01)])
    '55.0 ± 7.1 (1.0)'
    """
    return f"{spread([100 * value for value, _ in measured])} ({100 * measured[0][1]:.1f})"
