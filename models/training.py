"""Training of a CoDAE on QCD masks alone, resumable after a kill.

After every epoch the folder holds `checkpoint.npz` (weights, optimizer state, best weights, history), written whole; a
killed training goes on from it and gives the numbers of an undisturbed one, since order and augmentation of an epoch
follow from the model's seed and the epoch alone.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from codae_l1.data.artifact import whole_file, write_json
from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.config import dump
from codae_l1.data.errors import InputError
from codae_l1.models import losses
from codae_l1.models.codae import MASK_SHAPE, CoDAE, save_codae

Progress = Callable[[int, int, str], None]
CHECKPOINT, BEST, HISTORY = "checkpoint.npz", "best.keras", "history.json"


@dataclass(frozen=True)
class TrainingConfig:
    """How to train: AdamW on the BCE summed over pixels (arXiv:2306.12955: 30 epochs, batch 128, constant rate).

    learning_rate falls by a half cosine to `final_rate` times its value; 1 keeps it constant. augment: random eta flip
    and phi roll of each event, each epoch. The events that do not fill the last batch of an epoch wait for another
    epoch's shuffle.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 1e-3
    final_rate: float = 1.0
    weight_decay: float = 1e-4
    clipnorm: float = 1.0
    augment: bool = True

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            self._require(name, getattr(self, name) >= 1, "a number >= 1")
        for name in ("learning_rate", "final_rate", "weight_decay"):
            self._require(name, 0 <= getattr(self, name) < float("inf"), "a finite number >= 0")
        self._require("clipnorm", 0 < self.clipnorm < float("inf"), "a finite number above 0")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"training.{name} = {getattr(self, name)}", expected, "correct it")


# For COMPACT on two cores and about 6,000 events.
COMPACT_TRAINING = TrainingConfig(epochs=10, batch_size=32, learning_rate=4e-3, final_rate=0.05)


