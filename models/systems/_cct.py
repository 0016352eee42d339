"""The compact convolutional transformer (CCT, arXiv:2104.05704): a supervised classifier of images.

    energy (N, 72, 58, 1) = (sum of the channels, at most 2000 GeV) / 2000 GeV
      -> [convolution 3x3 without bias, ReLU -> max pool 3x3, stride 2] a filter -> tokens (N, T, width)
      -> + positional embedding (T, width), trained and saved with the rest
      -> layers of [x + depth(attention(norm(x))) ; x + depth(MLP(norm(x)))], MLP: [Dense, GELU, dropout] a unit
      -> norm -> sequence pooling: sum over tokens of softmax(Dense 1) x token -> Dense classes: logits

depth is stochastic depth: in training a branch of an event is dropped with probability p and otherwise divided by 1 -
p, which keeps its mean; p rises from 0 in the first layer to 0.1 in the last. Loss: cross-entropy to labels smoothed by
s = 0.1: (1 - s) one-hot + s / classes.

The network is trained on signals: it shows how much information these images hold, and does not compete with systems
that learn from background alone. Its score is `signal` = 1 - p(background); with three classes there are also `suep`
and `svj`, their probabilities.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import N_ETA, N_PHI
from codae_l1.data.events import BACKGROUNDS, SUEP_MASSES
from codae_l1.models.codae.layers import register
from codae_l1.models.evaluation.macs import layer_macs
from codae_l1.models.evaluation.roc import auc
from codae_l1.models.systems.base import KerasSystem, LabelledEvents
from codae_l1.models.systems.registry import BRIEF_COSINE, CctConfig, CctSystemConfig
from codae_l1.models.training.network import Network, SeededLayers, in_slices

# GeV; energies are cut there and divided by it (public CoDAE implementation).
LARGEST_ENERGY_GEV = 2000.0
# Epsilon of the norms (public CoDAE implementation).
_EPSILON = 1e-5
BINARY, THREE_CLASS = ("qcd", "signal"), ("qcd", "suep", "svj")
# As published: dropout of the MLP and of the attention's weights, the largest drop probability of stochastic depth,
# smoothing of the labels.
DROPOUT, ATTENTION_DROPOUT, DEPTH_RATE, SMOOTHING = 0.2, 0.1, 0.1, 0.1
# As published, but for the embedding: 406,084 parameters without it, 440,644 with it.
PAPER_CCT = CctConfig(filters=(64, 128), key=128, mlp=(128, 128))


@register
class PositionalEmbedding(keras.layers.Layer):
    """Add a trained vector to each token: (N, T, width) -> the same shape; T x width parameters."""

    def __init__(self, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape: tuple) -> None:
        """Initial values are uniform in +-0.05, Keras's for embeddings."""
        initial = keras.initializers.RandomUniform(seed=self.seed)
        self.embedding = self.add_weight(name="embedding", shape=input_shape[1:], initializer=initial)

    def call(self, tokens: Any) -> Any:
        """(N, T, width) -> the same shape."""
        return tokens + ops.cast(self.embedding, tokens.dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "seed": self.seed}


@register
class SequencePooling(keras.layers.Layer):
    """Weighted mean of tokens, the weights softmax over tokens of a Dense 1: (N, T, width) -> (N, width)."""

    def __init__(self, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self.dense = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed), name="attention")

    def build(self, input_shape: tuple) -> None:
        """width + 1 parameters."""
        self.dense.build(input_shape)

    def call(self, tokens: Any) -> Any:
        """(N, T, width) -> (N, width)."""
        weights = ops.softmax(self.dense(tokens), axis=1)
        return ops.sum(weights * tokens, axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """(N, width)."""
        return input_shape[0], input_shape[-1]

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "seed": self.seed}


@layer_macs.register
def _(layer: PositionalEmbedding, shape: Any) -> int:
    return 0


@layer_macs.register
def _(layer: SequencePooling, shape: Any) -> int:
    return 2 * shape[1] * shape[2]


@register
class Cct(Network):
    """CCT with the part `network`; called on energies (N, 72, 58, 1) it gives probabilities of the classes (N, C).

    >>> Cct().count_params()
    440644
    """

    config_class = CctConfig

    def __init__(self, config: CctConfig = PAPER_CCT, seed: int = 0, classes: int = 3, **kwargs: Any):
        super().__init__(config, seed, (N_PHI, N_ETA, 1), **kwargs)
        self.classes = classes
        self.network = _network(config, classes, SeededLayers(seed))
        self.build()

    def get_config(self) -> dict[str, Any]:
        """Sizes, seed and the number of classes."""
        return {**super().get_config(), "classes": self.classes}

    def call(self, energy: Any) -> Any:
        """(N, 72, 58, 1) -> probabilities (N, C), sum 1."""
        return ops.softmax(self.logits(energy), axis=-1)

    def logits(self, energy: Any, training: bool = False) -> Any:
        """(N, 72, 58, 1) -> logits (N, C)."""
        return ops.cast(self.network(ops.cast(energy, "float32"), training=training), "float32")

    def objective(self, energy: Any, label: Any, training: bool = False, seed: Any = None) -> dict[str, Any]:
        """The loss: {"cross_entropy": (N,) float32} to labels (N,) int, smoothed.

        seed is not read: dropout and stochastic depth count their draws themselves, which a checkpoint keeps.
        """
        target = smoothed(label, self.classes, SMOOTHING)
        return {"cross_entropy": -ops.sum(target * ops.log_softmax(self.logits(energy, training), axis=-1), axis=-1)}


