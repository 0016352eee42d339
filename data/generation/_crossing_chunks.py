"""One chunk of crossings: drawn, overlaid, read out, measured, written.

The random numbers of a chunk follow from the seed, its split and its number, never from the process, the worker or the
time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from codae_l1.data.base.files import whole_file
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.generation._collisions import joined
from codae_l1.data.generation._overlay import Members, Overlay
from codae_l1.data.generation._pool import load_pool, load_process, pool_offset
from codae_l1.data.generation._strata import Strata
from codae_l1.data.generation._towers import TriggerTowers, delphes_images, hadron_response, trigger_images
from codae_l1.data.generation.crossings_config import NATURAL, CrossingsConfig
from codae_l1.data.splits import SPLITS

# Images (n, 72, 58, 3) GeV -> name -> (n, ...); an instance of a frozen dataclass of a module: it is sent to workers,
# and what it prints stamps the chunks.
Measure = Callable[[np.ndarray], dict[str, np.ndarray]]

_STREAM = 10
# Collisions overlaid together, so that what is summed stays in the processor's cache.
_COLLISIONS = 2500
# Images measured together.
_MEASURED = 256
# Columns of every chunk: name -> type.
COLUMNS = {
    "weight": "f8",
    "stratum": "i1",
    "members": "i4",
    "pileup": "f4",
    "collisions": "u2",
    "n_tracks": "i4",
    "vertex_lost": "?",
    "pt_hat": "f4",
    "scalar_pt": "f4",
    "jet_ht": "f4",
}


@dataclass(frozen=True)
class CrossingTask:
    """Crossings number `first` and on, `count` of them, of a process in a split."""

    process: str
    split: str
    chunk: int
    first: int
    count: int

    @property
    def file(self) -> str:
        """Name of its file in the work folder."""
        return f"crossings-{self.process}-{self.split}-{self.chunk:05d}.npz"


def crossing_tasks(config: CrossingsConfig) -> list[CrossingTask]:
    """All chunks of a sample, in the order of its file.

    >>> config = CrossingsConfig(n_crossings=(0, 0, 0, 1500), n_signal_validation=0, processes=("h125",))
    >>> [task.file for task in crossing_tasks(config)][1:]
    ['crossings-zero_bias-test-00001.npz', 'crossings-h125-test-00000.npz']
    """
    numbers = {ZERO_BIAS: dict(zip(SPLITS, config.n_crossings, strict=True))}
    numbers |= dict.fromkeys(config.processes, config.signal_numbers)
    size, tasks = config.chunk_crossings, []
    for process, splits in numbers.items():
        for split, number in splits.items():
            for chunk, first in enumerate(range(0, number, size)):
                tasks.append(CrossingTask(process, split, chunk, first, min(size, number - first)))
    return tasks


def make_crossings(config: CrossingsConfig, task: CrossingTask, measure: Measure, folder: Path) -> None:
    """Make a chunk and write its columns, and what is measured, to the work folder."""
    parts = list(_measured(config, task, measure, folder))
    kept = np.concatenate([part.pop("images") for part in parts])
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns |= {name: columns[name].astype(kind) for name, kind in COLUMNS.items()}
    if len(kept):
        columns["images"] = kept
    # Nine of ten pixels of an image are empty.
    save = np.savez_compressed if len(kept) else np.savez
    with whole_file(folder / task.file) as temporary:
        save(temporary, allow_pickle=False, **columns)


def _measured(
    config: CrossingsConfig, task: CrossingTask, measure: Measure, folder: Path
) -> Iterator[dict[str, np.ndarray]]:
    images = np.zeros((0, *IMAGE_SHAPE), np.float32)
    waiting: list[dict[str, np.ndarray]] = []
    done, kept = 0, config.images_of(task.process, task.split)
    for columns, batch in crossings(config, task, folder):
        waiting.append(columns)
        images = np.concatenate([images, batch])
        done += len(batch)
        if len(images) >= _MEASURED or done == task.count:
            merged = {name: np.concatenate([part[name] for part in waiting]) for name in columns}
            left = max(0, kept - task.first - (done - len(images)))
            yield merged | measure(images) | {"images": images[:left].copy()}
            images, waiting = images[:0], []


def crossings(
    config: CrossingsConfig, task: CrossingTask, folder: Path
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Batches of a chunk: the columns (n, ...) and the images (n, 72, 58, 3) float32 in GeV."""
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, _STREAM, SPLITS.index(task.split), task.chunk]))
    overlay, strata, own = _overlay(config, task.split, task.process, folder)
    values, shares = config.mixture
    mean = shares @ strata.probabilities(values)
    mu = rng.choice(values, task.count, p=shares)
    size = max(1, int(_COLLISIONS / (values.max() + 1)))
    for first in range(0, task.count, size):
        part = mu[first : first + size]
        extra, stratum, weight = None, np.zeros(len(part), np.int64), np.ones(len(part))
        if task.process == ZERO_BIAS:
            stratum, weight = strata.biased(task.first + first, part, mean)
            numbers = strata.numbers(part, rng, stratum)
        else:
            extra = own + task.first + first + np.arange(len(part))
            weight = overlay.pool.weight[extra].astype(np.float64)
            numbers = strata.numbers(part, rng)
        members = strata.members(numbers, rng, extra)
        columns, images = _read_out(config, overlay, members, extra, rng)
        columns["members"] = np.where(
            (columns["members"] >= 0) & (columns["members"] < own),
            columns["members"] + pool_offset(config, task.split),
            -1,
        )
        yield columns | {"weight": weight, "stratum": stratum, "pileup": part}, images


