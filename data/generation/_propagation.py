"""Particles to hits: helix in the solenoid to the calorimeter face, tracking efficiency, kind of deposit.

The geometry and efficiencies of a CMS-like fast detector (Delphes, arXiv:1307.6346): field 3.8 T along z, face a
cylinder of radius 1.29 m and half-length 3 m. A particle of charge q at azimuth phi0 turns on a circle of radius
r = pT / (0.3 |q| B); after turning by t it is at centre + q r (-sin(phi0 - q t), cos(phi0 - q t)).
"""

from dataclasses import dataclass, fields

import numpy as np

from codae_l1.data.generation._processes import Particles
from codae_l1.data.generation.config import GenerationConfig

# Tesla, metre, metre.
FIELD = 3.8
FACE_RADIUS = 1.29
FACE_HALF_LENGTH = 3.0
# GeV / (T m), the speed of light in units of 1e9 m/s.
BENDING = 0.299792458
# Largest |eta| of a hit that is kept, unless more is asked for, and of a particle that leaves a track.
ETA_SEEN = 3.5
ETA_TRACKS = 2.5
ETA_BARREL = 1.5
# GeV, lowest pT of a track; where the efficiency steps up.
TRACK_PT_MIN = 0.1
TRACK_PT_STEP = 1.0
# Efficiency (barrel below the step, barrel above, endcap below, endcap above) of hadrons, electrons, muons.
EFFICIENCY = np.array([[0.70, 0.95, 0.60, 0.85], [0.73, 0.95, 0.50, 0.83], [0.75, 0.99, 0.70, 0.98]])
# Codes from here on, of the dark sector, leave nothing, as neutrinos (12, 14, 16) and dark matter (51, 53).
HIDDEN_VALLEY = 4_900_000
# Kinds of deposit.
IN_ECAL, IN_HCAL, IN_NEITHER = 0, 1, 2


@dataclass(frozen=True)
class Hits:
    """Where the particles of some events meet the calorimeter face: columns (n,).

    event: which event. eta, phi: position as seen from the detector's centre (phi in radian). energy: GeV. kind:
    IN_ECAL, IN_HCAL or IN_NEITHER (muons). pt: GeV, 0 where no track was found. track_eta, track_phi: direction of the
    momentum.
    """

    event: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    energy: np.ndarray
    kind: np.ndarray
    pt: np.ndarray
    track_eta: np.ndarray
    track_phi: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """Name -> column."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


# Types of the columns of Hits.
_TYPES = {"event": np.int32, "kind": np.int8}


def propagate(
    particles: Particles,
    z_vertex: np.ndarray,
    rng: np.random.Generator,
    config: GenerationConfig,
    eta_seen: float = ETA_SEEN,
) -> Hits:
    """Hits within |eta| = eta_seen of collisions whose vertices lie at z_vertex (collisions,) [mm] on the beam line."""
    pt = np.hypot(particles.momentum[:, 0], particles.momentum[:, 1])
    keep = np.flatnonzero(visible(np.abs(particles.pdg), rng, config.invisible_in_hcal) & (pt > 0.01))
    event, pdg, pt = particles.event[keep], particles.pdg[keep], pt[keep]
    px, py, pz, energy = particles.momentum[keep].T
    # mm -> m
    start = particles.vertex[keep].T * 1e-3
    start[2] += z_vertex[event] * 1e-3
    code, charge = np.abs(pdg), charges(pdg)
    x, y, z = face_position(np.stack([px, py, pz]), start, charge)
    eta = np.arcsinh(z / np.maximum(np.hypot(x, y), 1e-9))
    # By where the particle meets the face, not by its momentum: slow ones of the barrel curl to the end caps.
    efficiency = np.minimum(track_efficiency(code, charge, pt, eta) * config.efficiency_scale, 1)
    found = rng.random(len(pt)) < efficiency
    kind = np.where((code == 11) | (code == 22), IN_ECAL, np.where(code == 13, IN_NEITHER, IN_HCAL))
    seen = np.flatnonzero(np.abs(eta) < eta_seen)
    table = (
        event,
        eta,
        np.arctan2(y, x),
        energy,
        kind,
        np.where(found, pt, 0),
        np.arcsinh(pz / pt),
        np.arctan2(py, px),
    )
    columns = dict(zip((f.name for f in fields(Hits)), table, strict=True))
    return Hits(**{name: column[seen].astype(_TYPES.get(name, np.float32)) for name, column in columns.items()})


def visible(code: np.ndarray, rng: np.random.Generator | None = None, invisible_in_hcal: float = 0.0) -> np.ndarray:
    """Which particles of absolute codes (n,) reach a detector, (n,) bool; with rng a share of the dark matter, too."""
    hidden = (code == 12) | (code == 14) | (code == 16) | (code > HIDDEN_VALLEY)
    dark = np.flatnonzero((code == 51) | (code == 53))
    hidden[dark] = True if rng is None else rng.random(len(dark)) >= invisible_in_hcal
    return ~hidden


def charges(pdg: np.ndarray) -> np.ndarray:
    """Electric charge (n,) of stable particles; all others are neutral.

    >>> charges(np.array([11, -13, 211, -321, 2212, 22, 130])).tolist()
    [-1, 1, 1, -1, 1, 0, 0]
    """
    code, sign = np.abs(pdg), np.sign(pdg)
    charged, lepton = (code == 211) | (code == 321) | (code == 2212), (code == 11) | (code == 13)
    return np.where(charged, sign, np.where(lepton, -sign, 0))


def track_efficiency(code: np.ndarray, charge: np.ndarray, pt: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Probability (n,) of a track, by absolute code, charge, pT [GeV] and eta."""
    row = np.where(code == 11, 1, np.where(code == 13, 2, 0))
    column = 2 * (np.abs(eta) > ETA_BARREL) + (pt > TRACK_PT_STEP)
    taken = (charge != 0) & (pt > TRACK_PT_MIN) & (np.abs(eta) < ETA_TRACKS)
    return np.where(taken, EFFICIENCY[row, column], 0.0)


