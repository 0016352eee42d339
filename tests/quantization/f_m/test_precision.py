import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.quantization.f_m.precision import EXACT_LSBS, LayerPrecision, exact_accumulator


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (LayerPrecision(weight_bits=4, weight_integer=1).weight_word, "ap_fixed<4,2,AP_RND_CONV,AP_SAT>"),
        (LayerPrecision(output_bits=6, output_integer=3).relu_word, "ap_ufixed<6,3,AP_RND_CONV,AP_SAT>"),
        (LayerPrecision(output_bits=12, output_integer=5).output_word, "ap_fixed<12,6,AP_RND_CONV,AP_SAT>"),
        (LayerPrecision(bias_bits=8, bias_integer=-1).bias_word, "ap_fixed<8,0,AP_RND_CONV,AP_SAT>"),
    ],
)
def test_words_follow_the_layer_s_bits(word, text):
    assert str(word) == text


@pytest.mark.parametrize(
    ("changes", "last", "words"),
    [
        ({"weight_bits": 0}, False, "q.weight_bits = 0; expected 2 to 11 bits"),
        ({"weight_bits": 12}, False, "q.weight_bits = 12; expected 2 to 11 bits"),
        ({"output_bits": 0}, False, "q.output_bits = 0; expected 1 to 11 bits"),
        ({"output_bits": 1}, True, "q.output_bits = 1; expected 2 to 24 bits"),
        ({"output_integer": -1}, False, "q.output_integer = -1; expected 0 to 16 integer bits"),
        ({"bias_integer": 17}, False, "q.bias_integer = 17; expected -16 to 16 integer bits"),
    ],
)
def test_bits_that_make_no_word_name_their_path(changes, last, words):
    with pytest.raises(InputError) as error:
        LayerPrecision(**changes).check("q", last)
    assert words in str(error.value)


def test_accumulator_holds_the_widest_sum_and_no_more():
    # 9 products of 31 x -32 words and a bias of -128 words of the same step: 9 * 992 + 128 = 9056 < 2^14.
    precision = LayerPrecision(weight_bits=6, weight_integer=0, bias_bits=8, bias_integer=2)
    word = exact_accumulator("conv1", 9, WordType(False, 5, 0), precision)
    assert (word.fraction, word.integer, word.bounds) == (5, 9, (-(1 << 14), (1 << 14) - 1))


def test_sums_that_float32_cannot_hold_are_refused():
    precision = LayerPrecision(weight_bits=11, weight_integer=0, bias_bits=4, bias_integer=3)
    inputs = EXACT_LSBS // (31 * 1024)
    assert exact_accumulator("x", inputs, WordType(False, 5, 0), LayerPrecision(11, 0, 2, -9)).width <= 25
    with pytest.raises(InputError, match=r"x: sums of .* expected fewer than 16777216, what float32 adds exactly"):
        exact_accumulator("x", inputs + 1, WordType(False, 5, 0), precision)
