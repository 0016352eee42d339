"""In which order a Delphes file has the vertices of its events: whether the first can be that of the hard collision.

Delphes writes that vertex first. Where the vertices of an event are in order of z, or of |z|, the first is any of them.
An event of k vertices is so by chance once in k!; in a file whose vertices after the first are in order, once in k. No
more than one file in 10^8 may be refused by chance.
"""

import numpy as np

# Logarithm of how improbable an order by chance is: 18.4 is one in 10^8. Twelve vertices of one event exceed it, and
# three in each of eleven events.
_NO_CHANCE = 18.4
# Share of events that are not in order in a file that orders its vertices, by rounding or by another step after it.
_NOT_ORDERED = 0.05


class VertexOrder:
    """The order of all vertices of a file, slice by slice."""

    def __init__(self):
        self._ways = {(name, sign): _Way() for name in ("z", "|z|") for sign in (1, -1)}

    def add(self, event: np.ndarray, z: np.ndarray, n: int) -> None:
        """Vertices of the next n events: event (m,), in order, and z (m,)."""
        # A collision that is generated at z = 0 is the nearest of all, wherever it stands.
        away = np.bincount(event[z == 0], minlength=n)[event] == 0
        for (name, sign), way in self._ways.items():
            if name == "z":
                way.add(event, sign * z, n)
            else:
                way.add(event[away], sign * np.abs(z[away]), n)

    def found(self) -> tuple[str, int] | None:
        """("z" or "|z|", events that are in its order) where the file's vertices are in order, up or down."""
        found = [(way.found(), name) for (name, _), way in self._ways.items()]
        events, name = max(found, key=lambda pair: pair[0])
        return (name, events) if events else None


class _Way:
    """One order, such as z upwards. The names of what is kept are those of logarithms of likelihoods.

    all_ordered, most: of a file that orders its vertices against one that orders none; most: at its largest so far.
    rest_ordered: of one that orders those after the first against one that orders none, of events not in order.
    first_ordered: where the others are in order, of one that orders the first as well against one that does not.
    events, surely: events that are in order, and of these those that are by no chance.
    """

    def __init__(self):
        self.all_ordered = self.most = self.rest_ordered = self.first_ordered = 0.0
        self.events = self.surely = 0

    def add(self, event: np.ndarray, key: np.ndarray, n: int) -> None:
        inside = np.diff(event) == 0
        after, step = event[1:][inside], np.diff(key)[inside]
        from_first = np.diff(event, prepend=-1)[:-1][inside] > 0
        # Equal ones, as rounding makes them, tell nothing: k is the number of different ones.
        k, rest = (np.bincount(after[which], minlength=n) + 1 for which in (step != 0, (step != 0) & ~from_first))
        wrong, wrong_rest = (np.bincount(after[w], minlength=n) > 0 for w in (step < 0, (step < 0) & ~from_first))
        several, among_rest = k > 1, rest > 1
        ordered = several & ~wrong
        told = self.all_ordered + np.cumsum(np.concatenate([[0.0], _gains(ordered, _log_factorial(k))[several]]))
        self.all_ordered, self.most = told[-1], max(self.most, told.max())
        others = among_rest & ~ordered
        self.rest_ordered += _gains(~wrong_rest, _log_factorial(rest))[others].sum()
        self.first_ordered += _gains(ordered, np.log(k))[several & ~wrong_rest].sum()
        self.events += int(ordered.sum())
        self.surely += int((ordered & (_log_factorial(k) > _NO_CHANCE)).sum())

    def found(self) -> int:
        """Events in order where that is by no chance, or 0."""
        if self.rest_ordered > _NO_CHANCE:
            # The others are in order anyway: one event of k is so by chance.
            return self.events if self.first_ordered > _NO_CHANCE else 0
        return self.events if self.most > _NO_CHANCE else self.surely


def _log_factorial(k: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, k.max(initial=1) + 1)))])[k]


def _gains(ordered: np.ndarray, no_chance: np.ndarray) -> np.ndarray:
    """What each event adds: the likelihood of a file that orders all but a few against that of one that orders none."""
    with np.errstate(divide="ignore"):
        few = np.log(_NOT_ORDERED) - np.log1p(-np.exp(-no_chance))
    return np.where(ordered, no_chance + np.log1p(-_NOT_ORDERED), few)
