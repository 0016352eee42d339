"""Collisions overlaid to bunch crossings: whose vertex is chosen, and what each calorimeter tower receives.

A crossing is a list of collisions, each turned by a whole number of towers. All crossings of a batch are summed at
once: the number of a cell includes that of its crossing.
"""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.calorimeter import ETA_MAX, ETA_STEP, N_ETA, N_PHI
from codae_l1.data.generation._collisions import ECAL_ETA, ECAL_PHI, Collisions
from codae_l1.data.generation._detector import CELLS
from codae_l1.data.generation._pileup import Z_RESOLUTION

TOWERS = N_PHI * N_ETA
# Collisions that are named for each crossing: the primary vertex and those with most transverse energy.
MEMBERS = 6
_NO_MEMBER = -1


@dataclass(frozen=True)
class Members:
    """The collisions of a batch of crossings, one crossing after another.

    crossing (m,) int64, ascending. collision (m,) int64: index into the pool's collisions. turn (m,) int64: towers by
    which it is turned. crossings: how many there are; one may be empty.
    """

    crossing: np.ndarray
    collision: np.ndarray
    turn: np.ndarray
    crossings: int

    def first(self, collision: np.ndarray) -> np.ndarray:
        """(crossings,) int64: position of each crossing's first member, which is this collision (crossings,)."""
        at = np.searchsorted(self.crossing, np.arange(self.crossings))
        assert np.array_equal(self.collision[at], collision)
        return at


@dataclass(frozen=True)
class Deposits:
    """What a batch of crossings leaves: true energies, before any resolution or threshold.

    ecal: (crossings, 72, 58) GeV, or cells: see `fine`. hcal, tracks (pT at the calorimeter face): (crossings, 72, 58)
    float64, GeV. n_tracks (crossings,). vertex (crossings,) int64: position in Members of the chosen collision, -1 in
    an empty crossing. fine: with cells asked for, the index of each ECAL cell that was hit, crossing by crossing, and
    its energy; ecal is empty then.
    """

    ecal: np.ndarray
    hcal: np.ndarray
    tracks: np.ndarray
    n_tracks: np.ndarray
    vertex: np.ndarray
    fine: tuple[np.ndarray, np.ndarray] | None = None


