"""Event images in a file: compact HDF5, checksummed, read in slices.

Nine of ten pixels are empty, so each channel is three columns: `count`, entries of each event; `gap`, uint8, step from
one entry to the next in the flattened (72, 58) image, starting at -1; `energy`, float16. An entry is an active pixel,
or a filler of energy 0 where the next active pixel is further away than 255. This takes about 1.2 kB per event. Gaps
and energies are not compressed, since their digits hardly can be and unpacking them would take most of the reading.
Fletcher-32 guards each block as it is read, SHA-256 the content. (Files with gaps of uint16, compressed, read as well.)

Energies are float16, rounded down: a relative error up to 2^-10. Tower words of 0.5 GeV are then those of the energy
itself up to 1,024 GeV, where float16 ends to hold them, so a firmware has the same words of events that were stored. An
active pixel stays active (at least 2^-24 GeV) and none overflows (at most 65504 GeV). Where this, or rounding beyond
1,024 GeV, makes another tower word of an energy, it is logged.
"""

import contextlib
import functools
import hashlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import opened_hdf5, read_attribute, reading, write_attributes
from codae_l1.data.calorimeter import CHANNELS, IMAGE_SHAPE, N_ETA, N_PHI
from codae_l1.data.events import BACKGROUNDS, QCD, EventImages, check_images, check_signals
from codae_l1.data.formats._format import Format, Tell
from codae_l1.data.formats._hdf5 import SUFFIXES, as_names, as_stored, new_hdf5
from codae_l1.data.formats._hdf5_storage import require_stored
from codae_l1.data.formats._header import new_header, read_header
from codae_l1.data.pooling import TOWER_LSB_GEV

_LOG = logging.getLogger(__name__)
FORMAT = "codae-l1 events"
# Version 1, of the shipped events, had no sum of the header.
VERSION = 2
# GeV, smallest and largest energy that float16 holds.
FLOAT16_MIN, FLOAT16_MAX = 2.0**-24, 65504.0
# GeV, from which on its steps are wider than those of tower words.
FLOAT16_FINE = 2048 * TOWER_LSB_GEV
COLUMNS = {"signal": "S16", "n_tracks": "i4", "weight": "f8", "pileup_block": "i4"}
STREAMS = {"count": "u2", "gap": "u1", "energy": "f2"}
# Dataset -> its type.
_TYPES = COLUMNS | {f"{channel}/{stream}": dtype for channel in CHANNELS for stream, dtype in STREAMS.items()}
# Of opened_hdf5: what is expected, what to do, and what is said of another file.
_KIND, _AGAIN = "a whole events file", "copy or make it again"
_EXPECTED = (_KIND, _AGAIN, "is truncated or corrupted")
# Streams with a row per entry, where the others have one per event.
_FLAT = ("gap", "energy")
# Largest gap of one entry, what uint8 holds.
GAP_MAX = 255
# Pixels and events per block, the unit of reading and of the Fletcher-32 sum.
_BLOCK, _EVENT_BLOCK = 1 << 14, 1 << 12
_SLICE = 1024
# Events decoded at a time.
_GROUP = 256
_PIXELS = N_PHI * N_ETA
_NOT_ITS_CHECKSUM = "its content does not have its checksum"


def write_events(path: Path | str, events: EventImages | Iterable[EventImages], say: Tell = _LOG.warning) -> None:
    """Write events, or parts of events one after another, whole or not at all; no more than a slice is in memory.

    The provenance is the first part's. say: of energies that get another tower word. InputError: the disk is full.
    """
    with new_hdf5(path) as file:
        _fill(file, [events] if isinstance(events, EventImages) else events, say)


