"""Zero-bias crossings of a pool on disk, measured, for the validation: any pile-up, detector and number."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from codae_l1.data.base.config import parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_table
from codae_l1.data.generation._collisions import Collisions, joined, load_collisions
from codae_l1.data.generation._crossing_chunks import _read_out
from codae_l1.data.generation._overlay import Overlay
from codae_l1.data.generation._pool import SOFT, load_pool
from codae_l1.data.generation._strata import Strata
from codae_l1.data.generation._towers import hadron_response
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.models.evaluation.crossing_rates import Crossings

# Images (n, 72, 58, 3) GeV -> name -> words (n,).
Measure = Callable[[np.ndarray], dict[str, np.ndarray]]

# Collisions overlaid together.
_COLLISIONS = 2500


@dataclass(frozen=True)
class Pool:
    """Collisions, the indices of each source (soft, then the slices of pT-hat), and the sources' shares (K + 1,)."""

    collisions: Collisions
    sources: tuple[np.ndarray, ...]
    shares: np.ndarray


def read_config(folder: Path) -> CrossingsConfig:
    """How the sample of a work folder was made; what another version has beside is of no matter for its collisions."""
    if not (folder / "config.json").exists():
        raise InputError(f"no config.json in {folder}", "the work folder of a sample of crossings", "name it")
    table = read_table(folder / "config.json", ("config",))["config"]
    known = {field.name for field in fields(CrossingsConfig)}
    return parse(CrossingsConfig, {name: value for name, value in table.items() if name in known})


def read_pool(config: CrossingsConfig, split: str, folder: Path) -> Pool:
    """A split's pool."""
    return Pool(*load_pool(config, split, folder))


def cut_later(pool: Pool, soft: list[Path]) -> Pool:
    """A pool without its first slice; files of soft collisions up to where the second begins take its place."""
    parts = [load_collisions(path) for path in soft]
    if not parts:
        raise InputError("no soft collisions", "at least one file", "make them")
    fresh, hard = joined(parts), np.concatenate(pool.sources[2:])
    moved = np.cumsum([len(fresh), *(len(of) for of in pool.sources[2:])])
    sources = (np.arange(len(fresh)), *(np.arange(a, b) for a, b in itertools.pairwise(moved)))
    shares = np.array([pool.shares[:2].sum(), *pool.shares[2:]])
    return Pool(joined([fresh, subset(pool.collisions, hard)]), sources, shares)


def thinned(pool: Pool, keep: slice) -> Pool:
    """A pool with every so many of each source's collisions."""
    return replace(pool, sources=tuple(of[keep] for of in pool.sources))


def subset(collisions: Collisions, which: np.ndarray) -> Collisions:
    """Some collisions (n,) indices, in this order."""
    columns = dict(vars(collisions))
    for count, *of in (
        ("n_ecal", "ecal_cell", "ecal_energy"),
        ("n_hcal", "hcal_tower", "hcal_energy"),
        ("n_tracks", "track_tower", "track_pt"),
    ):
        lengths = columns[count][which]
        start = np.cumsum(columns[count])[which] - lengths
        ends = np.cumsum(lengths)
        at = np.arange(lengths.sum()) + np.repeat(start - (ends - lengths), lengths)
        columns |= {name: columns[name][at] for name in of}
    per_collision = ("pt_hat", "z", "weight", "sum_pt2", "scalar_pt", "jet_ht", "n_ecal", "n_hcal", "n_tracks")
    return Collisions(**columns | {name: columns[name][which] for name in per_collision})


def overlay_of(config: CrossingsConfig, collisions: Collisions) -> Overlay:
    """Collisions as the detector of the config sees them."""
    if config.detector == "trigger":
        shown = collisions.hcal_energy * hadron_response(collisions.hcal_energy, config.hadron_response)
        collisions = replace(collisions, hcal_energy=shown.astype(np.float32))
    return Overlay(collisions)


def measured(
    config: CrossingsConfig, pool: Pool, count: int, seed: list[int], measure: Measure, extra: np.ndarray | None = None
) -> Crossings:
    """Zero-bias crossings of a pool and what is measured of each; extra (count,): one more collision in each."""
    batches = _batches(config, pool, count, np.random.default_rng(seed), measure, extra)
    words, weight, stratum, members = zip(*batches, strict=True)
    columns = {name: np.concatenate([part[name] for part in words]) for name in words[0]}
    return Crossings(columns, np.concatenate(weight), np.concatenate(stratum), np.concatenate(members))


def _batches(
    config: CrossingsConfig,
    pool: Pool,
    count: int,
    rng: np.random.Generator,
    measure: Measure,
    extra: np.ndarray | None,
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]]:
    overlay = overlay_of(config, pool.collisions)
    strata = Strata(pool.shares, pool.sources, config.bias)
    values, often = config.mixture
    mean, mu = often @ strata.probabilities(values), rng.choice(values, count, p=often)
    size = max(1, int(_COLLISIONS / (values.max() + 1)))
    for first in range(0, count, size):
        part = mu[first : first + size]
        if extra is None:
            stratum, weight = strata.biased(first, part, mean)
            numbers, more = strata.numbers(part, rng, stratum), None
        else:
            stratum, weight, more = np.full(len(part), SOFT), np.ones(len(part)), extra[first : first + size]
            numbers = strata.numbers(part, rng)
        columns, images = _read_out(config, overlay, strata.members(numbers, rng, more), more, rng)
        yield measure(images), weight, stratum, columns["members"]
