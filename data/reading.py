"""Any events file that the project knows: its own HDF5 form, or the public sample's .npz.

A file without events is refused: there is nothing to score or to compare.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from codae_l1.data.errors import InputError
from codae_l1.data.events import EventImages
from codae_l1.data.public import read_public
from codae_l1.data.store import EventFile

T = TypeVar("T", EventImages, EventFile)
HDF5_SUFFIXES = (".h5", ".hdf5")


def read_events(path: Path | str) -> EventImages:
    """All events of a file, by its suffix; the content of HDF5 files is verified against its checksum."""
    path = Path(path)
    if _is_hdf5(path):
        with EventFile(path) as file:
            [events] = _some(file, path).slices(len(file), verify=True)
            return events
    return _some(read_public(path), path)


def event_slices(path: Path | str, size: int = 1024) -> Iterator[EventImages]:
    """The events of a file in order, at most `size` at a time; HDF5 files are verified, but not loaded whole."""
    path = Path(path)
    if _is_hdf5(path):
        with EventFile(path) as file:
            yield from _some(file, path).slices(size, verify=True)
        return
    events = _some(read_public(path), path)
    for start in range(0, len(events), size):
        yield events.select(np.arange(start, min(start + size, len(events))))


def _some(events: T, path: Path) -> T:
    if not len(events):
        raise InputError(f"no events in {path}", "at least one event", "choose another file")
    return events


def _is_hdf5(path: Path) -> bool:
    if path.suffix in (*HDF5_SUFFIXES, ".npz"):
        return path.suffix in HDF5_SUFFIXES
    raise InputError(
        f"{path} with suffix {path.suffix!r}",
        f"{', '.join(HDF5_SUFFIXES)} (events of codae-l1) or .npz (public CoDAE sample)",
        "convert the file or correct its name",
    )
