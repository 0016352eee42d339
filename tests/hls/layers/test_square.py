"""Squares are exact in every executor, without a multiplier, from the lowest word to the highest."""

import shutil

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.hls4ml._square import HEADER
from codae_l1.hls.hls4ml.backends import BACKENDS
from codae_l1.hls.hls4ml.project import convert_network, write_project
from codae_l1.hls.layers import Interval, Square
from codae_l1.hls.layers._adders import square
from codae_l1.hls.network.mismatch import QKerasNetwork, _adversarial_words, compare
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import Interpreter, RtlSimulation, _without_compiler, build_rtl
from codae_l1.hls.rtl.vhdl import VhdlSimulation, build_vhdl
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import Emulator, build_emulator

INPUT = WordType(False, 3, 0, "TRN", "SAT")
# da4ml's opcode of a product.
MULTIPLY = 7


def model_of(signed=True, bits=6, integer=3):
    """dense (3), word, squares, dense (1: their weighted sum), word; the first sums saturate the word on both sides."""
    import keras
    import qkeras

    from codae_l1.quantization.f_m._square import Square as KerasSquare

    rule = {q: qkeras.quantized_bits(4, 1, alpha=1) for q in ("kernel_quantizer", "bias_quantizer")}
    inputs = keras.Input((3, 3, 1), name="counts")
    x = keras.layers.Flatten(name="flat")(inputs)
    x = qkeras.QDense(3, name="dense", **rule)(x)
    word = qkeras.quantized_bits(bits, integer, alpha=1) if signed else qkeras.quantized_relu(bits, integer)
    x = KerasSquare(name="square")(qkeras.QActivation(word, name="word")(x))
    x = qkeras.QDense(1, name="sum", **rule)(x)
    model = keras.Model(inputs, qkeras.QActivation(qkeras.quantized_bits(12, 9, alpha=1), name="sum_word")(x))
    grid, rng = WordType(True, 1, 2, "RND_CONV", "SAT"), np.random.default_rng(3)
    model.set_weights([grid.quantize(rng.normal(0, 1, w.shape)) for w in model.get_weights()])
    return model


class Case:
    """A model, its records, counts, and the words that QKeras gives of them."""

    def __init__(self, **word):
        self.model = model_of(**word)
        self.network = read_network(self.model, INPUT)
        self.output = self.network.layers[-1].word
        self.reference = QKerasNetwork(self.model, self.network, self.output)
        self.counts = _adversarial_words((3, 3, 1), INPUT, 3, seed=1, n_random=400)


@pytest.fixture(scope="module", params=[{}, {"signed": False, "bits": 5}, {"bits": 9, "integer": 4}], ids=str)
def case(request):
    return Case(**request.param)


def squares_of(word, change=lambda x: x):
    """All values of a word and what the circuit gives of each, after a change; and the traced logic."""
    from da4ml.trace import FixedVariable, HWConfig, comb_trace

    kif = int(word.keep_negative), word.integer, word.fraction
    with _without_compiler():
        variable = FixedVariable.from_kif(*kif, hwconf=HWConfig(1, -1, -1))
        logic = comb_trace([variable], [square(change(variable))], keep_dead_inputs=True)
    low, high = word.bounds
    values = word.from_words(np.arange(low, high + 1))
    return change(values), logic.predict(values[:, None])[:, 0], logic


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", range(1, 11))
def test_every_word_is_squared_exactly_and_without_a_multiplier(signed, bits):
    for fraction in (-1, 0, 2, bits + 1):
        word = WordType(signed, bits - signed - fraction, fraction)
        values, results, logic = squares_of(word)
        np.testing.assert_array_equal(results, values**2, err_msg=str(word))
        assert MULTIPLY not in {abs(op.opcode) for op in logic.ops}


@pytest.mark.parametrize("change", [lambda x: -x, lambda x: x - 2.5, lambda x: x * 0.75 + 40, lambda x: x * 0.0 - 3])
@pytest.mark.parametrize("fraction", [1, 4])
def test_values_that_are_no_whole_word_are_squared_exactly(change, fraction):
    values, results, _ = squares_of(WordType(True, 4, fraction), change)
    np.testing.assert_array_equal(results, values**2)


