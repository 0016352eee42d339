"""One config run with several seeds: mean and spread of every AUC, of the resources and of the latency.

Each seed is a whole run in its own folder, OUT/seed-N; OUT/seeds.json and OUT/seeds.md hold mean and standard deviation
over the seeds.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file, write_json
from codae_l1.scripts.run.config import load_config
from codae_l1.scripts.run.run import Run
from codae_l1.scripts.run.tables import markdown_table


def run_seeds(arguments: Any, chain: Callable[[Run], None], columns: Sequence[tuple[str, str]]) -> str:
    """Run the chain for each of the seeds and write the table; returns it.

    arguments: seeds, config, out, update, as run_chain.py parses them. columns: keys and titles of the report's AUC.
    """
    if len(set(arguments.seeds)) < 2 or min(arguments.seeds) < 0:
        raise InputError(f"seeds {arguments.seeds}", "two or more different ones, >= 0", "name them after --seeds")
    if arguments.run or not arguments.config or not arguments.out:
        raise InputError(
            "--seeds", "--config and --out beside it, and no --run", "each seed is a run in a folder of --out"
        )
    config, reports = load_config(arguments.config), []
    for seed in arguments.seeds:
        print(f"seed {seed}", flush=True)
        run = Run(arguments.out / f"seed-{seed}", dataclasses.replace(config, seed=seed), arguments.update)
        chain(run)
        reports.append(run.read("report"))
    return _write_seeds(arguments.out, reports, columns)


def _write_seeds(folder: Path, reports: list[dict[str, Any]], columns: Sequence[tuple[str, str]]) -> str:
    """seeds.json and seeds.md from the reports of several seeds; returns the table."""
    summary = _summarise(reports)
    text = _markdown(summary, columns)
    write_json(folder / "seeds.json", summary)
    with whole_file(folder / "seeds.md") as temporary:
        temporary.write_text(text)
    return text


def _summarise(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Reports of several seeds -> seeds, commits; mean and spread over seeds of AUC, loss by quantization and costs.

    >>> one = {"config": {"seed": 1}, "stamp": {"commit": "c"}, "resources": {"LUT": 10, "FF": 4}, "latency_ns": 20.0}
    >>> one |= {"auc": {"h125": {"rtl": {"value": 0.8}}}, "quantization_loss": {"h125": {"value": 0.0}}}
    >>> two = one | {"config": {"seed": 2}, "auc": {"h125": {"rtl": {"value": 0.9}}}}
    >>> {key: round(value, 3) for key, value in _summarise([one, two])["auc"]["h125"]["rtl"].items()}
    {'mean': 0.85, 'spread': 0.071}
    """
    first = reports[0]
    cost = {"LUT": [r["resources"]["LUT"] for r in reports], "FF": [r["resources"]["FF"] for r in reports]}
    cost["latency_ns"] = [r["latency_ns"] for r in reports]
    return {
        "seeds": [r["config"]["seed"] for r in reports],
        "commits": sorted({r["stamp"]["commit"] for r in reports}),
        "auc": {
            signal: {name: _spread([r["auc"][signal][name]["value"] for r in reports]) for name in row}
            for signal, row in first["auc"].items()
        },
        "quantization_loss": {
            signal: _spread([r["quantization_loss"][signal]["value"] for r in reports])
            for signal in first["quantization_loss"]
        },
        "cost": {name: _spread(values) for name, values in cost.items()},
        "trigger": _trigger([r["trigger"] for r in reports if r.get("trigger")], len(reports)),
    }


def _trigger(sections: list[dict[str, Any]], seeds: int) -> dict[str, Any]:
    """{point: {score: {signal: mean and spread of the efficiency}}} of what the crossings carry for every seed."""
    found: dict[str, Any] = {}
    for point, scores in sections[0]["points"].items() if len(sections) == seeds else ():
        for score in scores:
            rows = [section["points"][point][score]["efficiency"] for section in sections]
            if all(rows):
                values = {name: _spread([row[name]["value"] for row in rows]) for name in rows[0]}
                found.setdefault(point, {})[score] = values
    return found


def _markdown(summary: dict[str, Any], columns: Sequence[tuple[str, str]]) -> str:
    """The table, AUC in %: mean +- standard deviation over the seeds."""
    cost = ", ".join(f"{v['mean']:,.0f} ± {v['spread']:,.0f} {name}" for name, v in summary["cost"].items())
    seeds = ", ".join(map(str, summary["seeds"]))
    rows, found = [], next(iter(summary["auc"].values()))
    columns = [(key, title) for key, title in columns if key in found]
    for signal, row in summary["auc"].items():
        cells = [f"{100 * row[key]['mean']:.1f} ± {100 * row[key]['spread']:.1f}" for key, _ in columns]
        loss = summary["quantization_loss"][signal]
        rows.append([signal, *cells, f"{100 * loss['mean']:+.2f} ± {100 * loss['spread']:.2f}"])
    table = markdown_table(["AUC in %", *(title for _, title in columns), "float - RTL"], rows)
    text = f"Seeds {seeds}, commit {', '.join(summary['commits'])}: {cost}.\n\n{table}\n"
    return text + (f"\n{_trigger_table(summary['trigger'])}\n" if summary["trigger"] else "")


def _trigger_table(trigger: dict[str, Any]) -> str:
    """Efficiency in % on crossings, mean +- standard deviation over the seeds, a row a point and score."""
    signals = list(next(iter(next(iter(trigger.values())).values())))
    rows = []
    for point, scores in trigger.items():
        for score, row in scores.items():
            cells = (f"{100 * row[name]['mean']:.1f} ± {100 * row[name]['spread']:.1f}" for name in signals)
            rows.append([f"{point}: {score}", *cells])
    return markdown_table(["efficiency in %", *signals], rows)


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "spread": float(np.std(values, ddof=1))}
