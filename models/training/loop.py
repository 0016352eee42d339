"""Training of a network on arrays of events, resumable: the loop of the CoDAE and of all other systems.

After every epoch the folder holds `checkpoint.npz` (weights, optimizer state, best weights, history), written whole. An
interrupted training resumes from it and gives the numbers of an uninterrupted one, since the order and augmentation of
an epoch follow from the model's seed and the epoch alone. What is trained is a Trainable: a Keras model that knows its
loss, its seed and its configuration.
"""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import parse_table, read_arrays, whole_file, write_json
from codae_l1.data.base.progress import Progress
from codae_l1.data.calorimeter import N_PHI
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.saving import save_model

# Events (N, ...), or a tuple of such arrays: what the model reads, then what it is to find (labels).
Arrays = np.ndarray | tuple[np.ndarray, ...]
# A batch as the objective is to see it: its arrays, a generator, whether it is trained on -> the objective's arguments.
View = Callable[[tuple[np.ndarray, ...], np.random.Generator, bool], tuple[np.ndarray, ...]]
# Longest gradient of a variable; longer ones are shortened to it.
CLIP_NORM = 1.0
CHECKPOINT, BEST, HISTORY, TENSORBOARD = "checkpoint.npz", "best.keras", "history.json", "tensorboard"
# In the place of an epoch, of the generator of evaluation: no epoch has this number.
_EVALUATION = 2**32 - 1
# Rows that are summed at a time.
_ROWS = 4096


class _Trainable(Protocol):
    """What the loop requires of a model, which is also a keras.Model.

    config: frozen dataclass of its sizes. seed: of order, augmentation and what the loss draws. event_shape: of the
    array that it reads, without N. objective(*arrays, training, seed): terms of the loss, which is their sum, name ->
    (N,) float32.
    """

    config: Any
    seed: int
    event_shape: tuple[int, ...]
    variables: Any
    trainable_variables: Any
    objective: Callable[..., dict[str, Any]]


