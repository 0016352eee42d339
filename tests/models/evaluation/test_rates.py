"""Weighted background rates against sums by hand, their spread against pseudo-experiments, and refusals."""

import json

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.sample import SAMPLE
from codae_l1.models.evaluation.rates import (
    _at_rate,
    _weighted_rates,
    accepted_cross_section,
    background_rate,
    sample_rates,
)

# kHz for one picobarn.
UNIT = 2e34 * 1e-36 * 1e-3


def test_rate_of_weighted_events_by_hand():
    scores, weight = np.arange(100.0), np.repeat([2.0, 1.0], [20, 80])
    rate = background_rate(scores, weight, 5.0, 1200.0, 2e34)
    # 15 events of weight 2 and 80 of weight 1 of a sum of 120.
    assert rate.rate_khz == pytest.approx(UNIT * 1200 * 110 / 120)
    assert rate.error_khz == pytest.approx(UNIT * 1200 * np.sqrt(15 * 4 + 80) / 120)
    assert rate.effective_events == pytest.approx(110**2 / 140)
    assert rate.one_event_khz == pytest.approx(UNIT * 1200 * 2 / 120)
    assert rate.reason is None


def test_the_error_is_the_spread_of_pseudo_experiments():
    rng = np.random.default_rng(1)
    rates, errors = [], []
    for n in rng.poisson(800, 400):
        scores = rng.exponential(1, n)
        weight = np.exp(-scores) * rng.uniform(0.5, 1.5, n)
        # The cross section of the whole sample is measured in the same pseudo-experiment.
        rate = background_rate(scores, weight, 1.0, weight.sum(), 2e34)
        rates.append(rate.rate_khz)
        errors.append(rate.error_khz)
    assert np.std(rates) == pytest.approx(np.mean(errors), rel=0.1)


def test_lowest_threshold_within_the_rate():
    rng = np.random.default_rng(2)
    scores, weight = rng.integers(0, 50, 2000).astype(float), rng.random(2000)
    for asked in (0.1, 0.5, 1.5):
        point = _at_rate(scores, weight, asked, 1e5, 2e34)
        assert point.rate_khz <= asked
        assert background_rate(scores, weight, point.threshold - 1, 1e5, 2e34).rate_khz > asked


@pytest.mark.parametrize("asked", [2.0, 5.0])
def test_a_rate_that_everything_keeps_to_is_refused(asked):
    # 2 kHz in all: a threshold at the lowest score would also take what the sample does not hold.
    everything = _at_rate(np.arange(1000.0), np.ones(1000), asked, 1e5, 2e34)
    assert (everything.threshold, everything.rate_khz, everything.error_khz) == (np.inf, None, None)
    assert everything.reason == f"{asked:g} kHz is not below the sample's total of 2 kHz: everything would fire"
    assert _at_rate(np.arange(1000.0), np.ones(1000), 1.999, 1e5, 2e34).threshold == 1.0


def test_refused_where_too_few_pass_or_none():
    scores, weight = np.arange(1000.0), np.ones(1000)
    assert background_rate(scores, weight, 991.0, 1e5, 2e34).reason == (
        "9 effective background events pass, fewer than 10"
    )
    none = _at_rate(scores, weight, 1e-9, 1e5, 2e34)
    assert (none.rate_khz, none.error_khz, none.effective_events) == (None, None, 0.0)
    assert none.reason == "0 effective background events pass, fewer than 10"


def test_refused_where_one_unseen_heavy_event_would_change_it():
    # 500 light events pass; none of the ten heavy ones does, yet one more could.
    scores, weight = np.repeat([1.0, 0.0], [500, 10]), np.repeat([0.001, 1.0], [500, 10])
    point = background_rate(scores, weight, 0.5, 1e5, 2e34)
    assert point.effective_events == pytest.approx(500)
    assert point.rate_khz is None
    assert point.reason == "0.0952 kHz is less than one event of the largest weight stands for, 0.19 kHz"


def test_efficiencies_at_rates_are_ready_for_json():
    signal = np.repeat(["qcd", "h125"], [1000, 50])
    scores = {"a": np.concatenate([np.arange(1000.0), np.arange(925.0, 975.0)])}
    content = _weighted_rates(scores, signal, np.ones(1050), 1e5, (0.1, 1e-4))
    json.dumps(content, allow_nan=False)
    assert content["total"]["rate_khz"] == pytest.approx(2.0)
    carried, refused = content["scores"]["a"]
    assert (carried["asked_khz"], carried["threshold"], carried["rate_khz"]) == (0.1, 950.0, pytest.approx(0.1))
    assert carried["tpr"]["h125"]["value"] == 0.5
    assert (refused["threshold"], refused["rate_khz"], refused["tpr"]) == (None, None, {"h125": None})


def test_the_shipped_sample_carries_its_total_rate():
    with EventFile(SAMPLE) as file:
        weight = file.weight[file.signal == "qcd"]
        section = accepted_cross_section(file.provenance, "qcd", weight)
        record = file.provenance["processes"]["qcd"]
    # QCD of HT > 500 GeV at 13.6 TeV: tens of nanobarns.
    assert section == pytest.approx(record["cross_section_pb"] * weight.sum() / record["sum_weight"])
    assert 20e3 < section < 60e3
    rate = background_rate(np.zeros(len(weight)), weight, 0.0, section, 2e34)
    assert rate.rate_khz == pytest.approx(UNIT * section)
    assert rate.effective_events < 0.5 * len(weight)


def test_a_part_of_the_sample_stands_for_the_whole():
    with EventFile(SAMPLE) as file:
        signal, weight, tracks = file.signal, file.weight, file.n_tracks.astype(float)
        part = np.flatnonzero(file.pileup_block % 2 == 0)
        whole = sample_rates({"n_tracks": tracks}, np.arange(len(file)), signal, weight, file.provenance, (0.1,))
        half = sample_rates({"n_tracks": tracks[part]}, part, signal, weight, file.provenance, (0.1,))
    assert half["total"]["rate_khz"] == pytest.approx(whole["total"]["rate_khz"])
    assert half["total"]["error_khz"] == pytest.approx(2**0.5 * whole["total"]["error_khz"], rel=0.1)
    [a], [b] = whole["scores"]["n_tracks"], half["scores"]["n_tracks"]
    assert a["threshold"] == pytest.approx(b["threshold"], rel=0.1)
    assert 0.08 < a["rate_khz"] <= 0.1
    assert a["tpr"]["h1000"]["value"] > 0.95
    assert sample_rates({}, part, signal, weight, {}, (0.1,))["reason"].startswith("events without a cross section")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: accepted_cross_section({"source": "x"}, "qcd", np.ones(3)), "events without a cross section of qcd"),
        (lambda: background_rate(np.ones(3), np.ones(3), 0.0, 0.0, 2e34), "cross section 0.0; expected a finite"),
        (lambda: background_rate(np.ones(3), np.ones(3), 0.0, 1.0, -1.0), "luminosity -1.0; expected a finite"),
        (lambda: background_rate(np.ones(3), np.ones(2), 0.0, 1.0, 2e34), "shape (3,) with weights of shape (2,)"),
        (lambda: background_rate(np.ones(3), np.array([1, -1, 1]), 0.0, 1.0, 2e34), "as many finite scores as"),
        (lambda: _at_rate(np.array([np.nan, 1]), np.ones(2), 1.0, 1.0, 2e34), "as many finite scores as"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert words in str(error.value)
