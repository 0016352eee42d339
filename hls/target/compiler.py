"""Outside programs that compile: the C++ compiler, a call that keeps its log, and what was compiled, loaded."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from codae_l1.data.base import children
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.logs import keep_log, tail
from codae_l1.hls.target.config import HlsConfig


def load_library(path: Path, remedy: str, functions: Sequence[str] = ()) -> ctypes.CDLL:
    """Open a shared library that has these functions; any other, and one that is cut short, is an InputError."""
    head = path.read_bytes()[:64]
    # ELF of 64 bits: the section headers (offset, size, number) end the file. Loading a cut one would kill the process.
    offset, size, number = (int.from_bytes(head[i:j], "little") for i, j in ((40, 48), (58, 60), (60, 62)))
    try:
        if head[:5] == b"\x7fELF\x02" and path.stat().st_size < offset + size * number:
            raise OSError("cut short")
        library = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise InputError(f"{path} cannot be loaded ({error})", "a shared library of this machine", remedy) from error
    missing = [name for name in functions if not hasattr(library, name)]
    if missing:
        raise InputError(f"{path} without the function {missing[0]}", "the library that was made there", remedy)
    return library


def find_compiler() -> str:
    """The C++ compiler: $CXX, or g++, or clang++; ToolError with the remedy where there is none."""
    names = (os.environ.get("CXX"), "g++", "clang++")
    for name in names:
        if name and shutil.which(name):
            return name
    raise ToolError(
        "no C++ compiler on PATH", "g++ or clang++ with C++17", "install one, e.g. apt-get install g++ (or set CXX)"
    )


def call_logged(
    command: list[str], folder: Path, log: Path, config: HlsConfig, tool: str, environment: dict[str, str] | None = None
) -> None:
    """Run a command in `folder`, its output at the end of `log`; ToolError with the log's end where it fails."""
    log = log.resolve()
    with open(log, "a") as handle:
        print("+", *command, file=handle, flush=True)
        try:
            output = {"stdout": handle, "stderr": subprocess.STDOUT}
            status = children.run(command, config.tool_timeout_s, cwd=folder, env=environment, **output).returncode
            ending = f"ended with status {status}"
        except subprocess.TimeoutExpired:
            status, ending = -1, f"took longer than hls.tool_timeout_s = {config.tool_timeout_s:g}"
        except OSError as error:
            status, ending = -1, f"could not be started ({error})"
    if status != 0:
        kept = keep_log(log)
        raise ToolError(f"{tool} {ending}: {tail(log)}", "a clean build", f"read the log {kept}")
