"""In which order a Delphes file has the vertices of its events: whether the first can be that of the hard collision.

Delphes writes that vertex first. Where the vertices of an event are in order of z, or of |z|, the first is any of them.
An event of k vertices is so by chance once in k!; in a file whose vertices after the first are in such an order, once
in k, and where they all lie on one side, in order of z and of |z| at once. So events count over the whole file: those
in order against the number expected by chance, which files of many events exceed so far once in some 10^8. Few events
do not show that those after the first are always in order: a single one of twelve vertices or more is then refused once
in k.
"""

import numpy as np

# Logarithm of how improbable an order by chance is: 18.4 is one in 10^8. Twelve vertices of a single event exceed it,
# and three in each of eleven events.
_NO_CHANCE = 18.4
# The same from which on the vertices after the first are taken to be in order: one in 10^3, since this excuses events.
_LIKELY = 6.9
# Share of events that are not in order in a file that orders its vertices, by rounding or by another step after it.
_NOT_ORDERED = 0.05


class VertexOrder:
    """The order of all vertices of a file, slice by slice."""

    def __init__(self):
        self._ways = [_Way("z", 1), _Way("z", -1), _Way("|z|", 1), _Way("|z|", -1)]

    def add(self, event: np.ndarray, z: np.ndarray, n: int) -> None:
        """Vertices of the next n events: event (m,), in order, and z (m,)."""
        for way in self._ways:
            way.add(event, z, n)

    def found(self) -> tuple[str, int] | None:
        """("z" or "|z|", events that are in its order) where the file's vertices are in order, up or down."""
        ways = [way.whole_file() for way in self._ways]
        in_no_order = ~np.any([way.ordered for way in ways], axis=0)
        usual = [way.orders_rest(in_no_order) for way in ways]
        of_rest = [int((way.rest_ordered & in_no_order).sum()) for way in ways]
        found = {}
        for i, way in enumerate(ways):
            # What orders those after the first of more events excuses the ones that are in this order by that.
            others = [w.rest_ordered for j, w in enumerate(ways) if usual[j] and of_rest[j] > of_rest[i]]
            if way.by_no_chance(~np.any([np.zeros_like(in_no_order), *others], axis=0), usual[i]):
                found[int(way.ordered.sum())] = way.name
        return (found[max(found)], max(found)) if found else None


class _Way:
    """One order, such as z upwards, and which events are in it.

    k, k_rest: (n,) different values among all vertices of an event and among those after the first. counts: several
    ones of which the first may be any. ordered, rest_ordered: whether several are in order, all or after the first.
    """

    def __init__(self, name: str, sign: int):
        self.name, self._sign = name, sign
        self._events: list[np.ndarray] = []

    def add(self, event: np.ndarray, z: np.ndarray, n: int) -> None:
        key = self._sign * (z if self.name == "z" else np.abs(z))
        inside = np.diff(event) == 0
        after, step = event[1:][inside], np.diff(key)[inside]
        behind = np.diff(event, prepend=-1)[:-1][inside] == 0
        # Equal ones, as rounding makes them, tell nothing.
        k, rest = (np.bincount(after[which], minlength=n) + 1 for which in (step != 0, (step != 0) & behind))
        wrong, wrong_rest = (np.bincount(after[w], minlength=n) > 0 for w in (step < 0, (step < 0) & behind))
        # A collision that is generated at z = 0 is the nearest of all, wherever it stands.
        at_zero = np.bincount(event[z == 0], minlength=n) > 0
        self._events.append(np.array([k, rest, wrong, wrong_rest, at_zero & (self.name == "|z|")], np.int32))

    def whole_file(self) -> "_Way":
        """This way, with what is said above of all its events so far."""
        self.k, self.k_rest, *flags = np.concatenate([np.zeros((5, 0), np.int32), *self._events], axis=1)
        wrong, self._wrong_rest, excluded = np.array(flags, bool)
        self.counts = (self.k > 1) & ~excluded
        self.ordered = self.counts & ~wrong
        self.rest_ordered = (self.k_rest > 1) & ~self._wrong_rest
        return self

    def orders_rest(self, which: np.ndarray) -> bool:
        """Whether a part of the file orders vertices after the first so; which: (n,) events that are asked."""
        asked = which & (self.k_rest > 1)
        told = np.cumsum(np.concatenate([[0.0], _gains(self.rest_ordered, _log_factorial(self.k_rest))[asked]]))
        return bool((told - np.minimum.accumulate(told)).max() > _LIKELY)

    def by_no_chance(self, which: np.ndarray, usual: bool) -> bool:
        """Whether more of these events (n,) are in order than by chance; usual: the file orders those after the first.

        Otherwise the first few may be all that there are: the likelihood of a file that orders its vertices from the
        start against one that orders none, at its largest.
        """
        which = which & self.counts
        number = int((self.ordered & which).sum())
        if usual:
            return _exceeds(number, (1 / self.k)[which & ~self._wrong_rest].sum())
        told = np.cumsum(_gains(self.ordered, _log_factorial(self.k))[which])
        # Wherever hard collisions lie, chance orders those after the first.
        expected = np.exp(-_log_factorial(self.k - 1)[which]).sum()
        return bool(told.max(initial=0.0) > _NO_CHANCE) or _exceeds(number, expected)


def _exceeds(number: int, expected: float) -> bool:
    """Whether so many events are none by chance (bound of Chernoff on the tail of a Poisson distribution).

    >>> _exceeds(100, 100.0), _exceeds(150, 100.0), _exceeds(170, 100.0)
    (False, False, True)
    """
    return number > expected and bool(number * np.log(number / expected) - number + expected > _NO_CHANCE)


def _log_factorial(k: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, k.max(initial=1) + 1)))])[k]


def _gains(ordered: np.ndarray, no_chance: np.ndarray) -> np.ndarray:
    """What each event adds: the likelihood of a file that orders all but a few against that of one that orders none."""
    with np.errstate(divide="ignore"):
        few = np.log(_NOT_ORDERED) - np.log1p(-np.exp(-no_chance))
    return np.where(ordered, no_chance + np.log1p(-_NOT_ORDERED), few)
