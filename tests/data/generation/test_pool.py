"""Soft collisions of the pool: those whose hadrons no parton explains are drawn again, and nothing else changes."""

import importlib.util

import numpy as np
import pytest

from codae_l1.data.generation._collisions import load_collisions
from codae_l1.data.generation._pool import (
    _beyond_partons,
    hardest_scattering,
    lines_of,
    make_pool_chunk,
    pool_chunks,
    redrawn_collisions,
)
from codae_l1.data.generation._processes import next_batch, start_pythia
from codae_l1.data.generation.crossings_config import CrossingsConfig

generated = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None, reason="pythia8mc is not installed: pip install -e '.[generate]'"
)


def test_hadrons_far_above_every_parton_are_found():
    """Status and pT of a parton, of a hadron that decays, and of what it decays to, for each of six collisions."""
    awkward = pytest.importorskip("awkward")
    pt = np.array([[4, 0, 3], [4, 40, 3], [4, 3, 40], [21, 41, 3], [19, 39, 3], [4, 30, 3]], float)
    status = np.tile([-62, -84, 91], (6, 1))
    status[5, 0], status[5, 1] = -23, 84
    angle = np.arange(18).reshape(6, 3)
    momentum = awkward.zip({"px": pt * np.cos(angle), "py": pt * np.sin(angle)})
    batch = awkward.zip({"prt": awkward.zip({"status": status, "p": momentum}, depth_limit=2)}, depth_limit=1)
    assert _beyond_partons(batch, 30.1).tolist() == [False, True, True, False, True, False]
    assert _beyond_partons(batch, 40.5).tolist() == [False] * 6
    assert _beyond_partons(batch[:0], 30.0).tolist() == []


@pytest.mark.generate
@generated
def test_a_soft_collision_whose_hadrons_no_parton_explains_is_drawn_again(tmp_path):
    """Number 550 of this chunk has partons of 4.3 GeV at most, and hadrons of 382 and 233 GeV from a junction."""
    config = CrossingsConfig(n_crossings=(0, 0, 0, 10), n_signal_validation=0, processes=(), n_soft=1000, seed=7)
    (chunk,) = (c for c in pool_chunks(config) if c.source == 0)
    sequence = np.random.SeedSequence([7, 9, 3, 0, 0])
    pythia = start_pythia(lines_of(config, 0), int(sequence.generate_state(1)[0]))
    drawn = [next_batch(pythia, 100) for _ in range(11)]
    broken = np.concatenate([_beyond_partons(batch, 30.0) for batch in drawn])
    pt_hat = np.concatenate([hardest_scattering(batch) for batch in drawn])
    assert np.flatnonzero(broken).tolist() == [551]
    assert pt_hat[551] < 20
    assert not np.concatenate([_beyond_partons(batch, 500.0) for batch in drawn]).any()
    make_pool_chunk(config, chunk, tmp_path)
    made = load_collisions(tmp_path / chunk.file)
    assert len(made) == 1000
    assert redrawn_collisions(config, tmp_path) == 1
    # The others are those that would have been drawn anyway.
    assert made.pt_hat.tolist() == pt_hat[~broken & (pt_hat <= 20)][:1000].astype(np.float32).tolist()
    assert made.track_pt.max() < 30
