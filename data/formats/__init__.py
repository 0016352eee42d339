"""Input formats, one class each: FORMATS is the registry. A file is recognised by its suffix and its content.

All of them are read in slices, in bounded memory, and name what is wrong with a file. A file without events is refused:
there is nothing to score or to compare.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import opened_hdf5, read_attribute
from codae_l1.data.events import EventImages, check_signals, concatenate
from codae_l1.data.formats._codae_raw import CodaeRaw
from codae_l1.data.formats._delphes import Delphes, DelphesOptions
from codae_l1.data.formats._format import Format, Tell
from codae_l1.data.formats._hdf5 import require_finite
from codae_l1.data.formats._public import Public
from codae_l1.data.formats._top_tagging import TopTagging
from codae_l1.data.formats.adc2021 import Adc2021
from codae_l1.data.formats.crossing_file import FORMAT as CROSSINGS
from codae_l1.data.formats.event_file import Events

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "DelphesOptions",
    "event_slices",
    "format_of",
    "read_events",
    "slices",
]

FORMATS: tuple[Format, ...] = (Events(), Public(), CodaeRaw(), Delphes(), TopTagging(), Adc2021())
# Where lines about what was done to events go that nobody asks for: to standard error, unless logging is set up.
_LOG = logging.getLogger(__name__)
SUFFIXES = tuple(dict.fromkeys(suffix for known in FORMATS for suffix in known.suffixes))


def format_of(path: Path | str) -> Format:
    """The format of a file, by its suffix and its content."""
    path = Path(path)
    possible = [known for known in FORMATS if path.suffix in known.suffixes]
    if not possible:
        raise InputError(f"{path} with suffix {path.suffix!r}", ", ".join(SUFFIXES), "convert or rename the file")
    for known in possible:
        if known.recognises(path):
            return known
    expected = ", or ".join(known.kind for known in possible)
    with opened_hdf5(path, expected) as file:
        ours = str(read_attribute(file, "format", ""))
    if ours == CROSSINGS:
        remedy = "name it in trigger.crossings, or make its images with scripts/make_data.py --all-images"
        raise InputError(f"{path} holds words of crossings, without images", expected, remedy)
    of = f"another kind, {ours!r}" if ours else "another kind"
    remedy = "convert it to one of these; scripts/make_data.py generates events"
    raise InputError(f"{path} is HDF5 of {of}", expected, remedy)


def slices(
    path: Path | str,
    size: int = 1024,
    label: str | None = None,
    options: Mapping[str, Any] | None = None,
    tell: Tell | None = None,
) -> Iterator[Any]:
    """The events of a file of any format in order, at most `size` at a time: EventImages, or name -> array (n, ...).

    label: "qcd" or a signal's name, for the formats that do not say what their events are. options: name of a format ->
    its Options, where they are not the defaults. tell: called after the last slice with each line about what was done
    to the events, such as tracks that were dropped; without it the lines are logged as warnings.
    """
    yield from _told(Path(path), size, label, options, _LOG.warning if tell is None else tell, tell is not None)


def _told(
    path: Path, size: int, label: str | None, options: Mapping[str, Any] | None, say: Tell, weighted: bool
) -> Iterator[Any]:
    """`slices`, with a line about weights that differ where `weighted`."""
    n, empty, uncounted, low, high = 0, 0, 0, np.inf, -np.inf
    known = format_of(path)
    chosen = (options or {}).get(known.name) or known.Options()
    if known.labelled and known.images and label is not None:
        # It is not used, but a mistake in it is one.
        check_signals(np.array([label]))
    for part in known.slices(path, chosen, size, known.checked_label(path, label), lambda line: say(f"{path}: {line}")):
        if known.images:
            part.checked(f"{path}: images", n)
            require_finite(part.weight, f"{path}: weight", n)
            require_finite(part.n_tracks, f"{path}: n_tracks", n, 0)
            without = part.images[part.n_tracks == 0]
            empty += int(np.sum(~without.any(axis=(1, 2, 3))))
            uncounted += int(np.sum(without[..., 0].any(axis=(1, 2))))
            low, high = part.weight.min(initial=low), part.weight.max(initial=high)
        else:
            # An event's or jet's objects: the columns of most axes.
            content = max(part.values(), key=np.ndim)
            empty += int(np.sum(~content.reshape(len(content), -1).any(axis=1)))
        n += len(part) if known.images else len(next(iter(part.values())))
        yield part
    if not n:
        raise InputError(f"no events in {path}", "at least one event", "choose another file")
    if empty:
        of = "a track or a tower" if known.images else "objects"
        say(f"{path}: {empty:,} of {n:,} events are empty, without {of}")
    if uncounted:
        say(f"{path}: {uncounted:,} of {n:,} events have n_tracks = 0, but active pixels of tracks")
    if weighted and low < high:
        span = f"{low:.3g} to {high:.3g}"
        say(f"{path}: events have weights from {span}, which rates use; AUCs, means and shares count each event once")
    if known.images and (masses := _other_masses(part.provenance)):
        say(f"{path}: signals keep their names at other masses in GeV: {masses}")
    if known.labelled and label is not None:
        say(f"{path}: says itself what its events are, so the label {label} was not used")
    if unused := _set_for_others(known, options or {}):
        say(f"{path}: is of the format {known.name}, so {', '.join(unused)} had no effect on it")


def _set_for_others(known: Format, options: Mapping[str, Any]) -> list[str]:
    """What is set for other formats, as commands name it."""
    names = []
    for other in (options[form.name] for form in FORMATS if form.name in options and form is not known):
        names += [f.name for f in fields(other) if getattr(other, f.name) != f.default]
    return [f"--{name.replace('_', '-')}" for name in names]


def _other_masses(provenance: Mapping[str, Any]) -> str:
    """What generated events say of masses that are not those of the signals' names; empty where they do not.

    >>> _other_masses({"config": {"masses_gev": ["h125=150"]}})
    'h125=150'
    """
    config = provenance.get("config")
    masses = config.get("masses_gev") if isinstance(config, dict) else None
    return ", ".join(map(str, masses)) if isinstance(masses, list) else ""


def _require_images(path: Path | str, label: str | None) -> None:
    """Raise InputError unless the file holds event images, and the label is that of a process."""
    known = format_of(path)
    if not known.images:
        raise InputError(f"{path} of the format {known.name}", "event images", f"see docs/events.md for {known.name}")
    if label is not None:
        check_signals(np.array([label]))


def event_slices(
    path: Path | str,
    size: int = 1024,
    label: str | None = None,
    options: Mapping[str, Any] | None = None,
    tell: Tell | None = None,
) -> Iterator[EventImages]:
    """`slices` of a file of event images; InputError for another one.

    Our own HDF5 is verified on the way: InputError in place of the last slice where its checksum does not hold. A file
    is not loaded as a whole, except for .npz, which does not allow anything else.
    """
    _require_images(path, label)
    yield from slices(path, size, label, options, tell)


def read_events(path: Path | str, label: str | None = None, options: Mapping[str, Any] | None = None) -> EventImages:
    """All events of a file of event images, as `event_slices` gives them.

    What was done to the events is logged, and kept in the list `reading` of their provenance.
    """
    lines: list[str] = []
    _require_images(path, label)
    events = concatenate(list(_told(Path(path), sys.maxsize, label, options, lines.append, False)))
    for line in lines:
        _LOG.warning(line)
    told = [*events.provenance.get("reading", []), *lines]
    return replace(events, provenance=events.provenance | {"reading": told}) if lines else events
