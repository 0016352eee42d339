"""What a config of the trigger network is refused for, by the dotted path of its key: sizes, and bits of its layers."""

import math
from typing import TYPE_CHECKING

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import PoolingConfig
from codae_l1.quantization.f_m.precision import MOST_OUTPUT_BITS

if TYPE_CHECKING:
    from codae_l1.quantization.f_m.config import FirmwareConfig

# Energy of a cell [GeV] that counts in full where energies are bent, and bits by which the rest is shifted.
KNEE_GEV, SLOPE_BITS = 8.0, 3
# Filters, units and sides of windows: no FPGA holds a layer of more.
_MOST = 4096
# The largest of more distances would need a layer for each.
_MOST_GROUPS = 2
# Bits of an auto-encoder's residuals: their squares are tables.
_MOST_SQUARED = 9
# The fewest bits that the words of a distance's layers make sense with.
_FEWEST_BITS = {"dense1": 5, "dense2": 8, "dense3": 8, "output": 9}


def check(config: "FirmwareConfig") -> None:
    """Raise InputError unless sizes and bits make a network; what its sums need of them is not looked at."""
    _check_sizes(config)
    if config.distance:
        _check_distance(config)
        _check_bits(config)
    _check_layers(config)


def _check_sizes(config: "FirmwareConfig") -> None:
    """Raise InputError with the dotted path where a size is not positive or the pool does not fit the grid."""
    sizes = {"count_bits": config.count_bits, "outputs": config.outputs}
    for i, conv in enumerate(config.conv):
        sizes[f"conv[{i}].filters"] = conv.filters
        for key in ("kernel", "stride"):
            pair = getattr(conv, key)
            if len(pair) != 2:
                raise InputError(f"firmware.conv[{i}].{key} = {list(pair)}", "two numbers (phi, eta)", "write two")
            sizes[f"conv[{i}].{key}"] = min(pair)
    sizes |= {f"dense[{i}]": units for i, units in enumerate(config.dense)}
    for key, value in sizes.items():
        if value < 1:
            raise InputError(f"firmware.{key} = {value}", "a number >= 1", "correct it")
        if value > _MOST:
            raise InputError(f"firmware.{key} = {value}", f"at most {_MOST}", "correct it")
    if config.count_bits > MOST_OUTPUT_BITS:
        raise InputError(f"firmware.count_bits = {config.count_bits}", f"at most {MOST_OUTPUT_BITS} bits", "correct it")
    PoolingConfig(config.pool, config.inputs, config.energy_lsb_gev)


def _check_distance(config: "FirmwareConfig") -> None:
    """Raise InputError, with the dotted path, unless the sizes make a distance."""

    def refuse(what: str, expected: str) -> InputError:
        return InputError(
            f"firmware.distance with {what}", expected, 'correct it, or set firmware.preset = "distilled"'
        )

    named = [name for group in config.distance for name in group]
    if sorted(named) != sorted(config.inputs) or not all(config.distance) or len(config.distance) > _MOST_GROUPS:
        groups = [list(group) for group in config.distance]
        raise InputError(
            f"firmware.distance = {groups} of firmware.inputs = {list(config.inputs)}",
            f"one or {_MOST_GROUPS} groups that hold each input once",
            'correct them, or set firmware.preset = "distilled"',
        )
    if len(config.conv) not in (1, 2):
        raise refuse(f"{len(config.conv)} convolutions", "one, whose windows it adds up, or one before it that bends")
    if len(config.conv) > 1:
        _check_bend(config)
    if config.dense not in ((), (1,)) or config.outputs != 1:
        raise refuse(
            f"dense = {list(config.dense)}, outputs = {config.outputs}",
            "dense = [], or [1] for the unit of an auto-encoder's encoder, and one output",
        )
    if config.dense and (bits := config.layer_precision("dense2").output_bits) > _MOST_SQUARED:
        # As the precision of a distance has it for a layer that is not squared.
        raise InputError(
            f"firmware.dense = {list(config.dense)} of a distance, whose dense2 would square words of {bits} bits",
            f"at most {_MOST_SQUARED} bits",
            'set firmware.preset = "distilled", or "autoencoder" for the error of an auto-encoder',
        )
    last, (rows, columns, _) = len(config.conv) - 1, config.input_shape
    conv = config.conv[last]
    if config.dense and columns < 2 * conv.kernel[1]:
        raise refuse(f"dense = [1] and a kernel of {conv.kernel[1]} columns", f"two rings in {columns} columns")
    if conv.filters != len(config.distance):
        raise refuse(f"conv[{last}].filters = {conv.filters}", f"a filter for each group, {len(config.distance)}")
    if tuple(conv.kernel) != tuple(conv.stride) or rows % conv.kernel[0] or columns % conv.kernel[1]:
        kernel, stride = (" x ".join(map(str, pair)) for pair in (conv.kernel, conv.stride))
        raise refuse(
            f"conv[{last}] of {kernel} by {stride}", f"windows that fill {rows} x {columns} cells and do not overlap"
        )


