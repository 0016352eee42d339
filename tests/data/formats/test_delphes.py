"""Delphes ROOT files, written by uproot: filling, pile-up window, slices, and each way to be bad."""

import sys

import numpy as np
import pytest
from delphes_files import COLUMNS, EMPTY, read_told, uproot, with_pileup, write
from format_base import FormatTestBase

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import eta_edges
from codae_l1.data.formats import DelphesOptions, event_slices, read_events


def test_tracks_and_towers_fill_the_image(tmp_path):
    events = read_events(write(tmp_path / "d.root"), "svj2100")
    images = events.images
    # The track beyond |eta| = 2.49535 and the one 0.11 mm from the first vertex are left out.
    assert images[0, ..., 0].sum() == 3.0
    assert images[0, 36, 29, 0] == 3.0
    assert events.n_tracks.tolist() == [2, 1]
    # No vertex, no window.
    assert images[1, 0, 57, 0] == 16.0
    assert images[0, 71, 29, 1] == np.float32(6 / np.cosh(np.float64(np.float32(0.04))))
    # The ECAL ends before -2.5; the HCAL tower counts with the covered 0.6 of its width.
    assert images[0, ..., 1].sum() == images[0, 71, 29, 1]
    assert images[0, 36, 0, 2] == pytest.approx(0.6 * 10 / np.cosh(2.5), rel=1e-6)
    assert images[0, ..., 2].sum() == images[0, 36, 0, 2]
    assert images[1, ..., 1:].sum() == 0
    assert events.signal.tolist() == ["svj2100"] * 2
    assert events.provenance["pileup_tracks_cut"]


def test_centres_of_towers_fill_their_pixel(tmp_path):
    eta = (eta_edges()[1:] + eta_edges()[:-1]) / 2
    columns = {name: [EMPTY] for name in COLUMNS} | {"Tower.Eta": [eta], "Tower.Phi": [np.full(58, -np.pi + 0.04)]}
    columns |= {"Tower.Eem": [np.cosh(eta)], "Tower.Ehad": [np.cosh(eta)]}
    image = read_events(write(tmp_path / "d.root", columns), "qcd").images[0]
    # The outermost centres are beyond the ECAL.
    assert image[0, 1:57, 1] == pytest.approx(np.ones(56), rel=1e-6)
    assert image[0, :, 2] == pytest.approx(np.array([0.6, *[1] * 56, 0.6]), rel=1e-4)
    assert image[1:].sum() == 0


@pytest.mark.parametrize("tracks", ["Track", "EFlowTrack"])
def test_pileup_is_dropped_from_every_branch_of_tracks_and_said(tmp_path, tracks):
    columns = {name.replace("Track.", f"{tracks}."): values for name, values in with_pileup().items()}
    path = write(tmp_path / "d.root", columns)
    assert read_told(path, tracks=tracks) == (
        [60] * 3,
        ["900 of 1,080 tracks were dropped as pile-up: DZ further than 0.1 mm from the first vertex"],
    )
    kept = [360] * 3, ["all tracks are kept, those of pile-up as well (--keep-pileup)"]
    assert read_told(path, tracks=tracks, keep_pileup=True) == kept
    events = read_events(path, "qcd", {"delphes": DelphesOptions(tracks=tracks)})
    assert events.provenance["pileup_tracks_cut"]
    assert events.provenance["reading"] == [
        f"{path}: 900 of 1,080 tracks were dropped as pile-up: DZ further than 0.1 mm from the first vertex"
    ]


def test_vertices_without_what_assigns_tracks_to_them(tmp_path):
    path = write(tmp_path / "no-dz.root", with_pileup(), **{"Track.DZ": None})
    with pytest.raises(
        InputError, match=r"no-dz.root has up to 21 vertices an event, but no Track.DZ; .*; write DZ, or"
    ):
        read_told(path)
    assert read_told(path, keep_pileup=True)[0] == [360] * 3
    path = write(tmp_path / "no-z.root", with_pileup() | {"Vertex.X": with_pileup()["Vertex.Z"]}, **{"Vertex.Z": None})
    with pytest.raises(InputError, match=r"no-z.root has up to 21 vertices an event, but no Vertex.Z"):
        read_told(path)


