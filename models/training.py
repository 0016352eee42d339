"""Training of a CoDAE or CoDVAE on QCD masks alone, resumable after a kill.

After every epoch the folder holds `checkpoint.npz` (weights, optimizer state, best weights, history), written whole; a
killed training goes on from it and gives the numbers of an undisturbed one, since order and augmentation of an epoch
follow from the model's seed and the epoch alone. CPU, one GPU, several GPUs and several workers take the same code
(models/distribution.py); docs/training.md has the commands.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import numpy as np

from codae_l1.data.artifact import whole_file, write_json
from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.config import dump
from codae_l1.data.errors import InputError
from codae_l1.models.codae import MASK_SHAPE, CoDAE, save_codae
from codae_l1.models.distribution import Distribute, computing_in, create_strategy, is_chief, split

Progress = Callable[[int, int, str], None]
CHECKPOINT, BEST, HISTORY, TENSORBOARD = "checkpoint.npz", "best.keras", "history.json", "tensorboard"


@dataclass(frozen=True)
class TrainingConfig:
    """How to train: AdamW on the BCE summed over pixels (arXiv:2306.12955: 30 epochs, batch 128, constant rate).

    learning_rate falls by a half cosine to `final_rate` times its value; 1 keeps it constant. augment: random eta flip
    and phi roll of each event, each epoch. The events that do not fill the last batch of an epoch wait for another
    epoch's shuffle.

    precision: "bfloat16" computes layers in it; variables, the norms' sums over pixels and losses stay float32 (GPUs,
    and CPUs with AVX512-BF16). xla: compile the step as one kernel (GPUs; slower on CPUs). distribute: over the GPUs of
    this machine or over workers; batch_size is of all together. tensorboard: write curves for it, too (extra
    `tensorboard`).
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 1e-3
    final_rate: float = 1.0
    weight_decay: float = 1e-4
    clipnorm: float = 1.0
    augment: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    xla: bool = False
    distribute: Distribute = "none"
    tensorboard: bool = False

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
    strategy: Any = None,
) -> dict[str, Any]:
    """Train and leave the model at its best validation loss; return the history (also in history.json).

    Masks: (N, 72, 58, 1) uint8 or bool. strategy: of models.distribution, in whose scope the model was made; needed
    where config.distribute is not "none". Only the model's trainable variables move. History: `loss`, `validation_loss`
    and `learning_rate`, one entry an epoch (losses are means over that epoch's events), the same of each term of the
    loss where it has several (`bce`, `validation_bce`, `kl`, ...), `best_epoch` (from 1), `best_validation_loss`.
    """
    for name, masks in (("train", train_masks), ("validation", validation_masks)):
        if masks.ndim != 4 or masks.shape[1:] != MASK_SHAPE or not len(masks):
            raise InputError(f"{name} masks of shape {masks.shape}", "(N >= 1, 72, 58, 1)", "use scores.track_mask")
    strategy = strategy or create_strategy("none")
    size = _batch_size(config, len(train_masks), strategy.num_replicas_in_sync)
    fingerprint = _fingerprint(model, config, train_masks, validation_masks)
    with strategy.scope():
        state = _State(model, config, Path(folder), fingerprint, is_chief(strategy))
    state.resume()
    step, evaluate = create_steps(model, state.optimizer, config, strategy)
    for epoch in range(len(state.history["loss"]), config.epochs):
        rate = _rate(config, epoch)
        state.optimizer.learning_rate.assign(rate)
        terms = _mean(step, strategy, _batches(train_masks, size, config.augment, model.seed, epoch))
        validation = _mean(evaluate, strategy, _slices(validation_masks, size))
        terms.update({f"validation_{name}": value for name, value in validation.items()})
        if not np.isfinite(list(terms.values())).all():
            raise InputError(
                f"loss {terms['loss']} in epoch {epoch + 1}",
                "a finite loss",
                f"lower learning_rate ({config.learning_rate})",
            )
        state.record({**terms, "learning_rate": rate})
        if progress:
            text = f"loss {terms['loss']:.2f}, validation {terms['validation_loss']:.2f}"
            progress(epoch + 1, config.epochs, text)
    state.restore_best()
    return state.history


class _State:
    """Model, optimizer and history, and the file that keeps them together."""

    def __init__(self, model: CoDAE, config: TrainingConfig, folder: Path, fingerprint: dict[str, Any], writes: bool):
        self.model, self.folder, self.fingerprint, self.writes = model, folder, fingerprint, writes
        self.optimizer = create_optimizer(config, model)
        self.history: dict[str, Any] = {"loss": [], "validation_loss": [], "learning_rate": []}
        self.best: list[np.ndarray] = _values(model.variables)
        self.board = _board(folder) if config.tensorboard and writes else None

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

    def record(self, values: dict[str, float]) -> None:
        """Append an epoch; write the best model, then the checkpoint, then the history."""
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        best = values["validation_loss"] <= self.history.get("best_validation_loss", np.inf)
        if best:
            self.history["best_epoch"] = len(self.history["loss"])
            self.history["best_validation_loss"] = values["validation_loss"]
            self.best = _values(self.model.variables)
        if self.writes:
            self._write(best, values)

    def _write(self, best: bool, values: dict[str, float]) -> None:
        if best:
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
        if self.board:
            self.board(len(self.history["loss"]), values)

    def restore_best(self) -> None:
        """Put the weights of the best epoch into the model."""
        for variable, value in zip(self.model.variables, self.best, strict=True):
            variable.assign(value)