class Overlay:
    """The pool's collisions with where each begins in the columns; made once, used for every batch."""

    def __init__(self, pool: Collisions):
        self.pool = pool
        self._start = [np.concatenate([[0], np.cumsum(n)]) for n in (pool.n_ecal, pool.n_hcal, pool.n_tracks)]
        # The tower of each ECAL deposit, so that a read-out by towers need not know the cells.
        row, column = np.divmod(pool.ecal_cell, ECAL_ETA)
        self._ecal_tower = (row // CELLS * N_ETA + column // CELLS).astype(np.int16)
        cosh = np.cosh((np.arange(TOWERS) % N_ETA + 0.5) * ETA_STEP - ETA_MAX)
        sums = [
            np.add.reduceat(np.append(energy / cosh[tower], 0.0), start[:-1]) * (np.diff(start) > 0)
            for energy, tower, start in (
                (pool.ecal_energy, self._ecal_tower, self._start[0]),
                (pool.hcal_energy, pool.hcal_tower, self._start[1]),
            )
        ]
        # GeV; by which the members that matter are chosen.
        self.transverse = (sums[0] + sums[1]).astype(np.float32)

    def deposits(self, members: Members, vertex: np.ndarray | None = None, cells: bool = False) -> Deposits:
        """Sum the members of each crossing.

        vertex: (crossings,) int64, positions of the primary vertices in members, where they are not to be chosen.
        cells: keep the ECAL's cells.
        """
        chosen = self.vertices(members) if vertex is None else vertex
        pool, n = self.pool, members.crossings
        z = pool.z[members.collision]
        has = chosen >= 0
        z_vertex = np.full(n, np.inf)
        z_vertex[has] = z[chosen[has]]
        kept = np.flatnonzero(np.abs(z - z_vertex[members.crossing]) < Z_RESOLUTION)
        tracks = self._sums(members, kept, 2, pool.track_tower, pool.track_pt)
        n_tracks = np.bincount(members.crossing[kept], pool.n_tracks[members.collision[kept]], n).astype(np.int64)
        every = np.arange(len(members.crossing))
        hcal = self._sums(members, every, 1, pool.hcal_tower, pool.hcal_energy)
        if cells:
            fine = self._cells(members, every)
            return Deposits(np.zeros((0, N_PHI, N_ETA)), hcal, tracks, n_tracks, chosen, fine)
        ecal = self._sums(members, every, 0, self._ecal_tower, pool.ecal_energy)
        return Deposits(ecal, hcal, tracks, n_tracks, chosen)

    def vertices(self, members: Members) -> np.ndarray:
        """(crossings,) int64: position in members of the collision with the largest sum of track pT squared, -1 in a
        crossing without collisions."""
        return _largest(members, self.pool.sum_pt2)

    def hardest(self, members: Members) -> np.ndarray:
        """(crossings,) int64: position in members of the collision with the largest pT-hat, -1 likewise."""
        return _largest(members, self.pool.pt_hat)

    def leading(self, members: Members, vertex: np.ndarray) -> np.ndarray:
        """(crossings, MEMBERS) int32: the vertex, then the others by falling transverse energy, each once; -1 where
        there are none."""
        result = np.full((members.crossings, MEMBERS), _NO_MEMBER, np.int32)
        has = vertex >= 0
        result[has, 0] = members.collision[vertex[has]]
        others = members.collision != result[members.crossing, 0]
        position = np.flatnonzero(others)
        of = members.collision[position]
        order = position[np.lexsort((of, -self.transverse[of], members.crossing[position]))]
        # A collision that was drawn twice is named once.
        same = np.diff(members.collision[order], prepend=-1) == 0
        order = order[~(same & (np.diff(members.crossing[order], prepend=-1) == 0))]
        crossing = members.crossing[order]
        first = np.searchsorted(crossing, np.arange(members.crossings))
        rank = np.arange(len(order)) - first[crossing]
        for place in range(MEMBERS - 1):
            at = rank == place
            result[crossing[at], 1 + place] = members.collision[order[at]]
        return result

    def _where(self, members: Members, which: np.ndarray, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices into a column of deposits of some members, and how many each has."""
        start = self._start[column]
        first = start[members.collision[which]]
        lengths = start[members.collision[which] + 1] - first
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        return np.arange(total) + np.repeat(first - (ends - lengths), lengths), lengths

    def _sums(
        self, members: Members, which: np.ndarray, column: int, towers: np.ndarray, values: np.ndarray
    ) -> np.ndarray:
        """Sums per tower (crossings, 72, 58) of a column of deposits of some members."""
        where, lengths = self._where(members, which, column)
        # Two turns of the detector, of which the second is added to the first: no deposit needs a remainder.
        offset = members.crossing[which] * (2 * TOWERS) + members.turn[which] * N_ETA
        place = towers[where] + np.repeat(offset, lengths)
        sums = np.bincount(place, values[where], members.crossings * 2 * TOWERS).reshape(-1, 2, N_PHI, N_ETA)
        return sums[:, 0] + sums[:, 1]

    def _cells(self, members: Members, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ECAL's cells that were hit, by crossing and cell, and the energy in each."""
        where, lengths = self._where(members, which, 0)
        cells = ECAL_PHI * ECAL_ETA
        cell = self.pool.ecal_cell[where] + np.repeat(members.turn[which] * (CELLS * ECAL_ETA), lengths)
        place = np.where(cell < cells, cell, cell - cells) + np.repeat(members.crossing[which] * cells, lengths)
        order = np.argsort(place, kind="stable")
        place, energy = place[order], self.pool.ecal_energy[where][order].astype(np.float64)
        first = np.flatnonzero(np.diff(place, prepend=-1))
        return place[first], np.add.reduceat(energy, first) if len(first) else energy


def _largest(members: Members, values: np.ndarray) -> np.ndarray:
    """(crossings,) int64: position in members of the collision with the largest value, -1 in an empty crossing."""
    found = np.full(members.crossings, -1)
    order = np.lexsort((values[members.collision], members.crossing))
    # The last one of each crossing stays.
    found[members.crossing[order]] = order
    return found
