"""What every kind of firmware layer must meet; the test of a kind states its arguments and inherits the rest.

Networks are drawn by hypothesis over precision x rounding x overflow, always the same ones; CODAE_PROPERTY_EXAMPLES=20
draws 20 times as many (docs/numerics.md says what that found). Inputs overflow the words, and the input word, too.
"""

import dataclasses
import json
import os
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from codae_l1.data.base.errors import ToolError
from codae_l1.data.base.words import WordType
from codae_l1.hls.hls4ml.project import convert_network
from codae_l1.hls.network.mismatch import QKerasNetwork, _adversarial_words, _first_difference, compare
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import Interpreter, RtlSimulation, build_rtl
from codae_l1.hls.target.compiler import call_logged, find_compiler
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import Emulator, build_emulator, emulator_sources

EXAMPLES = int(os.environ.get("CODAE_PROPERTY_EXAMPLES", "1"))
# Networks of a kind, and events of each.
NETWORKS, N_EVENTS = 3 * EXAMPLES, 300
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


def entry(make, **numbers):
    """One layer of a drawn network: make(shape, name, **numbers) gives the Keras layer."""
    return st.fixed_dictionaries(numbers).map(lambda values: (make, values))


def weights(bits):
    """Kernel and bias quantizers of one precision."""
    import qkeras

    return {q: qkeras.quantized_bits(bits, 1, alpha=1) for q in ("kernel_quantizer", "bias_quantizer")}


def relu_word(shape, name, bits, integer, slope=0):
    import qkeras

    negative = 2.0**-slope if slope else 0.0
    return qkeras.QActivation(qkeras.quantized_relu(bits, integer, negative_slope=negative), name=name)


def bits_word(shape, name, bits, integer, symmetric, signed):
    import qkeras

    rule = {"symmetric": int(symmetric), "keep_negative": signed, "alpha": 1}
    return qkeras.QActivation(qkeras.quantized_bits(bits, integer, **rule), name=name)


def dense(shape, name, units, bits):
    import qkeras

    return qkeras.QDense(units, name=name, **weights(bits))


def flatten(shape, name):
    import keras

    return keras.layers.Flatten(name=name)


BITS, FLAG = st.integers(2, 6), st.booleans()
INPUT_WORDS = st.builds(WordType, FLAG, st.integers(1, 4), st.integers(0, 2), st.just("TRN"), st.just("SAT"))
RELU = entry(relu_word, bits=st.integers(1, 6), integer=st.integers(0, 4))
LEAKY = entry(relu_word, bits=st.integers(4, 7), integer=st.integers(1, 4), slope=st.integers(1, 3))
SIGNED = entry(bits_word, bits=BITS, integer=st.integers(-1, 4), symmetric=FLAG, signed=st.just(True))
UNSIGNED = entry(bits_word, bits=BITS, integer=st.integers(0, 4), symmetric=st.just(False), signed=st.just(False))
WORDS = RELU | LEAKY | SIGNED | UNSIGNED


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
    for i, (make_layer, values) in enumerate(spec.layers):
        x = make_layer(x.shape[1:], f"{make_layer.__name__}{i}", **values)(x)
    model = keras.Model(inputs, x)
    for layer in model.layers:
        if layer.weights:
            names = [name for name in vars(layer) if name.endswith("quantizer_internal")]
            bits = {getattr(layer, name).bits for name in names if getattr(layer, name) is not None}
            grid = WordType(True, 1, min(bits) - 2, "RND_CONV", "SAT")
            layer.set_weights([grid.quantize(rng.normal(0, 1.2, w.shape)) for w in layer.get_weights()])
    return model


