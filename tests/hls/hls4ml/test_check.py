"""Known failures are predicted from the network's records, each with its remedy, before anything is converted."""

import dataclasses
import re

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.hls4ml._taken import reuse_taken
from codae_l1.hls.hls4ml.backends import BACKENDS
from codae_l1.hls.hls4ml.check import _findings, check_project
from codae_l1.hls.hls4ml.prediction import fastest_reuse, predict_project, products
from codae_l1.hls.layers import Activation, AveragePool, Conv, Dense, Interval, Quantizer
from codae_l1.hls.network.records import Network
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.target.parts import Part

WORD = WordType(False, 4, 4)


def network(*kernels, shape=(6, 6, 1)):
    """Records of convolutions of stride 1 (or dense layers) with these kernels, half of the weights 0.5, half -0.5."""
    layers, x = [], shape
    for i, kernel in enumerate(kernels):
        weights = np.where(np.arange(np.prod(kernel)).reshape(kernel) % 2, 0.5, -0.5)
        x = (x[0] - kernel[0] + 1, x[1] - kernel[1] + 1, kernel[-1]) if len(kernel) == 4 else (kernel[-1],)
        kind = Conv if len(kernel) == 4 else Dense
        interval = Interval(-32.0, 32.0, 0.5)
        layers.append(kind(f"{kind.kind}{i + 1}", x, interval, weights, np.zeros(kernel[-1])))
    return Network("counts", WORD, shape, tuple(layers))


def clocks(forecast):
    return forecast.interval_cycles_forecast, forecast.latency_cycles_forecast


SMALL = network((3, 3, 1, 4), (64, 2))


def asked(backend="Vitis", **given):
    return HlsConfig(backend=backend, part=BACKENDS[backend].part, **given)


@pytest.mark.parametrize(
    ("records", "config", "words"),
    [
        (  # Elements of one array.
            network((3, 3, 1, 2), shape=(80, 60, 1)),
            asked(),
            r"too large for hls4ml: an array of 9,048 elements; expected at most 4,096",
        ),
        (  # Unrolling of one product, and the reuse factor that avoids it.
            network((200, 40), shape=(200,)),
            asked(),
            r"layer dense1 unrolls 8,000 products \(200 x 40, reuse factor 1, 1 pixels at once\); expected at most "
            r"4,096, beyond which .*; set hls.strategy to resource, hls.layer_reuse.dense1 = 2",
        ),
        (  # Unrolling of all pixels of a convolution.
            network((3, 3, 1, 40), shape=(12, 12, 1)),
            asked(parallel_pixels=0),
            r"conv1 unrolls 36,000 products .*100 pixels at once.*resource, hls.layer_reuse.conv1 = 9",
        ),
        (
            SMALL,
            asked(strategy="distributed_arithmetic", reuse_factor=2),
            r"distributed arithmetic with reuse factor 2 in layer conv1; expected reuse factor 1, .*y to resource",
        ),
        (
            SMALL,
            asked("Libero"),
            r"backend Libero, which has no code for conv1 \(Conv2D\).*expected layers of Activation",
        ),
        (
            SMALL,
            asked("Libero", io_type="io_stream"),
            r"backend Libero with io_stream, .*; expected io_parallel; change hls.io_type, or hls.backend to one of Vi",
        ),
        (SMALL, asked(layer_reuse={"conv9": 2}), r"hls.layer_reuse.conv9; expected one of conv1, dense2; rename"),
        (  # Multipliers.
            network((1000, 100), (100, 40), shape=(1000,)),
            HlsConfig(part="xc7z020", strategy="resource", reuse_factor=25, layer_reuse={"dense2": 1}),
            r"about 4,000 DSP predicted, or 110,240 LUT without; expected at most the 220 DSP or 53,200 LUT of xc7z020",
        ),
    ],
)
def test_what_would_fail_is_refused_with_the_remedy(records, config, words):
    with pytest.raises(InputError, match=words):
        check_project(records, config)


