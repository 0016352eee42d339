"""Rates on crossings against a toy whose true rates are known, sums by hand, and refusals.

A toy crossing has Poisson many collisions, whose activity is drawn from a falling spectrum; strata are slices of the
hardest one. Collisions come from finite pools, one for each slice. The words are the sum and the maximum of activities.
"""

import itertools
import json
from math import factorial

import numpy as np
import pytest

from codae_l1.models.evaluation._crossing_sums import CrossingSums, Cut
from codae_l1.models.evaluation.crossing_rates import (
    Crossings,
    pileup_points,
    rate_curves,
    threshold_at,
    total_rate,
    trigger_points,
    turn_on,
)

KHZ = 40_000.0
# Largest activity, and the share of each one: x^-2 in the cumulative.
LARGEST = 4000
_TAIL = np.append(np.arange(1.0, LARGEST + 1) ** -2, 0)
SPECTRUM = np.append(0, _TAIL[:-1] - _TAIL[1:])


def true_share(mu: float, word: str, threshold: int) -> float:
    """Share of crossings at or above the threshold; the sum is a compound Poisson variable."""
    if word == "max":
        return 1 - np.exp(-mu * SPECTRUM[threshold:].sum())
    size = 1 << 15
    one = np.fft.rfft(np.pad(SPECTRUM, (0, size - len(SPECTRUM))))
    return float(np.fft.irfft(np.exp(mu * (one - 1)), size)[threshold:].sum())


def slices_of(cuts: tuple[int, ...]) -> list[slice]:
    edges = (0, *cuts, LARGEST + 1)
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def draw_pools(rng, cuts: tuple[int, ...], sizes: tuple[int, ...]) -> list[np.ndarray]:
    parts = slices_of(cuts)
    draws = [SPECTRUM[part] / SPECTRUM[part].sum() for part in parts]
    return [
        part.start + np.minimum(np.searchsorted(np.cumsum(p), rng.random(n)), len(p) - 1)
        for part, p, n in zip(parts, draws, sizes, strict=True)
    ]


def draw_crossings(rng, mu: float, cuts: tuple[int, ...], pools: list[np.ndarray], numbers: tuple[int, ...]):
    """Crossings: numbers[s] in stratum s, whose hardest collision is of pool s."""
    means = [mu * SPECTRUM[part].sum() for part in slices_of(cuts)]
    first = np.cumsum([0, *map(len, pools)])
    crossing, ids, start = [], [], np.cumsum([0, *numbers])
    for s, n in enumerate(numbers):
        for j in range(s + 1):
            many = rng.poisson(means[j], n)
            if j == s > 0:
                k = np.arange(1, 40)
                p = np.array([means[j] ** i / factorial(i) for i in k.tolist()])
                many = rng.choice(k, n, p=p / p.sum())
            crossing.append(start[s] + np.repeat(np.arange(n), many))
            ids.append(rng.integers(first[j], first[j + 1], many.sum()))
    share = [np.exp(-sum(means[s + 1 :])) * (1 - np.exp(-means[s]) if s else 1) for s in range(len(numbers))]
    stratum = np.repeat(np.arange(len(numbers)), numbers)
    weight = (np.array(share) / numbers * sum(numbers))[stratum]
    return _crossings(np.concatenate(crossing), np.concatenate(ids), np.concatenate(pools), weight, stratum)


def _crossings(crossing, ids, activity, weight, stratum) -> Crossings:
    total = np.bincount(crossing, activity[ids], len(weight)).astype(np.int64)
    order = np.lexsort((-activity[ids], crossing))
    crossing, ids = crossing[order], ids[order]
    start, many = np.searchsorted(crossing, np.arange(len(weight))), np.bincount(crossing, minlength=len(weight))
    members = np.full((len(weight), 3), -1, np.int32)
    for column in range(3):
        has = many > column
        members[has, column] = ids[start[has] + column]
        members[(members[:, :column] == members[:, [column]]).any(axis=1), column] = -1
    largest = np.where(many > 0, activity[members[:, 0]], 0)
    return Crossings({"sum": total, "max": largest}, weight, stratum, members)


def toy(seed, mu=20.0, cuts=(20,), sizes=(20_000, 2000), numbers=(1000, 3000)) -> Crossings:
    rng = np.random.default_rng(seed)
    return draw_crossings(rng, mu, cuts, draw_pools(rng, cuts, sizes), numbers)