def smoothed(label: Any, classes: int, smoothing: float) -> Any:
    """Labels (N,) int -> (N, classes) float32 of sum 1: (1 - s) one-hot + s / classes.

    >>> ops.convert_to_numpy(smoothed(np.array([1]), 2, 0.5)).tolist()
    [[0.25, 0.75]]
    """
    return (1 - smoothing) * ops.one_hot(label, classes, dtype="float32") + smoothing / classes


def energy_images(images: np.ndarray) -> np.ndarray:
    """Input of the CCT: (N, 72, 58, 3) GeV -> (N, 72, 58, 1) float32 in [0, 1]."""
    return np.minimum(images.sum(axis=-1, keepdims=True) / np.float32(LARGEST_ENERGY_GEV), 1).astype(np.float32)


def _network(config: CctConfig, classes: int, make: SeededLayers) -> keras.Model:
    layers, width = keras.layers, config.filters[-1]
    x = energy = keras.Input((N_PHI, N_ETA, 1), name="energy")
    for filters in config.filters:
        options: dict[str, Any] = {"padding": "same", "use_bias": False, "activation": "relu"}
        x = make(layers.Conv2D, filters, 3, initializer=keras.initializers.HeNormal, **options)(x)
        x = layers.MaxPooling2D(3, 2, "same")(x)
    x = layers.Reshape((-1, width))(x)
    x = PositionalEmbedding(make.next_seed(), name="position")(x)
    for i in range(config.layers):
        rate = DEPTH_RATE * i / max(config.layers - 1, 1)
        y = layers.LayerNormalization(epsilon=_EPSILON)(x)
        x = layers.Add()([x, _depth(make.attention(config.heads, config.key, ATTENTION_DROPOUT, y), rate, make)])
        y = layers.LayerNormalization(epsilon=_EPSILON)(x)
        for units in config.mlp:
            y = make(layers.Dense, units, activation="gelu")(y)
            y = layers.Dropout(DROPOUT, seed=make.next_seed())(y)
        x = layers.Add()([x, _depth(y, rate, make)])
    x = SequencePooling(make.next_seed(), name="pooling")(layers.LayerNormalization(epsilon=_EPSILON)(x))
    return keras.Model(energy, make(layers.Dense, classes, name="logits")(x), name="cct")


def _depth(x: Any, rate: float, make: SeededLayers) -> Any:
    """Stochastic depth of a branch (N, T, width): all of an event's, or nothing."""
    return keras.layers.Dropout(rate, noise_shape=(None, 1, 1), seed=make.next_seed())(x) if rate else x


class CctSystem(KerasSystem):
    """CCT that tells background from signals, of any kind; supervised. Each score is the probability of a signal."""

    name = "cct"
    learning = "signals"
    reference = None
    main_score = "signal"
    classes = BINARY

    @classmethod
    def small(cls) -> Any:
        """Few units, two epochs."""
        return CctSystemConfig(CctConfig((2, 4), layers=1, heads=1, key=2, mlp=(4,)), BRIEF_COSINE)

    def create_model(self) -> Cct:
        """The CCT of the configured sizes; published: PAPER_CCT."""
        return Cct(self.config.model, self.seed, len(self.classes))

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """(N, 72, 58, 3) GeV -> energy (N, 72, 58, 1) float32."""
        return energy_images(images)

    def training_events(self, events: LabelledEvents) -> tuple[np.ndarray, ...]:
        """Energies, and the index of each event's class."""
        index = class_index(events.label, self.classes)
        missing = [name for i, name in enumerate(self.classes) if i not in index]
        if missing:
            raise InputError(
                f"no {' and no '.join(missing)} events among {len(events)} for the training of {self.name}",
                f"all of {', '.join(self.classes)}, as it is supervised",
                "take events whose validation split holds signals (scripts/make_data.py --n-signal-validation)",
            )
        return energy_images(events.images), index

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probability of each class, (N, C) float64."""
        return in_slices(self.model, energy_images(images)).astype(np.float64)

    def classification(self, events: LabelledEvents) -> dict[str, float]:
        """How well the classes are separated: accuracy, and the AUC of `one_hot_auc`."""
        p, index = self.probabilities(events.images), class_index(events.label, self.classes)
        return {"accuracy": float(np.mean(p.argmax(axis=1) == index)), "auc": one_hot_auc(p, index)}

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """signal, and of three classes suep and svj."""
        p = self.probabilities(images)
        return {"signal": 1 - p[:, 0], **{name: p[:, i] for i, name in enumerate(self.classes) if i and len(p.T) > 2}}


class CctThreeClassSystem(CctSystem):
    """CCT that tells background, SUEP and SVJ apart; supervised."""

    name = "cct_three_class"
    classes = THREE_CLASS

    @classmethod
    def configured_by(cls, run_config: Any) -> Any:
        """The table of the other CCT."""
        return run_config.systems.cct


def one_hot_auc(probabilities: np.ndarray, index: np.ndarray) -> float:
    """Micro-averaged AUC of classes, as Keras's AUC on one-hot labels: all N x C probabilities in one ROC curve.

    >>> one_hot_auc(np.array([[0.7, 0.3], [0.6, 0.4]]), np.array([0, 1]))  # 0.7, 0.4 are right, 0.3, 0.6 are wrong
    0.75
    """
    right = np.arange(probabilities.shape[1]) == index[:, None]
    return auc(probabilities[~right], probabilities[right])


def class_index(label: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Names of processes (N,) -> index of their class, (N,) int32.

    >>> class_index(np.array(["qcd", "h125", "svj2100"]), THREE_CLASS).tolist()
    [0, 1, 2]
    """
    kind = np.where(np.isin(label, list(SUEP_MASSES)), 1, len(classes) - 1)
    return np.where(np.isin(label, BACKGROUNDS), 0, kind).astype(np.int32)
