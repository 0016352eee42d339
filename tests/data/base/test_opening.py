"""Files that are damaged or of another kind: each is one line that names the file."""

import io
import json
import zipfile

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import (
    opened_hdf5,
    parse_json,
    parse_table,
    read_array,
    read_arrays,
    read_json,
    read_member,
    read_toml,
)


def archive(path):
    np.savez_compressed(path, a=np.arange(500.0), b=np.arange(3))
    return path.read_bytes()


def read_hdf5(path):
    with opened_hdf5(path, "HDF5") as file:
        return np.asarray(file["a"])


READERS = {
    "x.npz": lambda path: read_arrays(path, "arrays"),
    "x.npy": lambda path: read_array(path, "an array"),
    "x.zip": lambda path: read_member(path, "a.npy", "a member"),
    "x.json": read_json,
    "x.toml": read_toml,
    "x.h5": read_hdf5,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "content", [b"", b"PK half", b"\x93NUMPY\x01\x00\xff\xff{", b"\x89HDF\r\n\x1a\n", b"\xff\xfe\x00"]
)
def test_what_is_no_file_of_its_kind_is_named(tmp_path, name, content):
    if (name, content) == ("x.toml", b""):
        return
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} (cannot be read|is)"):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("other", ["none", "x" * 300, "folder", "low\0name"])
def test_paths_that_are_no_file_are_named(tmp_path, name, other):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"(does not exist|is a folder|cannot be read)"):
        READERS[name](tmp_path / other)


def test_every_flipped_byte_of_an_archive_is_seen_or_harmless(tmp_path):
    path = tmp_path / "x.npz"
    whole, named = archive(path), 0
    good = read_arrays(path, "arrays")
    for position in range(0, len(whole), 7):
        content = bytearray(whole)
        content[position] ^= 0xFF
        path.write_bytes(bytes(content))
        try:
            found = read_arrays(path, "arrays", keys=("a", "b"))
        except InputError:
            named += 1
        else:
            assert all(np.array_equal(found[name], good[name]) for name in good)
    assert named > len(whole) // 14


def test_an_array_that_would_not_fit_into_memory_is_named(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (1 << 60,)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("a.npy", head.getvalue())
    with pytest.raises(InputError, match=r"x\.npz cannot be read"):
        read_arrays(tmp_path / "x.npz", "arrays")


def test_a_member_that_is_no_array_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("a.npy", b"text")
    with pytest.raises(InputError, match=r"x\.npz"):
        read_arrays(tmp_path / "x.npz", "arrays")


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "1e999", "9" * 5000, "[" * 100_000, "{", '{"a": 1} x', "\xff".encode("latin-1")]
)
def test_json_that_is_no_table_of_finite_numbers_is_named(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"x\.json is not JSON \("):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("content", [[], 3, None, "text", {"b": 1}])
def test_a_table_without_its_keys_is_named(content):
    with pytest.raises(InputError, match=r"x without a.*; expected a JSON table with a"):
        parse_table(json.dumps(content), "x", ("a",))
    assert parse_json(json.dumps(content), "x") == content


@pytest.mark.parametrize(("folder", "found"), [(True, "is a folder"), (False, "does not exist")])
def test_a_folder_in_the_place_of_a_file_is_said_to_be_one(tmp_path, folder, found):
    path = tmp_path / "events.h5"
    if folder:
        path.mkdir()
    with (
        pytest.raises(InputError, match=rf"events\.h5 {found}; expected events; correct the path"),
        opened_hdf5(path, "events"),
    ):
        pass


def test_a_message_is_one_line_of_at_most_500_characters():
    for error in (InputError("x" * 9000, "y" * 9000, "z" * 9000), InputError("a\n\nb", "c\r\nd", "e" * 3000)):
        assert len(str(error)) == 500
        assert "\n" not in str(error)
    assert str(InputError("events", "more\nof them", "wait")) == "events; expected more | of them; wait"