def _check_bend(config: "FirmwareConfig") -> None:
    """Raise InputError, with the dotted path, unless the first of two convolutions can bend the energies of cells."""
    conv, groups = config.conv[0], len(config.distance)
    if (conv.filters, *conv.kernel, *conv.stride) != (2 * groups, 1, 1, 1, 1):
        kernel, stride = (" x ".join(map(str, pair)) for pair in (conv.kernel, conv.stride))
        raise InputError(
            f"firmware.conv[0] of {conv.filters} filters of {kernel} by {stride} before the windows of a distance",
            f"{2 * groups} of 1 x 1 by 1 x 1, which bend the energies of a cell",
            "correct it, or leave it out",
        )
    if "tracks" in config.inputs or not config.bend[0].is_integer():
        raise InputError(
            f"firmware.conv[0], which bends energies above {KNEE_GEV:g} GeV, of {', '.join(config.inputs)} in steps of "
            f"{config.energy_lsb_gev:g} GeV",
            f"energies alone, in steps of {KNEE_GEV:g} GeV at most",
            "leave it out, or take other inputs",
        )
    # A word holds what is missing to the knee, and what the largest energy counts for above it.
    largest, (knee, slope) = max(map(len, config.distance)) * (2**config.count_bits - 1), config.bend
    bend, most = config.layer_precision("conv1"), math.ceil(max(knee, (largest - knee) * slope)).bit_length()
    for key, fewest in (("weight_bits", 2 + SLOPE_BITS), ("output_bits", most)):
        if (bits := getattr(bend, key)) < fewest:
            path = f"firmware.precision.conv1.{key}"
            raise InputError(f"{path} = {bits} of bent energies", f"at least {fewest}", "take more bits")


def _check_bits(config: "FirmwareConfig") -> None:
    """Raise InputError where a distance's words are too coarse to hold its score."""
    # The counts pass through the first dense layer of an auto-encoder.
    passing = {
        "dense1": config.layer_precision(f"conv{len(config.conv)}").output_bits,
        "dense2": 5,
        "dense3": 8,
        "dense4": 8,
        "output": 9,
    }
    for name, fewest in (passing if config.dense else _FEWEST_BITS).items():
        bits = config.layer_precision(name).output_bits
        if name in config.layers and bits < fewest:
            path = f"firmware.precision.{name}.output_bits"
            raise InputError(f"{path} = {bits} of a distance", f"at least {fewest}", "take more bits")


def _check_layers(config: "FirmwareConfig") -> None:
    """Raise InputError where bits are of a layer that the network does not have, by its name or by its sizes."""
    unknown = [name for name in config.precision if name not in config.layers]
    if not unknown:
        return
    layers = ", ".join(config.layers)
    if not any(unknown[0] in preset.precision for preset in config.PRESETS.values()):
        raise InputError(f"firmware.precision.{unknown[0]}", f"one of {layers}", "rename or remove it")
    # A preset's bits, which the table need not name, stay where its sizes are changed.
    groups, like = [list(group) for group in config.distance], "distilled"
    if groups:
        like = "autoencoder" if config.dense else "distance"
    start = f'set firmware.preset = "{like}", or ' if unknown[0] not in config.PRESETS[like].precision else ""
    raise InputError(
        f"firmware.distance = {groups}, dense = {list(config.dense)} make layers {layers}, "
        f"but firmware.precision is of {', '.join(unknown)}, too",
        "bits of these layers alone",
        f"{start}write a whole table firmware.precision",
    )