def test_without_pileup_nothing_is_dropped_and_that_is_said(tmp_path):
    path = write(tmp_path / "no-vertex.root", **{"Vertex.Z": None})
    assert read_told(path) == ([3, 1], ["no branch Vertex, so no track was dropped as pile-up"])
    # Named by the user: a mistake, which would leave pile-up in.
    with pytest.raises(InputError, match=r"without the branch Vertix.Z; expected the vertices that --vertices names"):
        read_told(path, vertices="Vertix")
    assert read_told(path, vertices="Vertix", keep_pileup=True)[0] == [3, 1]
    path = write(tmp_path / "one.root", **{"Vertex.Z": [[5.0], EMPTY], "Track.DZ": None})
    assert read_told(path) == ([3, 1], ["at most one vertex per event, so no track was dropped as pile-up"])
    line = "1 of 5 tracks were dropped as pile-up: DZ further than 0.1 mm from the first vertex"
    assert read_told(write(tmp_path / "none.root"))[1] == [f"{line}; 1 of 2 events have no vertex and keep all tracks"]


def test_tracks_that_start_at_the_vertex_are_kept_where_the_beam_axis_is_another(tmp_path):
    columns = with_pileup()
    origin = columns["Track.DZ"]
    path = write(tmp_path / "d.root", columns | {"Track.DZ": [z + 2.2 for z in origin], "Track.Z": origin})
    assert read_told(path)[0] == [60] * 3


def test_weights_are_the_first_of_each_event(tmp_path):
    path = write(tmp_path / "d.root", with_pileup(), **{"Event.Weight": [[0.5, 9.0], [1e-7], [2.0]]})
    parts = list(event_slices(path, 2, "qcd", tell=print))
    assert np.concatenate([part.weight for part in parts]).tolist() == [0.5, np.float32(1e-7), 2.0]
    assert read_told(path)[1][1] == (
        "events have weights from 1e-07 to 2, which rates use; AUCs, means and shares count each event once"
    )
    # Those of variations, of which the first need not be the event's.
    path = write(tmp_path / "d.root", with_pileup(), **{"Weight.Weight": [[0.5, 9.0], [1e-7], [2.0]]})
    said = "no branch Event.Weight, so each event has the weight 1; Weight.Weight is not used"
    assert read_told(path)[1][1] == said
    path = write(tmp_path / "d.root", with_pileup(), **{"Event.Weight": [[0.5], EMPTY, [2.0]]})
    with pytest.raises(InputError, match=r"no Event.Weight in event 1; expected one in each"):
        read_told(path)


def test_towers_of_another_card_are_said(tmp_path):
    rng, n = np.random.default_rng(0), 20_000
    eta = 0.08725 * (rng.integers(-28, 28, n) + 0.5)
    said = {
        10: ["no tower in 36 of 72 rows and 0 of 58 columns of the grid (5 degrees x 0.08725): these are other towers"],
        4: ["18 of 72 rows of 5 degrees have far more or fewer towers than most: these are other towers"],
        3: ["24 of 72 rows of 5 degrees have far more or fewer towers than most: these are other towers"],
    }
    for degrees in (5, 10, 4, 3, 2.5):
        phi = -np.pi + np.deg2rad(degrees) * (rng.integers(0, round(360 / degrees), n) + 0.5)
        columns = with_pileup(1) | {"Tower.Eta": [eta], "Tower.Phi": [phi]}
        path = write(tmp_path / f"{degrees}.root", columns | {"Tower.Eem": [np.ones(n)], "Tower.Ehad": [np.ones(n)]})
        assert read_told(path)[1][1:] == said.get(degrees, [])


def test_an_rntuple_is_named(tmp_path):
    with uproot.recreate(tmp_path / "d.root") as file:
        file.mkrntuple("Delphes", {"x": np.float32})
    with pytest.raises(InputError, match=r"d.root: Delphes is of the class ROOT::RNTuple; expected a TTree; write it"):
        read_told(tmp_path / "d.root")


