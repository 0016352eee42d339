"""Tracks of pile-up in ROOT files of Delphes: which are dropped, and when none can be.

A track is kept where its closest approach to the beam axis (DZ) or its origin (Z) is within a window of the event's
first vertex, which in Delphes is that of the hard collision:

    |DZ - z of the first vertex| <= window   or   |Z - z of the first vertex| <= window

Z matters where the beam axis is not that of the coordinates: DZ is then off by more than the window. That holds for
every branch of tracks: EFlowTrack of Delphes' pile-up cards is what its TrackPileUpSubtractor reads, not what it gives.
"""

from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError

TREE = "Delphes"
KIND = f"a ROOT file of Delphes: tree {TREE} with tracks and towers"
# Logarithm of how improbable it is that vertices are in order of z by chance, k! to one for k in an event: 18.4 is one
# in 10^8. Twelve vertices of one event exceed it, and three in each of eleven events.
_NO_CHANCE = 18.4
# Share of events that are not in order in a file that orders its vertices, by rounding or by another step after it.
_NOT_ORDERED = 0.05


class PileUp:
    """What is done about pile-up in one file.

    options: a DelphesOptions. names: branches of the file. cuts: whether tracks are dropped. Raises InputError where
    vertices that were asked for by name are not there; `kept` refuses events with several that cannot be told apart.
    """

    def __init__(self, path: Path, options: Any, names: set[str]):
        self._path, self._options, self._pt = path, options, f"{options.tracks}.PT"
        self._origins = [name for name in (f"{options.tracks}.DZ", f"{options.tracks}.Z") if name in names]
        self._vertex_z = f"{options.vertices}.Z"
        # Any branch of the vertices can be counted.
        self._vertices = min((n for n in names if n.startswith(f"{options.vertices}.")), default=None)
        if self._vertices is None and options.vertices != type(options)().vertices and not options.keep_pileup:
            raise InputError(
                f"{path} without the branch {self._vertex_z}",
                "the vertices that --vertices names",
                "name a branch that the file has, or say --keep-pileup",
            )
        complete = self._vertex_z in names and bool(self._origins)
        self.cuts = complete and not options.keep_pileup
        self._read = self._dropped = self._events = self._without = self._number = self._seen = self._kept = 0
        # Upwards and downwards: the logarithm as above of all events so far.
        self._ordered = {1: 0.0, -1: 0.0}

    def kept(self, columns: Any) -> np.ndarray | None:
        """Which tracks (m,) of a slice are kept; None: all of them.

        columns: the slice, with `read` and `read_all` of codae_l1.data.formats._delphes. Raises InputError where events
        have several vertices, but not what assigns tracks to them, and where the vertices are in order of z.
        """
        if self._options.keep_pileup or self._vertices is None:
            return None
        if not self.cuts:
            self._require_one_vertex(columns)
            return None
        event, z = columns.read(self._vertex_z)
        self._require_hard_one_first(event, z, columns.n)
        first = np.full(columns.n, np.nan)
        first[event[::-1]] = z[::-1]
        track_event, (_, *origins) = columns.read_all([self._pt, *self._origins])
        far = [np.abs(origin - first[track_event]) > self._options.vertex_window_mm for origin in origins]
        kept = ~np.all(far, axis=0)
        vertexed = np.isfinite(first[track_event])
        self._seen, self._kept = self._seen + int(vertexed.sum()), self._kept + int((kept & vertexed).sum())
        self._read, self._dropped = self._read + len(kept), self._dropped + int((~kept).sum())
        self._events, self._without = self._events + columns.n, self._without + int(np.isnan(first).sum())
        self._number += len(z)
        return kept

    def line(self) -> str:
        """What was done to the tracks of the events so far."""
        if self._options.keep_pileup:
            return "all tracks are kept, those of pile-up as well (--keep-pileup)"
        if self._vertices is None:
            return f"no branch {self._options.vertices}, so no track was dropped as pile-up"
        if not self.cuts:
            return "at most one vertex per event, so no track was dropped as pile-up"
        names = " and ".join(name.split(".")[1] for name in self._origins)
        text = f"{self._dropped:,} of {self._read:,} tracks were dropped as pile-up: {names} further than"
        text += f" {self._options.vertex_window_mm:g} mm from the first vertex"
        if self._without:
            text += f"; {self._without:,} of {self._events:,} events have no vertex and keep all tracks"
        with_vertex = self._events - self._without
        # The vertex of a hard collision has more tracks than others.
        kept, average = ((n / of if of else 0) for n, of in ((self._kept, with_vertex), (self._seen, self._number)))
        if kept < average:
            text += (
                f". The first has {kept:.1f} tracks, fewer than the {average:.1f} of an average vertex: is it that of"
            )
            text += " the hard collision, and z in mm?"
        return text

    def _require_one_vertex(self, columns: Any) -> None:
        event = columns.count(self._vertices)
        if event.size and event.max() > 1:
            missing = self._vertex_z if self._origins else f"{self._options.tracks}.DZ"
            raise InputError(
                f"{self._path} has up to {event.max()} vertices an event, but no {missing}",
                "what tells tracks of pile-up from others",
                f"write {missing.split('.')[1]}, or say --keep-pileup",
            )

    def _require_hard_one_first(self, event: np.ndarray, z: np.ndarray, n: int) -> None:
        """Raise InputError where vertices are in order of z, in one event or in all so far: the first is then any."""
        inside = np.diff(event) == 0
        after, step = event[1:][inside], np.diff(z)[inside]
        # Equal z, as rounding makes them, tell nothing: k is the number of different ones.
        k = np.bincount(after[step != 0], minlength=n) + 1
        no_chance = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, k.max(initial=1) + 1)))])[k]
        found, several = np.zeros(n, bool), k > 1
        for way, before in self._ordered.items():
            ordered = (np.bincount(after[way * step < 0], minlength=n) == 0) & several
            found |= ordered & (no_chance > _NO_CHANCE)
            # The likelihood of a file that orders all but a few against that of one that orders none.
            few = np.log(_NOT_ORDERED) - np.log1p(-np.exp(-no_chance[several]))
            gains = np.where(ordered[several], no_chance[several] + np.log1p(-_NOT_ORDERED), few)
            told = before + np.cumsum(np.concatenate([[0.0], gains]))
            self._ordered[way] = told[-1]
            if told.max() > _NO_CHANCE:
                found |= ordered
        if found.any():
            raise InputError(
                f"{self._path}: {self._vertex_z} is in order of z in {found.sum()} events",
                "the vertex of the hard collision first",
                "write the vertices in Delphes' order, or say --keep-pileup",
            )
