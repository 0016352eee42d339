"""The pile-up pool: blocks of soft collisions, carried to the calorimeter face once, overlaid with random azimuth.

A block is the unit of the splits: an event takes all of its pile-up from one block, so events of different splits share
none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.files import read_arrays, whole_file
from codae_l1.data.generation._processes import collisions
from codae_l1.data.generation._propagation import Hits, propagate
from codae_l1.data.generation.config import GenerationConfig

# mm, spread of the collisions along the beam line; |z - z of the hard one| beyond which tracks are removed.
Z_SPREAD = 53.0
Z_RESOLUTION = 0.1
# Collisions that Pythia hands over at once.
_BATCH = 100


@dataclass(frozen=True)
class PileupBlock:
    """Soft collisions one after another.

    hits: of all collisions; hits.event numbers these. z: (n,) mm.
    """

    hits: Hits
    z: np.ndarray

    def __len__(self) -> int:
        return len(self.z)

    @cached_property
    def start(self) -> np.ndarray:
        """(n + 1,) int64, collision i owns hits start[i] to start[i + 1]."""
        return np.searchsorted(self.hits.event, np.arange(len(self) + 1))


def make_block(pythia: Any, rng: np.random.Generator, config: GenerationConfig) -> PileupBlock:
    """A block of the next collisions."""
    z = rng.normal(0, Z_SPREAD, config.pileup_block_size)
    parts, done = [], 0
    while done < len(z):
        particles = collisions(pythia, min(_BATCH, len(z) - done))
        number = len(particles.weight)
        hits = propagate(particles, z[done : done + number], rng, config)
        parts.append(replace(hits, event=hits.event + np.int32(done)))
        done += number
    return PileupBlock(join(parts), z)


def overlay(
    hard: Hits, z_hard: np.ndarray, blocks: Sequence[PileupBlock], mean: float, rng: np.random.Generator
) -> tuple[Hits, np.ndarray]:
    """Hits of the hard collisions and of Poisson(mean) soft ones of the event's block, each turned by a random angle.

    z_hard: (events,) mm. blocks: one per event. Also (n,) bool: tracks kept as the hard collision's.
    """
    parts, kept = [hard], [np.ones(len(hard.eta), bool)]
    for event, block in enumerate(blocks):
        number = rng.poisson(mean)
        chosen = rng.choice(len(block), number, replace=number > len(block))
        turn = rng.uniform(0, 2 * np.pi, number).astype(np.float32)
        first, lengths = block.start[chosen], np.diff(block.start)[chosen]
        # Hit k of collision i of the draw lies at first[i] + k.
        where = np.arange(lengths.sum()) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
        soft = {name: column[where] for name, column in block.hits.columns().items()}
        rotation = np.repeat(turn, lengths)
        for name in ("phi", "track_phi"):
            soft[name] = soft[name] + rotation
            # From (-pi, 3 pi) to (-pi, pi).
            soft[name][soft[name] >= np.pi] -= np.float32(2 * np.pi)
        parts.append(Hits(**{**soft, "event": np.full(len(where), event, np.int32)}))
        kept.append(np.repeat(np.abs(block.z[chosen] - z_hard[event]) < Z_RESOLUTION, lengths))
    return join(parts), np.concatenate(kept)


def save_block(path: Path, block: PileupBlock) -> None:
    """Write a block, whole or not at all."""
    with whole_file(path) as temporary:
        np.savez(temporary, allow_pickle=False, z=block.z, **block.hits.columns())


def load_block(path: Path) -> PileupBlock:
    """Read a block."""
    names = tuple(f.name for f in fields(Hits))
    remedy = "remove it and generate again; finished chunks are kept"
    content = read_arrays(path, "a whole pile-up block", remedy, (*names, "z"))
    return PileupBlock(Hits(**{name: content[name] for name in names}), content["z"])


def join(parts: list[Hits]) -> Hits:
    """Hits of several collisions as one."""
    return Hits(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Hits)})
