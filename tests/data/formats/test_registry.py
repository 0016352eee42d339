"""The registry of input formats: each has tests, and no two formats have options of one name."""

import dataclasses

import h5py
import numpy as np
import pytest
from format_base import FormatTestBase

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats import FORMATS, format_of
from codae_l1.data.formats.arrays import write_arrays
from codae_l1.data.formats.crossing_file import COLUMNS, write_crossings


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
    says = r"crossings.h5 holds crossings, which are measured and without images; .*; name it in trigger.crossings"
    with pytest.raises(InputError, match=says):
        format_of(tmp_path / "crossings.h5")
    write_arrays(tmp_path / "arrays.h5", [{"x": np.zeros(2)}], {})
    with pytest.raises(InputError, match=r"arrays.h5 is HDF5 of another kind, 'codae-l1 arrays'; expected events"):
        format_of(tmp_path / "arrays.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match=r"other.h5 is HDF5 of another kind; expected events"):
        format_of(tmp_path / "other.h5")
