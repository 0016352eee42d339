"""What a run keeps of each crossing that is streamed, and the chunks of it that are read again and again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.files import sha256
from codae_l1.data.generation.crossings import read_chunk
from codae_l1.data.menu import menu_words
from codae_l1.data.pooling import PoolingConfig, input_counts
from codae_l1.models.evaluation.crossing_rates import Crossings
from codae_l1.scripts.run.crossings import trigger_words
from codae_l1.scripts.run.executors import RunExecutor

# The compiled emulator: its words are those of the RTL, and it needs neither TensorFlow nor a simulation.
_EXECUTOR = "emulator"
_WORDS = "words/"
# Of a crossing among the highest, beside its words.
_FACTS = ("weight", "stratum", "pt_hat", "scalar_pt", "collisions", "n_tracks", "vertex_lost", "members")


@dataclass(frozen=True)
class RunWords:
    """Measures crossings as a run's trigger sees them, on whatever worker.

    network: SHA-256 of the trigger network, which tells chunks of another one from these. folder: of the run, under
    which workers have it, too. trust: load a compiled emulator that the run did not record.
    """

    network: str
    folder: Path = field(repr=False)
    trust: bool = field(default=False, repr=False)

    @classmethod
    def of(cls, folder: Path, network: Path, trust: bool = False) -> "RunWords":
        """Of the run in a folder, with the network in a file."""
        return cls(sha256(network), folder.resolve(), trust)

    def executor(self) -> RunExecutor:
        """What gives the words; InputError where the run has none that can be loaded."""
        return _executor(self.folder, self.trust)

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Images (n, 72, 58, 3) GeV -> words/<score or quantity> (n,) int64."""
        executor = self.executor()
        counts = input_counts(images, executor.trained.config.pooling)
        tracks = input_counts(images, PoolingConfig())[..., 0]
        words = trigger_words(executor, counts, tracks, menu_words(images))
        return {f"{_WORDS}{name}": values.astype(np.int64) for name, values in words.items()}


@lru_cache(maxsize=1)
def _executor(folder: Path, trust: bool) -> RunExecutor:
    """The executor of a run, opened once by each worker."""
    from codae_l1.scripts.run.run import Run

    return Run(folder, trust=trust).executor(_EXECUTOR)


class Streamed:
    """The crossings of one process: chunks in files, which are read each time, one after the other.

    tasks: of the process, in order. folder: where their chunks are.
    """

    def __init__(self, tasks: Sequence[Any], folder: Path):
        self.tasks, self.folder = tasks, folder

    def __iter__(self) -> Iterator[Crossings]:
        for _, chunk in self.chunks():
            yield Crossings(_words(chunk), chunk["weight"], chunk["stratum"].astype(np.int64), chunk["members"])

    def __len__(self) -> int:
        return sum(task.count for task in self.tasks)

    def chunks(self) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
        """Each task with all columns of its chunk."""
        for task in self.tasks:
            yield task, read_chunk(task, self.folder)

    def column(self, name: str) -> np.ndarray:
        """A column of all crossings (n,): for signals, which are few."""
        return np.concatenate([chunk[name] for _, chunk in self.chunks()])

    def vertex_lost(self) -> float:
        """Weighted share of the crossings in which the hard collision is not the primary vertex."""
        lost = total = 0.0
        for _, chunk in self.chunks():
            total += float(chunk["weight"].sum())
            lost += float(chunk["weight"][chunk["vertex_lost"]].sum())
        return lost / total

    def highest(self, score: str, number: int) -> list[dict[str, Any]]:
        """The crossings with the largest words of a score, the largest first; of equal ones the first in the sample.

        Each has what was generated and all of its words; `file` and `index` say which crossing of which chunk it is.
        """
        best: list[tuple[int, dict[str, Any]]] = []
        for task, chunk in self.chunks():
            words = _words(chunk)
            order = np.argsort(-words[score], kind="stable")[:number]
            for i in order.tolist():
                facts = {name: chunk[name][i].tolist() for name in _FACTS}
                of = {name: int(values[i]) for name, values in words.items()}
                best.append((of[score], {"file": task.file, "index": i, **facts, "words": of}))
            # Stable: the earlier chunk stays first.
            best = sorted(best, key=lambda found: -found[0])[:number]
        return [found for _, found in best]


def _words(chunk: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(_WORDS): values for name, values in chunk.items() if name.startswith(_WORDS)}
