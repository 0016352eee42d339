"""The thresholds of a menu: paths that share a total rate. Public as `codae_l1.data.menu`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np

from codae_l1.data.base.errors import InputError

# Fewest effective crossings that a path's rate rests on, (sum w)^2 / sum(w^2).
_MINIMUM_EFFECTIVE = 10.0
# Words of at most 24 bits: one number per word is in memory.
_LARGEST_WORD = (1 << 24) - 1
# Sums of floating-point weights: allow for their rounding.
_TOLERANCE = 1 + 1e-9

Words = Mapping[str, np.ndarray]


def _equal(*paths: str) -> dict[str, float]:
    return dict.fromkeys(paths, 1.0)


@dataclass(frozen=True)
class MenuConfig:
    """The paths of a menu and the rate that they may have together.

    total_khz: rate of the crossings that at least one path takes. shares: word (`menu_words`) -> share of the path that
    fires on it; a path's own rate is proportional to its share, whatever their sum. Presets: `phase1`, the 100 kHz of
    the CMS detector's readout (arXiv:2006.10165), and `phase2`, the 750 kHz of the HL-LHC (PoS LHCP2023 113).
    """

    total_khz: float = 100.0
    shares: dict[str, float] = field(default_factory=lambda: _equal("HT", "MET", "jet1", "jet2"))
    PRESETS: ClassVar[Mapping[str, "MenuConfig"]] = {}

    def __post_init__(self):
        if not 0 < self.total_khz < np.inf:
            raise InputError(f"total_khz = {self.total_khz}", "a rate above 0 kHz", "correct it")
        if not self.shares or not all(0 < share < np.inf for share in self.shares.values()):
            raise InputError(f"shares = {self.shares}", "at least one path, each with a share above 0", "correct them")


MenuConfig.PRESETS = {
    "phase1": MenuConfig(),
    "phase2": MenuConfig(750.0, _equal("HT", "MET", "jet1", "jet2", "track_HT")),
}


@dataclass(frozen=True)
class Menu:
    """A menu with its thresholds, as `solve_menu` found it.

    thresholds: path -> lowest word that fires. rates_khz: path -> its own rate, whatever the other paths take.
    rate_khz: of crossings that at least one path takes.
    """

    thresholds: dict[str, int]
    rates_khz: dict[str, float]
    rate_khz: float

    def fires(self, words: Words) -> np.ndarray:
        """Words, each (n,) integers -> whether at least one path takes the crossing: (n,) bool.

        >>> Menu({"HT": 560, "jet1": 360}, {}, 0.0).fires({"HT": np.array([559, 560]), "jet1": np.array([0, 0])})
        array([False,  True])
        """
        return np.logical_or.reduce([_of(words, path) >= least for path, least in self.thresholds.items()])

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        paths = {p: {"threshold": t, "rate_khz": self.rates_khz[p]} for p, t in self.thresholds.items()}
        return {"rate_khz": self.rate_khz, "paths": paths}


def solve_menu(
    words: Words | Iterable[Words],
    weight: np.ndarray | Iterable[np.ndarray],
    menu: MenuConfig,
    crossing_khz: float,
) -> Menu:
    """The lowest thresholds for which all paths together do not exceed the menu's total.

    words: name -> (n,) integers >= 0 of zero-bias crossings, or chunks of them that can be read twice. weight: (n,) or
    chunks. crossing_khz: rate of all crossings.

    A path whose threshold is t has the rate crossing_khz * sum(w of words >= t) / sum(w). With one scale for all paths
    each threshold is the lowest word of the sample whose rate does not exceed scale * share * total_khz; the scale is
    the largest for which the union does not exceed total_khz. It is found exactly, in two passes: the scale from which
    a crossing fires follows from its words and the rates above them. Chunks give the same menu to the last bit.

    Raises InputError where the total is not below the rate of crossings, a path cannot fire so rarely, or fewer than
    ten effective crossings fire a path.

    >>> words = {"HT": np.arange(1000), "MET": np.arange(1000)[::-1]}
    >>> menu = solve_menu(words, np.ones(1000), MenuConfig(4000.0, {"HT": 3, "MET": 1}), 40_000.0)
    >>> menu.thresholds, menu.rate_khz
    ({'HT': 925, 'MET': 975}, 4000.0)
    """
    if not menu.total_khz < crossing_khz < np.inf:
        raise InputError(
            f"a menu of {menu.total_khz:g} kHz for crossings at {crossing_khz:g} kHz",
            "a total below the rate of crossings",
            "lower total_khz or correct the rate of crossings",
        )
    paths = {path: _Path(path) for path in menu.shares}
    for part, w in _chunks(words, weight):
        for path in paths.values():
            path.add(part, w)
    for path, share in menu.shares.items():
        paths[path].finish(share / sum(menu.shares.values()) * menu.total_khz, crossing_khz)
    scale, union_khz = _largest_scale(paths, words, weight, menu.total_khz, crossing_khz)
    cuts = {name: path.cut(scale) for name, path in paths.items()}
    return Menu(
        {name: threshold for name, (threshold, _) in cuts.items()},
        {name: rate for name, (_, rate) in cuts.items()},
        union_khz,
    )


def _largest_scale(
    paths: "dict[str, _Path]",
    words: Words | Iterable[Words],
    weight: np.ndarray | Iterable[np.ndarray],
    total_khz: float,
    crossing_khz: float,
) -> tuple[float, float]:
    """The largest scale for which the union does not exceed the total, and the rate of the union."""
    scales = np.unique(np.concatenate([path.scales[path.seen] for path in paths.values()]))
    union = np.zeros(len(scales))
    for part, w in _chunks(words, weight):
        first = np.min([path.scales[_of(part, name)] for name, path in paths.items()], axis=0)
        np.add.at(union, np.searchsorted(scales, first), w)
    rates = crossing_khz * (np.cumsum(union) / union.sum())
    allowed = int(np.searchsorted(rates, total_khz * _TOLERANCE, side="right"))
    if not allowed:
        raise InputError(
            f"{rates[0]:.4g} kHz where only the largest word of {min(paths, key=lambda p: paths[p].rarest)} fires",
            f"at most {total_khz:g} kHz",
            "raise total_khz, or leave the path out",
        )
    return float(scales[allowed - 1]), float(rates[allowed - 1])


class _Path:
    """Sums of weights per word of one path; then, per word, its rate and the scale from which it fires."""

    def __init__(self, name: str):
        self.name = name
        self._sums = np.zeros((2, 0))

    def add(self, words: Words, weight: np.ndarray) -> None:
        values = _of(words, self.name)
        if values.shape != weight.shape or values.dtype.kind not in "iu":
            raise InputError(
                f"words {self.name}: {values.dtype} {values.shape} for weights {weight.shape}",
                "one integer and one weight per crossing",
                "correct the words",
            )
        if values.min(initial=0) < 0 or values.max(initial=0) > _LARGEST_WORD:
            raise InputError(
                f"words {self.name} from {values.min()} to {values.max()}",
                f"0 to {_LARGEST_WORD}",
                "correct the words",
            )
        longer = int(values.max(initial=-1)) + 1 - self._sums.shape[1]
        self._sums = np.pad(self._sums, ((0, 0), (0, max(longer, 0))))
        # One after the other, so that the sums do not depend on the chunks.
        np.add.at(self._sums[0], values, weight)
        np.add.at(self._sums[1], values, weight**2)

    def finish(self, target_khz: float, crossing_khz: float) -> None:
        above, squares = np.cumsum(self._sums[:, ::-1], axis=1)[:, ::-1]
        if not len(above) or not 0 < above[0] < np.inf:
            raise InputError("crossings whose weights are all zero, or none", "some weight", "give zero-bias crossings")
        self.seen = self._sums[0] > 0
        self.rates = crossing_khz * (above / above[0])
        self.effective = np.divide(above**2, squares, out=np.zeros_like(above), where=squares > 0)
        self.target_khz, self.scales = target_khz, self.rates / target_khz
        self.rarest = self.scales[self.seen][-1]

    def cut(self, scale: float) -> tuple[int, float]:
        """Lowest word of the sample that fires at a scale, and its rate."""
        firing = np.flatnonzero(self.seen & (self.scales <= scale))
        if not len(firing):
            raise InputError(
                f"path {self.name} fires at {self.rates[self.seen][-1]:.4g} kHz with its largest word alone",
                f"at most {scale * self.target_khz:.4g} kHz, its share",
                "raise the total or the path's share, or leave the path out",
            )
        word = int(firing[0])
        if self.effective[word] * _TOLERANCE < _MINIMUM_EFFECTIVE:
            raise InputError(
                f"path {self.name} at {self.rates[word]:.4g} kHz: {self.effective[word]:.3g} effective crossings fire",
                f"at least {_MINIMUM_EFFECTIVE:g}",
                "give more zero-bias crossings, or raise total_khz or the path's share",
            )
        return word, float(self.rates[word])


def _of(words: Words, path: str) -> np.ndarray:
    if path not in words:
        raise InputError(f"no words of {path!r}", f"one of {', '.join(words)}", "correct the path's name")
    return np.asarray(words[path])


def _chunks(
    words: Words | Iterable[Words], weight: np.ndarray | Iterable[np.ndarray]
) -> Iterator[tuple[Words, np.ndarray]]:
    whole = isinstance(words, Mapping)
    parts: Any = [words] if whole else words
    weights: Any = [weight] if whole else weight
    if iter(parts) is parts or iter(weights) is weights:
        raise InputError("chunks that can be read once", "chunks that can be read twice", "give lists")
    for part, w in zip_longest(parts, weights):
        if part is None or w is None:
            raise InputError("unequal numbers of chunks of words and weights", "as many of each", "correct them")
        values = np.asarray(w, np.float64)
        if values.ndim != 1 or not (np.isfinite(values) & (values >= 0)).all():
            raise InputError("weights below 0, not finite, or not (n,)", "(n,) finite weights >= 0", "correct them")
        yield part, values
