"""One weight, one bit or one shift is broken in one executor: every comparison with another one names the layer.

The network is small enough for every executor to be made, broken and made again. Its inputs overflow all words.
"""

import json
import re
import shutil
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from codae_l1.data.base.words import WordType
from codae_l1.hls.hls4ml._compile import compile_emulation
from codae_l1.hls.hls4ml.backends import BACKENDS
from codae_l1.hls.hls4ml.project import HlsProject, convert_network
from codae_l1.hls.network.mismatch import QKerasNetwork, _adversarial_words, compare
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import TOP, Interpreter, RtlSimulation, build_rtl, source_digest
from codae_l1.hls.rtl.verilator import compile_simulation
from codae_l1.hls.target.compiler import call_logged, find_compiler
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import FLAGS, Emulator, build_emulator

INPUT, OUTPUT = WordType(False, 3, 0, "TRN", "SAT"), WordType(True, 4, 2, "RND_CONV", "SAT")
NAMES = ("qkeras", "hls", "emulator", "interpreter", "rtl")


@pytest.fixture(scope="module", autouse=True)
def quick_compiler(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compiler")
    script = folder / "c++"
    script.write_text(f'#!/bin/sh\nexec {find_compiler()} "$@" -O0\n')
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", str(script))
        yield


def model_of(weights=None):
    """conv (2, 2, 2), relu word, dense (1), signed word; the weights are multiples of 1/8, as large as their words."""
    import keras
    import qkeras

    bits = {q: qkeras.quantized_bits(5, 1, alpha=1) for q in ("kernel_quantizer", "bias_quantizer")}
    inputs = keras.Input((3, 3, 1), name="counts")
    x = qkeras.QConv2D(2, 2, name="conv", **bits)(inputs)
    x = qkeras.QActivation(qkeras.quantized_relu(4, 3), name="conv_word")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = qkeras.QDense(1, name="dense", **bits)(x)
    model = keras.Model(inputs, qkeras.QActivation(qkeras.quantized_bits(7, 4, alpha=1), name="dense_word")(x))
    grid, rng = WordType(True, 1, 3, "RND_CONV", "SAT"), np.random.default_rng(5)
    model.set_weights(weights or [grid.quantize(rng.normal(0, 1.2, w.shape)) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def counts():
    return _adversarial_words((3, 3, 1), INPUT, 3, seed=1, n_random=300)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every executor of the network, whole, by name."""
    folder, model = tmp_path_factory.mktemp("whole"), model_of()
    network = read_network(model, INPUT)
    build_emulator(network, OUTPUT, HlsConfig(), folder / "emulator")
    build_rtl(network, OUTPUT, HlsConfig(), folder / "rtl")
    made = (
        QKerasNetwork(model, network, OUTPUT),
        convert_network(model, network, OUTPUT, HlsConfig(), folder / "hls"),
        Emulator(folder / "emulator"),
        Interpreter(folder / "rtl"),
        RtlSimulation(folder / "rtl"),
    )
    return dict(zip(NAMES, made, strict=True))


def broken_qkeras(whole, folder, layer, index, lsb):
    """One weight or bias of a layer moved by LSBs."""
    weights = [w.copy() for w in whole["qkeras"].model.get_weights()]
    names = ["conv", "conv_bias", "dense", "dense_bias"]
    weights[names.index(layer)].flat[index] += lsb / 8
    return QKerasNetwork(model_of(weights), whole["qkeras"].network, OUTPUT)


def edited(whole, name, folder, file, pattern, new):
    """A copy of an executor's folder with the first match of a pattern in one file changed."""
    copied = shutil.copytree(whole[name].folder, folder / name)
    (path,) = copied.glob(file)
    text, done = re.subn(pattern, new, path.read_text(), count=1)
    assert done == 1
    assert text != path.read_text()
    path.write_text(text)
    return copied


def broken_emulator(whole, folder, *edit):
    copied = edited(whole, "emulator", folder, "codae_network.h", *edit)
    design = json.loads((copied / "emulator.json").read_text())
    (copied / "emulator.json").write_text(json.dumps(design | {"library": "broken.so"}))
    sources = [path.name for path in copied.glob("*.cpp")]
    call_logged(
        [find_compiler(), *FLAGS, *sources, "-o", "broken.so"], copied, copied / "log", HlsConfig(), "The compiler"
    )
    with pytest.MonkeyPatch.context() as patch:
        # The record is of the whole network, which would be refused.
        patch.setattr(Emulator, "_check_record", lambda self: None)
        return Emulator(copied)


def broken_hls(whole, folder, *edit):
    copied = edited(whole, "hls", folder, *edit)
    shutil.rmtree(copied / "emulation")
    library = compile_emulation(find_compiler(), copied, BACKENDS["Vitis"], HlsConfig())
    design = json.loads((copied / "project.json").read_text())
    (copied / "project.json").write_text(json.dumps(design | {"library": library}))
    return HlsProject(copied)


def broken_rtl(whole, folder, *edit):
    copied = edited(whole, "rtl", folder, *edit)
    (copied / "sim" / "libcodae_rtl.so").unlink()
    compile_simulation(copied, TOP, HlsConfig())
    design = json.loads((copied / "design.json").read_text())
    # With the sum of the whole sources it would be refused.
    (copied / "design.json").write_text(json.dumps(design | {"source_sha256": source_digest(copied)}))
    return RtlSimulation(copied)


def broken_interpreter(whole, folder, opcode, which, change):
    """The data (constant or shift) of one operation changed, in the program of the words and in that of the layers."""
    broken = Interpreter(whole["interpreter"].folder)
    for name in ("_program", "_layers"):
        program = getattr(broken, name).copy()
        ops = program[6 + program[2] + 3 * program[3] :].reshape(-1, 8)
        ops[np.flatnonzero(np.isin(ops[:, 0], opcode))[which], 3] += change
        setattr(broken, name, program)
    return broken


# What is broken, how, and the layer that must be named. da4ml adds a convolution's bias together with the rounding of
# the word behind it: there the wires part. The interpreter's last constants are limits that no input reaches; the
# fourth from the end rounds the last word.
MUTATIONS = {
    "qkeras, one weight": (broken_qkeras, ("conv", 2, 1), "conv"),
    "qkeras, one bias": (broken_qkeras, ("dense_bias", 0, -1), "dense"),
    "emulator, one weight": (broken_emulator, (r"(Layer3 (?s:.*?)weights\[8\] = \{)(-?\d+)", r"\g<1>0"), "dense"),
    "emulator, one bit": (broken_emulator, (r"bias\[2\] = \{(\d*)7,", r"bias[2] = {\g<1>6,"), "conv"),
    "emulator, one shift": (broken_emulator, (r"shift = 2, neg", r"shift = 1, neg"), "conv_word"),
    "interpreter, one shift": (broken_interpreter, ((0, 1), 0, 1), "conv"),
    "interpreter, one constant": (broken_interpreter, ((4,), -4, 4), "dense_word"),
    "hls, one weight": (broken_hls, ("firmware/weights/w5.h", r"(\{)(-?[\d.]+)", r"\g<1>0.125"), "dense"),
    "hls, one shift": (broken_hls, ("firmware/defines.h", r"ufixed<4,3,", "ufixed<4,2,"), "conv_word"),
    "rtl, one constant": (broken_rtl, ("src/codae_stage0.v", r"5'b10001", "5'b10101"), "conv_word"),
    "rtl, one bit": (broken_rtl, ("src/codae_stage0.v", r"= v89\[4:0\]", "= v89[5:1]"), "conv_word"),
    "rtl, one shift": (broken_rtl, ("src/codae_stage0.v", r"9, 3, 1\) op_41", "9, 2, 1) op_41"), "conv"),
}


@pytest.fixture(params=MUTATIONS)
def mutation(request, whole, tmp_path):
    make, arguments, layer = MUTATIONS[request.param]
    return SimpleNamespace(executor=make(whole, tmp_path, *arguments), layer=layer)


def test_a_broken_executor_differs_from_every_other_one_first_in_the_broken_layer(mutation, whole, counts):
    for name in (name for name in NAMES if name != mutation.executor.name):
        for pair in ((mutation.executor, whole[name]), (whole[name], mutation.executor)):
            mismatch = compare(*pair, counts)
            assert mismatch.different > 0, str(mismatch)
            assert mismatch.first_layer is not None, str(mismatch)
            assert mismatch.first_layer.layer == mutation.layer, str(mismatch)
            assert mismatch.samples[0][name] != mismatch.samples[0][mutation.executor.name]


@pytest.mark.parametrize("pair", list(combinations(NAMES, 2)), ids="-".join)
def test_whole_executors_agree_in_every_layer_that_both_show(pair, whole, counts):
    a, b = (whole[name] for name in pair)
    assert compare(a, b, counts).different == 0
    layers, others = a.predict_layers(counts), b.predict_layers(counts)
    assert {"conv", "conv_word", "dense", "dense_word"} <= set(layers) & set(others)
    for name in set(layers) & set(others):
        np.testing.assert_array_equal(
            layers[name].reshape(len(counts), -1), others[name].reshape(len(counts), -1), err_msg=name
        )
