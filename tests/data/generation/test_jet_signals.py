"""Dark-shower jets: their window, what is matched to a jet, masses of the dark sector, the same seed the same bytes."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats._hdf5 import open_hdf5, provenance_of
from codae_l1.data.formats._top_tagging import KIND, jet_slices
from codae_l1.data.generation._jet_signals import DarkJetConfig, _matching_dark_quark, jet_settings
from codae_l1.data.generation.config import Work
from codae_l1.data.generation.jets import JetConfig, _make_jet_chunk, generate_jets
from codae_l1.data.sample import DARK_JETS

needs_pythia = [
    pytest.mark.generate,
    pytest.mark.skipif(
        importlib.util.find_spec("pythia8mc") is None, reason="pythia8mc is not installed: pip install -e '.[generate]'"
    ),
]
DARK = DarkJetConfig(n_dark=4, n_qcd=2, seed=3, chunk_events=2)


def provenance(path):
    with open_hdf5(path, KIND) as file:
        return provenance_of(file, path)


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    return generate_jets(DARK, tmp_path_factory.mktemp("dark") / "jets.h5", Work(workers=1))


def require_window(jets):
    """Jets of 150 to 300 GeV within |eta| = 2 and R = 0.8 of their axis, all different; constituents are massless."""
    total = jets.constituents.sum(axis=1, dtype=np.float64)
    pt = np.hypot(total[:, 1], total[:, 2])
    # The sum of momenta is the jet's; a jet's pT is that of the sum, rounded as float32.
    assert ((pt > 149.9) & (pt < 300.1)).all()
    assert len(np.unique(pt)) == len(jets)
    axis = np.arcsinh(total[:, 3] / pt), np.arctan2(total[:, 2], total[:, 1])
    assert (np.abs(axis[0]) < 2.05).all()
    energy, px, py, pz = np.moveaxis(jets.constituents.astype(np.float64), -1, 0)
    real = energy > 0
    each = np.hypot(px, py)
    assert (np.diff(each, axis=1) <= 1e-3).all()
    assert np.allclose(np.sqrt(px**2 + py**2 + pz**2)[real], energy[real], rtol=1e-5)
    eta = np.arcsinh(np.divide(pz, each, out=np.zeros_like(pz), where=real)) - axis[0][:, None]
    phi = np.remainder(np.arctan2(py, px) - axis[1][:, None] + np.pi, 2 * np.pi) - np.pi
    # Anti-kt reaches R around a hard core; softer pieces that it took in may lie a little beyond.
    far = (np.hypot(eta, phi) > 0.8) & real
    assert (each * far).sum() < 0.02 * pt.sum()


def test_the_shipped_jets_are_in_their_window():
    [jets] = jet_slices(DARK_JETS)
    require_window(jets)
    assert (len(jets), np.count_nonzero(jets.is_signal)) == (400, 200)
    told = provenance(DARK_JETS)
    assert told["signal"] == "dark"
    assert told["config"] == {**vars(DarkJetConfig()), "n_dark": 200, "n_qcd": 200}
    # A quarter of the dark mesons is visible: fewer constituents than QCD jets have.
    number = (jets.constituents[..., 0] > 0).sum(axis=1)
    assert np.median(number[jets.is_signal]) < np.median(number[~jets.is_signal])


class TestGeneration:
    pytestmark = needs_pythia

    def test_jets_have_the_window_the_signal_and_its_dark_quark(self, dark):
        [jets] = jet_slices(dark)
        require_window(jets)
        assert (len(jets), np.count_nonzero(jets.is_signal)) == (6, 4)
        told = provenance(dark)
        assert (told["signal"], told["config"]) == ("dark", vars(DARK))
        assert all(0 < share < 1 for share in told["accepted"].values())
        with open_hdf5(dark, KIND) as file:
            truth = file["table/table"]["values_block_0"][:, -4:].astype(np.float64)
        mass = np.sqrt(np.maximum(truth[:, 0] ** 2 - (truth[:, 1:] ** 2).sum(axis=1), 0))
        # float32 leaves little of the mass of 500 MeV of a quark of up to 1 TeV.
        assert (mass < 3).all()
        assert (truth[jets.is_signal, 0] > 100).all()
        assert (truth[~jets.is_signal] == 0).all()

    def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(self, dark, tmp_path):
        made = (dark.with_suffix(".work") / "dark-00000.npz").read_bytes()
        for seed in (3, 4):
            _make_jet_chunk(replace(DARK, seed=seed), "dark", 0, 2, tmp_path)
            assert ((tmp_path / "dark-00000.npz").read_bytes() == made) == (seed == 3)

    def test_masses_and_invisible_decays_are_those_asked_for(self):
        from codae_l1.data.generation._processes import start_pythia

        config = DarkJetConfig(meson_mass_gev=12.0, invisible_fraction=0.25, mediator_mass_gev=1000.0)
        pythia = start_pythia(jet_settings("dark", config), 1)
        data, invisible, mesons = pythia.particleData, 0, 0
        assert [data.m0(code) for code in (4900023, 4900101, 4900111, 4900213)] == [1000.0, 0.5, 12.0, 12.0]
        for _ in range(12):
            assert pythia.next()
            event = pythia.event
            for i in range(event.size()):
                if event[i].idAbs() in (4900111, 4900113, 4900211, 4900213):
                    mesons += 1
                    invisible += event[event[i].daughter1()].idAbs() in (51, 53)
        assert mesons > 100
        assert abs(invisible / mesons - 0.25) < 4 * np.sqrt(0.25 * 0.75 / mesons)


class Record(dict):
    """A record as Pythia gives it: two dark quarks that leave the hard process (status -23), and one that does not."""

    def __init__(self, *directions):
        super().__init__(id=np.array([4900101, -4900101, 4900101]), status=np.array([-23, -23, -51]))
        eta, phi = np.array([*directions, (0.0, 0.0)]).T
        self.p = {"e": np.cosh(eta), "px": np.cos(phi), "py": np.sin(phi), "pz": np.sinh(eta)}


def test_the_nearer_dark_quark_within_the_jet_is_taken():
    found = _matching_dark_quark(Record((0.5, np.pi - 0.1), (0.2, -np.pi + 0.1)), 0.2, np.pi - 0.05)
    # Across the seam of phi, 0.15 away; the other is 0.3 away.
    assert found == pytest.approx([np.cosh(0.2), np.cos(-np.pi + 0.1), np.sin(-np.pi + 0.1), np.sinh(0.2)])
    # What does not leave the hard process does not count, however near.
    assert _matching_dark_quark(Record((0.9, 0.0), (-0.9, 0.0)), 0.0, 0.0) is None


def test_settings_of_pythia_follow_the_kind():
    config = DarkJetConfig()
    assert "HardQCD:all = on" in jet_settings("qcd", config)
    assert "PhaseSpace:pTHatMin = 90.0" in jet_settings("qcd", config)
    lines = jet_settings("dark", config)
    assert not any("pTHat" in line for line in lines)
    # 5 GeV are too little for two B mesons: four flavours share what is visible.
    assert [line.split()[3] for line in lines if line.startswith("4900113:addChannel")] == ["0.0625"] * 4
    heavy = DarkJetConfig(meson_mass_gev=50.0, confinement_gev=50.0)
    assert len([x for x in jet_settings("dark", heavy) if "4900113:addC" in x]) == 5


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("invisible_fraction", 1.5, "a value from 0 to 1"),
        ("meson_mass_gev", 0.5, "a value from 1.5 to 200"),
        ("mediator_mass_gev", float("nan"), "a value from 100 to 10000"),
        ("n_dark", -1, "a value >= 0"),
        ("pt_max_gev", 100.0, "more than pt_min_gev"),
    ],
)
def test_what_cannot_be_is_refused(key, value, words):
    with pytest.raises(InputError, match=rf"generation\.{key} = {value}; expected {words}"):
        DarkJetConfig(**{key: value})


@pytest.mark.parametrize(
    ("quark", "meson", "scale", "words"),
    [
        (0.5, 100.0, 0.3, "0.3 to 5 times confinement_gev, here from 0.09 to 1.5"),
        (0.5, 1.5, 200.0, "0.3 to 5 times confinement_gev, here from 60 to 1000"),
        (0.5, 50.0, 5.0, "0.3 to 5 times confinement_gev, here from 1.5 to 25"),
        (200.0, 5.0, 5.0, "at least 400, twice dark_quark_mass_gev"),
        (0.5, 5.0, 5.0, None),
        (0.5, 10.0, 10.0, None),
        (0.5, 50.0, 50.0, None),
        (0.5, 1.5, 5.0, None),
        (2.5, 5.0, 1.0, None),
    ],
)
def test_a_dark_sector_confines_at_about_the_mass_of_its_mesons(quark, meson, scale, words):
    asked = {"dark_quark_mass_gev": quark, "meson_mass_gev": meson, "confinement_gev": scale}
    if words is None:
        assert DarkJetConfig(**asked).meson_mass_gev == meson
        return
    with pytest.raises(InputError, match=rf"generation\.meson_mass_gev = {meson}; expected {words}"):
        DarkJetConfig(**asked)


def test_no_jets_are_refused_with_the_names_of_the_counts(tmp_path):
    for config, names in ((DarkJetConfig(n_dark=0, n_qcd=0), "n_dark or n_qcd"), (JetConfig(0, 0), "n_top or n_qcd")):
        with pytest.raises(InputError, match=f"a sample of no jets; expected at least one; raise {names}"):
            generate_jets(config, tmp_path / "jets.h5")
