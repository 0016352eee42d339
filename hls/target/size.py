"""Whether a network is small enough, from its configuration alone, before any weight is trained or converted.

`codae_l1.hls.hls4ml.check` predicts what hls4ml makes of the trained network.

Predicted da4ml cost: the adders of a matrix product of random words. A weight of b bits has (b + 1) / 3 digits in
canonical signed form; a digit costs one adder as wide as its operand and some carries, and da4ml shares a part of
them. For weights that fill their words at random the prediction is right within a factor of two (checked by a test on
two small networks). Trained weights are smaller, and many are zero: the network of the demonstration is predicted
three times too large. Before training this is unknown, so a network is judged as if its weights filled their
words.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod

from codae_l1.data.base.errors import InputError
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.target.parts import part
from codae_l1.quantization.f_m.config import FirmwareConfig, input_word, layer_sizes

# hls4ml's limit on the elements of one array that is partitioned completely (config_array_partition).
LARGEST_ARRAY = 4096
# Share of the adders that is left after da4ml has shared common parts. Chosen to fit the da4ml cost of two small
# networks with random weights, those of tests/hls/target/test_size.py, which holds it within a factor of two; no other
# source.
SHARED = 0.55
# Peak memory of Yosys for one module [MB]: MB a mapped LUT and a base, a line above five measured modules (195 MB at
# 3 k LUT, 371 at 12 k, 914 at 15 k, 2,042 at 23 k, 2,770 at 34 k), not a fit; no test repeats the measurement.
MB_PER_LUT, MB_BASE = 0.082, 200
# Share of the machine's memory that one tool may take.
MEMORY_SHARE = 0.8
_SMALLER = "take fewer filters, a larger stride, fewer units or fewer weight bits"


@dataclass(frozen=True)
class LayerCost:
    """What one layer with weights adds to a prediction.

    weights, biases: how many are stored. products: how many at once, of words of weight_bits and input_bits.
    outputs: values that have a register each, of output_bits.
    """

    weights: int
    biases: int
    products: int
    weight_bits: int
    input_bits: int
    outputs: int
    output_bits: int


@dataclass(frozen=True)
class PredictedSize:
    """What a network is predicted to cost.

    multiplications: products of weight and value for one event, all at once. parameters: weights and biases.
    lut: predicted LUT, for weights that fill their words. largest_array: elements of the largest array.
    """

    multiplications: int
    parameters: int
    lut: int
    largest_array: int

    @classmethod
    def of(cls, layers: Sequence[LayerCost], arrays: Sequence[int]) -> "PredictedSize":
        """The layers of one network added up; arrays: elements of its arrays other than the weights."""
        lut = 0.0
        for row in layers:
            lut += row.products * (row.weight_bits + 1) / 3 * (row.input_bits + 2) * SHARED
            lut += row.outputs * 2 * row.output_bits
        products = sum(row.products for row in layers)
        parameters = sum(row.weights + row.biases for row in layers)
        return PredictedSize(products, parameters, round(lut), max(*arrays, *(row.weights for row in layers)))

    @property
    def memory_mb(self) -> int:
        """Peak memory of Yosys mapping it [MB]; of a design that Yosys maps, which no HLS project is."""
        return round(MB_BASE + MB_PER_LUT * self.lut)

    def as_dict(self) -> dict[str, int]:
        """JSON-ready."""
        return asdict(self)


def predict_size(firmware: FirmwareConfig) -> PredictedSize:
    """Predict what a FirmwareConfig costs, all of its products at once."""
    word, rows, arrays = input_word(firmware), [], [prod(firmware.input_shape)]
    for name, size in layer_sizes(firmware).items():
        before, word = word, firmware.layer_output(name)
        bits = firmware.layer_precision(name).weight_bits, before.width
        rows.append(LayerCost(prod(size.kernel), size.kernel[-1], size.products, *bits, size.outputs, word.width))
        arrays.append(size.outputs)
    return PredictedSize.of(rows, arrays)


def check_size(firmware: FirmwareConfig, config: HlsConfig, memory_mb: float | None = None) -> PredictedSize:
    """Refuse a FirmwareConfig that cannot fit the part, hls4ml's arrays or the memory; return its predicted size.

    memory_mb: memory of this machine [MB], asked of the system by default.
    """
    found = check_part(predict_size(firmware), config)
    memory = memory_mb if memory_mb is not None else _memory_mb()
    if found.memory_mb > MEMORY_SHARE * memory:
        raise InputError(
            f"the network is too large for this machine: mapping it needs about {found.memory_mb:,} MB",
            f"at most {MEMORY_SHARE:.0%} of its {memory:,.0f} MB",
            f"{_SMALLER}, or use a machine with more memory",
        )
    return found


def check_part(found: PredictedSize, config: HlsConfig) -> PredictedSize:
    """Refuse a predicted size that cannot fit the part or hls4ml's arrays; return it."""
    chip = part(config.part)
    if found.lut > chip.lut:
        raise InputError(
            f"the network is too large for the part: about {found.lut:,} LUT predicted "
            f"({found.multiplications:,} multiplications at once)",
            f"at most the {chip.lut:,} LUT of {config.part}",
            _SMALLER,
        )
    if found.largest_array > LARGEST_ARRAY:
        raise InputError(
            f"the network is too large for hls4ml: an array of {found.largest_array:,} elements",
            f"at most {LARGEST_ARRAY:,} (each element is in a register of its own)",
            _SMALLER,
        )
    return found


def _memory_mb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
