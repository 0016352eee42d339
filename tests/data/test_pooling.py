"""Pooled counts: integer and float twins equal exactly; augmentation keeps what it must; splits share no pile-up."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.errors import InputError
from codae_l1.data.events import QCD, unweighted
from codae_l1.data.menu import menu_words
from codae_l1.data.pooling import PoolingConfig, active_counts_float, input_counts, tower_words, track_mask
from codae_l1.data.splits import SPLITS, blocks_of, split_of

# Names of six events.
QCD_6 = np.full(6, QCD)


def images(share: float, seed: int, n: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    energies = rng.exponential(5, (n, 72, 58, 3)).astype(np.float32)
    return np.where(rng.random(energies.shape) < share, energies, 0).astype(np.float32)


@pytest.mark.parametrize("pool", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_integer_and_float_twins_are_equal(pool, share):
    batch = images(share, pool)
    masks = (batch[..., :1] > 0).astype(np.float32)
    words, floats = input_counts(batch, PoolingConfig(pool)), active_counts_float(masks, PoolingConfig(pool))
    assert words.dtype == np.int64
    assert floats.dtype == np.float32
    assert words.shape == floats.shape
    assert (words == floats).all()
    assert (words.sum(axis=(1, 2, 3)) == masks.sum(axis=(1, 2, 3))).all()
    assert words.max() <= pool**2


def test_each_pixel_is_counted_in_its_own_cell():
    batch = np.zeros((72 * 58, 72, 58, 3), np.uint8)
    phi, eta = np.divmod(np.arange(72 * 58), 58)
    batch[np.arange(72 * 58), phi, eta, 0] = 1
    counts = input_counts(batch)
    expected = np.zeros((72 * 58, 18, 15, 1), np.int64)
    expected[np.arange(72 * 58), phi // 4, (eta + 1) // 4, 0] = 1
    assert (counts == expected).all()


def test_energies_are_summed_as_tower_words():
    batch = np.zeros((1, 72, 58, 3), np.float32)
    batch[0, 0, 0:3, 1] = (3.9, 0.6, 0.49)  # tower words 7, 1, 0 of 0.5 GeV: 8 in all
    batch[0, 71, 57, 2] = 1000.0
    config = PoolingConfig(inputs=("hcal", "tracks", "ecal"), energy_lsb_gev=2.0)
    words = input_counts(batch, config)
    assert words.shape == (1, *config.shape) == (1, 18, 15, 3)
    assert words.dtype == np.int64
    assert words[0, 0, 0].tolist() == [0, 0, 2]
    assert words[0, 17, 14].tolist() == [500, 0, 0]
    assert words.sum() == 502


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"inputs": ("muons",)}, r"inputs = \['muons'\]; expected different names out of tracks, track_pt, ecal, hcal"),
        ({"inputs": ("ecal", "ecal")}, r"inputs = \['ecal', 'ecal'\]"),
        ({"inputs": ()}, r"inputs = \[\]"),
        ({"energy_lsb_gev": 3.0}, r"energy_lsb_gev = 3.0; expected 0.5 times 1, 2, 4, 8"),
        ({"energy_lsb_gev": 0.25}, r"energy_lsb_gev = 0.25"),
        ({"energy_lsb_gev": float("nan")}, r"energy_lsb_gev = nan"),
    ],
)
def test_wrong_inputs_name_what_is_expected(table, words):
    with pytest.raises(InputError, match=words):
        PoolingConfig(**table)


def test_other_channels_do_not_count():
    batch = images(1.0, 0)
    batch[..., 0] = 0
    assert input_counts(batch).sum() == 0


@pytest.mark.parametrize("value", [3, np.float64(1), {"a": 1}, {1}, object(), None, [], "text", [[1, 2], [3]]])
def test_what_is_no_array_is_no_image(value):
    with pytest.raises(InputError, match=r"images (of shape|in a list)"):
        input_counts(value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a + 1j, "images of type complex64; expected real numbers; convert them"),
        (lambda a: a.astype(str), "images of type <U32; expected real numbers"),
        (lambda a: a.astype("m8[s]"), r"images of type timedelta64\[s\]; expected real numbers"),
        (lambda a: a.astype(object), "images of type object; expected real numbers"),
        (lambda a: np.ma.masked_equal(a, 0), "images in a masked array, whose mask would be ignored"),
    ],
)
@pytest.mark.parametrize(
    "read", [input_counts, tower_words, track_mask, menu_words, lambda a: unweighted(a, QCD_6, np.ones(6), {})]
)
def test_images_without_real_numbers_are_refused(change, words, read):
    with pytest.raises(InputError, match=words):
        read(change(images(0.2, 1)))


def test_images_as_a_list_are_images():
    batch = images(0.2, 1, 3)
    assert np.array_equal(input_counts(batch.tolist()), input_counts(batch))


def test_pool_that_does_not_divide():
    with pytest.raises(InputError, match=r"pool = 5; expected a divisor of 72"):
        PoolingConfig(5)


def test_pools_that_the_message_names_are_those_that_work():
    with pytest.raises(InputError) as error:
        PoolingConfig(5)
    named = [int(p) for p in str(error.value).rpartition("take ")[2].split(", ")]
    works = []
    for pool in range(1, 73):
        with contextlib.suppress(InputError):
            works.append(PoolingConfig(pool).pool)
    assert named == works
    assert {1, 2, 3, 4, 6, 8} <= set(named)


def test_augmentation_flips_and_rolls_by_eight_rows():
    batch = (images(0.1, 3, 400)[..., :1] > 0).astype(np.uint8)
    changed = flip_and_roll(batch, np.random.default_rng(5))
    assert changed.dtype == np.uint8
    seen = set()
    for before, after in zip(batch, changed, strict=True):
        matches = [
            (flip, roll)
            for flip in (False, True)
            for roll in range(0, 64, 8)
            if np.array_equal(np.roll(before[:, ::-1] if flip else before, roll, axis=0), after)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == 16
    assert np.array_equal(changed, flip_and_roll(batch, np.random.default_rng(5)))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=200))
def test_events_of_one_block_are_in_one_split(blocks):
    blocks = np.array(blocks)
    splits = split_of(blocks)
    assert set(splits) <= set(SPLITS)
    for block in np.unique(blocks):
        assert len(set(splits[blocks == block])) == 1


def test_blocks_of_the_splits_part_the_pool():
    parts = [blocks_of(split, 100) for split in SPLITS]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(100))
    assert [len(p) for p in parts] == [65, 10, 5, 20]


def test_split_of_unknown_blocks_and_names():
    with pytest.raises(InputError, match=r"1 of 2 events without a known pile-up block; expected blocks >= 0"):
        split_of(np.array([3, -1]))
    with pytest.raises(InputError, match=r"split 'training'; expected one of train, validation"):
        blocks_of("training", 20)
