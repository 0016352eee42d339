"""The config of a run: partial tables, presets, and the shipped files."""

import dataclasses
from pathlib import Path

import pytest

from codae_l1.data.base.config import dump, parse
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.models.codae.config import COMPACT, PAPER, SwapConfig
from codae_l1.models.training.config import COMPACT_TRAINING, TrainingConfig
from codae_l1.quantization.config import ScanConfig, SpaceConfig
from codae_l1.scripts.run.config import DataConfig, RunConfig, load_config

CONFIGS = Path(__file__).parents[3] / "scripts" / "configs"


@pytest.mark.parametrize(
    ("table", "section", "expected"),
    [
        ("[training]\nepochs = 3", "training", dataclasses.replace(COMPACT_TRAINING, epochs=3)),
        ('[training]\npreset = "paper"\nepochs = 3', "training", TrainingConfig(epochs=3)),
        ("[model]\nlatent_channels = 32", "model", dataclasses.replace(COMPACT, latent_channels=32)),
        ('[model]\npreset = "paper"', "model", PAPER),
        ('[model.swaps]\nnorm = "batch"', "model", dataclasses.replace(COMPACT, swaps=SwapConfig(norm="batch"))),
    ],
)
def test_a_table_changes_the_compact_run(tmp_path, table, section, expected):
    (tmp_path / "run.toml").write_text(table)
    assert load_config(tmp_path / "run.toml") == dataclasses.replace(RunConfig(), **{section: expected})


def test_a_systems_table_changes_its_own_training():
    default = RunConfig().systems.cct.training
    config = parse(RunConfig, {"systems": {"cct": {"training": {"epochs": 3}}}})
    assert config.systems.cct.training == dataclasses.replace(default, epochs=3)
    assert config.systems.cct.training != TrainingConfig(epochs=3)


def test_shipped_configs_are_the_compact_run_but_for_what_they_name():
    """Every key, so that a change of a default shows here."""
    demo = dump(load_config(CONFIGS / "demo.toml"))
    # Integer bits of a run's config have no effect (quantization/f_m/precision.py).
    assert demo["firmware"]["precision"]["output"].pop("output_integer") == 3
    default = dump(RunConfig())
    assert default["firmware"]["precision"]["output"].pop("output_integer") == 5
    assert demo == default
    generated = GenerationConfig(n_qcd=60_000, n_signal=300, seed=20_261)
    training = dataclasses.replace(COMPACT_TRAINING, epochs=4)
    assert load_config(CONFIGS / "large.toml") == RunConfig(data=DataConfig("generate", generated), training=training)
    space = SpaceConfig(
        filters=(2, 3, 4, 6, 8, 12), kernels=(3,), weight_bits=(6, 7, 8), word_bits=(6, 7, 8), sparsity=(0.0,)
    )
    assert load_config(CONFIGS / "scan.toml") == RunConfig(scan=ScanConfig(trials=30, batch=6, space=space))
    assert TrainingConfig(epochs=10, batch_size=32, learning_rate=4e-3, final_rate=0.05) == COMPACT_TRAINING
