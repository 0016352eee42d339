"""Two samples of events compared, class by class: means, quantiles, profiles, baselines, and a two-sample test."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import sha256
from codae_l1.data.base.spool import Spool
from codae_l1.data.calorimeter import CHANNELS
from codae_l1.data.events import BACKGROUNDS, CLASSES
from codae_l1.data.formats import SUFFIXES, event_slices
from codae_l1.models.evaluation.roc import auc_with_error
from codae_l1.models.evaluation.two_sample import TwoSampleConfig, image_summaries, two_sample_test

# Files in a sample's folder that hold no events.
NOT_EVENTS = ("reference_scores.npz",)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Events that are read at a time.
SLICE = 256
# Axis of an image (event, phi, eta, channel) that each profile sums over.
PROFILES = {"energy_by_eta_gev": 1, "energy_by_phi_gev": 2}
# Tracks from which on the pixels that they hit name an event; of fewer, all that an image holds.
_TELLING_TRACKS = 5
# What is said of events that are in both samples, or twice in one.
_TWINS = ("{:,} of A's events are in B, too", "{:,} of A are repeats", "{:,} of B are repeats")
# What is said of an AUC that independent samples do not have.
_BELOW = (
    "below 0.5: events of B are those of A in another form (another scale or resolution, another seed of the detector "
    "alone), so that the samples are not independent, and the AUC does not say how alike they are"
)
# Errors by which an AUC is below 0.5 in a few of a million independent samples.
_FAR = 4.5


def _files_of(sample: str) -> list[Path]:
    """The events files that an argument names: a file, a folder of files, or several joined by commas."""
    files: list[Path] = []
    for path in map(Path, sample.split(",")):
        if path.is_dir():
            found = [p for p in sorted(path.rglob("*")) if p.suffix in SUFFIXES and p.name not in NOT_EVENTS]
            if not found:
                raise InputError(f"{path} without events files", f"a folder with {', '.join(SUFFIXES)}", "correct it")
            files += found
        else:
            files.append(path)
    return files


def summaries(sample: str, sums: dict[str, str] | None = None, **how: Any) -> dict[str, "_Summaries"]:
    """Class -> summaries of its N events.

    sums: takes the SHA-256 of each file that is read. how: label, options of formats and tell, as in event_slices.
    """
    found: dict[str, _Summaries] = {}
    for path in _files_of(sample):
        if sums is not None:
            sums[str(path)] = sha256(path)
        for events in event_slices(path, SLICE, **how):
            for name in np.unique(events.signal):
                which = events.signal == name
                found.setdefault(str(name), _Summaries()).add(events.images[which], events.n_tracks[which])
    return found


class _Summaries(Mapping[str, np.ndarray]):
    """Summaries of N events of a class, by name; those that grow with N are on disk.

    n_tracks (N,); of each channel the fraction of active pixels and the sum (N,) [GeV]; features (4000, 37) and
    identities (4000,) of the first events, which the two-sample test takes; and of each profile the sums and squares
    over all events, (58 or 72, 3).
    """

    def __init__(self):
        names = ("n_tracks", *(f"{name}_{channel}" for name in ("active", "sum") for channel in CHANNELS))
        self._columns = {name: Spool(tempfile.gettempdir()) for name in names}
        self._features, self._identities, self._sums = [], [], {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name == "features":
            return np.concatenate(self._features)[: TwoSampleConfig().maximum_events]
        if name == "identities":
            return np.array(self._identities[: TwoSampleConfig().maximum_events], object)
        return self._columns[name][:] if name in self._columns else self._sums[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._columns, "features", "identities", *self._sums))

    def __len__(self) -> int:
        return len([*self])

    def add(self, images: np.ndarray, n_tracks: np.ndarray) -> None:
        """Images (n, 72, 58, 3) GeV and their numbers of tracks (n,)."""
        self._columns["n_tracks"].add(n_tracks)
        active, sums = (images > 0).mean(axis=(1, 2)), images.sum(axis=(1, 2), dtype=np.float64)
        for i, channel in enumerate(CHANNELS):
            self._columns[f"active_{channel}"].add(active[:, i])
            self._columns[f"sum_{channel}"].add(sums[:, i])
        if sum(map(len, self._features)) < TwoSampleConfig().maximum_events:
            self._features.append(image_summaries(images, n_tracks))
            self._identities += [_identity(image) for image in images]
        for key, axis in PROFILES.items():
            summed = images.sum(axis=axis, dtype=np.float64)
            for power in (1, 2):
                name = f"{key}_{power}"
                self._sums[name] = self._sums.get(name, 0.0) + (summed**power).sum(axis=0)


def compare(a: Mapping[str, Any], b: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """Two samples' summaries -> a and b described, their profiles, and the two-sample test of each common class."""
    if not set(a) & set(b):
        raise InputError(f"classes {', '.join(a)} and {', '.join(b)}", "a class that both have", "choose other samples")
    tests = {name: _tested(a[name], b[name], seed) for name in CLASSES if {name} <= {*a} & {*b}}
    return {
        "a": _describe(a),
        "b": _describe(b),
        "profiles": {"a": _profiles(a), "b": _profiles(b)},
        "two_sample": tests,
    }


