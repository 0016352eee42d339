"""The config of a run, TOML and JSON: one key of all with another value, type, name or nesting."""

import json
import math
import tomllib

from fault_changes import BYTES, changed_table, json_text
from fault_engine import FileKind
from fault_formats import demand

from codae_l1.data.base.config import dump
from codae_l1.scripts.run.config import RunConfig, load_config

# Keys whose numbers may be below 0: bits before the point, thresholds on a logarithm, terms of a sum.
SIGNED = ("integer", "output_integer", "weight_integer", "bias_integer", "scores", "output_bias")
# Nothing in a run is counted, timed or measured beyond this, but luminosities; and no network is so large.
LARGEST, LARGE = 1e9, ("luminosity_cm2s", "seed")
SIZES = ("filters", "units", "hidden", "bottleneck", "layers", "heads", "trees", "copies", "jobs")


def toml(table):
    """A table as TOML; None has no form in it and is left out."""
    return "\n".join(f"{json.dumps(key)} = {_toml(value)}" for key, value in table.items() if value is not None)


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value if v is not None) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" in text else f"{text}.0"
    return json.dumps(value)


def settled(value):
    """A value as it is compared: numbers are numbers, whatever their type."""
    if isinstance(value, dict):
        return {key: settled(v) for key, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [settled(v) for v in value]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def changed_within(given, found, where=()):
    """Wrong unless all that is given is what was found, and is a number that can be."""
    if isinstance(given, dict):
        demand(isinstance(found, dict), f"{where} is no table")
        for key, value in given.items():
            demand(key in found, f"{where} has no {key}")
            changed_within(value, found[key], (*where, key))
        return
    if isinstance(given, list):
        demand(isinstance(found, list) and len(given) == len(found), f"{where} is another list")
        for a, b in zip(given, found, strict=True):
            changed_within(a, b, where)
        return
    demand(type(given) is type(found) and given == found, f"{where} = {found}, not {given}")
    if isinstance(given, float):
        demand(math.isfinite(given), f"{where} is not finite")
        signed = any(name in where for name in SIGNED)
        demand(signed or given >= 0, f"{where} = {given} is below 0")
        most = math.inf if any(name in where for name in LARGE) else 1e5 if where[-1] in SIZES else LARGEST
        demand(abs(given) <= most, f"{where} = {given:g} cannot be built")


class Config(FileKind):
    """A run's config, all keys named."""

    def __init__(self, folder):
        changes = {f.__name__: f for f in (self.key, self.table)}
        super().__init__(folder, "config", {**changes, "json_text": self.json, **BYTES}, suffix=".toml")
        self.config = dump(RunConfig())

    def write(self, path):
        path.write_text(toml(self.config))

    def _put(self, rng, path, table):
        # Surrogates and NUL have no form in a file.
        if rng.random() < 0.3:
            path = path.with_suffix(".json")
            path.write_text(json.dumps(table))
        else:
            path.write_text(toml(table))
        self.given = table
        return path

    def key(self, rng, path):
        """One value of one key."""
        return self._put(rng, path, changed_table(rng, self.config))

    def table(self, rng, path):
        """A whole table is another value."""
        name = list(self.config)[rng.integers(len(self.config))]
        values = ([], {}, 1, "text", [{}], None, [[]], {"a": {"b": {}}}, True, float("nan"))
        return self._put(rng, path, self.config | {name: values[rng.integers(len(values))]})

    def json(self, rng, path):
        """JSON that is no config."""
        path = path.with_suffix(".json")
        json_text(rng, path)
        return path

    def read(self, thing):
        return settled(dump(load_config(thing)))

    def plain(self, thing):
        given = json.loads(thing.read_text()) if thing.suffix == ".json" else tomllib.loads(thing.read_text())
        found = settled(dump(load_config(thing)))
        changed_within(settled(given), found)
        return found
