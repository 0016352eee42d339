"""Typed configuration: TOML tables to frozen dataclasses and back, errors with the dotted path of the key.

A config dataclass lives next to the code that it configures; this module only fills it. Fields may be int, float, bool,
str, Literal, another dataclass, `X | None`, `tuple[X, ...]` and `dict[str, X]`. Numbers are finite, integers within 64
bits: JSON has no others, and TOML has (`inf`, `nan`, 10**400). Those of some keys have an upper limit (_MOST).

A table changes the keys that it names and keeps the other keys of the instance that it replaces. In a run's config that
is the default value of the field in its parent, not the defaults of the field's class. Lists and dicts are values: they
are replaced as a whole, but an entry of a dict that is a table keeps the keys of the entry with that name, if there was
one.

A config class may have two class attributes:

    PRESETS   name -> instance; `preset = "name"` in a table selects the instance that the other keys change
    REMOVED   key, or dotted path of a key in a table below -> value, for keys that have become constants; older files
              may still give that value, and no other (..., for keys that only said how fast: any value)
"""

import copy
import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from codae_l1.data.base.errors import InputError

# Largest values of numbers by the name of their key, in whatever table: beyond them a key is a slip, and its command
# would end with the memory, or never. NumPy's and Keras' seeds end at 32 bits.
_MOST: dict[str, float] = {
    "seed": 2**31 - 1,
    # Passes over events, batches, flipped copies: years on any machine.
    **{"epochs": 10**6, "steps": 10**8, "qat_steps": 10**8, "copies": 10**4, "warm_up_copies": 10**4},
    # A step that leaves every weight behind.
    **{"batch_size": 10**6, "learning_rate": 10.0, "qat_learning_rate": 10.0, "weight_decay": 1000.0},
    # Resamplings, trees, trials: each takes a second or more.
    **{"bootstrap": 10**5, "trees": 10**5, "trials": 10**6, "batch": 10**5, "attempts": 10**6, "front_seeds": 1000},
    # Layers that no part could hold; words beyond those of any processor; windows beyond the grid.
    **{"filters": 4096, "dense": 4096, "convs": 16, "components": 4176, "weight_bits": 64, "word_bits": 64},
    **{"kernels": 72, "strides": 72, "parallel_pixels": 10**6, "count_bits": 4096},
    **dict.fromkeys(("margin", "output_margin", "input_margin"), 1e6),
    # Networks and trees that no memory holds.
    **{"units": 65_536, "hidden": 65_536, "bottleneck": 65_536, "key": 65_536, "mlp": 65_536},
    **{"leaves": 10**5, "layers": 1000, "heads": 1000, "width": 4096, "couplings": 1000},
    # Processes of one machine; adders in a row of a clock of 10 us.
    **{"jobs": 4096, "latency_cutoff": 10_000.0},
    # Collisions of one crossing, scales of a detector's response, factors of a rate, GeV.
    **{"pileup_mean": 1000, "final_rate": 100},
    **dict.fromkeys(("ecal_scale", "hcal_scale", "resolution_scale", "efficiency_scale"), 1000),
    **dict.fromkeys(("pileup_energy_gev", "minimum_ht_gev", "recoil_below_gev", "temperature_gev"), 1e6),
    **dict.fromkeys(("meson_mass_gev", "dark_photon_mass_gev", "dark_hadron_mass_gev"), 1e6),
    # The LHC's bunches cross at 40,079 kHz, at up to 10^35 per cm2 and second in the designs of other colliders.
    **{"crossing_khz": 1e6, "luminosity_cm2s": 1e37},
}
T = TypeVar("T")
PRESET = "preset"
# Largest number of any key, but of those of _MOST; and the smallest, but 0: a step that moves no weight of float32.
_LARGEST, _SMALLEST = 1e9, 1e-12


def parse(cls: type[T], table: Mapping[str, Any], where: str = "", base: T | None = None) -> T:
    """Fill the dataclass `cls` from a table; unknown keys and wrong types raise InputError with the dotted path.

    base: the instance that provides the keys that the table does not name; without it, they are the defaults of `cls`.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Clock:
    ...     clock_period_ns: float = 5.0
    ...     jobs: int = 2
    >>> parse(Clock, {"clock_period_ns": 4}, "hls", Clock(jobs=8))
    Clock(clock_period_ns=4.0, jobs=8)
    >>> parse(Clock, {"clock_ns": 4}, "hls")
    Traceback (most recent call last):
        ...
    codae_l1.data.base.errors.InputError: unknown key hls.clock_ns; expected one of clock_period_ns, jobs; remove or \
rename it
    """
    made = _parse(cls, table, where, base)
    _check_size(made, "", where)
    return made


