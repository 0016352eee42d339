"""What our own HDF5 files say of themselves: altered, or of another form, they are refused when they are opened."""

import hashlib
import json
import shutil

import h5py
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import CHANNELS
from codae_l1.data.events import unweighted
from codae_l1.data.formats import event_slices
from codae_l1.data.formats.arrays import write_arrays
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.formats.tables import write_jets, write_objects
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


def one_event():
    return np.zeros((1, 72, 58, 3), np.float32), np.full(1, "qcd"), np.zeros(1)


def test_numbers_of_numpy_are_stored_as_pythons(tmp_path):
    given = {"a": np.float32(0.5), "b": {"c": [np.int64(3), np.bool_(True)], "d": np.arange(2)}, "e": (None, "f")}
    kept = {"a": 0.5, "b": {"c": [3, True], "d": [0, 1]}, "e": [None, "f"]}
    write_events(tmp_path / "events.h5", unweighted(*one_event(), given))
    with EventFile(tmp_path / "events.h5") as file:
        assert file.provenance == kept
    for name, write in (("arrays.h5", write_arrays), ("jets.h5", write_jets), ("objects.h5", write_objects)):
        write(tmp_path / name, [{"x": np.zeros(1)}] if write is write_arrays else [], given)
        with h5py.File(tmp_path / name) as file:
            assert json.loads(file.attrs["provenance"]) == kept


@pytest.mark.parametrize(
    ("provenance", "words"),
    [
        ({"a": {"b": float("nan")}}, r"provenance.a.b = nan of type float; expected what JSON holds"),
        ({"a": [1.0, np.float32("inf")]}, r"provenance.a\[1\] = inf of type float"),
        ({"a": {1, 2}}, r"provenance.a of type set"),
        ({"a": b"x"}, r"provenance.a of type bytes"),
        ({"a": np.complex64(1)}, r"provenance.a of type complex"),
        ({"a": 10**5000}, r"provenance.a of type int"),
        ({"a": {(1, 2): 3}}, r"provenance.a of type dict"),
    ],
)
def test_what_json_does_not_hold_is_named_by_its_key(tmp_path, provenance, words):
    with pytest.raises(InputError, match=words):
        write_events(tmp_path / "events.h5", unweighted(*one_event(), provenance))
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize(("name", "value"), [("n_tracks", 2**40), ("pileup_block", 2**31)])
def test_a_column_that_its_type_does_not_hold_is_refused(stored, name, value):
    """Under a sum that is right, as other programs may write it."""
    streams = [f"{channel}/{stream}" for channel in CHANNELS for stream in ("count", "gap", "energy")]
    with h5py.File(stored, "r+") as file:
        column = file[name][:].astype(np.int64)
        column[4] = value
        del file[name], file.attrs["header_checksum"]
        file[name] = column
        sums = [
            hashlib.sha256(file[n][:].tobytes()).digest()
            for n in ("signal", "n_tracks", "weight", "pileup_block", *streams)
        ]
        # Version 1 has no sum of the header.
        file.attrs.update({"version": 1, "checksum": hashlib.sha256(b"".join(sums)).hexdigest()})
    with EventFile(stored) as file:
        file.verify()
        with pytest.raises(InputError, match=rf"events.h5: {name} = {value}; expected whole numbers from -2147483648"):
            file.read()
    with pytest.raises(InputError, match=rf"{name} = {value}"):
        next(event_slices(stored))
