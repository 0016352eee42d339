"""Top and QCD jets with their constituents, in the layout of the top-tagging reference set (Zenodo 2603255).

Proton-proton collisions at 14 TeV without multiple interactions. Jets are anti-kt with R = 0.8, made of the fast
detector's candidates; the leading jet of an event is kept if it lies within the window of pT and |eta|. For top jets
the quark and its three decay quarks lie within 0.8 of the jet (arXiv:1902.09914). Constituents are massless.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_arrays, whole_file
from codae_l1.data.formats.tables import CONSTITUENTS, write_jets
from codae_l1.data.generation._detector import read_out
from codae_l1.data.generation._parallel import chunked, make_all, prepare
from codae_l1.data.generation._processes import COMMON, final_particles, next_batch, start_pythia
from codae_l1.data.generation._propagation import propagate
from codae_l1.data.generation._selection import JetFinder
from codae_l1.data.generation.config import DEFAULT, GenerationConfig, Work

_COMMON = (*COMMON, "Beams:eCM = 14000.", "PartonLevel:MPI = off")
_HARD = {
    "qcd": ("HardQCD:all = on",),
    "top": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5"),
}
RADIUS = 0.8
# Collisions that go through the detector together, and how many in a row may give no jet.
_BATCH, _PATIENCE = 64, 5_000


@dataclass(frozen=True)
class JetConfig:
    """A sample of jets.

    n_top, n_qcd: jets of each kind. seed: base of all random numbers. pt_min_gev, pt_max_gev, eta_max: window of the
    jet. pt_hat_min_gev, pt_hat_max_gev: of the hard process; a tighter one loses jets that radiated. chunk_events:
    jets per chunk, the unit of parallel work and of resume.
    """

    n_top: int = 5000
    n_qcd: int = 5000
    seed: int = 20260
    pt_min_gev: float = 550.0
    pt_max_gev: float = 650.0
    eta_max: float = 2.0
    pt_hat_min_gev: float = 500.0
    pt_hat_max_gev: float = 850.0
    chunk_events: int = 500

    def __post_init__(self):
        for name, least in (("n_top", 0), ("n_qcd", 0), ("seed", 0), ("chunk_events", 1)):
            self._require(name, getattr(self, name) >= least, f"a value >= {least}")
        self._require("pt_max_gev", 0 < self.pt_min_gev < self.pt_max_gev, "more than pt_min_gev")
        self._require("pt_hat_max_gev", 0 < self.pt_hat_min_gev < self.pt_hat_max_gev, "more than pt_hat_min_gev")
        for name in ("pt_min_gev", "pt_hat_min_gev"):
            self._require(name, getattr(self, name) < 7000, "less than 7000 GeV, half the collisions' energy")
        self._require("eta_max", 0 < self.eta_max <= 2.5, "within the calorimeter, at most 2.5")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"generation.{name} = {getattr(self, name)!r}", expected, "correct the value")


def generate_jets(config: JetConfig, out: Path | str, work: Work = DEFAULT) -> Path:
    """Generate jets into a file that pandas reads, tops and QCD mixed, and return its path."""
    out = Path(out)
    folder = work.folder_for(out)
    if config.n_top + config.n_qcd == 0:
        raise InputError("a sample of no jets", "at least one", "raise n_top or n_qcd")
    prepare(folder, dump(config))
    numbers = {"top": config.n_top, "qcd": config.n_qcd}
    make_all([chunked(numbers, config.chunk_events, _file, partial(_make_jet_chunk, config))], folder, work)
    write_jets(out, _mixed(config, folder), {"config": dump(config), "command": work.command})
    return out


def _make_jet_chunk(config: JetConfig, kind: str, chunk: int, count: int, folder: Path) -> None:
    """Make `count` jets of a kind; the random numbers follow from seed and chunk, never from the kind."""
    sequence = np.random.SeedSequence([config.seed, chunk])
    rng = np.random.default_rng(sequence)
    window = (f"PhaseSpace:pTHatMin = {config.pt_hat_min_gev}", f"PhaseSpace:pTHatMax = {config.pt_hat_max_gev}")
    pythia = start_pythia((*_COMMON, *_HARD[kind], *window), int(sequence.generate_state(1)[0]))
    finder = JetFinder(pythia, RADIUS, config.pt_min_gev, config.eta_max + RADIUS)
    constituents, truth = np.zeros((count, CONSTITUENTS, 4), np.float32), np.zeros((count, 4), np.float32)
    done = tried = 0
    while done < count:
        if tried > _PATIENCE * (done + 1):
            raise ToolError(
                f"{done:,} of {tried:,} {kind} events have a jet of {config.pt_min_gev:g} to {config.pt_max_gev:g} GeV",
                f"an acceptance above one in {_PATIENCE:,}",
                "widen the windows of pT",
            )
        for jet, quark in _jets(config, kind, next_batch(pythia, _BATCH), finder, rng):
            if done < count:
                constituents[done, : len(jet)], truth[done] = jet, quark
                done += 1
        tried += _BATCH
    with whole_file(folder / _file(kind, chunk)) as temporary:
        np.savez(temporary, constituents=constituents, truth=truth)


def _jets(
    config: JetConfig, kind: str, batch: Any, finder: JetFinder, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Constituents (k, 4) E, px, py, pz, hardest first, and the top's four-vector (0 for QCD), of accepted events."""
    detector, number = GenerationConfig(), len(batch)
    hits = propagate(final_particles(batch), np.zeros(number), rng, detector)
    readout = read_out(hits, np.ones(len(hits.eta), bool), number, rng, detector)
    for event, candidates in enumerate(readout.candidates):
        jets = finder.jets(candidates)
        if not len(jets) or jets[0, 0] > config.pt_max_gev or abs(jets[0, 1]) > config.eta_max:
            continue
        quark = np.zeros(4) if kind == "qcd" else _matching_top(batch.prt[event], *jets[0, 1:])
        if quark is None:
            continue
        pt, eta, phi = candidates[finder.constituents(0)].T
        order = np.argsort(-pt, kind="stable")[:CONSTITUENTS]
        momenta = np.column_stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
        yield momenta[order], quark


