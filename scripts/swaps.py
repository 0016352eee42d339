"""Measure what each swap of the encoders' layers costs: the full model is trained once per swap; AUC per signal.

    python scripts/swaps.py --out runs/swaps --model compact --events data/sample/events.h5 --seeds 1 2

Every row has the same budget: events, epochs, optimizer, seeds. Writes swaps.json and swaps.md into --out after each
seed. An interrupted command resumes, and finished trials are not repeated. codae_l1.models.codae.swaps defines the
rows.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file, write_json
from codae_l1.data.base.keep import digest, keep
from codae_l1.data.sample import SAMPLE
from codae_l1.scripts._seeds import require_seeds
from codae_l1.scripts.run import cli

# Scores whose AUC stands in the table.
SHOWN = ("mse", "invented", "block_power", "z0")
MODELS = ("paper", "compact", "tiny")


def command() -> None:
    """Parse the arguments, run the trials that are missing, write the table."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trials and the table")
    parser.add_argument("--model", choices=MODELS, default="compact", help="sizes; the layers are the published ones")
    parser.add_argument("--events", type=Path, default=Path(SAMPLE), help="HDF5 file of events")
    parser.add_argument("--train-events", type=int, default=3000, help="QCD events to train on")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="seeds of the trainings")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows of the table (default: all)")
    arguments = parser.parse_args()
    require_seeds("--seeds", arguments.seeds, different=True)
    if arguments.train_events < 1:
        raise InputError(f"--train-events {arguments.train_events}", "a number >= 1", "raise it")
    cli.output("--out", arguments.out, "folder of swaps")
    cli.import_tensorflow(deterministic=True)
    configs, training = _rows_of(arguments.model, arguments.rows), _budget(arguments.epochs)
    events, checksum = _read(cli.existing(str(arguments.events)), arguments.train_events)
    results: dict[str, list[dict[str, Any]]] = {row: [] for row in configs}
    for seed in arguments.seeds:
        for row, config in configs.items():
            inputs = {"model": dump(config), "training": dump(training), "events": checksum, "seed": seed}
            inputs["train_events"] = len(events["train"])
            results[row].append(_trial(arguments.out, inputs, config, training, events, f"seed {seed}, {row}"))
        done = {"model": arguments.model, "seeds": arguments.seeds[: arguments.seeds.index(seed) + 1]}
        done |= {"events": {k: len(v) for k, v in events.items()}, "checksum": checksum, "training": dump(training)}
        _write(arguments.out, _summarize(results, events) | done)


def _rows_of(model: str, names: list[str] | None) -> dict[str, Any]:
    """Row -> CoDAEConfig: the sizes with the published layers, each swap alone, all of them."""
    from codae_l1.models.codae.config import COMPACT, PAPER, TINY
    from codae_l1.models.codae.swaps import swap_table

    base = {"paper": PAPER, "compact": COMPACT, "tiny": TINY}[model]
    table = swap_table(base)
    if base == COMPACT:
        # It has no groups; this row tells what the published ones would do.
        table["groups: as published"] = dataclasses.replace(
            base, f_m_groups=PAPER.f_m_groups, f_r_groups=PAPER.f_r_groups
        )
    unknown = sorted(set(names or ()) - set(table))
    if unknown:
        raise InputError(f"--rows {', '.join(unknown)}", f"some of {', '.join(table)}", "correct the names")
    # The published layers are what the others are compared with.
    return {row: c for row, c in table.items() if not names or row in names or row == next(iter(table))}


def _budget(epochs: int) -> Any:
    """The training of every row: that of the compact model, but for the epochs."""
    from codae_l1.models.training.config import COMPACT_TRAINING

    return dataclasses.replace(COMPACT_TRAINING, epochs=epochs)


def _read(path: Path, train_events: int) -> tuple[dict[str, np.ndarray], str]:
    """Masks of QCD ("train", "validation") and of the test events ("qcd" and the signals); the file's checksum."""
    from codae_l1.data.events import QCD, SIGNALS
    from codae_l1.data.formats.event_file import EventFile
    from codae_l1.data.pooling import track_mask
    from codae_l1.scripts.run.events import check_events, indices

    with EventFile(path) as file:
        if file.background != QCD:
            raise InputError(f"{path} of {file.background}", "QCD and signals", "name another file in --events")
        check_events(file)
        qcd = {split: indices(file, split, background_only=True) for split in ("train", "validation")}
        qcd["train"] = qcd["train"][:train_events]
        masks = {split: track_mask(file.read_where(which).images) for split, which in qcd.items()}
        test = file.read_where(indices(file, "test"))
        checksum = file.checksum
    for name in (QCD, *(s for s in SIGNALS if s in test.signal)):
        masks[name] = track_mask(test.images[test.signal == name])
    return masks, checksum


