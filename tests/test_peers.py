"""CICADA beside other scores on crossings, and as firmware of this project, on networks and crossings by hand.

With CODAE_CICADA, the folder of a checkout of github.com/cms-hls4ml/CICADA, its published weights as well: then every
executor gives the words of the published library.
"""

import argparse
import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cicada_headers import random_weights, write_weights

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.generation._crossing_chunks import CrossingTask
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.menu import QUANTITIES, MenuConfig
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import Interpreter, build_rtl
from codae_l1.hls.target.config import HlsConfig
from codae_l1.quantization.config import DistillConfig
from codae_l1.scripts.studies import _cicada

FOLDER = Path(__file__).parents[1] / "benchmarks"
# Words of the published libraries, v2p2p0 then v2p1p2, for the images of `rules`.
LIBRARY = {
    "v2p2p0": [
        *(0, 0, 356, 3541, 9755, 22057, 47945, 65535, 65535),
        *(0, 7410, 45170, 65535),
        *(4774, 13990, 13479, 10320, 11169, 8634, 7610, 8734, 709, 12084),
    ],
    "v2p1p2": [
        *(0, 0, 120, 7941, 19711, 43168, 65535, 65535, 65535),
        *(0, 13131, 64147, 65535),
        *(11394, 18750, 20488, 23755, 19801, 16644, 15186, 20120, 827, 12091),
    ],
}


