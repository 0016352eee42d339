"""Event images in a file: compact HDF5, checksummed, read in slices.

Nine of ten pixels are empty, so each channel is three columns: `count`, active pixels of each event; `gap`, step from
one active pixel to the next in the flattened (72, 58) image, starting at -1; `energy`, float16. With HDF5's shuffle
and gzip filters this takes about 1 kB an event. Fletcher-32 guards each block as it is read, SHA-256 the content.

Energies are float16: a relative error up to 2^-11. An active pixel stays active (at least 2^-24 GeV) and none overflows
(at most 65504 GeV).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from codae_l1.data.artifact import whole_file
from codae_l1.data.calorimeter import CHANNELS, IMAGE_SHAPE, N_ETA, N_PHI
from codae_l1.data.errors import InputError
from codae_l1.data.events import EventImages

FORMAT = "codae-l1 events"
VERSION = 1
# GeV, smallest and largest energy that float16 holds.
FLOAT16_MIN, FLOAT16_MAX = 2.0**-24, 65504.0
COLUMNS = {"signal": "S8", "n_tracks": "i4", "weight": "f8", "pileup_block": "i4"}
STREAMS = {"count": "u2", "gap": "u2", "energy": "f2"}
# Entries a compressed block, the unit of reading and of the Fletcher-32 sum.
_BLOCK = 1 << 15
_SLICE = 1024


def write_events(path: Path | str, events: EventImages | Iterable[EventImages]) -> None:
    """Write events, or parts of events one after another, whole or not at all.

    The provenance is the first part's. The file is built in memory, about 1 kB an event, and written in one go: HDF5
    does not recover from a write that the system refuses. Raises InputError where the disk is full.
    """
    parts = [events] if isinstance(events, EventImages) else events
    with h5py.File(f"{path}", "w", driver="core", backing_store=False) as file:
        _fill(file, parts)
        content = file.id.get_file_image()
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


class EventFile:
    """An open events file.

    path: the file. signal: (N,) str. n_tracks: (N,) int32. weight: (N,) float64. pileup_block: (N,) int32.
    provenance: how the events were made. checksum: SHA-256 of the content, hexadecimal.

    with EventFile("events.h5") as file:
        for events in file.slices(1000): ...
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "EventFile":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.n_tracks)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start: int = 0, stop: int | None = None) -> EventImages:
        """Events start to stop (default: to the end), without reading the others."""
        start, stop, _ = slice(start, stop).indices(len(self))
        stop = max(start, stop)
        images = np.zeros((stop - start, N_PHI * N_ETA, len(CHANNELS)), np.float32)
        for channel, name in enumerate(CHANNELS):
            first, last = self._first[name][[start, stop]]
            gap, energy = self._part(name, "gap", first, last), self._part(name, "energy", first, last)
            event, pixel = _positions(self._count[name][start:stop], gap, str(self.path))
            images[event, pixel, channel] = energy
        return EventImages(
            images.reshape(-1, *IMAGE_SHAPE),
            self.signal[start:stop],
            self.n_tracks[start:stop],
            self.weight[start:stop],
            self.pileup_block[start:stop],
            self.provenance,
        )

    def slices(self, size: int = _SLICE) -> Iterator[EventImages]:
        """All events in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.read(start, start + size)

    def read_where(self, indices: np.ndarray) -> EventImages:
        """The events at an index array or mask (N,), in its order; reads only the slices that hold some."""
        indices = np.asarray(indices)
        if indices.dtype == bool:
            indices = np.flatnonzero(indices)
        if indices.size and not (indices.min() >= 0 and indices.max() < len(self)):
            raise InputError(f"event {indices.max()} of {self.path}", f"0 to {len(self) - 1}", "correct the indices")
        images = np.zeros((len(indices), *IMAGE_SHAPE), np.float32)
        for number in np.unique(indices // _SLICE):
            here = np.flatnonzero(indices // _SLICE == number)
            part = self.read(number * _SLICE, (number + 1) * _SLICE)
            images[here] = part.images[indices[here] - number * _SLICE]
        columns = [getattr(self, name)[indices] for name in COLUMNS]
        return EventImages(images, *columns, provenance=self.provenance)

    def verify(self) -> None:
        """Raise InputError unless the whole content has the checksum that was written with it."""
        hashes = _Hashes()
        for name in _datasets():
            length = len(self._file[name])
            for first in range(0, length, 32 * _BLOCK):
                hashes.update(name, self._get(name, slice(first, min(first + 32 * _BLOCK, length))))
        if hashes.total() != self.checksum:
            raise _corrupt(self.path, "its content does not have its checksum")

    def _read_header(self) -> None:
        attributes = self._file.attrs
        if attributes.get("format") != FORMAT:
            raise InputError(f"{self.path} is HDF5 of another kind", "events of codae-l1", "make_data.py writes them")
        if attributes["version"] != VERSION:
            raise InputError(f"{self.path} of version {attributes['version']}", f"version {VERSION}", "make it again")
        try:
            self.provenance: dict[str, Any] = json.loads(attributes["provenance"])
            self.checksum = str(attributes["checksum"])
            shape = tuple(int(n) for n in attributes["image_shape"])
            datasets = {name: self._content(name) for name in COLUMNS}
            self._count = {name: self._content(f"{name}/count").astype(np.int64) for name in CHANNELS}
            streams = {(n, s): len(self._file[f"{n}/{s}"]) for n in CHANNELS for s in ("gap", "energy")}
        except (KeyError, ValueError, TypeError) as error:
            raise _corrupt(self.path, f"part of it is missing: {error}") from error
        if shape != IMAGE_SHAPE:
            raise InputError(f"{self.path} with images of shape {shape}", f"{IMAGE_SHAPE}", "use the project's grid")
        self.signal = datasets["signal"].astype("U8")
        self.n_tracks, self.weight = datasets["n_tracks"], datasets["weight"]
        self.pileup_block = datasets["pileup_block"]
        self._first = {name: np.concatenate([[0], np.cumsum(n)]) for name, n in self._count.items()}
        lengths = {len(column) for column in (*datasets.values(), *self._count.values())}
        if len(lengths) != 1 or any(self._first[n][-1] != length for (n, _), length in streams.items()):
            raise _corrupt(self.path, "its columns are of different lengths")

    def _content(self, name: str) -> np.ndarray:
        return self._get(name, slice(None))

    def _part(self, channel: str, stream: str, first: int, last: int) -> np.ndarray:
        return self._get(f"{channel}/{stream}", slice(int(first), int(last)))

    def _get(self, name: str, where: slice) -> np.ndarray:
        dataset = self._file[name]
        try:
            return dataset[where]
        except OSError as error:
            raise _corrupt(self.path, f"{name} cannot be read: {error}") from error


class _Hashes:
    """SHA-256 of each dataset, fed part by part, and of them all."""

    def __init__(self):
        self._parts = {name: hashlib.sha256() for name in _datasets()}

    def update(self, name: str, content: np.ndarray) -> None:
        self._parts[name].update(np.ascontiguousarray(content).tobytes())

    def total(self) -> str:
        return hashlib.sha256(b"".join(h.digest() for h in self._parts.values())).hexdigest()


def _datasets() -> list[str]:
    return [*COLUMNS, *(f"{channel}/{stream}" for channel in CHANNELS for stream in STREAMS)]


def _fill(file: h5py.File, parts: Iterable[EventImages]) -> None:
    dtypes = COLUMNS | {f"{channel}/{stream}": dtype for channel in CHANNELS for stream, dtype in STREAMS.items()}
    for name, dtype in dtypes.items():
        options = {"shuffle": True, "compression": "gzip", "compression_opts": 9, "fletcher32": True}
        file.create_dataset(name, shape=(0,), maxshape=(None,), dtype=f"<{dtype}", chunks=(_BLOCK,), **options)
    hashes, provenance = _Hashes(), None
    for events in parts:
        provenance = events.provenance if provenance is None else provenance
        for start in range(0, len(events), _SLICE):
            for name, column in _columns(events, slice(start, start + _SLICE)).items():
                column = column.astype(f"<{dtypes[name]}")
                hashes.update(name, column)
                dataset = file[name]
                dataset.resize(len(dataset) + len(column), axis=0)
                dataset[len(dataset) - len(column) :] = column
    file.attrs.update(
        {
            "format": FORMAT,
            "version": VERSION,
            "image_shape": IMAGE_SHAPE,
            "channels": ", ".join(CHANNELS),
            "energies": "GeV, float16; active pixels kept within 2^-24 to 65504",
            "provenance": json.dumps(provenance or {}, allow_nan=False),
            "checksum": hashes.total(),
        }
    )
    file.flush()


def _columns(events: EventImages, which: slice) -> dict[str, np.ndarray]:
    """The datasets of a slice of events."""
    columns = {name: getattr(events, name)[which] for name in COLUMNS}
    images = events.images[which].reshape(-1, N_PHI * N_ETA, len(CHANNELS))
    for channel, name in enumerate(CHANNELS):
        event, pixel = np.nonzero(images[..., channel])
        count = np.bincount(event, minlength=len(images))
        before = np.concatenate([[-1], pixel[:-1]])
        before[np.flatnonzero(np.diff(event, prepend=-1))] = -1
        energy = np.clip(images[event, pixel, channel], FLOAT16_MIN, FLOAT16_MAX).astype(np.float16)
        columns |= {f"{name}/count": count, f"{name}/gap": pixel - before, f"{name}/energy": energy}
    return columns


def _positions(count: np.ndarray, gap: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Event and pixel of each active pixel, from the counts (n,) of events and the gaps, one an active pixel."""
    event = np.repeat(np.arange(len(count)), count)
    steps = np.cumsum(gap.astype(np.int64))
    before = np.concatenate([[0], steps])[np.concatenate([[0], np.cumsum(count)[:-1]])] if len(count) else steps
    pixel = steps - before[event] - 1
    if pixel.size and not (pixel.min() >= 0 and pixel.max() < N_PHI * N_ETA):
        raise InputError(f"{where} with a pixel outside the image", "whole content", "get the file again")
    return event, pixel


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise InputError(f"{path} does not exist", "an HDF5 file of events", "make one with scripts/make_data.py")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise _corrupt(path, f"HDF5 cannot open it: {error}") from error


def _corrupt(path: Path, what: str) -> InputError:
    return InputError(f"{path} is truncated or corrupted ({what})", "a whole events file", "copy or make it again")
