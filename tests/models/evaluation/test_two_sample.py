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


def _classes(**parts):
    """Name -> {class: summaries} of images."""
    samples = {}
    for name, images in parts.items():
        samples[name] = {QCD: _Summaries()}
        samples[name][QCD].add(images, (images[..., 0] > 0).sum(axis=(1, 2)))
    return samples


def test_twins_in_both_samples_or_in_one_neither_hide_nor_feign_a_difference():
    """Trees that have learned one of a pair know its twin: in one fold, both are new to them."""
    rng = np.random.default_rng(3)
    images = np.where(rng.random((300, 72, 58, 3)) < 0.01, rng.random((300, 72, 58, 3)), 0).astype(np.float32)
    images[:3] = 0
    drawn = rng.integers(150, 300, 300)
    parts = _classes(
        a=images[:150],
        same=images[:150],
        b=images[150:],
        half=images[75:225],
        stored=images[:150].astype(np.float16).astype(np.float32),
        scaled=images[:150] * np.float32([1, 1, 1.02]),
        drawn=images[drawn],
        mirrored=images[:150, ::-1],
        few=images[[0, 1, 2, *range(150, 180), *range(150, 180)]],
    )
    tests = {name: compare(parts["a"], of)["two_sample"][QCD] for name, of in parts.items() if name != "a"}
    for name in ("same", "b", "half", "stored", "drawn"):
        assert abs(tests[name]["auc"] - 0.5) < 3 * tests[name]["error"], name
    # Energies that end at 1 GeV tell a scale of 2 %, twins or not.
    assert tests["scaled"]["auc"] > 0.7
    # Without the identities the same events are far from it, on either side.
    features = {name: parts[name][QCD]["features"] for name in ("a", "drawn")}
    assert two_sample_test(features["a"], features["a"]).auc < 0.3
    assert two_sample_test(features["a"], features["drawn"]).auc > 0.6
    # Three empty images are no twins.
    again = 300 - len({*drawn})
    twins = {name: tuple(tests[name]["twins"].values()) for name in ("same", "b", "half", "scaled", "drawn")}
    assert twins == {
        "same": (147, 0, 0),
        "b": (0, 0, 0),
        "half": (75, 0, 0),
        "scaled": (147, 0, 0),
        "drawn": (0, 0, again),
    }
    assert [line.count("twins") for line in lines_of({QCD: tests["b"]})] == [0]
    fold = "they are in the same fold as their twins"
    assert lines_of({QCD: tests["half"]})[1:] == [f"qcd: 75 of A's events are in B, too; {fold}"]
    assert lines_of({QCD: tests["drawn"]})[1:] == [f"qcd: {again} of B are repeats; {fold}"]
    # Another form that the pixels do not show: no independent sample has such an AUC.
    assert lines_of({QCD: tests["mirrored"]})[1].startswith(
        "qcd: below 0.5: events of B are those of A in another form"
    )
    reason = "147 and 33 different events, fewer than 50"
    assert (tests["few"]["auc"], tests["few"]["reason"]) == (None, reason.replace("147", "150"))
    assert lines_of({QCD: tests["few"]}) == [f"two-sample test, qcd: {reason.replace('147', '150')}"]


@pytest.mark.sample
def test_qcd_and_suep_are_hardly_told_from_the_public_sample(codae_sample):
    public, shipped = summaries(str(codae_sample)), summaries(str(SAMPLE))
    enough = [p for p in (QCD, *SUEP_MASSES) if len(public[p]["n_tracks"]) >= 100]
    assert enough == [QCD, "h700", "h1000"]
    found = {p: two_sample_test(public[p]["features"], shipped[p]["features"]).auc for p in enough}
    assert {p: value for p, value in found.items() if value > ALIKE} == {}
