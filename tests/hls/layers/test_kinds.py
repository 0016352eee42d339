"""QKeras = hls4ml = emulator = interpreter = Verilog for every kind of layer: each states its arguments, no more.

The order of the classes is that of the network of all layers: what reads images stands before TestFlatten.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_base import (
    BITS,
    EXAMPLES,
    LEAKY,
    RELU,
    SIGNED,
    UNSIGNED,
    WORDS,
    LayerTestBase,
    chains,
    check,
    dense,
    drawn,
    entry,
    flatten,
    weights,
)

from codae_l1.hls.hls4ml.backends import BACKENDS
from codae_l1.hls.layers import (
    KINDS,
    Activation,
    AveragePool,
    Conv,
    Dense,
    Flatten,
    Layer,
    MaxPool,
    Relu,
    Square,
    registry,
)
from codae_l1.hls.target.config import HlsConfig


def conv(shape, name, units, kernel, stride, bits):
    import qkeras

    return qkeras.QConv2D(units, min(kernel, shape[0]), stride, name=name, **weights(bits))


def plain_relu(shape, name):
    import keras

    return keras.layers.ReLU(name=name)


def square(shape, name):
    from codae_l1.quantization.f_m._square import Square

    return Square(name=name)


def max_pool(shape, name):
    import keras

    return keras.layers.MaxPooling2D(min(2, shape[0]), name=name)


def average_pool(shape, name):
    import keras

    return keras.layers.AveragePooling2D(min(2, shape[0]), name=name)


class TestConv(LayerTestBase):
    kind = Conv
    entry = entry(conv, units=st.integers(1, 2), kernel=st.integers(1, 3), stride=st.integers(1, 2), bits=BITS)


class TestLeakyWord(LayerTestBase):
    kind, entry, before, after = Activation, LEAKY, (TestConv.entry,), (LEAKY,)


class TestMaxPool(LayerTestBase):
    kind, entry, after = MaxPool, entry(max_pool), (TestConv.entry, WORDS)


class TestSignedWord(LayerTestBase):
    kind, entry, before, after = Activation, SIGNED, (TestConv.entry,), (SIGNED,)


class TestAveragePool(LayerTestBase):
    kind, entry, before = AveragePool, entry(average_pool), (TestConv.entry, WORDS)


class TestReluWord(LayerTestBase):
    kind, entry, before, after = Activation, RELU, (TestConv.entry,), (RELU,)


class TestRelu(LayerTestBase):
    kind, entry, before, after = Relu, entry(plain_relu), (TestConv.entry, SIGNED), (RELU,)


class TestSquare(LayerTestBase):
    kind, entry, before = Square, entry(square), (TestConv.entry, SIGNED | UNSIGNED)


class TestFlatten(LayerTestBase):
    kind, entry = Flatten, entry(flatten)


class TestDense(LayerTestBase):
    kind, before = Dense, (WORDS, TestFlatten.entry)
    entry = entry(dense, units=st.integers(1, 3), bits=BITS)


class TestUnsignedWord(LayerTestBase):
    kind, entry, before, after = Activation, UNSIGNED, (TestConv.entry, SIGNED), (UNSIGNED,)


CASES = LayerTestBase.__subclasses__()
EVERY_BACKEND = [(b, io) for b in ("Vivado", "Catapult", "oneAPI") for io in ("io_parallel", "io_stream")]
more = pytest.mark.skipif(EXAMPLES == 1, reason="CODAE_PROPERTY_EXAMPLES asks for more examples")


def all_layers(backend="Vitis"):
    """Networks of every tested layer that a backend takes, in order."""
    row = BACKENDS[backend]
    whole = chains(*(case.entry for case in CASES if case.kind.kind not in row.wrong), side=(5, 6))
    return whole.filter(lambda spec: all(values.get("bits", 9) >= row.narrowest for _, values in spec.layers))


def test_every_kind_of_a_chain_is_tested():
    assert {case.kind for case in CASES} == {kind for kind in KINDS.values() if kind.inputs == 1}


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_that_lacks_anything_is_an_error(kind):
    stated = [name for name in Layer.__annotations__ if name not in Layer.__dataclass_fields__]
    for name in (*stated, *Layer.__abstractmethods__):
        states = {key: getattr(kind, key) for key in (*stated, *Layer.__abstractmethods__) if key != name}
        lacking = type("Lacking", (Layer,), states)
        with pytest.raises(TypeError, match=f"Lacking has no {name}, which every kind of layer states"):
            registry(lacking)
    with pytest.raises(TypeError, match=f"both of kind {kind.kind}"):
        registry(kind, kind)


def test_every_executor_agrees_on_a_network_of_all_layers(tmp_path_factory, quick_compiler):
    @drawn(1)
    @given(all_layers())
    def agrees(spec):
        check(spec, ["hls", "emulator", "interpreter", "rtl"], tmp_path_factory.mktemp("drawn"))

    agrees()


@pytest.mark.parametrize(
    ("backend", "io_type"),
    [pytest.param(*pair, marks=() if pair == ("Vivado", "io_stream") else more) for pair in EVERY_BACKEND],
)
def test_every_backend_agrees_on_a_network_of_all_layers(tmp_path_factory, quick_compiler, backend, io_type):
    config = HlsConfig(backend=backend, io_type=io_type, part=BACKENDS[backend].part)

    @drawn(1)
    @given(all_layers(backend))
    def agrees(spec):
        check(spec, [config], tmp_path_factory.mktemp("drawn"))

    agrees()


@more
@drawn(1)
@given(
    chains(
        SIGNED, TestConv.entry, WORDS, TestAveragePool.entry, LEAKY, TestFlatten.entry, WORDS, TestDense.entry, WORDS
    )
)
def test_hls4ml_and_the_emulator_agree_on_more_words(tmp_path_factory, spec):
    check(spec, ["hls", "emulator"], tmp_path_factory.mktemp("drawn"))
