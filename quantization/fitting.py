"""Least-squares training of small networks, reproducible by seed: Adam, half-cosine rate, own shuffling."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.errors import InputError

if TYPE_CHECKING:
    import keras

Progress = Callable[[int, int, str], None]


def fit(
    model: "keras.Model",
    inputs: np.ndarray,
    targets: np.ndarray,
    epochs: int,
    learning_rate: float,
    batch_size: int = 512,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[float]:
    """Train by mean squared error; the rate falls to zero as half a cosine. Returns the mean loss of each epoch.

    inputs: (N, phi, eta, 1) float32. targets: (N, outputs) float32.
    """
    import keras
    import tensorflow as tf

    batch_size = min(batch_size, len(inputs))
    steps = len(inputs) // batch_size
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, max(epochs * steps, 1))
    optimizer = keras.optimizers.Adam(schedule)
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    rng, history = np.random.default_rng(seed), []
    for epoch in range(epochs):
        order = rng.permutation(len(inputs))[: steps * batch_size].reshape(steps, batch_size)
        history.append(float(np.mean([float(step(inputs[i], targets[i])) for i in order])))
        if not np.isfinite(history[-1]):
            raise InputError(f"loss {history[-1]} in epoch {epoch + 1}", "a finite loss", "lower the learning rate")
        if progress:
            progress(epoch + 1, epochs, f"loss {history[-1]:.4f}")
    return history