def with_words(chunk: Crossings, **words: np.ndarray) -> Crossings:
    return Crossings({**chunk.words, **words}, chunk.weight, chunk.stratum, chunk.members)


def alone(chunk: Crossings) -> Crossings:
    """The same crossings, as if each had collisions of its own."""
    return Crossings(chunk.words, chunk.weight, chunk.stratum, np.full_like(chunk.members, -1))


def cut_up(chunk: Crossings, *ends: int) -> list[Crossings]:
    parts = [slice(a, b) for a, b in zip((0, *ends), (*ends, chunk.size), strict=True)]
    return [
        Crossings({k: v[p] for k, v in chunk.words.items()}, chunk.weight[p], chunk.stratum[p], chunk.members[p])
        for p in parts
    ]


def plain(words, members=None, weight=None) -> Crossings:
    """Crossings of one stratum, each with a collision of its own unless members are given."""
    n = len(words)
    ids = np.stack([np.arange(n), np.full(n, -1), np.full(n, -1)], axis=1) if members is None else np.array(members)
    return Crossings({"a": np.array(words)}, np.ones(n) if weight is None else weight, np.zeros(n, int), ids)


def covered(samples, fires, truth) -> float:
    rates = [total_rate(sample, fires, 1.0) for sample in samples]
    carried = [r for r in rates if r.rate_khz is not None]
    assert len(carried) >= 0.9 * len(rates)
    return float(np.mean([abs(r.rate_khz - truth) <= 1.96 * r.error_khz for r in carried]))


@pytest.mark.parametrize(
    ("cuts", "sizes", "numbers", "binomial"),
    [
        ((20,), (20_000, 2000), (4000, 3000), 0.87),
        ((20,), (1000, 150), (4000, 3000), 0.5),
        ((20, 80), (2000, 400, 200), (4000, 3000, 1000), 0.7),
    ],
    ids=["large pool", "small pool", "three strata"],
)
def test_the_error_covers_the_true_rate_and_the_binomial_one_does_not(cuts, sizes, numbers, binomial):
    samples = [toy((1, seed), 20.0, cuts, sizes, numbers) for seed in range(200)]
    for fires in ({"sum": 80}, {"max": 25}):
        truth = true_share(20.0, *next(iter(fires.items())))
        assert covered(samples, fires, truth) >= 0.9
        assert covered([alone(s) for s in samples], fires, truth) < binomial
        rates = [total_rate(s, fires, 1.0) for s in samples]
        assert np.mean([r.rate_khz for r in rates]) == pytest.approx(truth, rel=0.05)
        assert np.std([r.rate_khz for r in rates]) == pytest.approx(np.mean([r.error_khz for r in rates]), rel=0.15)


def test_the_error_covers_the_true_rate_of_a_threshold_that_the_same_sample_chose():
    within = []
    for seed in range(200):
        point = threshold_at(toy((2, seed), sizes=(1000, 150), numbers=(1000, 2000)), "sum", 0.02, 1.0)
        within.append(abs(true_share(20.0, "sum", point.threshold) - point.rate_khz) <= 1.96 * point.error_khz)
    assert np.mean(within) >= 0.9


def test_error_by_hand_over_all_pairs():
    rng = np.random.default_rng(3)
    n = 60
    members = np.array([rng.permutation(12)[:3] for _ in range(n)])
    members[rng.random((n, 3)) < 0.3] = -1
    weight, stratum = rng.random(n), rng.integers(0, 2, n)
    sample = Crossings({"a": rng.integers(0, 2, n)}, weight, stratum, members)
    h = sample.words["a"]
    p = np.array([np.average(h[stratum == s], weights=weight[stratum == s]) for s in (0, 1)])
    c = weight * (h - p[stratum])
    shared = [[len(set(i[i >= 0]) & set(j[j >= 0])) for j in members] for i in members]
    np.fill_diagonal(shared := np.array(shared), 1)
    variance = max(c @ shared @ c, c @ c)
    share = CrossingSums(sample, (), {"a": 1}, 1.0).measure([Cut(None)])[Cut(None)]
    assert share.share == pytest.approx(weight @ h / weight.sum())
    assert share.error == pytest.approx(np.sqrt(variance) / weight.sum())
    assert share.effective == pytest.approx((share.share / share.error) ** 2)


