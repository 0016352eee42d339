"""Where Eigen, which TensorFlow computes with, cuts a long sum: by the size of the first-level data cache.

Eigen asks the processor for its caches once in each library, keeps three integers (Eigen::internal::CacheSizes), and
has no setting for them: sums of more than 400 products are cut into other parts at 48 kB than at 32 kB, and end in
other bits (TensorFlow 2.21.0; docs/training.md). So the deterministic mode writes 32 kB over the first of them.
"""

import ctypes
import zlib
from pathlib import Path
from typing import Any

import numpy as np

_FIRST_LEVEL = 32 * 1024
_MAPS = Path("/proc/self/maps")
# Eigen::internal::CacheSizes::CacheSizes(), exported by TensorFlow: fills first, second and third level, in bytes.
_CONSTRUCTOR = "_ZN5Eigen8internal10CacheSizesC2Ev"
# CRC-32 of `_long_sums` where the first level has 32 kB.
_SUMS = 0x744465C4


def fix_caches() -> bool:
    """Let Eigen cut sums as for a first level of 32 kB; returns whether they have the bits of this mode.

    They have not where the caches are not found (not Linux, another TensorFlow) or the processor adds in another way.
    """
    sums = _long_sums()
    if sums != _SUMS:
        # The first sums have made every library keep what it was told.
        for copy in _copies(_told()):
            copy.value = _FIRST_LEVEL
        sums = _long_sums()
    return sums == _SUMS


def _long_sums() -> int:
    """Checksum of a matrix product, a convolution and its gradients, all of sums of some thousand products."""
    import tensorflow as tf

    def some(*shape: int) -> Any:
        # Multiples of 2**-24 from integers, the same everywhere.
        words = np.arange(np.prod(shape), dtype=np.uint32) * np.uint32(2654435761)
        return tf.constant((words >> np.uint32(8)).astype(np.float32).reshape(shape) * np.float32(2.0**-24))

    images, kernel = some(4, 24, 24, 64), some(3, 3, 64, 16)
    with tf.GradientTape() as tape:
        tape.watch([images, kernel])
        out = tf.nn.conv2d(images, kernel, 1, "SAME")
        loss = tf.reduce_sum(out * some(4, 24, 24, 16))
    gradients: Any = tape.gradient(loss, [images, kernel])
    sums = (tf.matmul(some(64, 3000), some(3000, 64)), out, *gradients)
    return zlib.crc32(b"".join(value.numpy().tobytes() for value in sums))


def _told() -> tuple[int, ...]:
    """What the processor tells Eigen of its caches; empty where TensorFlow cannot be asked."""
    import tensorflow as tf

    sizes = (ctypes.c_ssize_t * 3)()
    library = Path(tf.sysconfig.get_lib()) / "libtensorflow_framework.so.2"
    try:
        getattr(ctypes.CDLL(str(library)), _CONSTRUCTOR)(ctypes.byref(sizes))
    except (AttributeError, OSError):
        return ()
    return tuple(sizes)


def _copies(sizes: tuple[int, ...]) -> list[ctypes.c_ssize_t]:
    """The first of three integers wherever TensorFlow's libraries hold all three, in this process's memory."""
    found: list[ctypes.c_ssize_t] = []
    if not sizes or not _MAPS.is_file():
        return found
    before = ""
    for line in _MAPS.read_text().splitlines():
        place, rights, _, _, _, *name = line.split(maxsplit=5)
        # Variables that start as zero lie in the memory without a name behind the library's own.
        library, before = name[0] if name else before, name[0] if name else ""
        if not rights.startswith("rw") or "/libtensorflow_" not in library:
            continue
        first, end = (int(word, 16) for word in place.split("-"))
        count = (end - first) // ctypes.sizeof(ctypes.c_ssize_t)
        words = np.ctypeslib.as_array((ctypes.c_ssize_t * count).from_address(first))
        same = np.all([words[k : count - 2 + k] == size for k, size in enumerate(sizes)], axis=0)
        found += [ctypes.c_ssize_t.from_address(first + words.itemsize * int(i)) for i in np.flatnonzero(same)]
    return found
