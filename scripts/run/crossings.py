"""Crossings as a run judges them: the words of its firmware, of scores without learning, of the menu, of a ceiling."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import SIGNALS, ZERO_BIAS
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.menu import solve_menu
from codae_l1.data.pooling import PoolingConfig
from codae_l1.data.sample import CROSSINGS, SAMPLE_PILEUP
from codae_l1.data.splits import SPLITS
from codae_l1.scripts.run._ceiling import ceiling
from codae_l1.scripts.run.config import RunConfig, TriggerConfig
from codae_l1.scripts.run.executors import RunExecutor

if TYPE_CHECKING:
    from codae_l1.models.evaluation.crossing_rates import Crossings

# Scores of every crossing, integers; the menu's quantities stand beside them.
TRIGGER_SCORES = ("rtl", "block_power", "active_pixels", "bdt")
# Processes that are rare enough to be in no zero-bias sample, and whose cross section gives a rate.
_OTHERS = ("w", "z", "top")
# Cells of pool 4 in a block of block_power, along each axis.
_BLOCK = 3
# Crossings whose words are made at once.
_SLICE = 25_000


def trigger_words(
    executor: RunExecutor, counts: np.ndarray, tracks: np.ndarray, menu: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Words of crossings: name -> (n,) int64, higher fires.

    executor: of the run's firmware; its words are called rtl, since all integer executors give the same. counts: its
    inputs (n, phi, eta, inputs). tracks: active pixels in cells of 4 x 4 towers, (n, 18, 15). menu: quantity -> (n,).
    """
    n, rows, columns = tracks.shape
    blocks = tracks.astype(np.int64).reshape(n, rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK).sum(axis=(2, 4))
    return {
        "rtl": executor.trained.score_words(executor.predict_words(counts)),
        "block_power": np.square(blocks).sum(axis=(1, 2)),
        "active_pixels": blocks.sum(axis=(1, 2)),
        **menu,
    }


