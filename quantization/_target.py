"""What the firmware network is to learn by distillation: the standardised target of each event.

    target = (score - mean) / deviation over the QCD training events

With `given_energies` the score's excess over what QCD events of the same energies have takes the place of the score.
"""

from collections.abc import Callable

import numpy as np

from codae_l1.data.augmentation import flip_and_roll
from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import input_counts, track_mask
from codae_l1.quantization.config import Training
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.network import saturated

# Masks (N, 72, 58, 1) of 0 and 1 -> score (N,), higher = more anomalous.
Teacher = Callable[[np.ndarray], np.ndarray]


class Target:
    """The target of the module's formula, fixed by QCD: counts (N, 18, 15, inputs) and their scores (N,).

    Called with counts and scores of other events, it gives (M, 1) float32.
    """

    def __init__(self, counts: np.ndarray, scores: np.ndarray, firmware: FirmwareConfig, training: Training):
        given = training.distill.given_energies
        self._expected = expected_score(counts, scores, firmware, training.seed) if given else None
        values = self._values(counts, scores)
        self.mean, self.deviation = float(values.mean()), float(values.std())
        if not self.deviation > 0:
            teacher = f"a teacher with the score {self.mean} on every event"
            raise InputError(teacher, "scores that differ", "train it longer")

    def __call__(self, counts: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Targets of these events."""
        return ((self._values(counts, scores) - self.mean) / self.deviation).astype(np.float32)[:, None]

    def _values(self, counts: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return scores - self._expected(counts) if self._expected else scores


def energies(counts: np.ndarray, firmware: FirmwareConfig) -> np.ndarray:
    """Sum of each energy input's words: counts (N, 18, 15, inputs) -> (N, energy inputs) float64."""
    which = [i for i, name in enumerate(firmware.inputs) if name != "tracks"]
    if not which:
        raise InputError(
            f"distill.given_energies with firmware.inputs = {list(firmware.inputs)}",
            "an energy among them (track_pt, ecal, hcal)",
            "add one",
        )
    return saturated(counts, firmware)[..., which].sum(axis=(1, 2)).astype(np.float64)


def expected_score(
    counts: np.ndarray, scores: np.ndarray, firmware: FirmwareConfig, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Mean score of QCD of the same energies, by boosted trees: a function of counts (N, 18, 15, inputs) -> (N,)."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(max_leaf_nodes=8, early_stopping=False, random_state=seed)
    trees.fit(energies(counts, firmware), scores)
    return lambda counts: trees.predict(energies(counts, firmware))


def training_set(
    teacher: Teacher, images: np.ndarray, firmware: FirmwareConfig, training: Training
) -> tuple[np.ndarray, np.ndarray]:
    """Counts (M, 18, 15, inputs) int64 and teacher scores (M,) of flipped and rolled copies of QCD images."""
    rng, progress = np.random.default_rng(training.seed), training.part("labels")
    augmented = np.concatenate([flip_and_roll(images, rng) for _ in range(training.distill.copies)])
    if progress:
        progress(0, 1, f"the teacher scores {len(augmented)} augmented QCD masks")
    scores = teacher(track_mask(augmented))
    if progress:
        progress(1, 1, f"the teacher scored {len(augmented)} augmented QCD masks")
    return input_counts(augmented, firmware.pooling), np.asarray(scores, np.float64)
