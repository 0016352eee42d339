"""Zero-bias crossings as arrays, what fires on them, and whether two samples share collisions."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from codae_l1.data.base.errors import InputError

# Strata are slices in the hardest scattering; a sample has a handful.
MAXIMUM_STRATA = 256

# What fires: word name -> threshold (any of them at or above it), or a function of the words, -> (n,) bool.
Fires = Mapping[str, int] | Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True, eq=False)
class Crossings:
    """Crossings of a sample: all of them, or one chunk.

    words: name of a score or a trigger quantity -> (n,) integers, as in firmware; a higher word fires first.
    weight: (n,) >= 0, the mean of a sample is 1. stratum: (n,) small integers, the slice of the hardest scattering.
    members: (n, 3), ids of the collisions that matter most in a crossing, -1 = none; one space of ids for all pools of
    a sample, no id twice in a row. More columns are taken, too.

    >>> Crossings({"ht": np.array([3, 5])}, np.ones(2), np.zeros(2, int), np.array([[0, 1, -1], [1, 2, 3]])).size
    2
    """

    words: Mapping[str, np.ndarray]
    weight: np.ndarray
    stratum: np.ndarray
    members: np.ndarray

    def __post_init__(self):
        n = self.size
        if self.weight.ndim != 1 or not (np.isfinite(self.weight) & (self.weight >= 0)).all():
            raise InputError(
                "crossings with a weight below 0, not finite, or not (n,)",
                "(n,) finite weights >= 0",
                "correct the weights",
            )
        for name, word in {**self.words, "stratum": self.stratum}.items():
            if np.shape(word) != (n,) or not np.can_cast(word.dtype, np.int64) or word.dtype == bool:
                raise InputError(
                    f"{name} of {n} crossings: {getattr(word, 'dtype', type(word).__name__)} {np.shape(word)}",
                    f"({n},) integers of at most 64 bits, signed",
                    "give each crossing an integer word and the stratum that it was drawn in",
                )
        if n and not 0 <= self.stratum.min() <= self.stratum.max() < MAXIMUM_STRATA:
            raise InputError(
                f"strata from {self.stratum.min()} to {self.stratum.max()}",
                f"integers from 0 to {MAXIMUM_STRATA - 1}",
                "number the strata from 0",
            )
        self._check_members()

    def _check_members(self) -> None:
        members = self.members
        if members.ndim != 2 or len(members) != self.size or members.dtype.kind != "i" or members.min(initial=0) < -1:
            raise InputError(
                f"members of {self.size} crossings: {members.dtype} {members.shape}",
                f"({self.size}, 3) ids of collisions, -1 = none",
                "correct the members",
            )
        ordered = np.sort(members, axis=1)
        again = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
        if again.any():
            raise InputError(
                f"members {members[again][0].tolist()} of a crossing",
                "each collision once",
                "put -1 for the second",
            )

    @property
    def size(self) -> int:
        """Number of crossings."""
        return len(self.weight)

    def word(self, name: str) -> np.ndarray:
        """(n,) words of a score or quantity; InputError for an unknown name."""
        if name not in self.words:
            raise InputError(f"no words of {name!r}", f"one of {', '.join(self.words)}", "correct the name")
        return self.words[name]


Sample = Iterable[Crossings] | Crossings


def chunks(sample: Sample) -> Iterator[Crossings]:
    """Every chunk of a sample, which can be read any number of times."""
    if isinstance(sample, Crossings):
        return iter([sample])
    found = iter(sample)
    if found is sample:
        raise InputError(
            f"crossings as a {type(sample).__name__}, which can be read once",
            "a list of chunks, or an object that reads them again",
            "give the list",
        )
    return found


def fired(fires: Fires, crossings: Crossings) -> np.ndarray:
    """(n,) bool: whether a crossing fires.

    >>> chunk = Crossings({"ht": np.array([3, 5])}, np.ones(2), np.zeros(2, int), np.full((2, 3), -1))
    >>> fired({"ht": 4}, chunk).tolist(), fired(lambda words: words["ht"] < 4, chunk).tolist()
    ([False, True], [True, False])
    """
    if not callable(fires):
        found = np.zeros(crossings.size, bool)
        for name, threshold in fires.items():
            found |= crossings.word(name) >= threshold
        return found
    found = np.asarray(fires(crossings.words))
    if found.shape != (crossings.size,) or found.dtype != bool:
        raise InputError(
            f"a menu that answers {found.dtype} {found.shape} for {crossings.size} crossings",
            f"({crossings.size},) bool",
            "correct the menu's function",
        )
    return found


def check_disjoint(members_a: np.ndarray, members_b: np.ndarray, names: tuple[str, str]) -> None:
    """InputError where two samples share collisions; members as in `Crossings`, of all of their crossings.

    A threshold that is learned or chosen on one sample would otherwise be tested on the same hard collisions.

    >>> check_disjoint(np.array([[0, 1, -1]]), np.array([[2, -1, -1]]), ("train", "test"))
    """
    shared = np.intersect1d(members_a, members_b)
    shared = shared[shared >= 0]
    if len(shared):
        raise InputError(
            f"a pool shared between splits: {len(shared)} collisions, {shared[0]} for one, in {' and '.join(names)}",
            "no collision in two splits",
            "draw the crossings of each split from a pool of its own",
        )
