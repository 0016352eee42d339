"""Tables `[systems.nae]` and `[systems.inn]`: the systems that give the density of jets."""

# ruff: noqa: RUF009 (frozen dataclasses)

from dataclasses import dataclass

from codae_l1.models.systems._training_table import SystemTraining, require_sizes


@dataclass(frozen=True)
class NaeConfig:
    """steps: of a chain, twice: in the latent space, then in that of images."""

    steps: int = 30

    def __post_init__(self):
        require_sizes("nae", **vars(self))


@dataclass(frozen=True)
class NaeSystemConfig:
    """Sizes as arXiv:2206.14225; there 500 and 200 epochs of batches of 2048, one chain per jet, and a rate of 1e-5."""

    model: NaeConfig = NaeConfig()
    training: SystemTraining = SystemTraining(5, 128, 1e-4)


@dataclass(frozen=True)
class InnConfig:
    """couplings of one hidden layer of `units` each."""

    couplings: int = 24
    units: int = 512

    def __post_init__(self):
        require_sizes("inn", **vars(self))


@dataclass(frozen=True)
class InnSystemConfig:
    """As arXiv:2202.00686, with 50 of its 300 epochs."""

    model: InnConfig = InnConfig()
    training: SystemTraining = SystemTraining(50, 512, 1e-4)