def test_a_window_that_is_no_length_is_refused():
    for window in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match=r"vertex_window_mm = .*; expected a number of mm above 0"):
            DelphesOptions(vertex_window_mm=window)


def test_never_more_than_512_events_at_once(tmp_path):
    path = write(tmp_path / "many.root", {name: values * 700 for name, values in COLUMNS.items()})
    assert [len(part) for part in event_slices(path, 300, "qcd")] == [300, 300, 300, 300, 200]
    assert [len(part) for part in event_slices(path, 10_000, "qcd")] == [512, 512, 376]


def test_names_of_branches_and_the_window_are_options(tmp_path):
    renamed = {name.replace("Tower.", "Cell.").replace("Vertex.", "Point."): v for name, v in COLUMNS.items()}
    options = {"delphes": DelphesOptions(towers="Cell", vertices="Point", vertex_window_mm=0.05)}
    events = read_events(write(tmp_path / "d.root", renamed), "qcd", options)
    assert events.n_tracks.tolist() == [1, 1]
    assert events.provenance["config"]["vertex_window_mm"] == 0.05


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Tower.Ehad": None}, "without the branch Tower.Ehad; expected a ROOT file of Delphes"),
        ({"Track.PT": [[1.0, np.nan, 4.0, 8.0], [16.0]]}, "Track.PT with nan in event 0; expected finite numbers"),
        ({"Track.PT": [[1.0, 2.0, 4.0, 8.0], [-16.0]]}, "Track.PT with -16 in event 1; expected finite numbers >= 0"),
        ({"Tower.Eem": [[1.0, 1.0, np.inf], EMPTY]}, "Tower.Eem with inf in event 0"),
        ({"Track.PT": [[3e38, 3e38, 3e38, 3e38], [16.0]]}, "bad.root: energies as float32 with inf in event 0"),
        ({"Track.PhiOuter": [[0.01, 0.02, 0.0, 0.01], [1e20]]}, r"PhiOuter = 1e\+20 in event 1; expected radians"),
        ({"Tower.Phi": [[0.01, 90.0, 0.0], EMPTY]}, "Phi = 90 in event 0; expected radians"),
        ({"Track.DZ": [[5.0], [-3.0]]}, "Track.PT, Track.DZ of different lengths"),
        # As many in all, but not in each event.
        ({"Tower.Eta": [[0.04, -2.5], [2.6]]}, "Tower.Eta, Tower.Phi, Tower.Eem, Tower.Ehad of different lengths"),
        ({"Track.EtaOuter": [[0.01], [2.49]]}, "Track.PT, Track.EtaOuter, Track.PhiOuter of different lengths"),
    ],
)
def test_bad_content_is_named(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        read_events(write(tmp_path / "bad.root", **changes), "qcd")


def test_a_file_cut_anywhere_is_named(tmp_path):
    path = write(tmp_path / "cut.root", {name: values * 500 for name, values in COLUMNS.items()})
    content = path.read_bytes()
    for share in (0.02, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InputError, match=r"cut.root is truncated or no ROOT file .*; copy it again"):
            read_events(path, "qcd")


def test_another_tree_is_named(tmp_path):
    with pytest.raises(InputError, match=r"other.root without the tree Delphes; expected a ROOT file of Delphes"):
        read_events(write(tmp_path / "other.root", tree="Events"), "qcd")


def test_without_uproot_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "d.root")
    monkeypatch.setitem(sys.modules, "uproot", None)
    with pytest.raises(InputError, match=r"uproot is not installed; .*pip install uproot"):
        read_events(path, "qcd")


class TestDelphes(FormatTestBase):
    name = "delphes"
    suffix = ".root"

    def write(self, path, n):
        columns = {name: (values * n)[:n] for name, values in COLUMNS.items()}
        if not n:
            with uproot.recreate(path) as file:
                file.mktree("Delphes", {name: "var * float32" for name in columns})
            return path
        return write(path, columns)

    def write_other(self, path):
        return write(path, tree="Events")
