"""Several workers and several devices give the numbers of one, and go on after a kill; wrong set-ups are named."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.distribution import create_strategy
from codae_l1.models.training.loop import train

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

RNG = np.random.default_rng(0)
TRAIN = (RNG.random((24, 72, 58, 1)) < 0.02).astype(np.uint8)
# Not a multiple of the batch.
VALIDATION = (RNG.random((10, 72, 58, 1)) < 0.02).astype(np.uint8)
CONFIG = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-2)

# What each process runs: a training, of several workers killed after an epoch and resumed.
PROCESS = """
import json, sys, time
from pathlib import Path
import tensorflow as tf
from codae_l1.models.training.distribution import create_strategy

folder, distribute, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if distribute == "mirrored":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = create_strategy(distribute)

import numpy as np
from codae_l1.models.codae.model import TINY, CoDAE
from codae_l1.models.training.loop import TrainingConfig, train

data = np.load(folder / "masks.npz")
config = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-2, distribute=distribute)

def run(progress=None):
    with strategy.scope():
        model = CoDAE(TINY, seed=5)
    return train(model, data["train"], data["validation"], config, folder / distribute, progress, strategy)

def kill(done, total, text):
    raise KeyboardInterrupt

try:
    run(kill if distribute == "multi_worker" else None)
except KeyboardInterrupt:
    while not (folder / distribute / "history.json").exists():  # the first worker writes
        time.sleep(0.05)
result = {"replicas": strategy.num_replicas_in_sync, "history": run()}
(folder / f"{name}.json").write_text(json.dumps(result))
"""


def free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("localhost", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@contextmanager
def process(folder, distribute, name, environment):
    """One process of PROCESS, ended with the block."""
    command = [sys.executable, "-c", PROCESS, str(folder), distribute, name]
    with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def test_two_workers_and_two_devices_give_the_numbers_of_one(tmp_path):
    np.savez(tmp_path / "masks.npz", train=TRAIN, validation=VALIDATION)
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(2)]
    arguments = [("multi_worker", f"worker{i}", {"TF_CONFIG": json.dumps(task)}) for i, task in enumerate(tasks)]
    with ExitStack() as stack:
        started = [stack.enter_context(process(tmp_path, *a)) for a in (*arguments, ("mirrored", "devices", {}))]
        alone = train(CoDAE(TINY, seed=5), TRAIN, VALIDATION, CONFIG, tmp_path / "alone")
        for running in started:
            _, errors = running.communicate(timeout=600)
            assert running.returncode == 0, errors[-3000:]
    results = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("worker0", "worker1", "devices")]
    for result in results:
        assert result["replicas"] == 2
        assert result["history"]["best_epoch"] == alone["best_epoch"]
        for name in ("loss", "validation_loss"):
            assert result["history"][name] == pytest.approx(alone[name], rel=1e-3)
    # Only the first worker writes, and what it wrote is the whole training.
    assert results[0] == results[1]
    assert json.loads((tmp_path / "multi_worker" / "history.json").read_text()) == results[0]["history"]


def test_workers_without_a_cluster_are_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match=r'TF_CONFIG = None; expected JSON with "cluster"'):
        create_strategy("multi_worker")
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}}')
    with pytest.raises(InputError, match=r'TF_CONFIG = .*; expected JSON with "cluster" and "task"'):
        create_strategy("multi_worker")
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"index": 0}}')
    with pytest.raises(InputError, match="TF_CONFIG with worker, ps; expected workers alone"):
        create_strategy("multi_worker")


def test_batch_must_divide_among_replicas(tmp_path):
    class Two:
        num_replicas_in_sync = 2

    with pytest.raises(InputError, match=r"batches of 9 events for 2 replicas; .* change training\.batch_size"):
        train(CoDAE(TINY), TRAIN, VALIDATION, TrainingConfig(batch_size=9), tmp_path, strategy=Two())
