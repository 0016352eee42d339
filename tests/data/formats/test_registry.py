"""The registry of input formats: each has tests, and no two formats have options of one name."""

import dataclasses
import shutil

import h5py
import numpy as np
import pytest
from format_base import FormatTestBase

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import QCD, unweighted
from codae_l1.data.formats import FORMATS, format_of, read_events
from codae_l1.data.formats.arrays import write_arrays
from codae_l1.data.formats.crossing_file import COLUMNS, CrossingFile, write_crossings
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.sample import CROSSINGS


def test_names_and_options_are_those_of_one_format():
    names = [known.name for known in FORMATS]
    assert len(set(names)) == len(names)
    options = [field.name for known in FORMATS for field in dataclasses.fields(known.Options)]
    assert len(set(options)) == len(options)


def test_options_have_a_default_and_help():
    for known in FORMATS:
        for field in dataclasses.fields(known.Options):
            assert field.default is not dataclasses.MISSING
            assert field.metadata["help"]


def test_every_format_inherits_the_tests(request):
    """Test files that are collected alone see their own class only, so the sources are read."""
    written = "".join(path.read_text() for path in request.path.parent.glob("test_*.py"))
    for known in FORMATS:
        assert f'({FormatTestBase.__name__}):\n    name = "{known.name}"' in written, known.name


def test_hdf5_of_another_kind_says_which(tmp_path):
    write_crossings(tmp_path / "crossings.h5", [{name: np.ones(2) for name in COLUMNS}], {})
    says = r"crossings.h5 holds words of crossings, without images; .*; name it in trigger.crossings"
    with pytest.raises(InputError, match=says):
        format_of(tmp_path / "crossings.h5")
    write_arrays(tmp_path / "arrays.h5", [{"x": np.zeros(2)}], {})
    with pytest.raises(InputError, match=r"arrays.h5 is HDF5 of another kind, 'codae-l1 arrays'; expected events"):
        format_of(tmp_path / "arrays.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    for read in (format_of, read_events):
        with pytest.raises(InputError, match=r"other.h5 is HDF5 of another kind; expected events of codae-l1"):
            read(tmp_path / "other.h5")


def test_tracks_without_a_pixel_are_said_where_they_are_written_and_refused_where_they_are_read(tmp_path, caplog):
    images = np.ones((5, 72, 58, 3), np.float32)
    images[3, ..., 0] = 0
    write_events(tmp_path / "e.h5", unweighted(images, np.full(5, QCD), np.full(5, 9), {}))
    assert "1 events with a weight that is not finite, or wrong n_tracks or pileup_block, which no" in caplog.text
    with EventFile(tmp_path / "e.h5") as file:
        assert len(file.read(0, 3)) == 3
        with pytest.raises(
            InputError, match=r"e.h5: images in 1 of 2 events contradict n_tracks: event 3 has n_tracks"
        ):
            file.read(2, 4)


def test_names_that_are_no_text_are_one_line(tmp_path):
    shutil.copy(CROSSINGS, tmp_path / "crossings.h5")
    with h5py.File(tmp_path / "crossings.h5", "r+") as file:
        file["process"][1] = b"h1\x9c5"
    with pytest.raises(InputError, match=r"crossings.h5 is damaged \('ascii' codec can't decode byte 0x9c in"):
        CrossingFile(tmp_path / "crossings.h5")
    write_events(tmp_path / "e.h5", unweighted(np.ones((2, 72, 58, 3), np.float32), np.full(2, QCD), np.full(2, 9), {}))
    with h5py.File(tmp_path / "e.h5", "r+") as file:
        file["signal"][1] = b"\x9ccd"
    with EventFile(tmp_path / "e.h5") as file:
        for read in (file.read, lambda: file.signal):
            with pytest.raises(InputError, match=r"e.h5 is damaged \('ascii' codec can't decode byte 0x9c in"):
                read()
