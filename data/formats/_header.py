"""The header of our own HDF5 files: format, version, provenance and checksum of the content, with a sum of its own.

A cross section that is edited in the provenance changes every rate, so the sum of the header is compared when a file is
opened. The checksum is of the content alone: events that are made again have the same, whenever and wherever. Files of
version 1 have no sum of the header; of those that ship with the project the provenance is known.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import parse_table, read_attribute, reading

# Checksum of a shipped file of version 1 -> SHA-256 of its provenance.
_SHIPPED = {
    "db78fe073a6981b1300d5b10581bf64e378d20aff342e15f90ee6376a9b4bcc4": (
        "f2890ff9b5d3a6297757166d5b61f7b680ce174ec47e65d6a2eb31714b317189"
    ),
    "f7fd7015ce5145cac044ed06f8735d1411c87b37bf81839b73ff0c1a656ef244": (
        "0ff654e4e7b6d8f0c0e36c8776e321f7a57d5c7ebc32e7f1f128a353c9318211"
    ),
}


def new_header(kind: str, version: int, provenance: dict[str, Any], checksum: str) -> dict[str, Any]:
    """Attributes of a new file: format, version, provenance, the checksum of its content, and the sum of these four."""
    text = provenance_text(provenance)
    header = {"format": kind, "version": version, "provenance": text, "checksum": checksum}
    return {**header, "header_checksum": _sum(header)}


def provenance_text(provenance: Mapping[str, Any]) -> str:
    """The provenance as JSON, NumPy's numbers as Python's; InputError names the key of what JSON does not hold.

    >>> provenance_text({"seed": np.int64(3), "lumi": [np.float32(0.5)]})
    '{"seed": 3, "lumi": [0.5]}'
    """
    return json.dumps(_plain(provenance, "provenance"))


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping) and all(isinstance(key, str | int) for key in value):
        return {key: _plain(entry, f"{where}.{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    # No integer beyond float64, of which Python might not print the digits.
    if isinstance(value, str | None) or (isinstance(value, int | float) and _is_finite(value)):
        return value
    said = f" = {value}" if isinstance(value, float) else ""
    raise InputError(
        f"{where}{said} of type {type(value).__name__}",
        "what JSON holds: texts, finite numbers, lists, and tables",
        "convert it, or leave it out of the provenance",
    )


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _sum(header: Any) -> str:
    words = (str(header[name]) for name in ("format", "version", "provenance", "checksum"))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def read_header(file: Any, path: Path, version: int) -> tuple[dict[str, Any], str]:
    """(provenance, checksum) of an open file; InputError where they are not what was written with it."""
    expected, remedy = "the header that was written", "copy or make it again"
    with reading(path, expected, remedy, "is damaged"):
        names = ("format", "version", "provenance", "checksum", "header_checksum")
        header = {name: read_attribute(file, name) for name in names if name in file.attrs}
        if int(header["version"]) not in (1, version):
            raise InputError(f"{path} of version {header['version']}", f"version {version}", "make it again")
        text, checksum = str(header["provenance"]), str(header["checksum"])
        if int(header["version"]) == 1:
            whole = _SHIPPED.get(checksum, found := hashlib.sha256(text.encode()).hexdigest()) == found
        else:
            whole = str(header["header_checksum"]) == _sum(header)
    if not whole:
        raise InputError(f"the provenance of {path} was changed after it was written", expected, remedy)
    return parse_table(text, f"the provenance of {path}", remedy=remedy), checksum
