"""Typed configuration and whole files: errors name the dotted path; nothing half-written stays."""

import dataclasses
import errno
import re
from typing import ClassVar, Literal

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


@pytest.mark.parametrize(
    ("key", "value", "most"),
    [("seed", 2**31, "2,147,483,647"), ("epochs", 10**12, "1,000,000"), ("filters", (3, 10**9), "4,096")],
)
def test_numbers_beyond_what_can_be_made_are_refused(key, value, most):
    kind = dataclasses.make_dataclass("Table", [(key, tuple[int, ...] if isinstance(value, tuple) else int)])
    where = f"a.{key}[1]" if isinstance(value, tuple) else f"a.{key}"
    with pytest.raises(InputError, match=rf"{re.escape(where)} = \d+; expected at most {most}; correct it"):
        parse(kind, {key: value}, "a")


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


@dataclasses.dataclass(frozen=True)
class Sizes:
    width: int = 64
    depth: int = 8
    inner: Inner = Inner()
    PRESETS: ClassVar[dict] = {}
    REMOVED: ClassVar[dict] = {"mode": "fast", "order": [1, 2], "inner.old": 3, "table.of.old": 4}


SMALL = Sizes(4, 2, Inner(bits=2))
Sizes.PRESETS = {"paper": Sizes(), "small": SMALL}


@dataclasses.dataclass(frozen=True)
class Wider(Sizes):
    extra: int = 1


@dataclasses.dataclass(frozen=True)
class Run:
    seed: int = 1
    sizes: Sizes = SMALL
    table: dict[str, Inner] = dataclasses.field(default_factory=lambda: {"conv": Inner(7), "output": Inner(8)})
    maybe: Inner | None = Inner(9)
    layers: tuple[Inner, ...] = (Inner(5),)


def test_a_table_keeps_the_other_keys_of_the_instance_that_it_replaces():
    config = parse(Run, {"sizes": {"depth": 3, "inner": {"mode": "b"}}, "maybe": {"mode": "b"}})
    assert config == Run(sizes=Sizes(4, 3, Inner(2, "b")), maybe=Inner(9, "b"))
    assert parse(Sizes, {"depth": 1}, "", SMALL) == Sizes(4, 1, Inner(bits=2))


def test_lists_and_dicts_are_replaced_as_a_whole():
    config = parse(Run, {"table": {"conv": {"mode": "b"}, "dense": {"mode": "b"}}, "layers": [{"mode": "b"}, {}]})
    assert config.table == {"conv": Inner(7, "b"), "dense": Inner(4, "b")}
    assert config.layers == (Inner(4, "b"), Inner())


@pytest.mark.parametrize(
    ("table", "sizes"),
    [
        ({"preset": "paper"}, Sizes()),
        ({"preset": "paper", "depth": 1, "inner": {"mode": "b"}}, Sizes(64, 1, Inner(mode="b"))),
        ({"preset": "small", "width": 5}, Sizes(5, 2, Inner(bits=2))),
    ],
)
def test_a_preset_is_what_the_other_keys_change(table, sizes):
    config = parse(Run, {"sizes": table})
    assert config.sizes == sizes
    assert parse(Run, dump(config)) == config


@pytest.mark.parametrize(
    ("cls", "table", "words"),
    [
        (Run, {"sizes": {"preset": "big"}}, "sizes.preset = 'big'; expected one of 'paper', 'small'"),
        (Run, {"sizes": {"preset": 3}}, "sizes.preset = 3; expected one of 'paper', 'small'"),
        (Run, {"preset": "small"}, "unknown key preset; expected one of seed"),
        (Run, {"sizes": {"hight": 1}}, "unknown key sizes.hight; expected one of width, depth, inner, preset"),
        (Wider, {"preset": "small"}, "unknown key preset"),
        (
            Run,
            {"sizes": {"mode": "slow"}},
            "sizes.mode = 'slow', which can no longer be set; expected 'fast', its only",
        ),
    ],
)
def test_errors_of_presets_and_removed_keys(cls, table, words):
    with pytest.raises(InputError) as error:
        parse(cls, table)
    assert words in str(error.value)


def test_a_removed_key_of_the_one_value_left_is_dropped():
    assert parse(Run, {"sizes": {"mode": "fast", "order": [1, 2], "depth": 3, "inner": {"old": 3}}}).sizes == Sizes(
        4, 3, Inner(bits=2)
    )
    assert parse(Sizes, {"table": {"of": {"old": 4}}, "depth": 3}) == Sizes(depth=3)


@pytest.mark.parametrize("table", [{"of": {"old": 4, "new": 5}}, {"to": 1}, 4])
def test_a_removed_table_with_another_key_is_refused(table):
    with pytest.raises(InputError, match="unknown key table; expected one of width, depth, inner"):
        parse(Sizes, {"table": table})


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
