"""The validation of crossings, on numbers by hand: CICADA in integers, pools, charged particles, responses. No weights
of CICADA are part of the project: the tests make headers like theirs."""

import argparse
import importlib
import importlib.util
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cicada_headers import random_weights, write_header, write_weights

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import write_json
from codae_l1.data.calorimeter import IMAGE_SHAPE, N_ETA, N_PHI
from codae_l1.data.generation._collisions import Collisions
from codae_l1.data.generation._processes import Particles
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.scripts.studies import _cicada

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def scripts():
    """The scripts import each other by name, as they do where they run."""
    names = ("crossing_samples", "inelastic", "jet_response", "validate_crossings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(FOLDER), *sys.path])
        yield argparse.Namespace(**{name: importlib.import_module(name) for name in names})
    for name in names:
        sys.modules.pop(name)


def relu(value: Fraction, step: int, largest: int) -> Fraction:
    """Rounded half to even to steps of 1 / step, at most largest steps."""
    return Fraction(min(max(round(value * step), 0), largest), step)


def reference(weights: dict[str, np.ndarray], image: np.ndarray) -> int:
    """One score word, number by number in fractions."""
    exact = {name: [Fraction(float(v)) for v in values.ravel()] for name, values in weights.items()}
    pixels = image.tolist()
    found = []
    for i in range(9):
        for j in range(7):
            for f in range(4):
                total = sum(
                    exact["w3"][4 * f + 2 * a + b] * pixels[2 * i + a][2 * j + b] for a in (0, 1) for b in (0, 1)
                )
                found.append(relu(Fraction(total), 16, 1023))
    hidden = [
        relu(sum((found[i] * exact["w7"][16 * i + k] for i in range(252)), exact["b7"][k]), 16, 1023) for k in range(16)
    ]
    score = relu(sum((hidden[k] * exact["w10"][k] for k in range(16)), Fraction(0)), 256, 65_535)
    return int(score * 256)


def test_cicada_in_integers_is_cicada_in_fractions(scripts, tmp_path):
    rng = np.random.default_rng(1)
    weights = random_weights(rng)
    network = _cicada.read_weights(write_weights(tmp_path, **weights))
    images = np.stack([rng.integers(0, top, (18, 14)) * (rng.random((18, 14)) < 0.5) for top in (2, 4, 16, 1024)])
    words = [reference(weights, image) for image in images]
    assert network.words(images).tolist() == words
    assert len(set(words)) > 2


def test_filters_come_first_and_a_score_has_256_steps(scripts, tmp_path):
    w3, w7, w10 = np.zeros((4, 2, 2)), np.zeros((252, 16)), np.zeros(16)
    # The second filter sees the upper left of a block, and the third sum the block in row 3 and column 4.
    w3[1, 1, 0], w7[4 * (7 * 3 + 4) + 1, 2], w10[2] = 1, 1, 1.5
    network = _cicada.read_weights(write_weights(tmp_path, w3, w7, np.zeros(16), w10))
    images = np.zeros((3, 18, 14), int)
    images[0, 7, 8] = 5
    images[1, 6, 9] = 5
    images[2, 7, 8] = 400  # 63.94 is the largest word of a filter
    assert network.words(images).tolist() == [int(5 * 1.5 * 256), 0, int(63.9375 * 1.5 * 256)]


def test_checkouts_that_are_none_or_of_another_version_are_refused(scripts, tmp_path):
    with pytest.raises(InputError, match=r"no weights in .*CICADA_v2p2p0.*a checkout of github.com/cms-hls4ml/CICADA"):
        _cicada.read_cicada(tmp_path)
    folder = write_weights(tmp_path / "CICADA_v2p2p0" / "weights", **random_weights(np.random.default_rng(2)))
    with pytest.raises(InputError, match=r"gives the scores \[.*\]; expected \[4774, 13479, 3541\]"):
        _cicada.read_cicada(tmp_path)
    write_header(folder / "w10.h", np.full(16, 0.3))
    with pytest.raises(InputError, match=r"w10.h with other content; expected 16 multiples of 2\^-8 between"):
        _cicada.read_cicada(tmp_path)


def test_regions_are_sums_of_whole_steps_without_the_outermost_columns(scripts):
    image = np.zeros((1, *IMAGE_SHAPE))
    image[0, 4:8, 5:9, 1] = 0.9  # 1 word each
    image[0, 4, 5, 2] = 2.4  # 4 words
    image[0, 4, 0, 1:] = 100
    image[0, 71, 56, 1:] = 300, 300
    image[0, 0, 1, 0] = 50  # tracks do not count
    words = _cicada.region_words(image)
    assert words.shape == (1, 18, 14)
    assert words[0, 1, 1] == 20
    assert words[0, 17, 13] == 1023
    assert words.sum() == 1043


def toy_pool(rng: np.random.Generator, n: int) -> Collisions:
    counts = [rng.integers(1, 5, n) for _ in range(3)]
    total = [int(c.sum()) for c in counts]
    columns = [rng.uniform(0, 100, n), rng.normal(0, 53, n), *(rng.uniform(0, 9, (4, n)))]
    return Collisions(
        *(column.astype(np.float32) for column in columns),
        *(c.astype(np.int32) for c in counts),
        rng.integers(0, N_PHI * N_ETA * 25, total[0]).astype(np.int32),
        rng.uniform(1, 90, total[0]).astype(np.float32),
        rng.integers(0, N_PHI * N_ETA, total[1]).astype(np.int16),
        rng.uniform(1, 90, total[1]).astype(np.float32),
        rng.integers(0, N_PHI * N_ETA, total[2]).astype(np.int16),
        rng.uniform(1, 9, total[2]).astype(np.float32),
    )


def test_a_subset_has_the_deposits_of_its_collisions(scripts):
    pool = toy_pool(np.random.default_rng(3), 7)
    part = scripts.crossing_samples.subset(pool, np.array([5, 2]))
    start = np.cumsum(pool.n_hcal) - pool.n_hcal
    expected = [pool.hcal_energy[start[k] : start[k] + pool.n_hcal[k]] for k in (5, 2)]
    assert np.array_equal(part.hcal_energy, np.concatenate(expected))
    assert np.array_equal(part.z, pool.z[[5, 2]])
    assert len(part.ecal_cell) == part.n_ecal.sum()


def total(images: np.ndarray) -> dict[str, np.ndarray]:
    return {"sum": images[..., 1:].sum(axis=(1, 2, 3)).astype(int)}


def test_crossings_of_any_pool_weigh_one_and_name_their_members(scripts):
    rng = np.random.default_rng(4)
    made = scripts.crossing_samples
    pool = made.Pool(toy_pool(rng, 60), (np.arange(40), np.arange(40, 60)), np.array([0.99, 0.01]))
    config = CrossingsConfig(n_crossings=(0, 0, 0, 9), cuts_gev=(20.0,), pileup=(10.0,), processes=())
    sample = made.measured(config, pool, 2000, [1, 2], total)
    assert sample.weight.mean() == pytest.approx(1, abs=0.02)
    hard = (sample.members >= 40).any(axis=1)
    # Where a crossing holds a collision of the slice, 1 - exp(-10 x 0.01) of them by weight.
    assert np.average(sample.stratum == 1, weights=sample.weight) == pytest.approx(1 - np.exp(-0.1), rel=0.01)
    assert not (hard & (sample.stratum == 0)).any()
    again = made.measured(config, pool, 2000, [1, 2], total)
    assert np.array_equal(again.words["sum"], sample.words["sum"])
    assert made.thinned(pool, slice(None, None, 2)).sources[1].tolist() == list(range(40, 60, 2))


def test_what_is_asked_for_and_cannot_be_had_is_said(scripts, tmp_path, monkeypatch, capsys):
    run = scripts.validate_crossings
    assert run._cicada(CrossingsConfig(), argparse.Namespace(cicada=None)).startswith("Left out: the published weights")
    monkeypatch.setattr(sys, "argv", ["validate_crossings.py", str(tmp_path)])
    assert run.main() == 2
    assert "no config.json" in capsys.readouterr().err
    # A key of another version.
    write_json(tmp_path / "config.json", {"config": {"pileup": [30.0], "measure": "x"}})
    assert scripts.crossing_samples.read_config(tmp_path).pileup == (30.0,)


def test_a_rate_that_is_not_carried_has_no_ratio(scripts, monkeypatch):
    run, found = scripts.validate_crossings, argparse.Namespace(of=lambda word, gev: 1.0)
    monkeypatch.setattr(run, "_rate", lambda sample, fires: (5.0, None))
    assert run._seed_row("HTT360er", [], found)[-3:] == ["-", "-", "-"]
    monkeypatch.setattr(run, "_rate", lambda sample, fires: (1e-4 * run.CROSSING_KHZ, 1e-5 * run.CROSSING_KHZ))
    assert run._seed_row("HTT360er", [], found)[-3:] == ["100 ± 10", "1.03", "1.40"]


def particle(event: int, pdg: int, pt: float, eta: float) -> tuple[float, ...]:
    return event, pdg, pt, 0.0, pt * np.sinh(eta), pt * np.cosh(eta)


def test_charged_particles_are_counted_as_the_measurements_have_them(scripts):
    rows = [
        particle(0, 211, 0.2, 0.1),  # in the density alone
        particle(0, -2212, 0.7, -0.4),
        particle(0, 3112, 1.0, 2.0),  # a hyperon is charged, but none of the hadrons of the density
        particle(0, 13, 7.0, -2.3),
        particle(0, 22, 9.0, 0.0),
        particle(0, 211, 0.8, 3.3),  # 11 GeV: the trigger
        particle(1, 211, 5.0, 0.0),  # without a trigger only in the density
    ]
    table = np.array(rows)
    particles = Particles(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:], np.zeros((7, 3)), np.ones(3))
    columns = scripts.inelastic.charged_columns(particles)
    assert columns[:, :3].tolist() == [[2, 1, 3], [1, 0, 0], [0, 0, 0]]
    assert columns[0, 3] == pytest.approx(0.7 + 1.0 + 7.0)
    assert columns[0, 4:].tolist() == [0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert columns[1:, 4:].sum() == 0


def test_stitching_takes_soft_collisions_up_to_the_cut_and_slices_by_cross_section(scripts):
    made = scripts.inelastic
    soft = made.Source(np.array([5.0, 10.0, 25.0, 2.0]), np.array([[1.0], [3.0], [99.0], [2.0]]), 80.0)
    hard = made.Source(np.array([21.0, 30.0]), np.array([[10.0], [20.0]]), 8.0)
    mean, error = made.stitched([soft, hard], 20.0)
    assert mean == pytest.approx([0.9 * 2 + 0.1 * 15])
    assert error == pytest.approx([np.sqrt(0.81 * (2 / 3) / 3 + 0.01 * 25 / 2)])
    inside = [soft.hat > 4, hard.hat > 25]
    assert made._sections(soft, inside[0], 20.0) == pytest.approx((60.0, 20.0, 20.0))
    total, above, spread = made._stitched_section([soft, hard], inside, 20.0)
    assert (total, above) == pytest.approx((44.0, 4.0))
    assert spread == pytest.approx(np.hypot(8 * 0.5 / np.sqrt(2), 0.02))


def test_the_response_is_a_median_near_the_energy(scripts):
    generated = np.array([100.0, 105.0, 95.0, 300.0, np.nan])
    found = scripts.jet_response.Responses({"jet1": generated}, {"jet1": np.array([70.0, 84.0, 57.0, 270.0, 9.0])})
    assert found.of("jet1", 100) == pytest.approx(0.7)
    assert found.of("jet2", 300) == pytest.approx(0.9)
    assert found.of("MET", 100) == 1


@pytest.mark.generate
@pytest.mark.skipif(importlib.util.find_spec("pythia8mc") is None, reason="pythia8mc is not installed")
def test_collisions_of_a_slice_lie_in_it(scripts, monkeypatch):
    monkeypatch.setattr(scripts.inelastic, "_TRIES", 200)
    made = scripts.inelastic.make_source(CrossingsConfig(), 3, 12, 1)
    assert ((made.hat > 40) & (made.hat < 80)).mean() > 0.9
    assert 0.01 < made.section_mb < 0.1
    # The jet of a collision of 45 GeV and more is there in most.
    assert made.columns[:, -2:].sum() >= 6
