"""Quantization-aware training through the decoder, for f_m in situ and for the whole encoders."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import N_ETA
from codae_l1.data.pooling import PoolingConfig
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.codae.scores import codae_scores, orientations
from codae_l1.quantization.config import Training

# Deviation of a component of z_m that does not vary: it is then learned as a constant.
SMALLEST_DEVIATION = 1e-3


@keras.saving.register_keras_serializable(package="codae_l1")
class PooledCounts(keras.layers.Layer):
    """Mask (N, 72, 58, 1) of 0 and 1 -> counts (N, 18, 15, 1) float32, equal to data/pooling.py; saturating words.

    >>> PooledCounts(count_bits=3)(np.ones((1, 72, 58, 1), "float32")).numpy()[0, 0, :2, 0].tolist()
    [7.0, 7.0]
    """

    def __init__(self, pool: int = 4, count_bits: int = 5, **kwargs: Any):
        super().__init__(**kwargs)
        self.pool, self.count_bits = pool, count_bits

    def call(self, mask: Any) -> Any:
        """Sum windows of the padded mask; sums of 0 and 1 are exact."""
        rows, columns = PoolingConfig(self.pool).shape[:2]
        side = (columns * self.pool - N_ETA) // 2
        padded = keras.ops.pad(keras.ops.cast(mask, "float32"), ((0, 0), (0, 0), (side, side), (0, 0)))
        windows = keras.ops.reshape(padded, (-1, rows, self.pool, columns, self.pool, 1))
        return keras.ops.minimum(keras.ops.sum(windows, axis=(2, 4)), float((1 << self.count_bits) - 1))

    def get_config(self) -> dict[str, Any]:
        """Window and width."""
        return {**super().get_config(), "pool": self.pool, "count_bits": self.count_bits}


def fit_in_situ(
    whole: CoDAE,
    parts: Sequence[str],
    masks: np.ndarray,
    training: Training,
    rng: np.random.Generator,
) -> list[float]:
    """Train parts ("f_m", "f_r") of a CoDAE or CoDVAE by its own loss on QCD masks; mean BCE of each epoch.

    Adam, half-cosine rate, augmented batches. With in_situ.train_decoder all parts move; those that do not stay as they
    are, moving statistics of norms included.
    """
    import tensorflow as tf

    config, epochs = training.in_situ, training.in_situ.epochs
    n = min(config.events, len(masks))
    size = min(config.batch_size, n)
    steps = n // size
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, max(epochs * steps, 1))
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)
    parts = ("f_m", "f_r", "decoder") if config.train_decoder else parts
    variables = [v for part in parts for v in getattr(whole, part).trainable_variables]
    optimizer.build(variables)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(mask: Any, seed: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            terms = whole.objective(mask, training=True, seed=seed)
            loss = tf.reduce_mean(sum(terms.values()))
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return tf.reduce_mean(terms["bce"])

    history = []
    with _frozen(whole, parts):
        for epoch in range(epochs):
            order = rng.permutation(len(masks))[: steps * size].reshape(steps, size)
            batches = (flip_and_roll(masks[np.sort(i)], rng).astype(np.float32) for i in order)
            draws = rng.integers(0, 1 << 31, (steps, 2)).astype(np.int32)
            history.append(float(np.mean([float(step(b, d)) for b, d in zip(batches, draws, strict=True)])))
            if not np.isfinite(history[-1]):
                raise InputError(f"loss {history[-1]} in epoch {epoch + 1}", "a finite loss", "lower the learning_rate")
            if training.progress:
                training.progress(epoch + 1, epochs, f"in situ: BCE {history[-1]:.2f}")
    return history


@contextmanager
def _frozen(whole: CoDAE, parts: Sequence[str]) -> Iterator[None]:
    """Parts that are not named keep their norms' moving statistics meanwhile."""
    others = [getattr(whole, part) for part in ("f_m", "f_r", "decoder") if part not in parts]
    for part in others:
        part.trainable = False
    try:
        yield
    finally:
        for part in others:
            part.trainable = True


def copied(codae: CoDAE) -> CoDAE:
    """A model of its own weights, equal to `codae`."""
    copy = type(codae)(codae.config, codae.seed)
    copy.set_weights(codae.get_weights())
    return copy


def mean_bce(model: CoDAE, masks: np.ndarray) -> float:
    """BCE per event, mean over masks (N, 72, 58, 1)."""
    return float(codae_scores(model, masks)["bce"].mean())


def batched(model: keras.Model, masks: np.ndarray, size: int = 256) -> np.ndarray:
    """Outputs of a model of one output on masks (N, 72, 58, 1), batch after batch."""
    parts = [model.predict_on_batch(masks[i : i + size].astype(np.float32)) for i in range(0, len(masks), size)]
    return np.concatenate(parts)


def choose_component(words: np.ndarray, mse: np.ndarray) -> tuple[int, int, list[float]]:
    """Component whose ranks follow the reconstruction error most on QCD, its sign, and each one's rank correlation.

    words: (N, outputs). mse: (N,). No label enters.

    >>> choose_component(np.array([[1, 9], [1, 5], [1, 2]]), np.array([1.0, 2.0, 3.0]))
    (1, -1, [0.0, -1.0])
    """
    found = [rank_correlation(words[:, i], mse) for i in range(words.shape[1])]
    best = int(np.argmax(np.abs(found)))
    return best, orientations({"mse": mse, "z": words[:, best]})["z"], found


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's, 0 where one of (N,), (N,) does not vary."""
    from scipy.stats import rankdata

    a, b = rankdata(a), rankdata(b)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else 0.0
