"""The matrix products of a network, with what hls4ml takes of the configuration for each."""

from dataclasses import dataclass
from math import ceil, prod

from codae_l1.hls.hls4ml._taken import reuse_taken, strategy_taken, valid_reuse
from codae_l1.hls.layers import Weighted
from codae_l1.hls.network.records import Network
from codae_l1.hls.target.config import HlsConfig


@dataclass(frozen=True)
class Product:
    """The matrix product of a layer: n_in x n_out for each of its pixels; seen: pixels that come in.

    strategy, reuse: those that hls4ml takes. at_once: pixels computed at the same time. columns, buffered: of the line
    buffer. conv: whether it is a convolution's.
    """

    name: str
    n_in: int
    n_out: int
    pixels: int
    seen: int
    at_once: int
    strategy: str
    reuse: int
    input_bits: int
    weight_bits: int
    output_bits: int
    columns: int = 0
    buffered: int = 0
    conv: bool = False

    @property
    def multipliers(self) -> int:
        """Products at the same time."""
        return ceil(self.n_in * self.n_out / self.reuse) * self.at_once


def products(network: Network, config: HlsConfig) -> list[Product]:
    """The matrix products of a network's records, with what hls4ml will take of the configuration."""
    found, shapes = [], [network.input_shape, *(layer.shape for layer in network.layers)]
    widths = [network.input_word.width, *(layer.word.width for layer in network.layers)]
    stream = config.io_type == "io_stream"
    for layer, shape, width in zip(network.layers, shapes, widths, strict=False):
        if not isinstance(layer, Weighted):
            continue
        (n_in, n_out), conv = layer.matrix, layer.pixelwise
        pixels, seen = (prod(layer.shape[:-1]), prod(shape[:-1])) if conv else (1, 1)
        reuse = reuse_taken(config.backend, config.strategy, n_in, n_out, config.reuse(layer.name))
        at_once = 1 if stream else parallel_taken(pixels, config.parallel_pixels)
        line = (shape[-2], (layer.kernel.shape[0] - 1) * shape[-1]) if stream and conv else (0, 0)
        strategy = strategy_taken(config.backend, config.strategy)
        bits = width, layer.weight_bits, layer.interval.word.width
        found.append(Product(layer.name, n_in, n_out, pixels, seen, at_once, strategy, reuse, *bits, *line, conv))
    return found


def largest_reuse(row: Product, config: HlsConfig) -> int:
    """The largest reuse factor with which hls4ml's code computes the right words in resource strategy.

    Its conv_2d_resource_cl of Vitis and Vivado ends at n_in, although hls4ml's own check takes up to n_in x n_out.
    """
    ends = row.conv and config.io_type == "io_parallel" and config.backend in ("Vitis", "Vivado")
    return row.n_in if ends else row.n_in * row.n_out


def right_reuse(row: Product, config: HlsConfig) -> list[int]:
    """The reuse factors that hls4ml takes for a layer in resource strategy, and computes right; the smallest first."""
    largest = largest_reuse(row, config)
    return [factor for factor in valid_reuse(config.backend, row.n_in, row.n_out) if factor <= largest]


def parallel_taken(pixels: int, asked: int) -> int:
    """Pixels at once that hls4ml takes: the nearest divisor, the smaller of two that are equally near.

    >>> parallel_taken(30, 4), parallel_taken(30, 0)
    (3, 30)
    """
    divisors = [n for n in range(1, pixels + 1) if pixels % n == 0 and (n <= pixels // 2 or n == pixels)]
    return min(divisors, key=lambda n: (abs(n - (asked or pixels)), n))
