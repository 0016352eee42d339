"""Compiles the bit-accurate emulation of an hls4ml project to a shared library that is named after its content.

dlopen returns the old library for a path while it is loaded, so a project that is converted a second time in one
process needs another name. Nothing but the five functions below is exported: GCC otherwise shares the static members of
templates (a pipe's queue, a table) between all libraries of a process.
"""

import hashlib
import shutil
from pathlib import Path

from codae_l1.data.base import children
from codae_l1.data.base.errors import ToolError
from codae_l1.data.base.logs import keep_log
from codae_l1.hls.hls4ml._stand_ins import plain_constants, write_stand_ins
from codae_l1.hls.hls4ml.backends import Backend
from codae_l1.hls.target.compiler import call_logged
from codae_l1.hls.target.config import HlsConfig

# Name of the project and of its top function.
TOP = "codae"
LOG = "hls4ml.log"
_EXPORTED = ("predict_batch", "set_weights", "allocate_trace_storage", "free_trace_storage", "collect_trace_output")
# One call for many events; hls4ml's own bridge takes one. Weights that are no part of the code are read at run time
# from the folder that set_weights names; Catapult's bridge has a variable of its own for it.
_BATCH = """#include "{top}_bridge.cpp"
#include <cstddef>
#include <string>
static std::string folder = "weights";
const char *codae_weights() {{ return folder.c_str(); }}
extern "C" void set_weights(const char *path) {{
    folder = path;
    {own}
}}
extern "C" void predict_batch(double *in, double *out, size_t n, size_t n_in, size_t n_out) {{
    for (size_t i = 0; i < n; i++) {top}_double(in + i * n_in, out + i * n_out);
}}
"""
_PREFIX = "const char *codae_weights();\n#define WEIGHTS_DIR codae_weights()\n"


def compile_emulation(compiler: str, folder: Path, backend: Backend, config: HlsConfig) -> str:
    """Compile the project's emulation; its library's path in the folder. ToolError where the compiler fails."""
    folder = folder.resolve()
    build = folder / "emulation"
    build.mkdir()
    source, includes = folder / backend.source, [folder / name for name in backend.includes]
    if backend.source != ".":
        # Intel's headers are stood in for, and a copy of the sources is made ready for a plain compiler.
        source = Path(shutil.copytree(source, build / "source"))
        plain_constants([*source.glob("firmware/weights/*.h"), *source.glob("firmware/nnet_utils/*_stream.h")])
        includes = [source, *write_stand_ins(build / "stand_in")]
    batch, prefix, exports = source / f"{TOP}_batch.cpp", build / "prefix.h", build / "exports.map"
    batch.write_text(_BATCH.format(top=TOP, own="s_weights_dir = path;" if backend.name == "Catapult" else ""))
    prefix.write_text(_PREFIX)
    exports.write_text(f"{{ global: {'; '.join(_EXPORTED)}; local: *; }};\n")

    def near(path: Path) -> str:
        """Relative to the project: the path of the temporary folder must not get into the library."""
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)

    flags = ["-O3", "-fPIC", "-std=c++17", "-w", "-include", near(prefix), *(f"-I{near(path)}" for path in includes)]

    def compile_one(path: Path) -> str:
        made = build / f"{path.stem}.o"
        _call(folder, config, compiler, *flags, "-c", near(path), "-o", near(made))
        return near(made)

    with children.threads(config.jobs) as pool:
        objects = list(pool.map(compile_one, (source / "firmware" / f"{TOP}.cpp", batch)))
    made = build / "libcodae_hls.so"
    _call(folder, config, compiler, "-shared", *objects, f"-Wl,--version-script={near(exports)}", "-o", near(made))
    if not made.is_file():
        raise ToolError(
            f"{compiler} made no {made.relative_to(folder)}",
            "a shared library",
            f"read the log {keep_log(folder / LOG)}",
        )
    named = folder / f"libcodae_hls-{hashlib.sha256(made.read_bytes()).hexdigest()[:12]}.so"
    made.rename(named)
    shutil.rmtree(build)
    build.mkdir()
    return str(named.rename(build / named.name).relative_to(folder))


def _call(folder: Path, config: HlsConfig, compiler: str, *arguments: str) -> None:
    call_logged([compiler, *arguments], folder, folder / LOG, config, compiler)
