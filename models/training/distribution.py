"""Where a training runs: one device, the GPUs of one machine, or several workers, by TensorFlow's strategies.

Each replica gets an equal slice of every batch; gradients are summed over replicas before they are clipped and applied,
so that the numbers are those of one device up to the order of summation. Workers are found by TF_CONFIG, as TensorFlow
documents it: the same command on each, with a folder that all of them see; the first one writes.

    TF_CONFIG='{"cluster": {"worker": ["a:9000", "b:9000"]}, "task": {"type": "worker", "index": 0}}'
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import keras
import numpy as np

from codae_l1.data.base.errors import InputError

Distribute = Literal["none", "mirrored", "multi_worker"]


def create_strategy(distribute: Distribute) -> Any:
    """The tf.distribute strategy of a name; build the model in its scope. Call it before anything runs in TensorFlow.

    mirrored: all GPUs (without any, all logical CPUs) of this machine. multi_worker: the workers of TF_CONFIG.
    """
    import tensorflow as tf

    if distribute == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if distribute == "multi_worker":
        try:
            settings = json.loads(os.environ.get("TF_CONFIG", ""))
            cluster, _ = settings["cluster"], settings["task"]["index"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(
                f"TF_CONFIG = {os.environ.get('TF_CONFIG')!r}",
                'JSON with "cluster" and "task" on every worker (see codae_l1.models.training.distribution)',
                'set it, or take training.distribute = "mirrored"',
            ) from error
        if set(cluster) != {"worker"}:
            raise InputError(f"TF_CONFIG with {', '.join(cluster)}", "workers alone", "name all under worker")
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy: Any) -> bool:
    """Whether this process writes the files: the only one, or the first worker."""
    resolver = getattr(strategy, "cluster_resolver", None)
    return resolver is None or not resolver.task_id


def split(strategy: Any, *arrays: np.ndarray) -> list[Any]:
    """Give each replica its slice of arrays (n, ...); n is a multiple of the replicas."""
    import tensorflow as tf

    size = len(arrays[0]) // strategy.num_replicas_in_sync

    def slice_of(array: np.ndarray) -> Any:
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(array[size * context.replica_id_in_sync_group :][:size])
        )

    return [slice_of(array) for array in arrays]


@contextmanager
def computing_in(model: keras.Model, precision: str) -> Iterator[None]:
    """Layers of the model's networks compute in "float32" or "bfloat16" while the block runs; variables stay float32.

    Networks are the Keras models that it consists of, such as f_m, f_r and decoder. Only what is traced in the
    block is changed: outside, and in saved files, the model computes as it did.
    """
    if precision == "float32":
        yield
        return
    parts = [part for part in model.layers if isinstance(part, keras.Model)]
    layers = [layer for part in parts for layer in part._flatten_layers()]
    policies = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = f"mixed_{precision}"
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy
