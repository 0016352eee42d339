"""Systems of the comparison that are arrays and not networks: observables without learning, boosted trees.

Both read only the image. `ArraySystem` stores a system as named arrays in one .npz: without pickle, and equal to the
bit.
"""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file
from codae_l1.data.base.progress import Progress
from codae_l1.data.events import QCD
from codae_l1.models.systems._observables import observables, tree_inputs
from codae_l1.models.systems.base import Batch, System
from codae_l1.models.systems.boosted_trees import Forest, grow, log_losses
from codae_l1.models.systems.registry import BoostedTreesConfig


class ArraySystem(System):
    """A system that is a few named arrays: a subclass gives `arrays` (empty before fit) and takes them with `take`."""

    inputs = "events"
    supervised = False
    random = False
    file = "model.npz"

    def __init__(self, config: Any, seed: int = 0):
        self.config, self.seed = config, seed

    def arrays(self) -> dict[str, np.ndarray]:
        """All that scores need, by name."""
        return {}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the system whose arrays these are."""

    def save(self, path: Path) -> None:
        """Write the arrays to one .npz file, whole or not at all."""
        with whole_file(path) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, system=np.array(self.name), **self.arrays())  # type: ignore[arg-type]

    def load(self, path: Path) -> None:
        """Take up what save wrote."""
        expected = f"arrays of a {self.name} system"
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} cannot be read ({error})", expected, "train the system again") from error
        name = str(arrays.pop("system", "something else"))
        if name != self.name:
            raise InputError(f"{path} holds {name}", expected, "choose another file")
        self.take(arrays)

    def untrained(self) -> InputError:
        """The error of a system that is asked for scores before it has any."""
        return InputError(f"{self.name} that is not trained", "a trained one", "call fit or load first")

    @property
    def parameters(self) -> int:
        """Nothing is learnt."""
        return 0

    @property
    def macs(self) -> int:
        """Sums and comparisons, no products of two words."""
        return 0

    def predict_function(self, images: np.ndarray) -> tuple[Callable, list[np.ndarray]] | None:
        """There is no network."""
        return None


class ObservablesSystem(ArraySystem):
    """What is read off an image without learning (models/systems/_observables.py); n_tracks is in the event's record
    alone."""

    name = "observables"
    main_score = "active_pixels"

    def fit(self, train: Batch, validation: Batch, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Nothing to learn."""
        return {}

    def scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> (N,) float64, higher = more anomalous by decision, not by data."""
        return observables(images)


class BoostedTreesSystem(ArraySystem):
    """Boosted trees on 30 summaries (observables.TREE_INPUTS), QCD against all signals together; score: log_odds.

    The number of trees is the one of the lowest log loss on the validation events. Nothing in it is random.
    """

    name = "bdt"
    supervised = True
    main_score = "log_odds"
    config: BoostedTreesConfig

    def __init__(self, config: BoostedTreesConfig | None = None, seed: int = 0):
        super().__init__(config or BoostedTreesConfig(), seed)
        self.forest: Forest | None = None
        self.baseline = 0.0

    def fit(self, train: Batch, validation: Batch, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Grow the trees on train, keep as many as validation asks for; history: log loss after each tree."""
        labels = [batch.label != QCD for batch in (train, validation)]
        for name, is_signal in zip(("training", "validation"), labels, strict=True):
            if is_signal.all() or not is_signal.any():
                raise InputError(
                    f"{int(is_signal.sum())} signal and {int((~is_signal).sum())} QCD events for the {name} of "
                    f"{self.name}",
                    "some of both, as it is supervised",
                    "take both classes from one split",
                )
        inputs = [tree_inputs(batch.images) for batch in (train, validation)]
        forest, self.baseline = grow(inputs[0], labels[0], self.config)
        losses = [log_losses(_margins(forest, self.baseline, x), y) for x, y in zip(inputs, labels, strict=True)]
        best = int(np.argmin(losses[1])) + 1
        self.forest = forest.first(best)
        history = dict(zip(("loss", "validation_loss"), (loss.tolist() for loss in losses), strict=True))
        return {**history, "best_epoch": best, "best_validation_loss": float(losses[1][best - 1])}

    def scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """log_odds (N,) of being a signal."""
        if self.forest is None:
            raise self.untrained()
        return {"log_odds": _margins(self.forest, self.baseline, tree_inputs(images))[:, -1]}

    def arrays(self) -> dict[str, np.ndarray]:
        """Forest and baseline."""
        if self.forest is None:
            raise self.untrained()
        return {**self.forest.arrays(), "baseline": np.array(self.baseline)}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the system whose arrays these are."""
        self.forest, self.baseline = Forest.of(arrays), float(arrays["baseline"])

    @property
    def parameters(self) -> int:
        """Splits (feature and threshold) and leaves of all trees."""
        return 0 if self.forest is None else self.forest.parameters


def _margins(forest: Forest, baseline: float, x: np.ndarray) -> np.ndarray:
    """Log odds after each number of trees, summed in their order: (N, trees)."""
    values = forest.leaf_values(x)
    return np.cumsum(np.column_stack([np.full(len(x), baseline), values]), axis=1)[:, 1:]
