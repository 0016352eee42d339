"""What our own HDF5 files say of themselves: altered, or of another form, they are refused when they are opened."""

import json
import shutil

import h5py
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import unweighted
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.sample import SAMPLE


@pytest.fixture
def stored(tmp_path):
    images = np.zeros((6, 72, 58, 3), np.float32)
    images[:, 3, 4] = 2.5
    write_events(tmp_path / "events.h5", unweighted(images, np.full(6, "qcd"), np.ones(6), {"cross_section_pb": 1e9}))
    return tmp_path / "events.h5"


def test_a_cross_section_that_was_edited_is_refused(stored):
    with h5py.File(stored, "r+") as file:
        file.attrs["provenance"] = json.dumps({"cross_section_pb": {"qcd": 1e10}})
    with pytest.raises(InputError, match=r"the provenance of .* was changed after it was written"):
        EventFile(stored)


def test_the_provenance_of_the_shipped_events_is_known(tmp_path):
    """Their file is of a version without a sum of the header."""
    path = tmp_path / "sample.h5"
    shutil.copy(SAMPLE, path)
    with h5py.File(path, "r+") as file:
        file.attrs["provenance"] = str(file.attrs["provenance"]).replace("1", "2", 1)
    with pytest.raises(InputError, match=r"the provenance of .*sample.h5 was changed"):
        EventFile(path)


@pytest.mark.parametrize("name", ["weight", "tracks/count", "ecal/gap"])
def test_columns_of_another_rank_or_kind_are_named(stored, name):
    for changed in (lambda x: x[:, None], lambda x: x.astype("S8"), lambda x: x.astype([("a", x.dtype)])):
        with h5py.File(stored, "r+") as file:
            content = file[name][()]
            del file[name]
            file[name] = changed(content.view(content.dtype[0]) if content.dtype.names else content)
        with pytest.raises(InputError, match=rf"truncated or corrupted \({name} of shape .*expected one column"):
            EventFile(stored)
        with h5py.File(stored, "r+") as file:
            del file[name]
            file[name] = content
