"""Files of crossings: which processes they may hold."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.crossing_file import COLUMNS, CrossingFile, write_crossings


def write(path, *processes):
    n = len(processes)
    part = {name: np.zeros(n) for name in COLUMNS} | {"process": np.array(processes), "vertex_lost": np.zeros(n, bool)}
    part |= {name: np.zeros(n, "i4") for name in ("split", "stratum", "collisions", "n_tracks")}
    write_crossings(path, [part | {"members": np.full((n, 6), -1, "i4")}], {})
    return path


def test_known_processes_are_read(tmp_path):
    names = ("zero_bias", "qcd", "w", "z", "top", "h125", "svj2100")
    assert CrossingFile(write(tmp_path / "c.h5", *names)).process.tolist() == list(names)


@pytest.mark.parametrize("name", ["text", "", "H125"])
def test_other_processes_are_named(tmp_path, name):
    path = write(tmp_path / "c.h5", "zero_bias", name)
    with pytest.raises(
        InputError, match=rf"c.h5 with the process '{name}'; expected one of qcd, zero_bias, h125, .*, w, "
    ):
        CrossingFile(path)
