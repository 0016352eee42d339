"""What a system of the comparison is: something that may be trained on events, and gives each an anomaly score.

The registry is models/systems/registry.py. All systems see the same splits. An unsupervised one is trained on
background alone, QCD or zero bias, and refuses signals. A supervised one needs them; both of its classes come from one
split, so that pile-up does not identify a class. The orientation of a score (higher = more anomalous) is fixed without
labels: reconstruction errors count as defined, and the other scores follow their rank correlation with one on
background (models/codae/scores.orientations).

A training is, in this order: `prepare`, `learn`, `finish`, `orient_by`. A subclass gives the steps that it has.
"""

# ruff: noqa: B027 (a step that a system may have, or not)

import io
import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import keras
import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import parse_table, read_arrays, read_member, whole_file
from codae_l1.data.base.progress import Progress
from codae_l1.data.events import BACKGROUNDS
from codae_l1.data.formats.jet_images import HARDEST
from codae_l1.models.codae.scores import orient, orientations
from codae_l1.models.evaluation.macs import count_macs
from codae_l1.models.systems.registry import SystemsConfig
from codae_l1.models.training import loop as training
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.loop import Arrays
from codae_l1.models.training.saving import load_model

# Member of a system's .keras file that holds its state: the signs of its scores, and its arrays.
STATE = "system.npz"


@dataclass(frozen=True)
class LabelledEvents:
    """N events. images: (N, 72, 58, 3) float32 GeV, or jet images (N, side, side, 1), or objects (N, 19, 3): pT [GeV],
    eta, phi. label: (N,) str, "qcd" or "zero_bias" (the background), or the signal's name."""

    images: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def is_background(self) -> np.ndarray:
        """Mask (N,) of the background."""
        return np.isin(self.label, BACKGROUNDS)

    @property
    def background(self) -> np.ndarray:
        """The images of the background."""
        return self.images[self.is_background]


