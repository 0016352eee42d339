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
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.formats._delphes_order import VertexOrder

TREE = "Delphes"
KIND = f"a ROOT file of Delphes: tree {TREE} with tracks and towers"
# Share of other vertices with fewer tracks, or a smaller sum of pT^2, than the first: half where it is any of them,
# three quarters where it is so in half of the events, and one of the two 0.95 to 1 where it is that of hard collisions.
# Share of zero-bias events with the highest sum first: 0.96 to 1 where the vertices are in that order.
_FIRST = 0.9
# Standard deviations of that share by which it may be missed by chance.
_DEVIATIONS = 3.0
# mm, beyond any detector: keeps the vertices of events apart on one axis.
_FAR = 1e6


class PileUp:
    """What is done about pile-up in one file.

    options: a DelphesOptions. names: branches of the file. cuts: whether tracks are dropped. Raises InputError where
    vertices that were asked for by name are not there. `look` sees all slices before `kept` sees one.
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
        self._order = VertexOrder()
        # Of the events with other vertices than the first: their number, and the sums of the shares as above.
        self._ranked, self._above = 0, np.zeros(3)

    def look(self, columns: Any) -> None:
        """See in which order a slice has its vertices."""
        if self.cuts:
            event, z = columns.read(self._vertex_z)
            self._order.add(event, z, columns.n)

    def require_chosen_one_first(self, label: str) -> None:
        """Raise InputError where the vertices of the file are in order of z or of |z|: the first is then any.

        label: the process of the events.
        """
        if found := self._order.found():
            number = f"{found[1]:,} event{'s' if found[1] > 1 else ''}"
            hard, chosen = (
                "of the hard collision first",
                "that a trigger would choose first, of the highest sum of pT^2",
            )
            raise InputError(
                f"{self._path}: {self._vertex_z} is in order of {found[0]} in {number}",
                f"the vertex {chosen if label == ZERO_BIAS else hard}",
                "write the vertices in Delphes' order, or say --keep-pileup",
            )

    def kept(self, columns: Any) -> np.ndarray | None:
        """Which tracks (m,) of a slice are kept; None: all of them.

        columns: the slice, with `read` and `read_all` of codae_l1.data.formats._delphes. Raises InputError where events
        have several vertices, but not what assigns tracks to them.
        """
        if self._options.keep_pileup or self._vertices is None:
            return None
        if not self.cuts:
            self._require_one_vertex(columns)
            return None
        event, z = columns.read(self._vertex_z)
        first = np.full(columns.n, np.nan)
        first[event[::-1]] = z[::-1]
        track_event, (pt, *origins) = columns.read_all([self._pt, *self._origins])
        far = [np.abs(origin - first[track_event]) > self._options.vertex_window_mm for origin in origins]
        kept = ~np.all(far, axis=0)
        vertexed = np.isfinite(first[track_event])
        self._seen, self._kept = self._seen + int(vertexed.sum()), self._kept + int((kept & vertexed).sum())
        self._read, self._dropped = self._read + len(kept), self._dropped + int((~kept).sum())
        self._events, self._without = self._events + columns.n, self._without + int(np.isnan(first).sum())
        self._number += len(z)
        above = _share_above(event, z, track_event, origins, pt, columns.n)
        self._ranked += int(np.isfinite(above[0]).sum())
        self._above += np.nansum(above, axis=1)
        return kept

    def line(self, label: str) -> str:
        """What was done to the tracks of the events so far, which are of the process `label`."""
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
        return text + (self._of_zero_bias() if label == ZERO_BIAS else self._of_hard_collisions())

    def _of_hard_collisions(self) -> str:
        """What is asked where the first vertex is not unlike the others of its event."""
        with_vertex = self._events - self._without
        # The vertex of a hard collision has more tracks than others.
        kept, average = ((n / of if of else 0) for n, of in ((self._kept, with_vertex), (self._seen, self._number)))
        if kept < average:
            text = f". The first has {kept:.1f} tracks, fewer than the {average:.1f} of an average vertex"
            return f"{text}: is it that of the hard collision, and z in mm?"
        above = self._above[:2].max()
        if not _missed(above, self._ranked):
            return ""
        share = f"{100 * above / self._ranked:.0f} % of the others of its event in tracks or pT^2"
        return f". The first stands above {share}, where any does above half: is it that of the hard collision?"

    def _of_zero_bias(self) -> str:
        """What is said where the first vertex is another than a trigger chooses; it need not be unlike the others."""
        if not _missed(self._above[2], self._ranked):
            return ""
        share = f"{100 * self._above[2] / self._ranked:.0f} % of events"
        chosen = "a trigger chooses that one, and signals are read so"
        return f". The first vertex has the highest sum of pT^2 in {share}; {chosen}: write it first, and z in mm"

    def _require_one_vertex(self, columns: Any) -> None:
        event = columns.count(self._vertices)
        if event.size and event.max() > 1:
            missing = self._vertex_z if self._origins else f"{self._options.tracks}.DZ"
            raise InputError(
                f"{self._path} has up to {event.max()} vertices an event, but no {missing}",
                "what tells tracks of pile-up from others",
                f"write {missing.split('.')[1]}, or say --keep-pileup",
            )


def _share_above(
    event: np.ndarray, z: np.ndarray, track_event: np.ndarray, origins: list[np.ndarray], pt: np.ndarray, n: int
) -> np.ndarray:
    """How the first vertices stand (3, n): the share of others with fewer tracks, that of others with a smaller sum of
    pT^2, and 1 where none has a larger one, else 0.

    NaN without others. Equal ones count half, and vertices at one z are one. Tracks belong to the nearest vertex, so
    that neighbours in the window of the first do not lift it.

    event, z: of vertices (m,). track_event, origins (one or two), pt: of tracks (t,).

    >>> tracks = [np.array([5.0, 5.1, 9.0, 2.0])]
    >>> pt = np.array([1.0, 1.0, 1.0, 2.0])
    >>> _share_above(np.zeros(3, int), np.array([5.0, 1.0, 9.0]), np.zeros(4, int), tracks, pt, 1).tolist()
    [[1.0], [0.5], [0.0]]
    """
    # Vertices of all events on one axis, in order; those at one z are one.
    place, which = np.unique(_on_one_axis(event, z), return_inverse=True)
    if not len(place):
        return np.full((3, n), np.nan)
    of, first = np.zeros(len(place), np.int64), np.full(n, -1)
    of[which], first[event[::-1]] = event, which[::-1]
    at = [_on_one_axis(track_event, origin) for origin in origins]
    after = [np.searchsorted(place, where) for where in at]
    candidates = np.clip([step + i for step in after for i in (-1, 0)], 0, len(place) - 1)
    closest = np.abs(place[candidates] - np.repeat(at, 2, axis=0)).argmin(axis=0)
    nearest = np.take_along_axis(candidates, closest[None], axis=0)[0]
    own, others, shares = of[nearest] == track_event, np.bincount(of, minlength=n) - 1, []
    for content in (np.ones(len(pt)), pt**2):
        sums = np.bincount(nearest[own], content[own], len(place))
        above = np.sign(sums[first[of]] - sums) / 2 + 0.5
        # The first itself counts half.
        shares.append(np.bincount(of, above, n) - 0.5)
    shares.append(others * (np.bincount(of[above < 0.5], minlength=n) == 0))
    return np.divide(shares, others, out=np.full((3, n), np.nan), where=others > 0)


def _missed(total: float, n: int) -> bool:
    """Whether a share, summed over n events, is below that of vertices in Delphes' order; a single event tells nothing.

    >>> _missed(0.0, 1), _missed(2.0, 5), _missed(3.0, 5), _missed(75.0, 100)
    (False, True, False, True)
    """
    return n > 1 and bool(total < n * _FIRST - _DEVIATIONS * np.sqrt(n * _FIRST * (1 - _FIRST)))


def _on_one_axis(event: np.ndarray, z: np.ndarray) -> np.ndarray:
    return event * _FAR + np.clip(z, -_FAR / 4, _FAR / 4)