def _parse(cls: type[T], table: Mapping[str, Any], where: str, base: T | None) -> T:
    """`parse` without a look at the sizes, which waits for what the classes themselves refuse."""
    if not isinstance(table, Mapping):
        raise InputError(f"{where or 'config'} is {table!r}", f"a table of {cls.__name__}", "write it as a TOML table")
    table, base = _without_removed(cls, table, where), _preset(cls, table, where) or base
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            known = (*fields, *((PRESET,) if vars(cls).get("PRESETS") else ()))
            raise InputError(f"unknown key {_join(where, key)}", f"one of {', '.join(known)}", "remove or rename it")
    hints, values = typing.get_type_hints(cls), {}
    for name, field in fields.items():
        before = _default(field) if base is None else getattr(base, name)
        if name in table:
            values[name] = _convert(hints[name], table[name], _join(where, name), before)
        elif before is dataclasses.MISSING:
            raise InputError(f"key {_join(where, name)} is missing", f"a value of {hints[name]}", "add it")
        else:
            values[name] = before
    return cls(**values)


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


def _preset(cls: type[T], table: Mapping[str, Any], where: str) -> T | None:
    """The instance that the table's `preset` names; presets are not inherited."""
    presets = vars(cls).get("PRESETS", {})
    if PRESET not in table or not presets:
        return None
    name = table[PRESET]
    if not isinstance(name, str) or name not in presets:
        raise InputError(
            f"{_join(where, PRESET)} = {name!r}", f"one of {', '.join(map(repr, presets))}", "choose one of them"
        )
    return presets[name]


def _without_removed(cls: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The table without its preset and without the keys that are constants by now; InputError where one differs."""
    left = {key: copy.deepcopy(value) for key, value in table.items() if key != PRESET or not vars(cls).get("PRESETS")}
    for path, value in getattr(cls, "REMOVED", {}).items():
        *tables, key = path.split(".")
        inner = left
        for name in tables:
            inner = inner.get(name, {}) if isinstance(inner, Mapping) else {}
        given = inner.pop(key, value) if isinstance(inner, dict) else value
        if value is not ... and given != value:
            raise InputError(
                f"{_join(where, path)} = {given!r}, which can no longer be set",
                f"{value!r}, its only value by now",
                "remove the key, or use the release that wrote the file",
            )
    # A table that has gone with all its keys leaves an empty one.
    known = {f.name for f in dataclasses.fields(cls) if f.init}
    gone = {path.split(".")[0] for path in getattr(cls, "REMOVED", {})} - known
    return {key: value for key, value in left.items() if key not in gone or not _is_empty(value)}


def _is_empty(table: Any) -> bool:
    """Whether it is a table without a key, or of such tables."""
    return isinstance(table, Mapping) and all(_is_empty(value) for value in table.values())


def _default(field: dataclasses.Field) -> Any:
    """The field's default value, or MISSING."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _check_size(value: Any, name: str, where: str) -> None:
    """Raise InputError where a number of a key, or of its list or table, is larger than anything can be built of."""
    if dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            _check_size(getattr(value, item.name), item.name, _join(where, item.name))
    elif isinstance(value, tuple):
        for i, entry in enumerate(value):
            _check_size(entry, name, f"{where}[{i}]")
    elif isinstance(value, dict):
        for key, entry in value.items():
            _check_size(entry, name, _join(where, key))
    elif isinstance(value, int | float) and abs(value) > (most := _MOST.get(name, _LARGEST)):
        raise InputError(f"{where} = {value!r}", f"at most {most:,.12g}", "correct it")
    elif isinstance(value, float) and 0 < abs(value) < _SMALLEST:
        raise InputError(f"{where} = {value!r}", f"0, or at least {_SMALLEST:g}", "correct it")


def _number(value: Any, where: str) -> Any:
    """The number; InputError where it is not finite, or an integer of more than 64 bits."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        # Python does not print integers of thousands of digits.
        raise InputError(f"{where} of {value.bit_length()} bits", "an integer of at most 64 bits", "correct it")
    if not math.isfinite(value):
        raise InputError(f"{where} = {value}", "a finite number", "correct it")
    return value


def _convert(hint: Any, value: Any, where: str, before: Any = None) -> Any:
    """The value as its type hint has it; before: what it replaces, from which a table takes the keys it does not
    name."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _parse(hint, value, where, before if type(before) is hint else None)  # type: ignore[arg-type]
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where, before)
    if origin is Literal:
        if value in args:
            return value
        raise InputError(f"{where} = {value!r}", f"one of {', '.join(map(repr, args))}", "choose one of them")
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        entries = before if isinstance(before, Mapping) else {}
        return {k: _convert(args[1], v, _join(where, k), entries.get(k)) for k, v in value.items()}
    if hint in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        value = _number(value, where)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if origin is None and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    name = getattr(hint, "__name__", None) if origin is None else str(hint)
    raise InputError(f"{where} = {value!r} ({type(value).__name__})", f"{name}", "correct its type")
