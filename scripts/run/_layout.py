"""Of which type is what later commands read of a stage's JSON; a value of another one is refused where it is read.

A layout is a type (float takes integers as well), None, a list of one layout for all items, a table of layouts by key,
or a tuple of layouts of which one must hold. The key ANY is for all other keys. Keys that a table lacks are named where
they are needed (_sums.py); only a table in a tuple must have them all, so that it can be told from the others.
"""

from typing import Any

ANY = "*"
_NUMBERS, _NUMBER = {ANY: float}, (float, None)
_SHARE, _RATE, _PURE = (
    dict.fromkeys(keys.split(), float) for keys in ("value error", "rate_khz error_khz", "pure_khz pure_error_khz")
)
_NO_RATE, _NO_PURE = dict.fromkeys(_RATE), dict.fromkeys(_PURE)
_AUC = {ANY: {ANY: _SHARE}}
_EFFICIENCY = {"efficiency": {ANY: _SHARE | {"beyond_menu": float, "beyond_menu_error": float}}}
# A rate and its error are both carried, or neither.
_CARRIED = (_RATE | _PURE | _EFFICIENCY, _RATE | _NO_PURE | _EFFICIENCY, _NO_RATE | _PURE | _EFFICIENCY)
_POINTS = {ANY: {"menu": _CARRIED, ANY: (*_CARRIED, {"efficiency": None, "reason": str})}}
_CURVE = {ANY: [_NUMBER], "efficiency": {ANY: {ANY: [_NUMBER]}}}
_BINS = {ANY: [_NUMBER], "edges": [float], "effective": [float]}
_TRIGGER = {
    "crossings": int,
    "crossing_khz": float,
    "vertex_lost": _NUMBERS,
    "menu": {"rate_khz": float, "paths": {ANY: {"rate_khz": float}}},
    "reach_khz": {ANY: _NUMBER},
    "points": _POINTS,
    "curves": {ANY: _CURVE},
    "turn_on": {ANY: {ANY: {ANY: _BINS}}},
}
_PASSING = {"asked_khz": float, "effective_events": float, "tpr": {ANY: (_SHARE, None)}}
_RATES = (
    {"reason": str},
    {
        "luminosity_cm2s": float,
        "total": _RATE,
        "scores": {ANY: [(_PASSING | _RATE, _PASSING | {"rate_khz": None, "reason": str})]},
    },
)
_CROSSING = {"score": float, "weight": float, "pt_hat_gev": ([_NUMBER], None)}
_CROSSING |= {"jet_ht_gev": _NUMBER, "scalar_pt_gev": _NUMBER}
_DRIVEN = {"row": int, "inputs": [str], "ring_eta": [float], "row_share": float, "ring_share": float}
_ALTERED = {"efficiency": {ANY: (_SHARE, dict.fromkeys(_SHARE))}}
_LOOKS = {
    "groups": [{"inputs": [str], "rings": int, "eta_max": float, "rows": [[[float]]], "of_others": _NUMBER}],
    "highest": [(_CROSSING | _DRIVEN, _CROSSING | {"row": None})],
    "stability": {"share": float, "signals": [str], "rows": [(_ALTERED | _RATE, _ALTERED | _NO_RATE)]},
}
_PROFILE = {"low": float, "high": float, "zeros": float, "saturated": int, "wrapped": int}
_RESOURCES = {**dict.fromkeys(("LUT", "FF", "DSP", "BRAM_18K", "URAM"), int), "tool": str, "kind": str}
_TIMING = {"latency_ns": float, "latency_cycles": int, "interval_cycles": int}
_PLACED = {"design": str, "tool": str, "used": {}, "achieved_mhz": float, "how": str}
_STAMP = {"seconds": float, "commit": str, "versions": {}, "machine": {"text": str}}
_FILE = {"bytes": int, "mtime_ns": int, "sha256": str}
# Stage -> the layout of its JSON; and that of the record in each of them.
LAYOUT: dict[str, dict[str, Any]] = {
    "record": {"sum": str, "needs": {ANY: (str, None)}, "files": {ANY: _FILE}},
    "make_data": {"stamp": _STAMP, "events": {"checksum": str, "splits": {ANY: {ANY: int}}}},
    "train": {
        "stamp": _STAMP,
        "parameters": {ANY: int},
        "orientation": {ANY: int},
        "history": {"loss": [float], "validation_loss": [float], "best_validation_loss": float},
        "imported": {"files": {}, "verified": str},
    },
    "quantize": {
        "stamp": _STAMP,
        "parameters": int,
        "teacher": _NUMBERS,
        "distance": {},
        "comparison": {"scatter": {ANY: {"float": [float], "qkeras": [float]}}},
    },
    "convert": {"stamp": _STAMP, "project": {"layers": [{}], "differences": [str]}},
    "synthesize": {
        "stamp": _STAMP,
        "resources": _RESOURCES,
        **_TIMING,
        "estimates": [{"name": str, "kind": str, "low": float, "high": float}],
        "vendor": {"records": [{"open": _NUMBER, "vendor": _NUMBER}]},
    },
    "evaluate": {
        "stamp": _STAMP,
        "events": {"all": int, "test": {ANY: int}},
        "mismatches": {ANY: {"compared": int, "different": int, "first_layer": ({"layer": str}, None)}},
        "auc": _AUC,
        "quantization_loss": {ANY: _SHARE},
        "roc": {ANY: {ANY: {"fpr": [float], "tpr": [float]}}},
        "tpr": {ANY: [dict.fromkeys(("rtl", "active_pixels"), (_SHARE, {"value": None}))]},
        "rates": _RATES,
        "trigger": (_TRIGGER, None),
        "looks": (_LOOKS, None),
        "numerics": {"events": {ANY: int}, "profiles": {ANY: {ANY: [_PROFILE]}}},
        "latents": {ANY: {ANY: [[float]]}},
        "gallery": [
            {"signal": str, "pixels": [int], "energies": [float], "counts": [[float]], "reconstruction": [[float]]}
        ],
    },
    "report": {
        "stamp": _STAMP,
        "verdict": dict.fromkeys(("headline", "trigger", "sentence", "baseline"), str),
        "resources": _RESOURCES,
        **_TIMING,
        "auc": _AUC,
        "quantization_loss": {ANY: _SHARE},
        "trigger": ({"points": _POINTS}, None),
        "config": {"seed": int},
    },
    "vendor": {"projects": {ANY: {"path": str}}, "events": int},
    "place": {"board": _PLACED, "out_of_context": _PLACED},
}
_NAMES = {float: "a number", int: "an integer", str: "a text", dict: "a table", list: "a list", None: "null"}


