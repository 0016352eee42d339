"""AUC, bootstrap, ROC and working points against definitions counted by hand or by brute force."""

import json
import tracemalloc

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation.roc import (
    auc,
    auc_with_error,
    binomial_error,
    effective_size,
    fpr_at_tpr,
    paired_auc_difference,
    rate_khz,
    roc_curve,
    tpr_at_fpr,
)


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    """Integer scores with many ties: 400 background, 150 signal events."""
    generator = np.random.default_rng(1)
    return generator.poisson(5, 400), generator.poisson(7, 150)


def by_pairs(background, signal, background_weight, signal_weight) -> float:
    """The definition: every pair counted."""
    wins = (signal[:, None] > background) + 0.5 * (signal[:, None] == background)
    weight = signal_weight[:, None] * background_weight
    return float((wins * weight).sum() / weight.sum())


def test_auc_counts_pairs_and_halves_ties(scores):
    background, signal = scores
    expected = by_pairs(background, signal, np.ones(400), np.ones(150))
    assert auc(background, signal) == pytest.approx(expected, abs=1e-14)
    assert auc(np.zeros(3), np.zeros(5)) == 0.5
    assert auc(np.zeros(3), np.ones(5)) == 1.0


def test_weighted_auc_counts_weighted_pairs(scores):
    background, signal = scores
    generator = np.random.default_rng(2)
    b, s = generator.random(400), generator.random(150)
    assert auc(background, signal, b, s) == pytest.approx(by_pairs(background, signal, b, s), abs=1e-14)
    # A weight of two is the event twice.
    twice = np.concatenate([background, background[:7]])
    assert auc(background, signal, 1.0 + (np.arange(400) < 7)) == pytest.approx(auc(twice, signal), abs=1e-14)


def test_area_under_the_curve_is_the_auc(scores):
    curve = roc_curve(*scores)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(auc(*scores), abs=1e-14)
    assert curve.fpr[[0, -1]].tolist() == curve.tpr[[0, -1]].tolist() == [0.0, 1.0]
    for fpr, tpr, threshold in zip(curve.fpr, curve.tpr, curve.threshold, strict=True):
        assert fpr == (scores[0] >= threshold).mean()
        assert tpr == (scores[1] >= threshold).mean()


def test_bootstrap_error_is_the_known_one():
    # Two equal distributions: the standard deviation of the AUC is sqrt((n + m + 1) / (12 n m)).
    generator = np.random.default_rng(3)
    background, signal = generator.normal(size=500), generator.normal(size=300)
    value, error = auc_with_error(background, signal, n_bootstrap=1000, seed=4)
    assert value == auc(background, signal)
    assert error == pytest.approx(np.sqrt(801 / (12 * 500 * 300)), rel=0.1)


def test_bootstrap_follows_the_seed(scores):
    assert auc_with_error(*scores, seed=5) == auc_with_error(*scores, seed=5)
    assert auc_with_error(*scores, seed=5)[1] != auc_with_error(*scores, seed=6)[1]


@pytest.mark.parametrize("piece", [64, 400])
def test_bootstrap_in_pieces_equals_bootstrap_at_once(scores, monkeypatch, piece):
    background, signal = scores
    pair = background, signal, background + np.random.default_rng(3).random(400), signal + 0.25
    weights = {"background_weight": np.random.default_rng(4).random(400)}

    def found():
        return (
            auc_with_error(*scores, n_bootstrap=50),
            auc_with_error(*scores, n_bootstrap=50, **weights),
            paired_auc_difference(*pair, n_bootstrap=50),
            tpr_at_fpr(*scores, 0.1, n_bootstrap=50),
        )

    at_once = found()
    # As if both classes were drawn in one array each, by hand.
    generator, drawn = np.random.default_rng(0), []
    index = [generator.integers(0, len(of_class), (50, len(of_class))) for of_class in scores]
    for b, s in zip(*index, strict=True):
        drawn.append(auc(background[b], signal[s]))
    assert at_once[0][1] == pytest.approx(float(np.std(drawn, ddof=1)), rel=1e-12)
    monkeypatch.setattr("codae_l1.models.evaluation._resampling._PIECE", piece)
    assert found() == at_once


def test_bootstrap_of_many_events_takes_little_memory():
    generator = np.random.default_rng(5)
    background, signal = generator.poisson(5, 400_000), generator.poisson(7, 1000)
    tracemalloc.start()
    try:
        auc_with_error(background, signal, n_bootstrap=3)
        assert tracemalloc.get_traced_memory()[1] < 6e6
    finally:
        tracemalloc.stop()


def test_weighted_bootstrap_error_grows_as_the_effective_size_falls(scores):
    weight = np.where(np.arange(400) % 10 == 0, 10.0, 0.1)
    assert auc_with_error(*scores, background_weight=weight)[1] > 1.3 * auc_with_error(*scores)[1]


def test_paired_difference_cancels_what_is_shared(scores):
    background, signal = (s.astype(float) for s in scores)
    assert paired_auc_difference(background, signal, 2 * background, 2 * signal) == (0.0, 0.0)
    generator = np.random.default_rng(7)
    noisy = background + generator.normal(0, 0.3, 400), signal + generator.normal(0, 0.3, 150)
    value, error = paired_auc_difference(background, signal, *noisy)
    assert value == auc(background, signal) - auc(*noisy)
    assert 0 < error < 0.5 * auc_with_error(background, signal)[1]


