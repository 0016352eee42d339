"""Any file of event images that the project knows, recognised by its content.

Our own HDF5, the public CoDAE sample's .npz, CoDAE's raw HDF5, ROOT files of Delphes. The last two do not say what
their events are: that comes as `label`. A file without events is refused: there is nothing to score or to compare.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import EventImages, concatenate
from codae_l1.data.formats import adc2021, codae_raw, top_tagging
from codae_l1.data.formats.delphes import DelphesConfig, delphes_slices
from codae_l1.data.formats.event_file import FORMAT, EventFile, open_file
from codae_l1.data.formats.public import read_public

HDF5_SUFFIXES = (".h5", ".hdf5")
SUFFIXES = (*HDF5_SUFFIXES, ".npz", ".root")
# Formats of event images, and of other events, which have readers of their own in codae_l1.data.formats.
IMAGE_FORMATS = ("codae-l1", "public", "codae-raw", "delphes")
OTHER_FORMATS = ("top-tagging", "adc2021")
# A member of each HDF5 of others -> its format.
_MEMBERS = {codae_raw.IMAGES[0]: "codae-raw", top_tagging.TABLE: "top-tagging", adc2021.PARTICLES: "adc2021"}


def format_of(path: Path | str) -> str:
    """Which of IMAGE_FORMATS or OTHER_FORMATS a file has, by its suffix and, for HDF5, its content."""
    path = Path(path)
    if path.suffix in HDF5_SUFFIXES:
        with open_file(path) as file:
            if file.attrs.get("format") == FORMAT:
                return "codae-l1"
            found = [name for member, name in _MEMBERS.items() if member in file]
        if found:
            return found[0]
        raise InputError(
            f"{path} is HDF5 of another kind",
            f"events of codae-l1, or an HDF5 with one of {', '.join(_MEMBERS)}",
            "convert it to one of these; scripts/make_data.py generates events",
        )
    if path.suffix in SUFFIXES:
        return "public" if path.suffix == ".npz" else "delphes"
    raise InputError(
        f"{path} with suffix {path.suffix!r}",
        f"{', '.join(HDF5_SUFFIXES)}, .npz (public CoDAE sample) or .root (Delphes)",
        "convert the file or correct its name",
    )


def read_events(path: Path | str, label: str | None = None) -> EventImages:
    """All events of a file; the content of our HDF5 is verified against its checksum."""
    if format_of(path) != "codae-l1":
        return concatenate(list(event_slices(path, label=label)))
    with EventFile(path) as file:
        _refuse_none(len(file), path)
        [events] = file.slices(len(file), verify=True)
        return events


def event_slices(
    path: Path | str, size: int = 1024, label: str | None = None, delphes: DelphesConfig | None = None
) -> Iterator[EventImages]:
    """The events of a file in order, at most `size` at a time; not loaded whole but for .npz, which allows no other.

    label: "qcd" or a signal's name, for the formats that do not say what their events are. Our HDF5 is verified on the
    way: InputError in place of the last slice where its checksum does not hold. delphes: branches of ROOT files.
    """
    n = 0
    for events in _slices(Path(path), size, label, delphes or DelphesConfig()):
        n += len(events)
        yield events
    _refuse_none(n, path)


def _slices(path: Path, size: int, label: str | None, delphes: DelphesConfig) -> Iterator[EventImages]:
    kind = format_of(path)
    if kind in OTHER_FORMATS:
        raise InputError(f"{path} of the format {kind}", "event images", f"see codae_l1.data.formats for {kind}")
    if kind == "codae-l1":
        with EventFile(path) as file:
            yield from file.slices(size, verify=True)
    elif kind == "public":
        events = read_public(path)
        for start in range(0, len(events), size):
            yield events.select(np.arange(start, min(start + size, len(events))))
    elif label is None:
        raise InputError(f"{path} does not say what its events are", 'a label: "qcd" or a signal', "give --label NAME")
    elif kind == "codae-raw":
        yield from codae_raw.raw_slices(path, label, size)
    else:
        yield from delphes_slices(path, label, size, delphes)


def _refuse_none(n: int, path: Path | str) -> None:
    if not n:
        raise InputError(f"no events in {path}", "at least one event", "choose another file")