def _trial(
    out: Path, inputs: dict[str, Any], config: Any, training: Any, events: dict[str, np.ndarray], text: str
) -> dict[str, Any]:
    """AUC of one row and seed; read where it was done before from the same inputs."""
    from codae_l1.models.codae.model import CoDAE
    from codae_l1.models.training.loop import BEST, CHECKPOINT, train

    def make(folder: Path) -> dict[str, Any]:
        model = CoDAE(config, inputs["seed"])
        with cli.Progress(text) as progress:
            history = train(model, events["train"], events["validation"], training, folder, progress)
        result = {"auc": _aucs(model, events), "bce": history["best_validation_loss"], "inputs": inputs}
        result["parameters"] = {part: _trainable(getattr(model, part)) for part in ("f_m", "f_r", "decoder")}
        for of_training in (CHECKPOINT, BEST):
            (folder / of_training).unlink(missing_ok=True)
        print(f"{text}: BCE {result['bce']:.2f}", flush=True)
        return result

    return keep(out / "trials" / digest(inputs)[:16], inputs, make)


def _aucs(model: Any, events: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Score -> signal -> AUC on the test events; the scores' signs come from the QCD validation events."""
    from codae_l1.models.codae.scores import codae_scores, orient, orientations
    from codae_l1.models.evaluation.roc import auc

    names = ["validation", *_tested(events)]
    every = codae_scores(model, np.concatenate([events[name] for name in names]))
    edges = np.cumsum([len(events[name]) for name in names])[:-1]
    parts = {name: np.split(values, edges) for name, values in every.items()}
    signs = orientations({name: part[0] for name, part in parts.items()})
    scores = {n: orient({s: part[i] for s, part in parts.items()}, signs) for i, n in enumerate(names) if i}
    signals = [name for name in scores if name != "qcd"]
    return {score: {s: auc(scores["qcd"][score], scores[s][score]) for s in signals} for score in signs}


def _trainable(part: Any) -> int:
    """Parameters that are trained; BatchNorm's moving statistics are not."""
    return sum(int(np.prod(v.shape)) for v in part.trainable_variables)


def _tested(events: dict[str, np.ndarray]) -> list[str]:
    """Names of the test events' classes."""
    return [name for name in events if name not in ("train", "validation")]


def _summarize(results: dict[str, list[dict[str, Any]]], events: dict[str, np.ndarray]) -> dict[str, Any]:
    """Row -> AUC of each seed, difference from the published layers (mean over signals, seed by seed), BCE."""
    from codae_l1.models.codae.scores import active_pixels
    from codae_l1.models.evaluation.roc import auc

    published, rows = next(iter(results.values())), {}
    for row, trials in results.items():
        means, reference = (
            [{score: float(np.mean(list(a.values()))) for score, a in t["auc"].items()} for t in of]
            for of in (trials, published)
        )
        rows[row] = {
            "parameters": trials[0]["parameters"],
            "swaps": trials[0]["inputs"]["model"]["swaps"],
            "bce": _spread([t["bce"] for t in trials]),
            "auc": {
                score: {s: _spread([t["auc"][score][s] for t in trials]) for s in trials[0]["auc"][score]}
                for score in trials[0]["auc"]
            },
            "difference": {
                score: _spread([m[score] - r[score] for m, r in zip(means, reference, strict=True)])
                for score in means[0]
            },
        }
    counts = {name: active_pixels(events[name]) for name in _tested(events)}
    return {"rows": rows, "active_pixels": {s: auc(counts["qcd"], c) for s, c in counts.items() if s != "qcd"}}


def _write(out: Path, summary: dict[str, Any]) -> None:
    """swaps.json and swaps.md; the table also to the terminal."""
    from codae_l1.scripts.run.folder import stamp

    made = {"command": "python scripts/swaps.py " + " ".join(sys.argv[1:]), "stamp": stamp(summary["seeds"][0])}
    write_json(out / "swaps.json", summary | made)
    text = "\n\n".join(table(summary, score) for score in SHOWN)
    with whole_file(out / "swaps.md") as temporary:
        temporary.write_text(text + "\n")
    print(text)


def table(summary: dict[str, Any], score: str) -> str:
    """Markdown: AUC in % of one score, mean and spread over the seeds; the last column is the swap's cost."""
    signals = list(summary["active_pixels"])
    head = [f"AUC in %, {score}", "f_m + f_R parameters", "BCE", *signals, "mean - published"]
    lines = [head, ["---"] * len(head)]
    for row, entry in summary["rows"].items():
        parameters = entry["parameters"]["f_m"] + entry["parameters"]["f_r"]
        cells = [row, f"{parameters:,}", _cell(entry["bce"], 1, 2)]
        cells += [_cell(entry["auc"][score][s], 100, 1) for s in signals]
        lines.append([*cells, _cell(entry["difference"][score], 100, 2, "+")])
    baseline = [f"{100 * summary['active_pixels'][s]:.1f}" for s in signals]
    lines.append(["active pixels", "0", "", *baseline, ""])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean and standard deviation over seeds; no deviation of one seed."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "deviation": deviation, "values": [float(v) for v in values]}


def _cell(entry: dict[str, Any], scale: float, digits: int, sign: str = "") -> str:
    error = "" if entry["deviation"] is None else f" ± {scale * entry['deviation']:.{digits}f}"
    return f"{scale * entry['mean']:{sign}.{digits}f}{error}"


if __name__ == "__main__":
    cli.run(command)
