"""Layers' values inside a pipeline of several stages are QKeras's; wide unsigned wires; what no wire holds."""

from types import SimpleNamespace

import numpy as np
import pytest

from codae_l1.hls.network.mismatch import _qkeras_layers, adversarial_counts
from codae_l1.hls.network.records import firmware_network
from codae_l1.hls.rtl.build import TOP, build_rtl
from codae_l1.hls.rtl.probes import WIRE, ProbedSimulation, shown_layers
from codae_l1.hls.target.config import HlsConfig
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision

CONFIG = FirmwareConfig(
    conv=(ConvConfig(1, (9, 15), (9, 15)),),
    dense=(2,),
    tied=False,
    precision={"output": LayerPrecision(output_bits=6, output_integer=2)},
)


@pytest.fixture(scope="module")
def firmware():
    model, rng = build_qkeras(CONFIG, 3), np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return FirmwareModel.rounded(model, CONFIG)


def test_every_layer_of_a_pipeline_of_stages_is_qkeras(firmware, tmp_path):
    network, output = firmware_network(firmware)
    config = HlsConfig(latency_cutoff=3.0)
    design = build_rtl(network, output, config, tmp_path / "rtl", simulate=False)
    assert design.stages >= 3
    probed = ProbedSimulation(tmp_path / "rtl", TOP, design, config)
    counts = adversarial_counts(CONFIG, seed=5, n_random=40)[-60:]
    layers, expected = probed.predict_layers(design.saturated(counts)), _qkeras_layers(firmware, counts)
    assert list(layers) == SHOWN
    for name, values in layers.items():
        np.testing.assert_array_equal(values.reshape(60, -1), expected[name].reshape(60, -1), err_msg=name)
    assert len(np.unique(layers["output_word"])) >= 5


SHOWN = ["conv1", "conv1_relu", "flatten", "dense1", "dense1_relu", "output", "output_word"]


def test_an_unsigned_wire_of_32_bits_does_not_come_back_negative():
    made = ProbedSimulation.__new__(ProbedSimulation)
    made.design = SimpleNamespace(stages=1, layers={"a": (2,)})
    made.wires = np.array([(0, 1, 32, False, 1.0, 0.0), (0, 2, 32, True, 0.5, 1.0)], WIRE)
    made.shown = np.arange(2)
    raw = np.array([[-1, -1]], np.int32)
    made._library = SimpleNamespace(run_clocks=lambda stream, lanes: np.repeat(raw, len(stream), axis=0))
    assert made.predict_layers(np.zeros((1, 1), np.int32))["a"].tolist() == [[2.0**32 - 1, 0.5]]


def test_layers_without_wires_are_not_shown():
    wires = np.array([(0, 1, 4, False, 1.0, 0.0), (-2, 0, 1, False, 0.0, 0.0), (-1, 0, 1, False, 0.0, 3.0)], WIRE)
    assert list(shown_layers(wires, {"a": [1], "b": [1], "c": [1]})) == ["a", "c"]
    assert shown_layers(wires[1:2], {"b": [1]}) == {}