class Events(Format):
    """Our own HDF5."""

    name = "codae-l1"
    kind = "events of codae-l1"
    suffixes = SUFFIXES

    def recognises(self, path: Path) -> bool:
        """Whether the attribute `format` says so."""
        with opened_hdf5(path, *_EXPECTED) as file:
            return str(read_attribute(file, "format")) == FORMAT

    def slices(self, path: Path, options: Any, size: int, label: str, tell: Tell) -> Iterator[EventImages]:
        """Verified against the checksum on the way."""
        with EventFile(path) as file:
            yield from file.slices(size, verify=True)


class EventFile:
    """An open events file.

    path: the file. signal: (N,) str. n_tracks: (N,) int32. weight: (N,) float64. pileup_block: (N,) int32.
    provenance: how the events were made. checksum: SHA-256 of the content, hexadecimal.

    with EventFile("events.h5") as file:
        for events in file.slices(1000): ...
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        if not self.path.exists():
            raise InputError(f"{self.path} does not exist", "an HDF5 file of events", "make_data.py makes one")
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(opened_hdf5(self.path, *_EXPECTED))
            self._read_header()
            self._open = stack.pop_all()

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __len__(self) -> int:
        return self._length

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def read(self, start: int = 0, stop: int | None = None) -> EventImages:
        """Events start to stop (default: to the end), without reading the others."""
        start, stop, _ = slice(start, stop).indices(len(self))
        stop = max(start, stop)
        return self._decode(start, stop, self._raw(start, stop))

    def slices(self, size: int = _SLICE, verify: bool = False) -> Iterator[EventImages]:
        """All events in order, `size` at a time.

        verify: raise InputError in place of the last slice unless the whole content has its checksum; each block is
        then read once, where verify() and slices() would read it twice.
        """
        hashes = _Hashes()
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            stored = self._raw(start, stop)
            if verify:
                for name, column in stored.items():
                    hashes.update(name, column)
                if stop == len(self) and hashes.total() != self.checksum:
                    raise _corrupt(self.path, _NOT_ITS_CHECKSUM)
            yield self._decode(start, stop, stored)

    def read_where(self, indices: np.ndarray) -> EventImages:
        """The events at an index array or mask (N,), in its order; reads only the groups that hold some."""
        indices = np.asarray(indices)
        if indices.dtype == bool:
            indices = np.flatnonzero(indices)
        if indices.size and not (indices.min() >= 0 and indices.max() < len(self)):
            raise InputError(f"event {indices.max()} of {self.path}", f"0 to {len(self) - 1}", "correct the indices")
        images = np.zeros((len(indices), *IMAGE_SHAPE), np.float32)
        # Those of the events alone: whole columns would take memory that grows with the file.
        types = {name: self._file[name].dtype for name in COLUMNS} | {"signal": np.dtype("U16")}
        columns = {name: np.zeros(len(indices), dtype) for name, dtype in types.items()}
        for number in np.unique(indices // _GROUP):
            here = np.flatnonzero(indices // _GROUP == number)
            part, which = self.read(number * _GROUP, (number + 1) * _GROUP), indices[here] - number * _GROUP
            images[here] = part.images[which]
            for name, column in columns.items():
                column[here] = getattr(part, name)[which]
        # What `read` gives has been checked.
        return EventImages.of_good_energies(images, *columns.values(), self.provenance)

    def verify(self) -> None:
        """Raise InputError unless the whole content has the checksum that was written with it."""
        hashes = _Hashes()
        for name in _TYPES:
            for first in range(0, len(self._file[name]), 32 * _BLOCK):
                hashes.update(name, self._get(name, slice(first, first + 32 * _BLOCK)))
        if hashes.total() != self.checksum:
            raise _corrupt(self.path, _NOT_ITS_CHECKSUM)

    def _read_header(self) -> None:
        if str(read_attribute(self._file, "format")) != FORMAT:
            raise InputError(f"{self.path} is HDF5 of another kind", "events of codae-l1", "make_data.py writes them")
        self.provenance, self.checksum = read_header(self._file, self.path, VERSION)
        with reading(self.path, *_EXPECTED):
            shape = tuple(int(n) for n in self._file.attrs["image_shape"])
        if shape != IMAGE_SHAPE:
            raise InputError(f"{self.path} with images of shape {shape}", f"{IMAGE_SHAPE}", "use the project's grid")
        for name in _TYPES:
            self._require(name)
        with reading(self.path, *_EXPECTED):
            lengths = {name: len(self._file[name]) for name in _TYPES}
        self._length = lengths["signal"]
        # Where each group's entries begin: a row of each event would take memory that grows with the file.
        self._first = {name: self._group_starts(f"{name}/count") for name in CHANNELS}
        entries = {f"{name}/{s}": self._first[name][-1] for name in CHANNELS for s in _FLAT}
        if any(length != entries.get(name, self._length) for name, length in lengths.items()):
            raise _corrupt(self.path, "its columns are of different lengths")

    def _require(self, name: str) -> None:
        """Raise InputError unless a dataset is one column, of its type, and all there."""
        dataset, dtype = self._file.get(name), np.dtype(_TYPES[name])
        if not isinstance(dataset, h5py.Dataset):
            raise _corrupt(self.path, f"part of it is missing: {name}")
        kind = dataset.dtype.kind
        # An older release had gaps of uint16; a file without events need not have S16.
        if dataset.ndim != 1 or kind != dtype.kind or (kind != "S" and dataset.dtype.itemsize > dtype.itemsize * 2):
            found = f"{name} of shape {dataset.shape}, type {dataset.dtype}"
            raise _corrupt(self.path, f"{found}, expected one column of {dtype}")
        require_stored(dataset, name)

    @functools.cached_property
    def signal(self) -> np.ndarray:
        """Process of each event."""
        return as_names(self._get("signal", slice(None)), self.path)

    def is_process(self, name: str) -> np.ndarray:
        """Mask (N,) of the events of a process; unlike `signal` it takes one byte per event."""
        starts = range(0, self._length, 4 * _BLOCK)
        found = [self._get("signal", slice(start, start + 4 * _BLOCK)) == name.encode() for start in starts]
        return np.concatenate([np.zeros(0, bool), *found])

    @functools.cached_property
    def background(self) -> str:
        """The background that the file holds, "qcd" (where it holds none, too) or "zero_bias"; InputError if both."""
        found = [name for name in BACKGROUNDS if self.is_process(name).any()]
        if len(found) > 1:
            raise InputError(
                f"{self.path} with events of {' and '.join(found)}", "one background", "leave one out of the file"
            )
        return found[0] if found else QCD

    @functools.cached_property
    def n_tracks(self) -> np.ndarray:
        """Tracks of each event."""
        return self._get("n_tracks", slice(None))

    @functools.cached_property
    def weight(self) -> np.ndarray:
        """Weight of each event."""
        return self._get("weight", slice(None))

    @functools.cached_property
    def pileup_block(self) -> np.ndarray:
        """Block of the pile-up of each event, -1 where it is not known."""
        return self._get("pileup_block", slice(None))

    def _group_starts(self, name: str) -> np.ndarray:
        """Entries before each group of events, and in all, from the column of their numbers."""
        sums, step = [np.zeros(1, np.int64)], 256 * _GROUP
        for start in range(0, self._length, step):
            count = self._get(name, slice(start, start + step)).astype(np.int64)
            sums.append(np.add.reduceat(count, np.arange(0, len(count), _GROUP)))
        return np.cumsum(np.concatenate(sums))

    def _raw(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """What is stored of events start to stop: dataset's name -> (events,), or (entries,) of gaps and energies."""
        parts = {name: self._get(name, slice(start, stop)) for name in _TYPES if name.split("/")[-1] not in _FLAT}
        for name in CHANNELS:
            group = start // _GROUP
            before = self._get(f"{name}/count", slice(group * _GROUP, start)).sum(dtype=np.int64)
            first = int(self._first[name][group] + before)
            last = first + int(parts[f"{name}/count"].sum(dtype=np.int64))
            parts |= {f"{name}/{s}": self._get(f"{name}/{s}", slice(first, last)) for s in _FLAT}
        return parts

    def _decode(self, start: int, stop: int, stored: dict[str, np.ndarray]) -> EventImages:
        """The events start to stop from what is stored, in groups whose work arrays stay in the cache."""
        images = np.zeros(((stop - start) * _PIXELS, len(CHANNELS)), np.float32)
        good = True
        counts = {name: stored[f"{name}/count"].astype(np.int64) for name in CHANNELS}
        begins = {name: np.concatenate([[0], np.cumsum(count)]) for name, count in counts.items()}
        for (channel, name), first in itertools.product(enumerate(CHANNELS), range(0, stop - start, _GROUP)):
            last = min(first + _GROUP, stop - start)
            where = slice(*begins[name][[first, last]])
            row = _positions(counts[name][first:last], stored[f"{name}/gap"][where], str(self.path))
            energy = stored[f"{name}/energy"][where].astype(np.float32)
            images[first * _PIXELS : last * _PIXELS, channel][row] = energy
            good = good and (not energy.size or (energy.min() >= 0 and energy.max() < np.inf))
        columns = [as_stored(stored[name], kind, f"{self.path}: {name}") for name, kind in COLUMNS.items()]
        columns[0] = as_names(columns[0], self.path)
        check_signals(columns[0], str(self.path))
        shaped, where = images.reshape(-1, *IMAGE_SHAPE), f"{self.path}: images"
        # A look at the entries has shown whether the energies are good; the check names what is wrong.
        if not good:
            check_images(shaped, where, start)
        return EventImages.of_good_energies(shaped, *columns, self.provenance).checked(where, start)

    def _get(self, name: str, where: slice) -> np.ndarray:
        dataset = self._file[name]
        expected, remedy, says = _EXPECTED
        with reading(self.path, expected, remedy, f"{says} in {name}"):
            return dataset[where]


