"""Two executors on the same counts: equal word for word, or which layer differs first, how often, and by how much."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType, exact_words
from codae_l1.hls.network.records import Network

# Differing events shown, and traced layer by layer.
_SAMPLES = 5
_TRACED = 64


@dataclass(frozen=True)
class LayerDifference:
    """The first layer whose values differ: how many of the compared values, and the largest difference in value."""

    layer: str
    compared: int
    different: int
    worst: float


@dataclass(frozen=True)
class Mismatch:
    """Words of two executors compared with ==.

    pair: "a-b". compared, different: events. worst_lsb: largest difference of two words, in LSB.
    first_layer: the first layer that differs, where both executors can be traced.
    samples: of the first differing events {event, words of a, words of b}.
    """

    pair: str
    compared: int
    different: int
    worst_lsb: int
    first_layer: LayerDifference | None
    samples: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.different:
            return f"{self.pair}: {self.compared} events equal"
        where = ""
        if self.first_layer is not None:
            layer = self.first_layer
            where = f", first in layer {layer.layer} ({layer.different} of {layer.compared} values)"
        return f"{self.pair}: {self.different} of {self.compared} events differ, worst {self.worst_lsb} LSB{where}"


def compare(a: Any, b: Any, counts: np.ndarray) -> Mismatch:
    """Run both executors on counts (N, 18, 15, inputs) int64 and compare their words."""
    return _compare(a, b, counts, a.predict_words(counts), b.predict_words(counts))


def compare_words(a: Any, b: Any, counts: np.ndarray, words_a: np.ndarray, words_b: np.ndarray) -> dict[str, Any]:
    """The same from words (N, outputs) that are known already; JSON-ready."""
    return _compare(a, b, counts, words_a, words_b).as_dict()


def _compare(a: Any, b: Any, counts: np.ndarray, words_a: np.ndarray, words_b: np.ndarray) -> Mismatch:
    names = _executor_name(a), _executor_name(b)
    if words_a.shape != words_b.shape or len(words_a) != len(counts):
        raise InputError(
            f"words of shapes {words_a.shape} and {words_b.shape} for {len(counts)} events",
            "the same number of words from both executors",
            "compare executors of one firmware",
        )
    differing = np.flatnonzero((words_a != words_b).any(axis=1))
    worst = int(np.abs(words_a - words_b).max(initial=0))
    samples = tuple(
        {"event": int(i), names[0]: words_a[i].tolist(), names[1]: words_b[i].tolist()} for i in differing[:_SAMPLES]
    )
    first = _first_difference(a, b, counts[differing[:_TRACED]]) if len(differing) else None
    return Mismatch("-".join(names), len(counts), len(differing), worst, first, samples)


def _executor_name(executor: Any) -> str:
    """The executor's name; a FirmwareModel is "qkeras"."""
    return getattr(executor, "name", "qkeras")


def _first_difference(a: Any, b: Any, counts: np.ndarray) -> LayerDifference | None:
    """The first layer, in a's order, that both trace and that differs; None where they agree or cannot be traced."""
    trace_a, trace_b = _tracer(a), _tracer(b)
    if trace_a is None or trace_b is None:
        return None
    layers_a, layers_b = trace_a(counts), trace_b(counts)
    for name in (name for name in layers_a if name in layers_b):
        values_a = layers_a[name].reshape(len(counts), -1)
        values_b = layers_b[name].reshape(len(counts), -1)
        gap = np.abs(values_a - values_b)
        if gap.any():
            return LayerDifference(name, int(gap.size), int(np.count_nonzero(gap)), float(gap.max()))
    return None


def _tracer(executor: Any) -> Callable[[np.ndarray], dict[str, np.ndarray]] | None:
    if hasattr(executor, "predict_layers"):
        return executor.predict_layers
    return (lambda counts: _qkeras_layers(executor, counts)) if hasattr(executor, "model") else None


def _qkeras_layers(firmware: Any, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Counts (N, 18, 15, inputs) -> {layer name: values (N, *shape) float64} of a FirmwareModel, in order."""
    from codae_l1.quantization.f_m.config import input_word

    return keras_layers(firmware.model, input_word(firmware.config).quantize(counts))


def keras_layers(model: Any, values: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs (N, ...) of a Keras model -> {layer name: values (N, *shape) float64}, in order, without the input."""
    import keras

    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    every = keras.Model(model.inputs, [layer.output for layer in layers])
    # Called, not predicted: a call compiles no graph, which takes longer than the batch itself.
    outputs = every([values.astype(np.float32)], training=False)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    arrays = (keras.ops.convert_to_numpy(out).astype(np.float64) for out in outputs)
    return {layer.name: array for layer, array in zip(layers, arrays, strict=True)}


class QKerasNetwork:
    """A QKeras model of any shape as an executor, the reference of the others: its words, its layers' values.

    network: its records (`hls.network.read_network`). output: word of what leaves it.
    """

    name = "qkeras"

    def __init__(self, model: Any, network: Network, output: WordType):
        self.model, self.network, self.output = model, network, output

    def predict_layers(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Counts (N, ...) integers -> {layer name: values (N, *shape) float64}; counts beyond the word saturate."""
        word = self.network.input_word
        return keras_layers(self.model, word.from_words(np.clip(counts, *word.bounds)))

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, ...) integers -> output words (N, outputs) int64."""
        last = self.predict_layers(counts)[self.network.layers[-1].name]
        return exact_words(last.reshape(len(counts), -1), self.output, self.name)


def adversarial_counts(config: Any, seed: int, n_random: int = 2000) -> np.ndarray:
    """Counts (N, 18, 15, inputs) int64 that make networks overflow: empty, full, saturated, single cells, random.

    config: FirmwareConfig. Cells hold 0 to pool**2 active pixels; the input word may hold more, and is filled, too.
    """
    from codae_l1.quantization.f_m.config import input_word

    shape, word, full = config.input_shape, input_word(config), config.pool**2
    return _adversarial_words(shape, word, full, seed, n_random)


def _adversarial_words(shape: tuple[int, ...], word: WordType, full: int, seed: int, n_random: int) -> np.ndarray:
    """The same for any input shape and word; `full` is the largest count that events can give."""
    rng, top = np.random.default_rng(seed), word.bounds[1]
    index = np.indices(shape).sum(axis=0)
    patterns = [np.full(shape, value) for value in sorted({0, 1, full, top, top + 1})]
    patterns += [np.where(index % 2 == parity, value, 0) for parity in (0, 1) for value in (full, top)]
    patterns += [np.where(np.indices(shape)[axis] % 2 == 0, top, 0) for axis in (0, 1)]
    cells = np.zeros((int(np.prod(shape)), *shape), np.int64)
    cells.reshape(len(cells), -1)[np.diag_indices(len(cells))] = np.tile([full, top], len(cells))[: len(cells)]
    random = rng.integers(0, top, (n_random, *shape), endpoint=True)
    # Half of them as sparse as events are, with every density.
    density = rng.random((n_random // 2, *[1] * len(shape)))
    random[: n_random // 2] *= rng.random((n_random // 2, *shape)) < density
    return np.concatenate([np.stack(patterns), cells, random]).astype(np.int64)
