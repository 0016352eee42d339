"""The options of an export, checked before anything is computed: names, slices, and the folder to write.

It imports no network library, so that a mistake is reported at once.
"""

import functools
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from codae_l1.data.base import children
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import replaceable, scratch_folder
from codae_l1.data.pooling import PoolingConfig
from codae_l1.hls.target.compiler import find_compiler

NAMESPACE = "codae"
# Files that every export has: a folder without one of them is none.
MARKS = ("interface.json", "SHA256SUMS")
# Words that C++17 keeps for itself (ISO/IEC 14882:2017, 5.11), and its library.
_WORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
    const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit export extern false
    float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast return short signed sizeof static static_assert static_cast std struct
    switch template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile
    wchar_t while xor xor_eq"""
# And those that an export uses: the namespace of CMS's interface, the file name of the self-test, names at file scope.
_OWN = "hls4mlEmulator selftest main ap_fixed ap_ufixed ap_int ap_uint"
_RESERVED = frozenset(f"{_WORDS} {_OWN}".split())
# Headers that the sources of an export include; some declare names of C at file scope, such as int8_t, div and time.
_HEADERS = """
    algorithm any atomic chrono cstddef cstdint cstdio cstdlib cxxabi.h deque dlfcn.h exception fstream iostream
    iterator limits memory sstream stdexcept string type_traits typeinfo utility vector"""
# Ends that an export gives its own files and modules, after its namespace.
_ENDS = (
    *("_network", "_layers", "_pooling", "_decision", "_trigger", "_wrapper", "_pipeline", "_pool", "_cell", "_axis"),
    *("_tb", "_thresholds", "_handshake"),
)
# File names have it in front of their own.
_LONGEST = 64


@dataclass(frozen=True)
class ExportConfig:
    """namespace: C++ namespace and file names of the emulator. slices: clocks in which an event's towers come in.

    simulate: also run the testbenches (Verilator). measure: map the trigger's own logic (Yosys). seed: of the towers
    that overflow and of the testbench's pauses.
    """

    namespace: str = NAMESPACE
    slices: int = 1
    simulate: bool = False
    measure: bool = True
    seed: int = 1

    def __post_init__(self):
        check_namespace(self.namespace)


def check_namespace(namespace: str) -> None:
    """InputError unless it can be a C++ namespace.

    >>> check_namespace("f_m_v2")
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", namespace) or namespace in _RESERVED:
        raise InputError(f"namespace {namespace!r}", "a C++ name, e.g. codae_v2", "choose another")
    end = next((end for end in _ENDS if namespace.endswith(end)), "")
    if end:
        # Else the files and modules of two exports, a and a_trigger, could have one name.
        raise InputError(f"namespace {namespace!r}, which ends like a file of {end!r}", "another end", "choose another")
    if len(namespace) > _LONGEST:
        raise InputError(f"a namespace of {len(namespace)} letters", f"at most {_LONGEST}", "choose a shorter one")
    if namespace != NAMESPACE and not _compiles(namespace) and _compiles(NAMESPACE):
        raise InputError(f"namespace {namespace!r}, a name of the C or C++ library", "another name", "choose another")


@functools.cache
def _compiles(namespace: str) -> bool:
    """Whether the compiler takes a namespace beside the library's names; True where there is no compiler to ask."""
    includes = "".join(f"#include <{header}>\n" for header in _HEADERS.split())
    with scratch_folder() as folder:
        (folder / "name.cpp").write_text(f"{includes}namespace {namespace} {{}}\n")
        try:
            command = [find_compiler(), "-std=c++17", "-fsyntax-only", "name.cpp"]
            output = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
            return children.run(command, 60.0, cwd=folder, **output).returncode == 0
        except (ToolError, OSError, subprocess.TimeoutExpired):
            return True


def check_slices(slices: int, pooling: PoolingConfig) -> None:
    """InputError unless the rows of cells can be cut into as many equal slices."""
    rows = pooling.shape[0]
    if slices < 1 or rows % slices:
        fitting = ", ".join(str(n) for n in range(1, rows + 1) if rows % n == 0)
        raise InputError(f"slices = {slices}", f"a divisor of the {rows} rows of cells", f"take one of {fitting}")


def check_target(folder: Path | str, run: Path | str | None = None) -> Path:
    """The folder, resolved, if an export may be written there; InputError where it would replace anything else.

    run: the run folder, which must stay, too.
    """
    for mark in MARKS:
        path = replaceable(folder, (mark,))
    if run is not None and (path == Path(run).resolve() or path in Path(run).resolve().parents):
        raise InputError(
            f"{path} holds the run folder {run}", "a folder of its own", f"name a new folder, e.g. exports/{NAMESPACE}"
        )
    return path
