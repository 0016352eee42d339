"""Working points: integer thresholds at rates of weighted QCD, what they say, and what the events cannot carry."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.hls.trigger.thresholds import Decision, WorkingPoint, working_points, zero_bias_points
from codae_l1.models.evaluation.crossing_rates import Crossings
from codae_l1.models.evaluation.rates import background_rate

# 2,000 QCD events in the file, the first 1,000 of them in the part, where 200 signal events follow.
SIGNAL = np.array(["qcd"] * 2000 + ["h125"] * 200)
WEIGHT = np.concatenate([np.tile([0.5, 1.5], 1000), np.ones(200)])
PART = np.concatenate([np.arange(1000), np.arange(2000, 2200)])
SCORES = np.concatenate([np.arange(1000) // 4, np.arange(200) + 100])
PROVENANCE = {"processes": {"qcd": {"cross_section_pb": 5e4, "sum_weight": 2000.0}}}


def points(rates=(), fprs=(), provenance=PROVENANCE):
    return working_points(SCORES, PART, SIGNAL, WEIGHT, provenance, rates, 2e34, fprs)


def test_a_rate_becomes_the_lowest_word_that_keeps_to_it():
    # 1 kHz in all, 1,000 events of mean weight 1, four a word: 0.1 kHz are 25 words.
    (point,) = points([0.1])
    assert (point.name, point.threshold) == ("rate_0.1_khz", 225)
    rate = background_rate(SCORES[:1000], WEIGHT[:1000], 225, 5e4, 2e34)
    assert point.facts["rate_khz"] == rate.rate_khz == pytest.approx(0.1)
    assert point.facts["error_khz"] == rate.error_khz > 0
    assert background_rate(SCORES[:1000], WEIGHT[:1000], 224, 5e4, 2e34).rate_khz > 0.1
    assert point.facts["tpr"]["h125"]["value"] == 75 / 200
    assert 0 < point.facts["tpr"]["h125"]["error"] < 0.05
    assert point.facts["total_khz"] == pytest.approx(1.0)
    assert point.facts["passing_share"] == pytest.approx(0.1)


def test_what_the_events_cannot_carry_never_fires_and_says_why():
    (point,) = points([0.005])
    assert point.threshold is None
    assert point.facts["rate_khz"] is None
    assert point.facts["tpr"] is None
    assert "effective background events pass, fewer than 10" in point.facts["reason"]
    assert not Decision((point,)).accept(np.array([[10**9]]), kill=False).any()


@pytest.mark.parametrize("asked", [1.0, 50.0])
def test_a_rate_beyond_the_sample_never_fires(asked):
    (point,) = points([asked])
    assert (point.threshold, point.facts["rate_khz"], point.facts["passing_share"]) == (None, None, None)
    assert point.facts["total_khz"] == pytest.approx(1.0)
    assert point.facts["reason"] == f"{asked:g} kHz is not below the sample's total of 1 kHz: everything would fire"
    (share,) = points((), [1.0])
    assert (share.threshold, share.facts["reason"]) == (None, "the share 1 would let every background event pass")


def test_events_without_cross_section_have_shares_and_no_rates():
    rate, share = points([0.1], [0.1], {})
    assert rate.threshold is None
    assert "events without a cross section of qcd" in rate.facts["reason"]
    assert (share.name, share.threshold, share.facts["fpr"]) == ("fpr_0.1", 225, 0.1)
    assert share.facts["rate_khz"] is None
    assert share.facts["rate_reason"] == "events without a cross section of qcd"
    assert share.facts["tpr"]["h125"]["value"] == 75 / 200


def test_a_share_of_the_events_has_its_rate_where_cross_sections_are_known():
    share, refused = points((), [0.1, 0.001])
    assert share.facts["rate_khz"] == pytest.approx(0.1)
    assert share.facts["passing_share"] == pytest.approx(0.1)
    assert refused.threshold is None
    assert "would pass, fewer than 10" in refused.facts["reason"]


def test_ties_fire_the_sign_turns_and_the_switch_kills():
    decision = Decision((WorkingPoint("a", -5), WorkingPoint("b", 7)), sign=-1, component=1)
    words = np.array([[99, 5], [99, 6], [-99, -7], [0, -8]])
    assert decision.scores(words).tolist() == [-5, -6, 7, 8]
    assert decision.accept(words, kill=False).tolist() == [[True, False], [False, False], [True, True], [True, True]]
    assert not decision.accept(words, kill=True).any()
    assert decision.as_dict()["kill_switch"]["default"].startswith(
        "none: it is what its port (RTL) or argument (C++) is"
    )


@pytest.mark.parametrize("names", [[], ["a", "a"], [str(i) for i in range(65)]])
def test_working_points_are_one_to_64_of_different_names(names):
    with pytest.raises(InputError, match=r"working points \[.*expected 1 to 64 of different names"):
        Decision(tuple(WorkingPoint(name, 0) for name in names))


def crossings(words, ht=0, weight=None):
    """Crossings that share no collision, with the menu's word HT."""
    n = len(words)
    members = np.stack([np.arange(n), np.full(n, -1)], axis=1)
    given = {"rtl": words, "HT": np.zeros(n, int) + ht}
    return Crossings(given, np.ones(n) if weight is None else weight, np.zeros(n, int), members)


