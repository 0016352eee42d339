"""Words: what has none, and what executors take for one."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.words import WordType, exact_words


@pytest.mark.parametrize("rounding", ["TRN", "RND", "RND_CONV"])
@pytest.mark.parametrize("overflow", ["SAT", "WRAP"])
def test_no_word_stands_for_nan(rounding, overflow):
    word = WordType(True, 2, 1, rounding, overflow)
    with pytest.raises(InputError, match=r"1 of 3 values that are no numbers; expected numbers for ap_fixed<4,3,AP_"):
        word.to_words(np.array([0.5, np.nan, 1.0]))


def test_what_is_infinite_saturates_or_has_no_word():
    values = np.array([np.inf, -np.inf, 1e300])
    assert WordType(True, 2, 1, "RND_CONV", "SAT").to_words(values).tolist() == [7, -8, 7]
    with pytest.raises(InputError, match="2 of 3 values that are no numbers"):
        WordType(True, 2, 1, "TRN", "WRAP").to_words(values * 1e-290)


def test_what_is_far_beyond_the_range_wraps_as_in_hardware():
    values = [2.0**70, -(2.0**70), 2.0**61 + 2.0**10, 3 * 2.0**65, -9.0, 7.5]
    expected = [(int(v * 4) + 32) % 64 - 32 for v in values]
    assert WordType(True, 3, 2, "TRN", "WRAP").to_words(np.array(values)).tolist() == expected


@pytest.mark.parametrize("overflow", ["SAT", "WRAP"])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("width", [52, 53, 54, 61, 62, 63, 64])
def test_wide_words_are_those_of_pythons_integers(width, signed, overflow):
    word, largest = WordType(signed, width - signed - 2, 2, "TRN", overflow), 2.0**62
    values = np.array([0.75, -1.25, 1e30, -1e30, largest, -largest, np.nextafter(largest, 0), 2.0**50 + 0.5])
    low, high = word.bounds
    scaled = [int(np.floor(value * 4)) for value in values]
    expected = [min(max(s, low), high) if overflow == "SAT" else (s - low) % 2**width + low for s in scaled]
    fits = [-(2**63) <= e < 2**63 for e in expected]
    assert all(fits) == (signed or width < 64)
    for value, right, one in zip(values, expected, fits, strict=True):
        if one:
            assert word.to_words(np.array([[value]])).tolist() == [[right]]
        else:
            with pytest.raises(InputError, match=rf"the word {right} of ap_ufixed<64,62,.*; expected words of at most"):
                word.to_words(value)


def test_what_is_beyond_float64_saturates():
    assert WordType(True, 61, 2, "RND", "SAT").to_words(np.array([np.inf, -np.inf, 1.7e308])).tolist() == [
        2**63 - 1,
        -(2**63),
        2**63 - 1,
    ]
    assert WordType(False, 3, 2, "RND_CONV", "SAT").to_words(np.array([1.7e308])).tolist() == [31]


def test_half_up_is_of_the_value_itself():
    """The float64 sum of the largest number below 1/2 and 1/2 is 1, and that of 2^52 + 1 and 1/2 is 2^52 + 2."""
    values = np.array([np.nextafter(0.5, 0), 0.5, -0.5, -np.nextafter(0.5, 1), 2.0**52 + 1, -1e-20])
    for overflow in ("SAT", "WRAP"):
        found = WordType(True, 60, 0, "RND", overflow).to_words(values)
        assert found.tolist() == [0, 1, 0, -1, 2**52 + 1, 0]


def test_exact_words_have_at_most_64_bits():
    word = WordType(True, 2, 1)
    assert exact_words(np.array([2.0**62 - 512, -(2.0**61)]), word, "hls").tolist() == [2**63 - 1024, -(2**62)]
    for beyond in (2.0**70, -(2.0**70), 2.0**62):
        with pytest.raises(ToolError, match=r"executor hls gave 1 of 2 outputs off the grid of ap_fixed<4,3,"):
            exact_words(np.array([0.5, beyond]), word, "hls")


def test_words_beyond_the_range_are_left_to_the_overflow_rule():
    word, given = WordType(False, 5, 0), np.array([[0, 99], [2**40, 3]])
    assert word.check(given, (2,), "counts").tolist() == given.tolist()
    assert WordType(True, 5, 0).check(-given, (2, 1), "counts").tolist() == (-given[..., None]).tolist()
    with pytest.raises(InputError, match="counts from -99 to 0; expected counts from 0 to"):
        word.check(-given[:1], (2,), "counts")
    with pytest.raises(InputError, match=r"counts of shape \(\), int64"):
        word.check(np.array(3), (2,), "counts")
