"""A vendor tool run in a folder, its output in a log, stopped with all its children when it takes too long."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from codae_l1.data.errors import ToolError
from codae_l1.hls.folders import tail


def run_tool(command: tuple[str, ...], folder: Path, log: Path, timeout_s: float, reports: tuple[Path, ...]) -> None:
    """Run `command` in `folder`, output into `log`; it has to end well and to leave the files `reports`.

    Reports of an earlier run are removed first. Raises ToolError with the end of the log otherwise.
    """
    name = command[0]
    for report in reports:
        report.unlink(missing_ok=True)
    ending = _run(command, folder, log, timeout_s)
    missing = [str(report.relative_to(folder)) for report in reports if not report.is_file()]
    if not ending and missing:
        ending = f"ended without its report {', '.join(missing)}"
    if ending:
        raise ToolError(
            f"{name} {ending}: {tail(log)}", "a synthesis with its report", f"read the log {log}, check its licence"
        )


def _run(command: tuple[str, ...], folder: Path, log: Path, timeout_s: float) -> str:
    """How the tool ended, empty where it ended well."""
    with open(log, "w") as handle:
        try:
            # Vendor programs are shell scripts around others: a session of its own lets all of them be stopped.
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"could not be started ({error.strerror})"
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"took longer than hls.tool_timeout_s = {timeout_s:g}"
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return f"ended with status {status}" if status else ""
