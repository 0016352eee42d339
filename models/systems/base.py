"""What a system of the comparison is: something that may be trained on events, and gives each an anomaly score.

The registry is models/systems/registry.py. All systems see the same splits. An unsupervised one is trained on QCD alone
and refuses signals. A supervised one needs them; both of its classes come from one split, so that pile-up does not
identify a class. The orientation of a score (higher = more anomalous) is fixed without labels: reconstruction errors
count as defined, and the other scores follow their rank correlation with one on QCD (models/scores.orientations).
"""

import json
import zipfile
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import keras
import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file
from codae_l1.data.base.progress import Progress
from codae_l1.data.events import QCD
from codae_l1.models.codae.scores import orient, orientations
from codae_l1.models.evaluation.macs import count_macs
from codae_l1.models.training import loop as training
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.loop import Arrays
from codae_l1.models.training.saving import load_model

# Member of a system's .keras file that holds the signs of its scores.
SIGNS = "orientation.json"


@dataclass(frozen=True)
class Batch:
    """N events. images: (N, 72, 58, 3) float32 GeV, or jet images (N, side, side, 1). label: (N,) str, "qcd" or the
    signal's name."""

    images: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


class System(Protocol):
    """A system: `cls(config, seed)` makes it, untrained.

    name: in the registry, the config (`[systems.<name>]`) and the run folder. inputs: calorimeter "events" or "jets".
    supervised: learns from signal labels. random: training depends on the seed, so several seeds say more than one.
    main_score: the score that is quoted. file: name of the file that `save` writes, in a folder of its own.
    """

    name: ClassVar[str]
    inputs: ClassVar[Literal["events", "jets"]]
    supervised: ClassVar[bool]
    random: ClassVar[bool]
    main_score: ClassVar[str]
    file: ClassVar[str]
    config: Any
    seed: int

    def __init__(self, config: Any, seed: int = 0): ...

    def fit(self, train: Batch, validation: Batch, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Train, going on from what `folder` holds, and orient the scores; the history of the training."""
        ...

    def scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> (N,) float64 of images, higher = more anomalous."""
        ...

    def save(self, path: Path) -> None:
        """Write everything that `scores` needs to one file, whole or not at all."""
        ...

    def load(self, path: Path) -> None:
        """Take up what save wrote; scores are equal to the bit."""
        ...

    @property
    def parameters(self) -> int:
        """Numbers that training moves (and the moments of a batch normalization)."""
        ...

    @property
    def macs(self) -> int:
        """Multiplications and additions of one event's scores (models/evaluation/macs.py)."""
        ...

    def predict_function(self, images: np.ndarray) -> tuple[Callable, list[np.ndarray]] | None:
        """(tf.function of arrays, its arrays for these images, float32), to time and convert; None without network."""
        ...


def qcd_only(name: str, *batches: Batch) -> None:
    """Raise InputError where an unsupervised system would be trained on signals."""
    for batch in batches:
        others = np.unique(batch.label[batch.label != QCD]).tolist()
        if others:
            raise InputError(
                f"{int(np.sum(batch.label != QCD))} events of {', '.join(others)} for the training of {name}",
                "QCD alone, as it is unsupervised",
                'select label == "qcd"',
            )


class KerasSystem(System):
    """A system of one Keras model, trained by models/training/loop.py.

    A subclass gives create_model, network_inputs and raw_scores; `reference` names the raw score whose growth means
    "worse reconstructed". config has a SystemTraining as `training`.
    """

    inputs = "events"
    supervised = False
    random = True
    file = "model.keras"
    reference: ClassVar[str] = "mse"
    # Settings of AdamW, and whether events are flipped and rolled (models/training/loop.py).
    weight_decay: ClassVar[float] = 1e-4
    beta_2: ClassVar[float] = 0.999
    augment: ClassVar[bool] = True

    def __init__(self, config: Any, seed: int = 0):
        self.config, self.seed = config, seed
        self.model = self.create_model()
        self.signs: dict[str, int] = {}

    @abstractmethod
    def create_model(self) -> Any:
        """The Keras model of config and seed, a Trainable."""
        ...

    @abstractmethod
    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """Images -> what the network reads."""
        ...

    @abstractmethod
    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Scores as they are defined, not yet oriented: name -> (N,) float64."""
        ...

    def training_events(self, batch: Batch) -> Arrays:
        """What the model's objective takes: the network's input; with labels where the system is supervised."""
        return self.network_inputs(batch.images)

    def training_config(self) -> TrainingConfig:
        """How the loop trains the model: the system's table, and what its class fixes."""
        fixed = {"augment": self.augment, "weight_decay": self.weight_decay, "beta_2": self.beta_2}
        return TrainingConfig(**dump(self.config.training), **fixed)

    def prepare(self, train: Batch) -> None:
        """Fix by the training events what training does not move (means, scales): nothing, unless a subclass has it."""

    def fit(self, train: Batch, validation: Batch, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Train and leave the model at its best epoch; orient the scores by QCD of the validation events."""
        if not self.supervised:
            qcd_only(self.name, train, validation)
        self.prepare(train)
        arrays = self.training_events(train), self.training_events(validation)
        history = training.train(self.model, *arrays, self.training_config(), folder, progress)
        self.orient_by(validation.images[validation.label == QCD])
        return history

    def orient_by(self, qcd_images: np.ndarray) -> None:
        """Fix the scores' signs by QCD images, with the weights as they are."""
        self.signs = orientations(self.raw_scores(qcd_images), self.reference)

    def scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> (N,) float64, higher = more anomalous."""
        if not self.signs:
            raise InputError(f"{self.name} that is not trained", "a trained one", "call fit or load first")
        return orient(self.raw_scores(images), self.signs)

    def save(self, path: Path) -> None:
        """Write the model and the signs of its scores to one .keras file."""
        with whole_file(path) as temporary:
            self.model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(SIGNS, json.dumps(self.signs))

    def load(self, path: Path) -> None:
        """Take up what save wrote."""
        self.model = load_model(path, type(self.model))
        with zipfile.ZipFile(path) as archive:
            self.signs = json.loads(archive.read(SIGNS)) if SIGNS in archive.namelist() else {}

    @property
    def parameters(self) -> int:
        """All numbers of the model."""
        return int(self.model.count_params())

    @property
    def macs(self) -> int:
        """MACs of the model's networks."""
        return sum(count_macs(part) for part in self.model.layers if isinstance(part, keras.Model))

    def predict_function(self, images: np.ndarray) -> tuple[Callable, list[np.ndarray]] | None:
        """The model's call, compiled, and its input."""
        import tensorflow as tf

        model = self.model
        return tf.function(lambda x: model(x)), [self.network_inputs(images).astype(np.float32)]
