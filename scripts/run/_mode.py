"""How TensorFlow computes: deterministic, the same bits on every processor, or free, as the processor allows.

What a processor decides of a training's bits: which kernels oneDNN makes (AVX-512, AVX2, ...), also for Eigen's
contractions and for gradients of convolutions where TF_ENABLE_ONEDNN_OPTS = 0; into how many parts a sum is split, one
a thread; and where Eigen cuts long sums, by the size of a cache (_caches.py). The rest of TensorFlow is compiled for
AVX once and for all. Instructions that approximate, rsqrt and reciprocal, have other bits at Intel than at AMD; the
CoDAE and the trigger networks use none. docs/training.md has the measurements.

The settings are read when TensorFlow is loaded, so that a process has one mode, and says which.
"""

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.scripts.run._caches import fix_caches

# What TensorFlow and its libraries read of the environment -> the value of the deterministic mode.
DETERMINISTIC = {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "false",
    # What still goes to oneDNN; every processor that TensorFlow runs on has it.
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    # A GPU has kernels of its own.
    "CUDA_VISIBLE_DEVICES": "-1",
}
# Whether long sums have the bits of the mode, once TensorFlow was asked.
_sums_as_everywhere: list[bool] = []
# Flags of /proc/cpuinfo, each with more or wider vectors than those before it.
_EXTENSIONS = ("sse4_1", "sse4_2", "avx", "fma", "avx2", "avx512f", "avx512bw", "avx512_bf16", "amx_tile")


def set_mode(deterministic: bool) -> None:
    """Set the deterministic mode for the TensorFlow that is imported next; False leaves the settings as they are.

    Raises InputError where TensorFlow is loaded already, with other settings.
    """
    if not deterministic or not (other := _unlike()):
        return
    if "tensorflow" in sys.modules:
        raise InputError(
            f"training.deterministic = true, and TensorFlow is loaded already without {', '.join(other)}",
            "a process whose TensorFlow has these settings from its start",
            "train by the command (scripts/run_chain.py), set them before the import, or set the key to false",
        )
    os.environ.update(DETERMINISTIC)


def settle_mode() -> None:
    """Let a TensorFlow that was just imported in the deterministic mode cut its sums as everywhere, or warn."""
    if _unlike() or _sums_as_everywhere:
        return
    _sums_as_everywhere.append(fix_caches())
    if not _sums_as_everywhere[0]:
        print(
            "training.deterministic: long sums end in other bits here than on the processors that docs/training.md "
            "names; a seed gives the same weights again on processors like this one alone",
            file=sys.stderr,
        )


def machine() -> dict[str, Any]:
    """Processor, its vector extensions, threads and mode of this process, for stamps; `text` says all in words."""
    told: dict[str, Any] = {"processor": _processor(), "extensions": _extensions()}
    told |= _computing() if "tensorflow" in sys.modules else {"mode": "no TensorFlow"}
    widest = f" (up to {told['extensions'][-1].upper()})" if told["extensions"] else ""
    mode = told["mode"]
    if "used" in told:
        threads = f"{told['threads']} thread{'s' if told['threads'] > 1 else ''}"
        mode = f"{mode} mode of TensorFlow ({told['used']}; {threads})"
    return told | {"text": f"{told['processor']}{widest}, {mode}"}


def _computing() -> dict[str, Any]:
    """Mode, the vector extensions that TensorFlow uses in it, and its threads."""
    if not _unlike():
        mode = "deterministic" if all(_sums_as_everywhere) else "deterministic on processors like this one"
        return {"mode": mode, "used": "AVX, in oneDNN SSE4.1", "threads": 1}
    threads, capped = os.environ.get("TF_NUM_INTRAOP_THREADS", ""), os.environ.get("ONEDNN_MAX_CPU_ISA")
    # TensorFlow takes all cores where it cannot read the number, or it is 0.
    own = int(threads) if re.fullmatch("0*[1-9][0-9]{0,8}", threads) else len(os.sched_getaffinity(0))
    return {"mode": "free", "used": f"AVX, in oneDNN {f'up to {capped}' if capped else 'all'}", "threads": own}


def _unlike() -> list[str]:
    """The settings that the environment has not as the deterministic mode."""
    return [f"{name}={value}" for name, value in DETERMINISTIC.items() if os.environ.get(name) != value]


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _extensions() -> list[str]:
    flags = _cpuinfo("flags").split()
    return [name for name in _EXTENSIONS if name in flags]


def _cpuinfo(key: str) -> str:
    """What Linux says of the first processor; empty where it does not."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")