class RunCrossings:
    """A file of crossings as a run's firmware sees them; each split and process is read when it is asked for.

    file: the crossings. signals, others: names of the signals, and of W, Z and top, that the test split holds. inputs:
    names of the network's. crossing_khz: rate of all crossings.
    supervised: whether to train the ceiling, which takes some seconds.
    """

    def __init__(self, config: TriggerConfig, executor: RunExecutor, seed: int, supervised: bool = True):
        self.file = CrossingFile(_path(config))
        self.crossing_khz, self.inputs = config.crossing_khz, tuple(executor.trained.config.pooling.inputs)
        self._executor = executor
        _check_inputs(self.file, executor.trained.config.pooling)
        _check_file(self.file)
        self.signals = tuple(name for name in SIGNALS if len(self.file.where(name, "test")))
        self.others = tuple(name for name in _OTHERS if len(self.file.where(name, "test")))
        self.ceiling = ceiling(self.file, seed) if supervised else None

    @property
    def scores(self) -> tuple[str, ...]:
        """The scores that the crossings have."""
        return TRIGGER_SCORES if self.ceiling else TRIGGER_SCORES[:-1]

    def read(self, process: str, split: str = "test") -> "Crossings":
        """The crossings of a process in a split, with all words."""
        from codae_l1.models.evaluation.crossing_rates import Crossings

        file, which = self.file, self.file.where(process, split)
        parts = [self._words(part) for part in self.slices(process, split)]
        words = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Crossings(words, file.weight[which], file.stratum[which].astype(np.int64), file.members[which])

    def slices(self, process: str, split: str = "test") -> list[np.ndarray]:
        """Ascending indices of a process's crossings in parts whose words take some hundred MB, at least one part."""
        which = self.file.where(process, split)
        return np.array_split(which, max(1, math.ceil(len(which) / _SLICE)))

    def _words(self, which: np.ndarray) -> dict[str, np.ndarray]:
        """All words of some crossings, ascending indices."""
        file = self.file
        tracks = file.pooled(("tracks",), which)[..., 0]
        counts = self.counts(file.pooled(self.inputs, which))
        words = trigger_words(self._executor, counts, tracks, file.words(which))
        return words | ({"bdt": self.ceiling.words(file, which)} if self.ceiling else {})

    def cells(self, process: str, split: str = "test") -> np.ndarray:
        """Words of the network's inputs in the file's cells of 4 x 4 towers: (n, 18, 15, inputs) int64."""
        return self.file.pooled(self.inputs, self.file.where(process, split))

    def counts(self, cells: np.ndarray) -> np.ndarray:
        """The network's inputs (n, phi, eta, inputs) of words such as `cells` gives."""
        return _counts(self.file, cells, self._executor.trained.config.pooling)

    def generated(self, process: str, split: str = "test") -> dict[str, np.ndarray]:
        """Generated quantities of the hard collision, [GeV]: HT of jets and scalar pT, (n,) each."""
        which = self.file.where(process, split)
        return {"jet_ht": self.file.jet_ht[which], "scalar_pt": self.file.scalar_pt[which]}

    @staticmethod
    def background(config: RunConfig, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The network's inputs (n, phi, eta, inputs) of a split's zero-bias crossings, and their weights (n,).

        Raises InputError where the file does not fit the network or holds none in the split.
        """
        file, pooling = CrossingFile(_path(config.trigger)), config.firmware.pooling
        _check_inputs(file, pooling)
        which = file.where(ZERO_BIAS, split)
        if not len(which):
            raise InputError(
                f"{file.path} without zero-bias crossings in the {split} split",
                "some, of which a distance is learned (firmware.distance)",
                "make crossings with all splits (scripts/make_data.py --layout crossings), or set firmware.preset = "
                '"distilled"',
            )
        return _counts(file, file.pooled(pooling.inputs, which), pooling), file.weight[which]

    @staticmethod
    def check_pileup(config: RunConfig, provenance: Mapping[str, Any]) -> None:
        """Raise InputError where the shipped crossings would judge models of events of another pile-up.

        provenance: of the run's events; one that does not tell is not looked at.
        """
        if config.trigger.crossings != "sample" or config.why_no_crossings():
            return
        made = provenance.get("config")
        means = made.get("pileup", made.get("pileup_mean")) if isinstance(made, dict) else None
        means = means if isinstance(means, list) else [means]
        if all(isinstance(mean, int | float) for mean in means) and means != [SAMPLE_PILEUP]:
            raise InputError(
                f"data.events of pile-up {', '.join(f'{mean:g}' for mean in means)[:80]} with trigger.crossings = "
                f'"sample", of pile-up {SAMPLE_PILEUP:g}',
                "crossings of the events' pile-up",
                'name a file of them in trigger.crossings, or say "none"',
            )

    def facts(self) -> dict[str, Any]:
        """Of the file, JSON-ready: path, checksum, pile-up, crossings, how often the hard collision is no vertex."""
        file, lost = self.file, {}
        test = file.split == "test"
        for process in dict.fromkeys(file.process[test].tolist()):
            which = file.where(process, "test")
            lost[process] = float(np.average(file.vertex_lost[which], weights=file.weight[which]))
        zero_bias = file.where(ZERO_BIAS, "test")
        values = np.unique(file.pileup[zero_bias]).tolist()
        return {
            "pileup": values[0] if len(values) == 1 else values,
            "crossings": len(zero_bias),
            "file": "sample" if file.path == CROSSINGS else str(file.path),
            "checksum": file.checksum,
            "vertex_lost": lost,
            "masses_gev": (file.provenance.get("config") or {}).get("masses_gev", []),
            "process_khz": {name: _process_khz(file, name, self.crossing_khz) for name in self.others},
        }


def check_crossings(config: RunConfig) -> None:
    """Raise InputError where a later stage would refuse the crossings that a run's config names, or its menu."""
    if config.why_no_crossings():
        return
    trigger = config.trigger
    file = CrossingFile(trigger.path)
    _check_file(file)
    if config.firmware.distance:
        for split in ("train", "calibration"):
            RunCrossings.background(config, split)
    if trigger.crossings != "sample":
        # Those that are shipped do not fit every network; then a run has no rates, and says why.
        _check_inputs(file, config.firmware.pooling)
        for name in _OTHERS:
            if len(file.where(name, "test")):
                _process_khz(file, name, trigger.crossing_khz)
    missing = [path for path in trigger.menu.shares if path not in file.quantities]
    if missing and not file.quantities:
        raise InputError(
            f"{file.path} without quantities of a menu",
            f"words of {', '.join(missing)}",
            "make crossings (scripts/make_data.py --layout crossings)",
        )
    if missing:
        raise InputError(
            f"trigger.menu.shares with {', '.join(missing)}",
            f"quantities of the crossings: {', '.join(file.quantities)}",
            "correct the names",
        )
    which = file.where(ZERO_BIAS, "test")
    solve_menu(file.words(which), file.weight[which], trigger.menu, trigger.crossing_khz)


def _check_file(file: CrossingFile) -> None:
    """Raise InputError unless the content is as it was written, and the test split can be judged."""
    from codae_l1.models.evaluation.crossing_rates import check_disjoint

    file.verify()
    test = file.where(ZERO_BIAS, "test")
    if not len(test):
        raise InputError(
            f"{file.path} without zero-bias crossings in the test split",
            "some of them",
            "make crossings with a test split (scripts/make_data.py --layout crossings)",
        )
    for split in SPLITS[:-1]:
        # Something is trained on the others.
        check_disjoint(file.members[file.where(ZERO_BIAS, split)], file.members[test], (split, "test"))


def _process_khz(file: CrossingFile, process: str, crossing_khz: float) -> float:
    """Rate of crossings with the process, [kHz]."""
    sections = file.provenance.get("cross_sections", {})
    if process not in sections.get("processes_mb", {}):
        raise InputError(
            f"{file.path} without a cross section of {process}",
            "cross sections of all processes in the provenance",
            "generate the crossings (scripts/make_data.py --layout crossings), or leave the process out",
        )
    mu = np.average(file.pileup[file.where(process, "test")])
    return float(crossing_khz * mu * sections["processes_mb"][process] / sections["inelastic_mb"])


def _path(config: TriggerConfig) -> Path:
    """The file that the config names."""
    if config.crossings == "none":
        raise InputError('trigger.crossings = "none"', "crossings for trigger rates", 'say "sample" or name a file')
    return config.path


def _check_inputs(file: CrossingFile, pooling: PoolingConfig) -> None:
    """Raise InputError unless the file's pooled words give the inputs of a network."""
    stored = float(file.provenance.get("energy_lsb_gev", np.inf))
    energies = any(name != "tracks" for name in pooling.inputs)
    if energies and np.isinf(stored):
        raise InputError(
            f"{file.path} without the step of its energies",
            "energy_lsb_gev in its provenance",
            "make the crossings again",
        )
    aligned = pooling.pool % 4 == 0 and pooling.padding == PoolingConfig().padding
    if not aligned or (energies and (pooling.pool != 4 or pooling.energy_lsb_gev < stored)):
        raise InputError(
            f"{file.path} with cells of 4 x 4 towers and energies in steps of {stored:g} GeV, for a network with cells "
            f"of {pooling.pool} x {pooling.pool} and steps of {pooling.energy_lsb_gev:g} GeV",
            "cells of 4 or 12 towers, energies in cells of 4 and in no smaller steps",
            "make crossings for it (make_data.py --layout crossings), or set trigger.crossings to a file that fits",
        )
    missing = set(pooling.inputs) - set(file.inputs)
    if missing:
        file.pooled(pooling.inputs, np.zeros(0, np.int64))


def _counts(file: CrossingFile, words: np.ndarray, pooling: PoolingConfig) -> np.ndarray:
    """The network's inputs (n, phi, eta, inputs), from words (n, 18, 15, inputs) of cells of 4 x 4 towers."""
    if any(name != "tracks" for name in pooling.inputs):
        shift = int(pooling.energy_lsb_gev / file.provenance["energy_lsb_gev"]).bit_length() - 1
        # A floor of a floor by a power of two is one floor.
        return words >> np.array([0 if name == "tracks" else shift for name in pooling.inputs])
    side = pooling.pool // 4
    n, rows, columns, inputs = words.shape
    return words.reshape(n, rows // side, side, columns // side, side, inputs).sum(axis=(2, 4))
