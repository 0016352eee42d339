"""What to generate: counts per process, pile-up and seeds. The provenance of every generated sample holds these
values."""

import math
from dataclasses import dataclass
from pathlib import Path

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.data.events import PROCESSES, SIGNALS, SUEP_MASSES, SVJ_MASSES

# Largest numbers: events and chunks of a terabyte, a pool of as many collisions.
_MOST = {"n_qcd": 10**9, "n_signal": 10**9, "n_signal_validation": 10**9, "chunk_events": 10**5}
_MOST |= {"pileup_blocks": 10**6, "pileup_block_size": 10**5}
# GeV, energy of the hard collisions.
_HARD_ENERGY_GEV = 13600.0


@dataclass(frozen=True)
class GenerationConfig:
    """A sample of events.

    n_qcd: QCD events, spread evenly over all pile-up blocks and so over all splits.
    n_signal: events of each signal in the blocks of the test split; n_signal_validation: in the validation split.
    processes: which to generate.
    seed: base of all random numbers; a chunk's numbers follow from it and the chunk's number, never from the class.
    pileup_mean: mean of the Poisson number of pile-up interactions per event.
    pileup_energy_gev: collision energy of the pile-up; the public sample's is 13 TeV, its hard collisions' 13.6 TeV.
    pileup_blocks, pileup_block_size: the pool; an event takes all its pile-up from one block.
    minimum_ht_gev: selection, scalar sum of jet transverse momenta.
    wide_scalar: SUEP scalar with the width of a Standard Model Higgs boson of its mass (as the public sample), else
        10 MeV.
    recoil_below_gev: SUEP scalars up to this mass are made with a recoiling parton of at least 150 GeV, without which
        one in fifty passes the selection; 0 switches it off.
    masses_gev: masses of scalars and Z' other than those of their names, such as "h125=150"; the name stays.
    meson_mass_gev, temperature_gev, dark_photon_mass_gev: SUEP's dark meson, its temperature, what it decays to.
    dark_hadron_mass_gev: semi-visible jets' dark pions and vectors; their quarks have half of it.
    invisible_fraction: r_inv, fraction of dark hadrons of semi-visible jets that decay invisibly.
    invisible_in_hcal: fraction of the invisible particles that deposit their energy in the HCAL. 0 is physics; 0.5
        matches the public sample's SVJ sums and is probably a flaw of it.
    ecal_scale, hcal_scale: measured / true energy of a calorimeter, before its thresholds.
    resolution_scale: factor on the resolution of both calorimeters.
    efficiency_scale: factor on the tracking efficiency, which stays at most 1.
    chunk_events: events per chunk, the unit of parallel work and of resume.
    """

    n_qcd: int = 9600
    n_signal: int = 320
    n_signal_validation: int = 0
    processes: tuple[str, ...] = PROCESSES
    seed: int = 20260
    pileup_mean: float = 50.0
    pileup_energy_gev: float = 13000.0
    pileup_blocks: int = 100
    pileup_block_size: int = 300
    minimum_ht_gev: float = 500.0
    wide_scalar: bool = True
    recoil_below_gev: float = 200.0
    masses_gev: tuple[str, ...] = ()
    meson_mass_gev: float = 2.0
    temperature_gev: float = 2.0
    dark_photon_mass_gev: float = 0.7
    dark_hadron_mass_gev: float = 20.0
    invisible_fraction: float = 0.3
    invisible_in_hcal: float = 0.0
    ecal_scale: float = 1.0
    hcal_scale: float = 1.0
    resolution_scale: float = 1.0
    efficiency_scale: float = 1.0
    chunk_events: int = 320

    def __post_init__(self):
        counts = ("n_qcd", "n_signal", "n_signal_validation", "seed")
        for name in (*counts, "pileup_mean", "minimum_ht_gev", "recoil_below_gev"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "a value >= 0")
        energy = self.minimum_ht_gev < _HARD_ENERGY_GEV
        self._require("minimum_ht_gev", energy, f"less than the collisions' energy, {_HARD_ENERGY_GEV:g} GeV")
        for name in ("pileup_block_size", "chunk_events"):
            self._require(name, getattr(self, name) >= 1, "a value >= 1")
        for name in ("pileup_energy_gev", "ecal_scale", "hcal_scale", "resolution_scale", "temperature_gev"):
            self._require(name, 0 < getattr(self, name) < math.inf, "a value > 0")
        # More than a disk holds, and more collisions in a crossing than any collider has (LHC: 140 to 200).
        for name in (*counts[:3], "pileup_blocks", "pileup_block_size", "chunk_events"):
            self._require(name, getattr(self, name) <= _MOST[name], f"a value up to {_MOST[name]:,}")
        self._require("pileup_mean", self.pileup_mean <= 1000, "a value up to 1,000")
        # Below that exp(-E / T) of every meson is zero in 64 bits.
        warm = self.meson_mass_gev <= 500 * self.temperature_gev
        self._require("temperature_gev", warm, f"at least {self.meson_mass_gev / 500:g}, a 500th of the meson's mass")
        # A' -> pi pi must be open, phi -> A' A' too; dark hadrons decay to bottom quarks.
        self._require("dark_photon_mass_gev", self.dark_photon_mass_gev >= 0.3, "a value >= 0.3")
        self._require(
            "meson_mass_gev", self.meson_mass_gev >= 2.1 * self.dark_photon_mass_gev, "2.1 dark photons' mass"
        )
        self._require("dark_hadron_mass_gev", 11 <= self.dark_hadron_mass_gev < math.inf, "a value >= 11")
        # One whole cycle of the splits (codae_l1.data.splits).
        self._require(
            "pileup_blocks", self.pileup_blocks >= 20, "at least 20, so that each split has blocks of its own"
        )
        for name in ("invisible_fraction", "invisible_in_hcal"):
            self._require(name, 0 <= getattr(self, name) <= 1, "a share from 0 to 1")
        self._require("efficiency_scale", 0 <= self.efficiency_scale <= 2, "a factor from 0 to 2")
        self._require_names()

    def _require_names(self) -> None:
        """Processes, and masses given by their names."""
        for word in self.masses_gev:
            name, _, value = word.partition("=")
            valid = name in SIGNALS and value.replace(".", "", 1).isdecimal() and 50 <= float(value) < _HARD_ENERGY_GEV
            masses = f"masses from 50 to below {_HARD_ENERGY_GEV:g}"
            self._require("masses_gev", valid, f"names of signals with {masses}, such as h125=150")
        named = [word.partition("=")[0] for word in self.masses_gev]
        once = len(set(named)) == len(named) and set(named) <= set(self.processes)
        self._require("masses_gev", once, f"one mass each of signals that are made ({', '.join(self.processes)})")
        unknown = sorted(set(self.processes) - set(PROCESSES))
        different = len(set(self.processes)) == len(self.processes)
        self._require("processes", not unknown and different, f"different names out of {', '.join(PROCESSES)}")
        scalars = [self.mass(name) for name in self.processes if name in SUEP_MASSES]
        # Two mesons that can move, or the scalar's mass would not be kept.
        light = 2.5 * self.meson_mass_gev <= min(scalars, default=math.inf)
        self._require("meson_mass_gev", light, "at most 0.4 of the lightest scalar's mass")

    def mass(self, process: str) -> float:
        """Mass [GeV] of a signal's scalar or Z'.

        >>> GenerationConfig(masses_gev=("h125=150",)).mass("h125")
        150.0
        """
        given = dict(word.split("=") for word in self.masses_gev)
        return float(given.get(process, (SUEP_MASSES | SVJ_MASSES)[process]))

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"generation.{name} = {getattr(self, name)!r}", expected, "correct the value")


@dataclass(frozen=True)
class Work:
    """How a sample is made. None of this changes the events.

    workers: local processes, default all cores. folder: where pieces are kept, default the output file with suffix
    .work; it may be removed afterwards. progress: called with events done, events in all and what is being made.
    command: what the user typed, for the provenance. scheduler: address of a Dask scheduler, whose workers are used
    instead of local processes; they need the folder under the same path.
    """

    workers: int | None = None
    folder: Path | None = None
    progress: Progress | None = None
    command: str = ""
    scheduler: str | None = None

    def folder_for(self, out: Path) -> Path:
        """The work folder of an output file."""
        return self.folder or out.with_suffix(".work")

    def report(self, done: int, total: int, text: str) -> None:
        """Report the progress, if a callback was given."""
        if self.progress is not None:
            self.progress(done, total, text)


DEFAULT = Work()
