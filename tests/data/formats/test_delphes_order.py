"""Delphes' vertices in another order than its own: what is refused, what is asked, and what is right."""

import numpy as np
import pytest
from delphes_files import few_vertices, read_told, with_pileup, write

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats import DelphesOptions, event_slices
from codae_l1.data.formats._delphes_order import VertexOrder


def test_sorted_vertices_are_refused(tmp_path):
    z = with_pileup()["Vertex.Z"]
    for name, values in (("up", [np.sort(v) for v in z]), ("down", [z[0], -np.sort(-z[1]), z[2]])):
        path = write(tmp_path / f"{name}.root", with_pileup(), **{"Vertex.Z": values})
        with pytest.raises(
            InputError, match=r"Vertex.Z is in order of z in (1 event|3 events); expected the vertex of the hard"
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


@pytest.mark.parametrize("way", [1, -1])
def test_few_vertices_in_order_in_all_events_are_refused(tmp_path, way):
    def ordered(i, z):
        return way * np.sort(way * z)

    # Ten events are so by chance in one of 6 10^7 files.
    assert read_told(write(tmp_path / "ten.root", few_vertices(10, ordered)))[0] == [1] * 10
    path = write(tmp_path / "eleven.root", few_vertices(11, ordered))
    with pytest.raises(InputError, match=r"Vertex.Z is in order of z in 11 events; expected the vertex of the hard"):
        read_told(path)
    # All events count before the first slice is read.
    with pytest.raises(InputError, match=r"in order of z in 11 events"):
        next(event_slices(path, 4, "qcd", tell=print))
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


@pytest.mark.parametrize("way", [1, -1])
def test_vertices_in_order_of_their_distance_are_refused(tmp_path, way):
    def ordered(i, z):
        return z[np.argsort(way * np.abs(z), kind="stable")]

    columns = with_pileup()
    path = write(tmp_path / "many.root", columns | {"Vertex.Z": [ordered(0, z) for z in columns["Vertex.Z"]]})
    with pytest.raises(InputError, match=r"Vertex.Z is in order of \|z\| in 3 events; expected the vertex of the hard"):
        read_told(path)
    with pytest.raises(InputError, match=r"in order of \|z\| in 40 events"):
        read_told(write(tmp_path / "few.root", few_vertices(40, ordered)))


def test_a_hard_collision_that_is_generated_at_0_is_no_order(tmp_path):
    path = write(
        tmp_path / "d.root", few_vertices(60, lambda i, z: np.concatenate([[0.0], ordered_by_distance(z[:2])]))
    )
    assert read_told(path)[0] == [1] * 60


def ordered_by_distance(z):
    return z[np.argsort(np.abs(z))]


# Each order, and what comes before all of it.
ORDERS = {
    "up": (np.sort, lambda rest: rest[0] - 1),
    "down": (lambda z: -np.sort(-z), lambda rest: rest[0] + 1),
    "distance": (ordered_by_distance, lambda rest: rest[0] / 2),
}


@pytest.mark.parametrize("way", ORDERS)
@pytest.mark.parametrize("slices", [1, 512])
def test_vertices_behind_the_first_may_be_in_order(tmp_path, way, slices):
    order, before = ORDERS[way]
    columns = with_pileup(30)
    z = [np.concatenate([v[:1], order(v[1:])]) for v in columns["Vertex.Z"]]
    # One event in 21 is in order as a whole by chance: the first, here.
    z[0][0] = before(z[0][1:])
    columns["Track.DZ"][0] = np.repeat(z[0], [60] + [15] * 20)
    assert np.array_equal(order(z[0]), z[0])
    path = write(tmp_path / "d.root", columns | {"Vertex.Z": z})
    parts = list(event_slices(path, slices, "qcd", tell=print))
    assert np.concatenate([part.n_tracks for part in parts]).tolist() == [60] * 30
    # In all events it is none.
    path = write(tmp_path / "d.root", columns | {"Vertex.Z": [order(v) for v in z]})
    with pytest.raises(InputError, match=r"in order of .* in 30 events"):
        next(event_slices(path, slices, "qcd", tell=print))


def neighbours(n, hard, order):
    """Branches of n events: a hard vertex of the tracks' pT `hard`, 20 of 15 tracks of 1 GeV, each with one 50 um away.

    order: of the 41 vertices, after a generator.
    """
    columns = with_pileup(n)
    for i in range(n):
        rng = np.random.default_rng(i)
        pairs = (20.0 * np.array([*range(-10, 0), *range(1, 11)])[:, None] + [0.0, 0.05]).ravel()
        z = np.concatenate([[0.4], rng.permutation(pairs)])
        number = [len(hard), *[15] * 40]
        m = sum(number)
        columns["Vertex.Z"][i], columns["Track.DZ"][i] = z[order(rng)], np.repeat(z, number)
        columns["Track.PT"][i] = np.concatenate([hard, np.ones(m - len(hard))])
        columns["Track.EtaOuter"][i], columns["Track.PhiOuter"][i] = rng.uniform(-2, 2, m), rng.uniform(-3, 3, m)
    return columns


# Many soft tracks; few of which two are hard; many of which some are hard.
HARD = {"soft": np.ones(60), "few": np.array([40.0, 30.0, *np.ones(8)]), "jets": np.array([*[9.0] * 8, *np.ones(40)])}


@pytest.mark.parametrize("hard", HARD)
def test_a_first_vertex_that_is_like_any_other_is_asked_about(tmp_path, hard):
    orders = {
        "first": lambda rng: np.arange(41),
        "last": lambda rng: np.roll(np.arange(41), -1),
        "any": lambda rng: rng.permutation(41),
    }
    for name, order in orders.items():
        n_tracks, told = read_told(write(tmp_path / f"{name}.root", neighbours(20, HARD[hard], order)))
        first = told[0].split(" from the first vertex")[1]
        if name == "first":
            # Ten tracks are fewer than those of an average vertex, which is asked about as well.
            assert n_tracks == [len(HARD[hard])] * 20
            assert (
                first == "" if hard != "few" else first.startswith(". The first has 10.0 tracks, fewer than the 14.9")
            )
        else:
            # With its neighbour's it has more tracks than an average vertex.
            assert np.mean(n_tracks) > 25
            words = first.split(" % of the others of its event in tracks or pT^2, where any does above half: is it th")
            assert words[0].startswith(". The first stands above ")
            assert int(words[0].split()[-1]) < 65
            assert words[1] == "at of the hard collision?"


def test_events_with_one_vertex_or_all_at_one_place_are_not_asked_about(tmp_path):
    columns = with_pileup(20)
    for name, z in (("one", [v[:1] for v in columns["Vertex.Z"]]), ("same", [np.full(21, 3.0)] * 20)):
        changes = {"Track.DZ": [np.full(360, v[0]) for v in z], "Vertex.Z": z}
        said = "0 of 7,200 tracks were dropped as pile-up: DZ further than 0.1 mm from the first vertex"
        assert read_told(write(tmp_path / f"{name}.root", columns | changes)) == ([360] * 20, [said])


def half_and_half(n):
    """Branches of n events, of which every other one has the hard vertex last."""
    columns = with_pileup(n)
    columns["Vertex.Z"] = [np.roll(z, -1) if i % 2 else z for i, z in enumerate(columns["Vertex.Z"])]
    return columns


def test_half_of_the_events_with_another_first_vertex_are_asked_about(tmp_path):
    n_tracks, told = read_told(write(tmp_path / "half.root", half_and_half(60)))
    assert n_tracks == [60, 15] * 30
    # First of 21 in one half, in the other like any of those of 15 tracks: 1 and 0.5 less half of the hard one's 1/20.
    asked = "The first stands above 74 % of the others of its event in tracks or pT^2, where any does above half: is it"
    assert told[0].endswith(f" mm from the first vertex. {asked} that of the hard collision?")


@pytest.mark.parametrize("n", [2, 5, 60])
def test_hard_vertices_first_of_which_some_have_few_tracks_are_not_asked_about(tmp_path, n):
    # Five tracks are fewer than those of all others: a share of 0 in one event of 2, one of 5, four of 60.
    columns = with_pileup(n)
    for i in range(0, n, 15):
        for name in ("Track.PT", "Track.EtaOuter", "Track.PhiOuter", "Track.DZ"):
            columns[name][i] = columns[name][i][55:]
    n_tracks, told = read_told(write(tmp_path / "d.root", columns))
    assert n_tracks == [60 if i % 15 else 5 for i in range(n)]
    assert told[0].endswith(" mm from the first vertex")


def zero_bias(n, place, n_vertices=21):
    """Branches of n events of equal vertices, but the one at `place` with 2 GeV and others with 1 GeV at each track."""
    rng, rows = np.random.default_rng(5), {name: [] for name in with_pileup(0)}
    for _ in range(n):
        z, m = rng.normal(0, 50, n_vertices), 15 * n_vertices
        pt = np.ones(m)
        pt[15 * place : 15 * (place + 1)] = 2
        row = (pt, rng.uniform(-2.4, 2.4, m), rng.uniform(-3, 3, m), np.repeat(z, 15), z, *[[]] * 4)
        for name, values in zip(rows, row, strict=True):
            rows[name].append(values)
    return rows


def zero_bias_told(path):
    told = []
    for _ in event_slices(path, label="zero_bias", tell=told.append):
        pass
    return told[0].split(" mm from the first vertex")[1]


def test_zero_bias_is_told_where_a_trigger_would_choose_another_vertex(tmp_path):
    said = (
        ". The first vertex has the highest sum of pT^2 in {} % of events; a trigger chooses that one, and signals are"
    )
    said += " read so: write it first, and z in mm"
    assert zero_bias_told(write(tmp_path / "first.root", zero_bias(20, 0))) == ""
    assert zero_bias_told(write(tmp_path / "other.root", zero_bias(20, 7))) == said.format(0)
    first, other = zero_bias(20, 0), zero_bias(20, 7)
    half = {name: [*first[name][:10], *other[name][10:]] for name in first}
    assert zero_bias_told(write(tmp_path / "half.root", half)) == said.format(50)
    # Neither is asked for a hard collision: of the first the tracks are as many as those of any, or fewer.
    other["Vertex.Z"] = [z + 0.3 for z in other["Vertex.Z"]]
    assert zero_bias_told(write(tmp_path / "fewer.root", other)) == said.format(0)
    # One event tells nothing, and nor do events of one vertex, or of none.
    assert zero_bias_told(write(tmp_path / "one.root", zero_bias(1, 7))) == ""
    assert zero_bias_told(write(tmp_path / "alone.root", zero_bias(20, 0, 1))) == ""
    none = zero_bias(20, 0, 1) | {"Vertex.Z": [[]] * 20}
    assert zero_bias_told(write(tmp_path / "none.root", none)) == "; 20 of 20 events have no vertex and keep all tracks"
    assert zero_bias_told(write(tmp_path / "few.root", zero_bias(20, 0, 2))) == ""


def test_zero_bias_in_order_of_z_is_refused_for_what_a_trigger_chooses(tmp_path):
    path = write(tmp_path / "d.root", few_vertices(40, lambda i, z: np.sort(z)))
    expected = (
        r"expected the vertex that a trigger would choose first, of the highest sum of pT\^2; write the vertices in"
    )
    with pytest.raises(InputError, match=rf"Vertex.Z is in order of z in 40 events; {expected} Delphes' order, or say"):
        zero_bias_told(path)


# How a file arranges the vertices after the first.
BEHIND = {"z": lambda z: z, "-z": lambda z: -z, "|z|": np.abs, "-|z|": lambda z: -np.abs(z)}


def ordered_behind(rng, n, pileup, key, whole=0):
    """(event, z) of n events of a hard vertex and a Poisson number of others; of the last `whole` all are in order."""
    number = rng.poisson(pileup, n) + 1
    event, z = np.repeat(np.arange(n), number), rng.normal(0, 50, number.sum())
    behind = np.ones(len(z), bool)
    behind[np.cumsum(number) - number] = False
    behind |= event >= n - whole
    z[behind] = z[behind][np.lexsort((key(z[behind]), event[behind]))]
    return event, z


@pytest.mark.parametrize("way", BEHIND)
@pytest.mark.parametrize("pileup", [2, 5, 8, 10, 15, 20])
def test_events_that_are_in_order_by_chance_count_over_the_whole_file(way, pileup):
    rng = np.random.default_rng(pileup)
    for _ in range(3):
        order = VertexOrder()
        order.add(*ordered_behind(rng, 10_000, pileup, BEHIND[way]), 10_000)
        assert order.found() is None
    # A fifth of the events in order as a whole is by no chance.
    order, number = VertexOrder(), 0
    for n, whole in ((8_000, 0), (2_000, 2_000)):
        event, z = ordered_behind(rng, n, pileup, BEHIND[way], whole)
        order.add(event, z, n)
        inside = np.diff(event) == 0
        wrong = np.bincount(event[1:][inside], np.diff(BEHIND[way](z))[inside] < 0, n) > 0
        number += int((~wrong & (np.bincount(event, minlength=n) > 1)).sum())
    assert order.found() == (way.strip("-"), number)


def test_a_window_beside_keep_pileup_is_refused():
    with pytest.raises(
        InputError, match=r"--vertex-window-mm with --keep-pileup; expected one or the other; drop --ke"
    ):
        DelphesOptions(keep_pileup=True, vertex_window_mm=5.0)
