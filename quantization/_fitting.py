"""Least-squares training of small networks, reproducible by seed: Adam, a half-cosine rate, and its own shuffling."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Schedule:
    """steps: number of batches of `batch_size` events. learning_rate: rate of the first step. seed: fixes the order."""

    steps: int
    learning_rate: float
    batch_size: int = 128
    seed: int = 0


def fit(
    model: "keras.Model",
    inputs: np.ndarray,
    targets: np.ndarray,
    schedule: Schedule,
    progress: Progress | None = None,
) -> list[float]:
    """Train by mean squared error; the rate falls to zero as half a cosine. Returns the mean loss of each tenth.

    inputs: (N, phi, eta, 1) float32. targets: (N, outputs) float32.
    """
    import keras
    import tensorflow as tf

    steps, batch_size = schedule.steps, min(schedule.batch_size, len(inputs))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(schedule.learning_rate, steps))
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    history, tenth = [], -(-steps // 10)
    batches = _batches(len(inputs), batch_size, np.random.default_rng(schedule.seed))
    for start in range(0, steps, tenth):
        part = [float(step(inputs[i], targets[i])) for i in islice(batches, min(tenth, steps - start))]
        history.append(float(np.mean(part)))
        if not np.isfinite(history[-1]):
            raise InputError(f"loss {history[-1]} by step {start + len(part)}", "a finite loss", "lower the rate")
        if progress:
            progress(start + len(part), steps, f"loss {history[-1]:.4f}")
    return history


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless index batches (size,): one shuffled pass after another, what is left of a pass dropped."""
    while True:
        yield from rng.permutation(n)[: n // size * size].reshape(-1, size)
