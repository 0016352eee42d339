"""The lowest rates that a sample of crossings will carry, from its config alone.

A rate is carried by ten effective crossings (codae_l1.models.evaluation.crossing_rates). Where the crossings that fire
are of stratum k, which has the probability P_k and is a share q_k of the N crossings made, and they fire because of one
collision of slice k, of which there are mu f_k in a crossing and M_k in the pool, the lowest rate is

    10 f max(P_k / (q_k N), mu f_k / M_k)          f: rate of crossings, kHz

Each crossing of the stratum stands for the first share, and each collision of the pool for the second, however many
crossings it is in. A score has crossings of several strata; the rates that it carries are near those of the stratum
from which most of its crossings come. The softest is the worst case: scores that sum many collisions do not depend on
one of them.

Whether the crossings carry the menu, which is solved on them, follows in the same way (`check_menu`).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.menu import MenuConfig
from codae_l1.models.evaluation.roc import MINIMUM_BACKGROUND

# mb, cross section of HardQCD:all above a pT-hat [GeV], and of inelastic collisions: Pythia 8.317.2 at 13.6 TeV, the
# sums of the slices in data/sample/crossings.h5.
_ABOVE = {
    20.0: 0.76804,
    30.0: 0.17404,
    45.0: 0.036935,
    70.0: 0.0063517,
    110.0: 0.00095782,
    170.0: 0.00014073,
    300.0: 9.7693e-06,
}
_INELASTIC_MB = 78.585
# Collisions of a slice over those of the slice below it in the pool, as the generator has them.
_FALL = 0.65


def predicted_reach(config: CrossingsConfig, crossing_khz: float) -> list[dict[str, float]]:
    """Per stratum {"from_gev", "reach_khz"}, the softest first, of a sample with one pile-up in the test split alone.

    >>> config = CrossingsConfig(n_crossings=(0, 0, 0, 1_000_000), cuts_gev=(20.0, 70.0))
    >>> [(row["from_gev"], round(row["reach_khz"], 2)) for row in predicted_reach(config, 28_607.0)]
    [(0.0, 70.82), (20.0, 4.08), (70.0, 0.05)]
    """
    crossings, mu = config.n_crossings[-1], max(config.pileup)
    shares = _slice_shares(config.cuts_gev)
    _, weight = _strata(config)
    fall = _FALL ** np.arange(len(shares))
    pool = np.append(config.n_soft, config.n_hard * fall / fall.sum())
    least = np.maximum(weight / crossings, mu * np.append(1 - shares.sum(), shares) / pool)
    reach = MINIMUM_BACKGROUND * crossing_khz * least
    cuts = (0.0, *config.cuts_gev)
    return [{"from_gev": cut, "reach_khz": khz} for cut, khz in zip(cuts, reach.tolist(), strict=True)]


def check_menu(config: CrossingsConfig, menu: MenuConfig, crossing_khz: float) -> str:
    """Words where the crossings of a sample may be too few for the menu's thresholds, "" where they are enough.

    Crossings are fewest, for the rate that they stand for, where the heaviest fire: a path has its share of the total
    at least. They are most where the lightest fire, up to the total. InputError where not even these are ten.

    >>> config = CrossingsConfig(n_crossings=(0, 0, 0, 5000))
    >>> check_menu(config, MenuConfig(), 28_607.0)
    'fewer than 21,923 crossings may leave a path of the menu less than ten effective ones, and are then refused'
    """
    crossings = config.n_crossings[-1]
    strata, weight = _strata(config)
    share = menu.total_khz / crossing_khz
    lightest = np.argsort(weight)
    taken = np.diff(np.minimum(np.cumsum(strata[lightest]), share), prepend=0.0)
    most = crossings * taken.sum() ** 2 / (taken @ weight[lightest])
    path = min(menu.shares.values()) / sum(menu.shares.values())
    enough = math.ceil(MINIMUM_BACKGROUND * weight.max() / (path * share))
    if most < MINIMUM_BACKGROUND:
        raise InputError(
            f"--crossings {crossings} for a menu of {menu.total_khz:g} kHz: at most {most:.2g} effective ones fire",
            f"at least {MINIMUM_BACKGROUND:g}",
            f"give --crossings {enough}, or more, or raise trigger.menu.total_khz of the run",
        )
    text = f"fewer than {enough:,} crossings may leave a path of the menu less than ten effective ones"
    return "" if crossings >= enough else f"{text}, and are then refused"


def reach_text(predicted: Sequence[Mapping[str, float]]) -> str:
    """In words, for the terminal."""
    cuts = [row["from_gev"] for row in predicted]
    names = [f"below {cuts[1]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(cuts[1:])), f"above {cuts[-1]:g}"]
    parts = [f"{name} GeV {row['reach_khz']:.3g}" for name, row in zip(names, predicted, strict=True)]
    return f"predicted reach in kHz by the hardest scattering of what fires: {', '.join(parts)}"


def _strata(config: CrossingsConfig) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each stratum (K + 1,), and the weight of its crossings."""
    mu, shares = max(config.pileup), _slice_shares(config.cuts_gev)
    above = np.append(np.cumsum(shares[::-1])[::-1], 0.0)
    strata = np.append(np.exp(-mu * above[0]), -np.expm1(-mu * shares) * np.exp(-mu * above[1:]))
    made = strata ** (1 - config.bias) * (strata > 0)
    made /= made.sum()
    return strata, np.divide(strata, made, out=np.zeros_like(made), where=made > 0)


def _slice_shares(cuts_gev: tuple[float, ...]) -> np.ndarray:
    """Share of the inelastic collisions in each slice of pT-hat (K,); a power law between the known cuts."""
    known, above = np.log(list(_ABOVE)), np.log(list(_ABOVE.values()))
    at = np.log(cuts_gev)
    place = np.clip(np.searchsorted(known, at, side="right") - 1, 0, len(known) - 2)
    slope = np.diff(above)[place] / np.diff(known)[place]
    total = np.exp(above[place] + slope * (at - known[place]))
    return (total - np.append(total[1:], 0.0)) / _INELASTIC_MB
