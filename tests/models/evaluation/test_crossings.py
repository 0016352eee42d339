"""Crossings that are wrong in themselves, and wrong questions about them: one clear error each."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation._crossing_points import parse_point
from codae_l1.models.evaluation.crossing_rates import (
    Crossings,
    check_disjoint,
    pileup_points,
    threshold_at,
    total_rate,
    turn_on,
)

KHZ = 40_000.0


def bad(**changed):
    parts = {"words": {"a": np.arange(2)}, "weight": np.ones(2), "stratum": np.zeros(2, int)}
    return Crossings(**{**parts, "members": np.array([[0, 1, -1], [2, -1, -1]]), **changed})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bad(weight=np.array([1.0, -1.0])), "a weight below 0, not finite"),
        (lambda: bad(weight=np.array([1.0, np.nan])), "a weight below 0, not finite"),
        (lambda: total_rate(bad(weight=np.zeros(2)), {}, KHZ), "2 crossings, the sum of whose weights is 0.0"),
        (lambda: total_rate([], {}, KHZ), "0 crossings, the sum of whose weights is 0.0"),
        (lambda: bad(words={"a": np.arange(2.0)}), "a of 2 crossings: float64 (2,); expected (2,) integers"),
        (lambda: bad(words={"a": np.arange(3)}), "a of 2 crossings: int64 (3,)"),
        (lambda: bad(words={"a": np.arange(2).astype(np.uint64)}), "a of 2 crossings: uint64 (2,)"),
        (lambda: bad(stratum=None), "stratum of 2 crossings: NoneType ()"),
        (lambda: bad(stratum=np.array([0, 300])), "strata from 0 to 300"),
        (lambda: bad(members=np.zeros((3, 3), int)), "members of 2 crossings: int64 (3, 3)"),
        (lambda: bad(members=np.full((2, 3), -2)), "members of 2 crossings"),
        (lambda: bad(members=np.array([[0, 1, -1], [2, 3, 2]])), "members [2, 3, 2] of a crossing"),
        (lambda: total_rate(bad(), {"b": 1}, KHZ), "no words of 'b'; expected one of a"),
        (lambda: threshold_at(bad(), "a", -1.0, KHZ), "a rate of -1.0 kHz; expected a number above 0"),
        (lambda: threshold_at(bad(), "b", 1.0, KHZ), "no words of 'b'; expected one of a"),
        (lambda: total_rate(bad(), lambda words: words["a"], KHZ), "a menu that answers int64 (2,) for 2 crossings"),
        (lambda: total_rate(iter([bad()]), {}, KHZ), "crossings as a list_iterator, which can be read once"),
        (lambda: total_rate(bad(), {}, 0.0), "0.0 kHz of crossings"),
        (lambda: parse_point("1 MHz", KHZ), "working point '1 MHz'; expected a share of crossings such as"),
        (lambda: parse_point("50000 kHz", KHZ), "working point '50000 kHz'"),
        (lambda: parse_point("", KHZ), "working point ''"),
        (lambda: parse_point("nan", KHZ), "working point 'nan'"),
        (lambda: pileup_points({50.0: (bad(), {})}, (), {}, KHZ, (), 60.0), "fixed at pile-up 60; expected one of 50"),
        (lambda: turn_on(bad(), {}, np.ones(3), np.arange(3)), "values of shape (3,); expected one finite value per"),
        (lambda: turn_on(bad(), {}, np.ones(1), np.arange(3)), "values of shape (1,)"),
        (lambda: turn_on(bad(), {}, np.ones(2), np.array([1, 1])), "edges [1.0, 1.0]; expected at least two rising"),
        (
            lambda: check_disjoint(np.array([[1, 2, -1]]), np.array([[2, -1, -1]]), ("train", "test")),
            "a pool shared between splits: 1 collisions, 2 for one, in train and test",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert words in str(error.value)


def test_splits_without_common_collisions_pass():
    assert check_disjoint(np.array([[1, 2, -1]]), np.array([[3, -1, -1]]), ("train", "test")) is None
