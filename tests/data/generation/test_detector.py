"""The fast detector and the SUEP shower: kinematics by independent means, no Pythia needed."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import ETA_COVERED
from codae_l1.data.generation._chunks import tasks_of
from codae_l1.data.generation._detector import ecal_sigma, lognormal, read_out
from codae_l1.data.generation._pileup import PileupBlock, join, load_block, overlay, save_block
from codae_l1.data.generation._processes import Particles, settings
from codae_l1.data.generation._propagation import (
    BENDING,
    FACE_HALF_LENGTH,
    FACE_RADIUS,
    FIELD,
    IN_ECAL,
    IN_HCAL,
    Hits,
    charges,
    face_position,
    propagate,
)
from codae_l1.data.generation._selection import densities
from codae_l1.data.generation._suep import decay_scalar, decay_scalars
from codae_l1.data.generation.config import GenerationConfig

CONFIG = GenerationConfig()


def hits(n: int, seed: int = 0, **columns) -> Hits:
    rng = np.random.default_rng(seed)
    table = {name: rng.uniform(-2, 2, n) for name in ("eta", "phi", "track_eta", "track_phi")}
    table |= {"energy": rng.uniform(20, 90, n), "kind": rng.integers(0, 2, n), "pt": rng.uniform(1, 9, n)}
    table |= {"event": np.zeros(n, np.int32)}
    return Hits(**{name: np.asarray(columns.get(name, column)) for name, column in table.items()})


def read_one(event, kept, seed=0, config=CONFIG):
    """Image, number of tracks and candidates of a single event."""
    readout = read_out(event, kept, 1, np.random.default_rng(seed), config)
    return readout.images[0], readout.n_tracks[0], readout.candidates[0]


def particles(pdg, momentum, event=None, vertex=None):
    n = len(pdg)
    event = np.zeros(n, np.int64) if event is None else np.asarray(event)
    vertex = np.zeros((n, 3)) if vertex is None else vertex
    return Particles(event, np.asarray(pdg), np.asarray(momentum, float), vertex, np.ones(event.max() + 1))


def stepped(momentum, start, charge, step=2e-4):
    """The same helix by small rotations of the momentum, an independent calculation."""
    p, x = momentum.copy(), start.copy()
    pt = np.hypot(p[0], p[1])
    half = -charge * step * BENDING * FIELD / pt / 2
    turn = np.array([[np.cos(half), -np.sin(half)], [np.sin(half), np.cos(half)]])
    while np.hypot(x[0], x[1]) < FACE_RADIUS and abs(x[2]) < FACE_HALF_LENGTH:
        p[:2] = turn @ p[:2]
        x += p / pt * step
        p[:2] = turn @ p[:2]
    return x


def test_helix_agrees_with_small_steps():
    rng = np.random.default_rng(4)
    momentum = np.column_stack([rng.normal(0, 1.2, (12, 2)), rng.normal(0, 2, 12)])
    start = rng.uniform(-0.2, 0.2, (12, 3))
    charge = np.where(np.arange(12) % 3 == 0, 0, np.where(np.arange(12) % 2 == 0, 1, -1))
    found = face_position(momentum.T, start.T, charge).T
    slow = np.array([stepped(p, x, q) for p, x, q in zip(momentum, start, charge, strict=True)])
    assert np.abs(found - slow).max() < 2e-3


def test_slow_charged_particles_leave_the_barrel_empty():
    momentum = np.array([[0.72, 0, 0.3], [0.75, 0, 0.3]])
    x, y, z = face_position(momentum.T, np.zeros((3, 2)), np.array([1, 1]))
    assert z[0] == pytest.approx(FACE_HALF_LENGTH)
    assert np.hypot(x[1], y[1]) == pytest.approx(FACE_RADIUS)


def test_scalar_decays_into_charged_pairs_that_carry_its_momentum():
    rng = np.random.default_rng(2)
    counts = []
    for mass in (125.0, 400.0, 1000.0):
        p = np.array([40.0, -70.0, 300.0])
        scalar = np.array([*p, np.sqrt(mass**2 + p @ p)])
        code, momenta = decay_scalar(scalar, rng, CONFIG)
        assert momenta.sum(axis=0) == pytest.approx(scalar)
        assert charges(code).sum() == 0
        squares = momenta[:, 3] ** 2 - (momenta[:, :3] ** 2).sum(axis=1)
        assert squares[np.abs(code) == 211] == pytest.approx(0.13957**2, abs=1e-4)
        counts.append(len(code))
    # Mean energy of a meson is 3.37 T at m = T (arXiv:1305.5226): 4 charged particles for each 6.7 GeV.
    assert np.array(counts) / 4 == pytest.approx(np.array([125, 400, 1000]) / 6.74, rel=0.3)


def test_scalars_of_a_batch_decay_each_in_its_own_collision():
    scalar = [30.0, 0, 100, 325]
    batch = particles(
        [25, 211, 2112, 25], [scalar, [1, 0, 0, 2], [0, 1, 0, 2], scalar], [0, 0, 1, 1], np.arange(12.0).reshape(4, 3)
    )
    decayed = decay_scalars(batch, np.random.default_rng(0), CONFIG)
    assert (np.diff(decayed.event) >= 0).all()
    assert 25 not in decayed.pdg
    for event, rest, where in ((0, [1.0, 0, 0, 2], [0, 1, 2]), (1, [0.0, 1, 0, 2], [9, 10, 11])):
        mine = decayed.event == event
        assert decayed.momentum[mine].sum(axis=0) == pytest.approx(np.add(scalar, rest))
        assert (decayed.vertex[mine] == where).all(axis=1).sum() == mine.sum() - 1


def test_invisible_particles_leave_nothing_unless_asked():
    momentum = np.tile([30.0, 0, 10, np.sqrt(1000)], (300, 1))

    def seen(code, **options):
        config, rng = GenerationConfig(**options), np.random.default_rng(0)
        return len(propagate(particles(np.full(300, code), momentum), np.zeros(1), rng, config).eta)

    assert seen(51) == 0
    assert 100 < seen(51, invisible_in_hcal=0.5) < 200
    assert seen(-14, invisible_in_hcal=1.0) == 0
    assert seen(4_900_111, invisible_in_hcal=1.0) == 0


def test_efficiency_goes_by_where_the_track_meets_the_face():
    # 0.6 GeV at eta 1.4 curls to an end cap: 0.6 of the tracks are found there, 0.7 in the barrel.
    momentum = np.tile([0.6, 0, 0.6 * np.sinh(1.4), 2.0], (20_000, 1))
    batch = particles(np.full(20_000, 211), momentum)
    for scale, expected in ((1.0, 0.6), (0.5, 0.3), (1.5, 0.9), (2.0, 1.0)):
        config = GenerationConfig(efficiency_scale=scale)
        found = propagate(batch, np.zeros(1), np.random.default_rng(0), config)
        assert (np.abs(found.eta) > 1.5).all()
        assert (found.pt > 0).mean() == pytest.approx(expected, abs=0.015)


def test_events_of_a_batch_do_not_mix():
    parts = [hits(200, seed=i) for i in range(3)]
    alone = [read_one(part, np.ones(200, bool)) for part in parts]
    batch = join([Hits(**{**p.columns(), "event": np.full(200, i)}) for i, p in enumerate(parts)])
    together = read_out(batch, np.ones(600, bool), 4, np.random.default_rng(0), CONFIG)
    assert together.n_tracks.tolist() == [n for _, n, _ in alone] + [0]
    assert not together.images[3].any()
    assert together.candidates[3].shape == (0, 3)
    for i, (image, n, candidates) in enumerate(alone):
        assert (together.images[i, ..., 0] == image[..., 0]).all()
        # Energies are smeared by other random numbers; which towers were hit is the same but for thresholds.
        assert ((together.images[i] > 0) == (image > 0)).mean() > 0.99
        assert (together.candidates[i][:n] == candidates[:n]).all()


def test_track_channel_is_the_sum_of_kept_tracks():
    event = hits(500)
    kept = np.arange(500) % 2 == 0
    image, n_tracks, _ = read_one(event, kept)
    assert n_tracks == 250
    assert image[..., 0].sum() == pytest.approx(event.pt[kept].sum(), rel=1e-5)
    assert (image >= 0).all()


def test_a_hit_lands_in_its_tower():
    eta, phi = np.array([0.01, 0.01, -0.5]), np.array([0.01, 0.01, -3.1])
    event = hits(3, eta=eta, phi=phi, kind=[IN_ECAL, IN_HCAL, IN_HCAL], energy=[1e4] * 3, pt=[5.0, 0, 3.0])
    image, _, _ = read_one(event, np.ones(3, bool))
    assert np.argwhere(image).tolist() == [[0, 23, 0], [0, 23, 2], [36, 29, 0], [36, 29, 1], [36, 29, 2]]
    assert image[36, 29, 1] == pytest.approx(1e4, rel=0.05)


def test_energy_scales_and_resolution():
    event = hits(2, eta=[0.01, 0.01], phi=[0.01, 0.01], kind=[IN_ECAL, IN_HCAL], energy=[1e4, 1e4], pt=[0, 0])
    exact = GenerationConfig(ecal_scale=0.9, hcal_scale=1.2, resolution_scale=1e-6)
    for seed in range(3):
        image, _, _ = read_one(event, np.ones(2, bool), seed, exact)
        assert image[36, 29, 1] == pytest.approx(9e3, rel=0.01)
        assert image[36, 29, 2] == pytest.approx(1.2e4, rel=0.01)
    worse = GenerationConfig(resolution_scale=4.0)
    spread = [
        np.std([read_one(event, np.ones(2, bool), seed, config)[0][36, 29, 2] for seed in range(40)])
        for config in (CONFIG, worse)
    ]
    assert 2 < spread[1] / spread[0] < 8


def test_energies_below_threshold_vanish():
    event = hits(2, eta=[0.0, 1.0], phi=[0.0, 1.0], kind=[IN_ECAL, IN_HCAL], energy=[0.05, 0.3], pt=[0, 0])
    for seed in range(20):
        assert not read_one(event, np.ones(2, bool), seed)[0].any()


def test_nothing_is_seen_beyond_the_trackers_edge():
    eta = np.full(50, ETA_COVERED + 0.01)
    event = hits(50, eta=eta, kind=np.zeros(50, int), energy=np.full(50, 500.0))
    image, n_tracks, _ = read_one(event, np.ones(50, bool))
    assert n_tracks == 0
    assert not image.any()


def test_lognormal_has_the_mean_and_spread_asked_for():
    numbers = lognormal(np.full(200_000, 10.0), np.full(200_000, 3.0), np.random.default_rng(0))
    assert numbers.mean() == pytest.approx(10, abs=0.03)
    assert numbers.std() == pytest.approx(3, abs=0.05)
    assert ecal_sigma(np.array([50.0]), np.array([0.0])) == pytest.approx([np.sqrt(0.16 + 0.605 + 0.16)])


def test_density_is_the_median_of_the_plane():
    rng = np.random.default_rng(0)
    n = 40_000
    candidates = np.column_stack([np.full(n, 0.1), rng.uniform(-3.5, 3.5, n), rng.uniform(-np.pi, np.pi, n)])
    hard = np.array([[300.0, 0.4, 1.0], [280.0, 0.2, -2.0]])
    expected = 0.1 * n / (7 * 2 * np.pi)
    assert densities(np.concatenate([candidates, hard])) == pytest.approx((expected, expected), rel=0.05)


def test_pileup_comes_from_its_block_and_rotates(tmp_path):
    parts = [hits(n, seed=n, event=np.full(n, i, np.int32)) for i, n in enumerate((3, 5, 0, 4))]
    block = PileupBlock(join(parts), np.array([0.0, 40.0, -30.0, 0.05]))
    save_block(tmp_path / "block.npz", block)
    block = load_block(tmp_path / "block.npz")
    assert block.start.tolist() == [0, 3, 8, 8, 12]
    hard = hits(6, seed=9, event=np.repeat([0, 1], 3))
    both, kept = overlay(hard, np.array([0.0, 40.0]), [block, block], 3.0, np.random.default_rng(1))
    assert kept[:6].all()
    assert np.isin(both.energy[6:], block.hits.energy).all()
    assert set(both.event[6:]) == {0, 1}
    # Collisions 0 and 3 lie within 0.1 mm of the first event's hard one, 1 of the second's.
    for event, near in ((0, (parts[0], parts[3])), (1, (parts[1],))):
        soft = np.flatnonzero(both.event == event)[3:]
        assert (kept[soft] == np.isin(both.energy[soft], np.concatenate([p.energy for p in near]))).all()
    assert (np.abs(both.phi) <= np.float32(np.pi)).all()
    turned = overlay(hard, np.zeros(2), [block, block], 200.0, np.random.default_rng(2))[0]
    assert len(np.unique(turned.phi[6:])) > 1000
    assert overlay(hard, np.zeros(2), [block, block], 0.0, np.random.default_rng(1))[1].tolist() == [True] * 6


def test_broken_block_is_named(tmp_path):
    (tmp_path / "block.npz").write_bytes(b"PK half")
    with pytest.raises(InputError, match=r"block.npz cannot be read .* a whole pile-up block; remove it and generate"):
        load_block(tmp_path / "block.npz")


def test_chunks_cover_the_sample():
    config = GenerationConfig(n_qcd=70, n_signal=30, n_signal_validation=5, chunk_events=20)
    tasks = tasks_of(config)
    for process in config.processes:
        mine = [t for t in tasks if t.process == process]
        assert sum(t.count for t in mine) == (
            config.n_qcd if process == "qcd" else config.n_signal + config.n_signal_validation
        )
        assert {t.split for t in mine} == ({"all"} if process == "qcd" else {"test", "validation"})
    assert len({t.file for t in tasks}) == len(tasks)


def test_wide_and_narrow_scalars_and_the_invisible_share_reach_pythia():
    assert "25:0:onMode = 1" in settings("h700", GenerationConfig())
    assert "25:mWidth = 0.01" in settings("h700", GenerationConfig(wide_scalar=False))
    assert "HiggsSM:gg2Hg(l:t) = on" in settings("h200", GenerationConfig())
    assert "HiggsSM:gg2H = on" in settings("h200", GenerationConfig(recoil_below_gev=0))
    assert "Beams:eCM = 14000.0" in settings("pileup", GenerationConfig(pileup_energy_gev=14000.0))
    assert "4900111:oneChannel = 1 0.1 0 51 -51" in settings("svj2100", GenerationConfig(invisible_fraction=0.1))


def test_masses_reach_pythia_and_the_shower():
    config = GenerationConfig(masses_gev=("h125=150", "svj2100=1500"), dark_hadron_mass_gev=30.0)
    assert "25:m0 = 150.0" in settings("h125", config)
    assert "25:m0 = 200.0" in settings("h200", config)
    assert {"4900023:m0 = 1500.0", "4900111:m0 = 30.0", "4900101:m0 = 15.0"} <= set(settings("svj2100", config))
    scalar, counts = np.array([0, 0, 0, 500.0]), []
    for options in ({}, {"temperature_gev": 8.0}, {"meson_mass_gev": 10.0, "dark_photon_mass_gev": 4.0}):
        code, momenta = decay_scalar(scalar, np.random.default_rng(1), GenerationConfig(**options))
        assert momenta.sum(axis=0) == pytest.approx(scalar, abs=1e-9)
        counts.append(len(code))
    # Hotter or heavier mesons are fewer.
    assert counts[0] > 2 * counts[1]
    assert counts[0] > 2 * counts[2]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("processes", ("qcd", "h126"), r"generation.processes = .*'h126'.*; expected different names out of qcd, h125"),
        ("invisible_fraction", 1.5, "generation.invisible_fraction = 1.5; expected a share from 0 to 1"),
        ("efficiency_scale", 3.0, "generation.efficiency_scale = 3.0; expected a factor from 0 to 2"),
        ("hcal_scale", 0.0, "generation.hcal_scale = 0.0; expected a value > 0"),
        ("masses_gev", ("h125",), r"generation.masses_gev = .*'h125'.*; expected names of signals with masses"),
        ("meson_mass_gev", 1.0, "generation.meson_mass_gev = 1.0; expected 2.1 dark photons' mass"),
        ("meson_mass_gev", 51.0, "generation.meson_mass_gev = 51.0; expected at most 0.4 of the lightest scalar's"),
        ("pileup_mean", float("inf"), "generation.pileup_mean = inf; expected a value >= 0"),
        ("resolution_scale", float("inf"), "generation.resolution_scale = inf; expected a value > 0"),
        ("n_qcd", -1, "generation.n_qcd = -1; expected a value >= 0"),
        ("chunk_events", 0, "generation.chunk_events = 0; expected a value >= 1"),
        ("pileup_blocks", 4, "generation.pileup_blocks = 4; expected at least 20"),
    ],
)
def test_bad_config_is_named(field, value, words):
    with pytest.raises(InputError, match=words):
        GenerationConfig(**{field: value})
