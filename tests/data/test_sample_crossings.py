"""The crossings that ship with the project."""

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.base.config import parse
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.menu import menu_words
from codae_l1.data.pooling import PoolingConfig, input_counts
from codae_l1.data.sample import CROSSING_IMAGES, CROSSINGS, SAMPLE
from codae_l1.data.splits import SPLITS
from codae_l1.models.evaluation.crossing_rates import check_disjoint

CONFIG = Path(__file__).parents[2] / "scripts" / "configs" / "crossings.toml"


@pytest.fixture(scope="module")
def file():
    return CrossingFile(CROSSINGS)


def test_it_was_made_by_the_config_that_is_shipped(file):
    config = parse(CrossingsConfig, tomllib.loads(CONFIG.read_text())["generation"], "generation")
    assert parse(CrossingsConfig, file.provenance["config"]) == config
    for process in ("zero_bias", *config.processes):
        numbers = [len(file.where(process, split)) for split in SPLITS]
        assert numbers == (list(config.n_crossings) if process == "zero_bias" else [0, 250, 0, 600])


def test_its_content_has_its_checksum_which_the_readme_states(file):
    file.verify()
    assert file.checksum in (SAMPLE.parent / "README.md").read_text()


def test_it_is_small_enough_to_ship():
    assert CROSSINGS.stat().st_size + CROSSING_IMAGES.stat().st_size < 8e6


def test_splits_share_no_collision(file):
    for a, b in itertools.combinations(SPLITS, 2):
        check_disjoint(file.members[file.where("zero_bias", a)], file.members[file.where("zero_bias", b)], (a, b))


def test_weights_are_one_on_average_and_in_training_everywhere(file):
    for split in SPLITS:
        weight = file.weight[file.where("zero_bias", split)]
        assert weight.mean() == pytest.approx(1, abs=1e-3)
        assert (split not in ("train", "calibration")) or np.all(weight == pytest.approx(1))


def test_natural_and_biased_crossings_agree(file):
    """Train and test hold other collisions, drawn without and with bias: the weighted shares of fired crossings."""
    train, test = (file.where("zero_bias", split) for split in ("train", "test"))
    for name, word in (("HT", 60), ("jet1", 60), ("MET", 80), ("track_HT", 150)):
        natural = file.words(train)[name] >= word
        biased, weight = file.words(test)[name] >= word, file.weight[test]
        share = np.average(biased, weights=weight)
        error = np.hypot(np.sqrt(natural.mean() / len(train)), np.sqrt(np.sum(weight**2 * biased)) / weight.sum())
        # Twice the independent errors, since crossings share collisions.
        assert abs(natural.mean() - share) < 3 * 2 * error
        assert natural.sum() > 50


def test_words_are_those_of_the_images(file):
    which = file.where("zero_bias", "test")[:200]
    with EventFile(CROSSING_IMAGES) as shown:
        images = shown.read().images
    assert len(images) == 200
    for name, values in menu_words(images).items():
        assert np.array_equal(values, file.words(which)[name]), name
    config = PoolingConfig(inputs=("tracks", "ecal", "hcal"), energy_lsb_gev=4.0)
    assert np.array_equal(input_counts(images, config), file.pooled(config.inputs, which))
