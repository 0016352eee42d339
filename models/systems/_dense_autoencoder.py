"""A dense auto-encoder of vectors, as the contrastive papers use it: on a representation, or on the objects themselves.

    x (N, D), each number with mean 0 and variance 1 over the background
    x -> [Dense, LeakyReLU] of 256, 128, 64, 32, 16 units -> Dense 5 -> the same mirrored -> Dense D: x'
    loss and score of an event: mean over the numbers of (x - x')^2

Adam, 1e-3, batches of 4096, 100 epochs (AnomalyCLR, arXiv:2301.04660); the standardisation is ours.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from codae_l1.models.training.network import SeededLayers, in_slices

UNITS, BOTTLENECK = (256, 128, 64, 32, 16), 5
# PyTorch's default slope.
SLOPE = 0.01
RATE, BATCH, EPOCHS = 1e-3, 4096, 100
# A number whose standard deviation is below this share of the largest one is divided by that share instead.
LEAST_SCALE = 1e-3


class DenseAutoencoder:
    """The auto-encoder of vectors with D numbers, made by `fit` or `take`."""

    def __init__(self, seed: int = 0):
        self.seed = seed
        self.network: Any = None
        self.mean = self.scale = np.zeros(0)

    def fit(self, x: np.ndarray, epochs: int = EPOCHS) -> list[float]:
        """Train on x (N, D) of the background; mean loss of each epoch."""
        import tensorflow as tf

        self.mean, deviation = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
        self.scale = np.maximum(deviation, LEAST_SCALE * max(deviation.max(), 1e-12))
        self.network = _network(x.shape[1], self.seed)
        data, optimizer = self.standardised(x), keras.optimizers.Adam(RATE)
        variables = self.network.trainable_variables
        values = [v.value for v in variables]
        optimizer.build(variables)

        @tf.function(reduce_retracing=True, autograph=False)
        def step(batch: Any) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(values)
                loss = ops.mean(ops.square(batch - self.network(batch)))
            optimizer.apply(tape.gradient(loss, values), variables)
            return loss

        history = []
        for epoch in range(epochs):
            order = np.random.default_rng((self.seed, epoch)).permutation(len(data))
            batches = np.split(order, range(BATCH, len(data), BATCH))
            losses = [float(step(tf.constant(data[batch]))) for batch in batches]
            history.append(float(np.average(losses, weights=[len(batch) for batch in batches])))
        return history

    def errors(self, x: np.ndarray) -> np.ndarray:
        """Score of x (N, D): (N,) float64."""
        found = in_slices(lambda v: ops.mean(ops.square(v - self.network(v)), axis=-1), self.standardised(x))
        return found.astype(np.float64)

    def arrays(self) -> dict[str, np.ndarray]:
        """All its numbers by name."""
        weights = {f"weight{i}": v.numpy() for i, v in enumerate(self.network.trainable_variables)}
        return {"mean": self.mean, "scale": self.scale, **weights}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the auto-encoder whose arrays these are."""
        self.mean, self.scale = arrays["mean"], arrays["scale"]
        self.network = _network(len(self.mean), self.seed)
        for i, variable in enumerate(self.network.trainable_variables):
            variable.assign(arrays[f"weight{i}"])

    def standardised(self, x: np.ndarray) -> np.ndarray:
        """x (N, D) -> what the network reads, float32."""
        return ((x - self.mean) / self.scale).astype(np.float32)


def _network(size: int, seed: int) -> keras.Model:
    """x (N, D) -> x', the same shape."""
    layers, make = keras.layers, SeededLayers(seed)
    y = x = keras.Input((size,), name="x")
    for units in UNITS:
        y = layers.LeakyReLU(SLOPE)(make(layers.Dense, units)(y))
    y = make(layers.Dense, BOTTLENECK, name="z")(y)
    for units in reversed(UNITS):
        y = layers.LeakyReLU(SLOPE)(make(layers.Dense, units)(y))
    return keras.Model(x, make(layers.Dense, size)(y), name="autoencoder")
