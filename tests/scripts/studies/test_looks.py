"""What a distance looks at: images with the right signs, shares that add up to the score, and altered crossings."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.formats.crossing_file import write_crossings
from codae_l1.data.splits import SPLITS
from codae_l1.models.evaluation.crossing_rates import threshold_at, total_rate
from codae_l1.quantization._bend import window_weights
from codae_l1.quantization.config import DistillConfig, Training
from codae_l1.quantization.distance import learn_distance
from codae_l1.quantization.f_m import config as f_m
from codae_l1.quantization.f_m.config import ConvConfig, output_word
from codae_l1.quantization.f_m.precision import LayerPrecision
from codae_l1.scripts.run.config import TriggerConfig
from codae_l1.scripts.run.crossings import RunCrossings
from codae_l1.scripts.studies import _looks
from codae_l1.scripts.studies.looks import Network, looks_section

# Two places around phi in three rings.
SMALL = dataclasses.replace(f_m.DISTANCE, conv=(ConvConfig(1, (9, 5), (9, 5)),))
TWO = dataclasses.replace(
    SMALL,
    inputs=("hcal", "tracks", "ecal"),
    distance=(("tracks",), ("ecal", "hcal")),
    conv=(ConvConfig(2, (9, 5), (9, 5)),),
    precision={**f_m.DISTANCE.precision, "dense3": LayerPrecision(weight_bits=2, output_bits=11)},
)
BENT = dataclasses.replace(
    SMALL,
    inputs=("ecal", "hcal"),
    distance=(("hcal",), ("ecal",)),
    conv=(ConvConfig(4, (1, 1), (1, 1)), ConvConfig(2, (9, 5), (9, 5))),
    precision={},
)
KHZ = 1000.0


def hand_made():
    """Rows of the rings: the first ring less half the last, the middle one, nothing; of the windows: in the middle ring
    the first place less the second."""
    whitening = np.zeros((2, 3, 6))
    whitening[:, 0, 0], whitening[:, 2, 0] = 0.25, -0.125
    whitening[:, 1, 1] = 0.25
    whitening[0, 1, 3], whitening[1, 1, 3] = 0.25, -0.25
    # A, and B - A: the rows behind the rings' alone.
    behind = np.stack([np.arange(6) < 3, np.arange(6) >= 3], axis=1).astype(float)
    weights = {
        "conv1": (np.ones((9, 5, 1, 1)), np.zeros(1)),
        "dense1": (whitening.reshape(6, 6), np.array([0, -0.5, 0, 0, 0, 0])),
        "dense2": (behind, np.zeros(2)),
        "output": (np.ones((2, 1)), np.zeros(1)),
    }
    return Network(SMALL, weights)


def test_images_have_the_signs_and_places_of_the_rows():
    (group,) = hand_made().groups()
    rows = np.array(group["rows"])
    assert rows.shape == (6, 18, 15)
    assert (group["inputs"], group["rings"], group["of_others"]) == (["tracks"], 3, 0.0)
    assert group["eta_max"] == pytest.approx(30 * 0.08725)
    expected = np.zeros((18, 15))
    expected[:, :5], expected[:, 10:] = 0.25, -0.125
    assert np.array_equal(rows[0], expected)
    expected = np.zeros((18, 15))
    expected[:9, 5:10], expected[9:, 5:10] = 0.25, -0.25
    assert np.array_equal(rows[3], expected)
    assert not rows[[2, 4, 5]].any()


def test_rows_of_two_groups_are_told_apart():
    whitening = np.zeros((6, 2, 6, 2))
    whitening[2, 0, 4, 0], whitening[2, 1, 4, 1], whitening[0, 0, 4, 1] = 0.5, -0.75, 0.125
    sums = np.zeros((9, 5, 3, 2))
    sums[:, :, 1, 0], sums[:, :, [0, 2], 1] = 1, 1
    weights = {"conv1": (sums, np.zeros(2)), "dense1": (whitening.reshape(12, 12), np.zeros(12))}
    tracks, energies = Network(TWO, weights).groups()
    assert (tracks["inputs"], energies["inputs"]) == (["tracks"], ["ecal", "hcal"])
    for group, value in ((tracks, 0.5), (energies, -0.75)):
        expected = np.zeros((6, 18, 15))
        expected[4, :9, 10:] = value
        assert np.array_equal(group["rows"], expected)
    assert (tracks["of_others"], energies["of_others"]) == (0.0, 0.125)


def test_images_of_bent_energies_are_of_the_first_counts_of_a_cell():
    whitening = np.zeros((6, 2, 6, 2))
    whitening[2, 0, 4, 0], whitening[2, 1, 4, 1] = 0.5, -0.75
    weights = {**window_weights(BENT), "dense1": (whitening.reshape(12, 12), np.zeros(12))}
    hcal, ecal = Network(BENT, weights).groups()
    for group, value in ((hcal, 0.5), (ecal, -0.75)):
        expected = np.zeros((6, 18, 15))
        expected[4, :9, 10:] = value
        assert np.array_equal(group["rows"], expected)
        assert group["of_others"] == 0


def test_what_rows_and_rings_contribute_by_hand():
    counts = np.zeros((3, 18, 15, 1), int)
    counts[1, 0, :3] = 2
    counts[2, 0, 5:8] = 2
    score, rows, rings = hand_made().contributions(counts)
    # Means: 1 in each window of the middle ring, 0 elsewhere. Six counts in the first ring: 1.5 squared.
    assert score.tolist() == [0.25, 2.25 + 0.25, 1.0 + 2.25]
    assert rows.tolist() == [[0, 0.25, 0, 0, 0, 0], [2.25, 0.25, 0, 0, 0, 0], [0, 1.0, 0, 2.25, 0, 0]]
    np.testing.assert_allclose(rings, [[0, 0.25, 0], [2.25, 0.25, 0], [0, 3.25, 0]], atol=1e-12)
    np.testing.assert_allclose(hand_made().ring_eta(0), (-29 * 0.08725, -10 * 0.08725))
    np.testing.assert_allclose(hand_made().ring_eta(1), (-10 * 0.08725, 10 * 0.08725))


@pytest.mark.parametrize(
    "config",
    [TWO, dataclasses.replace(TWO, dense=(1,), precision={}), BENT],
    ids=["distance", "auto-encoder", "bent energies"],
)
def test_shares_of_a_learned_network_add_up_to_the_score_of_the_firmware(config):
    rng, inputs = np.random.default_rng(0), len(config.inputs)
    activity = rng.gamma(1.5, 0.06, (1000, 1, 1, inputs)) * (1 + np.sin(np.arange(15) / 4))[:, None]
    counts = rng.poisson(np.broadcast_to(activity, (1000, 18, 15, inputs)))
    training = Training(DistillConfig(qat_steps=2), seed=3)
    firmware = learn_distance(counts[:800], np.ones(800), counts[800:], config, training).firmware
    seen = np.concatenate([counts[800:], 2 * counts[:50]])
    network = Network.of(firmware)
    score, rows, rings = network.contributions(seen)
    assert np.array_equal(score, firmware.firmware_score(firmware.predict_words(seen)))
    held = score < score.max()
    np.testing.assert_allclose(rows.sum(axis=1)[held], score[held], atol=0.1)
    np.testing.assert_allclose(rings.sum(axis=1)[held], score[held], rtol=0.15, atol=0.1)
    # Of two groups one gives the score, either of them in some crossings.
    of_groups = rows.reshape(len(rows), -1, 2).sum(axis=1)
    assert ((of_groups > 0).sum(axis=1) <= 1).all()
    assert (of_groups > 0).any(axis=0).all()


class Firmware:
    """The executor of a network of numbers."""

    def __init__(self, network):
        self.network = network
        score_words = lambda words: words[:, 0]  # noqa: E731
        self.trained = SimpleNamespace(config=network.config, score_words=score_words)

    def predict_words(self, counts):
        return np.rint(self.network.contributions(counts)[0] / output_word(self.network.config).lsb).astype(int)[
            :, None
        ]


@pytest.fixture(scope="module")
def crossings(tmp_path_factory):
    """4,000 zero-bias crossings, a few with much in one place of the middle ring, and 60 busy ones of h125."""
    rng, path = np.random.default_rng(1), tmp_path_factory.mktemp("looks") / "c.h5"
    tracks = rng.poisson(0.03, (4000, 18, 15))
    hot = np.arange(100, 160)
    tracks[hot, :2, 5:10] += rng.poisson(0.02 * (hot - 90))[:, None, None]
    parts = []
    for process, images in ((ZERO_BIAS, tracks), ("h125", rng.poisson(0.2, (60, 18, 15)))):
        n = len(images)
        columns = {name: np.zeros(n, np.float32) for name in ("pt_hat", "scalar_pt", "jet_ht")}
        columns["scalar_pt"] += np.arange(n, dtype=np.float32)
        parts.append(
            {
                "process": np.full(n, process),
                "split": np.full(n, SPLITS.index("test"), np.uint8),
                "weight": np.ones(n),
                "stratum": np.full(n, 1 if process == ZERO_BIAS else 0, np.int8),
                "members": np.stack([np.arange(n), *(np.full(n, -1) for _ in range(5))], axis=1).astype(np.int32),
                "pileup": np.full(n, 50, np.float32),
                "collisions": np.full(n, 50, np.uint16),
                "n_tracks": np.zeros(n, np.int32),
                "vertex_lost": np.zeros(n, bool),
                **columns,
                "words/HT": np.arange(n),
                "pooled/tracks": images,
            }
        )
    write_crossings(path, parts, {"energy_lsb_gev": 4.0, "config": {"cuts_gev": [20.0, 30.0]}})
    config = dataclasses.replace(TriggerConfig(crossings=str(path)), crossing_khz=KHZ)
    return RunCrossings(config, Firmware(hand_made()), 1, supervised=False)


@pytest.fixture(scope="module")
def read(crossings):
    return {name: crossings.read(name) for name in (ZERO_BIAS, "h125")}


@pytest.fixture
def share(monkeypatch):
    """A share of zero bias that the small sample carries."""
    monkeypatch.setattr(_looks, "SHARE", 1e-2)


def section(crossings, read, seed=5):
    return looks_section(hand_made(), Firmware(hand_made()), crossings, read, {"HT": 155}, seed)


@pytest.mark.usefixtures("share")
def test_the_highest_crossings_and_what_drives_them(crossings, read):
    highest = section(crossings, read)["highest"]
    words = read[ZERO_BIAS].words["rtl"]
    assert [row["crossing"] for row in highest] == np.argsort(-words, kind="stable")[:10].tolist()
    assert all(100 <= row["crossing"] < 160 for row in highest)
    for row in highest:
        assert row["score"] == words[row["crossing"]] * output_word(SMALL).lsb
        assert row["saturated"] == (words[row["crossing"]] == output_word(SMALL).bounds[1])
        assert row["active_pixels"] == crossings.cells(ZERO_BIAS)[row["crossing"]].sum()
        assert row["menu"] == (row["crossing"] >= 155)
        # Of the hard collision; jets were not generated for zero bias.
        assert (row["scalar_pt_gev"], row["jet_ht_gev"]) == (row["crossing"], None)
        assert (row["pt_hat_gev"], row["weight"]) == ([20.0, 30.0], 1.0)
        assert (row["inputs"], row["distance"], row["ring"]) == (["tracks"], "windows", 1)
        assert row["row"] in (1, 3)
        assert row["row_share"] == max(row["rows"])
        assert sum(row["rows"]) == pytest.approx(1)
        assert sum(row["rings"]) == pytest.approx(1)
        assert row["ring_share"] == row["rings"][1] > 0.6


def test_slices_of_strata_and_a_score_of_nothing():
    cuts = {"config": {"cuts_gev": [20.0, 30.0]}}
    assert [_looks._slice(cuts, s) for s in range(4)] == [[None, 20.0], [20.0, 30.0], [30.0, None], None]
    assert _looks._slice({}, 1) is None
    found = _looks._driven_by(hand_made(), np.zeros(6), np.zeros(3))
    assert set(found.values()) == {None}


@pytest.mark.usefixtures("share")
def test_nothing_altered_gives_the_same_rate_to_the_bit(crossings, read):
    found = section(crossings, read)["stability"]
    solved = threshold_at(read[ZERO_BIAS], "rtl", 1e-2 * KHZ, KHZ)
    assert (found["threshold"], found["signals"]) == (solved.threshold, ["h125"])
    same, *others = found["rows"]
    kept = total_rate(read["h125"], {"rtl": solved.threshold}, 1.0)
    assert (same["rate_khz"], same["error_khz"]) == (solved.rate_khz, solved.error_khz)
    assert same["efficiency"]["h125"] == {"value": kept.rate_khz, "error": kept.error_khz}
    assert [row["name"].split(",")[0] for row in others] == [
        "5 % of tracks lost",
        "dead sector",
        "dead column",
        "noise",
    ]
    assert section(crossings, read)["stability"] == found
    assert section(crossings, read, 6)["stability"] != found


@pytest.mark.usefixtures("share")
def test_a_dead_sector_is_that_of_the_altered_counts(crossings, read):
    found = section(crossings, read)["stability"]
    row = int(np.random.default_rng(5).integers(18))
    cells = crossings.cells("h125").copy()
    cells[:, row] = 0
    words = Firmware(hand_made()).predict_words(cells)[:, 0]
    assert found["rows"][2]["name"] == f"dead sector, phi {20 * row - 180} to {20 * row - 160} degrees"
    assert found["rows"][2]["efficiency"]["h125"]["value"] == np.mean(words >= found["threshold"])


@pytest.mark.usefixtures("share")
def test_losing_all_tracks_fires_nothing(crossings, read, monkeypatch):
    monkeypatch.setattr(_looks, "TRACKS_LOST", 1.0)
    lost = section(crossings, read)["stability"]["rows"][1]
    assert (lost["name"], lost["rate_khz"], lost["reason"]) == ("100 % of tracks lost", None, "no crossing fires")
    assert lost["efficiency"]["h125"] == {"value": None, "error": None, "reason": "no crossing fires"}


def test_a_share_that_is_not_carried_has_no_rows(crossings, read, monkeypatch):
    monkeypatch.setattr(_looks, "SHARE", 1e-4)
    found = section(crossings, read)["stability"]
    assert found["rows"] == []
    assert found["reason"]


def test_what_is_altered():
    rng = np.random.default_rng(0)
    cells = rng.poisson(3, (200, 18, 15, 2))
    before = cells.copy()
    lost = _looks._lose(cells, 1, 0.05, rng)
    assert np.array_equal(lost[..., 0], cells[..., 0])
    assert (lost[..., 1] <= cells[..., 1]).all()
    assert lost[..., 1].sum() / cells[..., 1].sum() == pytest.approx(0.95, abs=0.003)
    dead = _looks._silence(cells, 2, 4)
    assert not dead[:, :, 4].any()
    assert np.array_equal(np.delete(dead, 4, axis=2), np.delete(cells, 4, axis=2))
    # All towers: sixteen of a cell, twelve where the outermost column is empty.
    noisy = _looks._noise(cells, 0, 1.0, rng)
    assert (noisy[:, :, 1:-1, 0] == np.maximum(16, cells[:, :, 1:-1, 0])).all()
    assert (noisy[:, :, [0, -1], 0] == np.maximum(12, cells[:, :, [0, -1], 0])).all()
    more = _looks._scale(cells, np.array([False, True]), 1.05, rng)
    assert np.array_equal(more[..., 0], cells[..., 0])
    assert not more[cells[..., 1] == 0, 1].any()
    assert set(np.unique(more[..., 1] - cells[..., 1])) == {0, 1}
    assert more[..., 1].sum() / cells[..., 1].sum() == pytest.approx(1.05, abs=0.005)
    assert np.array_equal(cells, before)


def test_energies_are_altered_where_they_are_inputs():
    assert [name for name in _looks._alterations(("tracks",), 1) if "energies" in name] == []
    of_energies = list(_looks._alterations(("ecal", "hcal"), 1))
    assert of_energies[-2:] == ["energies 5 % up", "energies 5 % down"]
    assert not any("tracks" in name or "noise" in name for name in of_energies)
    cells = np.full((1, 18, 15, 2), 100)
    rng = np.random.default_rng(1)
    up, down = (change(cells, rng) for change in list(_looks._alterations(("tracks", "ecal"), 1).values())[-2:])
    assert [np.unique(part[..., k]).tolist() for part in (up, down) for k in (0, 1)] == [[100], [105], [100], [95]]
