"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Compiling da4ml's optimiser takes minutes in a fresh environment; the tests' networks need seconds without.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
ROOT = Path(__file__).parents[1]
pytest.register_assert_rewrite("layer_base")


@pytest.fixture(scope="session")
def codae_sample() -> Path:
    """Folder of the public CoDAE sample (train/, test/, reference_scores.npz); the test is skipped without it."""
    folder = Path(os.environ.get("CODAE_SAMPLE", ROOT / "../shared/data/codae-sample")).resolve()
    if not (folder / "reference_scores.npz").is_file():
        pytest.skip(f"no public CoDAE sample at {folder}; set CODAE_SAMPLE to its folder")
    return folder


def pytest_collection_modifyitems(items):
    """The end-to-end run first: with two workers, all other files share the other one meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")
