"""Profiles say what the words did: counted by hand on values that are easy to count."""

import json

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import Activation, Dense, Flatten, Interval, Quantizer
from codae_l1.hls.network.profile import EXPONENTS, _profile, table
from codae_l1.hls.network.records import Network

INPUT = WordType(False, 3, 0, "TRN", "SAT")
# ap_ufixed<3,2>: 0 to 3.5 in steps of 0.5; ap_fixed<4,3>: -4 to 3.5.
RELU = Quantizer(True, WordType(False, 2, 1, "RND_CONV", "SAT"))
SIGNED = Quantizer(False, WordType(True, 2, 1, "RND_CONV", "SAT"))
WRAPPED = Quantizer(False, WordType(True, 2, 1, "TRN", "WRAP"))


def network(quantizer):
    """One value in: doubled and lowered by 5 (words -5 to 9), then the quantizer, then flat."""
    low, high = quantizer.bounds
    layers = (
        Dense("dense", (1,), Interval(-5.0, 9.0, 1.0), np.array([[2.0]]), np.array([-5.0])),
        Activation("act", (1,), Interval(low, high, quantizer.word.lsb), quantizer),
        Flatten("flat", (1,), Interval(low, high, quantizer.word.lsb)),
    )
    return Network("counts", INPUT, (1,), layers)


def rows(quantizer, counts, dense=None):
    counts = np.array(counts)[:, None]
    sums = 2.0 * np.clip(counts, 0, 7) - 5 if dense is None else np.array(dense)[:, None]
    values = quantizer.quantize(sums)
    halves = [(counts[i::2], {"dense": sums[i::2], "act": values[i::2], "flat": values[i::2]}) for i in (0, 1)]
    return {row["layer"]: row for row in _profile(network(quantizer), halves)}


def test_the_input_saturates_beyond_its_word():
    row = rows(RELU, [0, 1, 2, 7, 8, 9, -3])["counts"]
    assert (row["above"], row["below"], row["saturated"], row["wrapped"]) == (2, 1, 3, 0)
    assert (row["low"], row["high"], row["zeros"], row["values"]) == (0, 7, 2 / 7, 7)
    assert (row["word"], row["used_bits"], row["head_room"], row["tail_room"]) == (
        "ap_ufixed<3,3,AP_TRN,AP_SAT>",
        3,
        0,
        0,
    )


def test_a_relu_saturates_above_alone():
    # Sums -5, -3, -1, 1, 3, 5, 7.
    row = rows(RELU, [0, 1, 2, 3, 4, 5, 6])["act"]
    assert (row["above"], row["below"], row["saturated"], row["zeros"]) == (2, 0, 2, 3 / 7)
    assert (row["low"], row["high"]) == (0, 3.5)


def test_a_signed_word_saturates_or_wraps_on_both_sides():
    counts = [0, 1, 2, 3, 4, 5, 6]
    row = rows(SIGNED, counts)["act"]
    assert (row["above"], row["below"], row["saturated"], row["wrapped"]) == (2, 1, 3, 0)
    row = rows(WRAPPED, counts)["act"]
    assert (row["above"], row["below"], row["saturated"], row["wrapped"]) == (2, 1, 0, 3)


def test_layers_that_pass_values_on_do_not_count_them_again():
    found = rows(RELU, [0, 4, 7])
    assert found["act"]["saturated"] == 1
    assert (found["flat"]["saturated"], found["flat"]["wrapped"]) == (0, 0)


@pytest.mark.parametrize(
    ("sums", "used", "head", "tail"),
    [
        ([0.0, 1.0, 2.0], 2, 1, 1),  # words 2 and 4: no sign is needed, and the last bit is never set
        ([-4.0, 3.5], 4, 0, 0),
        ([-4.0, 2.0], 2, 0, 2),  # -8 needs the sign and three bits, of which the last two are zero
        ([-0.5, 0.5], 2, 2, 0),
        ([0.0], 0, 4, 4),
    ],
)
def test_used_bits_are_those_between_the_highest_and_the_lowest_one(sums, used, head, tail):
    row = rows(SIGNED, [0] * len(sums), sums)["act"]
    assert (row["used_bits"], row["head_room"], row["tail_room"]) == (used, head, tail)


def test_floats_have_no_lowest_bit_and_may_need_more_than_the_word():
    counts = np.zeros((3, 1), np.int64)
    values = np.array([[0.1], [-9.0], [20.0]])
    (batch,) = [(counts, {"dense": values, "act": values, "flat": values})]
    found = {row["layer"]: row for row in _profile(network(SIGNED), [batch])}
    assert found["act"]["tail_room"] is None
    assert found["act"]["head_room"] == -3
    assert (found["act"]["above"], found["act"]["below"], found["act"]["saturated"]) == (1, 1, 2)
    # The sums' word, -16 to 15, of the float model is left, too.
    assert (found["dense"]["word"], found["dense"]["wrapped"]) == ("ap_fixed<5,5,AP_TRN,AP_WRAP>", 1)


def test_values_are_counted_by_their_power_of_two():
    row = rows(SIGNED, [0, 0, 0, 0], [-4.0, 0.5, 3.5, 0.0])["act"]
    counted = {EXPONENTS[0] + i: n for i, n in enumerate(row["exponents"]) if n}
    assert counted == {-1: 1, 1: 1, 2: 1}


def test_records_are_json_and_a_table():
    found = list(rows(RELU, [0, 5, 9]).values())
    json.dumps(found, allow_nan=False)
    lines = table(found).splitlines()
    assert lines[0].split()[:2] == ["layer", "word"]
    assert lines[3].startswith("act     ap_ufixed<3,2,AP_RND_CONV,AP_SAT>")
    assert " ".join(lines[3].split()[2:]) == "0 3.5 3 of 3 0, 0 33.3 2 0"


def test_nothing_to_count_is_said():
    with pytest.raises(InputError, match="no event; expected at least one event to profile"):
        _profile(network(RELU), [])
    with pytest.raises(InputError, match="no values of layer act; expected all 3 layers"):
        _profile(network(RELU), [(np.zeros((1, 1), int), {"dense": np.zeros((1, 1))})])
