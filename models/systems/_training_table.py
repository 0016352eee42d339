"""The table `training` of a system's config, `[systems.<name>.training]`."""

from dataclasses import dataclass

from codae_l1.data.base.errors import InputError


def require_sizes(what: str, **sizes: int) -> None:
    """InputError unless all sizes are at least one."""
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{what}'s {name} = {value}", "a number >= 1", f"raise {name}")


@dataclass(frozen=True)
class SystemTraining:
    """epochs of batches of `batch_size` events; learning_rate: in the first of them.

    The optimizer is AdamW; its other settings, and where the rate falls to, are fixed by the class of each system.
    """

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 4e-3

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            self._require(name, getattr(self, name) >= 1, "a number >= 1")
        self._require("learning_rate", 0 < self.learning_rate < float("inf"), "a finite number above zero")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"training.{name} = {getattr(self, name)}", expected, f"correct {name}")


@dataclass(frozen=True)
class _CosineTraining(SystemTraining):
    """final_rate: what the learning rate ends at, as a share of its first value; 1 keeps it, as two papers do."""

    final_rate: float = 0.05

    def __post_init__(self):
        super().__post_init__()
        self._require("final_rate", 0 <= self.final_rate < float("inf"), "a finite number >= 0")


# Two epochs of small batches: a first try, and what tests take.
BRIEF, BRIEF_COSINE = SystemTraining(2, 8, 1e-2), _CosineTraining(2, 8, 1e-2)
