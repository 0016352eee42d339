"""The swaps of the published encoders' layers for layers that trigger firmware can have, one by one.

    published layer                      problem in firmware                     swap
    InstanceNorm                         mean, variance and root per event       BatchNorm, folded, or none
    groups 2 or 4                        none in hls4ml 1.3                      one group
    leaky ReLU, slope 0.2                one multiplier per pixel                slope 1/4 (a shift), or ReLU
    max pool 3x3, stride 2, 'same' (f_m) windows overlap: not streamed by hls4ml 2x2, or a stride in the convolution

They change only the two encoders, except for the groups of residual blocks, which the decoder shares; the decoder never
goes into firmware. All swaps but the groups keep the grids and the number of parameters (without a norm there is no
scale and shift).
"""

import dataclasses

from codae_l1.models.codae.config import CoDAEConfig, SwapConfig

# The nearest power of two: a shift in firmware.
SHIFT_SLOPE = 0.25


# What the QKeras encoders are made of (quantization/encoders/network.py); the pooling may also be "2x2", and the slope
# SHIFT_SLOPE.
FIRMWARE = SwapConfig(norm="batch", slope=0.0, pooling="strided")


def _one_group(config: CoDAEConfig) -> CoDAEConfig:
    """The config with plain convolutions in both encoders, its residual blocks and thus the decoder's, too.

    >>> from codae_l1.models.codae.config import PAPER
    >>> _one_group(PAPER).f_r_groups
    (1, 1, 1, 1)
    """
    ones = (1,) * len(config.f_m_groups)
    return dataclasses.replace(config, f_m_groups=ones, f_r_groups=ones, residual_groups=1)


def swap_table(published: CoDAEConfig) -> dict[str, CoDAEConfig]:
    """Name of a row -> config: the published layers, each swap alone, and all of them in two ways.

    published: any sizes; its swaps are ignored.

    >>> from codae_l1.models.codae.config import PAPER
    >>> list(swap_table(PAPER))[:3]
    ['published layers', 'norm: batch', 'norm: none']
    """
    base = dataclasses.replace(published, swaps=SwapConfig())
    alone = {
        "norm: batch": {"norm": "batch"},
        "norm: none": {"norm": "none"},
        "slope: 1/4": {"slope": SHIFT_SLOPE},
        "slope: 0 (ReLU)": {"slope": 0.0},
        "pooling: 2x2": {"pooling": "2x2"},
        "pooling: strided": {"pooling": "strided"},
    }
    rows = {"published layers": base}
    rows |= {name: dataclasses.replace(base, swaps=SwapConfig(**change)) for name, change in alone.items()}
    if _one_group(base) != base:
        rows["groups: 1"] = _one_group(base)
    shift = SwapConfig(norm="batch", slope=SHIFT_SLOPE, pooling="2x2")
    rows["all: batch, 1/4, 2x2, groups 1"] = dataclasses.replace(_one_group(base), swaps=shift)
    rows["all: batch, ReLU, strided, groups 1"] = dataclasses.replace(_one_group(base), swaps=FIRMWARE)
    return rows