class System(ABC):
    """A system: `cls(config, seed)` makes it, untrained. A subclass gives `raw_scores`, and what it does otherwise.

    This class keeps a system as named arrays in one .npz: no pickle, equal to the bit.
    """

    # Name in the registry, the config (`[systems.<name>]`) and the run folder.
    name: ClassVar[str]
    # The score that is quoted.
    main_score: ClassVar[str]
    # Further ones of systems that read sets of objects, of which a network for firmware may learn one.
    further_scores: ClassVar[tuple[str, ...]] = ()
    # What it reads: images of the calorimeter, or of jets, or events of objects (N, 19, 3).
    inputs: ClassVar[Literal["events", "jets", "objects"]] = "events"
    # Whether it reads events of objects, too.
    objects_too: ClassVar[bool] = False
    # What it learns from.
    learning: ClassVar[Literal["none", "background", "signals"]] = "background"
    # Whether training depends on the seed, so that several seeds say more than one.
    random: ClassVar[bool] = False
    # Name of the file that `save` writes, in a folder of its own.
    file: ClassVar[str] = "model.npz"
    # Raw score whose growth means "worse reconstructed", which orients the others; None: all grow with the anomaly.
    reference: ClassVar[str | None] = None
    # Columns of an event's record (data.events.EventImages) that count as scores beside those of its image.
    record_scores: ClassVar[tuple[str, ...]] = ()
    # Name of the system whose trained model is this one's encoder (`use_encoder`).
    encoder_of: ClassVar[str | None] = None
    # What of a score's work predict_function, and so its CPU time, holds; None: all of it.
    timed: ClassVar[str | None] = None

    def __init__(self, config: Any = None, seed: int = 0):
        self.config, self.seed = config, seed
        # Score -> +1 or -1; empty until it is trained.
        self.signs: dict[str, int] = {}

    @classmethod
    def configured_by(cls, run_config: Any) -> Any:
        """Its config in that of a run: its table `[systems.<name>]`, None where it has none."""
        return getattr(run_config.systems, cls.name)

    @classmethod
    def small(cls) -> Any:
        """A config with which it trains in about a second: what tests and first tries take. By default its own."""
        return getattr(SystemsConfig(), cls.name)

    @classmethod
    def is_stage_train(cls, run_config: Any) -> bool:
        """Whether it is the run's own full model, which the stage `train` trains."""
        return False

    @abstractmethod
    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Scores as they are defined, not yet oriented: name -> (N,) float64."""

    def prepare(self, train: LabelledEvents) -> None:
        """Fix by the training events what training does not move (means, scales)."""

    def learn(
        self, train: LabelledEvents, validation: LabelledEvents, folder: Path, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Train, going on from what `folder` holds; the history of the training."""
        return {}

    def finish(self, train: LabelledEvents) -> None:
        """Fit to the training events what needs the trained model (a density of its latents)."""

    def orient_by(self, background_images: np.ndarray) -> None:
        """Fix the scores' signs by background images, with the weights as they are."""
        if self.reference is None:
            self.signs = dict.fromkeys(self.raw_scores(background_images[:1]), 1)
        else:
            self.signs = orientations(self.raw_scores(background_images), self.reference)

    def fit(
        self, train: LabelledEvents, validation: LabelledEvents, folder: Path, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Train, and orient the scores by the background of the validation events; the history of the training."""
        if self.learning != "signals":
            _require_background(self.name, train, validation)
        self.prepare(train)
        history = self.learn(train, validation, folder, progress)
        self.finish(train)
        self.orient_by(validation.background)
        return history

    def scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> (N,) float64 of images, higher = more anomalous."""
        if not self.signs:
            raise InputError(f"{self.name} that is not trained", "a trained one", "call fit or load first")
        return orient(self.raw_scores(images), self.signs)

    def before_training(self, train: LabelledEvents, validation: LabelledEvents) -> "System | None":
        """The same system untrained, oriented as this one: what training adds to. None where nothing is random."""
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        """All that scores need beside the signs (and a Keras model), by name."""
        return {}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the system whose `arrays` these are."""

    def save(self, path: Path) -> None:
        """Write everything that `scores` needs to one file, whole or not at all."""
        with whole_file(path) as temporary:
            temporary.write_bytes(self._state())

    def load(self, path: Path) -> None:
        """Take up what save wrote; scores are equal to the bit."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror})", "a saved system", "train it first") from error
        self._take_state(path, content)

    @property
    def parameters(self) -> int:
        """Numbers that training moves (and the moments of a batch normalization)."""
        return 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one event's scores (models/evaluation/macs.py)."""
        return 0

    def predict_function(self, images: np.ndarray) -> tuple[Callable, list[np.ndarray]] | None:
        """(tf.function of arrays, its arrays for these images, float32), to time and convert; None without network."""
        return None

    def use_encoder(self, model: Any) -> None:
        """The trained model of the system `encoder_of`, where it names one; comes before `fit`."""

    def classification(self, events: LabelledEvents) -> dict[str, float]:
        """How well a classifier tells its classes apart: name of a measure -> value; empty for other systems."""
        return {}

    def _state(self) -> bytes:
        buffer = io.BytesIO()
        named: dict[str, Any] = {"system": self.name, "signs": json.dumps(self.signs), **self.arrays()}
        np.savez(buffer, allow_pickle=False, **named)
        return buffer.getvalue()

    def _take_state(self, path: Path, content: bytes) -> None:
        expected = f"arrays of the system {self.name}"
        again = "train the system again"
        arrays = read_arrays(path, expected, again, ("signs",), content)
        name = str(arrays.pop("system", "something else"))
        if name != self.name:
            raise InputError(f"{path} holds {name}", expected, "choose another file")
        self.signs = parse_table(str(arrays.pop("signs")), f"the signs of {path}", remedy=again)
        self.take(arrays)


