"""Losses and scores against their formulas in NumPy; orientation from QCD alone."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae import losses
from codae_l1.models.codae.config import COMPACT, SCORES, TINY
from codae_l1.models.codae.model import CoDAE, with_encoders
from codae_l1.models.codae.scores import active_pixels, block_power, codae_scores, orient, orientations

MASKS = (np.random.default_rng(0).random((7, 72, 58, 1)) < 0.02).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> CoDAE:
    return CoDAE(COMPACT, seed=3)


@pytest.fixture(scope="module")
def scores(model) -> dict[str, np.ndarray]:
    return codae_scores(model, MASKS, batch_size=4)


def blocks(p: np.ndarray) -> np.ndarray:
    """Sums over 12 x 12 pixels, one column of padding on each side: (N, 72, 58, 1) -> (N, 6, 5)."""
    return np.pad(p[..., 0], ((0, 0), (0, 0), (1, 1))).reshape(len(p), 6, 12, 5, 12).sum((2, 4))


def test_block_power_of_masks_is_the_score_of_a_perfect_reconstruction():
    assert np.array_equal(block_power(MASKS), (blocks(MASKS.astype(float)) ** 2).sum((1, 2)))


def test_scores_follow_their_formulas(model, scores):
    x = MASKS.astype(float)
    p = np.asarray(model(MASKS), float)
    z0, z1 = np.asarray(model.f_m(MASKS.astype("float32")), float).T
    z_r = np.asarray(model.f_r(MASKS.astype("float32")), float)
    norm, pixels = np.sqrt(z0**2 + z1**2), (1, 2, 3)
    expected = {
        "z0": z0,
        "z1": z1,
        "z_sum": z0 + z1,
        "z_difference": z0 - z1,
        "z_norm": norm,
        "z0_over_norm": z0 / norm,
        "z1_over_norm": z1 / norm,
        "z_r_norm": np.sqrt((z_r**2).sum(pixels)),
        "mse": ((x - p) ** 2).sum(pixels),
        "bce": -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(pixels),
        "dice": 1 - (2 * (x * p).sum(pixels) + 1) / (x.sum(pixels) + p.sum(pixels) + 1),
        "missed": (x * (1 - p) ** 2).sum(pixels),
        "invented": ((1 - x) * p**2).sum(pixels),
        "block_power": (blocks(p) ** 2).sum((1, 2)),
    }
    assert tuple(scores) == SCORES == tuple(expected)
    for name, value in expected.items():
        assert scores[name].dtype == np.float64
        np.testing.assert_allclose(scores[name], value, rtol=2e-5, atol=1e-5, err_msg=name)


def test_scores_keep_the_order_whatever_the_batch(model, scores):
    again = codae_scores(model, MASKS[::-1], batch_size=3)
    for name in SCORES:
        np.testing.assert_allclose(again[name][::-1], scores[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert codae_scores(model, MASKS[:0])["mse"].shape == (0,)


def test_scores_are_those_of_the_weights_and_parts_of_now():
    """They are compiled once a model; a model that shares its decoder has its own."""
    first, second = CoDAE(TINY, seed=1), CoDAE(TINY, seed=2)
    expected, changed = codae_scores(second, MASKS, 4), with_encoders(first, f_m=second.f_m)
    assert (codae_scores(first, MASKS, 4)["mse"] != expected["mse"]).all()
    assert (codae_scores(changed, MASKS, 4)["z0"] == expected["z0"]).all()
    first.set_weights(second.get_weights())
    assert all((codae_scores(first, MASKS, 4)[name] == expected[name]).all() for name in SCORES)


def test_bce_takes_the_mask_as_target():
    # One active pixel predicted with p = 0.9, one quiet with p = 0.2: swapped arguments would give another number.
    mask = np.array([1.0, 0.0], "float32").reshape(1, 2, 1, 1)
    p = np.array([0.9, 0.2]).reshape(1, 2, 1, 1)
    logits = np.log(p / (1 - p)).astype("float32")
    assert float(losses.bce(mask, logits)[0]) == pytest.approx(-np.log(0.9) - np.log(0.8), rel=1e-5)


def test_bce_is_finite_for_certain_mistakes():
    mask = np.ones((1, 1, 1, 1), "float32")
    assert float(losses.bce(mask, np.full_like(mask, -1000.0))[0]) == 1000.0


def test_dice_of_perfect_and_of_disjoint_masks():
    ones = np.ones((1, 3, 3, 1), "float32")
    assert float(losses.dice(ones, ones)[0]) == 0.0
    assert float(losses.dice(ones, 0 * ones)[0]) == pytest.approx(0.9)
    assert float(losses.dice(0 * ones, 0 * ones)[0]) == 0.0


def test_orientation_follows_the_reconstruction_error():
    mse = np.random.default_rng(1).gamma(2, size=200)
    qcd = {"mse": mse, "falls": -(mse**3), "rises": np.exp(mse), "constant": np.zeros(200)}
    signs = orientations(qcd)
    assert signs == {"mse": 1, "falls": -1, "rises": 1, "constant": 1}
    assert (orient(qcd, signs)["falls"] == mse**3).all()


def test_orientation_is_by_ranks_not_by_outliers():
    mse = np.arange(10.0)
    score = -mse
    score[-1] = 1e6  # Pearson's correlation is positive, Spearman's negative
    assert np.corrcoef(mse, score)[0, 1] > 0
    assert orientations({"mse": mse, "score": score})["score"] == -1


def test_orientation_needs_the_reconstruction_error():
    with pytest.raises(InputError, match="scores z0; expected mse among them"):
        orientations({"z0": np.ones(3)})


def test_mask_and_active_pixels():
    images = np.zeros((2, 72, 58, 3), np.float32)
    images[0, 1, 2, 0] = images[0, 71, 57, 0] = 0.3
    images[1, :, :, 1:] = 5.0
    mask = track_mask(images)
    assert mask.shape == (2, 72, 58, 1)
    assert mask.dtype == np.uint8
    assert active_pixels(mask).tolist() == [2.0, 0.0]


def test_wrong_shape_is_named(model):
    with pytest.raises(InputError, match=r"masks of shape \(2, 72, 58, 3\)"):
        codae_scores(model, np.zeros((2, 72, 58, 3)))


def test_scores_have_the_bits_of_the_operations_as_they_are_written():
    """Called one by one they divide by a root; TensorFlow's optimizer would make the processor's rsqrt of them."""
    model = CoDAE(TINY, 1)
    masks = (np.random.default_rng(0).random((128, 72, 58, 1)) < 0.05).astype(np.float32)
    scores, z_m = codae_scores(model, masks), np.asarray(model.f_m(masks), np.float64)
    assert (scores["z0"] == z_m[:, 0]).all()
    assert (scores["z1"] == z_m[:, 1]).all()
