"""What the jets' generator makes: QCD, top and dark-shower jets; their settings in Pythia, and what a signal jet holds.

Dark showers (arXiv:2006.08639, with the benchmark of arXiv:2202.00686): a Z' decays to a pair of light dark quarks of
an SU(3) with two flavours, which shower, and hadronise to dark pions and vector mesons (Pythia's Hidden Valley,
arXiv:1102.3795). Of each meson a share r_inv stays invisible; the others decay to a pair of quarks, all the flavours
that are open with the same probability. Jets of 150 to 300 GeV from a Z' of 2 TeV are what is left of 1 TeV.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.generation._processes import COMMON

RADIUS = 0.8
COMMON_OF_JETS = (*COMMON, "Beams:eCM = 14000.", "PartonLevel:MPI = off")
QCD = ("HardQCD:all = on",)
TOP = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5")
# Pythia's codes: a dark quark, dark pions and vectors (diagonal, and not), the Z', and what stays invisible.
_DARK_QUARK, _PIONS, _VECTORS, _MEDIATOR = 4900101, (4900111, 4900211), (4900113, 4900213), 4900023
_INVISIBLE = {**dict.fromkeys(_PIONS, 51), **dict.fromkeys(_VECTORS, 53)}
# GeV, least mass of a meson that decays to a pair of quarks of this flavour: above two pions, kaons, D and B mesons.
_OPEN_GEV = {1: 1.0, 2: 1.0, 3: 1.5, 4: 4.0, 5: 11.0}
# Least and greatest mass of a meson, in units of the confinement scale.
_MESON_TO_CONFINEMENT = (0.3, 5.0)
# Status of a particle that leaves the hard process, in Pythia.
_OUTGOING = 23


@dataclass(frozen=True)
class DarkJetConfig:
    """A sample of dark-shower jets and of QCD jets of the same window.

    n_dark, n_qcd: jets of each kind. seed: base of all random numbers. pt_min_gev, pt_max_gev, eta_max: window of the
    jet. pt_hat_min_gev, pt_hat_max_gev: of the hard process of QCD alone. mediator_mass_gev: of the Z'.
    dark_quark_mass_gev: of the dark quarks. meson_mass_gev: of dark pions and vectors. confinement_gev: scale of the
    dark confinement; the shower ends at 1.1 of it. invisible_fraction: r_inv, share of the mesons that stay invisible.
    chunk_events: jets per chunk, the unit of parallel work and of resume.

    InputError where a meson is lighter than two dark quarks, or its mass is not 0.3 to 5 times the confinement scale:
    Pythia takes such a sector without a word, but nothing that confines at that scale has such mesons. The factors are
    a choice of this project.
    """

    n_dark: int = 5000
    n_qcd: int = 5000
    seed: int = 20260
    pt_min_gev: float = 150.0
    pt_max_gev: float = 300.0
    eta_max: float = 2.0
    pt_hat_min_gev: float = 90.0
    pt_hat_max_gev: float = 450.0
    mediator_mass_gev: float = 2000.0
    dark_quark_mass_gev: float = 0.5
    meson_mass_gev: float = 5.0
    confinement_gev: float = 5.0
    invisible_fraction: float = 0.75
    chunk_events: int = 500

    def __post_init__(self):
        check_window(self)
        for name, least, most in (
            ("mediator_mass_gev", 100.0, 10_000.0),
            ("dark_quark_mass_gev", 0.01, self.mediator_mass_gev / 10),
            ("meson_mass_gev", 1.5, self.mediator_mass_gev / 10),
            ("confinement_gev", 0.3, self.mediator_mass_gev / 10),
            ("invisible_fraction", 0.0, 1.0),
        ):
            require(self, name, least <= getattr(self, name) <= most, f"a value from {least:g} to {most:g}")
        quark, scale, meson = self.dark_quark_mass_gev, self.confinement_gev, self.meson_mass_gev
        require(self, "meson_mass_gev", meson >= 2 * quark, f"at least {2 * quark:g}, twice dark_quark_mass_gev")
        least, most = (factor * scale for factor in _MESON_TO_CONFINEMENT)
        of_scale = "{:g} to {:g} times confinement_gev".format(*_MESON_TO_CONFINEMENT)
        require(self, "meson_mass_gev", least <= meson <= most, f"{of_scale}, here from {least:g} to {most:g}")

    @property
    def kinds(self) -> dict[str, int]:
        """Kinds of jets and how many of each."""
        return {"dark": self.n_dark, "qcd": self.n_qcd}


def check_window(config: Any) -> None:
    """InputError unless counts are numbers and the windows of a JetConfig or DarkJetConfig are the right way round."""
    for name in (*(f"n_{kind}" for kind in config.kinds), "seed"):
        require(config, name, getattr(config, name) >= 0, "a value >= 0")
    require(config, "chunk_events", config.chunk_events >= 1, "a value >= 1")
    require(config, "pt_max_gev", 0 < config.pt_min_gev < config.pt_max_gev, "more than pt_min_gev")
    require(config, "pt_hat_max_gev", 0 < config.pt_hat_min_gev < config.pt_hat_max_gev, "more than pt_hat_min_gev")
    for name in ("pt_min_gev", "pt_hat_min_gev"):
        require(config, name, getattr(config, name) < 7000, "less than 7000 GeV, half the collisions' energy")
    require(config, "eta_max", 0 < config.eta_max <= 2.5, "within the calorimeter, at most 2.5")


def require(config: Any, name: str, holds: bool, expected: str) -> None:
    """InputError that names a field of a config unless a condition on it holds."""
    if not holds or not math.isfinite(getattr(config, name)):
        raise InputError(f"generation.{name} = {getattr(config, name)!r}", expected, "correct the value")


def jet_settings(kind: str, config: Any) -> tuple[str, ...]:
    """Pythia's settings for the hard process of a kind of jets: "qcd", "top" or "dark"."""
    if isinstance(config, DarkJetConfig) and kind == "dark":
        return (*COMMON_OF_JETS, *_dark(config))
    window = (f"PhaseSpace:pTHatMin = {config.pt_hat_min_gev}", f"PhaseSpace:pTHatMax = {config.pt_hat_max_gev}")
    return (*COMMON_OF_JETS, *{"qcd": QCD, "top": TOP}[kind], *window)