class _Hashes:
    """SHA-256 of each dataset, fed part by part, and of them all."""

    def __init__(self):
        self._parts = {name: hashlib.sha256() for name in _TYPES}

    def update(self, name: str, content: np.ndarray) -> None:
        """Feed the next part of a dataset."""
        self._parts[name].update(np.ascontiguousarray(content).view(np.uint8).data)

    def total(self) -> str:
        """The sum of all sums, hexadecimal."""
        return hashlib.sha256(b"".join(h.digest() for h in self._parts.values())).hexdigest()


def _fill(file: h5py.File, parts: Iterable[EventImages], say: Tell) -> None:
    for name, dtype in _TYPES.items():
        if name.endswith(("/gap", "/energy")):
            options: dict[str, Any] = {"chunks": (_BLOCK,)}
        else:
            options = {"chunks": (_EVENT_BLOCK,), "shuffle": True, "compression": "gzip"}
        file.create_dataset(name, shape=(0,), maxshape=(None,), dtype=f"<{dtype}", fletcher32=True, **options)
    hashes, provenance, beyond, coarse, unread = _Hashes(), None, 0, 0, 0
    for events in parts:
        provenance = events.provenance if provenance is None else provenance
        high = events.images[events.images > FLOAT16_FINE]
        beyond += int((high > FLOAT16_MAX).sum())
        coarse += int((high // TOWER_LSB_GEV > _rounded_down(high).astype(np.float32) // TOWER_LSB_GEV).sum())
        for start in range(0, len(events), _SLICE):
            for name, column in _columns(events, slice(start, start + _SLICE)).items():
                column = as_stored(column, _TYPES[name], name)
                hashes.update(name, column)
                dataset = file[name]
                dataset.resize(len(dataset) + len(column), axis=0)
                dataset[len(dataset) - len(column) :] = column
        unread += int((~np.isfinite(events.weight) | (events.pileup_block < -1) | events.contradictory).sum())
    if unread:
        wrong = "a weight that is not finite, or wrong n_tracks or pileup_block"
        _LOG.warning(f"{unread:,} events with {wrong}, which no reader takes")
    if coarse:
        say(f"{coarse:,} energies above {FLOAT16_FINE:g} GeV are stored as lower tower words than their own")
    if beyond:
        _LOG.warning(f"{beyond:,} energies above {FLOAT16_MAX:g} GeV are stored as {FLOAT16_MAX:g} GeV")
    header = new_header(FORMAT, VERSION, provenance or {}, hashes.total())
    energies = "GeV, float16; active pixels kept within 2^-24 to 65504"
    about = {"image_shape": IMAGE_SHAPE, "channels": ", ".join(CHANNELS), "energies": energies}
    write_attributes(file, header | about)


def _columns(events: EventImages, which: slice) -> dict[str, np.ndarray]:
    """The datasets of a slice of events."""
    columns = {name: getattr(events, name)[which] for name in COLUMNS}
    images = events.images[which].reshape(-1, N_PHI * N_ETA, len(CHANNELS))
    for channel, name in enumerate(CHANNELS):
        event, pixel = np.nonzero(images[..., channel])
        before = np.concatenate([[-1], pixel[:-1]])
        before[np.flatnonzero(np.diff(event, prepend=-1))] = -1
        entries, gap = _fill_gaps(pixel - before)
        energy = np.zeros(len(gap), np.float16)
        energy[np.cumsum(entries) - 1] = _rounded_down(images[event, pixel, channel])
        count = np.bincount(event, entries, len(images))
        columns |= {f"{name}/count": count, f"{name}/gap": gap, f"{name}/energy": energy}
    return columns


def _rounded_down(energy: np.ndarray) -> np.ndarray:
    """Energies (n,) > 0 -> the largest float16 that is not above each.

    >>> _rounded_down(np.array([127.99, 3.14159, 1e-12, 7e4])).tolist()
    [127.9375, 3.140625, 5.960464477539063e-08, 65504.0]
    """
    kept = np.clip(energy, FLOAT16_MIN, FLOAT16_MAX)
    half = kept.astype(np.float16)
    return np.where(half > kept, np.nextafter(half, np.float16(0)), half)


def _fill_gaps(gap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps (n,) int -> entries that each takes (n,), and all of them, none above 255, each step's rest last.

    >>> [part.tolist() for part in _fill_gaps(np.array([7, 600]))]
    [[1, 3], [7, 255, 255, 90]]
    """
    entries = (gap - 1) // GAP_MAX + 1
    filled = np.full(entries.sum(), GAP_MAX)
    filled[np.cumsum(entries) - 1] = gap - GAP_MAX * (entries - 1)
    return entries, filled


def _positions(count: np.ndarray, gap: np.ndarray, where: str) -> np.ndarray:
    """Row of each entry in the slice's (n * 72 * 58, ...) image, from the counts (n,) of events and the gaps.

    >>> _positions(np.array([2, 0, 1]), np.array([1, 4175, 4176]), "") - [0, 0, 2 * 72 * 58]
    array([   0, 4175, 4175])
    """
    steps = gap.astype(np.int64)
    np.cumsum(steps, out=steps)
    ends = np.cumsum(count)
    before, last = np.concatenate([[0], steps])[[ends - count, ends]]
    if gap.size and not (gap.min() >= 1 and np.max(last - before) <= _PIXELS):
        raise InputError(f"{where} with a pixel outside the image", "whole content", "get the file again")
    return steps + np.repeat(np.arange(len(count)) * _PIXELS - 1 - before, count)


def _corrupt(path: Path, what: str) -> InputError:
    return InputError(f"{path} is truncated or corrupted ({what})", _KIND, _AGAIN)