def test_a_stratum_without_any_firing_crossing_has_half_a_crossing_s_variance():
    words, weight = np.repeat([1, 0], [20, 80]), np.repeat([0.1, 1.0], [20, 80])
    members = np.full((100, 3), -1)
    rate = total_rate(Crossings({"a": words}, weight, np.repeat([1, 0], [20, 80]), members), {"a": 1}, 82.0)
    assert rate.effective == pytest.approx(2**2 / ((0.5 / (1 + 1 / 20) * 0.1) ** 2 + (0.5 / (1 + 1 / 80)) ** 2))


@pytest.mark.parametrize("fires", [{"sum": 120}, {"max": 80}], ids=["sum", "max"])
def test_the_rate_does_not_move_with_the_cut_or_the_pool(fires):
    samples = [
        toy(5, numbers=(4000, 12_000)),
        toy(6, cuts=(40,), numbers=(8000, 8000)),
        toy(7, cuts=(12,), numbers=(4000, 12_000)),
        toy(8, sizes=(80_000, 8000), numbers=(4000, 12_000)),
        toy(9, cuts=(20, 80), sizes=(20_000, 2000, 500), numbers=(2000, 6000, 4000)),
    ]
    rates = [total_rate(s, fires, KHZ) for s in samples]
    value, error = (np.array([getattr(r, name) for r in rates]) for name in ("rate_khz", "error_khz"))
    pulls = (value[:, None] - value) / np.hypot(error[:, None], error)
    assert np.abs(pulls).max() < 3
    # More of the pool, and not more crossings, makes the error smaller.
    more = total_rate(toy(5, numbers=(16_000, 48_000)), fires, KHZ)
    assert more.error_khz > 0.6 * error[0]
    assert error[3] < 0.85 * error[0]


def test_a_pool_that_is_too_small_is_refused_however_many_crossings_fire():
    few = toy(10, cuts=(), sizes=(400,), numbers=(20_000,))
    rate = threshold_at(few, "sum", 0.01 * KHZ, KHZ)
    assert (rate.rate_khz, rate.error_khz) == (None, None)
    assert rate.crossings > 100
    assert rate.effective < 10
    assert rate.collisions < 10
    assert rate.reason == (
        f"{rate.crossings} crossings with {rate.collisions} different collision{'s' * (rate.collisions > 1)} fire: "
        f"{rate.effective:.2g} effective, fewer than 10 (collisions count, not crossings)"
    )
    assert threshold_at(alone(few), "sum", 0.01 * KHZ, KHZ).reason is None


def test_few_collisions_by_hand():
    members = np.array([[k % 3, 3 + k, -1] for k in range(12)] + [[50 + k, -1, -1] for k in range(988)])
    rate = total_rate(plain(np.arange(1000)[::-1], members), {"a": 988}, KHZ)
    assert (rate.crossings, rate.collisions) == (12, 3)
    assert rate.reason.startswith("12 crossings with 3 different collisions fire: 3.1 effective, fewer than 10")


def test_crossings_without_members_count_one_each():
    members = np.array([[0, -1, -1]] * 4 + [[-1, -1, -1]] * 5 + [[1 + k, -1, -1] for k in range(991)])
    rate = total_rate(plain(np.arange(1000)[::-1], members), {"a": 991}, KHZ)
    assert (rate.crossings, rate.collisions) == (9, 6)