def test_working_point_never_exceeds_its_rate(scores):
    background, signal = scores
    for fpr in (0.05, 0.1, 0.2, 1.0):
        point = tpr_at_fpr(background, signal, fpr)
        assert (background >= point.threshold).mean() == point.fpr_reached <= fpr
        assert point.fpr_reached == 1 or (background >= point.threshold - 1).mean() > fpr
        assert point.value == (signal >= point.threshold).mean()
        assert point.error > 0


def test_error_of_a_working_point_holds_both_classes():
    # Of many samples of the same distributions the points scatter as the error of one says; the class that is counted
    # alone gives 1.4 to 2 times too little.
    generator, found = np.random.default_rng(8), []
    for i in range(150):
        background, signal = generator.normal(size=400), generator.normal(1.5, size=200)
        point = tpr_at_fpr(background, signal, 0.03, n_bootstrap=60, seed=i)
        found.append((point.value, point.error, *fpr_at_tpr(background, signal, 0.6, n_bootstrap=60, seed=i)))
    tpr, tpr_error, fpr, fpr_error = np.transpose(found)
    for value, error, alone in ((tpr, tpr_error, (tpr.mean(), 200)), (fpr, fpr_error, (fpr.mean(), 400))):
        assert np.sqrt(np.mean(error**2)) == pytest.approx(value.std(ddof=1), rel=0.15)
        assert value.std(ddof=1) > 1.3 * binomial_error(*alone)


def test_error_of_a_working_point_by_resampling_one_by_one(scores):
    background, signal = scores
    generator, tprs, fprs = np.random.default_rng(9), [], []
    for _ in range(400):
        b, s = (generator.choice(x, len(x)) for x in scores)
        curve = roc_curve(b, s)
        tprs.append(curve.tpr[curve.fpr <= 0.1].max())
        fprs.append(curve.fpr[curve.tpr >= 0.4].min())
    assert tpr_at_fpr(background, signal, 0.1, n_bootstrap=400).error == pytest.approx(np.std(tprs), rel=0.15)
    assert fpr_at_tpr(background, signal, 0.4, n_bootstrap=400)[1] == pytest.approx(np.std(fprs), rel=0.15)


def test_where_none_or_all_pass_the_error_is_the_interval_s(scores):
    background = np.arange(400.0)
    for signal, expected in ((background[:150] - 500, 0.0), (background[:150] + 500, 1.0)):
        point = tpr_at_fpr(background, signal, 0.1)
        assert (point.value, point.error) == (expected, binomial_error(expected, 150))
        share, error = fpr_at_tpr(background, signal, 0.4)
        assert (share, error) == (1 - expected, binomial_error(1 - expected, 400))


def test_working_point_is_refused_where_the_sample_is_too_small(scores):
    point = tpr_at_fpr(*scores, fpr=2.5e-5)
    assert (point.value, point.error, point.threshold) == (None, None, None)
    assert point.reason == "0.01 of 400 effective background events would pass, fewer than 10"


def test_working_point_is_refused_where_ties_leave_too_few():
    background = np.array([0] * 990 + [1] * 10 + [2] * 2)
    assert tpr_at_fpr(background, np.array([2, 1]), 11 / 1002).reason == (
        "2 effective background events pass (ties above them), fewer than 10"
    )
    assert tpr_at_fpr(background, np.array([2, 1]), 12 / 1002).value == 1.0
    # Where even the largest score is that of too many, there is no threshold, and what is said goes into JSON.
    point = tpr_at_fpr(np.ones(1000), np.array([1, 0]), 0.1)
    assert (point.value, point.threshold, point.background_passing) == (None, None, 0.0)
    assert "0 effective background events pass (ties above them)" in json.dumps(vars(point), allow_nan=False)


def test_weighted_working_point_uses_the_effective_size():
    background, signal = np.arange(1000.0), np.array([999.0, 0.0])
    weight = np.where(np.arange(1000) < 20, 100.0, 1.0)
    assert effective_size(background, weight) == pytest.approx(2980**2 / 200980)  # 44 of 1000
    assert "of 44 effective background events would pass" in tpr_at_fpr(background, signal, 0.02, weight).reason
    point = tpr_at_fpr(background, signal, 0.3, weight)
    assert point.fpr_reached == weight[background >= point.threshold].sum() / 2980


def test_rates_follow_the_bunch_crossings():
    assert rate_khz(1e-5) == pytest.approx(0.4)
    assert tpr_at_fpr(np.arange(1000), np.array([995, 900]), 0.01).rate_khz == 400.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: auc(np.array([1.0, np.nan]), np.ones(2)), "background scores of shape (2,), 1 not finite"),
        (lambda: auc(np.ones(2), np.ones(0)), "signal scores of shape (0,)"),
        (lambda: auc(np.ones(2), np.ones(2), np.array([1.0, -1.0])), "background weights of shape (2,) from -1.0"),
        (lambda: tpr_at_fpr(np.ones(2), np.ones(2), 0.0), "false-positive rate 0.0"),
        (lambda: paired_auc_difference(*map(np.ones, (2, 3, 4, 3))), "2 / 4 background, 3 / 3 signal events"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert words in str(error.value)
