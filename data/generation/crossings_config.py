"""What zero-bias crossings to make. The provenance of every such sample holds these values."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import QCD, SIGNALS, ZERO_BIAS
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.pooling import PoolingConfig
from codae_l1.data.splits import SPLITS

# Other processes that a trigger sees; their cross sections give rates.
OTHERS = (QCD, "w", "z", "top")
# Splits in which every crossing has the weight 1, as a training wants it.
NATURAL = ("train", "calibration")
_SIGNAL_KEYS = ("masses_gev", "meson_mass_gev", "temperature_gev", "invisible_fraction")


@dataclass(frozen=True)
class CrossingsConfig:
    """A sample of crossings.

    n_crossings: zero-bias crossings of the splits train, validation, calibration and test.
    n_signal: crossings of each other process in the test split.
    n_signal_validation: the same in the validation split, which gets a share of the pool for them.
    processes: these others: signals, and qcd (pT-hat above 20 GeV), w, z, top.
    n_soft: soft collisions in the pool, over all splits, each of which gets a share by its number of crossings.
    n_hard: hard collisions in the pool, likewise, divided among the slices.
    cuts_gev: where the slices of pT-hat begin, rising.
    bias: how evenly validation and test are spread over the slices, 0 to 1; in train and calibration every crossing has
        the weight 1.
    pileup: mean numbers of inelastic collisions per crossing, at most 250.
    pileup_shares: how often each of them occurs; none: all alike.
    seed: base of all random numbers; a chunk's follow from it and the chunk's number.
    vertex: the primary vertex is "chosen" (the largest sum of track pT squared) or the "truth" (of the signal's
        collision; in zero bias of the one with the largest pT-hat).
    detector: "trigger", or "delphes" as in the public CoDAE sample.
    hadron_response: share of its energy that a hadron of 1 GeV shows in the trigger's towers.
    ecal_threshold_gev, hcal_threshold_gev: transverse energy below which a tower is not sent.
    resolution_scale: factor on the resolution of both calorimeters. The last four are of the detector "trigger".
    energy_lsb_gev: step of the pooled energies that are kept, a power of two times 0.5.
    masses_gev, meson_mass_gev, temperature_gev, invisible_fraction: of the signals, as in GenerationConfig.
    n_images: zero-bias crossings of the test split whose images are kept, too.
    all_images: whether to keep the images of all zero-bias crossings and of all signals: an events file on which full
        models train (data.background = "zero_bias").
    chunk_crossings: crossings per chunk, the unit of parallel work and of resume.
    """

    n_crossings: tuple[int, ...] = (24_000, 10_000, 3_000, 25_000)
    n_signal: int = 600
    n_signal_validation: int = 250
    processes: tuple[str, ...] = (*SIGNALS, *OTHERS)
    n_soft: int = 200_000
    n_hard: int = 56_000
    cuts_gev: tuple[float, ...] = (20.0, 30.0, 45.0, 70.0, 110.0, 170.0, 300.0)
    bias: float = 0.7
    pileup: tuple[float, ...] = (50.0,)
    pileup_shares: tuple[float, ...] = ()
    seed: int = 20263
    vertex: Literal["chosen", "truth"] = "chosen"
    detector: Literal["trigger", "delphes"] = "trigger"
    hadron_response: float = 0.42
    ecal_threshold_gev: float = 1.0
    hcal_threshold_gev: float = 1.5
    resolution_scale: float = 1.0
    energy_lsb_gev: float = 1.0
    masses_gev: tuple[str, ...] = ()
    meson_mass_gev: float = 2.0
    temperature_gev: float = 2.0
    invisible_fraction: float = 0.3
    n_images: int = 0
    all_images: bool = False
    chunk_crossings: int = 1000

    def __post_init__(self):
        for name in ("n_signal", "n_signal_validation", "n_soft", "n_hard", "seed", "n_images"):
            self._require(name, getattr(self, name) >= 0, "a value >= 0")
            # Of a few bytes to a kilobyte each: a terabyte.
            self._require(name, getattr(self, name) <= 10**9 or name == "seed", "a value up to 10^9")
        self._require("chunk_crossings", 1 <= self.chunk_crossings <= 10**6, "a value from 1 to 10^6")
        for name in ("ecal_threshold_gev", "hcal_threshold_gev", "resolution_scale"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "a value >= 0")
        for name in ("bias", "hadron_response"):
            self._require(name, 0 <= getattr(self, name) <= 1, "a value from 0 to 1")
        counts = len(self.n_crossings) == len(SPLITS) and all(0 <= n <= 10**10 for n in self.n_crossings)
        self._require("n_crossings", counts, f"a number from 0 to 10^10 for each of {', '.join(SPLITS)}")
        # A step that the pooling cannot have is refused there.
        PoolingConfig(energy_lsb_gev=self.energy_lsb_gev)
        self._require_pileup()
        rising = all(a < b for a, b in zip(self.cuts_gev, self.cuts_gev[1:], strict=False))
        hard = bool(self.cuts_gev) and self.cuts_gev[0] >= 10 and self.cuts_gev[-1] <= 2000
        self._require("cuts_gev", rising and hard, "rising values from 10 to 2000")
        known = (*SIGNALS, *OTHERS)
        different = len(set(self.processes)) == len(self.processes)
        self._require(
            "processes", different and set(self.processes) <= set(known), f"different names out of {', '.join(known)}"
        )
        self._require_pool()
        # What a signal cannot be is refused there.
        _ = self.signals

    @property
    def signals(self) -> GenerationConfig:
        """How collisions of signals are made: as they come, without a selection or a recoil that is asked for.

        >>> CrossingsConfig(masses_gev=("h125=150",)).signals.mass("h125")
        150.0
        """
        given = {name: getattr(self, name) for name in _SIGNAL_KEYS}
        made = tuple(name for name in self.processes if name in SIGNALS)
        return GenerationConfig(minimum_ht_gev=0.0, recoil_below_gev=0.0, processes=made, **given)

    @property
    def mixture(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean numbers of collisions and how often each occurs, (k,) each.

        >>> [values.tolist() for values in CrossingsConfig(pileup=(30.0, 60.0), pileup_shares=(1.0, 3.0)).mixture]
        [[30.0, 60.0], [0.25, 0.75]]
        """
        shares = np.array(self.pileup_shares or np.ones(len(self.pileup)))
        return np.array(self.pileup), shares / shares.sum()

    @property
    def signal_numbers(self) -> dict[str, int]:
        """Split -> crossings of each process other than zero bias."""
        return {"validation": self.n_signal_validation, "test": self.n_signal}

    def images_of(self, process: str, split: str) -> int:
        """How many crossings of a process in a split keep their images, the first ones.

        >>> CrossingsConfig(n_signal=3, all_images=True).images_of("h125", "test")
        3
        """
        if self.all_images and process == ZERO_BIAS:
            return self.n_crossings[SPLITS.index(split)]
        if self.all_images and process in SIGNALS:
            return self.signal_numbers.get(split, 0)
        return self.n_images if (process, split) == (ZERO_BIAS, "test") else 0

    def images_file(self, out: Path) -> Path:
        """The events file of the images that are kept, beside the file of crossings."""
        return out.with_name(f"{out.stem}_images{out.suffix}")

    @property
    def pool_shares(self) -> dict[str, int]:
        """Split that holds any crossing -> the part of the pool, out of the sum of n_crossings (at least 1), it gets.

        >>> CrossingsConfig(n_crossings=(0, 0, 0, 50), processes=("h125",)).pool_shares
        {'validation': 3, 'test': 50}
        """
        signals = self.signal_numbers if self.processes else {}
        # A split that has signals alone gets a twentieth for their pile-up.
        least = math.ceil(sum(self.n_crossings) / 20) or 1
        splits = zip(SPLITS, self.n_crossings, strict=True)
        return {split: max(n, least) for split, n in splits if n or signals.get(split)}

    def _require_pileup(self) -> None:
        inside = bool(self.pileup) and all(0 <= mu <= 250 for mu in self.pileup)
        self._require("pileup", inside, "mean numbers of collisions from 0 to 250")
        shares = self.pileup_shares
        fits = not shares or (len(shares) == len(self.pileup) and min(shares) >= 0 and 0 < sum(shares) < math.inf)
        self._require("pileup_shares", fits, "a share >= 0 for each value of pileup, or none")

    def _require_pool(self) -> None:
        """A crossing must not be able to hold a good part of its split's pool."""
        parts = max(1, sum(self.n_crossings)) / min(self.pool_shares.values(), default=1)
        least = math.ceil(20 * max(self.pileup) * parts)
        self._require("n_soft", self.n_soft >= least, f"at least {least}: pile-up {max(self.pileup):g} needs it")
        least = math.ceil(40 * parts / 0.65 ** (len(self.cuts_gev) - 1))
        self._require("n_hard", self.n_hard >= least, f"at least {least} for {len(self.cuts_gev)} slices")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"generation.{name} = {getattr(self, name)!r}", expected, "correct the value")
