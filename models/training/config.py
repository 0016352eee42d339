"""How a network is trained. This module does not import Keras; the loop is in models/training/loop.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from codae_l1.data.base.errors import InputError


@dataclass(frozen=True)
class TrainingConfig:
    """How to train: AdamW on the BCE summed over pixels (arXiv:2306.12955: 30 epochs, batch 128, constant rate).

    learning_rate: falls by a half cosine to `final_rate` times its value; a final_rate of 1 keeps it constant.
    weight_decay, beta_2: parameters of AdamW.
    augment: flip each event in eta and roll it in phi at random in each epoch; for calorimeter images only. Events that
    do not fill the last batch of an epoch are left out of it; each epoch shuffles the events anew.
    tensorboard: also write the curves for TensorBoard (extra `tensorboard`).
    deterministic: the same bits on every processor, by one code path and one thread, on no GPU (docs/training.md);
    whoever imports TensorFlow sets it, as the commands do.
    """

    PRESETS: ClassVar[Mapping[str, "TrainingConfig"]] = {}
    REMOVED: ClassVar[Mapping[str, Any]] = {"precision": "float32", "xla": False, "distribute": "none", "clipnorm": 1.0}

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 1e-3
    final_rate: float = 1.0
    weight_decay: float = 1e-4
    beta_2: float = 0.999
    augment: bool = True
    tensorboard: bool = False
    deterministic: bool = False

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            self._require(name, getattr(self, name) >= 1, "a number >= 1")
        self._require("learning_rate", 0 < self.learning_rate < float("inf"), "a finite number above zero")
        for name in ("final_rate", "weight_decay"):
            self._require(name, 0 <= getattr(self, name) < float("inf"), "a finite number >= 0")
        self._require("beta_2", 0 <= self.beta_2 < 1, "a number >= 0 below 1")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"training.{name} = {getattr(self, name)}", expected, "correct it")


# For the compact model on two cores and about 6,000 events.
COMPACT_TRAINING = TrainingConfig(epochs=10, batch_size=32, learning_rate=4e-3, final_rate=0.05, deterministic=True)

TrainingConfig.PRESETS = {"paper": TrainingConfig(), "compact": COMPACT_TRAINING}
