"""The rate of one set of crossings, and the threshold of one rate."""

from dataclasses import dataclass

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation._crossing_sums import CrossingSums, Cut, Share
from codae_l1.models.evaluation._crossings import Fires, Sample


@dataclass(frozen=True)
class CrossingRate:
    """Rate of crossings that fire.

    rate_khz, error_khz: None where the sample cannot carry it, then `reason` says why. effective: (rate / error)^2, at
    least ten. crossings: number that fire. collisions: the fewest different collisions that could be in all of them.
    threshold: of the score, None where a menu was rated or no threshold has the rate.
    """

    rate_khz: float | None
    error_khz: float | None
    effective: float
    crossings: int
    collisions: int
    threshold: int | None = None
    reason: str | None = None


def total_rate(sample: Sample, fires: Fires, crossing_khz: float) -> CrossingRate:
    """Rate of what fires: {score: threshold}, several of them joined by "or", or a function of the words.

    >>> import numpy as np
    >>> from codae_l1.models.evaluation.crossing_rates import Crossings
    >>> members = np.stack([np.arange(1000), np.full(1000, -1), np.full(1000, -1)], axis=1)
    >>> sample = Crossings({"ht": np.arange(1000)}, np.ones(1000), np.zeros(1000, int), members)
    >>> rate = total_rate(sample, {"ht": 900}, crossing_khz=40_000.0)
    >>> round(rate.rate_khz, 6), round(rate.error_khz, 1), round(rate.effective)
    (4000.0, 379.5, 111)
    >>> total_rate(sample, {"ht": 995}, 40_000.0).reason.split(":")[0]
    '5 crossings with 5 different collisions fire'
    """
    cut = Cut(None)
    return _rate(CrossingSums(sample, (), fires, crossing_khz).measure([cut])[cut], crossing_khz, None)


def threshold_at(
    sample: Sample, score: str, rate_khz: float, crossing_khz: float, menu: Fires | None = None
) -> CrossingRate:
    """The lowest threshold whose rate does not exceed `rate_khz`; with a menu, whose pure rate does not.

    Refused where it has less than ten effective collisions, where everything would fire, and where the crossings with
    the largest word alone have more.
    """
    if not rate_khz > 0:
        raise InputError(f"a rate of {rate_khz} kHz", "a number above 0", "correct the rate")
    pure = menu is not None
    sums = CrossingSums(sample, (score,), menu or {}, crossing_khz)
    threshold, reason = sums.threshold(score, rate_khz / crossing_khz, pure)
    if threshold is None:
        return CrossingRate(None, None, 0.0, 0, 0, None, reason)
    cut = Cut(score, threshold, pure)
    return _rate(sums.measure([cut])[cut], crossing_khz, threshold)


def _rate(share: Share, crossing_khz: float, threshold: int | None) -> CrossingRate:
    reason = share.refusal()
    rate, error = (None, None) if reason else (share.share * crossing_khz, share.error * crossing_khz)
    return CrossingRate(rate, error, share.effective, share.fired, share.collisions, threshold, reason)
