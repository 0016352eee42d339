"""Runs a vendor tool in a folder, follows its output line by line into a log, and stops it with all its children."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from codae_l1.data.base import children
from codae_l1.data.base.errors import ToolError
from codae_l1.data.base.logs import tail

# Seconds between two looks at the log of a running tool that is followed.
_LOOK_S = 0.2
# How vendor tools begin the line that says what went wrong.
_ERROR = re.compile(r"^\s*(@E|ERROR|FATAL)\b.*", re.MULTILINE)
# hls4ml's build_prj.tcl catches the error of an option that Vitis HLS does not know, and goes on: Vitis HLS 2023.2 to
# 2025.2 name the option and its value in a line each, 2020.2 the command.
_CAUGHT = re.compile(
    r"config_array_partition: Unknown option '(-maximum_size|\d+)'"
    r"|'config_array_partition -maximum_size' command is not supported"
)


def on_path(*names: str) -> tuple[str, str]:
    """(name, place) of the first of the programs that is on PATH; ToolError where none is.

    >>> on_path("none")
    Traceback (most recent call last):
        ...
    codae_l1.data.base.errors.ToolError: none not on PATH; expected the vendor's tools; source their settings64.sh
    """
    for name in names:
        place = shutil.which(name)
        if place:
            return name, place
    raise ToolError(f"{', '.join(names)} not on PATH", "the vendor's tools", "source their settings64.sh")


def run_tool(
    command: tuple[str, ...],
    folder: Path,
    log: Path,
    timeout_s: float,
    reports: tuple[Path, ...],
    follow: Callable[[str], None] | None = None,
    lock: IO[str] | None = None,
    limit: str = "hls.tool_timeout_s",
    label: str = "",
) -> None:
    """Run `command` in `folder`, output into `log`; it has to end well and to leave the files `reports`.

    follow: takes each line of the output as it comes. lock: an open file (see `locked`) that the tool holds, too.
    limit: what the user calls timeout_s. label: what errors call the tool. Reports of an earlier run are removed first.
    Raises ToolError with the tool's first error line, or the end of the log, and the log's place.
    """
    name = label or Path(command[0]).name
    for report in reports:
        report.unlink(missing_ok=True)
    ending = _run(command, folder, log, timeout_s, follow, lock)
    if ending is None:
        ending = f"took longer than {limit} = {timeout_s:g}"
    missing = [str(report.relative_to(folder)) for report in reports if not report.is_file()]
    if not ending and missing:
        ending = f"ended without its report {', '.join(missing)}"
    if ending:
        said, remedy = what_went_wrong(log)
        raise ToolError(f"{name} {ending}: {said}", "a run with its report", remedy)


def what_went_wrong(log: Path) -> tuple[str, str]:
    """(the first error line of a log that ended something, or the log's end; what to do, with the log's place)."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    found = next((match for match in _ERROR.finditer(text) if not _CAUGHT.search(match.group())), None)
    said = found.group().strip()[:400] if found else _end_of(log, text)
    line = f", line {text[: found.start()].count(chr(10)) + 1}" if found else ""
    remedy = f"read the log {log}{line}"
    if re.search("licen[cs]e", said, re.IGNORECASE):
        remedy = f"give the tool its licence (XILINXD_LICENSE_FILE or LM_LICENSE_FILE), {remedy}"
    elif re.search(r"no space left|out of memory|bad_alloc", text, re.IGNORECASE):
        remedy = f"give it more disk or memory, {remedy}"
    return said, remedy


def _end_of(log: Path, text: str) -> str:
    """The last lines of a log, without errors that were caught: they did not end it."""
    if not text.strip():
        return tail(log)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _CAUGHT.search(line)]
    return " | ".join(lines[-3:])[-400:] or "no line but errors that hls4ml's script catches"


def _run(
    command: tuple[str, ...],
    folder: Path,
    log: Path,
    timeout_s: float,
    follow: Callable[[str], None] | None,
    lock: IO[str] | None,
) -> str | None:
    """How the tool ended, empty where it ended well, None where it took too long."""
    with open(log, "w") as handle:
        held = (lock.fileno(),) if lock else ()
        # Vendor programs are shell scripts around others: all of them are stopped.
        output = {"stdout": handle, "stderr": subprocess.STDOUT}
        try:
            with children.child(command, held, cwd=folder, **output) as process:
                status = _wait(process, log, timeout_s, follow)
        except OSError as error:
            return f"could not be started ({error.strerror})"
    if status is None:
        return None
    return f"ended with status {status}" if status else ""


def _wait(
    process: subprocess.Popen[bytes], log: Path, timeout_s: float, follow: Callable[[str], None] | None
) -> int | None:
    """The status of a process, None where it runs longer than timeout_s; its lines go to `follow` as they come."""
    end = time.monotonic() + timeout_s
    with open(log, errors="replace") as output:
        while True:
            left = end - time.monotonic()
            try:
                status = process.wait(max(0.0, left if follow is None else min(left, _LOOK_S)))
            except subprocess.TimeoutExpired:
                status = None
            _pass_on(output, follow, last=status is not None)
            if status is not None or time.monotonic() >= end:
                return status


def _pass_on(output: IO[str], follow: Callable[[str], None] | None, last: bool) -> None:
    """Give the lines written since the last look; a line without its end waits, unless nothing more will come."""
    while follow is not None:
        place = output.tell()
        line = output.readline()
        if not line or not (line.endswith("\n") or last):
            output.seek(place)
            return
        follow(line.rstrip("\n"))
