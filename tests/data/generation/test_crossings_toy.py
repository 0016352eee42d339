"""Crossings from collisions that the tests make: strata, weights, overlay, towers. No Pythia."""

import itertools

import h5py
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import N_ETA, N_PHI
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.formats.crossing_file import CrossingFile, write_crossings
from codae_l1.data.generation._collisions import ECAL_ETA, Collisions, joined, load_collisions, save_collisions
from codae_l1.data.generation._crossing_chunks import crossing_tasks
from codae_l1.data.generation._detector import CELLS
from codae_l1.data.generation._overlay import MEMBERS, Deposits, Members, Overlay
from codae_l1.data.generation._pool import pool_chunks
from codae_l1.data.generation._strata import Strata
from codae_l1.data.generation._towers import TriggerTowers, delphes_images, hadron_response, trigger_images
from codae_l1.data.generation.crossings import read_chunk
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.splits import SPLITS

SHARES = np.array([0.97, 0.02, 0.008, 0.002])


def strata(bias: float, sizes=(500, 40, 30, 20)) -> Strata:
    ends = np.cumsum([0, *sizes])
    return Strata(SHARES, tuple(np.arange(a, b) for a, b in itertools.pairwise(ends)), bias)


def pool(rng, n=12) -> Collisions:
    """Collisions of random deposits; some have none of a kind."""
    counts = [rng.integers(0, 6, n) for _ in range(3)]
    total = [int(c.sum()) for c in counts]
    columns = [rng.uniform(0, 100, n), rng.normal(0, 53, n), np.ones(n), rng.uniform(0, 50, n), np.ones(n), np.ones(n)]
    return Collisions(
        *(column.astype(np.float32) for column in columns),
        *(c.astype(np.int32) for c in counts),
        rng.integers(0, N_PHI * N_ETA * CELLS**2, total[0]).astype(np.int32),
        rng.uniform(0.1, 20, total[0]).astype(np.float32),
        rng.integers(0, N_PHI * N_ETA, total[1]).astype(np.int16),
        rng.uniform(0.1, 20, total[1]).astype(np.float32),
        rng.integers(0, N_PHI * N_ETA, total[2]).astype(np.int16),
        rng.uniform(0.1, 20, total[2]).astype(np.float32),
    )


def random_members(rng, collisions: Collisions, crossings=7, most=6) -> Members:
    numbers = rng.integers(0, most, crossings)
    numbers[2] = 0
    crossing = np.repeat(np.arange(crossings), numbers)
    drawn = rng.integers(0, len(collisions), len(crossing))
    return Members(crossing, drawn, rng.integers(0, N_PHI, len(crossing)), crossings)


def test_the_strata_are_all_crossings():
    mu = np.array([0.0, 1.0, 50.0, 200.0])
    chances = strata(0.7).probabilities(mu)
    assert chances.sum(axis=1) == pytest.approx(1)
    assert chances[0].tolist() == [1, 0, 0, 0]
    # The chance that nothing of slices 2 and 3 occurs, and something of slice 1.
    assert chances[2, 1] == pytest.approx((1 - np.exp(-50 * 0.02)) * np.exp(-50 * 0.01))


def test_without_bias_every_crossing_weighs_one():
    mu = np.full(5000, 50.0)
    chances = strata(0.0).probabilities(mu[:1])[0]
    stratum, weight = strata(0.0).biased(0, mu, chances)
    assert np.all(weight == pytest.approx(1))
    assert np.bincount(stratum) / 5000 == pytest.approx(chances, abs=2e-3)


def test_a_chunk_continues_the_strata_of_the_chunk_before():
    mu = np.full(100, 50.0)
    chances = strata(0.7).probabilities(mu[:1])[0]
    whole = strata(0.7).biased(0, mu, chances)
    parts = [strata(0.7).biased(first, mu[:50], chances) for first in (0, 50)]
    for i in range(2):
        assert np.array_equal(whole[i], np.concatenate([part[i] for part in parts]))


