"""Words: what has none, and what executors take for one."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType


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


def test_words_beyond_the_range_are_left_to_the_overflow_rule():
    word, given = WordType(False, 5, 0), np.array([[0, 99], [2**40, 3]])
    assert word.check(given, (2,), "counts").tolist() == given.tolist()
    assert WordType(True, 5, 0).check(-given, (2, 1), "counts").tolist() == (-given[..., None]).tolist()
    with pytest.raises(InputError, match="counts from -99 to 0; expected counts from 0 to"):
        word.check(-given[:1], (2,), "counts")
    with pytest.raises(InputError, match=r"counts of shape \(\), int64"):
        word.check(np.array(3), (2,), "counts")
