"""What the Keras models of the systems share: a frozen config, a seed that fixes the initial weights, saving."""

from typing import Any, ClassVar

import keras
import numpy as np

from codae_l1.data.base.config import dump, parse

# Events that a network sees at once outside training.
SLICE = 256
# Between the seeds of two models: no layer of one shares its seed with a layer of another.
_SEED_STEP = 1_000_003


class Network(keras.Model):
    """A Trainable (models/training/loop.py) that is saved by its config and seed; a subclass makes its parts and
    `call`.

    config_class: of `config`. event_shape: of the array that it reads, without N. A subclass's __init__ takes (config,
    seed), and is registered under "codae_l1".
    """

    config_class: ClassVar[type]

    def __init__(self, config: Any, seed: int, event_shape: tuple[int, ...], **kwargs: Any):
        super().__init__(**kwargs)
        self.config, self.seed, self.event_shape = config, seed, tuple(event_shape)

    def build(self, input_shape: Any = None) -> None:
        """The parts are built in __init__ already."""
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """Sizes and seed."""
        return {**super().get_config(), "config": dump(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Network":
        """The model that get_config came from, weights aside."""
        return cls(**{**config, "config": parse(cls.config_class, config["config"], cls.__name__)})


class SeededLayers:
    """Makes layers whose initial kernels follow from the seed and their number.

    >>> make = SeededLayers(1)
    >>> layers = [make(keras.layers.Dense, 2) for make in (SeededLayers(1), SeededLayers(1))]
    >>> kernels = [keras.ops.convert_to_numpy(layer(np.ones((1, 3))) ) for layer in layers]
    >>> bool((kernels[0] == kernels[1]).all())
    True
    """

    def __init__(self, seed: int, initializer: type = keras.initializers.GlorotUniform):
        self.seed, self.initializer, self.made = seed, initializer, 0

    def __call__(self, layer: Any, *arguments: Any, initializer: type | None = None, **options: Any) -> Any:
        """layer(*arguments, **options), with its kernel drawn from this seed."""
        return layer(*arguments, kernel_initializer=(initializer or self.initializer)(self.next_seed()), **options)

    def attention(self, heads: int, key: int, dropout: float, x: Any, mask: Any = None) -> Any:
        """Self-attention of tokens x (N, T, width); its kernels are drawn one by one, where Keras would give one seed
        to all. mask (N, 1, T): tokens that may be attended to."""
        layer = keras.layers.MultiHeadAttention(heads, key, dropout=dropout, seed=self.next_seed())
        y = layer(x, x, attention_mask=mask)
        generator = np.random.default_rng(self.next_seed())
        limit = np.sqrt(6 / (x.shape[-1] + heads * key))
        for variable in layer.trainable_variables:
            if len(variable.shape) == 3:
                variable.assign(generator.uniform(-limit, limit, variable.shape).astype("float32"))
        return y

    def next_seed(self) -> int:
        """Another seed, for random numbers other than the kernels."""
        self.made += 1
        return self.seed * _SEED_STEP + self.made


def in_slices(function: Any, events: np.ndarray, size: int = SLICE) -> Any:
    """A function of tensors (n, ...) applied to events (N, ...), `size` at a time, compiled once; arrays, or dicts.

    A model, or a method of one, is compiled once for all calls: what it reads are variables, whose values may change.

    >>> in_slices(lambda x: 2 * x, np.arange(5.0), size=2).tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    import tensorflow as tf

    # Kept by the model itself, so that it goes with it.
    kept = vars(getattr(function, "__self__", function)).setdefault("_in_slices", {})
    run = kept.setdefault(getattr(function, "__name__", ""), tf.function(function, autograph=False))
    parts = []
    for start in range(0, max(len(events), 1), size):
        part = events[start : start + size]
        padded = np.pad(part, ((0, size - len(part)), *[(0, 0)] * (events.ndim - 1)))
        parts.append(tf.nest.map_structure(lambda x: x.numpy(), run(padded)))
    return tf.nest.map_structure(lambda *x: np.concatenate(x)[: len(events)], *parts)
