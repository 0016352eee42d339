"""Langevin chains: points whose density is exp(-E(x) / T), from the gradient of E alone.

    x <- x - step_size clip(grad E(x)) + noise n,    n standard normal,    T = noise^2 / (2 step_size)

The density is exact for small steps and unclipped gradients. Auto-encoders use steps and noise of their own, so that T
is what the two make (arXiv:2105.05735).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class Chain:
    """step_size and noise: as above. clip: longest gradient of a point; longer ones are shortened to it."""

    step_size: float
    noise: float
    clip: float = float("inf")

    @property
    def temperature(self) -> float:
        """T.

        >>> Chain(0.5, 1.0).temperature
        1.0
        """
        return self.noise**2 / (2 * self.step_size)


def run_chain(
    energy: Callable[[Any], Any],
    start: Any,
    chain: Chain,
    steps: int,
    seed: Any,
    constrain: Callable[[Any], Any] = lambda x: x,
) -> Any:
    """Points (n, ...) float32 -> where the chains are after so many steps, same shape.

    energy: points -> (n,). seed: (2,) int32 of the noise. constrain: what brings a point back where it may be (a
    sphere, a range), after each step. No gradient flows through the chains.
    """
    import tensorflow as tf

    axes = tuple(range(1, len(start.shape)))

    def step(i: Any, x: Any) -> tuple[Any, Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            total = tf.reduce_sum(energy(x))
        gradient = tape.gradient(total, x)
        length = ops.sqrt(ops.sum(ops.square(gradient), axis=axes, keepdims=True))
        gradient = gradient * ops.minimum(1.0, chain.clip / ops.maximum(length, 1e-30))
        # The generator is named, so that CPUs and GPUs draw the same numbers.
        drawn = tf.random.stateless_normal(tf.shape(x), fold_in(seed, i), alg="philox")
        moved = constrain(x - chain.step_size * gradient + chain.noise * drawn)
        return i + 1, tf.ensure_shape(moved, x.shape)

    _, x = tf.while_loop(lambda i, x: i < steps, step, (tf.constant(0), start), parallel_iterations=1)
    return tf.stop_gradient(x)


def fold_in(seed: Any, number: Any) -> Any:
    """Another seed (2,) int32, which follows from this one and a number."""
    import tensorflow as tf

    # The type checker does not know this part of TensorFlow.
    random: Any = tf.random
    return random.experimental.stateless_fold_in(seed, number)
