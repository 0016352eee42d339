"""Fixtures that several test files share."""

import gc
import os
import shlex
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from codae_l1.hls.target.compiler import find_compiler
from codae_l1.scripts.run._mode import DETERMINISTIC

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The mode of the runs that tests make: TensorFlow takes it from the environment when the first test imports it.
os.environ.update(DETERMINISTIC)
# Compiling da4ml's optimiser takes minutes in a fresh environment; the tests' networks need seconds without.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
ROOT = Path(__file__).parents[1]
# Files of one long test, the longest first: what starts last is to be short, so that no worker waits for the other.
LONG = ("test_end_to_end.py", "test_peers.py")


def pytest_configure(config):
    """All tests compile by way of one script that keeps objects: the workers, too, which take over CXX."""
    # A shell's background job, and its children, ignore Ctrl-C, and those of nohup a hangup; tests send both.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # TensorFlow makes a million objects that stay and few cycles: looking for these takes 8 % of a training otherwise.
    gc.set_threshold(20_000, 20, 20)
    if "CODAE_KEPT_OBJECTS" not in os.environ:
        compiler = find_compiler()
        kept = os.environ["CODAE_KEPT_OBJECTS"] = config.kept_objects = tempfile.mkdtemp(prefix="codae-objects-")
        script = Path(kept) / "c++"
        words = ("bash", str(ROOT / "tests/bases/kept_compiler.sh"), kept, compiler)
        script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        script.chmod(0o755)
        config.compiler_before = os.environ.get("CXX")
        os.environ["CXX"] = str(script)


def pytest_unconfigure(config):
    """The process that made the folder removes it."""
    if hasattr(config, "kept_objects"):
        shutil.rmtree(config.kept_objects, ignore_errors=True)
        del os.environ["CODAE_KEPT_OBJECTS"]
        if config.compiler_before is None:
            del os.environ["CXX"]
        else:
            os.environ["CXX"] = config.compiler_before


pytest.register_assert_rewrite("layer_base")


@pytest.fixture
def quick_compiler(tmp_path, monkeypatch):
    """The compiler without optimisation: the words are the same."""
    script = tmp_path / "quick-c++"
    script.write_text(f'#!/bin/bash\nexec {find_compiler()} "${{@/-O3/-O0}}"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))


@pytest.fixture(scope="module")
def small_batches():
    """Batches of 16, where they are filled up to 128 or 256 otherwise: most tests have few events."""
    from codae_l1.models.codae.scores import codae_scores
    from codae_l1.models.training.network import in_slices

    with pytest.MonkeyPatch.context() as patch:
        for function in (codae_scores, in_slices):
            patch.setattr(function, "__defaults__", (16,))
        yield


@pytest.fixture(scope="session")
def scoring_run(tmp_path_factory) -> Path:
    """A run folder with the stages quantize, convert (emulator) and synthesize (interpreter) on the shipped events."""
    from scoring_run import make_scoring_run

    return make_scoring_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="session")
def codae_sample() -> Path:
    """Folder of the public CoDAE sample (train/, test/, reference_scores.npz); the test is skipped without it."""
    folder = Path(os.environ.get("CODAE_SAMPLE", ROOT / "../shared/data/codae-sample")).resolve()
    if not (folder / "reference_scores.npz").is_file():
        pytest.skip(f"no public CoDAE sample at {folder}; set CODAE_SAMPLE to its folder")
    return folder


@pytest.fixture(scope="session")
def codae_weights() -> Path:
    """Folder of the published weights (codae/, codvae/: TF-Lite files, index files); the test is skipped without it."""
    folder = Path(os.environ.get("CODAE_WEIGHTS", ROOT / "../shared/data/codae-weights")).resolve()
    if not (folder / "codae" / "decoder_quant_f16.tflite").is_file():
        pytest.skip(f"no published weights at {folder}; set CODAE_WEIGHTS to their folder")
    return folder


def pytest_collection_modifyitems(items):
    """The long files first: with two workers, all other files share the other one meanwhile."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="module")
def scheduler():
    """Address of a Dask scheduler with one worker thread in this process."""
    from distributed import LocalCluster

    options = {"processes": False, "protocol": "tcp://", "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        yield cluster.scheduler_address
