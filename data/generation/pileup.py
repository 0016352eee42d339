"""The pile-up pool: blocks of soft collisions, carried to the calorimeter face once, overlaid with random azimuth.

A block is the unit of the splits: an event takes all its pile-up from one block, so events of different splits share
none.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from codae_l1.data.artifact import whole_file
from codae_l1.data.errors import InputError
from codae_l1.data.generation.propagation import Hits, propagate

# mm, spread of the collisions along the beam line; |z - z of the hard one| beyond which tracks are removed.
Z_SPREAD = 53.0
Z_RESOLUTION = 0.1


@dataclass(frozen=True)
class PileupBlock:
    """Soft collisions one after another.

    hits: of all collisions. start: (n + 1,) int64, collision i owns hits start[i] to start[i + 1]. z: (n,) mm.
    """

    hits: Hits
    start: np.ndarray
    z: np.ndarray

    def __len__(self) -> int:
        return len(self.z)


def make_block(collisions, size: int, rng: np.random.Generator) -> PileupBlock:
    """The next `size` collisions as a block."""
    z = rng.normal(0, Z_SPREAD, size)
    parts = [propagate(next(collisions)[0], position, rng) for position in z]
    start = np.cumsum([0, *(len(part.eta) for part in parts)])
    return PileupBlock(join(parts), start, z)


def overlay(hard: Hits, z_hard: float, block: PileupBlock, mean: float, rng: np.random.Generator):
    """Hits of the hard collision and Poisson(mean) soft ones; (n,) bool: tracks kept as the hard collision's."""
    number = rng.poisson(mean)
    chosen = rng.choice(len(block), number, replace=number > len(block))
    turn = rng.uniform(0, 2 * np.pi, number).astype(np.float32)
    lengths = np.diff(block.start)[chosen]
    total = int(lengths.sum())
    # Hit k of collision i of the draw lies at start[chosen[i]] + k.
    first = np.repeat(block.start[chosen] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) if number else 0
    where = np.arange(total) + first
    soft = {name: column[where] for name, column in block.hits.columns().items()}
    rotation = np.repeat(turn, lengths)
    soft["phi"] = _wrapped(soft["phi"] + rotation)
    soft["track_phi"] = _wrapped(soft["track_phi"] + rotation)
    near = np.repeat(np.abs(block.z[chosen] - z_hard) < Z_RESOLUTION, lengths)
    return join([hard, Hits(**soft)]), np.concatenate([np.ones(len(hard.eta), bool), near])


def save_block(path: Path, block: PileupBlock) -> None:
    """Write a block, whole or not at all."""
    with whole_file(path) as temporary:
        np.savez(temporary, allow_pickle=False, start=block.start, z=block.z, **block.hits.columns())


def load_block(path: Path) -> PileupBlock:
    """Read a block."""
    try:
        with path.open("rb") as handle, np.load(handle) as content:
            hits = Hits(**{f.name: content[f.name] for f in fields(Hits)})
            return PileupBlock(hits, content["start"], content["z"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"pile-up block {path} cannot be read ({error})",
            "a whole block",
            "remove it and generate again; finished chunks are kept",
        ) from error


def join(parts: list[Hits]) -> Hits:
    """Hits of several collisions as one."""
    return Hits(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Hits)})


def _wrapped(phi: np.ndarray) -> np.ndarray:
    """Azimuth brought from (-pi, 3 pi) to (-pi, pi)."""
    return np.where(phi >= np.pi, phi - 2 * np.pi, phi).astype(np.float32)