@pytest.mark.parametrize("bias", [0.0, 0.7, 1.0])
def test_weighted_crossings_hold_what_natural_ones_do(bias):
    """Means of the weighted sample: of every slice, and of its pairs, as Poisson numbers have them."""
    rng, mu = np.random.default_rng(3), np.full(40_000, 30.0)
    made = strata(bias)
    stratum, weight = made.biased(0, mu, made.probabilities(mu[:1])[0])
    numbers = made.numbers(mu, rng, stratum)
    rows = np.arange(len(mu))
    hard = stratum > 0
    assert numbers[rows, stratum][hard].min() >= 1
    assert all(numbers[stratum < k, k].sum() == 0 for k in (1, 2, 3))
    expected = 30 * SHARES
    for values, mean in ((numbers, expected), (numbers * (numbers - 1), expected**2)):
        weighted = weight[:, None] * values
        error = weighted.std(axis=0) / np.sqrt(len(mu))
        assert np.all(np.abs(weighted.mean(axis=0) - mean) < 4 * error)
    assert weight.mean() == pytest.approx(1, abs=2e-3)


def test_a_mixture_of_pileup_keeps_the_weights():
    config = CrossingsConfig(pileup=(20.0, 60.0), pileup_shares=(3.0, 1.0))
    values, shares = config.mixture
    rng, made = np.random.default_rng(4), strata(0.7)
    mu = rng.choice(values, 30_000, p=shares)
    stratum, weight = made.biased(0, mu, shares @ made.probabilities(values))
    numbers = made.numbers(mu, rng, stratum).sum(axis=1)
    assert weight.mean() == pytest.approx(1, abs=0.02)
    assert (weight * numbers).mean() == pytest.approx(30, rel=0.02)


def test_an_empty_slice_that_is_needed_is_refused():
    made = strata(0.0, (500, 40, 0, 20))
    with pytest.raises(InputError, match="no collisions in slice 2 of the pool"):
        made.members(np.array([[3, 1, 1, 0]]), np.random.default_rng(0))


