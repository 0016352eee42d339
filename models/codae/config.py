"""Sizes and layers of a CoDAE or CoDVAE, and the named presets. This module does not import Keras."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import N_ETA, N_PHI

# Slope of the leaky ReLU below zero (arXiv:2306.12955).
LEAKY_SLOPE = 0.2
# What follows a convolution (models/codae/swaps.py).
Norm = Literal["instance", "batch", "none"]
# (phi, eta, channel) of the mask: 1 where the track channel is above zero.
MASK_SHAPE = (N_PHI, N_ETA, 1)
# Numbers that f_m gives: the scores read z0 and z1.
Z_M_SIZE = 2
# Rows and columns of z_R: four halvings of 72 x 58, rounded up.
LATENT_GRID = (5, 4)
# Pixels per side of a block of the score block_power: 60 degrees in phi, 1.05 in eta, about the size of an R = 0.5 jet.
BLOCK = 12
# Names of the scores of a CoDAE (models/codae/scores.py), in their order.
SCORES = (
    *("z0", "z1", "z_sum", "z_difference", "z_norm", "z0_over_norm", "z1_over_norm"),
    *("z_r_norm", "mse", "bce", "dice", "missed", "invented", "block_power"),
)
# Additional scores of a CoDVAE.
CODVAE_SCORES = ("kl", "elbo", "entropy", "temperature")


@dataclass(frozen=True)
class CategoricalConfig:
    """What makes a CoDAE a categorical CoDVAE: each cell of z_R is a relaxed one-hot of latent_channels classes.

    components: number of components of the prior's mixture in each cell. samples: number of Monte-Carlo samples of the
    KL. kl_weight: weight of the KL in the loss, where it is summed over the cells (the published code averages it over
    the cells and again over the batch, which is a weight of 1 / (20 x 128) here).
    """

    components: int = 5
    samples: int = 10
    kl_weight: float = 1.0

    def __post_init__(self):
        if self.components < 1 or self.samples < 1 or not 0 <= self.kl_weight < float("inf"):
            raise InputError(
                f"model.categorical = {dump(self)}",
                "components and samples >= 1, a finite kl_weight >= 0",
                "correct it",
            )


@dataclass(frozen=True)
class SwapConfig:
    """The layers of both encoders.

    norm: normalization after each convolution. slope: slope of its ReLU below zero, 0 for a plain ReLU.
    pooling: how a level of f_m halves its grid: max pool 3x3 of stride 2 ("overlapping"), max pool 2x2 ("2x2"), or the
    convolution's own stride ("strided"). The default is the published encoder.
    """

    norm: Norm = "instance"
    slope: float = LEAKY_SLOPE
    pooling: Literal["overlapping", "2x2", "strided"] = "overlapping"

    def __post_init__(self):
        if not 0 <= self.slope < 1:
            raise InputError(f"model.swaps.slope = {self.slope}", "a number from 0 up to 1", "correct it")


# Channels, groups and blocks of a level: more of them fit into no memory.
MOST = 8192


@dataclass(frozen=True)
class CoDAEConfig:
    """Sizes of a CoDAE, one entry per level; a level halves (encoders) or doubles (decoder) the grid.

    *_filters: channels per level. *_groups: groups of the level's first convolution. *_residuals: number of residual
    blocks after it, whose convolutions have `residual_groups` groups. latent_channels: number of channels of z_R.
    swaps: layers of both encoders. categorical: if it is given, the model is a CoDVAE.
    """

    PRESETS: ClassVar[Mapping[str, "CoDAEConfig"]] = {}
    REMOVED: ClassVar[Mapping[str, Any]] = {"z_m_size": 2, "output_bias": -1.0}

    f_m_filters: tuple[int, ...] = (64, 128, 128, 256)
    f_m_groups: tuple[int, ...] = (1, 2, 2, 2)
    f_r_filters: tuple[int, ...] = (64, 128, 128, 256)
    f_r_groups: tuple[int, ...] = (1, 4, 4, 4)
    f_r_residuals: tuple[int, ...] = (1, 1, 1, 1)
    decoder_filters: tuple[int, ...] = (256, 128, 128, 64)
    decoder_groups: tuple[int, ...] = (1, 4, 4, 4)
    decoder_residuals: tuple[int, ...] = (1, 1, 1, 1)
    residual_groups: int = 4
    latent_channels: int = 64
    swaps: SwapConfig = field(default_factory=SwapConfig)
    categorical: CategoricalConfig | None = None

    def __post_init__(self):
        for name, value in dump(self).items():
            if name in ("swaps", "categorical"):
                continue
            if isinstance(value, list) and len(value) != 4:
                raise InputError(
                    f"model.{name} with {len(value)} levels", "4 levels (72 x 58 -> 5 x 4)", f"correct {name}"
                )
            least = 0 if name.endswith("_residuals") else 1
            numbers = value if isinstance(value, list) else [value]
            if min(numbers) < least:
                raise InputError(f"model.{name} = {value}", f"numbers >= {least}", f"correct {name}")
            if max(numbers) > MOST:
                raise InputError(f"model.{name} = {value}", f"numbers <= {MOST}", f"correct {name}")
        for part, first in (("f_m", 1), ("f_r", 1), ("decoder", self.latent_channels)):
            self._check_groups(part, first)

    def _check_groups(self, part: str, channels: int) -> None:
        """Groups divide the channels that enter and leave a convolution; `channels` enter the first level."""
        filters, groups = getattr(self, f"{part}_filters"), getattr(self, f"{part}_groups")
        residuals = getattr(self, f"{part}_residuals", (0,) * len(filters))
        for level, (inputs, outputs) in enumerate(pairwise((channels, *filters))):
            if inputs % groups[level] or outputs % groups[level]:
                raise InputError(
                    f"model.{part}_groups[{level}] = {groups[level]} for {inputs} -> {outputs} channels",
                    "a divisor of both",
                    f"correct {part}_groups or {part}_filters",
                )
            if residuals[level] and outputs % self.residual_groups:
                raise InputError(
                    f"model.residual_groups = {self.residual_groups} for {outputs} channels of {part}_filters[{level}]",
                    "a divisor of them",
                    f"correct residual_groups or {part}_filters",
                )


# As published: 270,594 + 612,032 + 763,841 parameters.
PAPER = CoDAEConfig()
# For two cores: 247,155 parameters, about 3.2 ms of CPU time per event and training step.
COMPACT = CoDAEConfig(
    f_m_filters=(4, 8, 8, 16),
    f_m_groups=(1, 1, 1, 1),
    f_r_filters=(8, 16, 32, 64),
    f_r_groups=(1, 1, 1, 1),
    f_r_residuals=(0, 0, 0, 1),
    decoder_filters=(64, 32, 16, 4),
    decoder_groups=(1, 1, 1, 1),
    decoder_residuals=(1, 0, 0, 0),
    residual_groups=1,
    latent_channels=64,
)
# For tests: 1,355 parameters.
TINY = CoDAEConfig(
    f_m_filters=(2, 2, 2, 2),
    f_m_groups=(1, 1, 1, 1),
    f_r_filters=(2, 2, 4, 4),
    f_r_groups=(1, 1, 1, 1),
    f_r_residuals=(0, 0, 0, 0),
    decoder_filters=(4, 4, 2, 2),
    decoder_groups=(1, 1, 1, 1),
    decoder_residuals=(0, 0, 0, 0),
    residual_groups=1,
    latent_channels=2,
)

CoDAEConfig.PRESETS = {"paper": PAPER, "compact": COMPACT, "tiny": TINY}