def _board(folder: Path) -> Callable[[int, dict[str, float]], None]:
    """Writer of an epoch's values for TensorBoard."""
    import tensorflow as tf

    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise InputError(
            "training.tensorboard = true", "TensorBoard", "pip install tensorboard, or remove the key"
        ) from None
    writer = tf.summary.create_file_writer(str(folder / TENSORBOARD))

    def write(epoch: int, values: dict[str, float]) -> None:
        with writer.as_default(step=epoch):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        writer.flush()

    return write


def create_optimizer(config: TrainingConfig, model: CoDAE) -> Any:
    """AdamW of the model's trainable variables; the step clips, since gradients of replicas are summed before."""
    import keras

    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
    optimizer.build(model.trainable_variables)
    return optimizer


def create_steps(model: CoDAE, optimizer: Any, config: TrainingConfig, strategy: Any) -> tuple[Callable, Callable]:
    """Training step and evaluation: masks and weights (n,) of each replica -> loss and its terms, summed."""
    import tensorflow as tf

    variables = model.trainable_variables
    values = [v.value for v in variables]
    replicas = strategy.num_replicas_in_sync

    def step(mask: Any, weight: Any) -> dict[str, Any]:
        context = tf.distribute.get_replica_context()
        draw = tf.cast(optimizer.iterations.value, tf.int32) * replicas + context.replica_id_in_sync_group
        with tf.GradientTape(watch_accessed_variables=False) as tape, computing_in(model, config.precision):
            tape.watch(values)
            terms = model.objective(mask, training=True, seed=tf.stack([model.seed, draw + 1]))
            mean = tf.reduce_mean(sum(terms.values())) / replicas
        gradients = tape.gradient(mean, values)
        if replicas > 1:
            # The optimizer sums over replicas once more.
            gradients = [g / replicas for g in _clipped(context.all_reduce("sum", gradients), config.clipnorm)]
        else:
            gradients = _clipped(gradients, config.clipnorm)
        optimizer.apply(gradients, variables)
        return _sums(terms, weight)

    def evaluate(mask: Any, weight: Any) -> dict[str, Any]:
        with computing_in(model, config.precision):
            return _sums(model.objective(mask), weight)

    def on_replicas(function: Callable) -> Callable:
        @tf.function(reduce_retracing=True, jit_compile=config.xla)
        def run(mask: Any, weight: Any) -> dict[str, Any]:
            sums = strategy.run(function, args=(mask, weight))
            return {name: strategy.reduce("sum", value, axis=None) for name, value in sums.items()}

        return run

    return on_replicas(step), on_replicas(evaluate)


def _clipped(gradients: list[Any], norm: float) -> list[Any]:
    """Gradients of at most this norm, each by itself."""
    import tensorflow as tf

    return [tf.clip_by_norm(g, norm) for g in gradients]


def _sums(terms: dict[str, Any], weight: Any) -> dict[str, Any]:
    """Loss and, of several, its terms: (n,) float32 each -> their weighted sum, float64."""
    import tensorflow as tf

    named = {"loss": sum(terms.values()), **(terms if len(terms) > 1 else {})}
    return {name: tf.reduce_sum(tf.cast(value, tf.float64) * weight) for name, value in named.items()}


def _mean(function: Callable, strategy: Any, batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Mean loss, and its terms, an event over one epoch: nothing is carried from one epoch to the next."""
    total, events = {}, 0.0
    for mask, weight in batches:
        sums = function(*split(strategy, mask, weight))
        total = {name: total.get(name, 0.0) + value for name, value in sums.items()}
        events += weight.sum()
    return {name: float(value / events) for name, value in total.items()}


def _batch_size(config: TrainingConfig, events: int, replicas: int) -> int:
    """Events a batch, of all replicas together: a multiple of them."""
    size = min(config.batch_size, events)
    if size % replicas:
        raise InputError(
            f"batches of {size} events for {replicas} replicas", "a multiple", "change training.batch_size"
        )
    return size


def _batches(
    masks: np.ndarray, size: int, augment: bool, seed: int, epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Shuffled, augmented batches of an epoch and weights 1; they depend on the seed and the epoch alone."""
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(masks))
    for start in range(0, len(masks) - size + 1, size):
        batch = masks[np.sort(order[start : start + size])]
        yield (flip_and_roll(batch, generator) if augment else batch), np.ones(size)


def _slices(masks: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Masks in order, the last slice filled with empty events of weight 0."""
    for start in range(0, len(masks), size):
        batch = masks[start : start + size]
        weight = np.arange(size) < len(batch)
        yield np.pad(batch, ((0, size - len(batch)), (0, 0), (0, 0), (0, 0))), weight.astype(np.float64)


def _rate(config: TrainingConfig, epoch: int) -> float:
    """Learning rate of an epoch: half a cosine from learning_rate to final_rate * learning_rate at the last epoch."""
    share = 0.5 * (1 + np.cos(np.pi * epoch / max(config.epochs - 1, 1)))
    return float(config.learning_rate * (config.final_rate + (1 - config.final_rate) * share))


def _values(variables: Any) -> list[np.ndarray]:
    return [v.numpy() for v in variables]


def _fingerprint(model: CoDAE, config: TrainingConfig, train_masks: np.ndarray, validation_masks: np.ndarray) -> dict:
    """What must be the same for a training to go on."""
    return {
        **{name: value for name, value in dump(config).items() if name != "tensorboard"},
        "model": [dump(model.config), model.seed, [list(v.shape) for v in model.trainable_variables]],
        "train_masks": [len(train_masks), crc32(np.ascontiguousarray(train_masks).tobytes())],
        "validation_masks": [len(validation_masks), crc32(np.ascontiguousarray(validation_masks).tobytes())],
    }