def inputs(spec):
    """Counts beyond the input word on both sides, patterns, single cells, random words."""
    shape = (spec.side, spec.side, spec.channels)
    counts = _adversarial_words(shape, spec.word, 3, spec.seed, N_EVENTS)
    if spec.word.keep_negative:
        # Without a sign, every executor refuses them.
        counts[-N_EVENTS // 2 :] *= np.random.default_rng(spec.seed).choice([-1, 1], counts[-N_EVENTS // 2 :].shape)
    counts[-10:] *= 3
    return counts


class Drawn:
    """A drawn network: spec, QKeras model, records, counts and the words that QKeras gives of them."""

    def __init__(self, spec):
        self.spec, self.model, self.counts = spec, build(spec), inputs(spec)
        self.network = read_network(self.model, spec.word)
        self.output = self.network.layers[-1].word
        self.reference = QKerasNetwork(self.model, self.network, self.output)
        self.words = self.reference.predict_words(self.counts)

    @property
    def alive(self):
        """Whether it proves something: several words, in every output."""
        return len(np.unique(self.words)) > 3 and (self.words != self.words[0]).any(axis=0).all()

    def make(self, name, folder):
        """An executor of the network, made in the folder; name: its own, or the HlsConfig of an hls4ml project."""
        if isinstance(name, HlsConfig):
            return convert_network(self.model, self.network, self.output, name, folder / "hls4ml")
        if name == "hls":
            return convert_network(self.model, self.network, self.output, HlsConfig(), folder / name)
        if name == "emulator":
            build_emulator(self.network, self.output, HlsConfig(), folder / name)
            return Emulator(folder / name)
        if not (folder / "rtl").exists() or name == "rtl":
            build_rtl(self.network, self.output, HlsConfig(), folder / "rtl", simulate=name == "rtl")
        return (RtlSimulation if name == "rtl" else Interpreter)(folder / "rtl")

    def agrees_with(self, executor):
        """Fail unless the executor gives QKeras's words; say how many, by how much, in which layer, which network."""
        mismatch = compare(self.reference, executor, self.counts)
        assert mismatch.different == 0, f"{mismatch}; {mismatch.samples}; {self.spec}"


def check(spec, names, folder):
    """Every executor of a drawn network gives QKeras's words, and hls4ml's layers their values."""
    case = Drawn(spec)
    assume(case.alive)
    for name in names:
        try:
            executor = case.make(name, folder)
        except ToolError as error:
            # hls4ml leaves out a word that equals the one before it, which is refused.
            assume("hls4ml removed the layer" not in str(error))
            raise
        case.agrees_with(executor)
        if isinstance(name, HlsConfig) and executor.design.traced:
            assert _first_difference(case.reference, executor, case.counts[:LAYERED]) is None, str(spec)


def compile_emulators(networks, folder):
    """One library of many emulators, each in a namespace of its own; networks: name -> (network, word, pooling)."""
    folder.mkdir()
    for name, (network, word, pooling) in networks.items():
        sources, design = emulator_sources(network, word, pooling, name)
        for file, text in sources.items():
            (folder / file).write_text(text)
        (folder / name).mkdir()
        (folder / name / "emulator.json").write_text(json.dumps(design.as_dict() | {"library": "../all.so"}))
    sources = (path for name in networks for path in folder.glob(f"{name}*.cpp"))
    (folder / "all.cpp").write_text("".join(f'#include "{path.name}"\n' for path in sources))
    strict = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
    command = [find_compiler(), "-std=c++17", "-O0", *strict, "-fPIC", "-shared", "all.cpp", "-o", "all.so"]
    call_logged(command, folder, folder / "log", HlsConfig(), "The compiler")
    return {name: Emulator(folder / name) for name in networks}


class LayerTestBase:
    """Inherited by the test of a kind.

    kind: the class. entry: strategy of the layer, made by `entry`. before, after: what surrounds it in its own
    networks. All subclasses in order make up the network of all layers, on which every executor is compared.
    """

    kind: type
    before: tuple = (WORDS,)
    after: tuple = (WORDS,)

    @pytest.fixture(scope="class")
    @classmethod
    def networks(cls):
        """The drawn networks that prove something."""
        found = []

        @drawn(40)
        @given(chains(*cls.before, cls.entry, *cls.after))
        def collect(spec):
            if len(found) < NETWORKS and (case := Drawn(spec)).alive:
                found.append(case)

        collect()
        assert len(found) == NETWORKS
        return found

    @pytest.fixture
    def traced(self, networks):
        """A network, and the place of the tested layer in it."""
        return networks[0], len(self.before)

    def test_the_trace_is_qkeras_to_the_bit(self, networks, tmp_path):
        for i, case in enumerate(networks):
            assert any(type(layer) is self.kind for layer in case.network.layers)
            (tmp_path / str(i)).mkdir()
            interpreter = case.make("interpreter", tmp_path / str(i))
            case.agrees_with(interpreter)
            reopened = Interpreter(interpreter.folder)
            np.testing.assert_array_equal(reopened.predict_words(case.counts[:20]), case.words[:20])

    def test_the_emulator_is_qkeras_to_the_bit(self, networks, tmp_path):
        given_ = {f"net{i}": (case.network, case.output, None) for i, case in enumerate(networks)}
        emulators = compile_emulators(given_, tmp_path / "emulators")
        for case, (name, emulator) in zip(networks, emulators.items(), strict=True):
            each = Emulator(emulator.folder, each=True)
            # The code for every processor, then that for AVX2 where the processor has it, as from the start.
            for avx2 in (0, 1):
                assert getattr(emulator._library, f"{name}_use_avx2")(avx2) <= avx2
                case.agrees_with(emulator)
                np.testing.assert_array_equal(each.predict_words(case.counts), case.words, err_msg=str(case.spec))

    def test_records_hold_every_value_and_survive_saving(self, traced, tmp_path):
        import keras
        from qkeras.utils import _add_supported_quantized_objects

        case, _ = traced
        for layer, values in zip(case.network.layers, case.reference.predict_layers(case.counts).values(), strict=True):
            assert layer.interval.low <= values.min() <= values.max() <= layer.interval.high, layer.name
            np.testing.assert_array_equal(layer.interval.word.quantize(values), values, err_msg=layer.name)
        objects = {}
        _add_supported_quantized_objects(objects)
        with warnings.catch_warnings():
            # NumPy 2 warns of how Keras copies weights.
            warnings.simplefilter("ignore", DeprecationWarning)
            case.model.save(tmp_path / "model.keras")
            loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=objects, compile=False)
        for again in (read_network(loaded, case.spec.word), pickle.loads(pickle.dumps(case.network))):
            assert repr(again) == repr(case.network)

    def test_one_value_changed_is_found_and_the_layer_named(self, traced, tmp_path, monkeypatch):
        case, place = traced
        layer, trace = case.network.layers[place], self.kind.trace

        def broken(self, value):
            out = trace(self, value)
            if self.name == layer.name:
                out._vars.flat[0] = out._vars.flat[0] + self.interval.step
            return out

        monkeypatch.setattr(self.kind, "trace", broken)
        found = _first_difference(case.reference, case.make("interpreter", tmp_path), case.counts)
        assert found is not None
        assert (found.layer, found.worst) == (layer.name, layer.interval.step)