def _read_out(
    config: CrossingsConfig, overlay: Overlay, members: Members, extra: np.ndarray | None, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns and images of a batch."""
    # Where a crossing has no collision, the place -1 is asked for and not used; it must be there.
    pool, of = overlay.pool, np.append(members.collision, 0)
    chosen = overlay.vertices(members)
    truth = overlay.hardest(members) if extra is None else members.first(extra)
    hard = truth >= 0 if extra is not None else (truth >= 0) & (pool.pt_hat[of[truth]] > config.cuts_gev[0])
    vertex = chosen if config.vertex == "chosen" else truth
    deposits = overlay.deposits(members, vertex, cells=config.detector == "delphes")
    if config.detector == "delphes":
        images = delphes_images(deposits, rng)
    else:
        towers = TriggerTowers(config.ecal_threshold_gev, config.hcal_threshold_gev, config.resolution_scale)
        images = trigger_images(deposits, rng, towers)
    leading = np.where(truth >= 0, of[truth], -1)
    columns = {
        "members": overlay.leading(members, vertex),
        "collisions": np.bincount(members.crossing, minlength=members.crossings),
        "n_tracks": deposits.n_tracks,
        "vertex_lost": hard & (chosen != truth),
        **{name: np.where(truth >= 0, getattr(pool, name)[leading], 0) for name in ("pt_hat", "scalar_pt", "jet_ht")},
    }
    return columns, images


@lru_cache(maxsize=2)
def _overlay(config: CrossingsConfig, split: str, process: str, folder: Path) -> tuple[Overlay, Strata, int]:
    """A split's pool, with the collisions of a process behind it, from index `own` on."""
    pool, pools, shares = load_pool(config, split, folder)
    own = len(pool)
    if process != ZERO_BIAS:
        pool = joined([pool, load_process(config, split, process, folder)])
    if config.detector == "trigger":
        shown = pool.hcal_energy * hadron_response(pool.hcal_energy, config.hadron_response)
        pool = replace(pool, hcal_energy=shown.astype(np.float32))
    return Overlay(pool), Strata(shares, pools, 0.0 if split in NATURAL else config.bias), own
