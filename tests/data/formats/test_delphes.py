"""Delphes ROOT files, written by uproot: filling, pile-up window, slices, and each way to be bad."""

import sys

import numpy as np
import pytest
from format_base import FormatTestBase

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import eta_edges
from codae_l1.data.formats import DelphesOptions, event_slices, read_events

awkward = pytest.importorskip("awkward")
uproot = pytest.importorskip("uproot")

EMPTY: list[float] = []
# Two events: tracks (pT, eta, phi, DZ), towers (eta, phi, Eem, Ehad), vertices (z).
COLUMNS = {
    "Track.PT": [[1.0, 2.0, 4.0, 8.0], [16.0]],
    "Track.EtaOuter": [[0.01, 0.01, -2.52, 0.01], [2.49]],
    "Track.PhiOuter": [[0.01, 0.02, 0.0, 0.01], [-3.14]],
    "Track.DZ": [[5.0, 5.09, 5.0, 5.11], [-3.0]],
    "Vertex.Z": [[5.0, 90.0, -20.0], EMPTY],
    "Tower.Eta": [[0.04, -2.5, 2.6], EMPTY],
    "Tower.Phi": [[3.1, 0.04, 0.0], EMPTY],
    "Tower.Eem": [[6.0, 5.0, 1.0], EMPTY],
    "Tower.Ehad": [[0.0, 10.0, 1.0], EMPTY],
}


def write(path, columns=None, tree="Delphes", **changes):
    columns = {name: v for name, v in {**(columns or COLUMNS), **changes}.items() if v is not None}
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: "var * float32" for name in columns})
        arrays = {name: awkward.values_astype(awkward.Array(list(v)), np.float32) for name, v in columns.items()}
        file[tree].extend(arrays)
    return path


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


def with_pileup(n=3, **changes):
    """Branches of n events: a hard vertex of 60 tracks, then 20 vertices of 15 each, all tracks inside the image."""
    rng, rows = np.random.default_rng(0), {name: [] for name in COLUMNS}
    for _ in range(n):
        z = rng.normal(0, 50, 21)
        number, m = [60] + [15] * 20, 360
        row = (np.ones(m), rng.uniform(-2.4, 2.4, m), rng.uniform(-3, 3, m), np.repeat(z, number), z, *[EMPTY] * 4)
        for name, values in zip(rows, row, strict=True):
            rows[name].append(values)
    return rows | changes


def read_told(path, **options):
    told = []
    parts = list(event_slices(path, label="qcd", options={"delphes": DelphesOptions(**options)}, tell=told.append))
    return np.concatenate([part.n_tracks for part in parts]).tolist(), [line.split(": ", 1)[1] for line in told]


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


def test_sorted_vertices_are_refused(tmp_path):
    z = with_pileup()["Vertex.Z"]
    for name, values in (("up", [np.sort(v) for v in z]), ("down", [z[0], -np.sort(-z[1]), z[2]])):
        path = write(tmp_path / f"{name}.root", with_pileup(), **{"Vertex.Z": values})
        with pytest.raises(
            InputError, match=r"Vertex.Z is in order of z in [13] events; expected the vertex of the hard"
        ):
            read_told(path)


def test_a_first_vertex_of_fewer_tracks_than_others_is_said(tmp_path):
    columns = with_pileup()
    z = columns["Vertex.Z"]
    said = "900 of 1,080 tracks were dropped as pile-up: DZ further than 0.1 mm from the first vertex"
    assert read_told(write(tmp_path / "right.root", columns))[1] == [said]
    # 360 tracks of 21 vertices in each of 3 events; in cm, 20 of other vertices are near what is then the first one.
    for name, wrong in (("cm", [v / 10 for v in z]), ("last", [np.roll(v, -1) for v in z])):
        n_tracks, told = read_told(write(tmp_path / f"{name}.root", columns, **{"Vertex.Z": wrong}))
        expected = f"The first has {sum(n_tracks) / 3:.1f} tracks, fewer than the 17.1 of an average vertex"
        assert told[0].endswith(f"vertex. {expected}: is it that of the hard collision, and z in mm?")
        assert sum(n_tracks) / 3 < 360 / 21


def few_vertices(n, order):
    """Branches of n events with three vertices each, whose z `order` arranges, and a track at each."""
    rng, rows = np.random.default_rng(3), {name: [] for name in COLUMNS}
    for i in range(n):
        z = order(i, rng.permutation(200)[:3] - 100.0)
        for name, values in zip(rows, (np.ones(3), np.zeros(3), np.zeros(3), z, z, *[EMPTY] * 4), strict=True):
            rows[name].append(values)
    return rows


@pytest.mark.parametrize("way", [1, -1])
def test_few_vertices_in_order_in_all_events_are_refused(tmp_path, way):
    def ordered(i, z):
        return way * np.sort(way * z)

    # Ten events are so by chance in one of 6 10^7 files.
    assert read_told(write(tmp_path / "ten.root", few_vertices(10, ordered)))[0] == [1] * 10
    path = write(tmp_path / "eleven.root", few_vertices(11, ordered))
    with pytest.raises(InputError, match=r"Vertex.Z is in order of z in 11 events; expected the vertex of the hard"):
        read_told(path)
    # All events so far count, in whichever slice they come.
    with pytest.raises(InputError, match=r"in order of z in 3 events"):
        list(event_slices(path, 4, "qcd", tell=print))
    # Vertices that are equal tell nothing; one event that is not in order hides none of the others.
    tied = few_vertices(40, lambda i, z: ordered(i, z)[[0, 0, 2]])
    with pytest.raises(InputError, match=r"in order of z in 40 events"):
        read_told(write(tmp_path / "tied.root", tied))
    alike = few_vertices(40, lambda i, z: z[[0, 0, 0]])
    assert read_told(write(tmp_path / "alike.root", alike))[0] == [3] * 40
    mixed = few_vertices(40, lambda i, z: ordered(i, z)[[1, 0, 2]] if i == 9 else ordered(i, z))
    with pytest.raises(InputError, match=r"in order of z in 39 events"):
        read_told(write(tmp_path / "mixed.root", mixed))
    assert read_told(write(tmp_path / "none.root", few_vertices(2000, lambda i, z: z)))[0] == [1] * 2000


def test_many_vertices_in_order_but_for_equal_ones_are_refused(tmp_path):
    z = [np.sort(v) for v in with_pileup()["Vertex.Z"]]
    z[0][5] = z[0][4]
    with pytest.raises(InputError, match=r"Vertex.Z is in order of z in 3 events"):
        read_told(write(tmp_path / "tied.root", with_pileup(), **{"Vertex.Z": z}))


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
