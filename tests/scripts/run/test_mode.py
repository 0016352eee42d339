"""The deterministic mode: equal words on processors of other vector units and caches, refused or told where not."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import write_json
from codae_l1.scripts.run import _caches, _mode, cli
from codae_l1.scripts.run._mode import DETERMINISTIC

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")


def trainings() -> dict[str, object]:
    """Checksums of a CoDAE, a distance and an auto-encoder of a few steps, and the mode that TensorFlow was in."""
    from codae_l1.models.codae.codvae import create_model
    from codae_l1.models.codae.config import TINY
    from codae_l1.models.training.config import TrainingConfig
    from codae_l1.models.training.loop import train
    from codae_l1.quantization.config import DistillConfig, Training
    from codae_l1.quantization.distance import learn_distance
    from codae_l1.quantization.f_m.config import DISTANCE, FirmwareConfig

    rng, model = np.random.default_rng(0), create_model(TINY, 1)
    masks = (rng.random((16, 72, 58, 1)) < 0.05).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        train(model, masks, masks[:8], TrainingConfig(epochs=1, batch_size=8, learning_rate=1e-2), folder)
    counts, training = rng.poisson(1.0, (1500, 18, 15, 1)), Training(DistillConfig(steps=60, qat_steps=60), seed=1)
    student = learn_distance(counts, np.ones(len(counts)), counts[:100], DISTANCE, training)
    error = FirmwareConfig.PRESETS["autoencoder"]
    error = learn_distance(counts, np.ones(len(counts)), counts[:100], error, training)
    made = {
        "auto-encoder": [*error.float_model.model.get_weights(), *error.firmware.model.get_weights()],
        "full model": model.get_weights(),
        "float": student.float_model.model.get_weights(),
        "firmware": student.firmware.model.get_weights(),
        "QAT": [np.array(student.history["qat"])],
    }
    sums = {name: zlib.crc32(b"".join(map(np.ndarray.tobytes, arrays))) for name, arrays in made.items()}
    return sums | {"mode": _mode.machine()["mode"]}


def in_a_process(**environment: str) -> dict[str, object]:
    """`trainings` in a process of its own, in the mode, whose environment had none of it but what is given."""
    kept = {name: value for name, value in os.environ.items() if name not in DETERMINISTIC} | environment
    done = subprocess.run([sys.executable, __file__], env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


# Libraries with these see an older processor: AVX2 in oneDNN, none of NumPy's, OpenBLAS of 2008; threads of 4 cores.
OLDER = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "TF_NUM_INTRAOP_THREADS": "4",
    "OMP_NUM_THREADS": "4",
}


def test_deterministic_trainings_are_equal_on_other_processors():
    cli.import_tensorflow(deterministic=True)
    here = trainings()
    assert in_a_process(**OLDER) == here
    assert here["mode"] == "deterministic"


def test_long_sums_are_cut_as_for_a_cache_of_32_kb_whatever_the_processor_has(capfd, monkeypatch):
    cli.import_tensorflow(deterministic=True)
    assert _caches._long_sums() == _caches._SUMS
    sizes = (32 * 1024, *_caches._told()[1:])
    copies = _caches._copies(sizes)
    assert copies
    for copy in copies:
        copy.value = 48 * 1024
    try:
        assert _caches._long_sums() != _caches._SUMS
        # Not found, for example in another TensorFlow: said, and in the stamp.
        with monkeypatch.context() as lost:
            lost.setattr(_mode, "_sums_as_everywhere", [])
            lost.setattr(_caches, "_told", tuple)
            cli.import_tensorflow(deterministic=True)
            assert _mode.machine()["mode"] == "deterministic on processors like this one"
            assert "long sums end in other bits here" in capfd.readouterr().err
        monkeypatch.setattr(_caches, "_told", lambda: (48 * 1024, *sizes[1:]))
        assert _caches.fix_caches()
        assert [copy.value for copy in copies] == [32 * 1024] * len(copies)
    finally:
        for copy in copies:
            copy.value = 32 * 1024


def test_tensorflow_that_is_loaded_otherwise_is_refused(monkeypatch):
    cli.import_tensorflow(deterministic=True)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "8")
    with pytest.raises(InputError, match="loaded already without TF_NUM_INTRAOP_THREADS=1") as error:
        cli.import_tensorflow(deterministic=True)
    assert error.value.remedy.startswith("train by the command")
    # A training that does not ask for it takes what there is, and the stamp says so.
    cli.import_tensorflow()
    told = _mode.machine()
    assert (told["mode"], told["threads"]) == ("free", 8)
    assert told["text"].endswith("free mode of TensorFlow (AVX, in oneDNN up to SSE41; 8 threads)")


@pytest.mark.parametrize(("variable", "threads"), [("8", 8), ("²", 3), ("9" * 5000, 3), ("0", 3), ("-2", 3), ("", 3)])
def test_threads_that_are_no_number_are_all_cores(variable, threads, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", variable)
    monkeypatch.setattr(_mode.os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert _mode._computing()["threads"] == threads


def test_the_stamp_says_processor_threads_and_mode(monkeypatch):
    monkeypatch.setattr(_mode, "_cpuinfo", {"model name": "Some CPU", "flags": "fpu sse4_1 avx avx2 fma"}.get)
    cli.import_tensorflow(deterministic=True)
    assert _mode.machine() == {
        "processor": "Some CPU",
        "extensions": ["sse4_1", "avx", "fma", "avx2"],
        "mode": "deterministic",
        "used": "AVX, in oneDNN SSE4.1",
        "threads": 1,
        "text": "Some CPU (up to AVX2), deterministic mode of TensorFlow (AVX, in oneDNN SSE4.1; 1 thread)",
    }
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert _mode.machine()["mode"] == "no TensorFlow"


def test_the_key_decides_and_the_paper_preset_leaves_it_out(tmp_path, monkeypatch):
    from codae_l1.scripts.run import stage
    from codae_l1.scripts.run.config import RunConfig, load_config

    assert RunConfig().training.deterministic
    file = tmp_path / "mine.toml"
    file.write_text('[training]\npreset = "paper"\n')
    assert not load_config(file).training.deterministic
    assert not stage.check_config(file)
    # The run folder's config counts where there is no other; a command without a run folder has none.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    write_json(tmp_path / "runs" / "demo" / "config.json", dump(load_config(file)))
    assert stage.check_config(None)
    assert not stage.check_config(None, Path(stage.DEFAULT_RUN))
    file.write_text("seed = 2\n")
    assert stage.check_config(file)
    assert stage.check_config(file, Path(stage.DEFAULT_RUN))


if __name__ == "__main__":
    cli.import_tensorflow(deterministic=True)
    print(json.dumps(trainings()))


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_stage_alone_computes_in_the_mode_of_its_run(deterministic, monkeypatch):
    from types import SimpleNamespace

    from codae_l1.scripts.run import stage

    for name in DETERMINISTIC:
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    modes = []

    def do(name, work):
        modes.append(not _mode._unlike())
        return {"summary": name, "stamp": {"seconds": 1.0}}

    training = SimpleNamespace(deterministic=deterministic)
    run = SimpleNamespace(is_done=lambda name: False, alone=contextlib.nullcontext, do=do)
    run.config = SimpleNamespace(training=training)
    stage.do(run, "evaluate", lambda run: {})
    assert modes == [deterministic]