def _describe(classes: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, Any]]:
    """Class -> its figures, JSON-ready: mean with error and quantiles, AUCs where the sample has one background."""
    described, backgrounds = {}, [name for name in BACKGROUNDS if name in classes]
    for name in (p for p in CLASSES if p in classes):
        column = classes[name]
        spread = float(column["n_tracks"].std())
        entry: dict[str, Any] = {
            "events": len(column["n_tracks"]),
            "n_tracks": {**_mean(column["n_tracks"]), "spread": spread},
        }
        for channel in CHANNELS:
            entry[f"active_{channel}"] = _mean(column[f"active_{channel}"])
            entry[f"sum_{channel}_gev"] = _mean(column[f"sum_{channel}"])
        if name not in backgrounds and len(backgrounds) == 1:
            for key, of in (("n_tracks", "n_tracks"), ("active_pixels", f"active_{CHANNELS[0]}")):
                value, error = auc_with_error(classes[backgrounds[0]][of], column[of])
                entry[f"auc_{key}"] = {"value": float(value), "error": float(error)}
        described[name] = entry
    return described


def _profiles(classes: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Class -> profile -> channel -> mean energy per event [GeV] in each column or row, with its error."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for name, column in classes.items():
        n = len(column["n_tracks"])
        for profile in PROFILES:
            mean, square = (column[f"{profile}_{power}"] / n for power in (1, 2))
            error = np.sqrt(np.maximum(square - mean**2, 0) / n)
            values = {c: {"value": mean[:, i].tolist(), "error": error[:, i].tolist()} for i, c in enumerate(CHANNELS)}
            result.setdefault(name, {})[profile] = values
    return result


def table(a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]]) -> str:
    """Both samples in Markdown, one row per class, "A / B" in each cell."""
    heads = ["class", "events", "n_tracks", "active tracks", "active ecal", "active hcal"]
    heads += ["sum tracks", "sum ecal", "sum hcal", "AUC n_tracks", "AUC active pixels"]
    rows = [heads, ["---"] * len(heads)]
    for name in (p for p in CLASSES if p in a or p in b):
        rows.append([name, *(" / ".join(pair) for pair in zip(_cells(a.get(name)), _cells(b.get(name)), strict=True))])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def test_lines(tests: dict[str, dict[str, Any]]) -> list[str]:
    """The two-sample tests, a line per class, and what is to be known of its events."""
    lines, most = [], TwoSampleConfig().maximum_events
    for name, test in tests.items():
        if test["auc"] is None:
            lines.append(f"two-sample test, {name}: {test['reason']}")
            continue
        telling = ", ".join(f"{key} {value:.2f}" for key, value in test["telling"].items())
        events = " and ".join(f"{n:,}" for n in test["events"])
        lines.append(f"two-sample test, {name}: AUC {test['auc']:.3f} ± {test['error']:.3f} ({events}; {telling})")
        if twins := [said.format(n) for said, n in zip(_TWINS, test["twins"].values(), strict=True) if n]:
            first = f" (of the first {most:,})" if max(test["events"]) == most else ""
            lines.append(f"{name}: {', '.join(twins)}{first}; they are in the same fold as their twins")
        if test["auc"] < 0.5 - _FAR * test["error"]:
            lines.append(f"{name}: {_BELOW}")
    return lines


def _tested(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], seed: int) -> dict[str, Any]:
    """The test of a class; twins: how many of A's events are in B, too, and are again in A and in B."""
    # An empty image is the event of no other.
    ours, theirs = (
        [identity or f"{sample} {i}" for i, identity in enumerate(of["identities"])]
        for sample, of in (("a", a), ("b", b))
    )
    known = {*theirs}
    twins = {
        "in_both": sum(identity in known for identity in ours),
        "again_in_a": len(ours) - len({*ours}),
        "again_in_b": len(theirs) - len(known),
    }
    result = two_sample_test(a["features"], b["features"], seed, identities=[*ours, *theirs])
    if result is not None:
        return {**vars(result), "twins": twins}
    different = " different" if twins["again_in_a"] or twins["again_in_b"] else ""
    counted = f"{len({*ours}):,} and {len(known):,}{different} events"
    reason = f"{counted}, fewer than {TwoSampleConfig().minimum_events}"
    return {"auc": None, "error": None, "twins": twins, "reason": reason}


def _identity(image: np.ndarray) -> str:
    """Of the pixels that the tracks of an event hit, or, where these are few, of its active pixels in all channels.

    Equal where a file stores energies with fewer digits, or other scales of the calorimeter. Empty where no pixel is
    active.
    """
    active = image > 0
    tracks = active[..., CHANNELS.index("tracks")]
    pixels = tracks if tracks.sum() >= _TELLING_TRACKS else active
    return hashlib.blake2b(np.packbits(pixels).tobytes(), digest_size=16).hexdigest() if pixels.any() else ""


def _mean(values: np.ndarray) -> dict[str, Any]:
    found = {"value": float(values.mean()), "error": float(values.std() / np.sqrt(len(values)))}
    # Of a copy: what a Spool gives cannot be written.
    return {**found, "quantiles": np.quantile(np.array(values), QUANTILES, overwrite_input=True).tolist()}


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
