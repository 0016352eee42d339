"""What a trigger network will cost, predicted before it is trained and without synthesis.

Three estimates of the LUT that Yosys counts, each LUT = a x + b y with a band, from fast to good:

    effective_bits   x: effective bit operations, y: bits of hidden words and tied sums; from the configuration alone
    untrained        x: adders, y: all else of da4ml's cost, with first weights and words calibrated on events (seconds)
    trained          the same for the trained network

a, b >= 0 are fitted to designs that scripts/studies/calibrate_cost.py trained, traced and mapped
(cost_calibration.json), by least squares of the relative error; band = exp(+-2.5 standard deviations of log(LUT /
estimate)) of the fitted designs. Other designs are held out of the fit, and a test checks the bands on them. Latency is
exact: da4ml's stages times the period.
"""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codae_l1.data.base.config import parse
from codae_l1.data.base.files import read_json
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import trace_here
from codae_l1.hls.target.config import HlsConfig
from codae_l1.quantization.distill import untrained
from codae_l1.quantization.f_m.config import FirmwareConfig, input_word, layer_sizes
from codae_l1.quantization.f_m.network import FirmwareModel

Method = Literal["effective_bits", "untrained", "trained"]
METHODS: tuple[Method, ...] = ("effective_bits", "untrained", "trained")
CALIBRATION = Path(__file__).with_name("calibration.json")
# Half-width of a band in standard deviations of log(LUT / estimate), and the smallest one taken.
BAND_SIGMA, SMALLEST_SIGMA = 2.5, 0.03


@dataclass(frozen=True)
class _NetworkCost:
    """da4ml's cost of a traced network, the part of it that is adders, its pipeline stages and register bits."""

    da4ml_cost: float
    adders: float
    stages: int
    register_bits: int

    @property
    def features(self) -> tuple[float, float]:
        """What LUT are estimated from: adders, all else (comparisons, multiplexers, constants)."""
        return self.adders, self.da4ml_cost - self.adders

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class _Estimate:
    """LUT as Yosys would count them, with the edges of the band."""

    lut: float
    low: float
    high: float


def effective_bits(config: FirmwareConfig, sparsity: float = 0.0) -> tuple[float, float]:
    """(effective bit operations of an event, bits of hidden words and tied sums), from the configuration alone.

    Bit operations (arXiv:2405.00645): sum over products of weight bits x value bits. A tied layer adds its window up
    first and multiplies once per channel. sparsity: fraction of the weights that is pruned.

    >>> effective_bits(FirmwareConfig(conv=(), precision={}))  # 270 counts of 5 bits, added up; one weight of 5 bits
    (70.0, 1345.0)
    """
    word, bits, other = input_word(config), 0.0, 0.0
    for i, (name, size) in enumerate(layer_sizes(config).items()):
        weight = config.layer_precision(name).weight_bits * (1 - sparsity)
        if config.tied and i <= len(config.conv):
            window = size.inputs // size.channels
            sums = word.width + (window - 1).bit_length()
            bits += size.outputs * size.channels * weight * sums
            other += size.cells * size.channels * (window - 1) * word.width * (1 - sparsity)
        else:
            bits += size.products * weight * word.width
        word = config.layer_output(name)
        other += size.outputs * word.width * (name != "output")
    return float(bits), float(other)


def _network_cost(model: Any, config: FirmwareConfig, hls: HlsConfig) -> _NetworkCost:
    """Trace a QKeras firmware model and count what da4ml would build."""
    from da4ml.trace.pipeline import to_pipeline

    comb, _ = trace_here(read_network(model, input_word(config)), hls)
    pipeline = to_pipeline(comb, hls.latency_cutoff, verbose=False)
    adders = sum(op.cost for op in comb.ops if op.opcode in (0, 1))
    return _NetworkCost(float(comb.cost), float(adders), len(pipeline.solutions), int(pipeline.reg_bits))


def untrained_cost(
    config: FirmwareConfig, calibration: np.ndarray, hls: HlsConfig, sparsity: float = 0.0, seed: int = 0
) -> _NetworkCost:
    """Cost of the network with its first weights; calibration counts (N, 18, 15, inputs) of QCD fix its words."""
    return trained_cost(untrained(config, calibration, sparsity, seed), hls)


def trained_cost(firmware: FirmwareModel, hls: HlsConfig) -> _NetworkCost:
    """Cost of a trained firmware model."""
    return _network_cost(firmware.model, firmware.config, hls)


def estimate_lut(method: Method, features: tuple[float, float]) -> _Estimate:
    """LUT from `effective_bits` or from _NetworkCost.features, by the stored calibration."""
    a, b, sigma = calibration_of(method)
    lut, spread = a * features[0] + b * features[1], np.exp(BAND_SIGMA * sigma)
    return _Estimate(*(round(float(lut * f), 1) for f in (1.0, 1 / spread, spread)))


@cache
def calibration_of(method: Method) -> tuple[float, float, float]:
    """(a, b, standard deviation of log(LUT / estimate)) from the fitted designs of cost_calibration.json."""
    return fit_lut([row for row in read_json(CALIBRATION)["designs"] if not row["held_out"]], method)


def fit_lut(rows: list[dict[str, Any]], method: Method) -> tuple[float, float, float]:
    """a, b and spread of the method from rows of cost_calibration.json."""
    from scipy.optimize import nnls

    x, lut = np.array([row_features(row, method) for row in rows]), np.array([row["lut"] for row in rows], float)
    (a, b), _ = nnls(x / lut[:, None], np.ones(len(rows)))
    logs = np.log(lut / (x @ [a, b]))
    return float(a), float(b), max(float(np.sqrt(np.sum(logs**2) / max(len(rows) - 2, 1))), SMALLEST_SIGMA)


def row_features(row: dict[str, Any], method: Method) -> tuple[float, float]:
    """The features of a row of cost_calibration.json."""
    if method == "effective_bits":
        return effective_bits(parse(FirmwareConfig, row["firmware"]), row["sparsity"])
    return row[method]["adders"], row[method]["da4ml_cost"] - row[method]["adders"]
