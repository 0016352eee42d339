"""Compare two samples of events, class by class: tracks, active pixels, energies, and how well counting separates.

    python scripts/compare_samples.py "$CODAE_SAMPLE" data/sample/events.h5 --out comparison.json

$CODAE_SAMPLE is the folder of the public sample. A and B are events files (.h5, .npz), folders of such, or several
joined by commas. Errors are of the mean for n_tracks, active shares and sums, and the bootstrap's for the AUC of
counting tracks or active pixels against QCD.
"""

from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.artifact import write_json
from codae_l1.data.calorimeter import CHANNELS
from codae_l1.data.errors import InputError
from codae_l1.data.events import PROCESSES, QCD
from codae_l1.data.reading import HDF5_SUFFIXES, event_slices
from codae_l1.models.evaluation import auc_with_error
from codae_l1.scripts import cli

# Files of a sample's folder that hold no events.
NOT_EVENTS = ("reference_scores.npz",)


def command() -> None:
    """Parse the arguments, compare, print."""
    parser = cli.parser(__doc__)
    parser.add_argument("a", help="events file, folder, or several joined by commas")
    parser.add_argument("b", help="likewise")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    comparison = {side: describe(summaries(getattr(options, side))) for side in ("a", "b")}
    if options.out is not None:
        write_json(options.out, {"files": {"a": options.a, "b": options.b}, **comparison})
    print(table(comparison["a"], comparison["b"]))


def files_of(sample: str) -> list[Path]:
    """The events files that a word on the command line means."""
    files: list[Path] = []
    for path in map(Path, sample.split(",")):
        if path.is_dir():
            suffixes = (*HDF5_SUFFIXES, ".npz")
            found = [p for p in sorted(path.rglob("*")) if p.suffix in suffixes and p.name not in NOT_EVENTS]
            if not found:
                raise InputError(f"{path} without events files", "a folder with .h5 or .npz", "correct the path")
            files += found
        else:
            files.append(path)
    return files


def summaries(sample: str) -> dict[str, dict[str, np.ndarray]]:
    """Class -> n_tracks (N,), active share (N, 3) and energy sums (N, 3) [GeV] of its events."""
    parts: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for path in files_of(sample):
        for events in event_slices(path):
            active = (events.images > 0).mean(axis=(1, 2))
            sums = events.images.sum(axis=(1, 2), dtype=np.float64)
            for name in np.unique(events.signal):
                which = events.signal == name
                parts.setdefault(str(name), []).append((events.n_tracks[which], active[which], sums[which]))
    keys = ("n_tracks", "active", "sums")
    return {name: {k: np.concatenate([p[i] for p in rows]) for i, k in enumerate(keys)} for name, rows in parts.items()}


def describe(classes: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, Any]]:
    """Class -> its figures, JSON-ready: each mean as value and error, AUCs where the sample has QCD."""
    described = {}
    for name in (p for p in PROCESSES if p in classes):
        column = classes[name]
        entry: dict[str, Any] = {
            "events": len(column["n_tracks"]),
            "n_tracks": {**_mean(column["n_tracks"]), "spread": float(column["n_tracks"].std())},
        }
        for i, channel in enumerate(CHANNELS):
            entry[f"active_{channel}"] = _mean(column["active"][:, i])
            entry[f"sum_{channel}_gev"] = _mean(column["sums"][:, i])
        if name != QCD and QCD in classes:
            for key, pick in (("n_tracks", lambda c: c["n_tracks"]), ("active_pixels", lambda c: c["active"][:, 0])):
                value, error = auc_with_error(pick(classes[QCD]), pick(column))
                entry[f"auc_{key}"] = {"value": float(value), "error": float(error)}
        described[name] = entry
    return described


def table(a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]]) -> str:
    """Both samples in Markdown, one row a class, "A / B" in each cell."""
    heads = ["class", "events", "n_tracks", "active tracks", "active ecal", "active hcal"]
    heads += ["sum tracks", "sum ecal", "sum hcal", "AUC n_tracks", "AUC active pixels"]
    rows = [heads, ["---"] * len(heads)]
    for name in (p for p in PROCESSES if p in a or p in b):
        rows.append([name, *(" / ".join(pair) for pair in zip(_cells(a.get(name)), _cells(b.get(name)), strict=True))])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _mean(values: np.ndarray) -> dict[str, float]:
    return {"value": float(values.mean()), "error": float(values.std() / np.sqrt(len(values)))}


def _cells(entry: dict[str, Any] | None) -> list[str]:
    if entry is None:
        return ["-"] * 10
    tracks = entry["n_tracks"]
    cells = [str(entry["events"]), f"{tracks['value']:.1f} ± {tracks['spread']:.1f} ({tracks['error']:.1f})"]
    cells += [f"{entry[f'active_{c}']['value']:.4f} ({entry[f'active_{c}']['error']:.4f})" for c in CHANNELS]
    cells += [f"{entry[f'sum_{c}_gev']['value']:.0f} ({entry[f'sum_{c}_gev']['error']:.0f})" for c in CHANNELS]
    for key in ("auc_n_tracks", "auc_active_pixels"):
        cells.append(f"{entry[key]['value']:.3f} ({entry[key]['error']:.3f})" if key in entry else "-")
    return cells


if __name__ == "__main__":
    cli.run(command)
