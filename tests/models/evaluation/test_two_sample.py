"""The two-sample test: summaries counted by hand, no difference where there is none, one where there is one."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import ETA_STEP
from codae_l1.data.events import QCD, SUEP_MASSES
from codae_l1.data.sample import SAMPLE
from codae_l1.models.evaluation.two_sample import SUMMARIES, TwoSampleConfig, image_summaries, two_sample_test
from codae_l1.scripts.reports.event_figures import ALIKE
from codae_l1.scripts.studies.validation import _Summaries, compare, summaries
from codae_l1.scripts.studies.validation import test_lines as lines_of


def named(images, n_tracks=0):
    return [dict(zip(SUMMARIES, row, strict=True)) for row in image_summaries(images, np.full(len(images), n_tracks))]


def test_summaries_of_an_event_by_hand():
    images = np.zeros((2, 72, 58, 3), np.float32)
    # Three pixels in a row of phi, across its seam, at eta = 0.5 steps; one at the edge in eta.
    images[0, [71, 0, 1], 29, 1], images[0, 0, 57, 1] = (3.0, 4.0, 2.0), 1.0
    event, empty = named(images, 17)
    assert len(SUMMARIES) == 37
    assert event["n_tracks"] == 17
    assert event["ecal_active"] == 4
    assert (event["ecal_active_central"], event["ecal_active_forward"]) == (3, 1)
    assert event["ecal_neighbours"] == 2 / 4
    assert (event["ecal_sum"], event["ecal_hardest"], event["ecal_hardest_ten"]) == (10.0, 4.0, 1.0)
    # Falling: 4, 3, 2, 1.
    assert (event["ecal_median"], event["ecal_upper_decile"]) == (2.0, 4.0)
    step = np.deg2rad(5)
    along = 3 * np.exp(-1j * step) + 5 + 2 * np.exp(1j * step)
    assert event["ecal_imbalance"] == pytest.approx(abs(along), rel=1e-9)
    near, far = ETA_STEP / 2, 28.5 * ETA_STEP
    assert event["ecal_mean_abs_eta"] == pytest.approx((9 * near + far) / 10)
    assert event["ecal_rms_eta"] == pytest.approx(np.sqrt((9 * near**2 + far**2) / 10))
    assert not any(value for name, value in event.items() if name.startswith(("tracks_", "hcal")))
    assert [value for name, value in empty.items() if name != "n_tracks"] == [0.0] * 36


def test_the_median_is_of_the_active_pixels():
    images = np.zeros((1, 72, 58, 3), np.float32)
    images[0, :41, 10, 2] = np.arange(1, 42)
    [event] = named(images)
    assert (event["hcal_median"], event["hcal_upper_decile"]) == (21.0, 37.0)
    assert event["hcal_hardest_ten"] == pytest.approx(np.arange(32, 42).sum() / np.arange(1, 42).sum())


def test_alike_samples_are_not_told_apart_and_others_are():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 400, 6))
    alike = two_sample_test(a, b)
    assert alike.auc == pytest.approx(0.5, abs=3 * alike.error)
    # Equal marginals, another correlation: no single summary tells, the trees do.
    correlated = b.copy()
    correlated[:, 1] = 0.8 * b[:, 0] + 0.6 * b[:, 1]
    other = two_sample_test(a, correlated)
    assert other.auc > 0.6
    assert all(abs(value - 0.5) < 0.1 for value in other.telling.values())
    shifted = two_sample_test(a, b + np.array([0, 0, 1.5, 0, 0, 0]))
    assert next(iter(shifted.telling)) == "2"
    assert shifted.auc > 0.8


def test_the_same_seed_gives_the_same_numbers():
    a, b = np.random.default_rng(2).normal(size=(2, 120, 4))
    assert two_sample_test(a, b, 5) == two_sample_test(a, b, 5)
    assert two_sample_test(a, b, 5) != two_sample_test(a, b, 6)


def test_too_few_events_give_nothing_and_bad_ones_are_named():
    a = np.zeros((49, 3))
    assert two_sample_test(a, np.zeros((500, 3))) is None
    with pytest.raises(InputError, match=r"summaries of shape \(60, 3\) and \(60, 4\)"):
        two_sample_test(np.zeros((60, 3)), np.zeros((60, 4)))
    with pytest.raises(InputError, match="expected finite numbers"):
        two_sample_test(np.full((60, 3), np.nan), np.zeros((60, 3)))
    assert two_sample_test(np.zeros((900, 2)), np.ones((900, 2)), 0, TwoSampleConfig(maximum_events=70)).events == (
        70,
        70,
    )


def test_events_that_are_in_both_samples_are_left_out_and_said():
    """With them the test falls below 0.5: trees that have learned one of a pair misplace its twin."""
    images = np.random.default_rng(3).random((180, 72, 58, 3)).astype(np.float32)
    images[:3] = 0
    samples = {}
    for name, part in (("a", images[:120]), ("b", images[60:]), ("c", images[[0, 1, 2, *range(150, 180)]])):
        samples[name] = _Summaries()
        samples[name].add(part, np.full(len(part), 7))
    whole = two_sample_test(samples["a"]["features"], samples["a"]["features"])
    assert whole.auc < 0.3
    tests = {b: compare({QCD: samples["a"]}, {QCD: samples[b]})["two_sample"] for b in samples}
    assert (tests["b"][QCD]["events"], tests["b"][QCD]["equal"]) == ((60, 60), 60)
    line, why = lines_of(tests["b"])
    assert line.endswith("); 60 events that are in both A and B are left out")
    assert why.startswith("Events in both samples would make the AUC too small, even below 0.5: trees that")
    # Three empty images are no events that are in both.
    assert (tests["a"][QCD]["auc"], tests["a"][QCD]["equal"]) == (None, 117)
    left_out = "117 events that are in both A and B are left out; 3 and 3 other events, fewer than 50"
    assert lines_of(tests["a"]) == [f"two-sample test, qcd: {left_out}", why]
    assert (tests["c"][QCD]["equal"], tests["c"][QCD]["reason"]) == (0, "120 and 33 events, fewer than 50")


@pytest.mark.sample
def test_qcd_and_suep_are_hardly_told_from_the_public_sample(codae_sample):
    public, shipped = summaries(str(codae_sample)), summaries(str(SAMPLE))
    enough = [p for p in (QCD, *SUEP_MASSES) if len(public[p]["n_tracks"]) >= 100]
    assert enough == [QCD, "h700", "h1000"]
    found = {p: two_sample_test(public[p]["features"], shipped[p]["features"]).auc for p in enough}
    assert {p: value for p, value in found.items() if value > ALIKE} == {}
