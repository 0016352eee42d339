"""Events of 19 objects in the layout of ADC2021 (arXiv:2107.02157): missing momentum, leptons and jets.

Standard Model events with a lepton, in the challenge's proportions, or one of its four signals: proton-proton
collisions at 13 TeV without pile-up, passed through the fast detector, with exact track momenta. Row 0 is the missing
transverse momentum, 1-4 electrons (pT > 3 GeV, |eta| < 3, of which the tracker here covers 2.5), 5-8 muons (pT > 3 GeV,
|eta| < 2.1), 9-18 anti-kt jets (R = 0.5, pT > 15 GeV, |eta| < 4); each kind is sorted by falling pT and padded with
zeros. The leading lepton has more than 23 GeV.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_array, whole_file
from codae_l1.data.formats.adc2021 import ROW_CLASS, SHAPE
from codae_l1.data.formats.tables import write_objects
from codae_l1.data.generation._detector import read_out
from codae_l1.data.generation._parallel import chunked, make_all, prepare
from codae_l1.data.generation._processes import COMMON, collisions, start_pythia
from codae_l1.data.generation._propagation import IN_ECAL, IN_NEITHER, Hits, propagate
from codae_l1.data.generation._selection import JetFinder
from codae_l1.data.generation.config import DEFAULT, GenerationConfig, Work

_LEPTONS = "onIfAny = 11 13 15"
_HIGGS = ("HiggsSM:gg2H = on", "25:doForceWidth = on", "25:mWidth = 0.01", "25:mMin = 10.", "25:onMode = off")
# Share of each in the background (arXiv:2107.02157, table 1).
BACKGROUND = {"w": 0.592, "multijet": 0.338, "z": 0.067, "tt": 0.003}
# Settings of Pythia. Of the multijets only heavy quarks give leptons often enough.
_HARD = {
    "w": ("WeakSingleBoson:ffbar2W = on", "24:onMode = off", f"24:{_LEPTONS}"),
    "multijet": ("HardQCD:hardbbbar = on", "HardQCD:hardccbar = on", "PhaseSpace:pTHatMin = 60."),
    "z": ("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 40.", "23:onMode = off", f"23:{_LEPTONS}"),
    "tt": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
    # A neutral scalar of 50 GeV to four leptons, through vectors of about 20 GeV that stand for two off-shell Z.
    "a-4l": (
        *_HIGGS,
        "25:m0 = 50.",
        "25:addChannel = 1 1. 100 32 32",
        *("32:m0 = 20.", "32:mMin = 5.", "32:mMax = 35.", "32:doForceWidth = on", "32:mWidth = 5."),
        *("32:onMode = off", "32:onIfAny = 11 13"),
    ),
    # A leptoquark of 80 GeV to a bottom quark and a tau, of charge 2/3, in pairs.
    "lq-btau": (
        "LeptoQuark:gg2LQLQbar = on",
        "LeptoQuark:qqbar2LQLQbar = on",
        "42:m0 = 80.",
        "42:chargeType = 2",
        "42:oneChannel = 1 1. 0 5 -15",
    ),
    # A neutral scalar of 60 GeV to two taus.
    "h-tautau": (*_HIGGS, "25:m0 = 60.", "25:onIfAny = 15"),
    # Charged scalars of 60 GeV to a tau and a neutrino, in pairs.
    "hplus-taunu": (
        "Higgs:useBSM = on",
        "HiggsBSM:ffbar2H+H- = on",
        "37:m0 = 60.",
        "37:mMin = 10.",
        "37:oneChannel = 1 1. 100 -15 16",
    ),
}
# GeV
LEPTON_PT_MIN, LEADING_PT_MIN, JET_PT_MIN = 3.0, 23.0, 15.0
ETA_ELECTRONS, ETA_MUONS, ETA_JETS = 3.0, 2.1, 4.0
RADIUS, ETA_SEEN = 0.5, 4.5
_BATCH, _PATIENCE = 64, 50_000


@dataclass(frozen=True)
class ObjectConfig:
    """A file of events of one kind.

    kind: the Standard Model's mixture or a signal. n_events: how many. seed: base of all random numbers. chunk_events:
    events per chunk, the unit of parallel work and of resume.
    """

    kind: Literal["background", "a-4l", "lq-btau", "h-tautau", "hplus-taunu"] = "background"
    n_events: int = 10_000
    seed: int = 20260
    chunk_events: int = 500

    def __post_init__(self):
        for name, least in (("n_events", 1), ("seed", 0), ("chunk_events", 1)):
            if getattr(self, name) < least:
                raise InputError(
                    f"generation.{name} = {getattr(self, name)!r}", f"a value >= {least}", "correct the value"
                )


def generate_objects(config: ObjectConfig, out: Path | str, work: Work = DEFAULT) -> Path:
    """Generate events into a file with `Particles` and return its path."""
    out = Path(out)
    folder = work.folder_for(out)
    prepare(folder, dump(config))
    pieces = chunked(_parts(config), config.chunk_events, _file, partial(_make_object_chunk, config))
    make_all([pieces], folder, work)
    files = [folder / name for piece in pieces for name in piece.files]
    write_objects(out, _mixed(config, files), {"config": dump(config), "command": work.command})
    return out


def _make_object_chunk(config: ObjectConfig, part: str, chunk: int, count: int, folder: Path) -> None:
    """Make `count` events of a part of the mixture, or of a signal."""
    sequence = np.random.SeedSequence([config.seed, chunk])
    rng, detector = np.random.default_rng(sequence), GenerationConfig()
    pythia = start_pythia((*COMMON, "Beams:eCM = 13000.", *_HARD[part]), int(sequence.generate_state(1)[0]))
    finder = JetFinder(pythia, RADIUS, JET_PT_MIN, ETA_JETS)
    objects, done, tried = np.zeros((count, *SHAPE)), 0, 0
    while done < count:
        if tried > _PATIENCE * (done + 1):
            raise ToolError(
                f"{done:,} of {tried:,} {part} events have a lepton", "some", "report it: this is a fault of ours"
            )
        particles = collisions(pythia, _BATCH)
        number = len(particles.weight)
        hits = propagate(particles, np.zeros(number), rng, detector, ETA_SEEN)
        readout = read_out(hits, np.ones(len(hits.eta), bool), number, rng, detector, ETA_SEEN)
        leptons = [_leptons(hits, code, edge) for code, edge in ((IN_ECAL, ETA_ELECTRONS), (IN_NEITHER, ETA_MUONS))]
        for event, candidates in enumerate(readout.candidates):
            electrons, muons = (table[table[:, 0] == event, 1:] for table in leptons)
            if done < count and max(_leading(electrons), _leading(muons)) > LEADING_PT_MIN:
                objects[done] = _event_objects(candidates, electrons, muons, finder)
                done += 1
        tried += number
    with whole_file(folder / _file(part, chunk)) as temporary:
        np.save(temporary, objects)


def _event_objects(candidates: np.ndarray, electrons: np.ndarray, muons: np.ndarray, finder: JetFinder) -> np.ndarray:
    """The 19 objects (19, 4) of an event: pT [GeV], eta, phi, class.

    candidates (m, 3), electrons (e, 3), muons (u, 3): pT, eta, phi. A jet of which a lepton within R makes up more than
    half is that lepton.
    """
    pt, _, phi = candidates.T
    x, y = -(pt * np.cos(phi)).sum(), -(pt * np.sin(phi)).sum()
    missing = np.array([[np.hypot(x, y), 0.0, np.arctan2(y, x)]])
    jets = finder.jets(candidates)
    leptons = np.concatenate([electrons, muons])
    turn = np.remainder(leptons[:, None, 2] - jets[:, 2] + np.pi, 2 * np.pi) - np.pi
    near = np.hypot(leptons[:, None, 1] - jets[:, 1], turn) < RADIUS
    jets = jets[~(near & (leptons[:, None, 0] > 0.5 * jets[:, 0])).any(axis=0)]
    objects = np.zeros(SHAPE)
    for number, table in enumerate((missing, electrons, muons, jets), start=1):
        rows = np.flatnonzero(number == ROW_CLASS)
        table = table[np.argsort(-table[:, 0], kind="stable")][: len(rows)]
        objects[rows[: len(table)], :3] = table
        objects[rows[: len(table)], 3] = number
    return objects


def _leptons(hits: Hits, kind: int, eta_max: float) -> np.ndarray:
    """Event, pT, eta, phi of tracks that leave this kind of deposit: (n, 4)."""
    which = (hits.kind == kind) & (hits.pt > LEPTON_PT_MIN) & (np.abs(hits.track_eta) < eta_max)
    return np.column_stack([column[which] for column in (hits.event, hits.pt, hits.track_eta, hits.track_phi)])


def _leading(table: np.ndarray) -> float:
    return float(table[:, 0].max(initial=0.0))


def _parts(config: ObjectConfig) -> dict[str, int]:
    """Events of each part of the mixture, or of the signal.

    >>> _parts(ObjectConfig(n_events=1000))
    {'w': 592, 'multijet': 338, 'z': 67, 'tt': 3}
    """
    if config.kind != "background":
        return {config.kind: config.n_events}
    ends = np.round(np.cumsum([0, *BACKGROUND.values()]) * config.n_events).astype(int)
    return dict(zip(BACKGROUND, np.diff(ends).tolist(), strict=True))


def _mixed(config: ObjectConfig, files: list[Path]) -> Iterator[np.ndarray]:
    """All events in a random order, 608 bytes each."""
    objects = np.concatenate([read_array(file, "a whole chunk", "remove it and generate again") for file in files])
    yield objects[np.random.default_rng(config.seed).permutation(len(objects))]


def _file(part: str, chunk: int) -> str:
    return f"{part}-{chunk:05d}.npy"
