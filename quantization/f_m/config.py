"""Topology and precision of the trigger network, and what follows from them alone. This module does not import
Keras."""

from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from numbers import Integral
from typing import Any, ClassVar

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.data.pooling import PoolingConfig
from codae_l1.quantization.f_m._check import KNEE_GEV, SLOPE_BITS, check
from codae_l1.quantization.f_m.precision import LayerPrecision, exact_accumulator


@dataclass(frozen=True)
class ConvConfig:
    """One strided 'valid' convolution: filters, kernel (phi, eta), stride (phi, eta)."""

    filters: int = 12
    kernel: tuple[int, ...] = (3, 3)
    stride: tuple[int, ...] = (3, 3)


@dataclass(frozen=True)
class FirmwareConfig:
    """Topology and precision of f_m.

    pool: side of the pooled square [pixels]. inputs: what is pooled, names in data.pooling.INPUTS. energy_lsb_gev: step
    of energy words. count_bits: width of the unsigned input word; larger counts saturate.
    conv, dense: hidden layers in order. outputs: 1 distilled, 2 in situ (z_m). tied: one weight per channel, the same
    over a convolution's window and, in the first dense layer, over all cells (quantization/f_m/_tying.py).
    distance: groups of inputs; where there are any, the network is a distance learned from background
    (quantization/distance.py): its convolution, with a filter for each group, adds up windows that fill the
    grid without overlap, and its dense layers follow from that. One of single cells before it, with two filters for
    each group, bends energies (quantization/_bend.py). `dense` is then empty, or (1,), the unit of the encoder
    of an auto-encoder whose error takes the place of the distance (quantization/_autoencoder.py); `tied` has no effect.
    preset: "autoencoder", the network of a run, "distance", or "distilled", the default here.
    precision: layer name -> LayerPrecision; a layer not named takes the default one. Of it, training keeps weight_bits
    and output_bits; calibration sets the others.

    "distilled" sums active pixels in blocks of 12 x 12 (3 x 3 cells), bends the sums by twelve ReLUs and adds them up:
    the winner of a search (docs/scan.md).

    >>> FirmwareConfig(dense=(8,)).layers
    ('conv1', 'dense1', 'output')
    """

    pool: int = 4
    inputs: tuple[str, ...] = ("tracks",)
    energy_lsb_gev: float = 4.0
    count_bits: int = 5
    conv: tuple[ConvConfig, ...] = (ConvConfig(),)
    dense: tuple[int, ...] = ()
    outputs: int = 1
    tied: bool = True
    distance: tuple[tuple[str, ...], ...] = ()
    precision: dict[str, LayerPrecision] = field(
        default_factory=lambda: {
            "conv1": LayerPrecision(weight_bits=7, output_bits=6),
            "output": LayerPrecision(weight_bits=6, output_bits=12, output_integer=5),
        }
    )

    PRESETS: ClassVar[dict[str, "FirmwareConfig"]] = {}

    def __post_init__(self):
        check(self)
        _accumulator_words(self)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers with weights, in order."""
        convs = (f"conv{i + 1}" for i in range(len(self.conv)))
        return (*convs, *(f"dense{i + 1}" for i in range(len(self.hidden))), "output")

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of the dense layers before the last.

        >>> AUTOENCODER.hidden
        (16, 20, 2)
        """
        if not self.distance:
            return self.dense
        groups = len(self.distance)
        rows, columns, _ = self.input_shape
        windows = (rows // self.conv[-1].kernel[0]) * (columns // self.conv[-1].kernel[1])
        behind = (2 * groups, 2)[:groups]
        if self.dense:
            # The rings, and the windows where there is more than one in a ring.
            rings = columns // self.conv[-1].kernel[1]
            return ((1 + windows) * groups, (rings + windows * (windows > rings)) * groups, *behind)
        return (windows * groups, *behind)

    @property
    def squared(self) -> str | None:
        """Name of the layer whose words are signed and leave it squared; None where the network is no distance."""
        return ("dense2" if self.dense else "dense1") if self.distance else None

    @property
    def bend(self) -> tuple[float, float]:
        """Energy of a cell [words] that counts in full, and what the rest counts for, where energies are bent."""
        return KNEE_GEV / self.energy_lsb_gev, 2.0**-SLOPE_BITS

    def activation(self, layer: str) -> str:
        """Name of what rounds a layer's sums to its words."""
        if layer == "output":
            return "output_word"
        return f"{layer}_word" if layer == self.squared else f"{layer}_relu"

    @property
    def pooling(self) -> PoolingConfig:
        """How images become counts."""
        return PoolingConfig(self.pool, self.inputs, self.energy_lsb_gev)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one event's counts, (phi, eta, inputs)."""
        return self.pooling.shape

    def check_windows(self) -> None:
        """Raise InputError where a convolution leaves cells out: the network would not see the tracks in there.

        >>> FirmwareConfig().check_windows()
        >>> FirmwareConfig(conv=(ConvConfig(4, (4, 4), (4, 4)),), precision={}).check_windows()
        Traceback (most recent call last):
            ...
        codae_l1.data.base.errors.InputError: firmware.conv: conv1 of 4 x 4 by 4 x 4 never reads 78 of 270 cells; \
expected windows that fill the grid; take a kernel and stride that do, such as 3 x 3 by 3 x 3 of 18 x 15 cells
        """
        for (name, size), conv in zip(layer_sizes(self).items(), self.conv, strict=False):
            if size.read < size.given:
                kernel, stride = (" x ".join(map(str, pair)) for pair in (conv.kernel, conv.stride))
                unread = f"{size.given - size.read} of {size.given} cells"
                raise InputError(
                    f"firmware.conv: {name} of {kernel} by {stride} never reads {unread}",
                    "windows that fill the grid",
                    "take a kernel and stride that do, such as 3 x 3 by 3 x 3 of 18 x 15 cells",
                )

    def check_score(self, sign: Any, component: Any) -> tuple[int, int]:
        """Sign and component; InputError unless sign * output word[component] is a score: a sign, and one output."""
        whole = all(isinstance(value, Integral) and not isinstance(value, bool) for value in (sign, component))
        if not whole or sign not in (1, -1) or not 0 <= component < self.outputs:
            raise InputError(
                f"sign {sign!r}, component {component!r}",
                f"sign 1 or -1, component 0 to {self.outputs - 1}",
                "correct them",
            )
        return sign, component

    def layer_precision(self, name: str) -> LayerPrecision:
        """Precision of a layer, the default one where the config does not name it."""
        defaults = (_AUTOENCODER if self.dense else _DISTANCE) if self.distance else {}
        if self.distance and len(self.conv) > 1:
            defaults = {**defaults, **_BENT}
        return self.precision.get(name, defaults.get(name, LayerPrecision()))

    @property
    def weight_types(self) -> dict[str, WordType]:
        """Word type of each array of weights, keys "conv1.kernel", "conv1.bias", ..."""
        types = (self.layer_precision(name).weight_types(name) for name in self.layers)
        return {key: word for of_layer in types for key, word in of_layer.items()}

    @classmethod
    def stored(cls, table: Any) -> "FirmwareConfig":
        """The config of a file of weights; InputError where a key is missing, whose default need not be the network's.

        Files of before there was `distance` have none.
        """
        config = parse(cls, table, "firmware")
        missing = _missing(dump(config), {"distance": [], **table})
        if missing:
            raise InputError(f"key firmware.{missing} is missing", "it in every file of weights", "train it again")
        return config

    def layer_output(self, name: str) -> WordType:
        """Word type of what leaves a layer (after its ReLU, its square or the output quantizer)."""
        precision = self.layer_precision(name)
        if name == self.squared:
            return precision.square_word
        return precision.output_word if name == "output" else precision.relu_word


def _missing(whole: Any, table: Any) -> str:
    """The first key of a dumped config, dotted, that a table does not have; empty where it has all.

    >>> _missing({"a": 1, "b": [{"c": 2}]}, {"a": 1, "b": [{}]})
    'b[0].c'
    """
    if isinstance(whole, list):
        found = ((f"[{i}]", _missing(value, table[i])) for i, value in enumerate(whole))
        return next((f"{name}.{rest}" for name, rest in found if rest), "")
    for key in whole if isinstance(whole, dict) else ():
        if key not in table:
            return key
        if rest := _missing(whole[key], table[key]):
            return f"{key}{'' if rest.startswith('[') else '.'}{rest}"
    return ""


def input_word(config: FirmwareConfig) -> WordType:
    """Word type of a pooled count; larger counts saturate.

    >>> str(input_word(FirmwareConfig()))
    'ap_ufixed<5,5,AP_TRN,AP_SAT>'
    """
    return WordType(False, config.count_bits, 0, "TRN", "SAT")


def output_word(config: FirmwareConfig) -> WordType:
    """Word type of each output component."""
    return config.layer_output("output")


@dataclass(frozen=True)
class _LayerSize:
    """One layer with weights, as the configuration alone fixes it.

    kernel: shape, (phi, eta, in, out) or (in, out). cells: windows that the kernel is applied to. channels: of the
    values read, each of which a tied kernel gives one weight. given: cells that there are. read: those in a window.
    """

    kernel: tuple[int, ...]
    cells: int
    channels: int
    given: int = 1
    read: int = 1

    @property
    def inputs(self) -> int:
        """Number of values that one output adds up."""
        return prod(self.kernel[:-1])

    @property
    def outputs(self) -> int:
        """Number of values given, over all cells."""
        return self.cells * self.kernel[-1]

    @property
    def products(self) -> int:
        """Number of products of a weight and a value per event."""
        return self.inputs * self.outputs


def layer_sizes(config: FirmwareConfig) -> dict[str, _LayerSize]:
    """Size of each layer with weights, in order.

    >>> {name: size.kernel for name, size in layer_sizes(FirmwareConfig()).items()}
    {'conv1': (3, 3, 1, 12), 'output': (360, 1)}
    """
    (rows, columns, channels), found = config.input_shape, {}
    for name, conv in zip(config.layers, config.conv, strict=False):
        kernel, given = (*conv.kernel, channels, conv.filters), rows * columns
        rows = (rows - conv.kernel[0]) // conv.stride[0] + 1
        columns = (columns - conv.kernel[1]) // conv.stride[1] + 1
        if min(rows, columns) < 1:
            raise InputError(f"firmware.conv: {name} leaves no cell", "at least one", "take a smaller kernel")
        # Of each axis the windows read their own side, and before that as much as they advance, or leave gaps.
        read = prod((n - 1) * min(k, s) + k for n, k, s in zip((rows, columns), conv.kernel, conv.stride, strict=True))
        found[name] = _LayerSize(kernel, rows * columns, channels, given, read)
        channels = conv.filters
    widths = (rows * columns * channels, *config.hidden, config.outputs)
    for name, kernel in zip(config.layers[len(config.conv) :], pairwise(widths), strict=True):
        found[name] = _LayerSize(kernel, 1, channels)
        channels = 1
    return found


def _accumulator_words(config: FirmwareConfig) -> dict[str, WordType]:
    """Word type of each layer's sums before rounding; InputError where float32 could not hold them exactly."""
    word, found = input_word(config), {}
    for name, size in layer_sizes(config).items():
        where = f"firmware.precision.{name}"
        config.layer_precision(name).check(where, name in ("output", config.squared))
        found[name] = exact_accumulator(where, size.inputs, word, config.layer_precision(name))
        word = config.layer_output(name)
    return found


# Bits of a distance's layers that are not named.
_DISTANCE = {
    "conv1": LayerPrecision(weight_bits=2, output_bits=7),
    "dense1": LayerPrecision(weight_bits=6, output_bits=7),
    "dense2": LayerPrecision(weight_bits=5, output_bits=11),
    "dense3": LayerPrecision(weight_bits=2, output_bits=11),
    "output": LayerPrecision(weight_bits=2, output_bits=12),
}
_AUTOENCODER = {
    "conv1": LayerPrecision(weight_bits=2, output_bits=7),
    "dense1": LayerPrecision(weight_bits=6, output_bits=9),
    "dense2": LayerPrecision(weight_bits=7, output_bits=8),
    "dense3": LayerPrecision(weight_bits=2, output_bits=11),
    "dense4": LayerPrecision(weight_bits=2, output_bits=11),
    "output": LayerPrecision(weight_bits=2, output_bits=12),
}
# Where energies are bent, windows are the second convolution.
_BENT = {"conv1": LayerPrecision(weight_bits=2 + SLOPE_BITS, output_bits=4), "conv2": _DISTANCE["conv1"]}
# How far a crossing's tracks, in windows of 24 x 12 towers, lie from those of zero bias.
DISTANCE = FirmwareConfig(
    conv=(ConvConfig(1, (6, 3), (6, 3)),),
    distance=(("tracks",),),
    precision={name: _DISTANCE[name] for name in ("conv1", "dense1", "dense2", "output")},
)
# The trigger network of a run: the same windows, and what an auto-encoder of zero bias leaves of them and of the rings.
AUTOENCODER = FirmwareConfig(
    conv=DISTANCE.conv,
    dense=(1,),
    distance=DISTANCE.distance,
    precision={name: _AUTOENCODER[name] for name in ("conv1", "dense1", "dense2", "dense3", "output")},
)
FirmwareConfig.PRESETS |= {"autoencoder": AUTOENCODER, "distance": DISTANCE, "distilled": FirmwareConfig()}
