"""The circuit of a quantizer is QKeras, bit for bit: precision x rounding x clipping."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import Quantizer
from codae_l1.hls.layers._adders import quantize_exactly
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import _without_compiler


@pytest.fixture(autouse=True)
def plain_python():
    with _without_compiler():
        yield


def trace_one(word: WordType, function):
    """All values of `word` through `function` of a da4ml variable: (values, results), and the traced logic."""
    from da4ml.trace import FixedVariable, HWConfig, comb_trace

    kif = int(word.keep_negative), word.integer, word.fraction
    variable = FixedVariable.from_kif(*kif, hwconf=HWConfig(1, -1, -1))
    logic = comb_trace([variable], [function(variable)], keep_dead_inputs=True)
    low, high = word.bounds
    values = word.from_words(np.arange(low, high + 1))
    return values, logic.predict(values[:, None])[:, 0], logic


def qkeras_quantizer(quantizer: Quantizer):
    from qkeras import quantized_bits, quantized_relu

    word = quantizer.word
    if quantizer.relu:
        slope = quantizer.negative_slope
        return quantized_relu(word.width, word.integer, negative_slope=slope)
    return quantized_bits(
        word.width, word.integer, keep_negative=word.keep_negative, symmetric=int(quantizer.symmetric), alpha=1
    )


def to_word(negative: bool, integer: int, fraction: int) -> WordType:
    return WordType(negative, integer, fraction, "RND_CONV", "SAT")


QUANTIZERS = [
    *(Quantizer(True, to_word(False, i, f)) for i, f in ((0, 3), (2, 0), (3, 2), (5, 1), (6, -2), (1, 5))),
    *(Quantizer(True, to_word(True, i, f), s) for i, f, s in ((3, 1, 0.25), (2, 3, 0.5), (5, 2, 0.125), (4, -1, 0.25))),
    *(Quantizer(False, to_word(True, i, f)) for i, f in ((0, 3), (2, 1), (5, 4), (6, -2), (1, 0))),
    *(Quantizer(False, to_word(True, i, f), symmetric=True) for i, f in ((2, 1), (4, 0))),
    *(Quantizer(False, to_word(False, i, f)) for i, f in ((2, 1), (5, 3))),
]
INPUTS = [WordType(True, 5, 3), WordType(False, 4, 3), WordType(True, 0, 6), WordType(False, 6, 1)]


@pytest.fixture(params=QUANTIZERS, ids=lambda q: f"{'relu' if q.relu else 'bits'}-{q.word}-{q.negative_slope}")
def quantizer(request):
    return request.param


@pytest.fixture(params=INPUTS, ids=str)
def word(request):
    return request.param


def test_every_value_is_quantized_as_qkeras_does(quantizer, word):
    changes = [(1.0, 0.0), (-1.0, 0.0), (0.5, 0.75), (-1.0, -2.5), (1.0, 2.0**-5), (-0.25, 3.0)]
    seen, expected = [], []
    for factor, bias in changes:
        values, results, _ = trace_one(word, lambda v: quantize_exactly(v * factor + bias, quantizer))  # noqa: B023 (used at once)
        seen.append(results)
        expected.append(values * factor + bias)
    np.testing.assert_array_equal(
        np.concatenate(seen), np.asarray(qkeras_quantizer(quantizer)(np.concatenate(expected).astype(np.float32)))
    )


def test_a_tie_is_rounded_to_even_and_a_half_up_circuit_would_be_caught():
    quantizer = Quantizer(False, to_word(True, 4, 0))
    values, results, _ = trace_one(WordType(True, 3, 1), lambda v: quantize_exactly(v, quantizer))
    assert results[values == 2.5] == 2.0
    assert results[values == -1.5] == -2.0
    assert (results != np.floor(values + 0.5)).sum() == 8


def test_a_bias_of_odd_half_steps_makes_rounding_cheaper_and_stays_exact():
    quantizer, word = Quantizer(False, to_word(True, 6, 0)), WordType(True, 5, 2)
    _, tied, costly = trace_one(word, lambda v: quantize_exactly(v + 0.25, quantizer))
    values, free, cheap = trace_one(word, lambda v: quantize_exactly(v + 0.125, quantizer))
    assert cheap.cost < costly.cost
    np.testing.assert_array_equal(free, np.rint(values + 0.125))
    np.testing.assert_array_equal(tied, np.rint(values + 0.25))


def test_a_constant_is_quantized_like_any_value():
    quantizer = Quantizer(True, to_word(True, 2, 1), 0.25)
    _, results, logic = trace_one(WordType(False, 1, 0), lambda v: quantize_exactly(v * 0.0 - 3.0, quantizer))
    assert results.tolist() == [-1.0, -1.0]
    assert logic.cost == 0


def test_random_words_and_precisions_agree():
    rng = np.random.default_rng(20)
    for _ in range(150):
        bits = rng.integers(0, 5, 4)
        word = WordType(bool(rng.integers(2)), int(bits[0]) + 1, int(bits[1]))
        quantizer = Quantizer(bool(rng.integers(2)), to_word(False, int(bits[2]) + 1, int(bits[3])))
        scale, bias = 2.0 ** rng.integers(-2, 2), rng.integers(-40, 40) / 8
        function = lambda v, s=scale, b=bias, q=quantizer: quantize_exactly(v * s + b, q)  # noqa: E731 (one use)
        values, results, _ = trace_one(word, function)
        expected = quantizer.word.quantize(values * scale + bias)
        np.testing.assert_array_equal(results, expected, err_msg=f"{word} {quantizer} {scale} {bias}")


def test_a_layer_without_a_twin_is_refused():
    import keras

    inputs = keras.Input((4,), name="counts")
    model = keras.Model(inputs, keras.layers.Softmax(name="soft")(inputs))
    with pytest.raises(InputError, match=r"layer soft is a Softmax; expected one of QConv2D, QDense, QActivation"):
        read_network(model, WordType(False, 5, 0))
