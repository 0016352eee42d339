"""Networks that cannot fit are refused before conversion; parts; a nonsense configuration."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import trace
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.target.parts import part
from codae_l1.hls.target.size import check_size, predict_size
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig, input_word
from codae_l1.quantization.f_m.network import build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision

PLAIN = FirmwareConfig(conv=(ConvConfig(4, (3, 3), (3, 3)),), dense=(8,))


def test_multiplications_and_parameters_are_counted():
    found = check_size(PLAIN, HlsConfig())
    assert found.multiplications == 30 * 9 * 4 + 120 * 8 + 8
    assert found.parameters == 40 + 968 + 9
    assert found.largest_array == 960


def test_a_network_too_large_for_the_part_is_refused():
    six_bits = {"output": LayerPrecision(weight_bits=6, output_bits=12)}
    large = FirmwareConfig(conv=(ConvConfig(32, (3, 3), (1, 1)), ConvConfig(32, (3, 3), (1, 1))), precision=six_bits)
    with pytest.raises(InputError, match=r"too large for the part: about [\d,]+ LUT predicted.*1,728,000 LUT"):
        check_size(large, HlsConfig())
    with pytest.raises(InputError, match=r"at most the 53,200 LUT of xc7z020; take fewer filters"):
        check_size(FirmwareConfig(conv=(ConvConfig(16, (3, 3), (3, 3)),), dense=(32,)), HlsConfig(part="xc7z020"))


def test_an_array_too_large_for_hls4ml_is_refused():
    wide = FirmwareConfig(conv=(ConvConfig(8, (3, 3), (3, 3)),), dense=(20,))
    with pytest.raises(InputError, match=r"too large for hls4ml: an array of 4,800 elements; expected at most 4,096"):
        check_size(wide, HlsConfig())


def test_a_network_too_large_for_the_memory_is_refused():
    with pytest.raises(InputError, match=r"needs about [\d,]+ MB; expected at most 80% of its 100 MB"):
        check_size(FirmwareConfig(), HlsConfig(), memory_mb=100)


def test_more_of_anything_is_predicted_to_cost_more():
    assert (
        predict_size(FirmwareConfig(dense=(16,))).lut
        > predict_size(FirmwareConfig()).lut
        > predict_size(FirmwareConfig(conv=(ConvConfig(2),))).lut
    )


@pytest.mark.parametrize(
    "config",
    [
        FirmwareConfig(conv=(ConvConfig(1, (6, 5), (6, 5)),), dense=(2,), count_bits=3),
        FirmwareConfig(conv=(ConvConfig(2, (4, 4), (4, 4)),), dense=(4,)),
    ],
)
def test_the_prediction_is_within_a_factor_of_two_of_random_weights(config):
    model, rng = build_qkeras(config, 1), np.random.default_rng(1)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    cost = trace(read_network(model, input_word(config)), HlsConfig())[0].cost
    assert 0.5 < predict_size(config).lut / cost < 2


def test_parts():
    assert part("xcvu13p-flga2577-2-e").available == {
        "LUT": 1_728_000,
        "FF": 3_456_000,
        "DSP": 12_288,
        "BRAM_18K": 5_376,
        "URAM": 1_280,
    }
    with pytest.raises(InputError, match=r"hls.part = 'xcvu99p'; expected a part of xcvu13p, xcvu9p"):
        part("xcvu99p")


@pytest.mark.parametrize("name", ["clock_period_ns", "latency_cutoff", "jobs"])
def test_a_nonsense_configuration_is_refused(name):
    with pytest.raises(InputError, match=f"hls.{name} = 0; expected a number above zero"):
        HlsConfig(**{name: 0})
