"""hls4ml's backends: their options, the layers they have code for, and what compiling their emulation needs.

Vitis, Vivado and Catapult ship their number types with hls4ml, so g++ alone compiles their emulation. oneAPI uses
Catapult's types, and cpp/sycl_stand_in.hpp replaces its pipes and tasks. Libero's types come with its compiler.
"""

import functools
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from codae_l1.hls.target.config import OTHER_PARTS, HlsConfig

# Headers that hls4ml's oneAPI projects include -> what stands in for them.
_SYCL = "sycl_stand_in.hpp"
_STAND_INS = {
    "sycl/sycl.hpp": _SYCL,
    "sycl/ext/intel/fpga_extensions.hpp": _SYCL,
    "sycl/ext/intel/experimental/task_sequence.hpp": _SYCL,
    "sycl/ext/intel/prototype/interfaces.hpp": _SYCL,
    "sycl/ext/intel/ac_types/ac_int.hpp": "ac_int.h",
    "sycl/ext/intel/ac_types/ac_fixed.hpp": "ac_fixed.h",
    "sycl/ext/intel/ac_types/ac_fixed_math.hpp": "ac_fixed.h",
}


@dataclass(frozen=True)
class Backend:
    """One backend of hls4ml 1.3.

    tool: the vendor's program that synthesises its projects. strategies: those that its convolutions and dense layers
    follow; hls4ml takes the first for any other. io_types: those that it writes. source: folder of its sources.
    includes: header folders of the emulation inside the project. needs: what its emulation needs in addition to a C++17
    compiler, empty where nothing. traced: io_types whose layers show their outputs. wrong: kinds of layers
    (hls/layers/) whose words it computes wrong. narrowest: bits of the narrowest word that it writes as asked.
    """

    name: str
    tool: str
    part: str
    strategies: tuple[str, ...]
    io_types: tuple[str, ...] = ("io_parallel", "io_stream")
    source: str = "."
    includes: tuple[str, ...] = ()
    needs: str = ""
    traced: tuple[str, ...] = ("io_parallel", "io_stream")
    wrong: tuple[str, ...] = ()
    narrowest: int = 1


_AMD = HlsConfig().part
_AC = tuple(f"firmware/{name}/include" for name in ("ac_types", "ac_math", "ac_simutils"))
BACKENDS = {
    row.name: row
    for row in (
        Backend(
            "Vitis",
            "vitis-run",
            _AMD,
            ("latency", "resource", "distributed_arithmetic"),
            includes=("firmware/ap_types", "."),
        ),
        Backend(
            "Vivado",
            "vivado_hls",
            _AMD,
            ("latency", "resource", "distributed_arithmetic"),
            includes=("firmware/ap_types", "."),
        ),
        Backend(
            "Catapult",
            "catapult",
            _AMD,
            ("latency", "resource"),
            includes=(*_AC, "firmware/nnet_utils", "."),
            # A mean is computed in the word of its inputs: its new fraction bits are lost, and it may be too narrow for
            # the size of the window.
            wrong=("average_pool",),
            narrowest=2,
        ),
        # Its traced layers are written with a wrong type in io_parallel and with an unknown name in io_stream.
        Backend("oneAPI", "icpx", OTHER_PARTS["oneAPI"], ("resource",), source="src", traced=(), narrowest=2),
        # Its structs of inputs and outputs cannot be written for streams.
        Backend(
            "Libero",
            "shls",
            OTHER_PARTS["Libero"],
            ("latency", "resource"),
            ("io_parallel",),
            needs="Microchip's SmartHLS (shls on PATH) with its header hls/ap_fixpt.hpp",
            traced=(),
        ),
    )
}


def known_classes(backend: str) -> set[str]:
    """Names of hls4ml's layer classes that the backend has function templates for, asked of hls4ml itself."""
    import hls4ml
    from hls4ml.backends.template import FunctionCallTemplate
    from hls4ml.model.optimizer import get_backend_passes, get_optimizer

    name = hls4ml.backends.get_backend(backend).name
    # Vitis takes Vivado's.
    passes = [*get_backend_passes(name), *(get_backend_passes("vivado") if name == "vitis" else ())]
    templates = (get_optimizer(one) for one in passes)
    return {cls.__name__ for t in templates if isinstance(t, FunctionCallTemplate) for cls in t.layer_class}


def reuse_taken(backend: str, strategy: str, n_in: int, n_out: int, asked: int) -> int:
    """The reuse factor that hls4ml takes for a matrix product: in resource strategy the nearest that divides it.

    >>> reuse_taken("Vitis", "latency", 9, 12, 5)
    5
    """
    import hls4ml

    if strategy_taken(backend, strategy) != "resource":
        return asked
    return hls4ml.backends.get_backend(backend).get_closest_reuse_factor(valid_reuse(backend, n_in, n_out), asked)


@functools.cache
def valid_reuse(backend: str, n_in: int, n_out: int) -> tuple[int, ...]:
    """The reuse factors that hls4ml takes for a matrix product in resource strategy, the smallest first.

    >>> valid_reuse("Vitis", 9, 2)
    (1, 3, 9, 18)
    """
    import hls4ml

    return tuple(hls4ml.backends.get_backend(backend).get_valid_reuse_factors(n_in, n_out))


def strategy_taken(backend: str, asked: str) -> str:
    """The strategy that hls4ml takes.

    >>> strategy_taken("Catapult", "distributed_arithmetic")
    'latency'
    """
    strategies = BACKENDS[backend].strategies
    return asked if asked in strategies else strategies[0]


def conversion_arguments(config: HlsConfig, embed: bool) -> dict[str, Any]:
    """Arguments of hls4ml's convert_from_keras_model that depend on the backend; embed: weights inside the code."""
    given: dict[str, Any] = {"part": config.part, "clock_period": config.clock_period_ns, "io_type": config.io_type}
    if config.backend in ("Vitis", "Vivado", "Libero"):
        given["write_weights_txt"] = not embed
    if config.backend == "Libero":
        found = shutil.which("shls")
        given["smarthls_path"] = Path(found).parent.parent if found else Path("SmartHLS")
    return given


def write_stand_ins(folder: Path) -> list[Path]:
    """Write the headers that let a plain compiler read a oneAPI project; the include folders that they need."""
    import hls4ml

    for name, target in _STAND_INS.items():
        header = folder / name
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text(f"#include <{target}>\n")
    (folder / _SYCL).write_text(files("codae_l1.hls").joinpath("cpp", _SYCL).read_text())
    types = Path(str(hls4ml.__file__)).parent / "templates" / "catapult" / "ac_types" / "include"
    return [folder, types]


def plain_constants(sources: Iterable[Path]) -> None:
    """`constexpr` -> `const` where a constant's type is AC's, which only Intel's copy can make at compile time."""
    for path in sources:
        lines = path.read_text().splitlines(keepends=True)
        found = (line.replace("constexpr", "const") if _has_words(path, line) else line for line in lines)
        path.write_text("".join(found))


def _has_words(path: Path, line: str) -> bool:
    return path.parent.name == "weights" or ("zero_array<" in line and "=" in line)
