"""The pool: soft and hard collisions of each split, and those of signals and other processes, chunk by chunk.

A soft collision is an inelastic one of which no scattering, of the first or of a later pair of partons, has a pT above
the first cut. It is looked for in the event record, since Pythia's pT-hat of a diffractive collision is not that of its
scatterings. One in some 10^5 is drawn again, in which a string with a junction has made hadrons of tens or hundreds of
GeV out of partons of a few. Hard collisions are HardQCD in slices of pT-hat. Above 20 GeV both generators agree on the
cross section of the hardest scattering; below, the hard one counts collisions with several scatterings more than once.
"""

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_table, whole_file, write_json
from codae_l1.data.events import QCD, SUEP_MASSES
from codae_l1.data.generation._collisions import Collisions, binned, joined, load_collisions, save_collisions
from codae_l1.data.generation._parallel import STAMP, Piece
from codae_l1.data.generation._pileup import Z_SPREAD
from codae_l1.data.generation._processes import (
    COMMON,
    Particles,
    final_particles,
    next_batch,
    settings,
    start_pythia,
)
from codae_l1.data.generation._propagation import propagate, visible
from codae_l1.data.generation._selection import JetFinder
from codae_l1.data.generation._suep import decay_scalars
from codae_l1.data.generation.crossings_config import OTHERS, CrossingsConfig
from codae_l1.data.splits import SPLITS

SOFT = 0
_TUNE = "Tune:pp = 14"
# What is left out of soft collisions, for twice the speed: charmonium, bottomonium and prompt photons of later
# scatterings, and photons that quarks and leptons radiate. All of it is far below what a tower resolves.
_SOFT = (
    "SoftQCD:inelastic = on",
    "MultipartonInteractions:processLevel = 0",
    "SpaceShower:QEDshowerByQ = off",
    *(f"TimeShower:QEDshowerBy{name} = off" for name in ("Q", "L", "Gamma")),
)
# A soft collision is drawn again where a hadron has more pT than so many times the first cut, and than twice any
# parton. Hadrons up to the cut and somewhat above are in the measured spectrum, and hard collisions have them as well.
_HADRON_OVER_CUT, _HADRON_OVER_PARTON = 1.5, 2.0
# Pythia's codes of partons end here; those of hadrons and of what they decay to follow.
_LAST_PARTON_STATUS = 80
_OTHERS = {
    QCD: (
        "HardQCD:all = on",
        "PhaseSpace:pTHatMin = 20.",
        "PhaseSpace:bias2Selection = on",
        "PhaseSpace:bias2SelectionPow = 4.",
        "PhaseSpace:bias2SelectionRef = 20.",
    ),
    "w": ("WeakSingleBoson:ffbar2W = on",),
    "z": ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 60."),
    "top": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
}
_MAX_PT_HAT = 6800.0
# Collisions in a chunk of the pool, and those that Pythia hands over at once.
_SOFT_CHUNK, _HARD_CHUNK, _BATCH = 3000, 800, 100
# Tries without showers from which a cross section is taken, to half a per cent.
_SECTION_TRIES = 20_000
SECTIONS = "cross_sections.json"
# Generated jets: anti-kt radius, lowest pT [GeV], largest |eta| of jets and particles.
_JET_RADIUS, _JET_PT_MIN, _ETA = 0.4, 30.0, 2.5
_POOL_STREAM = 9
# Keys of the config that say how collisions are overlaid.
_OVERLAID = ("pileup", "pileup_shares")
# Collisions of a slice over those of the slice below it.
_FALL = 0.65


@dataclass(frozen=True)
class PoolChunk:
    """`count` collisions of a split: source 0 is soft, k > 0 the k-th slice of pT-hat, or the name of a process."""

    split: str
    source: int | str
    chunk: int
    count: int

    @property
    def file(self) -> str:
        """Name of its file in the work folder."""
        return f"collisions-{self.split}-{self.source}-{self.chunk:04d}.npz"


