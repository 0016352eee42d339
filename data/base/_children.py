"""Processes that a command starts end with it: at its end, on Ctrl-C, TERM and HUP, and when it is killed (-9).

Each runs under a small supervisor (data/base/_supervisor.py), which holds one end of a pipe and kills the process with
all its children once the other end, held here, is closed: by this module, or by the kernel when this process is gone.
Processes that Dask starts ask for the kernel's parent-death signal in its place (`PRELOAD`): Pythia holds Python's lock
for many seconds, during which nothing else in a worker can notice that its parent died.
"""

import concurrent.futures
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SUPERVISOR = str(Path(__file__).with_name("_supervisor.py"))
# What a worker of LocalCluster(preload=[PRELOAD]) runs first.
PRELOAD = "from codae_l1.data.base._children import end_with_parent; end_with_parent()"
# prctl(2)'s PR_SET_PDEATHSIG, and SIGKILL.
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


class _Started:
    """The processes that the threads of a pool have started and that still run."""

    def __init__(self):
        self._lock, self._running, self.stopped = threading.Lock(), set(), False

    def add(self, process: "subprocess.Popen[Any]") -> None:
        with self._lock:
            self._running.add(process)
        if self.stopped:
            process.terminate()

    def remove(self, process: "subprocess.Popen[Any]") -> None:
        with self._lock:
            self._running.discard(process)

    def stop(self) -> None:
        """End them all, and those that are started from now on."""
        self.stopped = True
        with self._lock:
            for process in self._running:
                process.terminate()


# Of a pool's threads: their pool's processes.
_OF_THREAD = threading.local()


@contextmanager
def threads(number: int) -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """A pool of threads that call `run`. If the block fails or is interrupted, what they run is ended at once, and what
    waits in the queue never starts."""
    started = _Started()
    pool = concurrent.futures.ThreadPoolExecutor(number, initializer=setattr, initargs=(_OF_THREAD, "started", started))
    try:
        yield pool
    except BaseException:
        started.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown(wait=True)


@contextmanager
def child(command: Sequence[str], pass_fds: tuple[int, ...] = (), **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """A running command, in a session of its own; with the block it ends, and its children with it.

    options: those of subprocess.Popen, cwd, env and where its output goes; its input is empty. Raises OSError where
    there is no such program.
    """
    started: _Started | None = getattr(_OF_THREAD, "started", None)
    _require_program(command[0], options.get("cwd"), options.get("env"))
    read, write = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, write)
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", _SUPERVISOR, str(read), *command],
                stdin=subprocess.DEVNULL,
                pass_fds=(read, *pass_fds),
                start_new_session=True,
                **options,
            )
        finally:
            os.close(read)
        # After the pipe is closed, which ends what still runs.
        end = stack.pop_all()
        try:
            if started is not None:
                started.add(process)
            yield process
        finally:
            end.close()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            if started is not None:
                started.remove(process)


def run(command: Sequence[str], timeout_s: float | None, **options: Any) -> "subprocess.CompletedProcess[Any]":
    """Run a command as `child` does and wait for it: its returncode, stdout and stderr as of subprocess.run.

    options: those of subprocess.Popen. Raises subprocess.TimeoutExpired after timeout_s seconds, OSError where there is
    no such program, and concurrent.futures.CancelledError where its pool was stopped meanwhile.
    """
    with child(command, **options) as process:
        out, error = process.communicate(timeout=timeout_s)
    if getattr(getattr(_OF_THREAD, "started", None), "stopped", False):
        raise concurrent.futures.CancelledError
    return subprocess.CompletedProcess(list(command), process.returncode, out, error)


def _require_program(name: str, cwd: Any, env: Any) -> None:
    """OSError unless there is a program of that name, as subprocess would raise it."""
    path = os.path.join(cwd or "", name) if os.sep in name else name
    if shutil.which(path, path=(os.environ if env is None else env).get("PATH")) is None:
        missing = errno.ENOENT if os.sep not in name or not os.path.exists(path) else errno.EACCES
        raise OSError(missing, os.strerror(missing), name)


@contextmanager
def undisturbed() -> Iterator[None]:
    """A block that Ctrl-C and its like interrupt at its end, such as the start of Dask's processes, which cannot be
    left half-way."""
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    # Python takes signals in the main thread alone.
    main = threading.current_thread() is threading.main_thread()
    taken = [number for number in numbers if main and callable(before[number])]
    for number in taken:
        signal.signal(number, lambda number, frame: asked.append(number))
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
    if asked:
        signal.raise_signal(asked[0])


def end_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere do nothing."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
