"""Folders written whole: what is never deleted, and what a killed writer leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import replaceable, whole_file, whole_folder

OLD = {"kept.txt": "old"}
# Writes a new folder and is killed right after the old one was put aside.
KILLED = """import os, sys
from pathlib import Path
from codae_l1.data.base.files import whole_folder
rename = Path.rename
Path.rename = lambda self, to: os._exit(9) if self.suffix == ".partial" else rename(self, to)
with whole_folder(sys.argv[1]) as folder:
    (folder / "kept.txt").write_text("new")
"""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "parent" / "out"
    made.mkdir(parents=True)
    (made / "kept.txt").write_text("old")
    return made


def write(path, **options):
    with whole_folder(path, **options) as temporary:
        (temporary / "new.txt").write_text("new")


def texts(path):
    return {entry.name: entry.read_text() for entry in path.iterdir()}


def test_a_folder_is_replaced_as_a_whole(folder):
    write(folder)
    assert texts(folder) == {"new.txt": "new"}
    assert list(folder.parent.iterdir()) == [folder]
    write(folder.parent / "deeper" / "new")
    assert texts(folder.parent / "deeper" / "new") == {"new.txt": "new"}


def test_the_current_folder_and_those_above_it_are_refused(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name, words in ((".", "is the current folder"), ("..", "is above the current folder"), ("/", "is above")):
        with pytest.raises(InputError, match=rf"{words}.* would be replaced as a whole; .*name a new folder in it"):
            write(name)
    assert texts(folder) == OLD


def test_the_home_folder_and_those_above_it_are_refused(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    for path, words in ((folder, "is the home folder"), (folder.parent, "is above the home folder")):
        with pytest.raises(InputError, match=words):
            write(path)
    assert texts(folder) == OLD
    write(folder / "inside")


def test_a_folder_of_somebody_else_is_refused_by_its_files(folder):
    with pytest.raises(
        InputError, match=r"out holds other files \(kept.txt\).*\(with a.json or b.json\); choose another folder"
    ):
        write(folder, ours=("a.json", "b.json"))
    assert texts(folder) == OLD
    assert list(folder.parent.iterdir()) == [folder]
    (folder / "b.json").write_text("{}")
    write(folder, ours=("a.json", "b.json"))
    assert texts(folder) == {"new.txt": "new"}
    (folder / "new.txt").unlink()
    assert replaceable(folder, ("a.json",)) == folder
    assert replaceable(folder.parent / "new", ("a.json",)) == folder.parent / "new"


def test_a_file_is_refused(folder):
    with pytest.raises(InputError, match=r"kept.txt is a file; expected a folder to write"):
        write(folder / "kept.txt")
    assert texts(folder) == OLD


def test_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(InputError, match=f"{name} is neither a file nor a folder"), whole_file(tmp_path / name):
            raise AssertionError("the block is not to be run")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


def test_a_link_is_followed(folder):
    link = folder.parent / "link"
    link.symlink_to(folder)
    write(link)
    assert link.is_symlink()
    assert texts(folder) == {"new.txt": "new"}


def test_a_block_that_fails_leaves_the_old_folder(folder):
    with pytest.raises(ZeroDivisionError), whole_folder(folder):
        raise ZeroDivisionError
    assert texts(folder) == OLD
    assert list(folder.parent.iterdir()) == [folder]


def test_a_kill_between_the_two_renames_loses_nothing(folder):
    assert subprocess.run([sys.executable, "-c", KILLED, folder]).returncode == 9
    assert sorted(path.suffix for path in folder.parent.iterdir()) == [".partial", ".replaced"]
    # A call that fails later on has put the old folder back.
    with pytest.raises(ZeroDivisionError), whole_folder(folder):
        raise ZeroDivisionError
    assert texts(folder) == OLD
    assert list(folder.parent.iterdir()) == [folder]


def test_an_interrupt_between_the_two_renames_puts_the_old_folder_back(folder, monkeypatch):
    rename = Path.rename

    def interrupted(self, to):
        if self.suffix == ".partial":
            raise KeyboardInterrupt
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(folder)
    assert texts(folder) == OLD
    assert list(folder.parent.iterdir()) == [folder]


def test_leftovers_are_removed_unless_somebody_writes_them_or_they_are_of_another(folder):
    for name in (".out-abcdefgh.partial", ".out-abcdefgh.replaced"):
        (folder.parent / name).mkdir()
    others = [folder.parent / name for name in (".out-2-abcdefgh.partial", ".out-settings", "out-1.partial")]
    for other in others:
        other.mkdir()
    with whole_folder(folder) as first:
        write(folder)
        assert sorted(folder.parent.iterdir()) == sorted([folder, first, *others])
    assert texts(folder) == {}
    assert sorted(folder.parent.iterdir()) == sorted([folder, *others])


@pytest.mark.parametrize("write", [whole_file, whole_folder])
def test_a_block_that_fails_leaves_none_of_the_folders_that_it_made(tmp_path, write):
    (tmp_path / "there").mkdir()
    with pytest.raises(KeyError), write(tmp_path / "there" / "new" / "below" / "out"):
        raise KeyError
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    assert list((tmp_path / "there").iterdir()) == []
