"""Views of jets: what each must keep (total pT, distances, the empty rows, the order), and what it must change."""

import numpy as np
import pytest

from codae_l1.models.evaluation.roc import auc
from codae_l1.models.systems._jet_augmentations import centred, moved, thinned, turned, views


@pytest.fixture(scope="module")
def jets():
    """60 centred jets of 1 to 20 constituents, hardest first, in 24 rows; the last one is empty."""
    rng = np.random.default_rng(3)
    pt = -np.sort(-rng.exponential(20, (60, 24)), axis=1) + 1e-3
    x = np.concatenate([pt[..., None], rng.normal(0.3, 0.2, (60, 24, 2))], axis=-1)
    numbers = np.r_[1, 2, rng.integers(1, 21, 57), 0]
    return centred(x * (np.arange(24) < numbers[:, None])[..., None])


def rng():
    return np.random.default_rng(1)


def distances(jets):
    """Distances in eta and phi of all pairs of constituents; empty rows lie at 0."""
    return np.linalg.norm(jets[:, :, None, 1:] - jets[:, None, :, 1:], axis=-1) * (
        (jets[:, :, None, 0] > 0) & (jets[:, None, :, 0] > 0)
    )


def centre(jets):
    total = np.maximum(jets[..., 0].sum(axis=1), 1e-9)[:, None]
    return (jets[..., :1] * jets[..., 1:]).sum(axis=1) / total


def test_centred_jets_have_their_mean_at_zero(jets):
    assert np.abs(centre(jets)).max() < 1e-12
    assert (jets[jets[..., 0] == 0] == 0).all()


def test_base_and_positive_keep_every_pt_and_all_distances(jets):
    base, positive, _ = views(jets, rng())
    for view in (base, positive):
        assert (view[..., 0] == jets[..., 0]).all()
        np.testing.assert_allclose(distances(view), distances(jets), atol=1e-12)
        assert (view[jets[..., 0] == 0] == 0).all()
    # Turned and moved by themselves: nothing but distances agrees.
    exists = jets[:-1, :2, 0] > 0
    assert (np.abs(base - positive)[:-1, :2, 1:][exists] > 1e-6).any(axis=-1).mean() > 0.9


def test_where_a_view_lies_does_not_tell_which_it_is(jets):
    """The distance of its centre from that of the jet, of 4,000 views each: of one distribution."""
    found = [np.linalg.norm(centre(view), axis=1) for view in views(np.repeat(jets[5:9], 1000, axis=0), rng())]
    for view in found[1:]:
        assert abs(auc(found[0], view) - 0.5) < 4 * 0.289 * np.sqrt(2 / 4000)


def test_a_jet_turns_about_its_centre_and_all_angles_come(jets):
    x = np.repeat(jets[1:2], 4000, axis=0)
    found = turned(x, rng())
    assert np.abs(centre(found)).max() < 1e-12
    angle = np.arctan2(found[:, 0, 2], found[:, 0, 1])
    # A mean of 4,000 unit vectors of uniform angles has a length of about 1 / sqrt(4,000).
    assert abs(np.exp(1j * angle).mean()) < 4 / np.sqrt(4000)


def test_a_jet_moves_by_up_to_its_extent_either_way(jets):
    x = np.repeat(jets[3:4], 4000, axis=0)
    exists = jets[3, :, 0] > 0
    extent = np.ptp(jets[3, exists, 1:], axis=0)
    step = moved(x, x, rng())[:, 0, 1:] - x[:, 0, 1:]
    assert (np.abs(step) <= extent + 1e-12).all()
    assert (np.abs(step).max(axis=0) > 0.99 * extent).all()
    assert (np.abs(step.mean(axis=0)) < 4 * extent / np.sqrt(3 * 4000)).all()
    assert abs(np.corrcoef(step.T)[0, 1]) < 4 / np.sqrt(4000)


def test_a_thinned_jet_keeps_its_sum_and_is_sorted_centred_and_never_empty(jets):
    found = thinned(jets, rng())
    np.testing.assert_allclose(found[..., 0].sum(axis=1), jets[..., 0].sum(axis=1), rtol=1e-12)
    assert (np.diff(found[..., 0], axis=1) <= 0).all()
    assert np.abs(centre(found)).max() < 1e-12
    assert (found[found[..., 0] == 0] == 0).all()
    left, before = ((x[..., 0] > 0).sum(axis=1) for x in (found, jets))
    assert (left[:-1] > 0).all()
    assert (left <= before).all()
    assert left[-1] == 0


def test_half_of_the_constituents_are_dropped_each_by_itself(jets):
    x = np.repeat(jets[np.argmax((jets[..., 0] > 0).sum(axis=1))][None], 3000, axis=0)
    number = int((x[0, :, 0] > 0).sum())
    left = (thinned(x, rng())[..., 0] > 0).sum(axis=1)
    assert left.mean() == pytest.approx(number / 2, abs=4 * np.sqrt(number / 4 / 3000))
    assert left.var() == pytest.approx(number / 4, rel=0.15)
    # The relative pT of what is left is as before: a jet of two keeps one, which then has all.
    pair = thinned(np.repeat(jets[1:2], 200, axis=0), rng())
    assert set((pair[..., 0] > 0).sum(axis=1)) == {1, 2}


def test_the_generator_decides_the_views(jets):
    first, again, other = views(jets, rng()), views(jets, rng()), views(jets, np.random.default_rng(2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not any((a == b).all() for a, b in zip(first, other, strict=True))