@pytest.mark.parametrize(
    ("records", "given"),
    [
        (network((200, 40), shape=(200,)), {}),
        (network((3, 3, 1, 40), shape=(12, 12, 1)), {"parallel_pixels": 0}),
        # 2 divides 17 x 300 in no way that hls4ml takes.
        (network((17, 300), shape=(17,)), {"strategy": "resource", "reuse_factor": 2}),
    ],
)
def test_the_remedy_of_too_many_products_helps(records, given):
    with pytest.raises(InputError, match="unrolls") as refusal:
        check_project(records, asked(**given))
    remedy = r"; set hls.strategy to resource, hls.layer_reuse.(\w+) = (\d+)$"
    name, factor = re.findall(remedy, str(refusal.value))[0]
    given = {**given, "strategy": "resource", "reuse_factor": 1}
    assert check_project(records, asked(**given, layer_reuse={name: int(factor)})) == ()
    # No smaller factor does.
    for smaller in range(1, int(factor)):
        taken = asked(**given, layer_reuse={name: smaller})
        assert products(records, taken)[0].reuse == int(factor) or any(f.fatal for f in _findings(records, taken))


@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
def test_a_convolution_shared_beyond_its_kernel_is_refused(backend):
    records = network((6, 5, 1, 2), shape=(12, 10, 1))
    beyond = asked(backend, strategy="resource", reuse_factor=60)
    words = (
        r"reuse factor 60 of the convolution conv1, beyond its kernel of 30 values.*expected at most 30, or io_stream"
    )
    with pytest.raises(InputError, match=words + "; set hls.layer_reuse.conv1 = 30, or hls.io_type to io_stream"):
        check_project(records, beyond)
    assert check_project(records, dataclasses.replace(beyond, reuse_factor=30)) == ()
    assert check_project(records, dataclasses.replace(beyond, io_type="io_stream")) == ()
    assert check_project(network((30, 2), shape=(30,)), beyond) == ()
    # The interval of the dense layer, 98, would let the convolution take 60.
    both = network((6, 5, 1, 2), (98, 3000), shape=(12, 10, 1))
    assert fastest_reuse(both, dataclasses.replace(beyond, parallel_pixels=0)) == {"conv1": 30, "dense2": 98}


def test_the_memory_of_yosys_refuses_no_hls_project(monkeypatch):
    monkeypatch.setattr("codae_l1.hls.target.size._memory_mb", lambda: 100)
    assert check_project(SMALL, HlsConfig()) == ()


@pytest.mark.parametrize("backend", ["Catapult", "oneAPI"])
def test_a_word_of_one_bit_is_refused_where_hls4ml_widens_it(backend):
    quantizer = Quantizer(True, WordType(False, 1, 0, "RND_CONV", "SAT"))
    act = Activation("act", (4, 4, 4), Interval(0.0, 1.0, 1.0), quantizer)
    records = dataclasses.replace(SMALL, layers=(SMALL.layers[0], act))
    words = r"with layer act \(activation\), a word of 1 bit, which it widens; expected 2 bits and more; take more bits"
    with pytest.raises(InputError, match=words + ", or hls.backend Vitis or Vivado"):
        check_project(records, asked(backend))
    assert check_project(records, asked("Vivado")) == ()


def test_catapult_with_an_average_pool_is_refused():
    pool = AveragePool("pool", (2, 2, 4), Interval(-32.0, 32.0, 0.125), (2, 2))
    records = dataclasses.replace(SMALL, layers=(SMALL.layers[0], pool))
    with pytest.raises(
        InputError,
        match=r"backend Catapult with layer pool \(average_pool\), whose words .* wrong; expected no layer of "
        r"average_pool; take hls.backend Vitis or Vivado or oneAPI",
    ):
        check_project(records, asked("Catapult"))
    assert check_project(records, asked("Vivado")) == ()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            asked(strategy="resource", reuse_factor=5),
            r"reuse factor 5 does not divide the 9 x 4 products of layer conv1; expected 3, which hls4ml takes; "
            r"set hls.layer_reuse.conv1 = 3",
        ),
        (
            asked("oneAPI"),
            r"oneAPI has no strategy latency and takes resource in layer conv1; expected one of resource",
        ),
        (
            asked("Catapult", strategy="distributed_arithmetic"),
            r"Catapult has no strategy dist.*takes latency in layer",
        ),
        (
            asked(parallel_pixels=3),
            r"parallel_pixels = 3 does not divide the 16 pixels of conv1; expected 2, .*set hls.parallel_pixels = 2",
        ),
    ],
)
def test_what_hls4ml_changes_silently_is_noted_and_not_refused(config, words):
    notes = check_project(SMALL, config)
    assert not any(note.fatal for note in notes)
    assert any(re.search(words, str(note)) for note in notes)


