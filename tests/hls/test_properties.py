"""QKeras = hls4ml = emulator = interpreter = Verilog over drawn networks: precision x rounding x saturation x layer.

Every network of the property tests is drawn by hypothesis, always the same ones; CODAE_PROPERTY_EXAMPLES=20 draws 20
times as many (docs/numerics.md says what that found). Inputs overflow the words, and the input word, too.
"""

import dataclasses
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from codae_l1.data.base.words import WordType
from codae_l1.hls.hls4ml.backends import BACKENDS
from codae_l1.hls.hls4ml.project import convert_network
from codae_l1.hls.layers import Activation
from codae_l1.hls.network.mismatch import QKerasNetwork, adversarial_words, compare, first_difference
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import Interpreter, RtlSimulation, build_rtl
from codae_l1.hls.rtl.verilator import find_compiler
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import Emulator, build_emulator

EXAMPLES = int(os.environ.get("CODAE_PROPERTY_EXAMPLES", "1"))
N_EVENTS = 300
# Events whose layers are compared where words agree.
LAYERED = 64


def drawn(examples):
    """Settings of a property test: the same examples each time, no clock, nothing stored."""
    return settings(
        max_examples=examples * EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


# The axes. Each entry of a network is (kind, numbers); networks are chains of these.
def entry(kind, **numbers):
    return st.fixed_dictionaries(numbers).map(lambda values: (kind, values))


BITS, FLAG = st.integers(2, 6), st.booleans()
INPUT_WORDS = st.builds(WordType, FLAG, st.integers(1, 4), st.integers(0, 2), st.just("TRN"), st.just("SAT"))
RELU = entry("relu_word", bits=st.integers(1, 6), integer=st.integers(0, 4))
LEAKY = entry("leaky_word", bits=st.integers(4, 7), integer=st.integers(1, 4), slope=st.integers(1, 3))
SIGNED = entry("bits_word", bits=BITS, integer=st.integers(-1, 4), symmetric=FLAG, signed=st.just(True))
UNSIGNED = entry("bits_word", bits=BITS, integer=st.integers(0, 4), symmetric=st.just(False), signed=st.just(False))
WORDS = RELU | LEAKY | SIGNED | UNSIGNED
CONV = entry("conv", units=st.integers(1, 2), kernel=st.integers(1, 3), stride=st.integers(1, 2), bits=BITS)
DENSE = entry("dense", units=st.integers(1, 3), bits=BITS)
MAX_POOL, AVERAGE_POOL, PLAIN_RELU, FLATTEN = (
    st.just((kind, {})) for kind in ("max_pool", "average_pool", "relu", "flatten")
)
ALL_LAYERS = (CONV, LEAKY, MAX_POOL, SIGNED, AVERAGE_POOL, RELU, PLAIN_RELU, FLATTEN, DENSE, SIGNED, DENSE, UNSIGNED)


@dataclasses.dataclass(frozen=True)
class Spec:
    """A network: input word, side of its square input, channels, layers, seed of the weights and inputs."""

    word: WordType
    side: int
    channels: int
    layers: tuple
    seed: int


@st.composite
def chains(draw, *parts, side=(3, 5)):
    layers = tuple(draw(part) for part in parts)
    return Spec(draw(INPUT_WORDS), draw(st.integers(*side)), draw(st.integers(1, 2)), layers, draw(st.integers(0, 99)))


def build(spec):
    """The QKeras model of a Spec, its weights on their grids and large enough for words to overflow."""
    import keras

    inputs = x = keras.Input((spec.side, spec.side, spec.channels), name="counts")
    rng = np.random.default_rng(spec.seed)
    for i, (kind, values) in enumerate(spec.layers):
        x = _layer(kind, values, x.shape, f"{kind}{i}")(x)
    model = keras.Model(inputs, x)
    for layer in model.layers:
        if layer.weights:
            grid = WordType(True, 1, layer.kernel_quantizer_internal.bits - 2, "RND_CONV", "SAT")
            layer.set_weights([grid.quantize(rng.normal(0, 1.2, w.shape)) for w in layer.get_weights()])
    return model


def _layer(kind, values, shape, name):
    import keras
    import qkeras

    if kind in ("conv", "dense"):
        weights = {q: qkeras.quantized_bits(values["bits"], 1, alpha=1) for q in ("kernel_quantizer", "bias_quantizer")}
        if kind == "dense":
            return qkeras.QDense(values["units"], name=name, **weights)
        kernel = min(values["kernel"], shape[1])
        return qkeras.QConv2D(values["units"], kernel, values["stride"], name=name, **weights)
    if kind in ("relu_word", "leaky_word"):
        slope = 2.0 ** -values["slope"] if "slope" in values else 0.0
        return qkeras.QActivation(
            qkeras.quantized_relu(values["bits"], values["integer"], negative_slope=slope), name=name
        )
    if kind == "bits_word":
        rule = {"symmetric": int(values["symmetric"]), "keep_negative": values["signed"], "alpha": 1}
        return qkeras.QActivation(qkeras.quantized_bits(values["bits"], values["integer"], **rule), name=name)
    pool = 2 if len(shape) == 4 and shape[1] >= 2 else 1
    return {
        "relu": keras.layers.ReLU,
        "flatten": keras.layers.Flatten,
        "max_pool": lambda name: keras.layers.MaxPooling2D(pool, name=name),
        "average_pool": lambda name: keras.layers.AveragePooling2D(pool, name=name),
    }[kind](name=name)


def output_word(network):
    return network.layers[-1].word


def inputs(spec):
    """Counts beyond the input word on both sides, patterns, single cells, random words."""
    shape = (spec.side, spec.side, spec.channels)
    counts = adversarial_words(shape, spec.word, 3, spec.seed, N_EVENTS)
    counts[-N_EVENTS // 2 :] *= np.random.default_rng(spec.seed).choice([-1, 1], counts[-N_EVENTS // 2 :].shape)
    counts[-10:] *= 3
    return counts


def make(name, model, network, folder):
    """An executor of the network, made in the folder; name: its own, or the HlsConfig of an hls4ml project."""
    output = output_word(network)
    if isinstance(name, HlsConfig):
        return convert_network(model, network, output, name, folder / "hls4ml")
    if name == "hls":
        return convert_network(model, network, output, HlsConfig(), folder / name)
    if name == "emulator":
        build_emulator(network, output, HlsConfig(), folder / name)
        return Emulator(folder / name)
    if not (folder / "rtl").exists() or name == "rtl":
        build_rtl(network, output, HlsConfig(), folder / "rtl", simulate=name == "rtl")
    return (RtlSimulation if name == "rtl" else Interpreter)(folder / "rtl")


def check(spec, names, folder):
    """Every executor gives QKeras's words; a failure says how many, by how much, in which layer, and which network."""
    model = build(spec)
    network = read_network(model, spec.word)
    reference, counts = QKerasNetwork(model, network, output_word(network)), inputs(spec)
    # Drawn networks may be dead; the ones that prove something give several words, in every output.
    words = reference.predict_words(counts)
    assume(len(np.unique(words)) > 3 and (words != words[0]).any(axis=0).all())
    for name in names:
        executor = make(name, model, network, folder)
        mismatch = compare(reference, executor, counts)
        assert mismatch.different == 0, f"{mismatch}; {mismatch.samples}; {spec}"
        if isinstance(name, HlsConfig) and executor.design.traced:
            assert first_difference(reference, executor, counts[:LAYERED]) is None, str(spec)


class LayerAgrees:
    """What every kind of layer must meet; a subclass names the layers that make up its networks."""

    parts: tuple = ()

    def test_the_trace_is_qkeras_to_the_bit(self, tmp_path_factory):
        @drawn(5)
        @given(chains(*self.parts))
        def agrees(spec):
            check(spec, ["interpreter"], tmp_path_factory.mktemp("drawn"))

        agrees()


class TestConv(LayerAgrees):
    parts = (WORDS, CONV, WORDS)


class TestDense(LayerAgrees):
    parts = (WORDS, FLATTEN, DENSE, WORDS)


class TestRelu(LayerAgrees):
    parts = (CONV, RELU, PLAIN_RELU, RELU)


class TestLeakyRelu(LayerAgrees):
    parts = (CONV, LEAKY, LEAKY)


class TestSignedWord(LayerAgrees):
    parts = (CONV, SIGNED, SIGNED)


class TestUnsignedWord(LayerAgrees):
    parts = (CONV, SIGNED, UNSIGNED)


class TestMaxPool(LayerAgrees):
    parts = (WORDS, MAX_POOL, CONV, WORDS)


class TestAveragePool(LayerAgrees):
    parts = (CONV, WORDS, AVERAGE_POOL, WORDS)


@drawn(1)
@given(chains(*ALL_LAYERS, side=(5, 6)))
def test_every_executor_agrees_on_a_network_of_all_layers(tmp_path_factory, spec):
    check(spec, ["hls", "emulator", "interpreter", "rtl"], tmp_path_factory.mktemp("drawn"))


EVERY_BACKEND = [(b, io) for b in ("Vivado", "Catapult", "oneAPI") for io in ("io_parallel", "io_stream")]
more = pytest.mark.skipif(EXAMPLES == 1, reason="CODAE_PROPERTY_EXAMPLES asks for more examples")


@pytest.mark.parametrize(
    ("backend", "io_type"),
    [pytest.param(*pair, marks=() if pair == ("Vivado", "io_stream") else more) for pair in EVERY_BACKEND],
)
def test_every_backend_agrees_on_a_network_of_all_layers(tmp_path_factory, monkeypatch, backend, io_type):
    folder = tmp_path_factory.mktemp("compiler")
    script = folder / "quick-c++"
    # Without optimisation: the words are the same.
    script.write_text(f'#!/bin/bash\nexec {find_compiler()} "${{@/-O3/-O0}}"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    config = HlsConfig(backend=backend, io_type=io_type, part=BACKENDS[backend].part)

    @drawn(1)
    @given(chains(*ALL_LAYERS, side=(5, 6)))
    def agrees(spec):
        check(spec, [config], tmp_path_factory.mktemp("drawn"))

    agrees()


@more
@drawn(1)
@given(chains(SIGNED, CONV, WORDS, AVERAGE_POOL, LEAKY, FLATTEN, WORDS, DENSE, WORDS))
def test_hls4ml_and_the_emulator_agree_on_more_words(tmp_path_factory, spec):
    check(spec, ["hls", "emulator"], tmp_path_factory.mktemp("drawn"))


# Words that QKeras does not have: (rounding, overflow, signed), of which one network takes one a layer.
MODES = [
    ("TRN", "WRAP", True),
    ("RND", "SAT", False),
    ("TRN", "SAT", True),
    ("RND_CONV", "WRAP", False),
    ("RND", "WRAP", True),
    ("TRN", "WRAP", False),
    ("RND", "SAT", True),
    ("RND_CONV", "WRAP", True),
]


class IntegerReference:
    """Dense layers and words of any rule in integers alone, as an executor; it shares no code with the others."""

    name = "reference"

    def __init__(self, network):
        self.network = network

    def predict_words(self, counts):
        low, high = self.network.input_word.bounds
        words, fraction = np.clip(counts.reshape(len(counts), -1), low, high), self.network.input_word.fraction
        self.layers = {}
        for layer in self.network.layers:
            if layer.kind == "dense":
                new = fraction + 4  # all weights and biases have four fraction bits
                words = words @ np.rint(layer.kernel * 16).astype(np.int64)
                words += np.rint(layer.bias * 2.0**new).astype(np.int64)
                fraction = new
            elif layer.kind == "activation":
                words, fraction = self.word(words, fraction, layer.quantizer), layer.quantizer.word.fraction
            self.layers[layer.name] = words * 2.0**-fraction
        return words

    def word(self, words, fraction, quantizer):
        if quantizer.relu:
            words = words * (words > 0)
        word, shift = quantizer.word, fraction - quantizer.word.fraction
        if shift > 0:
            half, rest = 1 << (shift - 1), words & ((1 << shift) - 1)
            words = words >> shift
            if word.rounding != "TRN":
                even = word.rounding == "RND_CONV"
                words += (rest > half) | ((rest == half) & ((words & 1 == 1) | (not even)))
        else:
            words = words << -shift
        turn, sign = 1 << word.width, 1 << (word.width - 1)
        if word.overflow == "WRAP":
            words = words % turn
            return np.where(words >= sign, words - turn, words) if word.keep_negative else words
        return np.clip(words, *((-sign, sign - 1) if word.keep_negative else (0, turn - 1)))

    def predict_layers(self, counts):
        self.predict_words(counts)
        return self.layers


@st.composite
def ruled(draw):
    """A Spec of dense layers and words, and the words that take the place of QKeras's."""
    modes, layers, words = draw(st.permutations(MODES)), [("flatten", {})], []
    for rounding, overflow, signed in modes:
        integer, fraction = draw(st.integers(2, 4)), draw(st.integers(0, 2))
        words.append(WordType(signed, integer, fraction, rounding, overflow))
        layers.append(("dense", {"units": 4, "bits": 6}))
        if signed:
            layers.append(
                ("bits_word", {"bits": 1 + integer + fraction, "integer": integer, "symmetric": False, "signed": True})
            )
        else:
            layers.append(("relu_word", {"bits": integer + fraction, "integer": integer}))
    return Spec(WordType(False, 4, 1, "TRN", "SAT"), 2, 2, tuple(layers), draw(st.integers(0, 99))), words


@drawn(1)
@given(ruled())
def test_words_that_qkeras_does_not_have_follow_their_rules_in_every_executor(tmp_path_factory, given_):
    spec, words = given_
    model = build(spec)
    network, words = read_network(model, spec.word), iter(words)
    layers = tuple(
        dataclasses.replace(layer, quantizer=dataclasses.replace(layer.quantizer, word=next(words)))
        if isinstance(layer, Activation)
        else layer
        for layer in network.layers
    )
    network, counts = dataclasses.replace(network, layers=layers), inputs(spec)
    reference, folder = IntegerReference(network), tmp_path_factory.mktemp("ruled")
    assert len(np.unique(reference.predict_words(counts))) > 4
    for name in ("interpreter", "emulator", "hls"):
        mismatch = compare(reference, make(name, model, network, folder), counts)
        assert mismatch.different == 0, f"{mismatch}; {mismatch.samples}; {network}"
