"""An interrupt that arrives while HDF5 calls back ends the command, after the call."""

import signal
import sys

import numpy as np
import pytest

from codae_l1.data.base import files
from codae_l1.data.base.children import undisturbed


@pytest.fixture(autouse=True)
def interrupts_are_taken():
    """Ctrl-C as in a terminal; what a shell starts in its background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_at(function):
    """Have the next call of a function begin with Ctrl-C."""

    def seen(frame, event, argument):
        if event == "call" and frame.f_code is function.__code__:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    sys.setprofile(seen)


def packed(file, name):
    """A dataset whose one chunk stays in memory until the dataset is closed, or the file flushed."""
    return file.create_dataset(name, data=np.arange(4000.0), chunks=(4000,), compression="gzip")


def close(file, dataset):
    del dataset


def flush(file, dataset):
    file.flush()


def leave(file, dataset):
    """Closed with the file, at the end of the block."""


def write(path, step, reached):
    """Two datasets, and between them a step that notes what it reaches."""
    with files.new_hdf5(path) as file:
        packed(file, "x")
        step(file, reached)
        packed(file, "y")
        reached.append("y")


@pytest.mark.parametrize("step", [close, flush, leave])
@pytest.mark.parametrize("function", [files._Target.write, files._Target.seek])
def test_an_interrupt_within_a_write_of_hdf5_ends_the_block(step, function, tmp_path, capsys):
    def interrupted(file, reached):
        datasets = [packed(file, "z")]
        interrupt_at(function)
        step(file, datasets.pop())

    reached = []
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "s.h5", interrupted, reached)
    assert sys.getprofile() is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert list(tmp_path.iterdir()) == []
    # HDF5 and Python say nothing of an exception that they pass over.
    assert capsys.readouterr().err == ""
    assert step is leave or not reached


def test_an_interrupt_between_the_writes_ends_the_block_at_once(tmp_path):
    def interrupted(file, reached):
        signal.raise_signal(signal.SIGINT)
        reached.append("more")

    reached = []
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "s.h5", interrupted, reached)
    assert reached == []
    assert list(tmp_path.iterdir()) == []


def test_what_waits_for_its_end_within_the_block_still_does(tmp_path):
    def interrupted(file, reached):
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            reached.append("whole")
        reached.append("more")

    reached = []
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "s.h5", interrupted, reached)
    assert reached == ["whole"]