def test_the_words_under_test_reach_both_ends_and_zero(case):
    layers = case.reference.predict_layers(case.counts)
    word, quantizer = layers["word"], case.network.layers[2].quantizer
    reached = (word.min(), word.max()) if case.network.layers[2].word.width < 9 else quantizer.bounds
    assert reached == quantizer.bounds
    assert (word == 0).any()
    np.testing.assert_array_equal(layers["square"], word.astype(np.float64) ** 2)
    assert len(np.unique(case.reference.predict_words(case.counts))) > 50


def test_every_executor_gives_the_words_of_qkeras(case, tmp_path, quick_compiler):
    build_rtl(case.network, case.output, HlsConfig(), tmp_path / "rtl")
    build_emulator(case.network, case.output, HlsConfig(), tmp_path / "emulator")
    made = [Interpreter(tmp_path / "rtl"), RtlSimulation(tmp_path / "rtl"), Emulator(tmp_path / "emulator")]
    made.append(convert_network(case.model, case.network, case.output, HlsConfig(), tmp_path / "hls"))
    for executor in made:
        assert compare(case.reference, executor, case.counts).different == 0, executor.name
    np.testing.assert_array_equal(
        made[0].predict_layers(case.counts)["square"], case.reference.predict_layers(case.counts)["square"]
    )


@pytest.mark.skipif(shutil.which("ghdl") is None, reason="needs GHDL: apt-get install ghdl")
def test_the_vhdl_gives_the_words_of_qkeras(case, tmp_path):
    build_vhdl(case.network, case.output, HlsConfig(), tmp_path / "vhdl")
    assert compare(case.reference, VhdlSimulation(tmp_path / "vhdl"), case.counts).different == 0


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("backend", ["Catapult", "oneAPI"])
def test_other_backends_give_the_words_of_qkeras(backend, io_type, tmp_path, quick_compiler):
    case, config = Case(), HlsConfig(backend=backend, io_type=io_type, part=BACKENDS[backend].part)
    project = convert_network(case.model, case.network, case.output, config, tmp_path / "hls")
    assert compare(case.reference, project, case.counts).different == 0


def test_the_project_of_hls4ml_squares_with_its_own_header(tmp_path):
    case, config = Case(), HlsConfig(backend="Libero", part=BACKENDS["Libero"].part)
    project = write_project(case.model, case.network, case.output, config, tmp_path / "hls")
    assert {row["name"]: row["result"] for row in project["layers"]}["square"] == "ufixed<11,7,TRN,WRAP,0>"
    assert "@" not in (tmp_path / "hls" / "firmware" / "nnet_utils" / HEADER).read_text()
    assert "nnet::square<" in (tmp_path / "hls" / "firmware" / "codae.cpp").read_text()


def test_the_record_holds_the_squares_and_no_others():
    layer = read_network(model_of(), INPUT).layers[3]
    assert (layer.kind, layer.interval) == ("square", Interval(0.0, 64.0, 1 / 16))
    keras_layer = model_of().get_layer("square")
    assert Square.read(keras_layer, [Interval(2.0, 5.0, 0.5)]).interval == Interval(4.0, 25.0, 0.25)
    assert Square.read(keras_layer, [Interval(-5.0, -2.0, 0.5)]).interval == Interval(4.0, 25.0, 0.25)


def test_squares_that_float32_rounds_are_refused():
    layer = model_of().get_layer("square")
    words = r"layer square with squares of up to 16777216 LSB; expected fewer than 16777216, .* to fewer bits"
    with pytest.raises(InputError, match=words):
        Square.read(layer, [Interval(-512.0, 511.875, 0.125)])
    # One step less, as a symmetric word has it.
    assert Square.read(layer, [Interval(-511.875, 511.875, 0.125)]).interval.high == 511.875**2
