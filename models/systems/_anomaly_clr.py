"""AnomalyCLR (arXiv:2301.04660): an encoder that sees past what a detector changes, and not past what it does not.

It learns from the background alone, and from two views of each event (models/systems/_object_augmentations.py), by a
loss of models/systems/_contrastive.py. It reads events of 19 objects (ADC2021), or event images as the missing momentum
and the hardest 18 cells (models/systems/_image_objects.py).

    objects (N, 19, 3)  pT [GeV], eta, phi
    x (N, 19, 7)        pT / <pT>, eta / max |eta|, phi / max |phi|, kind as one of four; mean and maxima over the
                        objects of the background, empty rows zero
    x -> encoder -> h (N, width) -> head -> z (N, width)

Scores, each higher = more anomalous by its definition:
    norm           |z|
    mahalanobis    of h, to its mean and covariance in the background
    autoencoder    error of a dense auto-encoder of h with a bottleneck of 5 (models/systems/_dense_autoencoder.py)

`objects_ae` is the same auto-encoder on the objects themselves, 57 numbers: what a representation has to beat.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.models.evaluation.macs import count_macs
from codae_l1.models.systems._contrastive import ContrastiveNetwork, EncoderConfig
from codae_l1.models.systems._dense_autoencoder import DenseAutoencoder
from codae_l1.models.systems._density import fit_mahalanobis, load_density, rarities
from codae_l1.models.systems._image_objects import CELL_ROWS, image_objects
from codae_l1.models.systems._object_augmentations import OBJECT_ROWS, anomalous, physical
from codae_l1.models.systems.base import KerasSystem, LabelledEvents, System
from codae_l1.models.systems.registry import BRIEF, SystemsConfig
from codae_l1.models.training.network import in_slices

SHAPE = (len(OBJECT_ROWS.kind), 3)
_KINDS = 4
# Heads of the attention (published).
HEADS = 4
# Before the name of a number of a part in the arrays of a system.
_DENSITY, _AUTOENCODER = "mahalanobis/", "autoencoder/"


class AnomalyClrSystem(KerasSystem):
    """AnomalyCLR; main score: norm. Trained by Adam at a constant rate."""

    name = "anomaly_clr"
    main_score = "norm"
    further_scores = ("mahalanobis", "autoencoder")
    reference = None
    objects_too = True
    augment = False
    weight_decay = 0.0
    final_rate = 1.0
    timed = "encoder and head"

    def __init__(self, config: Any, seed: int = 0):
        super().__init__(config, seed)
        # Of pT [GeV], eta and phi.
        self.scales = np.ones(3)
        self.of_objects = False
        self.density: Any = None
        self.autoencoder = DenseAutoencoder(seed)

    @classmethod
    def small(cls) -> Any:
        """Few units, two epochs."""
        default = SystemsConfig().anomaly_clr
        return replace(default, model=replace(default.model, width=8, layers=1), training=BRIEF)

    def create_model(self) -> ContrastiveNetwork:
        """Encoder and head of the configured sizes."""
        sizes = self.config.model
        width = sizes.width
        encoder = EncoderConfig(3 + _KINDS, width, width, HEADS, sizes.layers, (width, width))
        return ContrastiveNetwork(encoder, self.seed, SHAPE, sizes.loss)

    def prepare(self, train: LabelledEvents) -> None:
        """The scales of the training events, and which of the two kinds of input they are."""
        self.of_objects = train.images.ndim == 3
        objects = self._objects(train.images)
        exists = objects[..., 0] > 0
        if not exists.any():
            raise InputError(f"{len(train)} events without an object", "events with objects", "name other events")
        largest = np.abs(objects[exists]).max(axis=0)
        self.scales = np.where(largest > 0, largest, 1.0)
        self.scales[0] = objects[exists][:, 0].mean()

    def training_events(self, events: LabelledEvents) -> np.ndarray:
        """Objects (N, 19, 3) in GeV, of which `view` makes what the loss reads."""
        return self._objects(events.images)

    def view(
        self, arrays: tuple[np.ndarray, ...], generator: np.random.Generator, trains: bool
    ) -> tuple[np.ndarray, ...]:
        """Objects of a batch -> features of the event, its positive and its anomaly; ones, since all are events."""
        (objects,) = arrays
        views = (objects, physical(objects, self._rows, generator), anomalous(objects, self._rows, generator))
        return *(self._features(x) for x in views), np.ones(len(objects), np.float32)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """Images (N, 72, 58, 3) or objects (N, 19, 3), GeV -> features (N, 19, 7) float32."""
        return self._features(self._objects(images))

    def finish(self, train: LabelledEvents) -> None:
        """Mean, covariance and auto-encoder of h over the training events."""
        h = self.represent(train.images)
        self.density = fit_mahalanobis(h)
        self.autoencoder.fit(h)

    def represent(self, images: np.ndarray) -> np.ndarray:
        """Images or objects -> h (N, width) float64."""
        return in_slices(self.model.represent, self.network_inputs(images)).astype(np.float64)

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """norm, mahalanobis and autoencoder, (N,) float64."""
        found = in_slices(self.model.both, self.network_inputs(images))
        h, z = (found[name].astype(np.float64) for name in ("h", "z"))
        return {
            "norm": np.sqrt(np.square(z).sum(axis=1)),
            "mahalanobis": rarities(self.density, h),
            "autoencoder": self.autoencoder.errors(h),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Scales, the kind of input, density and auto-encoder."""
        named = {f"{_DENSITY}{name}": x for name, x in self.density.arrays().items()}
        named |= {f"{_AUTOENCODER}{name}": x for name, x in self.autoencoder.arrays().items()}
        return {"scales": self.scales, "of_objects": np.array(self.of_objects), **named}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the system whose arrays these are, the network aside."""
        self.scales, self.of_objects = arrays["scales"], bool(arrays["of_objects"])
        self.density = load_density(_under(_DENSITY, arrays))
        self.autoencoder.take(_under(_AUTOENCODER, arrays))

    @property
    def _rows(self) -> Any:
        return OBJECT_ROWS if self.of_objects else CELL_ROWS

    def _objects(self, images: np.ndarray) -> np.ndarray:
        """What it reads as objects (N, 19, 3) float64 GeV; InputError where it was trained on the other kind."""
        if (images.ndim == 3) != self.of_objects:
            expected = "objects (N, 19, 3)" if self.of_objects else "images (N, 72, 58, 3)"
            raise InputError(
                f"events of shape {images.shape} for {self.name}", expected, "give it what it was trained on"
            )
        return _checked(images, self.name) if self.of_objects else image_objects(images)

    def _features(self, objects: np.ndarray) -> np.ndarray:
        """Objects (N, 19, 3) GeV -> (N, 19, 7) float32."""
        kind = (self._rows.kind[:, None] == np.arange(1, _KINDS + 1)).astype(np.float64)
        features = np.concatenate([objects / self.scales, np.broadcast_to(kind, (*objects.shape[:2], _KINDS))], axis=-1)
        return (features * (objects[..., :1] > 0)).astype(np.float32)


class ObjectsAESystem(System):
    """Dense auto-encoder of the 57 numbers of an event of objects, standardised; score: mse."""

    name = "objects_ae"
    main_score = "mse"
    inputs = "objects"
    random = True

    def __init__(self, config: None = None, seed: int = 0):
        super().__init__(config, seed)
        self.autoencoder = DenseAutoencoder(seed)

    def learn(
        self, train: LabelledEvents, validation: LabelledEvents, folder: Path, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Train for the published number of epochs; no epoch is chosen, so the validation events are not looked at."""
        self.autoencoder.fit(self._numbers(train.images))
        return {}

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{"mse": (N,) float64}."""
        return {"mse": self.autoencoder.errors(self._numbers(images))}

    def arrays(self) -> dict[str, np.ndarray]:
        """Those of the auto-encoder."""
        return self.autoencoder.arrays()

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the system whose arrays these are."""
        self.autoencoder.take(arrays)

    @property
    def parameters(self) -> int:
        """Of the network, once it is trained."""
        return int(self.autoencoder.network.count_params()) if self.autoencoder.network else 0

    @property
    def macs(self) -> int:
        """Of the network, once it is trained."""
        return count_macs(self.autoencoder.network) if self.autoencoder.network else 0

    def predict_function(self, images: np.ndarray) -> tuple[Callable, list[np.ndarray]] | None:
        """The network, and the standardised numbers."""
        import tensorflow as tf

        network = self.autoencoder.network
        return tf.function(lambda x: network(x)), [self.autoencoder.standardised(self._numbers(images))]

    def _numbers(self, images: np.ndarray) -> np.ndarray:
        return _checked(images, self.name).reshape(len(images), -1)


def _checked(objects: np.ndarray, name: str) -> np.ndarray:
    """Objects as float64; InputError for another shape."""
    if objects.shape[1:] != SHAPE:
        raise InputError(
            f"events of shape {objects.shape} for {name}", f"objects (N, {SHAPE[0]}, {SHAPE[1]})", "read ADC2021 files"
        )
    return objects.astype(np.float64)


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}
