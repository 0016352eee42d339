"""Crossings with Pythia 8, tiny: number of workers, resume, content, provenance, the command line."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.base.config import parse
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.generation._crossing_chunks import crossing_tasks, crossings
from codae_l1.data.generation._pool import hardest_scattering, lines_of, load_pool, pool_chunks
from codae_l1.data.generation._processes import next_batch, start_pythia
from codae_l1.data.generation.config import Work
from codae_l1.data.generation.crossings import generate_crossings
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.splits import split_of

pytestmark = [
    pytest.mark.generate,
    pytest.mark.skipif(
        importlib.util.find_spec("pythia8mc") is None, reason="pythia8mc is not installed: pip install -e '.[generate]'"
    ),
]

ROOT = Path(__file__).parents[3]
TINY = CrossingsConfig(
    n_crossings=(0, 0, 0, 10),
    n_signal=2,
    n_signal_validation=0,
    processes=("h400", "w"),
    pileup=(4.0,),
    n_soft=100,
    n_hard=64,
    cuts_gev=(20.0, 60.0),
    all_images=True,
    seed=3,
    chunk_crossings=6,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return generate_crossings(TINY, tmp_path_factory.mktemp("tiny") / "c.h5", Work(1, command="made in a test"))


def test_content(tiny):
    file = CrossingFile(tiny)
    file.verify()
    assert file.process.tolist() == [ZERO_BIAS] * 10 + ["h400"] * 2 + ["w"] * 2
    assert set(file.split) == {"test"}
    assert file.inputs == ("ecal", "hcal", "track_pt", "tracks")
    counts = file.pooled(("tracks",), np.arange(14))
    assert (counts.sum(axis=(1, 2, 3)) <= file.n_tracks).all()
    # The hard collision is a signal's own: its generated quantities, and no member of the pool.
    assert (file.scalar_pt[10:12] > 100).all()
    assert (file.members[:10].max(axis=1) >= 0).any()
    assert file.members.max() < sum(c.count for c in pool_chunks(TINY) if isinstance(c.source, int))
    assert file.weight[10:].tolist() == [1] * 4
    assert len(np.unique(file.weight[:10])) > 1


def test_the_first_images_are_kept(tiny):
    with EventFile(tiny.with_name("c_images.h5")) as file:
        # Of zero bias and signals all, of other processes none.
        assert file.signal.tolist() == [ZERO_BIAS] * 10 + ["h400"] * 2
        assert set(split_of(file.pileup_block)) == {"test"}
        whole, kept = CrossingFile(tiny), list(range(12))
        assert file.weight.tolist() == whole.weight[kept].tolist()
        assert file.n_tracks.tolist() == whole.n_tracks[kept].tolist()
        images = file.read().images
    counts = whole.pooled(("tracks",), np.array(kept))
    assert ((images[..., 0] > 0).sum(axis=(1, 2)) == counts.sum(axis=(1, 2, 3))).all()


def test_provenance_says_how_it_was_made(tiny):
    made = CrossingFile(tiny).provenance
    assert parse(CrossingsConfig, made["config"]) == TINY
    assert made["command"] == "made in a test"
    sections = made["cross_sections"]
    # arXiv:1509.08689 ff.: 70 to 80 mb at 13 TeV; the hard ones are a per cent of it.
    assert 70 < sections["inelastic_mb"] < 85
    assert 0.6 < sum(sections["slices_mb"]) < 0.95
    assert sections["slices_mb"][0] > 10 * sections["slices_mb"][1]
    assert 1e-4 < sections["processes_mb"]["w"] < 2e-4
    assert made["redrawn_collisions"] == 0


def test_soft_collisions_have_no_hard_scattering_and_slices_have_theirs(tiny):
    pool, pools, shares = load_pool(TINY, "test", tiny.with_suffix(".work"))
    assert [len(p) for p in pools] == [100, 39, 25]
    assert shares.sum() == pytest.approx(1)
    assert pool.pt_hat[pools[0]].max() <= 20
    assert 19.5 <= pool.pt_hat[pools[1]].min() <= pool.pt_hat[pools[1]].max() <= 60.5
    assert pool.pt_hat[pools[2]].min() >= 59.5


def test_crossings_without_a_collision_are_empty(tiny):
    config = dataclasses.replace(TINY, pileup=(0.0,))
    (task, *_) = crossing_tasks(config)
    ((columns, images),) = crossings(config, task, tiny.with_suffix(".work"))
    assert images.shape == (6, 72, 58, 3)
    assert not images.any()
    assert (columns["members"] == -1).all()
    assert not columns["vertex_lost"].any()
    assert columns["pt_hat"].tolist() == [0] * 6


def test_the_record_names_the_hardest_scattering_of_a_hard_collision():
    pythia = start_pythia(lines_of(TINY, 2), 5)
    batch = next_batch(pythia, 5)
    assert (hardest_scattering(batch) >= 59.5).all()


def test_two_workers_and_a_resumed_run_give_the_same_bytes(tiny, tmp_path):
    folder = tmp_path / "c.work"
    folder.mkdir()
    for file in tiny.with_suffix(".work").iterdir():
        if file.name.startswith("collisions-test-") and "-0-" not in file.name:
            shutil.copy(file, folder)
    seen = []
    again = generate_crossings(
        TINY, tmp_path / "c.h5", Work(2, None, lambda *step: seen.append(step), "made in a test")
    )
    assert again.read_bytes() == tiny.read_bytes()
    assert (tmp_path / "c_images.h5").read_bytes() == tiny.with_name("c_images.h5").read_bytes()
    assert seen[-1] == (14, 14, "done")


def test_the_command_refuses_a_pool_that_is_too_small(tmp_path):
    command = [sys.executable, "scripts/make_data.py", "--layout", "crossings", "--out", str(tmp_path / "c.h5")]
    done = subprocess.run(
        [*command, "--pileup", "200", "--n-soft", "1000"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "generation.n_soft = 1000; expected at least 80000: pile-up 200 needs it" in done.stderr
    assert json.dumps(sorted(p.name for p in tmp_path.iterdir())) == "[]"
