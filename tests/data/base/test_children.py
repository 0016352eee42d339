"""Processes that a command starts: they end with it, whatever ends it, and their children with them."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import time

import pytest

from codae_l1.data.base import _children

# A shell, its child and a grandchild write their numbers into a file, and stay.
TREE = 'echo $$ >> "$0"; sh -c \'echo $$ >> "$0"; sleep 60 & echo $! >> "$0"; wait\' "$0"'
PARENT = """import sys
from codae_l1.data.base import _children
with _children.threads(2) as pool:
    list(pool.map(lambda name: _children.run(["sh", "-c", sys.argv[1], name], 60), sys.argv[2:]))
"""
WORKER = """import os, sys, time
from distributed import Client, LocalCluster
from codae_l1.data.base import _children

def busy(name):
    open(name, "w").write(str(os.getpid()) + "\\n")
    # As Pythia does, this keeps Python's lock.
    import ctypes
    ctypes.PyDLL(None).sleep(60)

if __name__ == "__main__":
    options = {"threads_per_worker": 1, "dashboard_address": None, "preload": [_children.PRELOAD]}
    with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as client:
        client.submit(busy, sys.argv[1]).result()
"""


def numbers(path, expected):
    """The processes that a file names, once it names so many."""
    for _ in range(200):
        found = [int(line) for line in path.read_text().split()] if path.exists() else []
        if len(found) == expected:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{path} holds {found}")


def lives(number):
    """Whether a process lives; one that ended and waits for its parent's look does not."""
    try:
        with open(f"/proc/{number}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def left(processes):
    """Which processes still live 5 s later."""
    for _ in range(100):
        if not any(map(lives, processes)):
            return []
        time.sleep(0.05)
    return [number for number in processes if lives(number)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_children_and_theirs_end_with_a_killed_parent(tmp_path, number):
    files = [tmp_path / "a", tmp_path / "b", tmp_path / "queued"]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, TREE, *files], stderr=subprocess.DEVNULL)
    running = [pid for file in files[:2] for pid in numbers(file, 3)]
    assert all(map(lives, running))
    parent.send_signal(number)
    parent.wait(5)
    assert left(running) == []
    assert not files[2].exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_worker_that_holds_the_lock_ends_with_its_killed_parent(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(WORKER)
    parent = subprocess.Popen([sys.executable, script, tmp_path / "worker"])
    running = numbers(tmp_path / "worker", 1)
    assert all(map(lives, running))
    parent.kill()
    parent.wait(5)
    assert left(running) == []


def test_status_signal_output_and_a_missing_program_are_as_of_subprocess(tmp_path):
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    done = _children.run(["sh", "-c", "pwd; echo no >&2; exit 3"], 10, cwd=tmp_path, **piped)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{tmp_path}\n", "no\n")
    assert _children.run(["sh", "-c", "kill -SEGV $$"], 10).returncode == -signal.SIGSEGV
    assert _children.run(["sh", "-c", "kill -9 $$"], 10).returncode == -signal.SIGKILL
    with pytest.raises(FileNotFoundError, match="No such file"):
        _children.run(["no-such-program"], 10)
    (tmp_path / "text").write_text("no program")
    with pytest.raises(PermissionError):
        _children.run([str(tmp_path / "text")], 10)


def test_too_long_ends_all_of_it_and_so_does_the_end_of_a_command_with_children(tmp_path):
    with pytest.raises(subprocess.TimeoutExpired):
        _children.run(["sh", "-c", TREE, tmp_path / "long"], 0.5)
    assert left(numbers(tmp_path / "long", 3)) == []
    assert _children.run(["sh", "-c", 'sleep 60 & echo $! > "$0"', tmp_path / "short"], 10).returncode == 0
    assert left(numbers(tmp_path / "short", 1)) == []


def test_an_error_in_one_ends_the_others_and_starts_none(tmp_path):
    started = []

    def wait(number):
        started.append(number)
        _children.run(["sleep", "60"], 60)

    def fail():
        with _children.threads(2) as pool:
            waiting.extend(pool.submit(wait, number) for number in range(4))
            while len(started) < 2:
                time.sleep(0.01)
            raise ValueError("first")

    waiting = []
    with pytest.raises(ValueError, match="first"):
        fail()
    assert sorted(started) == [0, 1]
    assert [isinstance(f.exception(), concurrent.futures.CancelledError) for f in waiting[:2]] == [True, True]
    assert all(future.cancelled() for future in waiting[2:])


def test_an_interrupt_waits_for_the_end_of_an_undisturbed_block():
    done = []

    def block():
        with _children.undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("whole")
        done.append("more")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["whole"]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
