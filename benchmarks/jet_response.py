"""How the menu's windows respond to generated jets: what a threshold in calibrated energy is in the menu's words."""

from dataclasses import dataclass

import numpy as np
from crossing_samples import Pool, measured

from codae_l1.data.generation._collisions import binned, joined
from codae_l1.data.generation._pileup import Z_SPREAD
from codae_l1.data.generation._pool import hardest_scattering, lines_of
from codae_l1.data.generation._processes import Particles, final_particles, next_batch, start_pythia
from codae_l1.data.generation._propagation import propagate, visible
from codae_l1.data.generation._selection import JetFinder
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.menu import menu_words
from codae_l1.data.pooling import TOWER_LSB_GEV

# Generated jets: anti-kt radius, lowest pT [GeV], largest |eta| of particles; jets that are compared end before it.
RADIUS, PT_MIN, ETA, ETA_COMPARED = 0.4, 30.0, 2.5, 2.1
# Slices of pT-hat that are used, counted from the last, and collisions of each.
_SLICES, _PER_SLICE = 4, 400
# Generated pT or HT over the threshold whose response is asked for.
_NEAR = (0.85, 1.25)


@dataclass(frozen=True)
class Responses:
    """Words of the menu over generated quantities: of the hardest jet, which stands for every jet, and of HT.

    generated, words: name -> (n,) GeV, of jet1 and HT; generated is NaN where the jet is too far forward.
    """

    generated: dict[str, np.ndarray]
    words: dict[str, np.ndarray]

    def of(self, name: str, gev: float) -> float:
        """Median of word over generated near a value; 1 for what has no generated counterpart."""
        name = "jet1" if name == "jet2" else name
        if name not in self.generated:
            return 1.0
        near = np.abs(np.log(self.generated[name] / gev) - np.log(_NEAR).mean()) < np.log(_NEAR[1] / _NEAR[0]) / 2
        return float(np.median(self.words[name][near] / self.generated[name][near]))

    def text(self) -> str:
        """One line: the responses at some energies."""
        values = {"jet1": (60, 100, 180, 300), "HT": (200, 360, 500)}
        parts = [f"{name} {', '.join(f'{self.of(name, v):.2f} at {v}' for v in at)}" for name, at in values.items()]
        return f"Response, word over generated, at GeV: {'; '.join(parts)}."


def measure_responses(config: CrossingsConfig, pool: Pool, seed: int) -> Responses:
    """Hard collisions of the last slices, each in a crossing of the config's pile-up."""
    made, rows = [], []
    last = len(config.cuts_gev)
    for source in range(last - _SLICES + 1, last + 1):
        pythia = start_pythia(lines_of(config, source), 1000 * seed + source)
        finder, rng = JetFinder(pythia, RADIUS, PT_MIN, ETA), np.random.default_rng([seed, 30, source])
        batch = next_batch(pythia, _PER_SLICE)
        particles, pt_hat = final_particles(batch), hardest_scattering(batch)
        z = rng.normal(0, Z_SPREAD, len(pt_hat))
        hits = propagate(particles, z, rng, config.signals)
        made.append(binned(hits, z, pt_hat, particles.weight, np.zeros((len(z), 2))))
        rows.append(generated_jets(particles, finder))
    fresh = joined(made)
    both = Pool(joined([pool.collisions, fresh]), pool.sources, pool.shares)
    extra = len(pool.collisions) + np.arange(len(fresh))
    sample = measured(config, both, len(fresh), [seed, 31], menu_words, extra)
    values = np.concatenate(rows).T
    names = ("jet1", "HT")
    words = {name: sample.words[name] * TOWER_LSB_GEV for name in names}
    return Responses(dict(zip(names, values, strict=True)), words)


def generated_jets(particles: Particles, finder: JetFinder) -> np.ndarray:
    """(n, 2) GeV: pT of the hardest jet, NaN where it is too far forward or there is none, and the scalar sum."""
    px, py, pz, _ = particles.momentum.T
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.maximum(pt, 1e-9))
    seen = np.flatnonzero(visible(np.abs(particles.pdg)) & (np.abs(eta) < ETA))
    candidates = np.column_stack([pt, eta, np.arctan2(py, px)])[seen]
    ends = np.searchsorted(particles.event[seen], np.arange(1, len(particles.weight)))
    rows = np.full((len(particles.weight), 2), np.nan)
    for row, part in zip(rows, np.split(candidates, ends), strict=True):
        jets = finder.jets(part)
        if len(jets):
            row[:] = jets[0, 0] if abs(jets[0, 1]) < ETA_COMPARED else np.nan, jets[:, 0].sum()
    return rows