def test_overlay_equals_one_deposit_after_another():
    rng = np.random.default_rng(5)
    collisions = pool(rng)
    members, overlay = random_members(rng, collisions), Overlay(collisions)
    found = overlay.deposits(members)
    ecal, hcal = (np.zeros((members.crossings, N_PHI, N_ETA)) for _ in range(2))
    ends = [np.concatenate([[0], np.cumsum(n)]) for n in (collisions.n_ecal, collisions.n_hcal)]
    for crossing, which, turn in zip(members.crossing, members.collision, members.turn, strict=True):
        for i in range(ends[0][which], ends[0][which + 1]):
            row, column = divmod(int(collisions.ecal_cell[i]), ECAL_ETA)
            ecal[crossing, (row // CELLS + turn) % N_PHI, column // CELLS] += collisions.ecal_energy[i]
        for i in range(ends[1][which], ends[1][which + 1]):
            row, column = divmod(int(collisions.hcal_tower[i]), N_ETA)
            hcal[crossing, (row + turn) % N_PHI, column] += collisions.hcal_energy[i]
    assert found.ecal == pytest.approx(ecal)
    assert found.hcal == pytest.approx(hcal)
    cell, energy = overlay.deposits(members, cells=True).fine
    assert energy.sum() == pytest.approx(ecal.sum())
    rows, columns = np.divmod(cell, ECAL_ETA)
    towers = np.bincount(rows // CELLS * N_ETA + columns // CELLS, energy, ecal.size).reshape(ecal.shape)
    assert towers == pytest.approx(ecal)


def test_a_crossing_that_is_turned_gives_the_turned_towers():
    rng = np.random.default_rng(6)
    collisions = pool(rng)
    members, overlay = random_members(rng, collisions), Overlay(collisions)
    turned = Members(members.crossing, members.collision, (members.turn + 5) % N_PHI, members.crossings)
    before, after = overlay.deposits(members), overlay.deposits(turned)
    for name in ("ecal", "hcal", "tracks"):
        assert getattr(after, name) == pytest.approx(np.roll(getattr(before, name), 5, axis=1))
    assert np.array_equal(before.n_tracks, after.n_tracks)


def test_the_vertex_with_the_largest_sum_is_chosen_and_its_tracks_are_kept():
    rng = np.random.default_rng(7)
    collisions = pool(rng)
    members, overlay = random_members(rng, collisions), Overlay(collisions)
    chosen = overlay.vertices(members)
    for crossing in range(members.crossings):
        of = members.collision[members.crossing == crossing]
        if not len(of):
            assert chosen[crossing] == -1
            continue
        assert collisions.sum_pt2[members.collision[chosen[crossing]]] == collisions.sum_pt2[of].max()
    found = overlay.deposits(members)
    near = [
        [c for c in members.collision[members.crossing == i] if abs(collisions.z[c] - collisions.z[v]) < 0.1]
        for i, v in enumerate(np.where(chosen >= 0, members.collision[chosen], -1))
        if chosen[i] >= 0
    ]
    assert found.n_tracks[chosen >= 0].tolist() == [sum(collisions.n_tracks[c] for c in of) for of in near]
    assert found.n_tracks[chosen < 0].tolist() == [0] * int((chosen < 0).sum())


def test_the_members_that_matter_are_the_vertex_and_the_hardest_others():
    collisions = joined([pool(np.random.default_rng(i), 6) for i in range(2)])
    overlay = Overlay(collisions)
    drawn = np.array([5, 1, 6, 1, 7, 8, 9, 10, 11, 3])
    members = Members(np.array([0] * 9 + [2]), drawn, np.zeros(10, np.int64), 3)
    leading = overlay.leading(members, np.array([2, -1, 9]))
    others = sorted({5, 1, 7, 8, 9, 10, 11}, key=lambda c: -overlay.transverse[c])
    assert leading[0].tolist() == [6, *others[: MEMBERS - 1]]
    assert leading[1].tolist() == [-1] * MEMBERS
    assert leading[2].tolist() == [3] + [-1] * (MEMBERS - 1)


def test_trigger_towers_are_whole_steps_above_their_thresholds():
    rng = np.random.default_rng(8)
    collisions = pool(rng, 40)
    deposits = Overlay(collisions).deposits(random_members(rng, collisions, most=40))
    images = trigger_images(deposits, rng, TriggerTowers(1.0, 1.5, 1.0))
    steps = images[..., 1:] / 0.5
    assert np.array_equal(steps, np.floor(steps))
    assert images[..., 1][images[..., 1] > 0].min() == 1.0
    assert images[..., 2][images[..., 2] > 0].min() == 1.5
    exact = trigger_images(deposits, rng, TriggerTowers(0.0, 0.0, 0.0))
    eta = (np.arange(N_ETA) + 0.5) * 0.08725 - 0.08725 * N_ETA / 2
    assert np.array_equal(exact[..., 2], np.floor(deposits.hcal / np.cosh(eta) * 2).astype(np.float32) / 2)
    assert np.array_equal(images[..., 0], deposits.tracks.astype(np.float32))


def test_the_delphes_detector_has_cells():
    rng = np.random.default_rng(9)
    collisions = pool(rng, 40)
    members = random_members(rng, collisions, most=40)
    images = delphes_images(Overlay(collisions).deposits(members, cells=True), rng)
    assert images.shape == (7, N_PHI, N_ETA, 3)
    assert images[2].max() == 0


def test_the_delphes_detector_keeps_the_mean_energy_far_above_its_thresholds():
    """2,000 towers of 400 GeV at eta near 0, where the resolution is 2 % (ECAL) and 9 % (HCAL)."""
    rng = np.random.default_rng(10)
    towers = np.zeros((50, N_PHI, N_ETA))
    towers[:, 10:50, 28] = 400.0
    cells = np.flatnonzero(np.repeat(np.repeat(towers, CELLS, axis=1), CELLS, axis=2))[:: CELLS**2]
    fine = cells, np.full(len(cells), 400.0)
    none = np.zeros(50, np.int64)
    images = delphes_images(Deposits(towers[:0], towers, np.zeros_like(towers), none, none, fine), rng)
    assert images[..., 1].sum() == pytest.approx(len(cells) * 400, rel=0.01)
    assert images[..., 2].sum() == pytest.approx(2000 * 400, rel=0.01)


def test_the_response_to_hadrons_rises_to_that_of_photons():
    energy = np.geomspace(0.1, 1000, 30)
    share = hadron_response(energy, 0.42)
    assert np.all(np.diff(share) >= 0)
    assert share[0] == pytest.approx(0.42)
    assert share[-1] < 1
    assert np.all(hadron_response(energy, 1.0) == 1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"pileup": (300.0,)}, "pileup = .*300"),
        ({"pileup": ()}, "pileup"),
        ({"pileup": (-1.0,)}, "pileup"),
        ({"pileup": (10.0, 20.0), "pileup_shares": (1.0,)}, "pileup_shares"),
        ({"pileup_shares": (float("nan"),)}, "pileup_shares"),
        ({"n_soft": 5000}, "n_soft = 5000; expected at least 20000: pile-up 50 needs it"),
        ({"n_crossings": (0, 0, 0, 100_000), "n_hard": 100}, "n_hard = 100"),
        ({"cuts_gev": (30.0, 20.0)}, "cuts_gev"),
        ({"n_crossings": (1, 2)}, "n_crossings"),
        ({"processes": ("suep",)}, "processes"),
        ({"bias": 1.5}, "bias"),
        ({"ecal_threshold_gev": float("inf")}, "ecal_threshold_gev"),
    ],
)
def test_a_config_that_cannot_be_made_is_refused(keys, message):
    with pytest.raises(InputError, match=message):
        CrossingsConfig(**keys)


