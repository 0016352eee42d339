"""Hard processes in Pythia 8 (arXiv:2203.11601): settings per process and final particles as arrays.

QCD is generated flat-ish in transverse momentum and weighted back (bias2Selection); SUEP scalars leave Pythia undecayed
and are decayed in codae_l1.data.generation.suep; semi-visible jets are Pythia's Hidden Valley (arXiv:1102.3795).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.events import QCD, SUEP_MASSES
from codae_l1.data.generation.config import GenerationConfig

# Pythia's largest random seed.
_MAX_SEED = 900_000_000
COMMON = (
    "Print:quiet = on",
    "Check:event = off",
    "Random:setSeed = on",
    # GeV, LHC Run 3.
    "Beams:eCM = 13600.",
    "Tune:pp = 5",
)
_QCD = (
    "HardQCD:all = on",
    "PhaseSpace:pTHatMin = 200.",
    "PhaseSpace:pTHatMax = 7000.",
    "PhaseSpace:bias2Selection = on",
    "PhaseSpace:bias2SelectionPow = 4.5",
    "PhaseSpace:bias2SelectionRef = 200.",
)
_PILEUP = ("SoftQCD:all = on",)
SCALAR_ID = 25


@dataclass(frozen=True)
class Particles:
    """Stable particles of some collisions, one collision after another: columns (n,).

    event: (n,) int64, ascending, which collision. pdg: (n,) int64 particle codes. momentum: (n, 4) float64, px, py, pz,
    E in GeV. vertex: (n, 3) float64, where each was produced, mm, beam spot at 0. weight: (events,) float64.
    """

    event: np.ndarray
    pdg: np.ndarray
    momentum: np.ndarray
    vertex: np.ndarray
    weight: np.ndarray


def settings(process: str, config: GenerationConfig) -> tuple[str, ...]:
    """Pythia's settings for a process ("qcd", a signal's name, or "pileup")."""
    if process == "pileup":
        return (*COMMON, *_PILEUP, f"Beams:eCM = {config.pileup_energy_gev}")
    if process == QCD:
        return (*COMMON, *_QCD)
    if process in SUEP_MASSES:
        return (*COMMON, *_suep(config.mass(process), config))
    return (*COMMON, *_svj(config.mass(process), config))


def start_pythia(lines: tuple[str, ...], seed: int) -> Any:
    """A Pythia instance, initialised; InputError where the package is not installed."""
    try:
        import pythia8mc  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            "pythia8mc is not installed",
            "Pythia 8 where events are generated",
            "pip install pythia8mc==8.317.2 (or pip install -e '.[generate]')",
        ) from None
    pythia = pythia8mc.Pythia("", False)
    for line in (*lines, f"Random:seed = {seed % _MAX_SEED + 1}"):
        if not pythia.readString(line):
            raise ToolError(f"Pythia 8 refused {line!r}", "a setting it knows", "install pythia8mc==8.317.2")
    if not pythia.init():
        raise ToolError("Pythia 8 did not start", "valid settings", "see its messages above")
    return pythia


def collisions(pythia: Any, count: int) -> Particles:
    """The next `count` collisions, less those that Pythia gives up."""
    return final_particles(next_batch(pythia, count))


def next_batch(pythia: Any, count: int) -> Any:
    """Whole records of the next collisions as Pythia's awkward array; four times as fast as Python objects."""
    try:
        batch = pythia.nextBatch(count, "skip")
    except RuntimeError as error:
        raise ToolError(f"Pythia 8 failed ({error})", "events", "check the settings of the process") from None
    if len(batch) == 0:
        raise ToolError(f"Pythia 8 failed {count} times", "events", "check the settings of the process")
    return batch


def final_particles(batch: Any) -> Particles:
    """The stable particles of a batch."""
    import awkward

    final = batch.prt[batch.prt.status > 0]
    event = np.repeat(np.arange(len(batch)), np.asarray(awkward.num(final)))
    flat = awkward.flatten(final)
    momentum = np.column_stack([np.asarray(flat.p[axis]) for axis in ("px", "py", "pz", "e")])
    vertex = np.column_stack([np.asarray(awkward.fill_none(flat.vProd[axis], 0.0)) for axis in ("px", "py", "pz")])
    weight = np.asarray(awkward.firsts(batch.info.weights), np.float64)
    return Particles(event, np.asarray(flat.id, np.int64), momentum, vertex, weight)


def _suep(mass: float, config: GenerationConfig) -> tuple[str, ...]:
    if mass <= config.recoil_below_gev:
        hard = (
            "HiggsSM:gg2Hg(l:t) = on",
            "HiggsSM:qg2Hq(l:t) = on",
            "HiggsSM:qqbar2Hg(l:t) = on",
            "PhaseSpace:pTHatMin = 150.",
        )
    else:
        hard = ("HiggsSM:gg2H = on",)
    if config.wide_scalar:
        width = ("25:onMode = off", "25:0:onMode = 1")
    else:
        width = ("25:doForceWidth = on", "25:mWidth = 0.01")
    return (*hard, f"25:m0 = {mass}", "25:mayDecay = off", *width)


def _svj(mass: float, config: GenerationConfig) -> tuple[str, ...]:
    hadron, invisible = config.dark_hadron_mass_gev, config.invisible_fraction
    mediator = [
        "HiddenValley:ffbar2Zv = on",
        f"4900023:m0 = {mass}",
        f"4900023:mMin = {mass - 1}",
        f"4900023:mMax = {mass + 1}",
        "4900023:mWidth = 0.01",
        "4900023:doForceWidth = on",
        "4900023:oneChannel = 1 0.982 102 4900101 -4900101",
    ]
    # Without decays to quarks the mediator would have no production cross section.
    mediator += [f"4900023:addChannel = 0 0.003 102 {q} -{q}" for q in range(1, 7)]
    dark = [f"4900101:m0 = {hadron / 2}", *(f"{code}:m0 = {hadron / 2 - 0.01}" for code in (51, 53))]
    dark += [f"{code}:m0 = {hadron}" for code in (4900111, 4900113, 4900211, 4900213)]
    shower = [
        "Ngauge = 2",
        "nFlav = 2",
        "spinFv = 0",
        "FSR = on",
        "fragment = on",
        "probVector = 0.75",
        "alphaOrder = 0",
        "alphaFSR = 0.5",
        "pTminFSR = 15",
    ]
    decays = []
    for code in (4900111, 4900211):
        decays += [f"{code}:oneChannel = 1 {invisible} 0 51 -51", f"{code}:addChannel = 1 {1 - invisible} 91 5 -5"]
    for code in (4900113, 4900213):
        decays.append(f"{code}:oneChannel = 1 {invisible} 0 53 -53")
        decays += [f"{code}:addChannel = 1 {(1 - invisible) / 5} 91 {q} -{q}" for q in range(1, 6)]
    return (*mediator, *dark, *(f"HiddenValley:{line}" for line in shower), *decays)