def pool_chunks(config: CrossingsConfig) -> Iterator[PoolChunk]:
    """The chunks of the pools of all splits in use, then those of the processes."""
    total = max(1, sum(config.n_crossings))
    for split, share in config.pool_shares.items():
        for source in range(len(config.cuts_gev) + 1):
            number = round(config.n_hard * _falling(len(config.cuts_gev))[source - 1]) if source else config.n_soft
            yield from _chunked(split, source, -(-number * share // total))
    for process in config.processes:
        for split, number in config.signal_numbers.items():
            yield from _chunked(split, process, number)


def _falling(slices: int) -> np.ndarray:
    """Shares of the hard collisions, (slices,): about as the crossings of a biased sample fall on them."""
    shares = _FALL ** np.arange(slices)
    return shares / shares.sum()


def pool_pieces(config: CrossingsConfig) -> list[Piece]:
    """The pieces of work that make the pool."""
    chunks = [
        Piece((chunk.file,), 0, f"collisions, {chunk.split}", partial(make_pool_chunk, config, chunk))
        for chunk in pool_chunks(config)
    ]
    return [Piece((SECTIONS,), 0, "cross sections", partial(_make_sections, config)), *chunks]


def take_pool(config: CrossingsConfig, other: Path, folder: Path) -> None:
    """Take the pool's files from the work folder of another sample, as far as they are there.

    No collision knows the pile-up that it will be in: samples that differ in nothing else have the same pool.
    """
    theirs, ours = (
        content | dict.fromkeys(_OVERLAID)
        for content in (read_table(other / STAMP, ("config",))["config"], dump(config))
    )
    different = sorted(key for key in ours if theirs.get(key) != ours[key])
    if different:
        raise InputError(
            f"the pool of {other}, made with another {different[0]}",
            "that of a sample which differs in pile-up alone",
            "make a pool for this one",
        )
    for name in (name for piece in pool_pieces(config) for name in piece.files):
        if (other / name).exists() and not (folder / name).exists():
            with whole_file(folder / name) as temporary:
                shutil.copyfile(other / name, temporary)


def make_pool_chunk(config: CrossingsConfig, chunk: PoolChunk, folder: Path) -> None:
    """Make the collisions of a chunk and write them to the work folder."""
    # The numbers do not follow from the name of a process, so that they cannot tell one from another.
    source = chunk.source if isinstance(chunk.source, int) else len(config.cuts_gev) + 1
    sequence = np.random.SeedSequence([config.seed, _POOL_STREAM, SPLITS.index(chunk.split), source, chunk.chunk])
    rng, parts, done, redrawn = np.random.default_rng(sequence), [], 0, 0
    pythia = start_pythia(lines_of(config, chunk.source), int(sequence.generate_state(1)[0]))
    finder = JetFinder(pythia, _JET_RADIUS, _JET_PT_MIN, _ETA) if isinstance(chunk.source, str) else None
    while done < chunk.count:
        batch = next_batch(pythia, min(_BATCH, chunk.count - done + 5))
        pt_hat, particles = hardest_scattering(batch), final_particles(batch)
        if chunk.source in SUEP_MASSES:
            particles = decay_scalars(particles, rng, config.signals)
        kept = np.ones(len(pt_hat), bool)
        if chunk.source == SOFT:
            kept = pt_hat <= config.cuts_gev[0]
            broken = kept & _beyond_partons(batch, _HADRON_OVER_CUT * config.cuts_gev[0])
            kept &= ~broken
            redrawn += int((broken & (np.cumsum(kept) < chunk.count - done)).sum())
        kept &= np.cumsum(kept) <= chunk.count - done
        particles, pt_hat = _selected(particles, kept), pt_hat[kept]
        z = rng.normal(0, Z_SPREAD, len(pt_hat))
        hits = propagate(particles, z, rng, config.signals)
        parts.append(binned(hits, z, pt_hat, particles.weight, _generated(particles, finder)))
        done += len(pt_hat)
    if redrawn:
        # Before the collisions, which end the chunk.
        write_json((folder / chunk.file).with_suffix(".json"), {"redrawn": redrawn})
    save_collisions(folder / chunk.file, joined(parts))


def lines_of(config: CrossingsConfig, source: int | str) -> tuple[str, ...]:
    """Pythia's settings of a source of collisions."""
    if source == SOFT:
        return (*COMMON, _TUNE, *_SOFT)
    if isinstance(source, int):
        ends = (*config.cuts_gev, _MAX_PT_HAT)[source - 1 : source + 1]
        limits = (f"PhaseSpace:pTHatMin = {ends[0]}", f"PhaseSpace:pTHatMax = {ends[1]}")
        return (*COMMON, _TUNE, "HardQCD:all = on", *limits)
    return (*COMMON, _TUNE, *_OTHERS[source]) if source in OTHERS else (*settings(source, config.signals), _TUNE)


def hardest_scattering(batch: Any) -> np.ndarray:
    """pT [GeV] of the hardest 2 -> 2 scattering of each collision of a batch, 0 where there is none: (n,)."""
    import awkward

    # Outgoing partons of the first scattering and of later ones keep their entry when they radiate.
    status = abs(batch.prt.status)
    partons = batch.prt[(status == 23) | (status == 33)]
    largest = awkward.max(partons.p.px**2 + partons.p.py**2, axis=1)
    return np.sqrt(np.asarray(awkward.fill_none(largest, 0.0), np.float64))


def redrawn_collisions(config: CrossingsConfig, folder: Path) -> int:
    """How many soft collisions of all pools were drawn again, for hadrons that no parton of theirs explains."""
    told = ((folder / c.file).with_suffix(".json") for c in pool_chunks(config) if c.source == SOFT)
    return sum(int(read_table(path, ("redrawn",))["redrawn"]) for path in told if path.exists())


def load_pool(
    config: CrossingsConfig, split: str, folder: Path
) -> tuple[Collisions, tuple[np.ndarray, ...], np.ndarray]:
    """A split's pool, the indices of each source's collisions, and each source's share of all collisions (K + 1,)."""
    parts: list[list[Collisions]] = [[] for _ in range(len(config.cuts_gev) + 1)]
    for chunk in pool_chunks(config):
        if chunk.split == split and isinstance(chunk.source, int):
            parts[chunk.source].append(load_collisions(folder / chunk.file))
    ends = np.cumsum([0, *(sum(map(len, of)) for of in parts)])
    pools = tuple(np.arange(a, b) for a, b in itertools.pairwise(ends))
    return joined([part for of in parts for part in of]), pools, shares_of(read_table(folder / SECTIONS))


def load_process(config: CrossingsConfig, split: str, process: str, folder: Path) -> Collisions:
    """The collisions of a process in a split."""
    chunks = (c for c in pool_chunks(config) if c.split == split and c.source == process)
    return joined([load_collisions(folder / chunk.file) for chunk in chunks])


def pool_offset(config: CrossingsConfig, split: str) -> int:
    """How many collisions the pools of the splits before this one hold, so that ids differ between splits."""
    before = SPLITS[: SPLITS.index(split)]
    return sum(c.count for c in pool_chunks(config) if c.split in before and isinstance(c.source, int))


def shares_of(sections: dict[str, Any]) -> np.ndarray:
    """Shares of inelastic collisions: soft, then each slice; (K + 1,), adding up to 1."""
    hard = np.array(sections["slices_mb"]) / sections["inelastic_mb"]
    return np.array([1 - hard.sum(), *hard])


def _beyond_partons(batch: Any, least_gev: float) -> np.ndarray:
    """Collisions with a hadron of more than `least_gev` of pT, and of more than twice the hardest parton's: (n,) bool.

    Energy and momentum are conserved in such a collision, and Pythia's own check passes it
    (findings/pythia8_junction_hadrons.sh).
    """
    import awkward

    largest = awkward.max(batch.prt.p.px**2 + batch.prt.p.py**2, axis=1)
    found = np.asarray(awkward.fill_none(largest, 0.0)) > least_gev**2
    for i in np.flatnonzero(found):
        particles = batch.prt[i]
        pt = np.hypot(np.asarray(particles.p.px), np.asarray(particles.p.py))
        hadron = np.abs(np.asarray(particles.status)) > _LAST_PARTON_STATUS
        hardest = pt[hadron].max(initial=0)
        found[i] = hardest > max(least_gev, _HADRON_OVER_PARTON * pt[~hadron].max(initial=0))
    return found


def _make_sections(config: CrossingsConfig, folder: Path) -> None:
    """Cross sections [mb] of inelastic collisions, of the slices and of the processes, in a file."""
    slices = [_section(config, source) for source in range(1, len(config.cuts_gev) + 1)]
    processes = {process: _section(config, process) for process in config.processes}
    content = {"inelastic_mb": _section(config, SOFT), "slices_mb": slices, "processes_mb": processes}
    write_json(folder / SECTIONS, content)


def _section(config: CrossingsConfig, source: int | str) -> float:
    pythia = start_pythia((*lines_of(config, source), "PartonLevel:all = off"), config.seed)
    for _ in range(_SECTION_TRIES):
        pythia.next()
    return float(pythia.infoPython().sigmaGen())


def _chunked(split: str, source: int | str, number: int) -> Iterator[PoolChunk]:
    size = _SOFT_CHUNK if source == SOFT else _HARD_CHUNK
    for chunk, first in enumerate(range(0, number, size)):
        yield PoolChunk(split, source, chunk, min(size, number - first))


def _selected(particles: Particles, kept: np.ndarray) -> Particles:
    """The particles of some of the collisions, which are numbered anew; kept: (collisions,) bool."""
    which = kept[particles.event]
    event = (np.cumsum(kept) - 1)[particles.event[which]]
    pdg, momentum, vertex = (column[which] for column in (particles.pdg, particles.momentum, particles.vertex))
    return Particles(event, pdg, momentum, vertex, particles.weight[kept])


def _generated(particles: Particles, finder: JetFinder | None) -> np.ndarray:
    """Scalar pT of visible particles, and HT of their jets, [GeV] within |eta| = 2.5: (n, 2)."""
    number, (px, py, pz, _) = len(particles.weight), particles.momentum.T
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.maximum(pt, 1e-9))
    seen = np.flatnonzero(visible(np.abs(particles.pdg)) & (np.abs(eta) < _ETA))
    scalar = np.bincount(particles.event[seen], pt[seen], number)
    if finder is None:
        return np.column_stack([scalar, np.zeros(number)])
    table = np.column_stack([pt, eta, np.arctan2(py, px)])[seen]
    ends = np.searchsorted(particles.event[seen], np.arange(1, number))
    return np.column_stack([scalar, [finder.jets(part)[:, 0].sum() for part in np.split(table, ends)]])
