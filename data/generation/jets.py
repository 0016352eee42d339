"""Signal and QCD jets with their constituents, in the layout of the top-tagging reference set (Zenodo 2603255).

Proton-proton collisions at 14 TeV without multiple interactions. Jets are anti-kt with R = 0.8, made of the fast
detector's candidates; the leading jet of an event is kept if it lies within the window of pT and |eta|. For top jets
the quark and its three decay quarks lie within 0.8 of the jet (arXiv:1902.09914), for dark-shower jets one of the dark
quarks of the Z'. Constituents are massless.
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
from codae_l1.data.generation._jet_signals import RADIUS, DarkJetConfig, check_window, jet_settings, signal_in
from codae_l1.data.generation._parallel import chunked, make_all, prepare
from codae_l1.data.generation._processes import final_particles, next_batch, start_pythia
from codae_l1.data.generation._propagation import propagate
from codae_l1.data.generation._selection import JetFinder
from codae_l1.data.generation.config import DEFAULT, GenerationConfig, Work

# Collisions that go through the detector together, and how many in a row may give no jet.
_BATCH, _PATIENCE = 64, 5_000
_AGAIN = "remove it and generate again"


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
        check_window(self)

    @property
    def kinds(self) -> dict[str, int]:
        """Kinds of jets and how many of each."""
        return {"top": self.n_top, "qcd": self.n_qcd}


def generate_jets(config: JetConfig | DarkJetConfig, out: Path | str, work: Work = DEFAULT) -> Path:
    """Generate jets into a file that pandas reads, signal and QCD mixed, and return its path.

    Where the signal is not top jets, the file's provenance names it, and says which share of the collisions gave a jet.
    """
    out = Path(out)
    folder = work.folder_for(out)
    if not any(config.kinds.values()):
        counts = " or ".join(f"n_{kind}" for kind in config.kinds)
        raise InputError("a sample of no jets", "at least one", f"raise {counts}")
    prepare(folder, dump(config))
    pieces = chunked(config.kinds, config.chunk_events, _file, partial(_make_jet_chunk, config))
    make_all([pieces], folder, work)
    provenance: dict[str, Any] = {"config": dump(config), "command": work.command}
    if isinstance(config, DarkJetConfig):
        provenance |= {"signal": "dark", "accepted": _accepted(config, folder)}
    write_jets(out, _mixed(config, folder), provenance)
    return out


def _make_jet_chunk(config: JetConfig | DarkJetConfig, kind: str, chunk: int, count: int, folder: Path) -> None:
    """Make `count` jets of a kind; the random numbers follow from seed and chunk, never from the kind."""
    sequence = np.random.SeedSequence([config.seed, chunk])
    rng = np.random.default_rng(sequence)
    pythia = start_pythia(jet_settings(kind, config), int(sequence.generate_state(1)[0]))
    finder = JetFinder(pythia, RADIUS, config.pt_min_gev, config.eta_max + RADIUS)
    constituents, truth = np.zeros((count, CONSTITUENTS, 4), np.float32), np.zeros((count, 4), np.float32)
    done = tried = found = 0
    while done < count:
        if tried > _PATIENCE * (done + 1):
            raise ToolError(
                f"{done:,} of {tried:,} {kind} events have a jet of {config.pt_min_gev:g} to {config.pt_max_gev:g} GeV",
                f"an acceptance above one in {_PATIENCE:,}",
                "widen the windows of pT",
            )
        for jet, quark in _jets(config, kind, next_batch(pythia, _BATCH), finder, rng):
            found += 1
            if done < count:
                constituents[done, : len(jet)], truth[done] = jet, quark
                done += 1
        tried += _BATCH
    with whole_file(folder / _file(kind, chunk)) as temporary:
        np.savez(temporary, constituents=constituents, truth=truth, tried=tried, found=found)


def _jets(
    config: JetConfig | DarkJetConfig, kind: str, batch: Any, finder: JetFinder, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Constituents (k, 4) E, px, py, pz, hardest first, and the quark's four-vector (0 for QCD), of jets in turn."""
    detector, number = GenerationConfig(), len(batch)
    hits = propagate(final_particles(batch), np.zeros(number), rng, detector)
    readout = read_out(hits, np.ones(len(hits.eta), bool), number, rng, detector)
    for event, candidates in enumerate(readout.candidates):
        jets = finder.jets(candidates)
        if not len(jets) or jets[0, 0] > config.pt_max_gev or abs(jets[0, 1]) > config.eta_max:
            continue
        quark = signal_in(kind, batch.prt[event], *jets[0, 1:])
        if quark is None:
            continue
        pt, eta, phi = candidates[finder.constituents(0)].T
        order = np.argsort(-pt, kind="stable")[:CONSTITUENTS]
        momenta = np.column_stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
        yield momenta[order], quark


def _accepted(config: DarkJetConfig, folder: Path) -> dict[str, float]:
    """Kind -> jets per collision that was generated, to three digits."""
    shares = {}
    for kind, number in config.kinds.items():
        chunks = [folder / _file(kind, chunk) for chunk in range(-(-number // config.chunk_events))]
        counts = [read_arrays(path, "a whole chunk", _AGAIN, ("tried", "found")) for path in chunks]
        if counts:
            found, tried = (sum(int(c[name]) for c in counts) for name in ("found", "tried"))
            shares[kind] = float(f"{found / tried:.3g}")
    return shares


def _mixed(config: JetConfig | DarkJetConfig, folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Constituents (n, 200, 4), truth (n, 4) and whether signal (n,) of the chunks of both kinds, in a random order."""
    longest = max(config.kinds.values())
    for chunk in range(-(-longest // config.chunk_events)):
        parts = []
        for kind in config.kinds:
            if (folder / _file(kind, chunk)).exists():
                content = read_arrays(folder / _file(kind, chunk), "a whole chunk", _AGAIN, ("constituents", "truth"))
                columns = content["constituents"], content["truth"]
                parts.append((*columns, np.full(len(columns[0]), kind != "qcd")))
        constituents, truth, is_signal = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.random.default_rng([config.seed, chunk]).permutation(len(truth))
        yield constituents[order], truth[order], is_signal[order]


def _file(kind: str, chunk: int) -> str:
    return f"{kind}-{chunk:05d}.npz"