@pytest.fixture(scope="module", autouse=True)
def scripts():
    """The scripts import each other by name, as they do where they run."""
    names = ("crossing_samples", "peer_words", "peers", "cicada_firmware", "cicada_training")
    names += ("distances", "axol1tl", "self_supervised", "regions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(FOLDER), *sys.path])
        yield argparse.Namespace(**{name: importlib.import_module(name) for name in names})
    for name in names:
        sys.modules.pop(name)


def rules() -> np.ndarray:
    """Regions (n, 18, 14): constants, chessboards, ramps along the number i of a region, phi and eta, single peaks."""
    i = np.arange(252).reshape(18, 14)
    phi, eta = np.indices((18, 14))
    peaks = np.full((18, 14), 3)
    peaks[5, 6], peaks[14, 2] = 200, 100
    return np.stack(
        [
            *(np.full((18, 14), c) for c in (0, 1, 2, 4, 8, 16, 32, 64, 1023)),
            *(np.where((phi + eta) % 2, v, 0) for v in (1, 4, 16, 64)),
            *(i % 8, 3 * i % 11, 37 * i % 11, phi, 17 - phi, eta, 13 - eta, i // 16, np.where(i % 2, 0, 2), peaks),
        ]
    )


def test_what_is_kept_of_a_crossing_are_regions_and_sums(scripts):
    image = np.zeros((2, *IMAGE_SHAPE))
    # Three pixels of one block of 12 x 12, whose first column lies beyond the image, and one of another.
    for phi, eta in ((0, 0), (5, 3), (11, 10), (40, 30)):
        image[0, phi, eta, 0] = 3.0
    image[0, 4, 5, 1:] = 40.0, 10.0
    kept = scripts.peer_words.PeerWords()(image)
    assert kept["words/active_pixels"].tolist() == [4, 0]
    assert kept["words/block_power"].tolist() == [10, 0]
    assert kept["words/HT"].tolist() == [100, 0]
    assert kept["words/MET"].tolist() == [100, 0]
    assert kept["regions"].shape == (2, 18, 14)
    assert np.argwhere(kept["regions"]).tolist() == [[0, 1, 1]]
    assert kept["regions"][0, 1, 1] == 100


def chunk(rng: np.random.Generator, n: int, scale: float) -> dict[str, np.ndarray]:
    """A chunk of independent crossings; all their words are of one scale."""
    names = (*QUANTITIES, "active_pixels", "block_power")
    columns = {f"words/{name}": rng.exponential(scale, n).astype(np.int64) for name in names}
    columns["regions"] = rng.exponential(scale / 100, (n, 18, 14)).astype(np.uint16)
    members = np.stack([rng.permutation(n), np.full(n, -1)], axis=1)
    return columns | {"weight": np.ones(n), "stratum": np.zeros(n, np.int8), "members": members}


def test_scores_are_cut_at_the_rate_of_a_point_and_signals_above_are_kept(scripts, tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    tasks = [CrossingTask(p, "test", k, 0, 4000) for p, k in (("zero_bias", 0), ("zero_bias", 1), ("h125", 0))]
    chunks = {task.file: chunk(rng, 4000, 150.0 if task.process == "h125" else 50.0) for task in tasks}
    monkeypatch.setattr(scripts.peers, "read_config", lambda folder: CrossingsConfig())
    monkeypatch.setattr(scripts.peers, "crossing_tasks", lambda config: tasks)
    monkeypatch.setattr(scripts.peers, "read_chunk", lambda task, folder: chunks[task.file])
    monkeypatch.setattr(scripts.peers, "_menu", lambda: MenuConfig(4000.0, {"HT": 1.0, "MET": 1.0}))
    network = _cicada.read_weights(write_weights(tmp_path, **random_weights(rng)))
    samples = scripts.peers.read_samples(tmp_path, {"CICADA made up": network.words})
    assert {name: [c.size for c in sample] for name, sample in samples.items()} == {
        "zero_bias": [4000, 4000],
        "h125": [4000],
    }
    assert np.array_equal(samples["h125"][0].words["CICADA made up"], network.words(chunks[tasks[2].file]["regions"]))
    found = scripts.peers.results(samples, ["1e-2", "1e-6"])
    zero_bias = np.concatenate([chunks[task.file]["words/HT"] for task in tasks[:2]])
    row = found["points"]["1e-2"]["HT"]
    assert np.mean(zero_bias >= row["threshold"]) <= 0.01 < np.mean(zero_bias >= row["threshold"] - 1)
    kept = np.mean(chunks[tasks[2].file]["words/HT"] >= row["threshold"])
    assert row["efficiency"]["h125"]["value"] == pytest.approx(kept)
    lines = scripts.peers.table(found).splitlines()
    assert lines[0] == "| point | score | threshold | rate [kHz] | h125 |"
    # Each point has a row of every score and one of the menu.
    assert len(lines) == 2 + 2 * (4 + 1 + 1)
    [line] = [line for line in lines if line.startswith("| 1e-2 | HT |")]
    assert line.startswith(f"| 1e-2 | HT | {row['threshold']} | ")
    assert f"| {100 * kept:.1f} ± " in line
    [refused] = [line for line in lines if line.startswith("| 1e-6 | HT |")]
    assert "has a rate of" in refused
    assert refused.endswith("| - |")


def test_another_version_has_words_of_its_own(scripts, tmp_path):
    write_weights(tmp_path / "CICADA_v2p1p2" / "weights", **random_weights(np.random.default_rng(2)))
    with pytest.raises(InputError, match=r"expected \[11394, 20488, 7941\]; take the weights of v2p1p2"):
        _cicada.read_cicada(tmp_path, "v2p1p2")


def sparse(rng: np.random.Generator, nonzero: float) -> dict[str, np.ndarray]:
    """Weights of CICADA's shape, most of the large matrix and half of the filters zero: compiled in seconds."""
    weights = random_weights(rng)
    weights["w7"] *= rng.random((252, 16)) < nonzero
    return weights | {"w3": weights["w3"] * (rng.random((4, 2, 2)) < 0.5)}


def test_every_executor_gives_the_words_of_the_network_in_integers(scripts, tmp_path, quick_compiler):
    made = scripts.cicada_firmware
    network = _cicada.read_weights(write_weights(tmp_path, **sparse(np.random.default_rng(3), 0.004)))
    regions = made.images(60, 4)
    words = network.words(regions[..., 0])
    assert len(np.unique(words)) > 40
    executors = made.executors(network, tmp_path / "made")
    assert made.unlike(network, executors, regions) == dict.fromkeys(
        ("qkeras", "interpreter", "emulator", "rtl", "hls"), 0
    )
    other = replace(network, filters=network.filters.transpose(0, 2, 1))
    differ = (other.words(regions[..., 0]) != words).sum()
    assert differ > 10
    assert made.unlike(other, {"emulator": executors["emulator"]}, regions) == {"emulator": differ}


def test_a_trained_model_is_the_network_of_its_integers(scripts, tmp_path):
    made = scripts.cicada_firmware
    network = _cicada.read_weights(write_weights(tmp_path, **random_weights(np.random.default_rng(6))))
    again = made.network_of(made.qkeras_model(network))
    assert {name: values.tolist() for name, values in vars(again).items()} == {
        name: values.tolist() for name, values in vars(network).items()
    }


def test_the_student_is_to_say_how_badly_the_teacher_does(scripts):
    class Blind:
        """A teacher that says twice what it is shown where that is odd, and the same where it is even."""

        def predict(self, values, **_):
            return np.where(values % 2, 2 * values, values)

    regions = np.zeros((4, 18, 14), np.uint16)
    regions[0], regions[1], regions[2, 0, 0], regions[3] = 3, 4, 1, 1001
    wanted = scripts.cicada_training.targets(Blind(), regions)
    assert wanted == pytest.approx([32 * np.log(9.0), 0, 0, 65_535 / 256])
    assert scripts.cicada_training.build_teacher().count_params() == 323_731


def test_outliers_are_crossings_added_or_hot_regions_put_in(scripts):
    regions = np.full((400, 18, 14), 5, np.uint16)
    found = scripts.cicada_training.outliers(regions, 1)
    added, put = found[::2], found[1::2]
    assert set(np.unique(added)) == {5 * k for k in range(2, 9)}
    assert (added == added[:, :1, :1]).all()
    hot = (put > 5).sum(axis=(1, 2))
    assert hot.max() > 20
    assert 1 <= np.median(hot) < 15
    assert 500 < put.max() <= 1023


def test_what_is_learned_is_what_the_integers_say(scripts):
    made = scripts.cicada_training
    regions = np.random.default_rng(7).poisson(2, (96, 18, 14)).astype(np.uint16)
    _, student = made.train(regions, made.Training(1, 2, 32, 32), 3)
    shown = made.outliers(regions, 8)
    words = scripts.cicada_firmware.network_of(student).words(shown)
    assert len(np.unique(words)) > 20
    values = student.predict(shown[..., None].astype(np.float32), verbose=0)[:, 0]
    assert np.array_equal(words, values.astype(np.float64) * 256)


def test_a_region_counts_in_full_up_to_the_knee_and_an_eighth_beyond(scripts):
    designs = scripts.regions.DESIGNS
    regions = np.array([0, 15, 16, 20, 24, 28, 36, 44, 903, 904, 1023, 5000])
    # 16.5, 17.5 and 18.5 are rounded to even.
    words = [0, 15, 16, 16, 17, 18, 18, 20, 127, 127, 127, 127]
    assert designs["errors"].bent(regions[None, None])[0, 0, :, 0].tolist() == words
    assert designs["unbent"].bent(regions[None, None])[0, 0, :, 0].tolist() == np.minimum(regions, 63).tolist()


@pytest.mark.parametrize("name", ["errors", "distance"])
def test_bend_and_network_in_one_give_the_words_of_the_network(scripts, monkeypatch, name):
    made, rng = scripts.regions, np.random.default_rng(11)
    monkeypatch.setattr(made, "_QAT", DistillConfig(qat_steps=2, qat_learning_rate=1e-5, batch_size=64))
    regions = rng.exponential(rng.gamma(4, 0.5, (700, 1, 1)), (700, 18, 14)).astype(int)
    design = made.DESIGNS[name]
    students = made.learned(design, regions[:500], regions[500:], [1])
    shown = scripts.cicada_firmware.images(120, 2)
    words = students[1].firmware.predict_words(design.bent(shown[..., 0]))
    assert len(np.unique(words)) > 60
    model = made.whole_model(students[1], design)
    assert np.array_equal(model.predict_on_batch(shown.astype(np.float32)) * 128.0, words)
    assert len(read_network(model, scripts.cicada_firmware.INPUT_WORD).layers) == len(model.layers) - 1
    found = made.scores(name, design, students)
    assert list(found) == [f"{name}, float", f"{name}, seed 1"]
    # In steps of 1 / 256, where a word counts 1 / 128.
    assert np.array_equal(found[f"{name}, seed 1"](shown[..., 0]), 2 * words[:, 0])
    of_float, of_words = (score(regions[500:]) for score in found.values())
    assert np.corrcoef(of_float, of_words)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--designs", "bend"], "design bend; expected some of errors, distance, unbent"),
        (["--images", "-1"], "--images -1; expected a number >= 0"),
        (["--seeds", "-1"], "--seeds -1; expected different numbers, 0 to 2,147,483,647; correct --seeds"),
        (["--points", "nan"], "working point 'nan'; expected a share of crossings"),
        (["--out", str(FOLDER)], "benchmarks is there; expected a new or empty folder; name another"),
        (["--peers", str(FOLDER)], "no config.json in .*benchmarks; expected the work folder of a sample of crossings"),
    ],
)
def test_options_that_are_none_are_refused_before_anything_is_learned(scripts, monkeypatch, options, said):
    monkeypatch.setattr(sys, "argv", ["regions.py", "none.work", *options])
    with pytest.raises(InputError, match=said):
        scripts.regions.main()


def test_views_keep_what_a_crossing_is_and_anomalies_add_to_it(scripts):
    made, rng = scripts.self_supervised, np.random.default_rng(3)
    counts = np.random.default_rng(4).poisson(3, (4000, 18, 15, 3))
    views = made.other_views(counts, rng)
    assert np.allclose(views.mean((0, 1, 2)), 0.9 * counts.mean((0, 1, 2)), rtol=0.01)
    # Words are moved as they are, and thinned: a lone word of 100 stays alone.
    lone = np.zeros((50, 18, 15, 1), int)
    lone[:, 2, 4] = 100
    places = np.argwhere(made.other_views(lone, rng))
    assert len(places) == 50
    assert set(places[:, 2]) == {4, 10}
    assert len(set(places[:, 1])) > 10
    more = (made.anomalies(counts, rng) - counts).sum((1, 2))
    assert more.min() == 0
    tracks, energies = more[:, 0], more[:, 1:].sum(axis=1)
    for alone, other in ((tracks, energies), (energies, tracks)):
        assert 0.25 < np.mean((alone > 0) & (other == 0)) < 0.42
        assert 30 < alone[other == 0].mean() < 40
    alone = made.anomalies(counts[..., :1], rng) - counts[..., :1]
    assert 30 < alone.sum((1, 2)).mean() < 40


@pytest.mark.parametrize("name", ["tracks", "tracks_calorimeter"])
def test_an_encoder_of_counts_and_energies_has_the_words_of_its_chain(scripts, tmp_path, name):
    made, axol1tl, rng = scripts.self_supervised, scripts.axol1tl, np.random.default_rng(12)
    merge = made.INPUTS[name]
    counts = rng.poisson(rng.gamma(4, 0.5, (900, 1, 1, 1)), (900, 18, 15, len(merge)))
    counts[5, 0, 0] = 500
    rows = made.window_sums(counts, merge)
    assert rows[5, 0] == counts[5, :6, :3, 0].sum() - 500 + 31
    if len(merge) > 1:
        assert rows[5, 3] == counts[5, :6, 3:6, 1:].sum()
        assert rows[5, 1] == counts[5, :6, :3, 1:].sum() - 1000 + 62
    for steps in (0, 30):
        layers = made.encoder(counts, merge, "AnomCLR+", 2, steps)
        found = made.chains(layers, rows)
        z = scripts.distances.outputs(layers, rows)
        of_z = scripts.distances.outputs(found["distance"], rows)
        left = z - z.mean(axis=0)
        assert np.allclose(np.square(of_z).sum(axis=1), ((left @ np.linalg.inv(np.cov(z.T))) * left).sum(axis=1))
        assert found["norm"] is layers
    for of, chain in found.items():
        chain = axol1tl.scaled(chain, rows)
        model = axol1tl.quantized(chain, merge)
        words = axol1tl.predict(model, counts)
        floats = np.square(scripts.distances.outputs(chain, rows)).sum(axis=1)
        assert len(np.unique(words)) > 30, of
        # Of the distance, most of a whitening that was hardly trained is lost in seven bits.
        assert np.corrcoef(words, np.minimum(floats, 16))[0, 1] > (0.9 if of == "norm" else 0.3), of
        assert np.mean(floats > 1) == pytest.approx(0.01, abs=0.005)
    network = read_network(model, WordType(False, 5, 0, "TRN", "SAT"))
    build_rtl(network, axol1tl.SCORE, HlsConfig(), tmp_path / "rtl", simulate=False)
    # Of some events most cells saturate.
    shown = counts[:300] * rng.choice([1, 1, 12], (300, 1, 1, 1))
    assert (shown > 31).any()
    assert np.array_equal(Interpreter(tmp_path / "rtl").predict_words(shown)[:, 0], axol1tl.predict(model, shown))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["regions"], "inputs regions; expected some of tracks, tracks_calorimeter; correct them"),
        (["--losses", "BYOL"], r"loss BYOL; expected some of CLR, AnomCLR, AnomCLR\+"),
        (["--seeds", "-1"], "--seeds -1; expected different numbers, 0 to 2,147,483,647; correct --seeds"),
        (["--out", str(FOLDER)], "benchmarks is there; expected a new or empty folder; name another"),
    ],
)
def test_wrong_options_of_the_self_supervised_are_refused(scripts, monkeypatch, options, said):
    monkeypatch.setattr(sys, "argv", ["self_supervised.py", *options])
    with pytest.raises(InputError, match=said):
        scripts.self_supervised.main()


@pytest.mark.skipif("CODAE_CICADA" not in os.environ, reason="CODAE_CICADA names no checkout of CICADA")
@pytest.mark.parametrize("version", list(LIBRARY))
def test_every_executor_gives_the_words_of_the_published_library(scripts, tmp_path, quick_compiler, version):
    network = _cicada.read_cicada(Path(os.environ["CODAE_CICADA"]), version)
    assert network.words(rules()).tolist() == LIBRARY[version]
    for name, executor in scripts.cicada_firmware.executors(network, tmp_path).items():
        assert executor.predict_words(rules()[..., None])[:, 0].tolist() == LIBRARY[version], name
