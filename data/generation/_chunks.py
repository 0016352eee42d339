"""One chunk of generated events: the unit of parallel work and of resume.

The random numbers of a chunk follow from the base seed, the stream of its split and its number, never from the process,
so that no seed can identify a class. They do not depend on which worker makes the chunk, or when.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import ToolError
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.events import QCD, SUEP_MASSES, EventImages
from codae_l1.data.formats.event_file import write_events
from codae_l1.data.generation._detector import Readout, read_out
from codae_l1.data.generation._pileup import Z_SPREAD, load_block, make_block, overlay, save_block
from codae_l1.data.generation._processes import Particles, collisions, settings, start_pythia
from codae_l1.data.generation._propagation import propagate
from codae_l1.data.generation._selection import JetFinder
from codae_l1.data.generation._suep import decay_scalars
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.splits import blocks_of

# Blocks of the pile-up pool made in one go, since starting Pythia for soft collisions takes a second.
POOL_CHUNK = 10
# Streams of random numbers.
_STREAMS = {"pool": 0, "all": 1, "test": 1, "validation": 2}
# mb -> pb
_PB = 1e9
# A process of which so many collisions in a row fail the selection is not what the config wants: of an acceptance of
# one in 500, a chunk in 20,000 would stop.
_PATIENCE = 5_000
# Collisions that go through the detector together.
_BATCH = 32


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
    """Make the pile-up blocks of a pool chunk."""
    seed, rng = _random(config.seed, "pool", chunk)
    pythia = start_pythia(settings("pileup", config), seed)
    for block in pool_blocks(config, chunk):
        # All are made, since the numbers of one follow on those of the block before it.
        save_block(folder / pool_file(block), make_block(pythia, rng, config))


def pool_chunks(config: GenerationConfig) -> Iterator[int]:
    """Numbers of the pool's chunks; none where nothing is drawn from it."""
    if config.pileup_mean > 0:
        yield from range(-(-config.pileup_blocks // POOL_CHUNK))


def pool_blocks(config: GenerationConfig, chunk: int) -> range:
    """The blocks of a pool chunk."""
    return range(chunk * POOL_CHUNK, min((chunk + 1) * POOL_CHUNK, config.pileup_blocks))


def make_chunk(config: GenerationConfig, task: Task, folder: Path) -> None:
    """Make a chunk's events and write them to the work folder."""
    seed, rng = _random(config.seed, task.split, task.chunk)
    pythia = start_pythia(settings(task.process, config), seed)
    maker = _Maker(config, task, folder, pythia, rng)
    while maker.open:
        maker.make_batch()
    record = {"tried": maker.tried, "sum_weight": maker.sum_weight}
    record["cross_section_pb"] = pythia.infoPython().sigmaGen() * _PB
    # A simulated event is what is stored of it: no other tower words of its energies are ever seen.
    write_events(folder / task.file, replace(maker.events, provenance=record), say=lambda line: None)


class _Maker:
    """A chunk under way.

    Each event to make has its pile-up block from the start, so that the blocks are used evenly. A batch of collisions
    is tried for the open events in turn; one that is selected fills its event, and later ones tried for that event
    count as never made.
    """

    def __init__(self, config: GenerationConfig, task: Task, folder: Path, pythia: Any, rng: np.random.Generator):
        self._config, self._task, self._pythia, self._rng = config, task, pythia, rng
        self._finder = JetFinder(pythia)
        blocks = np.arange(config.pileup_blocks) if task.split == "all" else blocks_of(task.split, config.pileup_blocks)
        chosen = blocks[(task.first + np.arange(task.count)) % len(blocks)].astype(np.int32)
        used = np.unique(chosen).tolist() if config.pileup_mean > 0 else []
        self._pool = {block: load_block(folder / pool_file(block)) for block in used}
        signal = np.full(task.count, task.process, dtype="U16")
        images = np.zeros((task.count, *IMAGE_SHAPE), np.float32)
        self.events = EventImages(images, signal, np.zeros(task.count, np.int32), np.ones(task.count), chosen)
        self.open = list(range(task.count))
        self.tried, self.sum_weight, self._since = 0, 0.0, 0

    def make_batch(self) -> None:
        """Try so many collisions as will probably fill the open events, at most _BATCH."""
        accepted = self._task.count - len(self.open)
        likely = len(self.open) * (self.tried + 1) / (accepted + 1)
        particles = collisions(self._pythia, int(np.clip(likely, 1, _BATCH)))
        number = len(particles.weight)
        slots = np.resize(self.open, number)
        readout = self._read_out(particles, slots)
        filled = set()
        for i, slot in enumerate(slots.tolist()):
            if slot in filled:
                continue
            self.tried, self._since = self.tried + 1, self._since + 1
            self.sum_weight += float(particles.weight[i])
            if self._finder.ht(readout.candidates[i]) > self._config.minimum_ht_gev:
                filled.add(slot)
                self.events.images[slot] = readout.images[i]
                self.events.n_tracks[slot] = readout.n_tracks[i]
                self.events.weight[slot] = particles.weight[i]
                self._since = 0
        self.open = [slot for slot in self.open if slot not in filled]
        if self._since > _PATIENCE:
            passed = self._task.count - len(self.open)
            raise ToolError(
                f"{passed:,} of {self.tried:,} {self._task.process} events pass the selection, none of the last "
                f"{self._since:,} (minimum_ht_gev = {self._config.minimum_ht_gev:g})",
                "an acceptance above one in a thousand",
                "lower minimum_ht_gev",
            )

    def _read_out(self, particles: Particles, slots: np.ndarray) -> Readout:
        """The detector's answer to the collisions, each with the pile-up of its slot's block."""
        if self._task.process in SUEP_MASSES:
            particles = decay_scalars(particles, self._rng, self._config)
        number = len(slots)
        z = self._rng.normal(0, Z_SPREAD, number)
        hits = propagate(particles, z, self._rng, self._config)
        kept = np.ones(len(hits.eta), bool)
        if self._pool:
            blocks = [self._pool[block] for block in self.events.pileup_block[slots].tolist()]
            hits, kept = overlay(hits, z, blocks, self._config.pileup_mean, self._rng)
        return read_out(hits, kept, number, self._rng, self._config)


def _random(seed: int, split: str, chunk: int) -> tuple[int, np.random.Generator]:
    """A seed for Pythia and a generator for the rest."""
    sequence = np.random.SeedSequence([seed, _STREAMS[split], chunk])
    return int(sequence.generate_state(1)[0]), np.random.default_rng(sequence)
