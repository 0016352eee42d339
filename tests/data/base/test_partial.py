"""Where files are written before they are whole, and who may: leftovers of the dead go, the living are named."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import alone, scratch_folder, tidied, used_by, whole_file, whole_folder

# Says when it holds what the arguments name, and goes on until it is killed.
HOLDER = """import sys, time
from pathlib import Path
from codae_l1.data.base.files import alone, whole_file, whole_folder
with {"alone": alone, "file": whole_file, "folder": whole_folder}[sys.argv[1]](Path(sys.argv[2])):
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path):
    """Hold a path in another process; gives the process."""
    started = []

    def call(kind, path):
        process = subprocess.Popen([sys.executable, "-c", HOLDER, kind, path], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "holds\n"
        return process

    yield call
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_folder_in_use_is_refused_by_its_process_command_and_time(hold, tmp_path):
    holder = hold("alone", tmp_path)
    day = re.escape(time.strftime("%Y-%m-%d "))
    words = rf"{tmp_path} is in use .*\(process {holder.pid} on .*python.*, since {day}[\d:]{{8}}\); .*wait for it"
    with pytest.raises(InputError, match=words), alone(tmp_path):
        pass
    assert re.fullmatch(rf"(?s)process {holder.pid} on .*python.*, since {day}[\d:]{{8}}", used_by(tmp_path))
    # A dead process holds nothing; the file that it left is taken over, and goes in the end.
    holder.kill()
    holder.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert used_by(tmp_path) == ""
    with alone(tmp_path), alone(tmp_path):
        assert used_by(tmp_path) == ""
        assert f"process {os.getpid()} " in (tmp_path / ".lock").read_text()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_holder_leaves_nothing(hold, tmp_path):
    holder = hold("alone", tmp_path)
    holder.send_signal(signal.SIGINT)
    holder.wait()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "write"), [("file", whole_file), ("folder", whole_folder)])
def test_a_target_that_another_process_writes_is_refused_and_a_dead_ones_leftovers_go(hold, tmp_path, kind, write):
    target, other = tmp_path / "out.h5", tmp_path / "out.h5~1"
    holder = hold(kind, target)
    with pytest.raises(InputError, match=rf"out.h5 is being written by another command \(process {holder.pid} on "):
        write(target).__enter__()
    with write(other):
        pass
    assert len(list(tmp_path.iterdir())) == 2
    tidied(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    holder.kill()
    holder.wait()
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == [".", "o"]
    with write(target):
        pass
    assert sorted(tmp_path.iterdir()) == [target, other]


def test_what_the_dead_left_in_a_folder_goes_and_other_hidden_files_stay(hold, tmp_path):
    for name in ("a.h5", "b"):
        holder = hold("file", tmp_path / name)
        holder.kill()
        holder.wait()
    (tmp_path / ".mine.partial").mkdir()
    assert len(list(tmp_path.iterdir())) == 3
    tidied(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine.partial"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"none could not be written \(No such file or directory\)"):
        alone(tmp_path / "none").__enter__()


def test_what_the_dead_left_among_the_temporary_folders_goes(hold, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    holder = hold("folder", tmp_path / "codae-l1")
    with scratch_folder() as first, scratch_folder() as second:
        assert len({first, second}) == 2
        assert len(list(tmp_path.iterdir())) == 3
    holder.kill()
    holder.wait()
    assert len(list(tmp_path.iterdir())) == 1
    with scratch_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []
