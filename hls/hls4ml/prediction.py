"""What an hls4ml project of a network is predicted to cost: multipliers, memories, and the cycles per event.

Lower bounds on the cycles follow from the loops of hls4ml 1.3:

    io_parallel   layer: reuse factor x pixels that come one after the other; event: their sum, next event: the largest
    io_stream     layer: one cycle per input pixel, and in resource strategy reuse factor cycles per output pixel (in
                  latency strategy reuse factor cycles per input pixel); event and next event: the largest

Resources: with reuse factor 1 a product has a constant weight and becomes adders (hls/target/size.py). Beyond it the
vendor's tool chooses what a multiplier becomes, by widths and pragmas: between one DSP each (`dsp`; none for a factor
of one bit, which is a gate) and LUT alone, about input_bits x weight_bits each (`lut_without_dsp`; an array of partial
products, one LUT a bit). Neither bound is a synthesis. Weights of strategy resource lie in block RAM, reuse factor
words deep. io_stream adds a line buffer of shift registers per convolution and one FIFO per layer, as deep as it has
pixels (hls4ml's default). Cycles are known for the backends with these loops: AMD's and Catapult.
"""

from dataclasses import dataclass, replace
from math import ceil, prod

from codae_l1.data.base.errors import InputError
from codae_l1.hls.hls4ml._products import Product, products, right_reuse
from codae_l1.hls.layers import Weighted
from codae_l1.hls.network.records import Network
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.target.parts import part
from codae_l1.hls.target.size import SHARED, PredictedSize

# Products in one loop that HLS compilers unroll; beyond it Vivado HLS and Vitis HLS stop with "Stop unrolling".
LARGEST_PRODUCT = 4096
# One 18-kbit block RAM of the 7 series and UltraScale+ as simple dual port: words, bits of a word (AMD UG573).
_BRAM_DEPTH, _BRAM_WIDTH = 512, 36
# Backends to whose loops the cycles apply.
TIMED = ("Vitis", "Vivado", "Catapult")
# Length of one shift register in a LUT (AMD UG574).
_SHIFT_REGISTER = 32


@dataclass(frozen=True)
class PredictedProject(PredictedSize):
    """What an hls4ml project is predicted to cost; multiplications: multipliers at once, as in PredictedSize.

    dsp, lut: where every multiplier is a DSP; lut_without_dsp: where none is. bram_18k: predicted.
    interval_cycles_forecast: clocks between two events, latency_cycles_forecast: of one event; at least; None where
    the backend's loops are not known.
    """

    dsp: int
    lut_without_dsp: int
    bram_18k: int
    interval_cycles_forecast: int | None
    latency_cycles_forecast: int | None


def predict_project(network: Network, config: HlsConfig) -> PredictedProject:
    """Predict the cost of the hls4ml project that `config` asks for."""
    rows, stream = products(network, config), config.io_type == "io_stream"
    cycles = [_cycles(row, stream) for row in rows] or [1]
    lut, multipliers_lut, dsp, bram = 0.0, 0, 0, 0
    for row in rows:
        adders = row.multipliers * (row.input_bits + 2) * SHARED
        if row.reuse == 1:
            lut += adders * (row.weight_bits + 1) / 3
        else:
            lut += adders
            multipliers_lut += row.multipliers * row.input_bits * row.weight_bits
            dsp += row.multipliers if min(row.input_bits, row.weight_bits) > 1 else 0
        if row.reuse > 1 and row.strategy == "resource":
            bram += _blocks(row.reuse, row.multipliers * row.weight_bits)
        lut += row.n_out * row.at_once * 2 * row.output_bits
        lut += row.buffered * row.input_bits * ceil(row.columns / _SHIFT_REGISTER)
    if stream:
        shapes = [network.input_shape, *(layer.shape for layer in network.layers)]
        widths = [network.input_word.width, *(layer.word.width for layer in network.layers)]
        bram += sum(_blocks(prod(s[:-1]), s[-1] * w) for s, w in list(zip(shapes, widths, strict=True))[1:-1])
    parameters = sum(layer.parameters for layer in network.layers if isinstance(layer, Weighted))
    multipliers = sum(row.multipliers for row in rows)
    largest = max([1, *(row.multipliers // row.at_once for row in rows), *_arrays(network, stream)])
    clocks = (max(cycles), max(cycles) if stream else sum(cycles)) if config.backend in TIMED else (None, None)
    costs = round(lut), largest, dsp, round(lut + multipliers_lut), bram
    return PredictedProject(multipliers, parameters, *costs, *clocks)


def fastest_reuse(network: Network, config: HlsConfig) -> dict[str, int]:
    """Reuse factor of each layer for the shortest interval whose multipliers and memories fit the part.

    In resource strategy; of all that give this interval the largest reuse factors, for they are the cheapest.
    """
    chip, config = part(config.part), replace(config, strategy="resource", reuse_factor=1, layer_reuse={})
    rows, stream = products(network, config), config.io_type == "io_stream"
    choices = {}
    for row in rows:
        shared = (replace(row, reuse=factor) for factor in right_reuse(row, config))
        choices[row.name] = [r for r in shared if r.multipliers <= LARGEST_PRODUCT]
    intervals = sorted({_cycles(row, stream) for several in choices.values() for row in several})
    for interval in intervals:
        fitting = {name: [r for r in several if _cycles(r, stream) <= interval] for name, several in choices.items()}
        if not all(fitting.values()):
            continue
        found = {name: max(row.reuse for row in several) for name, several in fitting.items()}
        predicted = predict_project(network, replace(config, layer_reuse=found))
        if predicted.dsp <= chip.dsp and predicted.bram_18k <= chip.bram_18k and predicted.lut <= chip.lut:
            return found
    raise InputError(
        "a network that no reuse factor fits", f"one that fits {config.part}", "take fewer filters or a larger part"
    )


def _arrays(network: Network, stream: bool) -> list[int]:
    """Elements of every array of values that is split into registers; streams have none."""
    return [] if stream else [prod(network.input_shape), *(prod(layer.shape) for layer in network.layers)]


def _cycles(row: Product, stream: bool) -> int:
    if not stream:
        return row.reuse * ceil(row.pixels / row.at_once)
    if row.strategy == "resource":
        return row.seen + row.pixels * row.reuse
    return row.seen * row.reuse


def _blocks(depth: int, bits: int) -> int:
    """Half block RAMs of a memory; shallow ones (up to 32 words) become LUTs."""
    return ceil(depth / _BRAM_DEPTH) * ceil(bits / _BRAM_WIDTH) if depth > _SHIFT_REGISTER else 0