def face_position(momentum: np.ndarray, start: np.ndarray, charge: np.ndarray) -> np.ndarray:
    """Where particles of momentum (3, n) [GeV] from start (3, n) [m] meet the face: (3, n) [m].

    A particle that starts beyond the face stays where it starts. One of 0.7 GeV curls up inside the barrel:

    >>> face_position(np.array([[0.7, 100], [0, 0], [0.1, 0]]), np.zeros((3, 2)), np.array([1, 0])).round(2).tolist()
    [[0.23, 1.29], [-1.18, 0.0], [3.0, 0.0]]
    """
    out = np.array(start, np.float64)
    inside = (np.hypot(out[0], out[1]) < FACE_RADIUS) & (np.abs(out[2]) < FACE_HALF_LENGTH)
    straight = np.flatnonzero(inside & (charge == 0))
    curved = np.flatnonzero(inside & (charge != 0))
    out[:, straight] = _line(momentum[:, straight], out[:, straight])
    out[:, curved] = _helix(momentum[:, curved], out[:, curved], charge[curved])
    return out


def _line(p: np.ndarray, start: np.ndarray) -> np.ndarray:
    (px, py, pz), (x, y, z) = p, start
    pt2 = px**2 + py**2
    along = px * x + py * y
    step = (-along + np.sqrt(along**2 + pt2 * (FACE_RADIUS**2 - x**2 - y**2))) / pt2
    step = np.minimum(step, _steps_to_end(pz, z))
    return np.stack([x + px * step, y + py * step, z + pz * step])


def _helix(p: np.ndarray, start: np.ndarray, charge: np.ndarray) -> np.ndarray:
    (px, py, pz), (x, y, z) = p, start
    pt, phi0 = np.hypot(px, py), np.arctan2(py, px)
    radius = pt / (BENDING * FIELD)
    centre_x, centre_y = x + charge * radius * np.sin(phi0), y - charge * radius * np.cos(phi0)
    distance = np.hypot(centre_x, centre_y)
    # On the circle the distance from the beam line is R where its angle to the centre's direction has this cosine.
    cosine = (FACE_RADIUS**2 - distance**2 - radius**2) / np.maximum(2 * radius * distance, 1e-12)
    opening = np.arccos(np.clip(cosine, -1, 1))
    now = phi0 + charge * np.pi / 2 - np.arctan2(centre_y, centre_x)
    turn = np.minimum(
        np.mod(charge * (now - opening), 2 * np.pi),
        np.mod(charge * (now + opening), 2 * np.pi),
    )
    turn = np.where(cosine > 1, np.inf, turn)
    turn = np.minimum(turn, _steps_to_end(pz, z) * pt / radius)
    angle = phi0 - charge * turn
    return np.stack(
        [
            centre_x - charge * radius * np.sin(angle),
            centre_y + charge * radius * np.cos(angle),
            z + radius * turn * pz / pt,
        ]
    )


def _steps_to_end(pz: np.ndarray, z: np.ndarray) -> np.ndarray:
    """How often pz fits between z and the end of the face that it flies to; finite, as |pz| is kept above 1e-6 GeV."""
    return (np.where(pz < 0, -FACE_HALF_LENGTH, FACE_HALF_LENGTH) - z) / np.where(
        np.abs(pz) < 1e-6, np.where(pz < 0, -1e-6, 1e-6), pz
    )
