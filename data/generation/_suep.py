"""Decay of a scalar into a soft unclustered energy pattern (arXiv:1612.00850).

The scalar of mass M turns into dark mesons phi with thermal momenta, density p^2 exp(-E / T) (arXiv:1305.5226),
isotropic in its rest frame; phi -> A' A', A' -> e+ e-, mu+ mu-, pi+ pi-.
"""

from functools import lru_cache

import numpy as np

from codae_l1.data.generation._processes import SCALAR_ID, Particles
from codae_l1.data.generation.config import GenerationConfig

# Particle code -> mass [GeV] (PDG 2024) and branching ratio of A'.
DARK_PHOTON_DECAYS = {11: (0.000511, 0.15), 13: (0.10566, 0.15), 211: (0.13957, 0.70)}


def decay_scalars(particles: Particles, rng: np.random.Generator, config: GenerationConfig) -> Particles:
    """The collisions with their scalars decayed where they were made, one a collision."""
    scalar = np.flatnonzero(particles.pdg == SCALAR_ID)
    rest = np.flatnonzero(particles.pdg != SCALAR_ID)
    decays = [decay_scalar(particles.momentum[i], rng, config) for i in scalar]
    mother = np.repeat(scalar, [len(code) for code, _ in decays])
    event = np.concatenate([particles.event[rest], particles.event[mother]])
    order = np.argsort(event, kind="stable")
    return Particles(
        event[order],
        np.concatenate([particles.pdg[rest], *(code for code, _ in decays)])[order],
        np.concatenate([particles.momentum[rest], *(momentum for _, momentum in decays)])[order],
        np.concatenate([particles.vertex[rest], particles.vertex[mother]])[order],
        particles.weight,
    )


def decay_scalar(
    scalar: np.ndarray, rng: np.random.Generator, config: GenerationConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Charged particles of one scalar of four-momentum (4,) px, py, pz, E [GeV]: codes (n,), momenta (n, 4).

    >>> pdg, p = decay_scalar(np.array([30.0, 0, 100, 325]), np.random.default_rng(1), GenerationConfig())
    >>> bool(np.allclose(p.sum(axis=0), [30, 0, 100, 325])), int(pdg.sum())
    (True, 0)
    """
    scalar = np.asarray(scalar, np.float64)
    mass = float(np.sqrt(max(scalar[3] ** 2 - (scalar[:3] ** 2).sum(), (2.5 * config.meson_mass_gev) ** 2)))
    phi = _boost(
        _thermal_mesons(mass, config.meson_mass_gev, config.temperature_gev, rng), np.broadcast_to(scalar, (1, 4))
    )
    photon = config.dark_photon_mass_gev
    dark = two_body(phi, np.full(len(phi), config.meson_mass_gev), np.full(len(phi), photon), rng)
    codes = np.array(list(DARK_PHOTON_DECAYS))
    masses, shares = np.array(list(DARK_PHOTON_DECAYS.values())).T
    chosen = rng.choice(len(codes), size=len(dark), p=shares)
    final = two_body(dark, np.full(len(dark), photon), masses[chosen], rng)
    # two_body gives the first daughters, then the second ones.
    return np.concatenate([codes[chosen], -codes[chosen]]), final


def two_body(parents: np.ndarray, mass: np.ndarray, daughter: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Isotropic decays of parents (n, 4) into two daughters of equal mass (n,): (2 n, 4), first ones first."""
    momentum = np.sqrt(mass**2 / 4 - daughter**2)
    first = np.column_stack([_isotropic(momentum, rng), mass / 2])
    second = np.column_stack([-first[:, :3], mass / 2])
    return np.concatenate([_boost(first, parents), _boost(second, parents)])


def _thermal_mesons(mass: float, meson: float, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Mesons (n, 4) of mass `meson` with total momentum 0 and total energy `mass`."""
    grid, cumulative = _thermal_table(meson, temperature)
    expected = mass / np.sqrt(meson**2 + temperature**2)
    p = np.interp(rng.random(int(expected) + 10), cumulative, grid)
    reached = np.searchsorted(np.cumsum(np.sqrt(p**2 + meson**2)), mass)
    momenta = _isotropic(p[: max(reached + 1, 2)], rng)
    momenta = momenta[: max(2, min(len(momenta), int(mass / meson * 0.95)))]
    momenta -= momenta.mean(axis=0)
    squares = (momenta**2).sum(axis=1)
    # Newton's steps for the scale at which the energies add to the mass; the sum is convex in the scale.
    scale = 1.0
    for _ in range(50):
        energies = np.sqrt(scale**2 * squares + meson**2)
        scale -= (energies.sum() - mass) / (scale * squares / energies).sum()
    momenta = scale * momenta
    return np.column_stack([momenta, np.sqrt((momenta**2).sum(axis=1) + meson**2)])


@lru_cache(maxsize=4)
def _thermal_table(meson: float, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Momenta [GeV] and the cumulative distribution of p^2 exp(-E / T) there; beyond 40 T lies less than 1e-13."""
    grid = np.linspace(0, 40 * temperature, 8001)
    density = grid**2 * np.exp(-np.sqrt(grid**2 + meson**2) / temperature)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return grid, cumulative / cumulative[-1]


def _isotropic(momentum: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    cosine = rng.uniform(-1, 1, len(momentum))
    phi = rng.uniform(0, 2 * np.pi, len(momentum))
    sine = np.sqrt(1 - cosine**2)
    return momentum[:, None] * np.column_stack([sine * np.cos(phi), sine * np.sin(phi), cosine])


def _boost(p: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Momenta (n, 4) given in the rest frames of `frames` (n or 1, 4), seen from where the frames are given."""
    mass = np.sqrt(frames[:, 3] ** 2 - (frames[:, :3] ** 2).sum(axis=1))
    along = (p[:, :3] * frames[:, :3]).sum(axis=1)
    energy = (p[:, 3] * frames[:, 3] + along) / mass
    factor = (p[:, 3] + energy) / (frames[:, 3] + mass)
    return np.column_stack([p[:, :3] + factor[:, None] * frames[:, :3], energy])
