#!/usr/bin/env bash
# tensorflow 2.21.0, asked to compute deterministically (enable_op_determinism, one thread, no oneDNN, no contraction
# kernels of its own), still gives other bits on processors whose first-level data cache has another size: Eigen cuts a
# sum of products into parts that fit it, and asks the processor for its size. 32 kB (AMD up to Zen 4, Intel up to
# Cascade Lake) and 48 kB (Zen 5, Ice Lake and later) differ for most sums of more than 400 products in float32. No option sets it. The
# script computes one matrix product with what this processor says and then with either size written where TensorFlow's
# library keeps it, so that both results are seen on one machine.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: x86-64 Linux, python3 (3.11 to 3.13) with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check tensorflow==2.21.0 numpy==2.4.6 || exit 3

export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1 TF_ENABLE_ONEDNN_OPTS=0 TF_NUM_INTRAOP_THREADS=1
export TF_NUM_INTEROP_THREADS=1 TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL=false ONEDNN_MAX_CPU_ISA=SSE41
"$folder/env/bin/python" - <<'PYTHON'
import ctypes
import sys
import zlib

import numpy as np
import tensorflow as tf

tf.keras.utils.set_random_seed(1)
tf.config.experimental.enable_op_determinism()


def product(terms):
    left, right = (np.random.default_rng(k).integers(0, 2**20, s) for k, s in enumerate(((32, terms), (terms, 32))))
    return zlib.crc32(tf.matmul((left / 2**20).astype("float32"), (right / 2**20).astype("float32")).numpy().tobytes())


product(3000)  # from here on the library keeps what the processor said
told = (ctypes.c_long * 3)()
framework = ctypes.CDLL(tf.sysconfig.get_lib() + "/libtensorflow_framework.so.2")
framework._ZN5Eigen8internal10CacheSizesC2Ev(ctypes.byref(told))
kept, name = [], ""
for line in open("/proc/self/maps"):
    place, rights, _, _, _, *rest = line.split()
    name = rest[0] if rest else name
    if rights.startswith("rw") and "libtensorflow_cc" in name:
        first, end = (int(x, 16) for x in place.split("-"))
        words = np.ctypeslib.as_array((ctypes.c_long * ((end - first) // 8)).from_address(first))
        same = (words[:-2] == told[0]) & (words[1:-1] == told[1]) & (words[2:] == told[2])
        kept += [ctypes.c_long.from_address(first + 8 * int(i)) for i in np.flatnonzero(same)]
print(f"tensorflow {tf.__version__}; this processor's data caches: {list(told)} bytes, kept {len(kept)} times")
sums = {}
for size in (32 * 1024, 48 * 1024):
    for one in kept:
        one.value = size
    sums[size] = [f"{product(terms):08x}" for terms in (400, 3000)]
    print(f"first level of {size} bytes: CRC-32 of products of 400 and 3,000 terms: {', '.join(sums[size])}")
small, large = sums.values()
described = bool(kept) and small[0] == large[0] and small[1] != large[1]
print("as described" if described else "CHANGED")
sys.exit(not described)
PYTHON