def train(
    model: _Trainable,
    train_events: Arrays,
    validation_events: Arrays,
    config: TrainingConfig,
    folder: Path | str,
    progress: Progress | None = None,
    view: View | None = None,
) -> dict[str, Any]:
    """Train and leave the model at its best validation loss; return the history (also in history.json).

    Events: (N, *model.event_shape), for a CoDAE masks (N, 72, 58, 1) uint8 or bool; with labels, a tuple of both.
    view: what the objective is given of a batch; by default training events are flipped and rolled where
    config.augment is true. Only the model's trainable variables move.

    History: `loss`, `validation_loss` and `learning_rate`, one entry per epoch (losses are means over that epoch's
    events), the same of each term of the loss where it has several (`bce`, `validation_bce`, `kl`, ...), `best_epoch`
    (from 1), `best_validation_loss`.
    """
    train_arrays, validation_arrays = (
        _arrays(model, config, name, events)
        for name, events in (("train", train_events), ("validation", validation_events))
    )
    size, view = min(config.batch_size, len(train_arrays[0])), view or default_view(config)
    state = _State(model, config, Path(folder), _fingerprint(model, config, train_arrays, validation_arrays))
    state.resume()
    step, evaluate = _create_steps(model, state.optimizer, config)
    text = ""
    for epoch in range(len(state.history["loss"]), config.epochs):
        rate = _rate(config, epoch)
        state.optimizer.learning_rate.assign(rate)
        batches = _batches(train_arrays, size, view, model.seed, epoch)
        if progress:
            tell = functools.partial(progress, epoch, config.epochs)
            batches = _told(batches, len(train_arrays[0]) // size, text, tell)
        terms = _mean(step, batches)
        validation = _mean(evaluate, _slices(validation_arrays, size, view, model.seed))
        terms.update({f"validation_{name}": value for name, value in validation.items()})
        if not np.isfinite(list(terms.values())).all():
            raise InputError(
                f"loss {terms['loss']} in epoch {epoch + 1}",
                "a finite loss",
                f"lower learning_rate ({config.learning_rate})",
            )
        state.record({**terms, "learning_rate": rate})
        if progress:
            text = f"loss {terms['loss']:.5g}, validation {terms['validation_loss']:.5g}"
            progress(epoch + 1, config.epochs, text)
    state.restore_best()
    return state.history


def default_view(config: TrainingConfig) -> View:
    """Training events flipped and rolled where config.augment is true; all others as they are."""

    def view(arrays: tuple[np.ndarray, ...], generator: np.random.Generator, training: bool) -> tuple[np.ndarray, ...]:
        return (flip_and_roll(arrays[0], generator), *arrays[1:]) if training and config.augment else arrays

    return view


class _State:
    """Model, optimizer and history, and the file that keeps them together."""

    def __init__(self, model: _Trainable, config: TrainingConfig, folder: Path, fingerprint: dict[str, Any]):
        self.model, self.folder, self.fingerprint = model, folder, fingerprint
        self.optimizer = _create_optimizer(config, model)
        self.history: dict[str, Any] = {"loss": [], "validation_loss": [], "learning_rate": []}
        self.best: list[np.ndarray] = _values(model.variables)
        self.board = _board(folder) if config.tensorboard else None

    def resume(self) -> None:
        """Take up the checkpoint where there is one; refuse one of another configuration or other events."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        remedy = "remove it and train anew"
        arrays = read_arrays(path, "a whole checkpoint", remedy, ("header",))
        header = parse_table(str(arrays["header"]), f"the header of {path}", ("fingerprint", "history"), remedy)
        removed = TrainingConfig.REMOVED.items()
        stored = {name: value for name, value in header["fingerprint"].items() if (name, value) not in removed}
        if stored != self.fingerprint:
            names = {**stored, **self.fingerprint}
            different = [name for name in names if stored.get(name) != self.fingerprint.get(name)]
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
        self._write(best, values)

    def _write(self, best: bool, values: dict[str, float]) -> None:
        if best:
            save_model(self.model, self.folder / BEST)
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


def _create_optimizer(config: TrainingConfig, model: _Trainable) -> Any:
    """AdamW of the model's trainable variables; the step clips each gradient by itself."""
    import keras

    options = {"weight_decay": config.weight_decay, "beta_2": config.beta_2}
    # Keras' own epsilon, unless the model's paper has another.
    options["epsilon"] = getattr(model, "adam_epsilon", 1e-7)
    optimizer = keras.optimizers.AdamW(config.learning_rate, **options)
    optimizer.build(model.trainable_variables)
    return optimizer


def _create_steps(model: _Trainable, optimizer: Any, config: TrainingConfig) -> tuple[Callable, Callable]:
    """Training step and evaluation: arrays of events and weights (n,) -> the loss and its terms, summed."""
    import tensorflow as tf

    variables = model.trainable_variables
    values = [v.value for v in variables]

    @tf.function(reduce_retracing=True, autograph=False)
    def step(*batch: Any) -> dict[str, Any]:
        *arrays, weight = batch
        draw = tf.cast(optimizer.iterations.value, tf.int32)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            terms = model.objective(*arrays, training=True, seed=tf.stack([model.seed, draw + 1]))
            mean = tf.reduce_mean(sum(terms.values()))
        gradients = [tf.clip_by_norm(g, CLIP_NORM) for g in tape.gradient(mean, values)]
        optimizer.apply(gradients, variables)
        return _sums(terms, weight)

    @tf.function(reduce_retracing=True, autograph=False)
    def evaluate(*batch: Any) -> dict[str, Any]:
        *arrays, weight = batch
        return _sums(model.objective(*arrays), weight)

    return step, evaluate


def _sums(terms: dict[str, Any], weight: Any) -> dict[str, Any]:
    """Loss and, of several, its terms: (n,) float32 each -> their weighted sum, float64."""
    import tensorflow as tf

    named = {"loss": sum(terms.values()), **(terms if len(terms) > 1 else {})}
    return {name: tf.reduce_sum(tf.cast(value, tf.float64) * weight) for name, value in named.items()}


def _mean(function: Callable, batches: Iterator[tuple[np.ndarray, ...]]) -> dict[str, float]:
    """Mean loss, and its terms, an event over one epoch: nothing is carried from one epoch to the next."""
    import tensorflow as tf

    total, events = {}, 0.0
    for batch in batches:
        sums = function(*(tf.constant(array) for array in batch))
        total = {name: total.get(name, 0.0) + value for name, value in sums.items()}
        events += batch[-1].sum()
    return {name: float(value / events) for name, value in total.items()}


def _told(
    batches: Iterator[tuple[np.ndarray, ...]], number: int, text: str, tell: Callable[[str], None]
) -> Iterator[tuple[np.ndarray, ...]]:
    """The batches of an epoch; before each it is told how many are done, behind the text of the epoch before."""
    for done, batch in enumerate(batches):
        tell(f"{text}{text and ', '}batch {done} of {number}")
        yield batch


def _batches(
    arrays: tuple[np.ndarray, ...], size: int, view: View, seed: int, epoch: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Views of shuffled batches of an epoch, then weights 1; the seed and the epoch decide all."""
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(arrays[0]))
    for start in range(0, len(order) - size + 1, size):
        batch = tuple(array[np.sort(order[start : start + size])] for array in arrays)
        yield *view(batch, generator, True), np.ones(size)


def _slices(arrays: tuple[np.ndarray, ...], size: int, view: View, seed: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Views of events in order, always the same, and weights 1; the last is filled with empty events of weight 0."""
    generator = np.random.default_rng((seed, _EVALUATION))
    for start in range(0, len(arrays[0]), size):
        batch = view(tuple(array[start : start + size] for array in arrays), generator, False)
        missing = size - len(batch[0])
        weight = (np.arange(size) < size - missing).astype(np.float64)
        yield *(np.pad(a, ((0, missing), *[(0, 0)] * (a.ndim - 1))) for a in batch), weight


def _rate(config: TrainingConfig, epoch: int) -> float:
    """Learning rate of an epoch: half a cosine from learning_rate to final_rate * learning_rate at the last epoch."""
    share = 0.5 * (1 + np.cos(np.pi * epoch / max(config.epochs - 1, 1)))
    return float(config.learning_rate * (config.final_rate + (1 - config.final_rate) * share))


def _values(variables: Any) -> list[np.ndarray]:
    return [v.numpy() for v in variables]


def _arrays(model: _Trainable, config: TrainingConfig, name: str, events: Arrays) -> tuple[np.ndarray, ...]:
    """Events as a tuple of arrays of one length, the first of the shape that the model reads."""
    arrays = events if isinstance(events, tuple) else (events,)
    shape = tuple(model.event_shape)
    if arrays[0].shape[1:] != shape or not len(arrays[0]) or len({len(array) for array in arrays}) > 1:
        raise InputError(
            f"{name} events of shape {' and '.join(str(array.shape) for array in arrays)}",
            f"(N >= 1, {', '.join(map(str, shape))})",
            "make them as the model reads them (a CoDAE: data.pooling.track_mask)",
        )
    if config.augment and shape[0] != N_PHI:
        raise InputError(
            f"training.augment = true for images of {shape[0]} rows", f"{N_PHI} rows, once around", "set it to false"
        )
    return arrays


def _fingerprint(model: _Trainable, config: TrainingConfig, train: tuple, validation: tuple) -> dict[str, Any]:
    """What must be the same for a training to go on."""
    return {
        **{name: value for name, value in dump(config).items() if name != "tensorboard"},
        "model": [dump(model.config), model.seed, [list(v.shape) for v in model.trainable_variables]],
        "train_events": [len(train[0]), *map(_checksum, train)],
        "validation_events": [len(validation[0]), *map(_checksum, validation)],
    }


def _checksum(array: np.ndarray) -> int:
    """CRC-32 of the rows, a slice at a time: they may be a Spool."""
    found = 0
    for start in range(0, len(array), _ROWS):
        found = crc32(np.ascontiguousarray(array[start : start + _ROWS]).tobytes(), found)
    return found
