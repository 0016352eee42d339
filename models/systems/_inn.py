"""An invertible network of energy-flow polynomials (arXiv:2202.00686): how improbable a jet is among QCD jets.

    constituents (N, 50, 3) -> 8 polynomials (models/systems/_energy_flow.py) -> whitened x (N, 8)
    x -> 24 affine couplings (models/systems/_flow.py) -> -log p(x)

Whitening: principal components of the training jets' polynomials, each divided by its standard deviation; polynomials
are taken as they are, without a logarithm. The density is that of x; that of the polynomials differs by a constant. It
learns from QCD alone. Score: nll = -log p(x), higher = rarer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.systems._density_configs import InnConfig, InnSystemConfig
from codae_l1.models.systems._energy_flow import energy_flow
from codae_l1.models.systems._flow import AffineFlow
from codae_l1.models.systems.base import JetSystem, KerasSystem, LabelledEvents
from codae_l1.models.systems.registry import BRIEF
from codae_l1.models.training.network import in_slices

# Least variance of a component as a share of the largest one: a direction in which nothing varies stays finite.
LEAST_VARIANCE = 1e-10
# Standard deviations from the mean, beyond which the couplings may overflow: they have seen nothing there.
FAR = 50.0


class InnSystem(JetSystem, KerasSystem):
    """Couplings of whitened polynomials; score: nll."""

    name = "inn"
    main_score = "nll"
    # A negative log likelihood grows with rarity by its definition.
    reference = None
    weight_decay = 0.0
    final_rate = 1.0
    augment = False

    def __init__(self, config: Any, seed: int = 0):
        super().__init__(config, seed)
        # Of the polynomials: mean (8,), and what their deviations are multiplied by (8, 8).
        self.mean, self.whitener = np.zeros(8), np.eye(8)

    @property
    def side(self) -> str:
        """It reads constituents."""
        return "constituents"

    @classmethod
    def small(cls) -> Any:
        """Few couplings and units, two epochs."""
        return InnSystemConfig(InnConfig(2, 8), BRIEF)

    def create_model(self) -> AffineFlow:
        """The flow of the configured sizes."""
        return AffineFlow(self.config.model, self.seed)

    def prepare(self, train: LabelledEvents) -> None:
        """Mean and principal components of the training jets' polynomials."""
        found = energy_flow(self.checked(train.images))
        if len(found) < 2 or not np.ptp(found, axis=0).any():
            raise InputError(
                f"{len(found)} jets to train {self.name} whose polynomials do not vary", "jets that differ", "add some"
            )
        self.mean = found.mean(axis=0)
        values, directions = np.linalg.eigh(np.cov(found, rowvar=False))
        self.whitener = directions / np.sqrt(np.maximum(values, LEAST_VARIANCE * values[-1]))

    def network_inputs(self, images: np.ndarray) -> np.ndarray:
        """Constituents (N, 50, 3) -> whitened polynomials (N, 8) float32."""
        return ((energy_flow(self.checked(images)) - self.mean) @ self.whitener).astype(np.float32)

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{"nll": (N,) float64; the largest float32 for a jet so far away that the couplings overflow."""
        x = self.network_inputs(images)
        nll = in_slices(self.model, x).astype(np.float64)
        overflows = ~np.isfinite(nll) & (np.abs(x) > FAR).any(axis=1)
        return {"nll": np.where(overflows, np.finfo(np.float32).max, nll)}

    def latent(self, images: np.ndarray) -> np.ndarray:
        """Constituents -> z (N, 8) float32, which is standard normal for the jets that it has learned."""
        return in_slices(lambda x: self.model.forward(x)[0], self.network_inputs(images))

    def arrays(self) -> dict[str, np.ndarray]:
        """The whitening."""
        return {"mean": self.mean, "whitener": self.whitener}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The whitening of a saved system."""
        self.mean, self.whitener = arrays["mean"], arrays["whitener"]

    @property
    def macs(self) -> int:
        """MACs of the flow."""
        return self.model.macs
