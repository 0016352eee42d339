"""What some executor would read differently is refused, in words, before any is made."""

import dataclasses

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import Add, Quantizer
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import build_rtl
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import build_emulator


def keras_model(*layers, shape=(4, 4, 1)):
    import keras

    inputs = x = keras.Input(shape, name="counts")
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def conv(kernel, bits=4):
    import qkeras

    return qkeras.QConv2D(1, kernel, kernel_quantizer=qkeras.quantized_bits(bits, 1, alpha=1), name="conv")


def word(kind, *numbers, name="act", **rules):
    import qkeras

    return qkeras.QActivation(getattr(qkeras, kind)(*numbers, **rules), name=name)


def residual():
    import keras

    inputs = keras.Input((4, 4, 1), name="counts")
    branch = conv(1)(inputs)
    return keras.Model(inputs, keras.layers.Add(name="sum")([inputs, branch]))


def forked():
    import keras

    inputs = keras.Input((4, 4, 1), name="counts")
    first = word("quantized_relu", 4, 2, name="first")(inputs)
    second = word("quantized_relu", 3, 2, name="second")(inputs)
    return keras.Model(inputs, [first, second])


def activation(kind, *numbers, **rules):
    return keras_model(word(kind, *numbers, **rules))


def wide_sums():
    model = keras_model(conv(4, bits=16))
    model.set_weights([np.full((4, 4, 1, 1), 1 + 2.0**-14), np.zeros(1)])
    return model


def tall_dense():
    import qkeras

    return keras_model(qkeras.QDense(2, kernel_quantizer=qkeras.quantized_bits(4, 1, alpha=1), name="dense"))


REFUSED = {
    "residual": (residual, "layer sum is a Add; expected one of QConv2D, QDense"),
    "forked": (forked, "a model of 1 inputs and 2 outputs; expected one of each"),
    "tall_dense": (tall_dense, r"dense layer dense reads values of shape \(4, 4, 1\); expected a flat list of values"),
    "wide_sums": (wide_sums, r"layer conv has sums of up to \d+ LSB; expected fewer than 16777216"),
    "stochastic": (
        lambda: activation("quantized_bits", 4, 2, alpha=1, use_stochastic_rounding=True),
        "layer act rounds stochastically",
    ),
    "scaled": (lambda: activation("quantized_bits", 4, 2, alpha="auto_po2"), "layer act has alpha auto_po2"),
    "bounded": (
        lambda: activation("quantized_relu", 4, 2, is_quantized_clip=False, relu_upper_bound=3.0),
        "layer act has a sigmoid or an upper bound",
    ),
    "binary": (lambda: activation("binary", alpha=1), "layer act has quantizer binary; expected quantized_relu"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_some_executor_would_do_otherwise_is_refused_before_any_is_made(case):
    make_model, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        read_network(make_model(), WordType(False, 9, 0))


@pytest.mark.parametrize("rules", [{"negative_slope": 0.25}, {"symmetric": True}])
@pytest.mark.parametrize(("rounding", "overflow"), [("TRN", "SAT"), ("RND_CONV", "WRAP")])
def test_rules_that_executors_would_read_differently_are_refused(rules, rounding, overflow):
    with pytest.raises(InputError, match=r"a leaky or symmetric quantizer onto ap_fixed<4,3,.*; expected .*RND_CONV"):
        Quantizer("negative_slope" in rules, WordType(True, 2, 1, rounding, overflow), **rules)


@pytest.mark.parametrize("change", ["padded", "added"])
def test_records_with_padding_or_branches_are_refused_by_whom_they_would_mislead(change, tmp_path):
    network = read_network(keras_model(conv(3)), WordType(False, 2, 0))
    (layer,) = network.layers
    padded = dataclasses.replace(layer, shape=(4, 4, 1))
    layer = padded if change == "padded" else Add(layer.name, layer.shape, layer.interval)
    network = dataclasses.replace(network, layers=(layer,))
    message = r"layer conv \((conv|add)\) of shape .* behind values of shape \(4, 4, 1\); expected a chain of layers"
    with pytest.raises(InputError, match=message):
        build_emulator(network, WordType(True, 9, 9), HlsConfig(), tmp_path / "emulator")
    with pytest.raises(InputError, match=message):
        build_rtl(network, WordType(True, 9, 9), HlsConfig(), tmp_path / "rtl")


def test_a_network_that_is_always_zero_is_refused(tmp_path):
    model = keras_model(conv(4))
    model.set_weights([np.zeros((4, 4, 1, 1)), np.zeros(1)])
    network = read_network(model, WordType(False, 2, 0))
    with pytest.raises(
        InputError, match="a network whose output 0 is zero for every event; expected outputs that vary"
    ):
        build_rtl(network, WordType(True, 2, 2), HlsConfig(), tmp_path / "rtl")
