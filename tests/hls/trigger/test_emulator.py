"""The C++ emulator is QKeras, bit for bit: precision x layer with overflow, event by event, and a mutation found."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.exact import exact_words
from codae_l1.data.base.words import WordType
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.pooling import PoolingConfig, input_words, tower_words
from codae_l1.hls.layers import Dense, Flatten, Interval
from codae_l1.hls.layers.cpp import c_type
from codae_l1.hls.network.mismatch import adversarial_words
from codae_l1.hls.network.records import Network, read_network
from codae_l1.hls.rtl.verilator import call_logged, find_compiler
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import Emulator, build_emulator, emulator_sources
from codae_l1.hls.trigger.thresholds import Decision, WorkingPoint


@dataclass(frozen=True)
class Spec:
    """A random QKeras network: input word and shape, then (kind, numbers) of each layer, and a seed of the weights."""

    word: WordType
    shape: tuple[int, int, int]
    layers: tuple[tuple[str, tuple[int, ...]], ...]
    seed: int


def numbers(*ranges):
    return st.tuples(*(st.integers(low, high) for low, high in ranges))


# bits, integer bits, negative slope 2**-n (0: none); bits, integer bits, symmetric.
RELU = st.tuples(st.just("relu_word"), numbers((3, 6), (1, 4), (0, 3)))
BITS = st.tuples(st.just("bits_word"), numbers((2, 6), (0, 4), (0, 1)))
# filters, kernel, stride, weight bits, weight integer bits, bias integer bits; units, the same.
CONV = st.tuples(st.just("conv"), numbers((1, 4), (1, 3), (1, 2), (2, 5), (0, 2), (0, 4)))
DENSE = st.tuples(st.just("dense"), numbers((1, 4), (2, 5), (0, 2), (0, 4)))
POOL = st.tuples(st.sampled_from(["max_pool", "average_pool", "relu"]), st.just(()))


@st.composite
def specs(draw):
    word = WordType(draw(st.booleans()), draw(st.integers(1, 4)), draw(st.integers(0, 1)), "TRN", "SAT")
    shape = (draw(st.integers(5, 8)), draw(st.integers(5, 8)), draw(st.integers(1, 3)))
    layers = [draw(CONV), draw(RELU | BITS), *draw(st.lists(POOL, max_size=2)), draw(RELU | BITS)]
    layers += [("flatten", ()), draw(DENSE), *draw(st.lists(RELU | BITS, max_size=1))]
    return Spec(word, shape, tuple(layers), draw(st.integers(0, 99)))


def build(spec):
    import keras
    import qkeras

    inputs = x = keras.Input(spec.shape)
    for kind, values in spec.layers:
        if kind in ("conv", "dense"):
            *sizes, bits, integer, bias = values
            quantizers = {
                "kernel_quantizer": qkeras.quantized_bits(bits, min(integer, bits - 1), alpha=1),
                "bias_quantizer": qkeras.quantized_bits(8, bias, alpha=1),
            }
            kernel = min(sizes[1], *x.shape[1:3]) if kind == "conv" else 0
            layer = qkeras.QConv2D(sizes[0], kernel, sizes[2], **quantizers) if kernel else None
            x = (layer or qkeras.QDense(sizes[0], **quantizers))(x)
        elif kind.endswith("_word"):
            bits, integer, extra = values
            if kind == "relu_word":
                quantizer = qkeras.quantized_relu(
                    bits, integer, negative_slope=2.0**-extra if 0 < extra < bits - 1 else 0
                )
            else:
                quantizer = qkeras.quantized_bits(bits, integer, symmetric=extra, alpha=1)
            x = qkeras.QActivation(quantizer)(x)
        elif kind == "relu":
            x = keras.layers.ReLU()(x)
        elif kind == "flatten":
            x = keras.layers.Flatten()(x)
        elif min(x.shape[1:3]) >= 2:
            x = (keras.layers.MaxPooling2D if kind == "max_pool" else keras.layers.AveragePooling2D)(2)(x)
    model, rng = keras.Model(inputs, x), np.random.default_rng(spec.seed)
    for layer in (layer for layer in model.layers if hasattr(layer, "kernel_quantizer_internal")):
        drawn = [rng.normal(0, 1.5, w.shape) for w in layer.get_weights()]
        quantizers = (layer.kernel_quantizer_internal, layer.bias_quantizer_internal)
        words = (WordType(True, q.integer, q.bits - 1 - q.integer, "RND_CONV", "SAT") for q in quantizers)
        layer.set_weights([word.quantize(w) for word, w in zip(words, drawn, strict=True)])
    return model


def last_word(network):
    word = network.layers[-1].interval.word
    return replace(word, keep_negative=bool(word.keep_negative))


def compile_all(networks, folder):
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
    command = [
        find_compiler(),
        "-std=c++17",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Werror",
        "-fPIC",
        "-shared",
        "all.cpp",
    ]
    call_logged([*command, "-o", "all.so"], folder, folder / "log", HlsConfig(), "The compiler")
    return {name: Emulator(folder / name) for name in networks}


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(drawn=st.lists(specs(), min_size=8, max_size=8))
def test_every_layer_and_precision_is_qkeras_to_the_bit(drawn, tmp_path_factory):
    models = {f"net{i}": build(spec) for i, spec in enumerate(drawn)}
    networks = {name: read_network(models[name], spec.word) for name, spec in zip(models, drawn, strict=True)}
    words = {name: last_word(network) for name, network in networks.items()}
    emulators = compile_all(
        {n: (networks[n], words[n], None) for n in networks}, tmp_path_factory.mktemp("random") / "e"
    )
    for (name, emulator), spec in zip(emulators.items(), drawn, strict=True):
        counts = adversarial_words(spec.shape, spec.word, 3, spec.seed, 200)
        counts[-100:] *= np.random.default_rng(0).choice([-1, 1], counts[-100:].shape)
        values = spec.word.from_words(np.clip(counts, *spec.word.bounds)).astype(np.float32)
        expected = exact_words(np.asarray(models[name].predict_on_batch(values)), words[name], "qkeras")
        np.testing.assert_array_equal(emulator.predict_words(counts), expected, err_msg=str(spec))
        each = Emulator(emulator.folder, each=True)
        np.testing.assert_array_equal(each.predict_words(counts), expected, err_msg=str(spec))


POOLINGS = {
    "tracks": PoolingConfig(),
    "all_inputs": PoolingConfig(6, ("hcal", "tracks", "ecal", "track_pt"), energy_lsb_gev=0.5),
    "coarse": PoolingConfig(12, ("ecal", "tracks"), energy_lsb_gev=32.0),
}
COUNT = WordType(False, 5, 0, "TRN", "SAT")


def last_cells(shape, weights=(1, 2, 4), bias=0.5):
    """Word, shape -> a network that adds the first and the last cells up."""
    size = int(np.prod(shape))
    kernel = np.zeros((size, 1))
    kernel[[0, size // 2, size - 1], 0] = weights
    flat = Flatten("flatten", (size,), Interval(0.0, 31.0, 1.0))
    dense = Dense("output", (1,), Interval(0.0, 31 * 7 + bias, 0.5), kernel=kernel, bias=np.array([bias]))
    return Network("counts", COUNT, shape, (flat, dense)), WordType(True, 9, 2)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    networks = {name: (*last_cells(pooling.shape), pooling) for name, pooling in POOLINGS.items()}
    return compile_all(networks, tmp_path_factory.mktemp("pooled") / "e")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(4)
    images = rng.exponential(3.0, (40, *IMAGE_SHAPE)).astype(np.float32) * (rng.random((40, *IMAGE_SHAPE)) < 0.2)
    # On the steps of the tower words and of the cells' words, just below them, below zero, and beyond every word.
    images[:10] = np.round(images[:10] * 2) / 2
    images[10:20] = np.nextafter(images[:10], np.float32(-1), dtype=np.float32)
    images[20] = -images[21]
    images[21] *= np.float32(1e5)
    images[22] = 0
    return images


@pytest.mark.parametrize("name", POOLINGS)
def test_images_are_pooled_as_the_python_twin_does(pooled, images, name):
    emulator, pooling = pooled[name], POOLINGS[name]
    counts = np.clip(input_words(images, pooling), *COUNT.bounds)
    assert len(np.unique(counts)) > 8
    np.testing.assert_array_equal(emulator.pool_images(images), counts)
    np.testing.assert_array_equal(emulator.pool_towers(tower_words(images, pooling)), counts)
    np.testing.assert_array_equal(emulator.predict_images(images), emulator.predict_words(counts))
    assert len(np.unique(emulator.predict_words(counts))) > 8


def test_a_pooling_of_another_side_is_seen(pooled, images):
    other = input_words(images, replace(POOLINGS["all_inputs"], energy_lsb_gev=1.0))
    assert (pooled["all_inputs"].pool_images(images) != np.clip(other, *COUNT.bounds)).any()


def test_images_of_another_shape_are_refused(pooled, images):
    with pytest.raises(InputError, match=r"images of shape \(40, 58, 72, 3\), .*expected \(N, 72, 58, 3\)"):
        pooled["tracks"].predict_images(images.swapaxes(1, 2))


def test_two_emulators_of_one_name_and_folder_in_one_process_stay_apart(tmp_path):
    build_emulator(*last_cells((2, 2, 1), (1, 2, 4)), HlsConfig(), tmp_path / "emulator")
    a = Emulator(tmp_path / "emulator")
    build_emulator(*last_cells((2, 2, 1), (1, 2, 5)), HlsConfig(), tmp_path / "emulator")
    b = Emulator(tmp_path / "emulator")
    assert a.predict_words(np.array([[3, 0, 1, 2]])).tolist() == [[4 * (3 + 2 + 8) + 2]]
    assert b.predict_words(np.array([[3, 0, 1, 2]])).tolist() == [[4 * (3 + 2 + 10) + 2]]
    assert a.design.checksum != b.design.checksum
    with pytest.raises(InputError, match="an emulator with its pooling"):
        a.predict_images(np.zeros((1, *IMAGE_SHAPE), np.float32))


def test_an_emulator_of_another_input_word_is_another(tmp_path):
    """Weights alike, words of 5 and 4 bits: the second library, not the first, answers after it is built anew."""
    network, word = last_cells((2, 2, 1))
    narrow = replace(network, input_word=WordType(False, 4, 0, "TRN", "SAT"))
    checksums = []
    for one, top in ((network, 31), (narrow, 15)):
        build_emulator(one, word, HlsConfig(), tmp_path / "emulator")
        emulator = Emulator(tmp_path / "emulator")
        assert emulator.predict_words(np.full((1, 4), 31)).tolist() == [[4 * 7 * top + 2]]
        checksums.append(emulator.design.checksum)
    others = (network, WordType(True, 10, 2)), (replace(network, input_shape=(1, 4, 1)), word)
    checksums += [emulator_sources(*other)[1].checksum for other in others]
    decision = Decision((WorkingPoint("a", 3),))
    for ports in (None, {"slices": 1, "tower_bits": 1}, {"slices": 2, "tower_bits": 1}, {"slices": 1, "tower_bits": 4}):
        checksums.append(emulator_sources(network, word, None, "codae", decision, ports)[1].checksum)
    assert len(set(checksums)) == 8


@pytest.mark.parametrize("cut", ["emulator.json", "library"])
def test_an_emulator_that_is_cut_short_is_said_to_be(tmp_path, cut):
    design = build_emulator(*last_cells((2, 2, 1)), HlsConfig(), tmp_path / "emulator")
    if cut == "library":
        path = tmp_path / "emulator" / design.library
        path.write_bytes(path.read_bytes()[:2000])
        says = r"libcodae-\w{12}.so cannot be loaded \(.*expected a shared library.*; run the convert stage again"
    else:
        (tmp_path / "emulator" / "emulator.json").write_text("{}")
        says = r"emulator.json is not a record of this version \(key input_shape is missing\).*; run the convert stage"
    with pytest.raises(InputError, match=says):
        Emulator(tmp_path / "emulator")


def test_counts_beyond_the_input_word_saturate(pooled):
    counts = np.zeros((2, 18, 15, 1), np.int64)
    counts[:, -1, -1] = [[2**40], [31]]
    counts[:, 0, 0] = [[-(2**40)], [0]]
    for emulator in (pooled["tracks"], Emulator(pooled["tracks"].folder, each=True)):
        assert emulator.predict_words(counts).tolist() == [[4 * 4 * 31 + 2]] * 2


def test_what_cannot_be_made_is_said(tmp_path, monkeypatch):
    network, word = last_cells((2, 2, 1))
    with pytest.raises(InputError, match=r"namespace 'a b'; expected a C\+\+ name"):
        emulator_sources(network, word, None, "a b")
    with pytest.raises(InputError, match=r"a pooling to \(18, 15, 1\); expected \(2, 2, 1\), the network's input"):
        emulator_sources(network, word, PoolingConfig())
    with pytest.raises(InputError, match=r"an output of 1 fraction bits; expected at most those of .*ap_fixed<10,10"):
        emulator_sources(network, WordType(True, 9, 0))
    with pytest.raises(InputError, match="layer conv9 reaches words of 64 bits; expected at most 63"):
        c_type(2**62, "conv9")
    build_emulator(network, word, HlsConfig(), tmp_path / "made")
    next((tmp_path / "made").glob("libcodae-*.so")).unlink()
    with pytest.raises(InputError, match=r"libcodae-\w{12}.so does not exist; .*run the convert stage"):
        Emulator(tmp_path / "made")
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(ToolError, match=r"The compiler ended with status 1.*read the log .*broken-emulator.log"):
        build_emulator(network, word, HlsConfig(), tmp_path / "broken")
    assert not (tmp_path / "broken").exists()
