"""Inelastic collisions of the pool's settings at 13 TeV beside measurements, and the scattering at which they are cut.

Soft collisions up to the first cut and the slices of HardQCD, each by its share, are compared with measurements and
with the soft generator alone, from which the same soft collisions are taken. As the measurements have it, particles
that live longer than 10 mm / c are stable: decay products of K0S and hyperons do not count.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from codae_l1.data.generation._pool import SOFT, hardest_scattering, lines_of
from codae_l1.data.generation._processes import Particles, final_particles, next_batch, start_pythia
from codae_l1.data.generation._selection import JetFinder
from codae_l1.data.generation.crossings_config import CrossingsConfig

_MEASURED = ("Beams:eCM = 13000.", "ParticleDecays:limitTau0 = on", "ParticleDecays:tau0Max = 10.")
# Charged hadrons; all charged particles, of which the last four are hyperons.
HADRONS = (211, 321, 2212)
CHARGED = (*HADRONS, 11, 13, 3112, 3222, 3312, 3334)
# CMS, arXiv:1507.05915: charged hadrons per unit of |eta| < 0.5 of an inelastic collision, value and error.
DENSITY = (5.49, 0.17)
# CMS, arXiv:1806.11245, collisions with a particle of 5 GeV in 3 < |eta| < 5 on either side; charged particles with
# pT > 0.5 GeV in |eta| < 2.4. Edges of bins of pT [GeV]; particles per GeV and their error (HEPData ins1680318, d02).
PT_EDGES = (0.5, 0.6, 0.8, 1.3, 1.6, 2.3, 3.2, 4.5, 6.3, 9.0, 12.0, 18.0, 50.0)
SPECTRUM = (28.27, 19.52, 9.066, 3.839, 1.623, 0.4652, 0.1144, 0.02352, 0.004385, 8.835e-4, 1.719e-4, 8.01e-6)
SPECTRUM_ERROR = (1.24, 0.82, 0.374, 0.163, 0.070, 0.0203, 0.0049, 0.00098, 0.000185, 4.28e-5, 1.01e-5, 7.2e-7)
# Mean number of these particles: the sum of d01 (2.8373 to 3.0491 per unit of eta) over 24 bins of 0.2.
MULTIPLICITY = (14.16, 0.59)
# Edges, GeV, of the hardest scattering and of generated jets (anti-kt 0.4, |eta| < 2.5).
HAT_EDGES = (10.0, 15.0, 20.0, 25.0, 30.0, 45.0, np.inf)
JET_EDGES = (10.0, 15.0, 20.0, 30.0, 45.0, np.inf)
_JETS = (0.4, 10.0, 2.5)
# Collisions of each slice, and those without hadrons, over those of the soft generator.
_PER_SLICE, _PARTONS = 0.05, 4
# Tries from which a cross section is taken, to half a per cent; collisions that Pythia hands over at once.
_TRIES, _BATCH = 20_000, 200


@dataclass(frozen=True)
class Source:
    """n collisions of a generator: what was seen of each, and the cross section in mb.

    hat (n,): hardest scattering, GeV. columns (n, c): density within |eta| < 0.5; whether the forward trigger fires;
    then, where it does, charged particles above 0.5 GeV, their sum of pT, their numbers per bin of pT; then one where
    the hardest jet is in a bin of JET_EDGES.
    """

    hat: np.ndarray
    columns: np.ndarray
    section_mb: float


def collision_tables(config: CrossingsConfig, count: int, seed: int) -> list[tuple[list[str], list[list[str]]]]:
    """Heads and rows of two tables: particles beside measurements; what lies on either side of the first cut."""
    sources = [make_source(config, SOFT, count, seed)]
    for k in range(1, len(config.cuts_gev) + 1):
        sources.append(make_source(config, k, max(50, round(count * _PER_SLICE)), seed))
    return [_particles(config, sources), _cut(config, sources, parton_source(config, _PARTONS * count, seed))]


def make_source(config: CrossingsConfig, source: int, count: int, seed: int) -> Source:
    """Collisions of the soft generator, none left out, or of a slice."""
    lines = (*lines_of(config, source), *_MEASURED)
    pythia = start_pythia(lines, 100 * seed + source)
    finder, parts, hats = JetFinder(pythia, *_JETS), [], []
    for first in range(0, count, _BATCH):
        batch = next_batch(pythia, min(_BATCH, count - first))
        particles = final_particles(batch)
        hats.append(hardest_scattering(batch))
        parts.append(np.hstack([charged_columns(particles), jet_columns(particles, finder)]))
    return Source(np.concatenate(hats), np.concatenate(parts), _section(lines, seed))


def parton_source(config: CrossingsConfig, count: int, seed: int) -> Source:
    """Collisions of the soft generator without hadrons, so without columns: many, as few of them are hard."""
    lines = (*lines_of(config, SOFT), *_MEASURED, "HadronLevel:all = off")
    pythia = start_pythia(lines, 100 * seed + 99)
    hats = [hardest_scattering(next_batch(pythia, min(_BATCH, count - first))) for first in range(0, count, _BATCH)]
    hat = np.concatenate(hats)
    return Source(hat, np.zeros((len(hat), 0)), _section(lines, seed))


def _section(lines: tuple[str, ...], seed: int) -> float:
    """Cross section, mb."""
    pythia = start_pythia((*lines, "PartonLevel:all = off"), seed)
    for _ in range(_TRIES):
        pythia.next()
    return float(pythia.infoPython().sigmaGen())


def charged_columns(particles: Particles) -> np.ndarray:
    """(n, 4 + bins): density, trigger, number, sum of pT and numbers per bin of pT, as Source has them."""
    n, event, code = len(particles.weight), particles.event, np.abs(particles.pdg)
    px, py, pz, energy = particles.momentum.T
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.maximum(pt, 1e-9))
    central = np.isin(code, HADRONS) & (np.abs(eta) < 0.5)
    forward = (energy >= 5) & (np.abs(eta) > 3) & (np.abs(eta) < 5)
    fires = np.bincount(event[forward], minlength=n) > 0
    kept = np.isin(code, CHARGED) & (np.abs(eta) < 2.4) & (pt > PT_EDGES[0]) & fires[event]
    place = np.searchsorted(PT_EDGES, pt[kept], side="right") - 1
    bins = len(PT_EDGES) - 1
    inside = place < bins
    counts = np.bincount(event[kept][inside] * bins + place[inside], minlength=n * bins).reshape(n, bins)
    number = np.bincount(event[kept], minlength=n)
    total = np.bincount(event[kept], pt[kept], n)
    return np.column_stack([np.bincount(event[central], minlength=n), fires, number, total, counts])


def jet_columns(particles: Particles, finder: JetFinder) -> np.ndarray:
    """(n, len(JET_EDGES) - 1): one where the pT of the hardest jet is."""
    n = len(particles.weight)
    px, py, pz, _ = particles.momentum.T
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.maximum(pt, 1e-9))
    seen = np.flatnonzero((np.abs(eta) < _JETS[2]) & ~np.isin(np.abs(particles.pdg), (12, 14, 16)))
    table = np.column_stack([pt, eta, np.arctan2(py, px)])[seen]
    found = np.zeros((n, len(JET_EDGES) - 1))
    for row, part in zip(found, np.split(table, np.searchsorted(particles.event[seen], np.arange(1, n))), strict=True):
        jets = finder.jets(part) if part[:, 0].sum() > JET_EDGES[0] else np.zeros((0, 3))
        if len(jets):
            row[np.searchsorted(JET_EDGES, jets[0, 0], side="right") - 1] = 1
    return found


def stitched(sources: list[Source], cut: float) -> tuple[np.ndarray, np.ndarray]:
    """Means (c,) of the columns over inelastic collisions, and their errors: soft ones up to the cut, then slices."""
    soft = sources[0].hat <= cut
    shares = np.array([source.section_mb for source in sources[1:]]) / sources[0].section_mb
    rows = [sources[0].columns[soft], *(source.columns for source in sources[1:])]
    shares = np.array([1 - shares.sum(), *shares])
    mean = sum(share * part.mean(axis=0) for share, part in zip(shares, rows, strict=True))
    variance = sum(share**2 * part.var(axis=0) / len(part) for share, part in zip(shares, rows, strict=True))
    return np.asarray(mean), np.sqrt(variance)


def _particles(config: CrossingsConfig, sources: list[Source]) -> tuple[list[str], list[list[str]]]:
    mean, error = stitched(sources, config.cuts_gev[0])
    fires = mean[1]
    rows = [_row("charged hadrons per unit of η", mean[0], error[0], *DENSITY)]
    rows.append(_row("charged particles above 0.5 GeV", mean[2] / fires, error[2] / fires, *MULTIPLICITY))
    widths = np.diff(PT_EDGES)
    # The mean of a steep spectrum from its bins, both alike: values at their middles.
    middles, ours = PT_EDGES[:-1] + widths / 2, mean[4 : 4 + len(widths)] / fires
    theirs = np.array(SPECTRUM) * widths
    rows.append(
        _row(
            "their mean pT, GeV (middles of bins)",
            (ours * middles).sum() / ours.sum(),
            error[3] / mean[2],
            (theirs * middles).sum() / theirs.sum(),
            0.0,
        )
    )
    for i in range(len(widths)):
        name = f"per GeV, {PT_EDGES[i]:g} to {PT_EDGES[i + 1]:g} GeV"
        scale = 1 / (fires * widths[i])
        rows.append(_row(name, mean[4 + i] * scale, error[4 + i] * scale, SPECTRUM[i], SPECTRUM_ERROR[i]))
    return ["per collision", "here", "measured", "here / measured"], rows


def _cut(config: CrossingsConfig, sources: list[Source], partons: Source) -> tuple[list[str], list[list[str]]]:
    cut, hard = config.cuts_gev[0], [partons, *sources[1:]]
    rows = [_cut_row("hardest scattering", cut, np.inf, hard, [source.hat > cut for source in hard], cut)]
    for low, high in itertools.pairwise(HAT_EDGES):
        inside = [(source.hat > low) & (source.hat <= high) for source in hard]
        rows.append(_cut_row("hardest scattering", low, high, hard, inside, cut))
    for i, (low, high) in enumerate(itertools.pairwise(JET_EDGES)):
        column = i - (len(JET_EDGES) - 1)
        inside = [source.columns[:, column] > 0 for source in sources]
        rows.append(_cut_row("hardest jet", low, high, sources, inside, cut))
    return ["mb", "soft generator", "with slices", "with slices / soft", "pull"], rows


def _cut_row(
    name: str, low: float, high: float, sources: list[Source], inside: list[np.ndarray], cut: float
) -> list[str]:
    cells = _compared(_sections(sources[0], inside[0], cut), _stitched_section(sources, inside, cut))
    return [f"{name}, {low:g} {'and above' if high == np.inf else f'to {high:g}'} GeV", *cells]


def _sections(soft: Source, inside: np.ndarray, cut: float) -> tuple[float, float, float]:
    """Cross section [mb] of the soft generator, of all and of what is above the cut, and the error of the latter."""
    each = soft.section_mb / len(soft.hat)
    above = (inside & (soft.hat > cut)).sum()
    return inside.sum() * each, above * each, above**0.5 * each


def _stitched_section(sources: list[Source], inside: list[np.ndarray], cut: float) -> tuple[float, float, float]:
    """The same with slices; their cross sections are known to half a per cent."""
    soft = sources[0]
    common = (inside[0] & (soft.hat <= cut)).sum() / len(soft.hat) * soft.section_mb
    parts = [(source.section_mb, of.mean(), len(of)) for source, of in zip(sources[1:], inside[1:], strict=True)]
    above = sum(section * share for section, share, _ in parts)
    variance = sum(section**2 * share * (1 - share) / n for section, share, n in parts)
    return common + above, above, (variance + (0.005 * above) ** 2) ** 0.5


def _compared(alone: tuple[float, float, float], slices: tuple[float, float, float]) -> list[str]:
    """Cells: both values, their ratio, and the pull of what is above the cut, where they differ."""
    error = np.hypot(alone[2], slices[2])
    cells = [f"{alone[0]:.3g}", f"{slices[0]:.3g}"]
    if alone[1] == 0 and slices[1] == 0:
        return [*cells, "1", "-"]
    ratio = slices[0] / max(alone[0], 1e-12)
    return [*cells, f"{ratio:.2f} ± {error / max(alone[0], 1e-12):.2f}", f"{(slices[1] - alone[1]) / error:+.1f}"]


def _row(name: str, value: float, error: float, known: float, known_error: float) -> list[str]:
    ratio = value / known
    spread = ratio * np.hypot(error / value, known_error / known)
    told = f"{known:.3g} ± {known_error:.2g}" if known_error else f"{known:.3g}"
    return [name, f"{value:.3g} ± {error:.2g}", told, f"{ratio:.2f} ± {spread:.2f}"]
