"""The page objects.md of scripts/objects.py from its JSON content."""

from typing import Any

import numpy as np

from codae_l1.scripts.reports._cells import largest_fpr, percent, rejection
from codae_l1.scripts.run.tables import markdown_table

TITLES = ("score", "AUC in %", "untrained", "rejection", "SIC")


def markdown(content: dict[str, Any]) -> str:
    """A table a signal: AUC, AUC untrained, rejection and SIC of each score, mean ± spread over the seeds (error)."""
    events, stamp, share = content["events"], content["stamp"], content["efficiency"]
    seeds = sorted({int(seed) for row in content["models"].values() for seed in row["seeds"]})
    lines = [
        f"Background: {events['train']:,} events train, {events['validation']:,} choose the epoch, "
        f"{events['test']:,} are tested. Split seed {content['split_seed']}, seeds {', '.join(map(str, seeds))}, "
        f"commit {stamp['commit']}.",
        "",
        f"`{content['command']}`",
        "",
        *(f"- `{t}`: {m['parameters']:,} parameters, {m['macs']:,} MACs" for t, m in content["models"].items()),
        "",
        f"Rejection is 1 / FPR at {100 * share:.0f} % signal efficiency, SIC the efficiency divided by the square root "
        "of the mean FPR. Mean ± standard deviation over the seeds; in brackets the bootstrap error of the first seed. "
        "Where no background event passes, bounds at 90 % confidence.",
    ]
    for signal, number in events["signals"].items():
        rows = [row for title, model in content["models"].items() for row in _rows(title, model, signal, content)]
        for name, measured in content["baselines"].items():
            m = measured[signal]
            auc = f"{100 * m['auc']:.1f} ({100 * m['auc_error']:.1f})"
            rows.append((f"{name}, no learning", auc, "", *_tail([m], content)))
        lines += ["", f"## {signal}, {number:,} events", "", markdown_table(TITLES, rows, numbers_from=1)]
    return "\n".join(lines) + "\n"


def _rows(title: str, model: dict[str, Any], signal: str, content: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each score of a system, the main one first."""
    rows, summary = [], model["summary"][signal]
    for name in sorted(summary, key=lambda name: name != model["main_score"]):
        found, seeds = summary[name], [trial["scores"][name][signal] for trial in model["seeds"].values()]
        auc = f"{percent(found['auc'])} ({100 * seeds[0]['auc_error']:.1f})"
        rows.append((f"{title}, {name}", auc, percent(found.get("untrained_auc")), *_tail(seeds, content)))
    return rows


def _tail(seeds: list[dict[str, float]], content: dict[str, Any]) -> tuple[str, str]:
    """Rejection and SIC of what was measured with each seed."""
    tested, fpr = content["events"]["test"], float(np.mean([m["fpr"] for m in seeds]))
    sic = content["efficiency"] / np.sqrt(fpr if fpr > 0 else largest_fpr(tested))
    return rejection([(m["fpr"], m["fpr_error"]) for m in seeds], tested), f"{'' if fpr > 0 else '> '}{sic:.2f}"