def test_thresholds_on_zero_bias_by_hand():
    """1,000 crossings of 1,000 kHz, four a word; the menu takes every second one, and of the signal the first half."""
    zero_bias = crossings(np.arange(1000) // 4, np.arange(1000) % 2)
    signal = crossings(np.arange(200) + 100, np.arange(200) < 100)
    share, rate, pure = zero_bias_points(
        zero_bias, {"h125": signal}, ("1e-1", "100 kHz", "100 kHz pure"), {"HT": 1}, 1_000.0
    )
    assert (share.name, share.threshold, rate.threshold, pure.threshold) == ("1e-1", 225, 225, 200)
    assert share.facts["rate_khz"] == pytest.approx(100)
    assert share.facts["error_khz"] == pytest.approx(1_000 * np.sqrt(0.1 * 0.9 / 1_000))
    assert share.facts["pure_khz"] == pytest.approx(50)
    assert share.facts["efficiency"]["h125"]["value"] == 75 / 200
    # 225 to 299 are the last 75; the menu takes the first 100.
    assert share.facts["efficiency"]["h125"]["beyond_menu"] == 75 / 200
    assert pure.facts["efficiency"]["h125"]["value"] == 100 / 200
    assert [point.facts["reason"] for point in (share, rate, pure)] == [None] * 3


@pytest.mark.parametrize(
    ("words", "point", "reason"),
    [
        (np.arange(1000), "5e-3", "5 crossings with 5 different collisions fire: 5 effective, fewer than 10"),
        (np.minimum(np.arange(1000), 900), "5e-2", "the largest word, 900, has a rate of 100 kHz, above 50 kHz"),
        (np.full(1000, 3), "2e-1", "the largest word, 3, has a rate of 1e+03 kHz, above 200 kHz"),
    ],
)
def test_what_the_crossings_do_not_carry_keeps_its_place_and_never_fires(words, point, reason):
    found, loose = zero_bias_points(crossings(words), {}, (point, "9e-1"), {"HT": 1}, 1_000.0)
    assert (found.name, found.threshold, loose.name) == (point, None, "9e-1")
    assert found.facts["rate_khz"] is None
    assert found.facts["efficiency"] is None
    assert found.facts["reason"].startswith(reason)
    assert not found.fires(np.array([10**9])).any()


def test_scores_that_are_no_integers_are_refused():
    with pytest.raises(InputError, match=r"rtl of 3 crossings: float64 \(3,\); expected \(3,\) integers"):
        crossings(np.array([1.0, np.nan, 3.0]))
