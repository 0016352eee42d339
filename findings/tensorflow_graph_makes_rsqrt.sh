#!/usr/bin/env bash
# tensorflow 2.21.0, CPU: x / tf.sqrt(v) written in a tf.function is not computed as written. The graph optimizer makes
# x * rsqrt(v) of it where nothing else reads the root, and rsqrt is an approximation of the processor with a correction:
# its last bits are others than those of root and quotient, and others at Intel than at AMD, although both operations as
# written are exact to the last bit everywhere. Operations called one by one, and a training step, whose gradient reads
# the root, keep the exact ones, so one model has two results in one process. enable_op_determinism changes nothing.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: x86-64, python3 (3.11 to 3.13) with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check tensorflow==2.21.0 numpy==2.4.6 || exit 3

TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1 "$folder/env/bin/python" - <<'PYTHON'
import sys

import numpy as np
import tensorflow as tf

tf.keras.utils.set_random_seed(1)
tf.config.experimental.enable_op_determinism()
values = tf.constant(np.arange(1, 100_001, dtype=np.float32))
exact = np.float32(3) / np.sqrt(values.numpy())


def unlike(function):
    return int(np.sum(function(values).numpy() != exact))


def over_root(v):
    return 3 / tf.sqrt(v)


one_by_one, graph = unlike(over_root), unlike(tf.function(over_root))
kept = unlike(tf.function(lambda v: 3 / tf.maximum(tf.sqrt(v), 0)))
print(f"tensorflow {tf.__version__}: of {len(exact)} values of 3 / sqrt(v), other than NumPy's are")
print(f"{one_by_one} one operation after the other, {graph} in a tf.function, {kept} there with a maximum between the two")
described = one_by_one == 0 and graph > 0 and kept == 0
print("as described" if described else "CHANGED")
sys.exit(not described)
PYTHON
