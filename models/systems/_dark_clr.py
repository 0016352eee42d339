"""DarkCLR (arXiv:2312.03067): a representation of jets that sees past how a jet lies, and not past what it lacks.

It learns from QCD jets alone, of which three views are made (models/systems/_jet_augmentations.py), with the loss

    AnomCLR+  +  0.001 |z|        (models/systems/_contrastive.py)

that draws the positive view to the jet, and drives away the one of which half the constituents are missing, as they are
where a dark shower stays invisible.

    jets (N, 50, 3)   pT [GeV], eta, phi of the hardest constituents, centred by pT; pT is divided by 300 GeV
      -> encoder: width d (128), 4 layers of 4 heads, 4 d units -> h (N, d) -> head: 4 d and 4 d units -> z (N, 4 d)

Scores, each higher = more anomalous by its definition: `norm`, |z| (the paper's s_CLR); `mahalanobis`, the distance of
h from the mean of QCD in units of its covariance. Published: d = 128 (1,122,304 parameters), Adam at 5e-5 with an
epsilon of 1e-4, batches of 256, 150 epochs of 100,000 jets. Here a gradient longer than 1 is cut to 1, and the epoch is
the one with the lowest validation loss.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from codae_l1.data.formats.jet_images import CONSTITUENTS, HARDEST
from codae_l1.models.codae.layers import register
from codae_l1.models.systems._contrastive import ContrastiveNetwork, EncoderConfig
from codae_l1.models.systems._density import fit_mahalanobis, load_density, rarities
from codae_l1.models.systems._jet_augmentations import centred, views
from codae_l1.models.systems.base import JetSystem, KerasSystem, LabelledEvents
from codae_l1.models.systems.registry import BRIEF, _DarkClrConfig, _DarkClrSystemConfig
from codae_l1.models.training.network import in_slices

# GeV, by which pT is divided.
PT_SCALE = 300.0
LAYERS = HEADS = 4
# Units between and of the head, in widths.
UNITS = 4
# Weight of |z| in the loss.
NORM_WEIGHT = 1e-3


@register
class DarkClrNetwork(ContrastiveNetwork):
    """The encoder and the head; Adam divides by at least 1e-4."""

    adam_epsilon: ClassVar[float] = 1e-4


class DarkClrSystem(JetSystem, KerasSystem):
    """DarkCLR; main score: norm."""

    name = "dark_clr"
    main_score = "norm"
    further_scores = ("mahalanobis",)
    reference = None
    augment = False
    weight_decay = 0.0
    final_rate = 1.0
    representation = True
    timed = "encoder and head"

    def __init__(self, config: _DarkClrSystemConfig, seed: int = 0):
        super().__init__(config, seed)
        self.density: Any = None

    @property
    def side(self) -> str:
        """It reads constituents."""
        return CONSTITUENTS

    @classmethod
    def small(cls) -> _DarkClrSystemConfig:
        """Few units, two epochs."""
        return _DarkClrSystemConfig(_DarkClrConfig(8), BRIEF)

    def create_model(self) -> DarkClrNetwork:
        """Encoder and head of the configured width."""
        width, units = self.config.model.width, UNITS * self.config.model.width
        encoder = EncoderConfig(3, width, units, HEADS, LAYERS, (units, units))
        return DarkClrNetwork(encoder, self.seed, (HARDEST, 3), "AnomCLR+", NORM_WEIGHT)

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """Constituents (N, 50, 3), pT in GeV -> what the encoder reads, float32."""
        return _scaled(centred(self.checked(images)))

    def training_events(self, events: LabelledEvents) -> np.ndarray:
        """Centred jets (N, 50, 3) in GeV, of which `view` makes what the loss reads."""
        return centred(self.checked(events.images))

    def view(
        self, arrays: tuple[np.ndarray, ...], generator: np.random.Generator, trains: bool
    ) -> tuple[np.ndarray, ...]:
        """A batch of jets -> base, positive and anomaly; ones, since all are jets."""
        (jets,) = arrays
        return *(_scaled(x) for x in views(jets, generator)), np.ones(len(jets), np.float32)

    def finish(self, train: LabelledEvents) -> None:
        """Mean and covariance of h over the training jets."""
        self.density = fit_mahalanobis(self.latent(train.images).astype(np.float64))

    def latent(self, images: np.ndarray) -> np.ndarray:
        """Constituents -> the representation h (N, d) float32."""
        return in_slices(self.model.represent, self.network_inputs(images))

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """norm and mahalanobis, (N,) float64."""
        found = in_slices(self.model.both, self.network_inputs(images))
        found = {name: x.astype(np.float64) for name, x in found.items()}
        return {
            "norm": np.sqrt(np.square(found["z"]).sum(axis=1)),
            "mahalanobis": rarities(self.density, found["h"]),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Those of the density."""
        return self.density.arrays()

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up the density whose arrays these are."""
        self.density = load_density(arrays)


def _scaled(jets: np.ndarray) -> np.ndarray:
    """pT [GeV], eta, phi -> pT / 300 GeV, eta, phi, float32."""
    return (jets / np.array([PT_SCALE, 1.0, 1.0])).astype(np.float32)
