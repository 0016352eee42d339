"""oneAPI's sources made ready for a plain C++ compiler: Intel's headers are stood in for by cpp/sycl_stand_in.hpp."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

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