def test_the_error_is_not_below_the_binomial_one():
    # Of each pair of crossings with a common collision one fires: by chance alone, since no pool makes them differ.
    members = np.stack([np.arange(1000) // 2, np.full(1000, -1), np.full(1000, -1)], axis=1)
    rate = total_rate(plain(np.arange(1000) % 2, members), {"a": 1}, 1.0)
    assert rate.error_khz == pytest.approx(np.sqrt(0.25 / 1000))


def test_lowest_threshold_within_the_rate_and_within_the_pure_rate():
    sample, menu = toy(11), {"max": 60}
    for asked in (200.0, 1000.0, 10_000.0):
        point = threshold_at(sample, "sum", asked, KHZ)
        assert point.rate_khz <= asked
        assert total_rate(sample, {"sum": point.threshold}, KHZ).rate_khz == point.rate_khz
        assert total_rate(sample, {"sum": point.threshold - 1}, KHZ).rate_khz > asked

    def beyond(threshold):
        return lambda words: (words["sum"] >= threshold) & (words["max"] < 60)

    point = threshold_at(sample, "sum", 500.0, KHZ, menu)
    assert point.rate_khz <= 500
    assert total_rate(sample, beyond(point.threshold), KHZ).rate_khz == point.rate_khz
    assert total_rate(sample, beyond(point.threshold - 1), KHZ).rate_khz > 500
    assert threshold_at(sample, "sum", 500.0, KHZ, lambda words: words["max"] >= 60) == point


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (40_000.0, "4e+04 kHz is not below the total rate of 4e+04 kHz: everything fires"),
        (500.0, "the largest word, 9, has a rate of 4e+03 kHz, above 500 kHz"),
    ],
)
def test_rates_that_no_threshold_has(asked, words):
    rate = threshold_at(plain(np.arange(1000) % 10), "a", asked, KHZ)
    assert (rate.rate_khz, rate.threshold, rate.reason) == (None, None, words)


def test_a_pure_rate_that_no_threshold_has_is_refused_though_the_menu_takes_larger_words():
    """Of the words 0 to 9 the menu takes 8 and 9: nothing beyond it fires from there on."""
    sample = plain(np.arange(1000) % 10)
    rate = threshold_at(sample, "a", 500.0, KHZ, {"a": 8})
    words = "the largest word beyond the menu, 7, has a pure rate of 4e+03 kHz, above 500 kHz"
    assert (rate.threshold, rate.reason) == (None, words)
    assert threshold_at(sample, "a", 4000.0, KHZ, {"a": 8}).threshold == 7


def test_pieces_give_the_same_as_one_to_the_last_bit_and_the_state_does_not_grow():
    whole = toy(12, numbers=(3000, 5000))
    pieces = cut_up(whole, 1, 1, 700, 3210)
    signals = {"s": toy(13, numbers=(100, 2000))}

    def all_of(sample):
        args = (signals, ("1e-2", "300 kHz pure"), {"max": 300}, KHZ)
        return trigger_points(sample, *args, ("sum", "max")), rate_curves(sample, signals, "sum", {"max": 300}, KHZ)

    assert all_of(whole) == all_of(pieces)
    states = []
    for n in (4000, 16_000):
        sample = toy(14, sizes=(1000, 200), numbers=(n, n))
        bounded = Crossings({"a": sample.words["sum"] % 64}, sample.weight, sample.stratum, sample.members)
        states.append(CrossingSums(bounded, ("a",), {}, KHZ).state_bytes())
    assert states[0] == states[1] < 40_000


def test_points_are_ready_for_json_and_say_what_a_reader_expects():
    zero, signal = toy(15), toy(16, mu=40.0, numbers=(200, 800))
    content = trigger_points(zero, {"s": signal}, ("1e-2", "100 kHz pure", "1e-6"), {"max": 60}, KHZ, ("sum", "menu"))
    json.dumps(content, allow_nan=False)
    assert list(content) == ["1e-2", "100 kHz pure", "1e-6"]
    assert all(list(rows) == ["sum", "menu"] for rows in content.values())
    row, pure, none = (content[name]["sum"] for name in content)
    assert list(row) == [
        *("rate_khz", "error_khz", "pure_khz", "pure_error_khz", "threshold", "effective", "efficiency")
    ]
    assert row["rate_khz"] <= 400 < row["rate_khz"] * 1.2
    assert row["pure_khz"] < row["rate_khz"]
    assert pure["pure_khz"] <= 100 < pure["rate_khz"]
    assert pure["threshold"] > row["threshold"]
    kept = row["efficiency"]["s"]
    takes = signal.words["sum"] >= row["threshold"]
    share = lambda mask: signal.weight[mask].sum() / signal.weight.sum()  # noqa: E731
    assert kept["value"] == pytest.approx(share(takes))
    assert kept["beyond_menu"] == pytest.approx(share(takes & (signal.words["max"] < 60)))
    assert kept["value"] > kept["beyond_menu"] > 0 < kept["beyond_menu_error"] < kept["error"] * 1.01
    menu = content["1e-2"]["menu"]
    assert menu == content["100 kHz pure"]["menu"]
    assert menu["rate_khz"] == total_rate(zero, {"max": 60}, KHZ).rate_khz
    assert (menu["pure_khz"], menu["threshold"]) == (None, None)
    assert menu["efficiency"]["s"]["value"] == pytest.approx(share(signal.words["max"] >= 60))
    assert (menu["efficiency"]["s"]["beyond_menu"], menu["efficiency"]["s"]["beyond_menu_error"]) == (0, 0)
    assert none["reason"].startswith("the largest word")
    assert set(none) == {*row, "reason"}
    assert {none[key] for key in row} == {None}


