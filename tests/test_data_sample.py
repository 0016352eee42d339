"""The shipped sample: whole, small enough, made as it says, and like the public sample where it says so."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.config import parse
from codae_l1.data.events import PROCESSES, QCD, SIGNALS
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.sample import SAMPLE
from codae_l1.data.splits import SPLITS, split_of
from codae_l1.data.store import EventFile
from codae_l1.models.evaluation import auc
from codae_l1.scripts.compare_samples import describe, main, summaries

CONFIG = Path(__file__).parents[1] / "scripts" / "configs" / "sample.toml"
# Public sample: n_tracks mean, AUC of n_tracks against QCD (arXiv:2306.12955's events).
PUBLIC = {
    "h125": (126.1, 0.768),
    "h200": (152.9, 0.910),
    "h300": (194.2, 0.981),
    "h400": (233.8, 0.997),
    "h700": (311.0, 0.999),
    "h1000": (368.0, 1.0),
    "svj2100": (139.6, 0.819),
    "svj3100": (160.7, 0.888),
    "svj4100": (171.9, 0.907),
}


@pytest.fixture(scope="module")
def sample():
    with EventFile(SAMPLE) as file:
        file.verify()
        yield file


@pytest.fixture(scope="module")
def described():
    return describe(summaries(str(SAMPLE)))


def test_counts_and_size(sample):
    assert SAMPLE.stat().st_size <= 16e6
    assert np.sum(sample.signal == QCD) >= 6000
    assert all(np.sum(sample.signal == name) >= 300 for name in SIGNALS)


def test_splits(sample):
    split = split_of(sample.pileup_block)
    assert set(split[sample.signal == QCD]) == set(SPLITS)
    assert set(split[sample.signal != QCD]) == {"test"}


def test_made_by_the_config_beside_it(sample):
    config = parse(GenerationConfig, tomllib.loads(CONFIG.read_text())["generation"], "generation")
    assert parse(GenerationConfig, sample.provenance["config"]) == config
    assert sample.provenance["command"].endswith("--config scripts/configs/sample.toml --out data/sample/events.h5")
    assert sample.checksum in (SAMPLE.parent / "README.md").read_text()


def test_agrees_with_the_public_sample(described):
    assert described[QCD]["n_tracks"]["value"] == pytest.approx(94.3, rel=0.03)
    for name, (tracks, separation) in PUBLIC.items():
        assert described[name]["n_tracks"]["value"] == pytest.approx(tracks, rel=0.04), name
        assert described[name]["auc_n_tracks"]["value"] == pytest.approx(separation, abs=0.04), name
    for channel, share in zip(("tracks", "ecal", "hcal"), (0.0194, 0.0443, 0.0137), strict=True):
        assert described[QCD][f"active_{channel}"]["value"] == pytest.approx(share, rel=0.08)


def test_comparison_counts_as_it_should(sample, described):
    assert list(described) == list(PROCESSES)
    svj = sample.signal == "svj3100"
    assert described["svj3100"]["events"] == svj.sum()
    assert described["svj3100"]["n_tracks"]["value"] == sample.n_tracks[svj].mean()
    by_hand = auc(sample.n_tracks[sample.signal == QCD], sample.n_tracks[svj])
    assert described["svj3100"]["auc_n_tracks"]["value"] == pytest.approx(by_hand, abs=1e-12)


def test_comparison_on_the_command_line(tmp_path, capsys):
    assert main([str(tmp_path), str(SAMPLE)]) == 2
    assert "without events files; expected a folder with .h5 or .npz" in capsys.readouterr().err
    assert main([str(tmp_path / "none.h5"), str(SAMPLE)]) == 2
    assert "none.h5 does not exist" in capsys.readouterr().err