def signal_in(kind: str, record: Any, eta: float, phi: float) -> np.ndarray | None:
    """Four-vector E, px, py, pz of what a jet of this kind at (eta, phi) must hold; zeros for QCD, None without it."""
    if kind == "qcd":
        return np.zeros(4)
    return (_matching_top if kind == "top" else _matching_dark_quark)(record, eta, phi)


def _dark(config: DarkJetConfig) -> tuple[str, ...]:
    """Settings of Z' -> dark quarks, of the dark shower and of the mesons' decays."""
    mass, meson, invisible = config.mediator_mass_gev, config.meson_mass_gev, config.invisible_fraction
    mediator = [
        "HiddenValley:ffbar2Zv = on",
        f"{_MEDIATOR}:m0 = {mass}",
        # As narrow as it can be: what is studied is the jet, not the resonance.
        f"{_MEDIATOR}:mMin = {mass - 1}",
        f"{_MEDIATOR}:mMax = {mass + 1}",
        f"{_MEDIATOR}:mWidth = 0.01",
        f"{_MEDIATOR}:doForceWidth = on",
        f"{_MEDIATOR}:oneChannel = 1 0.982 102 {_DARK_QUARK} -{_DARK_QUARK}",
    ]
    # Closed, but without them the mediator would have no production cross section.
    mediator += [f"{_MEDIATOR}:addChannel = 0 0.003 102 {q} -{q}" for q in range(1, 7)]
    masses = [f"{_DARK_QUARK}:m0 = {config.dark_quark_mass_gev}"]
    masses += [f"{code}:m0 = {meson}" for code in (*_PIONS, *_VECTORS)]
    masses += [f"{code}:m0 = {meson / 2 - 0.01}" for code in (51, 53)]
    shower = ["Ngauge = 3", "nFlav = 2", "spinFv = 0", "FSR = on", "fragment = on", "probVector = 0.75"]
    shower += ["alphaOrder = 1", f"Lambda = {config.confinement_gev}", f"pTminFSR = {1.1 * config.confinement_gev}"]
    flavours, decays = [q for q, least in _OPEN_GEV.items() if meson >= least], []
    for code, hidden in _INVISIBLE.items():
        decays.append(f"{code}:oneChannel = 1 {invisible} 0 {hidden} -{hidden}")
        decays += [f"{code}:addChannel = 1 {(1 - invisible) / len(flavours)} 91 {q} -{q}" for q in flavours]
    return (*mediator, *masses, *(f"HiddenValley:{line}" for line in shower), *decays)


def _matching_dark_quark(record: Any, eta: float, phi: float) -> np.ndarray | None:
    """Four-vector of the dark quark of the Z' that lies in the jet, the nearer of two, if any."""
    code, status = np.asarray(record["id"]), np.asarray(record["status"])
    quarks = np.flatnonzero((np.abs(code) == _DARK_QUARK) & (np.abs(status) == _OUTGOING))
    momenta = _four_vectors(record)[quarks]
    apart = _distance(momenta, eta, phi)
    return momenta[np.argmin(apart)] if (apart < RADIUS).any() else None


def _matching_top(record: Any, eta: float, phi: float) -> np.ndarray | None:
    """Four-vector E, px, py, pz of the top quark of an event that lies in a jet with its three decay quarks, if any."""
    code, first, last = (np.asarray(record[name]) for name in ("id", "daughter1", "daughter2"))
    momentum = _four_vectors(record)
    for top in np.flatnonzero((np.abs(code) == 6) & (np.abs(code[first]) != 6)):
        decay = np.arange(first[top], last[top] + 1)
        [boson] = decay[np.abs(code[decay]) == 24]
        while abs(code[first[boson]]) == 24:
            boson = first[boson]
        quarks = [top, *decay[np.abs(code[decay]) < 6], *range(first[boson], last[boson] + 1)]
        if (_distance(momentum[quarks], eta, phi) < RADIUS).all():
            return momentum[top]
    return None


def _four_vectors(record: Any) -> np.ndarray:
    """E, px, py, pz [GeV] of a record's particles, (n, 4)."""
    return np.column_stack([np.asarray(record.p[axis]) for axis in ("e", "px", "py", "pz")])


def _distance(momenta: np.ndarray, eta: float, phi: float) -> np.ndarray:
    """Distances in eta and phi of four-vectors (n, 4) from a direction: (n,)."""
    px, py, pz = momenta[:, 1:].T
    turn = np.remainder(np.arctan2(py, px) - phi + np.pi, 2 * np.pi) - np.pi
    return np.hypot(np.arcsinh(pz / np.hypot(px, py)) - eta, turn)