def _matching_top(record: Any, eta: float, phi: float) -> np.ndarray | None:
    """Four-vector E, px, py, pz of the top quark of an event that lies in a jet with its three decay quarks, if any."""
    code, first, last = (np.asarray(record[name]) for name in ("id", "daughter1", "daughter2"))
    momentum = np.column_stack([np.asarray(record.p[axis]) for axis in ("e", "px", "py", "pz")])
    for top in np.flatnonzero((np.abs(code) == 6) & (np.abs(code[first]) != 6)):
        decay = np.arange(first[top], last[top] + 1)
        [boson] = decay[np.abs(code[decay]) == 24]
        while abs(code[first[boson]]) == 24:
            boson = first[boson]
        quarks = [top, *decay[np.abs(code[decay]) < 6], *range(first[boson], last[boson] + 1)]
        px, py, pz = momentum[quarks, 1:].T
        turn = np.remainder(np.arctan2(py, px) - phi + np.pi, 2 * np.pi) - np.pi
        if (np.hypot(np.arcsinh(pz / np.hypot(px, py)) - eta, turn) < RADIUS).all():
            return momentum[top]
    return None


def _mixed(config: JetConfig, folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Constituents (n, 200, 4), truth (n, 4) and whether a top (n,) of the chunks of both kinds, in a random order."""
    again = "remove it and generate again"
    longest = max(config.n_top, config.n_qcd)
    for chunk in range(-(-longest // config.chunk_events)):
        parts = []
        for kind in ("top", "qcd"):
            if (folder / _file(kind, chunk)).exists():
                content = read_arrays(folder / _file(kind, chunk), "a whole chunk", again, ("constituents", "truth"))
                columns = content["constituents"], content["truth"]
                parts.append((*columns, np.full(len(columns[0]), kind == "top")))
        constituents, truth, is_top = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.random.default_rng([config.seed, chunk]).permutation(len(truth))
        yield constituents[order], truth[order], is_top[order]


def _file(kind: str, chunk: int) -> str:
    return f"{kind}-{chunk:05d}.npz"
