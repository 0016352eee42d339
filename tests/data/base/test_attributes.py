"""Attributes of HDF5 files: texts with a length, and those without one that older files have."""

import h5py
import numpy as np
import pytest

from codae_l1.data.base.files import new_hdf5, read_attribute, write_attributes
from codae_l1.data.formats.arrays import write_arrays
from codae_l1.data.formats.tables import write_jets, write_objects
from codae_l1.scripts.score import write_scores


def without_length(path):
    """Names of the texts among all attributes of a file that have no length."""
    found = []

    def look(name, place):
        kinds = {key: h5py.check_string_dtype(place.attrs.get_id(key).dtype) for key in place.attrs}
        found.extend(f"{name}.{key}" for key, kind in kinds.items() if kind and kind.length is None)

    with h5py.File(path) as file:
        look("/", file)
        file.visititems(look)
    return found


# The longest of all is provenance of many files, which has no room beside a dataset.
@pytest.mark.parametrize("text", ["pile-up", "µ = 5 ± 1 Ω", "a", "", "x" * 2**15, "x" * 70_000, "å" * 40_000])
def test_texts_come_back(tmp_path, text):
    with new_hdf5(tmp_path / "a.h5") as file:
        write_attributes(file, {"words": text, "number": 3, "shape": (72, 58)})
    with h5py.File(tmp_path / "a.h5") as file:
        assert read_attribute(file, "words") == text
        assert read_attribute(file, "number") == 3
        assert read_attribute(file, "shape").tolist() == [72, 58]
        assert read_attribute(file, "absent") is None
        assert read_attribute(file, "absent", "default") == "default"
    assert without_length(tmp_path / "a.h5") == (["/.words"] if not 0 < len(text.encode()) <= 2**15 else [])


def test_texts_of_older_files_and_bytes_that_are_no_text_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["older"] = "µ"
        file.attrs["bytes"] = np.bytes_(b"a\xff")
    with h5py.File(tmp_path / "a.h5") as file:
        assert read_attribute(file, "older") == "µ"
        assert read_attribute(file, "bytes").encode("utf-8", "surrogateescape") == b"a\xff"


def test_all_texts_of_our_files_have_a_length(tmp_path):
    made = {"source": "a test", "files": ["å.h5"]}
    write_arrays(tmp_path / "arrays.h5", [{"x": np.zeros(2)}], made)
    write_objects(tmp_path / "objects.h5", [np.zeros((2, 19, 4))], made)
    write_jets(tmp_path / "jets.h5", [(np.zeros((2, 200, 4)), np.zeros((2, 4)), np.zeros(2, int))], made)
    with write_scores(tmp_path / "scores.h5", ["a line"]):
        pass
    assert {path.name: without_length(path) for path in tmp_path.iterdir()} == {
        name: [] for name in ("arrays.h5", "objects.h5", "jets.h5", "scores.h5")
    }
