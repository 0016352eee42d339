"""The normalized auto-encoder as a system of jet images (models/systems/_nae_network.py says what it is).

It is trained twice, each time by the loop of models/training/loop.py: as a plain auto-encoder, then with its chains.
Score: energy, the mean over pixels of (x - x')^2, up to a constant and the temperature the -log likelihood of the jet.
It learns from QCD alone.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from codae_l1.data.base.progress import Progress
from codae_l1.models.systems._density_configs import NaeConfig, NaeSystemConfig
from codae_l1.models.systems._nae_network import JetNormalizedAutoencoder, NormalizedAutoencoder
from codae_l1.models.systems.base import JetSystem, KerasSystem, LabelledEvents
from codae_l1.models.systems.registry import SystemTraining
from codae_l1.models.training import loop as training
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.network import in_slices

# Folder of the plain auto-encoder's training within that of the system.
PRETRAINING = "autoencoder"
# Epochs as a plain auto-encoder for each epoch with chains: published, 500 and 200.
PRETRAINING_SHARE = 2.5
# Learning rate of the plain auto-encoder, as published; the config has that of what follows.
PRETRAINING_RATE = 1e-3
# By which factor E-/E+ may be off for the sampler to count as converged.
CONVERGED = 1.5


class NaeSystem(JetSystem, KerasSystem):
    """Normalized auto-encoder of 40 x 40 images; score: energy.

    History: that of the second training, and `autoencoder`, that of the first; `ratio` and `difference`, E-/E+ and
    E- - E+ (summed over pixels) of the training jets in each epoch; `remark` where the sampler has not converged.
    """

    name = "nae"
    main_score = reference = "energy"
    # The published weights' decay.
    weight_decay = 1e-8
    final_rate = 1.0
    augment = False
    network: ClassVar[type[NormalizedAutoencoder]] = JetNormalizedAutoencoder
    pretraining: ClassVar[float] = PRETRAINING_SHARE

    @property
    def side(self) -> int:
        """Pixels per side of its images."""
        return 40

    @classmethod
    def small(cls) -> Any:
        """Two epochs as an auto-encoder, one with chains of one step."""
        return NaeSystemConfig(NaeConfig(1), SystemTraining(1, 8, 1e-2))

    def create_model(self) -> NormalizedAutoencoder:
        """The network, untrained."""
        return self.network(self.config.model, self.seed)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """The images themselves, (N, 40, 40, 1)."""
        return self.checked(images)

    def learn(
        self, train: LabelledEvents, validation: LabelledEvents, folder: Path, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Train the auto-encoder, then normalize it; both go on from what `folder` holds."""
        arrays = self.training_events(train), self.training_events(validation)
        second = self.training_config()
        plain = {"epochs": round(self.pretraining * second.epochs), "learning_rate": PRETRAINING_RATE}
        first = TrainingConfig(**{**vars(second), **plain})
        epochs = first.epochs + second.epochs

        def later(done: int, total: int, text: str) -> None:
            if progress:
                progress(first.epochs + done, epochs, text)

        def earlier(done: int, total: int, text: str) -> None:
            if progress:
                progress(done, epochs, text)

        self.model.normalizing = False
        before = training.train(self.model, *arrays, first, folder / PRETRAINING, earlier)
        self.model.normalizing = True
        history = training.train(self.model, *arrays, second, folder, later)
        return {**history, "autoencoder": before, **watch_sampler(history)}

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{"energy": (N,) float64}."""
        return {"energy": in_slices(self.model.energy, self.network_inputs(images)).astype(np.float64)}

    def latent(self, images: np.ndarray) -> np.ndarray:
        """Images -> points of the unit sphere (N, 3) float32."""
        return in_slices(self.model.latent, self.network_inputs(images))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images -> their reconstructions (N, 40, 40, 1) float32."""
        return in_slices(self.model, self.network_inputs(images))

    @property
    def parameters(self) -> int:
        """Numbers that training moves; the replay buffer is none."""
        return sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)


def watch_sampler(history: dict[str, Any]) -> dict[str, Any]:
    """What the energies of jets and chains in a history say: ratio, difference, and a remark where they disagree.

    >>> lists = {"energy": [2.0, 2.0], "contrast": [-1.0, -1.9], "validation_loss": [0.7, 0.1], "best_epoch": 2}
    >>> watch_sampler({**lists, "best_validation_loss": 0.1})["ratio"]
    [0.5, 0.95]
    >>> watch_sampler({**lists, "best_epoch": 1, "best_validation_loss": 0.7})["remark"]
    'the sampler has not converged: E-/E+ is off by a factor of 2.0 for validation jets in epoch 1'
    """
    energies, samples = np.array(history["energy"]), -np.array(history["contrast"])
    watched: dict[str, Any] = {"ratio": (samples / energies).tolist(), "difference": (samples - energies).tolist()}
    factor = float(np.exp(history["best_validation_loss"]))
    if factor > CONVERGED:
        watched["remark"] = (
            f"the sampler has not converged: E-/E+ is off by a factor of {factor:.1f} for validation jets in epoch "
            f"{history['best_epoch']}"
        )
    return watched