def test_the_error_of_an_efficiency_is_its_spread():
    values, errors = [], []
    for seed in range(80):
        zero, signal = toy((17, seed), numbers=(1000, 2000)), toy((18, seed), 60.0, (20,), (20_000, 2000), (500, 500))
        row = trigger_points(zero, {"s": signal}, ("1e-2",), {}, KHZ, ("sum",))["1e-2"]["sum"]["efficiency"]["s"]
        values.append(row["value"])
        errors.append(row["error"])
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.25)


def test_curves_hold_what_is_carried():
    zero, signal = toy(19), toy(20, mu=40.0, numbers=(200, 800))
    curve = rate_curves(zero, {"s": signal}, "sum", {"max": 300}, KHZ)
    json.dumps(curve, allow_nan=False)
    n = len(curve["threshold"])
    assert 30 < n <= 100
    assert {len(curve[k]) for k in ("rate_khz", "error_khz", "pure_khz", "pure_error_khz", "effective")} == {n}
    assert {len(column) for column in curve["efficiency"]["s"].values()} == {n}
    assert np.all(np.diff(curve["threshold"]) < 0)
    assert np.all(np.diff(curve["rate_khz"]) > 0)
    assert min(curve["effective"]) >= 10
    assert curve["reach_khz"] == curve["rate_khz"][0]
    assert total_rate(zero, {"sum": curve["threshold"][0] * 2}, KHZ).rate_khz is None
    assert curve["efficiency"]["s"]["value"][-1] == pytest.approx(1)


def test_pileup_with_fixed_and_with_solved_thresholds():
    samples = {mu: (toy(int(mu), mu), {"s": toy(21, mu + 20, numbers=(200, 500))}) for mu in (20.0, 10.0, 40.0)}
    content = pileup_points(samples, ("1e-2", "1e-9"), {"max": 300}, KHZ, ("sum",), fixed_at=20.0)
    json.dumps(content, allow_nan=False)
    assert (content["fixed_at"], content["pileup"]) == ("20", ["10", "20", "40"])
    solved, fixed = ([content[kind][mu]["1e-2"]["sum"] for mu in content["pileup"]] for kind in ("solved", "fixed"))
    assert solved[0]["threshold"] < solved[1]["threshold"] < solved[2]["threshold"]
    assert [row["threshold"] for row in fixed] == [solved[1]["threshold"]] * 3
    assert fixed[1]["rate_khz"] == solved[1]["rate_khz"]
    assert fixed[0]["rate_khz"] < 300 < 500 < fixed[2]["rate_khz"]
    # The error of a fixed threshold is the signal's alone.
    assert fixed[1]["efficiency"]["s"]["error"] < solved[1]["efficiency"]["s"]["error"]
    assert content["fixed"]["40"]["1e-9"]["sum"]["reason"] == content["fixed"]["20"]["1e-9"]["sum"]["reason"]


def test_turn_on_by_hand():
    sample = cut_up(plain(np.array([0, 5, 5, 5]), weight=np.array([1.0, 1.0, 1.0, 2.0])), 1)
    found = turn_on(sample, {"a": 5}, np.array([10.0, 19.0, 20.0, 55.0]), np.array([10, 20, 30, 40]))
    assert found["edges"] == [10, 20, 30, 40]
    assert found["value"] == [0.5, 1.0, None]
    assert found["effective"] == [2.0, 1.0, 0.0]
    assert found["low"][:2] == pytest.approx([0.5 - 1 / 12**0.5, 0.5])
    assert found["high"][:2] == pytest.approx([0.5 + 1 / 12**0.5, 1.0])