def test_a_plain_project_has_nothing_to_say_of_it():
    assert check_project(SMALL, HlsConfig()) == ()
    assert _findings(SMALL, HlsConfig(strategy="resource", reuse_factor=3, layer_reuse={"dense2": 4})) == []


def test_the_forecast_counts_multipliers_memories_and_clocks():
    latency = predict_project(SMALL, HlsConfig())
    assert (latency.multiplications, latency.parameters) == (9 * 4 + 64 * 2, 36 + 4 + 128 + 2)
    assert (latency.dsp, latency.bram_18k, *clocks(latency)) == (0, 0, 16, 17)
    shared = predict_project(SMALL, HlsConfig(strategy="resource", reuse_factor=3, layer_reuse={"dense2": 64}))
    assert (shared.dsp, *clocks(shared)) == (12 + 2, 64, 16 * 3 + 64)
    # Without DSPs a product of words of 8 bits with weights of 2 bits is one LUT a pair of bits.
    assert shared.lut_without_dsp - shared.lut == (12 + 2) * 8 * 2
    # dense2: 64 words of two 2-bit weights, one half block; conv1's three words become LUTs.
    assert shared.bram_18k == 1
    stream = HlsConfig(io_type="io_stream", strategy="resource", reuse_factor=3, layer_reuse={"dense2": 64})
    found = predict_project(SMALL, stream)
    assert clocks(found) == (36 + 16 * 3, 36 + 16 * 3)
    assert shared.lut < latency.lut
    # Only strategy resource keeps weights in memories.
    assert predict_project(SMALL, HlsConfig(reuse_factor=64)).bram_18k == 0


def test_a_mask_is_multiplied_by_gates_and_other_vendors_clocks_are_not_forecast():
    mask = dataclasses.replace(SMALL, input_word=WordType(False, 1, 0))
    shared = HlsConfig(strategy="resource", reuse_factor=3, layer_reuse={"dense2": 64})
    assert predict_project(mask, shared).dsp == 2
    assert clocks(predict_project(SMALL, asked("oneAPI"))) == (None, None)
    assert clocks(predict_project(network((30, 2), shape=(30,)), asked("Libero"))) == (None, None)


def test_the_fastest_reuse_factors_fit_and_no_faster_ones_do(monkeypatch):
    wide = network((3, 3, 8, 64), (64 * 16, 20), shape=(6, 6, 8))
    config = HlsConfig(part="xc7z020", io_type="io_stream", strategy="resource")
    factors = fastest_reuse(wide, config)
    chosen = HlsConfig(part="xc7z020", io_type="io_stream", strategy="resource", layer_reuse=factors)
    forecast = predict_project(wide, chosen)
    assert check_project(wide, chosen) == ()
    assert forecast.dsp <= 220
    halves = [
        {**factors, name: reuse_taken("Vitis", "resource", row.n_in, row.n_out, factors[name] // 2)}
        for name, row in zip(factors, products(wide, chosen), strict=True)
    ]
    slower = [
        predict_project(wide, HlsConfig(part="xc7z020", io_type="io_stream", strategy="resource", layer_reuse=h))
        for h in halves
    ]
    assert all(other.dsp > 220 or clocks(other) == clocks(forecast) for other in slower)
    monkeypatch.setattr("codae_l1.hls.hls4ml.prediction.part", lambda name: Part(name, 100, 200, 10, 10, 0))
    with pytest.raises(InputError, match=r"no reuse factor fits; expected one that fits xc7z020; take fewer filters"):
        fastest_reuse(wide, config)
