"""Zero-bias crossings, and signals without any selection: what a Level-1 trigger sees, streamed.

    pool of collisions -> crossings -> towers and tracks -> what is measured

A piece of work makes the crossings of a chunk, measures them, and writes what was measured; the images of a batch are
in memory at a time. The pieces are the same whichever worker makes them, and those that exist are not made again.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_arrays, read_table
from codae_l1.data.events import EventImages
from codae_l1.data.formats.crossing_file import write_crossings
from codae_l1.data.formats.event_file import write_events
from codae_l1.data.generation._crossing_chunks import (
    COLUMNS,
    CrossingTask,
    Measure,
    crossing_tasks,
    make_crossings,
)
from codae_l1.data.generation._growth import grow, has_fewer
from codae_l1.data.generation._parallel import Piece, make_all, prepare, require_pythia, versions
from codae_l1.data.generation._pool import SECTIONS, pool_pieces, redrawn_collisions, take_pool
from codae_l1.data.generation.config import DEFAULT, Work
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.menu import menu_words
from codae_l1.data.pooling import INPUTS, PoolingConfig, input_counts
from codae_l1.data.splits import CYCLE, SPLITS, blocks_of

__all__ = ["generate_crossings", "has_fewer", "make_chunks", "read_chunk", "redrawn_collisions", "require_pythia"]


@dataclass(frozen=True)
class _PooledWords:
    """What a file of crossings holds of each: the menu's quantities, and every input of the network.

    energy_lsb_gev: step of the pooled energies.
    """

    energy_lsb_gev: float

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Images (n, 72, 58, 3) GeV -> words/<quantity> (n,), pooled/<input> (n, 18, 15)."""
        pooled = input_counts(images, PoolingConfig(inputs=tuple(INPUTS), energy_lsb_gev=self.energy_lsb_gev))
        words = {f"words/{name}": values for name, values in menu_words(images).items()}
        return words | {f"pooled/{name}": pooled[..., i] for i, name in enumerate(INPUTS)}


def generate_crossings(config: CrossingsConfig, out: Path | str, work: Work = DEFAULT) -> Path:
    """Generate a sample of crossings into the file `out` and return its path; its images, if any, into a second one."""
    out = Path(out)
    folder = work.folder_for(out)
    tasks = make_chunks(config, _PooledWords(config.energy_lsb_gev), folder, work)
    total = sum(task.count for task in tasks)
    work.report(total, total, "writing")
    provenance = {
        "kind": "generated crossings: Pythia 8 and a fast detector simulation, no data of any experiment",
        "license": "CC-BY-4.0",
        "command": work.command,
        "config": dump(config),
        "versions": versions(),
        "cross_sections": read_table(folder / SECTIONS),
        "energy_lsb_gev": config.energy_lsb_gev,
        "redrawn_collisions": redrawn_collisions(config, folder),
    }
    shown = [task for task in tasks if config.images_of(task.process, task.split) > task.first]
    if shown:
        parts = (_events(task, folder, provenance) for task in shown)
        write_events(config.images_file(out), parts)
    write_crossings(out, (_rows(task, folder) for task in tasks), provenance)
    work.report(total, total, "done")
    return out


def make_chunks(
    config: CrossingsConfig, measure: Measure, folder: Path, work: Work = DEFAULT, pool: Path | None = None
) -> list[CrossingTask]:
    """Make all chunks of a sample in the work folder; the tasks in their order.

    measure: images (n, 72, 58, 3) GeV -> name -> (n, ...), an instance of a frozen dataclass: it is sent to the
    workers, and what it prints tells chunks of another measure from these. pool: work folder of a sample that differs
    in pile-up alone, whose collisions are taken instead of the same ones made again. A folder of a sample that differs
    in having fewer crossings from the same pool (`has_fewer`) keeps its pool and its whole chunks.
    """
    tasks = crossing_tasks(config)
    if not tasks:
        raise InputError("a sample of no crossings", "at least one crossing of one process", "raise the counts")
    content = dump(config) | {"measure": repr(measure)}
    grow(config, content, folder)
    prepare(folder, content)
    if pool is not None:
        take_pool(config, pool, folder)
    pieces = [
        Piece((task.file,), task.count, task.process, partial(make_crossings, config, task, measure)) for task in tasks
    ]
    make_all([pool_pieces(config), pieces], folder, work)
    return tasks


def read_chunk(task: CrossingTask, folder: Path) -> dict[str, np.ndarray]:
    """The columns of a chunk and what was measured, name -> (n, ...)."""
    path = folder / task.file
    return read_arrays(path, "a whole chunk", "remove it and start again")


def _rows(task: CrossingTask, folder: Path) -> dict[str, np.ndarray]:
    """The columns of a chunk as the file has them."""
    chunk = read_chunk(task, folder)
    rows = {name: values for name, values in chunk.items() if name in COLUMNS or "/" in name}
    split = np.full(task.count, SPLITS.index(task.split), np.uint8)
    return {"process": np.full(task.count, task.process), "split": split} | rows


def _events(task: CrossingTask, folder: Path, provenance: dict[str, Any]) -> EventImages:
    """The events of a chunk whose images are kept. Splits have collisions of their own: a block stands for each."""
    chunk = read_chunk(task, folder)
    n = len(chunk["images"])
    block = np.full(n, blocks_of(task.split, CYCLE)[0], np.int32)
    names = np.full(n, task.process, "U16")
    return EventImages(chunk["images"], names, chunk["n_tracks"][:n], chunk["weight"][:n], block, provenance)
