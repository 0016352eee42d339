"""Typed configuration: TOML tables to frozen dataclasses and back, errors with the dotted path of the key.

A config dataclass stands right above the code that it configures; this module only fills it. Fields may be int, float,
bool, str, Literal, another dataclass, `X | None`, `tuple[X, ...]` and `dict[str, X]`.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from codae_l1.data.base.errors import InputError

T = TypeVar("T")


def parse(cls: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """Fill the dataclass `cls` from a table; unknown keys and wrong types raise InputError with the dotted path.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Clock:
    ...     clock_period_ns: float = 5.0
    >>> parse(Clock, {"clock_period_ns": 4}, "hls")
    Clock(clock_period_ns=4.0)
    >>> parse(Clock, {"clock_ns": 4}, "hls")
    Traceback (most recent call last):
        ...
    codae_l1.data.base.errors.InputError: unknown key hls.clock_ns; expected one of clock_period_ns; remove or rename it
    """
    if not isinstance(table, Mapping):
        raise InputError(f"{where or 'config'} is {table!r}", f"a table of {cls.__name__}", "write it as a TOML table")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise InputError(f"unknown key {_join(where, key)}", f"one of {', '.join(fields)}", "remove or rename it")
    missing = [
        name
        for name, f in fields.items()
        if name not in table and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(f"key {_join(where, missing[0])} is missing", f"a value of {hints[missing[0]]}", "add it")
    return cls(**{key: _convert(hints[key], value, _join(where, key)) for key, value in table.items()})


def dump(config: Any) -> dict[str, Any]:
    """The dataclass as a JSON- and TOML-ready dict; None fields are left out; parse(cls, dump(x)) == x."""
    return _plain(config)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.init)
        return {name: _plain(v) for name, v in pairs if v is not None}
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return parse(hint, value, where)  # type: ignore[arg-type]
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        if value in args:
            return value
        raise InputError(f"{where} = {value!r}", f"one of {', '.join(map(repr, args))}", "choose one of them")
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {k: _convert(args[1], v, _join(where, k)) for k, v in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if origin is None and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    name = getattr(hint, "__name__", None) if origin is None else str(hint)
    raise InputError(f"{where} = {value!r} ({type(value).__name__})", f"{name}", "correct its type")
