"""Attributes of HDF5 files and datasets of ours: texts are stored with their length.

HDF5 itself reads them then, of a damaged file, too. Texts without a length, as older files have them, are read as well.
"""

from collections.abc import Mapping
from typing import Any

# Bytes of the longest text that is stored with its length: HDF5 has no room for more than 64 kB beside a dataset.
_LONGEST = 1 << 15


def write_attributes(place: Any, values: Mapping[str, Any]) -> None:
    """Write attributes of an h5py file, group or dataset: texts, numbers, arrays."""
    import h5py

    for name, value in values.items():
        encoded = value.encode() if isinstance(value, str) else b""
        if encoded and len(encoded) <= _LONGEST:
            place.attrs.create(name, encoded, dtype=h5py.string_dtype("utf-8", len(encoded)))
        else:
            place.attrs[name] = value


def read_attribute(place: Any, name: str, default: Any = None) -> Any:
    """An attribute of an h5py file, group or dataset, texts of either kind as str; the default where there is none."""
    value = place.attrs.get(name, default)
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
