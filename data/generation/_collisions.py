"""Collisions as columns: what each leaves in the calorimeters and the tracker, ready to be overlaid.

A collision is carried to the calorimeter face once. Its deposits are kept by cell of the detector, so that turning it
by a whole number of towers is integer arithmetic on the cells: the detector looks the same from 72 azimuths, and a
collision has no preferred one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from codae_l1.data.base.files import read_arrays, whole_file
from codae_l1.data.calorimeter import ETA_COVERED, ETA_MAX, N_ETA, N_PHI, grid_cells
from codae_l1.data.generation._detector import CELLS
from codae_l1.data.generation._propagation import IN_ECAL, IN_HCAL, Hits

# ECAL cells around the detector, and along it.
ECAL_PHI, ECAL_ETA = N_PHI * CELLS, N_ETA * CELLS


@dataclass(frozen=True)
class Collisions:
    """n collisions one after another.

    Of each collision, (n,) float32: pt_hat, GeV, of its hardest scattering. z, mm. weight, 1 unless its process is
    biased. sum_pt2, GeV^2, of its tracks: the largest is the primary vertex. scalar_pt, jet_ht, GeV: generated visible
    particles, and jets of them, within |eta| = 2.5 (jets are 0 where not asked for). n_ecal, n_hcal, n_tracks (n,)
    int32: how many deposits and tracks it has, which the other columns hold one collision after another: cell (of
    360 x 290) or tower (of 72 x 58), row by row, and energy or pT in GeV.
    """

    pt_hat: np.ndarray
    z: np.ndarray
    weight: np.ndarray
    sum_pt2: np.ndarray
    scalar_pt: np.ndarray
    jet_ht: np.ndarray
    n_ecal: np.ndarray
    n_hcal: np.ndarray
    n_tracks: np.ndarray
    ecal_cell: np.ndarray
    ecal_energy: np.ndarray
    hcal_tower: np.ndarray
    hcal_energy: np.ndarray
    track_tower: np.ndarray
    track_pt: np.ndarray

    def __len__(self) -> int:
        return len(self.z)


def binned(hits: Hits, z: np.ndarray, pt_hat: np.ndarray, weight: np.ndarray, generated: np.ndarray) -> Collisions:
    """Collisions whose deposits are `hits`, hits.event numbering them in order.

    z, pt_hat, weight: (n,). generated: (n, 2) GeV, scalar_pt and jet_ht.
    """
    number = len(z)
    ecal = np.flatnonzero((hits.kind == IN_ECAL) & (np.abs(hits.eta) < ETA_COVERED))
    hcal = np.flatnonzero((hits.kind == IN_HCAL) & (np.abs(hits.eta) < ETA_MAX))
    tracks = np.flatnonzero((hits.pt > 0) & (np.abs(hits.eta) < ETA_COVERED))
    row, column = grid_cells(hits.phi[ecal], hits.eta[ecal], ECAL_PHI, ECAL_ETA, ETA_MAX)
    sum_pt2 = np.bincount(hits.event, np.square(hits.pt.astype(np.float64)), number)
    columns = (
        *(values.astype(np.float32) for values in (pt_hat, z, weight, sum_pt2, *generated.T)),
        *(np.bincount(hits.event[which], minlength=number).astype(np.int32) for which in (ecal, hcal, tracks)),
        *((row * ECAL_ETA + column).astype(np.int32), hits.energy[ecal]),
        *(_towers(hits, hcal), hits.energy[hcal]),
        *(_towers(hits, tracks), hits.pt[tracks]),
    )
    return _of_columns(columns)


def save_collisions(path: Path, collisions: Collisions) -> None:
    """Write collisions, whole or not at all."""
    with whole_file(path) as temporary:
        np.savez(temporary, allow_pickle=False, **vars(collisions))


def load_collisions(path: Path) -> Collisions:
    """Read collisions."""
    names = tuple(f.name for f in fields(Collisions))
    content = read_arrays(path, "whole collisions", "remove it and generate again; finished chunks are kept", names)
    return Collisions(**{name: content[name] for name in names})


def joined(parts: Sequence[Collisions]) -> Collisions:
    """Collisions of several parts as one."""
    return _of_columns([np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Collisions)])


def _of_columns(columns: Sequence[np.ndarray]) -> Collisions:
    return Collisions(**{f.name: column for f, column in zip(fields(Collisions), columns, strict=True)})


def _towers(hits: Hits, which: np.ndarray) -> np.ndarray:
    row, column = grid_cells(hits.phi[which], hits.eta[which])
    return (row * N_ETA + column).astype(np.int16)