def misfit(stage: str, content: dict[str, Any]) -> tuple[str, str] | None:
    """The first value of a stage's JSON, or record, that is of another type, and the type in words; None if none is.

    >>> misfit("quantize", {"parameters": 3, "teacher": {"mse": [1]}})
    ('teacher.mse = [1]', 'a number')
    """
    return _misfit(content, LAYOUT.get(stage, {}), "")


def _misfit(value: Any, layout: Any, where: str) -> tuple[str, str] | None:
    """`misfit` of a value at a dotted path."""
    if isinstance(layout, tuple):
        found = [_misfit(value, one, where) or _lacks(value, one, where) for one in layout]
        # The one that says the most is that of the layout which goes deepest.
        return (
            None if None in found else max((f for f in found if f), key=lambda f: f[0].partition(" = ")[0].count("."))
        )
    kind = type(layout) if isinstance(layout, dict | list) else layout
    if kind is None or not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
        return None if kind is None and value is None else (f"{where} = {value!r:.80}", _NAMES[kind])
    items: Any = ()
    if isinstance(layout, list):
        items = ((item, layout[0], f"{where}[{i}]") for i, item in enumerate(value))
    elif isinstance(layout, dict):
        paired = (
            (key, item, layout.get(key, layout.get(ANY)))
            for key, item in value.items()
            if key in layout or ANY in layout
        )
        items = ((item, of, f"{where}.{key}" if where else key) for key, item, of in paired)
    return next(filter(None, (_misfit(*item) for item in items)), None)


def _lacks(value: Any, layout: Any, where: str) -> tuple[str, str] | None:
    """The first key of a table in a tuple that the value lacks."""
    lacking = [key for key in layout if key not in value and key != ANY] if isinstance(layout, dict) else []
    return (f"{where} without {lacking[0]}", "a table that has it") if lacking else None