def test_splits_are_chunked_apart():
    tasks = crossing_tasks(CrossingsConfig(chunk_crossings=10_000, processes=("h125", "w")))
    zero_bias = [(t.split, t.first, t.count) for t in tasks if t.process == ZERO_BIAS]
    assert zero_bias[:3] == [("train", 0, 10_000), ("train", 10_000, 10_000), ("train", 20_000, 4000)]
    assert sum(t.count for t in tasks) == 62_000 + 2 * 850


def rows(rng, n, process="zero_bias", split=3):
    return {
        "process": np.full(n, process),
        "split": np.full(n, split, np.uint8),
        "weight": rng.uniform(0, 2, n),
        "stratum": rng.integers(0, 8, n).astype(np.int8),
        "members": rng.integers(-1, 900, (n, 6)).astype(np.int32),
        "pileup": np.full(n, 50, np.float32),
        "collisions": rng.integers(0, 90, n).astype(np.uint16),
        "n_tracks": rng.integers(0, 90, n).astype(np.int32),
        "vertex_lost": rng.random(n) < 0.2,
        **{name: rng.uniform(0, 90, n).astype(np.float32) for name in ("pt_hat", "scalar_pt", "jet_ht")},
        "words/HT": rng.integers(0, 4095, n),
        "pooled/tracks": rng.integers(0, 17, (n, 18, 15)),
    }


def test_a_file_of_crossings_gives_back_what_was_written(tmp_path):
    rng = np.random.default_rng(10)
    parts = [rows(rng, 70), rows(rng, 30, "h125"), rows(rng, 5, "h125", 1)]
    write_crossings(tmp_path / "c.h5", parts, {"seed": 1})
    file = CrossingFile(tmp_path / "c.h5")
    file.verify()
    assert len(file) == 105
    assert file.where("h125", "test").tolist() == list(range(70, 100))
    assert file.provenance == {"seed": 1}
    assert np.array_equal(file.words(file.where("h125", "test"))["HT"], parts[1]["words/HT"])
    assert np.array_equal(file.pooled(("tracks",), np.array([0, 69]))[..., 0], parts[0]["pooled/tracks"][[0, 69]])
    assert file.pooled(("tracks",), np.zeros(0, int)).shape == (0, 18, 15, 1)
    assert np.array_equal(file.weight[:70], parts[0]["weight"])


def test_a_file_of_another_kind_or_with_bad_weights_is_refused(tmp_path):
    rng = np.random.default_rng(11)
    bad = rows(rng, 5)
    bad["weight"][2] = np.nan
    write_crossings(tmp_path / "c.h5", [bad], {})
    with pytest.raises(InputError, match="weight with nan in event 2; expected finite numbers >= 0"):
        CrossingFile(tmp_path / "c.h5")
    write_crossings(tmp_path / "d.h5", [rows(rng, 5)], {})
    with pytest.raises(InputError, match="without the inputs ecal"):
        CrossingFile(tmp_path / "d.h5").pooled(("ecal",), np.arange(2))
    with pytest.raises(InputError, match="does not exist"):
        CrossingFile(tmp_path / "e.h5")


