"""Run one config with several seeds: mean and spread of every AUC, of LUT and of latency.

    python scripts/seeds.py --config scripts/configs/demo.toml --seeds 1 2 3 --out runs/demo-seeds

Each seed is a whole run in its own folder, OUT/seed-N; OUT/seeds.json and OUT/seeds.md hold mean and standard deviation
over the seeds. Interrupted, the same command goes on where it stopped.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.scripts.run import cli


def command() -> None:
    """Parse the arguments, run each seed, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML config; its seed is replaced")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="at least two")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and the table")
    arguments = parser.parse_args()
    if len(set(arguments.seeds)) < 2 or min(arguments.seeds) < 0:
        raise InputError(f"seeds {arguments.seeds}", "two or more different ones, >= 0", "name them after --seeds")
    from codae_l1.scripts.run.config import load_config
    from codae_l1.scripts.run.folder import RunFolder
    from codae_l1.scripts.run_chain import chain

    config, reports = load_config(arguments.config), []
    for seed in arguments.seeds:
        print(f"seed {seed}", flush=True)
        run = RunFolder(arguments.out / f"seed-{seed}", dataclasses.replace(config, seed=seed))
        chain(run)
        reports.append(run.read("report"))
    summary = summarise(reports)
    write(arguments.out, summary)
    print(markdown(summary))


def summarise(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Reports of several seeds -> seeds, commits; mean and spread over seeds of AUC, loss by quantization and costs.

    >>> one = {"config": {"seed": 1}, "stamp": {"commit": "c"}, "resources": {"LUT": 10, "FF": 4}, "latency_ns": 20.0}
    >>> one |= {"auc": {"h125": {"rtl": {"value": 0.8}}}, "quantization_loss": {"h125": {"value": 0.0}}}
    >>> two = one | {"config": {"seed": 2}, "auc": {"h125": {"rtl": {"value": 0.9}}}}
    >>> {key: round(value, 3) for key, value in summarise([one, two])["auc"]["h125"]["rtl"].items()}
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
    }


def markdown(summary: dict[str, Any]) -> str:
    """The table, AUC in %: mean +- standard deviation over the seeds."""
    from codae_l1.scripts.report import COLUMNS

    cost = ", ".join(f"{v['mean']:,.0f} ± {v['spread']:,.0f} {name}" for name, v in summary["cost"].items())
    seeds = ", ".join(map(str, summary["seeds"]))
    lines = [
        f"Seeds {seeds}, commit {', '.join(summary['commits'])}: {cost}.",
        "",
        "| AUC in % | " + " | ".join(title for _, title in COLUMNS) + " | float - RTL |",
        "|---|" + "---|" * (len(COLUMNS) + 1),
    ]
    for signal, row in summary["auc"].items():
        cells = [f"{100 * row[key]['mean']:.1f} ± {100 * row[key]['spread']:.1f}" for key, _ in COLUMNS]
        loss = summary["quantization_loss"][signal]
        cells.append(f"{100 * loss['mean']:+.2f} ± {100 * loss['spread']:.2f}")
        lines.append(f"| {signal} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(folder: Path, summary: dict[str, Any]) -> None:
    """seeds.json and seeds.md, each whole or not at all."""
    from codae_l1.data.base.files import whole_file, write_json

    write_json(folder / "seeds.json", summary)
    with whole_file(folder / "seeds.md") as temporary:
        temporary.write_text(markdown(summary))


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "spread": float(np.std(values, ddof=1))}


if __name__ == "__main__":
    cli.run(command)
