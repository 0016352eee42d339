"""One chunk of generated events: the unit of parallel work and of resume.

A chunk's random numbers follow from the base seed, its split's stream and its number, never from the process, so that
no seed can tell the classes apart; they do not depend on which worker makes it or when.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.errors import ToolError
from codae_l1.data.events import QCD, SUEP_MASSES, EventImages
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.generation.detector import read_out
from codae_l1.data.generation.pileup import Z_SPREAD, load_block, make_block, overlay, save_block
from codae_l1.data.generation.processes import SCALAR_ID, Particles, collisions, settings, start_pythia
from codae_l1.data.generation.propagation import propagate
from codae_l1.data.generation.selection import JetFinder
from codae_l1.data.generation.suep import decay_scalar
from codae_l1.data.splits import blocks_of
from codae_l1.data.store import write_events

# Blocks of the pile-up pool made in one go, since starting Pythia for soft collisions takes a second.
POOL_CHUNK = 10
# Streams of random numbers.
_STREAMS = {"pool": 0, "all": 1, "test": 1, "validation": 2}
# mb -> pb
_PB = 1e9
# A process of which so many collisions in a row fail the selection is not what the config wants.
_PATIENCE = 20_000


@dataclass(frozen=True)
class Task:
    """A chunk: `count` events of a process for a split's blocks ("all" for QCD), number `first` and on of these."""

    process: str
    split: str
    chunk: int
    first: int
    count: int

    @property
    def file(self) -> str:
        """Name of the chunk's file in the work folder."""
        return f"{self.process}-{self.split}-{self.chunk:05d}.h5"


def tasks_of(config: GenerationConfig) -> list[Task]:
    """All chunks of a sample, in the order of its file.

    >>> [t.file for t in tasks_of(GenerationConfig(n_qcd=500, chunk_events=400, processes=("qcd",)))]
    ['qcd-all-00000.h5', 'qcd-all-00001.h5']
    """
    tasks = []
    for process in config.processes:
        shares = {"test": config.n_signal, "validation": config.n_signal_validation}
        for split, number in ({"all": config.n_qcd} if process == QCD else shares).items():
            for chunk, first in enumerate(range(0, number, config.chunk_events)):
                tasks.append(Task(process, split, chunk, first, min(config.chunk_events, number - first)))
    return tasks


def pool_file(block: int) -> str:
    """Name of a pile-up block's file in the work folder."""
    return f"pileup-{block:05d}.npz"


def make_pool_chunk(config: GenerationConfig, chunk: int, folder: Path) -> None:
    """Make the pile-up blocks of a pool chunk that are not there."""
    blocks = range(chunk * POOL_CHUNK, min((chunk + 1) * POOL_CHUNK, config.pileup_blocks))
    if all((folder / pool_file(block)).exists() for block in blocks):
        return
    seed, rng = _random(config.seed, "pool", chunk)
    soft = collisions(start_pythia(settings("pileup", config), seed))
    for block in blocks:
        # All are made, since the numbers of one follow on those of the block before it.
        save_block(folder / pool_file(block), make_block(soft, config.pileup_block_size, rng))


def make_chunk(config: GenerationConfig, task: Task, folder: Path) -> None:
    """Make a chunk's events and write them to the work folder."""
    seed, rng = _random(config.seed, task.split, task.chunk)
    pythia = start_pythia(settings(task.process, config), seed)
    finder = JetFinder(pythia)
    blocks = np.arange(config.pileup_blocks) if task.split == "all" else blocks_of(task.split, config.pileup_blocks)
    chosen = blocks[(task.first + np.arange(task.count)) % len(blocks)]
    pool = {block: load_block(folder / pool_file(block)) for block in np.unique(chosen).tolist()}
    images = np.zeros((task.count, *IMAGE_SHAPE), np.float32)
    n_tracks, weight = np.zeros(task.count, np.int32), np.ones(task.count)
    done, since, tried, sum_weight = 0, 0, 0, 0.0
    for particles, w in collisions(pythia):
        tried, since, sum_weight = tried + 1, since + 1, sum_weight + w
        if since > _PATIENCE:
            raise ToolError(
                f"{since} {task.process} events in a row fail the selection", "some", "lower minimum_ht_gev"
            )
        z = rng.normal(0, Z_SPREAD)
        hard = propagate(_stable(task.process, particles, rng), z, rng, config.invisible_in_hcal)
        hits, kept = overlay(hard, z, pool[int(chosen[done])], config.pileup_mean, rng)
        event = read_out(hits, kept, rng)
        if finder.ht(event.candidates) <= config.minimum_ht_gev:
            continue
        images[done], n_tracks[done], weight[done] = event.image, event.n_tracks, w
        done, since = done + 1, 0
        if done == task.count:
            break
    record = {"tried": tried, "sum_weight": sum_weight, "cross_section_pb": pythia.infoPython().sigmaGen() * _PB}
    signal = np.full(task.count, task.process, dtype="U8")
    events = EventImages(images, signal, n_tracks, weight, chosen.astype(np.int32), record)
    write_events(folder / task.file, events)


def _stable(process: str, particles: Particles, rng: np.random.Generator) -> Particles:
    """A collision's particles, a SUEP scalar decayed where it was made."""
    if process not in SUEP_MASSES:
        return particles
    scalar = np.flatnonzero(particles.pdg == SCALAR_ID)
    rest = np.delete(np.arange(len(particles.pdg)), scalar)
    code, momentum = decay_scalar(particles.momentum[scalar[0]], rng)
    vertex = np.repeat(particles.vertex[scalar[:1]], len(code), axis=0)
    return Particles(
        np.concatenate([particles.pdg[rest], code]),
        np.concatenate([particles.momentum[rest], momentum]),
        np.concatenate([particles.vertex[rest], vertex]),
    )


def _random(seed: int, split: str, chunk: int) -> tuple[int, np.random.Generator]:
    """A seed for Pythia and a generator for the rest."""
    sequence = np.random.SeedSequence([seed, _STREAMS[split], chunk])
    return int(sequence.generate_state(1)[0]), np.random.default_rng(sequence)


def pool_chunks(config: GenerationConfig) -> Iterator[int]:
    """Numbers of the pool's chunks."""
    yield from range(-(-config.pileup_blocks // POOL_CHUNK))