def _replace(name, values):
    """An edit of an open file: the dataset of that name holds other values, or is gone."""

    def edit(file):
        del file[name]
        if values is not None:
            file[name] = values

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_replace("weight", None), "without the dataset weight"),
        (_replace("weight", np.ones((5, 1))), r"/weight of shape \(5, 1\), type float64; expected shape \(5,\)"),
        (_replace("weight", np.array([b"one"] * 5)), r"/weight of shape \(5,\), type \|S3"),
        (_replace("split", np.full(5, 7, np.uint8)), "splits beyond 3"),
        (_replace("split", np.ones(5)), "/split of shape .* type float64"),
        (_replace("members", np.zeros((5, 2), np.int32)), r"/members of shape \(5, 2\)"),
        (_replace("n_tracks", np.zeros(4, np.int32)), r"/n_tracks of shape \(4,\)"),
        (_replace("words/HT", np.zeros(4, np.int32)), r"/words/HT of shape \(4,\)"),
        (_replace("words/HT", np.full(5, 0.5)), "/words/HT of shape .* type float64"),
        (_replace("pooled/tracks", np.zeros((5, 15, 18), np.int32)), r"/pooled/tracks of shape \(5, 15, 18\)"),
        (lambda file: file.attrs.__delitem__("provenance"), "is damaged .*provenance"),
        (
            lambda file: file.attrs.__setitem__("provenance", "{"),
            "the provenance of .* was changed after it was written",
        ),
        (lambda file: file.attrs.__setitem__("provenance", '{"seed": 2}'), "the provenance of .* was changed"),
        (lambda file: file.attrs.__delitem__("header_checksum"), "is damaged .*header_checksum"),
        (lambda file: file.attrs.__setitem__("version", np.arange(2)), "is damaged"),
        (lambda file: file.attrs.__setitem__("version", 3), "of version 3; expected version 2"),
    ],
)
def test_a_file_that_was_damaged_is_refused_when_it_is_opened(tmp_path, edit, message):
    write_crossings(tmp_path / "c.h5", [rows(np.random.default_rng(12), 5)], {})
    with h5py.File(tmp_path / "c.h5", "r+") as file:
        edit(file)
    with pytest.raises(InputError, match=message):
        CrossingFile(tmp_path / "c.h5")


def test_content_that_was_edited_does_not_have_its_checksum(tmp_path):
    write_crossings(tmp_path / "c.h5", [rows(np.random.default_rng(13), 5)], {})
    with h5py.File(tmp_path / "c.h5", "r+") as file:
        file["words/HT"][3] += 1
    with pytest.raises(InputError, match=r"the content of .*c\.h5 does not have its checksum"):
        CrossingFile(tmp_path / "c.h5").verify()


def test_negative_words_are_refused_with_the_file(tmp_path):
    """Of a file that was made so, sums and all."""
    content = rows(np.random.default_rng(14), 5)
    content["words/HT"][2] = -3
    write_crossings(tmp_path / "c.h5", [content], {})
    with pytest.raises(InputError, match=r"c.h5: words/HT with -3; expected words >= 0"):
        CrossingFile(tmp_path / "c.h5").verify()


@pytest.mark.parametrize("number", [0, 1, 12, 1000])
def test_a_split_of_signals_alone_has_a_pool(number):
    """However few crossings there are."""
    config = CrossingsConfig(
        n_crossings=(0, 0, 0, number), n_signal=1, n_signal_validation=1, processes=("h125",), pileup=(3.0,)
    )
    sizes = dict.fromkeys(SPLITS, 0)
    for chunk in pool_chunks(config):
        sizes[chunk.split] += chunk.count if chunk.source == 0 else 0
    validation = {0: 200_000, 1: 200_000, 12: 16_667, 1000: 10_000}[number]
    assert sizes == {"train": 0, "validation": validation, "calibration": 0, "test": 200_000}


def test_a_pool_too_small_for_a_split_of_signals_alone_is_refused():
    CrossingsConfig(n_crossings=(0, 0, 0, 12), n_signal_validation=0, n_soft=100, pileup=(3.0,))
    with pytest.raises(InputError, match=r"n_soft = 100; expected at least 720: pile-up 3 needs it"):
        CrossingsConfig(n_crossings=(0, 0, 0, 12), n_signal_validation=1, n_soft=100, pileup=(3.0,))


@pytest.mark.parametrize("kept", [0, 300, 2000])
def test_kept_chunks_that_are_cut_short_are_named(tmp_path, kept):
    """As a full disk or a copy that was stopped leaves them; finished ones are kept for a resume."""
    save_collisions(tmp_path / "collisions.npz", pool(np.random.default_rng(14)))
    config = CrossingsConfig(n_crossings=(0, 0, 0, 5), n_signal_validation=0, processes=())
    task = crossing_tasks(config)[0]
    np.savez(tmp_path / task.file, weight=np.ones(500))
    for name in ("collisions.npz", task.file):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:kept])
    with pytest.raises(InputError, match=r"collisions\.npz cannot be read .* remove it"):
        load_collisions(tmp_path / "collisions.npz")
    with pytest.raises(InputError, match=rf"{task.file} cannot be read .* remove it"):
        read_chunk(task, tmp_path)