class KerasSystem(System):
    """A system of one Keras model, trained by models/training/loop.py.

    A subclass gives create_model, network_inputs and raw_scores. config has a SystemTraining as `training`.
    """

    random = True
    file = "model.keras"
    reference = "mse"
    # Of AdamW and the rate's half cosine, and whether events are flipped and rolled (models/training/config.py).
    weight_decay: ClassVar[float] = 1e-4
    beta_2: ClassVar[float] = 0.999
    final_rate: ClassVar[float] = 0.05
    augment: ClassVar[bool] = True

    def __init__(self, config: Any, seed: int = 0):
        from codae_l1.models.training.ambient import check_keras

        super().__init__(config, seed)
        check_keras()
        self.model = self.create_model()

    @abstractmethod
    def create_model(self) -> Any:
        """The Keras model of config and seed, a Trainable."""

    @abstractmethod
    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """Images -> what the network reads."""

    def training_events(self, events: LabelledEvents) -> Arrays:
        """What the model's objective takes: the network's input; with labels where the system is supervised."""
        return self.network_inputs(events.images)

    def training_config(self) -> TrainingConfig:
        """How the loop trains the model: the system's table, and what is fixed with it."""
        fixed = {name: getattr(self, name) for name in ("augment", "weight_decay", "beta_2", "final_rate")}
        return TrainingConfig(**{**fixed, **dump(self.config.training)})

    def view(
        self, arrays: tuple[np.ndarray, ...], generator: np.random.Generator, trains: bool
    ) -> tuple[np.ndarray, ...]:
        """A batch as the objective is to see it, by default flipped and rolled in training where `augment` says so.

        arrays: those of training_events, of one batch. What is returned are the objective's arguments: two views of
        each event, for example. In training the generator differs from epoch to epoch, else it is always the same.
        """
        return training.default_view(self.training_config())(arrays, generator, trains)

    def learn(
        self, train: LabelledEvents, validation: LabelledEvents, folder: Path, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Train and leave the model at its best epoch."""
        arrays = self.training_events(train), self.training_events(validation)
        return training.train(self.model, *arrays, self.training_config(), folder, progress, view=self.view)

    def before_training(self, train: LabelledEvents, validation: LabelledEvents) -> System | None:
        """The same network with its initial weights."""
        fresh = type(self)(self.config, self.seed)
        fresh.prepare(train)
        fresh.finish(train)
        fresh.orient_by(validation.background)
        return fresh

    def save(self, path: Path) -> None:
        """Write the model, and the state beside it, to one .keras file."""
        with whole_file(path) as temporary:
            self.model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(STATE, self._state())

    def load(self, path: Path) -> None:
        """Take up what save wrote."""
        self.model = load_model(path, type(self.model))
        self._take_state(path, read_member(path, STATE, f"a saved {self.name}", "train the system again"))

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


class JetSystem(System):
    """What a system of jets has beside: what it reads of them, and perhaps a latent and a reconstruction."""

    inputs = "jets"
    # Whether its latent is a representation, which a linear classifier tests (scripts/jets.py).
    representation: ClassVar[bool] = False

    @property
    @abstractmethod
    def side(self) -> int | str:
        """Pixels per side of the images that it reads, or "constituents" (data.formats.jet_images.JetSample)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one jet that it reads."""
        return (self.side, self.side, 1) if isinstance(self.side, int) else (HARDEST, 3)

    def checked(self, images: np.ndarray) -> np.ndarray:
        """The jets, if they are what the system reads; else InputError."""
        if images.shape[1:] != self.shape:
            what = "jet images" if isinstance(self.side, int) else "constituents"
            raise InputError(
                f"images of shape {images.shape} for {self.name}",
                f"{what} (N, {', '.join(map(str, self.shape))})",
                "read a jets file",
            )
        return images

    def latent(self, images: np.ndarray) -> np.ndarray | None:
        """Jets (N, ...) -> latents (N, k); None where it has none."""
        return None

    def reconstruct(self, images: np.ndarray) -> np.ndarray | None:
        """Images (N, side, side, 1) -> their reconstructions, same shape; None where it makes none."""
        return None


def _require_background(name: str, *samples: LabelledEvents) -> None:
    """Raise InputError where a system that learns from one background would be given anything else."""
    for events in samples:
        others = np.unique(events.label[~events.is_background]).tolist()
        if others:
            raise InputError(
                f"{int(np.sum(~events.is_background))} events of {', '.join(others)} for the training of {name}",
                "background alone, as it is unsupervised",
                'select label == "qcd", or "zero_bias"',
            )
        if len(kinds := np.unique(events.label)) > 1:
            raise InputError(
                f"events of {' and '.join(kinds)} for the training of {name}", "one background", "select one of them"
            )