def train(
    model: CoDAE,
    train_masks: np.ndarray,
    validation_masks: np.ndarray,
    config: TrainingConfig,
    folder: Path | str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and leave the model at its best validation loss; return the history (also in history.json).

    Masks: (N, 72, 58, 1) uint8 or bool. Only the model's trainable variables move. History: `loss`, `validation_loss`
    and `learning_rate`, one entry an epoch (losses are means over that epoch's events), `best_epoch` (from 1),
    `best_validation_loss`.
    """
    for name, masks in (("train", train_masks), ("validation", validation_masks)):
        if masks.ndim != 4 or masks.shape[1:] != MASK_SHAPE or not len(masks):
            raise InputError(f"{name} masks of shape {masks.shape}", "(N >= 1, 72, 58, 1)", "use scores.track_mask")
    state = _State(model, config, Path(folder), _fingerprint(model, config, train_masks, validation_masks))
    state.resume()
    step, evaluate = _compiled(model, state.optimizer)
    for epoch in range(len(state.history["loss"]), config.epochs):
        rate = _rate(config, epoch)
        state.optimizer.learning_rate.assign(rate)
        loss = _mean(step, _batches(train_masks, config, model.seed, epoch))
        validation_loss = _mean(evaluate, _slices(validation_masks, config.batch_size))
        if not np.isfinite(loss + validation_loss):
            raise InputError(
                f"loss {loss} in epoch {epoch + 1}", "a finite loss", f"lower learning_rate ({config.learning_rate})"
            )
        state.record(loss, validation_loss, rate)
        if progress:
            progress(epoch + 1, config.epochs, f"loss {loss:.2f}, validation {validation_loss:.2f}")
    state.restore_best()
    return state.history


class _State:
    """Model, optimizer and history, and the file that keeps them together."""

    def __init__(self, model: CoDAE, config: TrainingConfig, folder: Path, fingerprint: dict[str, Any]):
        import keras

        self.model, self.folder, self.fingerprint = model, folder, fingerprint
        self.optimizer = keras.optimizers.AdamW(
            config.learning_rate, weight_decay=config.weight_decay, clipnorm=config.clipnorm
        )
        self.optimizer.build(model.trainable_variables)
        self.history: dict[str, Any] = {"loss": [], "validation_loss": [], "learning_rate": []}
        self.best: list[np.ndarray] = _values(model.variables)

    def resume(self) -> None:
        """Take up the checkpoint where there is one; refuse one of another configuration or other events."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            header = json.loads(str(arrays["header"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} cannot be read ({error})", "a whole checkpoint", "remove it and train anew"
            ) from error
        if header["fingerprint"] != self.fingerprint:
            different = [k for k, v in self.fingerprint.items() if header["fingerprint"].get(k) != v]
            raise InputError(
                f"{path} of another training (different: {', '.join(different)})",
                "a folder of the same configuration, events and model",
                "choose a new folder, or remove this one",
            )
        self.history = header["history"]
        for kind, variables in (("model", self.model.variables), ("optimizer", self.optimizer.variables)):
            for i, variable in enumerate(variables):
                variable.assign(arrays[f"{kind}{i}"])
        self.best = [arrays[f"best{i}"] for i in range(len(self.best))]

    def record(self, loss: float, validation_loss: float, rate: float) -> None:
        """Append an epoch; write the best model, then the checkpoint, then the history."""
        for name, value in (("loss", loss), ("validation_loss", validation_loss), ("learning_rate", rate)):
            self.history[name].append(value)
        if validation_loss <= self.history.get("best_validation_loss", np.inf):
            self.history["best_epoch"] = len(self.history["loss"])
            self.history["best_validation_loss"] = validation_loss
            self.best = _values(self.model.variables)
            save_codae(self.model, self.folder / BEST)
        groups = {
            "model": _values(self.model.variables),
            "optimizer": _values(self.optimizer.variables),
            "best": self.best,
        }
        arrays = {f"{kind}{i}": value for kind, values in groups.items() for i, value in enumerate(values)}
        header = json.dumps({"fingerprint": self.fingerprint, "history": self.history})
        with whole_file(self.folder / CHECKPOINT) as temporary:
            np.savez(temporary, allow_pickle=False, header=np.array(header), **arrays)
        write_json(self.folder / HISTORY, self.history)

    def restore_best(self) -> None:
        """Put the weights of the best epoch into the model."""
        for variable, value in zip(self.model.variables, self.best, strict=True):
            variable.assign(value)


def _compiled(model: CoDAE, optimizer: Any) -> tuple[Callable, Callable]:
    """Training step and evaluation: batch (n, 72, 58, 1) -> summed loss of its events."""
    import tensorflow as tf

    variables = model.trainable_variables

    @tf.function(reduce_retracing=True)
    def step(mask: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            loss = losses.bce(mask, model.logits(mask, training=True))
            mean = tf.reduce_mean(loss)
        optimizer.apply(tape.gradient(mean, [v.value for v in variables]), variables)
        return tf.reduce_sum(loss)

    @tf.function(reduce_retracing=True)
    def evaluate(mask: Any) -> Any:
        return tf.reduce_sum(losses.bce(mask, model.logits(mask, training=False)))

    return step, evaluate


def _mean(function: Callable, batches: Iterator[np.ndarray]) -> float:
    """Mean loss an event over one epoch: nothing is carried from one epoch to the next."""
    total, events = 0.0, 0
    for batch in batches:
        total, events = total + float(function(batch)), events + len(batch)
    return total / events


def _batches(masks: np.ndarray, config: TrainingConfig, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Shuffled, augmented batches of an epoch; they depend on the seed and the epoch alone."""
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(masks))
    size = min(config.batch_size, len(masks))
    for start in range(0, len(masks) - size + 1, size):
        batch = masks[np.sort(order[start : start + size])].astype(np.float32)
        yield flip_and_roll(batch, generator) if config.augment else batch


def _slices(masks: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(masks), size):
        yield masks[start : start + size].astype(np.float32)


def _rate(config: TrainingConfig, epoch: int) -> float:
    """Learning rate of an epoch: half a cosine from learning_rate to final_rate * learning_rate at the last epoch."""
    share = 0.5 * (1 + np.cos(np.pi * epoch / max(config.epochs - 1, 1)))
    return float(config.learning_rate * (config.final_rate + (1 - config.final_rate) * share))


def _values(variables: Any) -> list[np.ndarray]:
    return [v.numpy() for v in variables]


def _fingerprint(model: CoDAE, config: TrainingConfig, train_masks: np.ndarray, validation_masks: np.ndarray) -> dict:
    """What must be the same for a training to go on."""
    return {
        **dump(config),
        "model": [dump(model.config), model.seed, [list(v.shape) for v in model.trainable_variables]],
        "train_masks": [len(train_masks), crc32(np.ascontiguousarray(train_masks).tobytes())],
        "validation_masks": [len(validation_masks), crc32(np.ascontiguousarray(validation_masks).tobytes())],
    }
