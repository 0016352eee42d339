"""Typed configuration and whole files: errors name the dotted path; nothing half-written stays."""

import dataclasses
import errno
from typing import Literal

import pytest

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, whole_file, write_json


@dataclasses.dataclass(frozen=True)
class Inner:
    bits: int = 4
    mode: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = Inner()
    rate: float = 0.5
    on: bool = False
    table: dict[str, Inner] = dataclasses.field(default_factory=dict)
    extra: int | None = None


def test_round_trip():
    config = Outer("x", Inner(3, "b", (5,)), 1.0, True, {"conv": Inner(2)})
    assert parse(Outer, dump(config)) == config


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "key name is missing"),
        ({"name": "x", "colour": 1}, "unknown key colour; expected one of name, inner, rate"),
        ({"name": "x", "inner": {"bit": 1}}, "unknown key inner.bit; expected one of bits, mode, sizes"),
        ({"name": "x", "inner": {"bits": "4"}}, "inner.bits = '4' (str); expected int"),
        ({"name": "x", "inner": {"bits": True}}, "inner.bits = True (bool); expected int"),
        ({"name": "x", "inner": {"sizes": [1, "2"]}}, "inner.sizes[1] = '2' (str); expected int"),
        ({"name": "x", "inner": {"mode": "c"}}, "inner.mode = 'c'; expected one of 'a', 'b'"),
        ({"name": "x", "inner": 3}, "inner is 3; expected a table of Inner"),
        ({"name": "x", "rate": "fast"}, "rate = 'fast' (str); expected float"),
        ({"name": "x", "table": {"conv": {"bitz": 1}}}, "unknown key table.conv.bitz"),
        ({"name": "x", "extra": "1"}, "extra = '1' (str); expected int"),
    ],
)
def test_errors_name_the_dotted_path(table, words):
    with pytest.raises(InputError) as error:
        parse(Outer, table)
    assert words in str(error.value)


def test_full_disk_leaves_nothing(tmp_path):
    target = tmp_path / "out.json"
    target.write_text("old")

    def half(path):
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match=r"out\.json could not be written \(No space left on device\)"):
        half(target)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_json_round_trip_and_errors(tmp_path):
    write_json(tmp_path / "a.json", {"x": [1, 2.5]})
    assert read_json(tmp_path / "a.json") == {"x": [1, 2.5]}
    with pytest.raises(InputError, match=r"b\.json does not exist"):
        read_json(tmp_path / "b.json")
    (tmp_path / "c.json").write_text('{"x": [1,')
    with pytest.raises(InputError, match=r"c\.json is not JSON"):
        read_json(tmp_path / "c.json")
