"""What every trial of a scan reads, made once: pooled events, and what the full model says of them.

scan/data/<key>/
    <split>_<pool>_<lsb>.npy   counts (N, phi, eta, inputs) uint16 of every input in data.pooling.INPUTS
    scores.npz                 the full model's scores of the training copies and the calibration events, by name
    validation.npz             process of each validation event, baselines and scores of the full model
    masks.npz                  masks as they are, packed, for training in situ
    data.json                  signs of the scores, events; written last

Training counts are `copies` flipped and rolled copies of each QCD event, one after the other, as distillation has them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_array, read_arrays, read_table, whole_file
from codae_l1.data.base.keep import digest, keep
from codae_l1.data.base.progress import Progress
from codae_l1.data.events import BACKGROUNDS
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.pooling import INPUTS, PoolingConfig, input_counts
from codae_l1.scripts.run.events import events_path, indices

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


# Events read and scored at a time.
SLICE = 1024
# Largest count that is stored; input words are narrower.
LARGEST = np.iinfo(np.uint16).max
BASELINES = ("n_tracks", "active_pixels", "block_power")


def prepare(run: "Run", progress: Progress | None = None) -> Path:
    """Folder of the scan's data; made unless it is there. The train stage must be done."""
    config = run.config.scan
    in_situ = "in situ" in config.space.training
    poolings = [(pool, PoolingConfig().energy_lsb_gev) for pool in config.space.pools]
    inputs = [identity(run), poolings, in_situ]

    def make(folder: Path) -> dict[str, Any]:
        with EventFile(events_path(run)) as file:
            chosen = {"train": indices(file, "train", background_only=True)}
            chosen["calibration"] = indices(file, "calibration", background_only=True)
            chosen["validation"] = indices(file, "validation")
            if np.all(np.isin(file.signal[chosen["validation"]], BACKGROUNDS)):
                raise InputError(
                    f"no signal events in the validation split of {file.path}",
                    "some of each signal, to choose a design by",
                    "generate them (generation.n_signal_validation)",
                )
            made = _read(run, file, chosen, poolings, progress)
            known = {"signal": file.signal[chosen["validation"]], "n_tracks": file.n_tracks[chosen["validation"]]}
        return _write(run, folder, made, known, in_situ)

    folder = run.path("scan", "data", digest(inputs)[:16])
    keep(folder, inputs, make, "data.json")
    return folder


def identity(run: "Run") -> list[Any]:
    """What the numbers of all trials depend on, beside their own configs: full model, seed, events, or crossings."""
    if run.config.scan.space.on_crossings:
        return [CrossingFile(run.config.trigger.path).checksum, run.config.seed]
    trained = run.read("train")["stamp"]["inputs"]
    return [trained, run.config.seed, run.config.distill.copies]


# Of the messages about its files.
_EXPECTED, _REMEDY = "what the scan prepared", "remove the folder and scan again"


class ScanData:
    """The folder of `prepare`, opened: nothing is read before it is asked for."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.signs: dict[str, int] = read_table(self.folder / "data.json", ("signs",), _REMEDY)["signs"]
        self.validation = self._arrays("validation.npz")

    def counts(self, split: str, pooling: PoolingConfig) -> np.ndarray:
        """Counts (N, phi, eta, inputs) int64 of a split ("train" holds the copies) as the pooling gives them."""
        file = self.folder / _name(split, pooling.pool, pooling.energy_lsb_gev)
        stored = read_array(file, _EXPECTED, _REMEDY, mapped=True)
        return stored[..., [list(INPUTS).index(name) for name in pooling.inputs]].astype(np.int64)

    def scores(self, split: str) -> dict[str, np.ndarray]:
        """Scores of the full model by name, (N,) each; split "train" or "calibration"."""
        arrays = self._arrays("scores.npz")
        return {name.split("/")[1]: arrays[name] for name in arrays if name.startswith(f"{split}/")}

    def masks(self, split: str) -> np.ndarray:
        """Masks (N, 72, 58, 1) uint8 of the events as they are; split "train" or "calibration"."""
        return np.unpackbits(self._arrays("masks.npz")[split], axis=2)[:, :, :58, None]

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        return read_arrays(self.folder / name, _EXPECTED, _REMEDY)


def _name(split: str, pool: int, lsb: float) -> str:
    return f"{split}_{pool}_{lsb:g}.npy"


def _read(
    run: "Run", file: EventFile, chosen: dict[str, np.ndarray], poolings: list, progress: Progress | None
) -> dict[str, Any]:
    """Counts, scores and masks of the chosen events, slice by slice."""
    from codae_l1.data.pooling import track_mask
    from codae_l1.models.codae.codvae import load_codae
    from codae_l1.models.codae.scores import codae_scores

    model = load_codae(run.path("train", "codae.keras"))
    total, done = sum(len(i) for i in chosen.values()) + (run.config.distill.copies - 1) * len(chosen["train"]), 0
    counts: dict[str, list] = {}
    scores: dict[str, list] = {split: [] for split in chosen}
    masks: dict[str, list] = {split: [] for split in chosen}
    for split, events in chosen.items():
        copies = run.config.distill.copies if split == "train" else 0
        for copy in range(max(copies, 1)):
            rng = np.random.default_rng([run.config.seed, copy])
            for start in range(0, len(events), SLICE):
                images = file.read_where(events[start : start + SLICE]).images
                if copy == 0:
                    masks[split].append(track_mask(images))
                images = flip_and_roll(images, rng) if copies else images
                scores[split].append(codae_scores(model, track_mask(images)))
                for pool, lsb in poolings:
                    words = np.minimum(input_counts(images, PoolingConfig(pool, tuple(INPUTS), lsb)), LARGEST)
                    counts.setdefault(_name(split, pool, lsb), []).append(words.astype(np.uint16))
                done += len(images)
                if progress:
                    progress(done, total, f"pooled and scored {done} events of {split}")
    return {"counts": counts, "scores": scores, "masks": masks}


def _write(
    run: "Run", folder: Path, made: dict[str, Any], known: dict[str, np.ndarray], in_situ: bool
) -> dict[str, Any]:
    from codae_l1.models.codae.scores import active_pixels, block_power

    for name, parts in made["counts"].items():
        _save(folder / name, np.save, np.concatenate(parts))
    scores = {
        split: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for split, parts in made["scores"].items()
    }
    masks = {split: np.concatenate(parts) for split, parts in made["masks"].items()}
    validation = masks["validation"]
    known |= {"active_pixels": active_pixels(validation), "block_power": block_power(validation)}
    known |= {f"full/{name}": values for name, values in scores.pop("validation").items()}
    _save(folder / "validation.npz", np.savez, **known)
    _save(folder / "scores.npz", np.savez, **{f"{s}/{n}": v for s, by in scores.items() for n, v in by.items()})
    if in_situ:
        packed = {s: np.packbits(masks[s][..., 0], axis=2) for s in ("train", "calibration")}
        _save(folder / "masks.npz", np.savez, **packed)
    events = {split: len(values) for split, values in masks.items()}
    return {"signs": run.read("train")["orientation"], "events": events}


def _save(path: Path, save: Callable[..., None], *arrays: np.ndarray, **named: np.ndarray) -> None:
    with whole_file(path) as temporary, open(temporary, "wb") as handle:
        save(handle, *arrays, **named)
