"""Events in memory: images, and what is known about each of them.

An event image is the calorimeter of one bunch crossing, (72, 58, 3) in GeV (channel 0 the pT of tracks at the
calorimeter face, 1 and 2 the transverse energy in ECAL and HCAL towers). The processes are those of the public CoDAE
sample (arXiv:2306.12955).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import REAL, WordType
from codae_l1.data.calorimeter import IMAGE_SHAPE

QCD = "qcd"
# Name -> mass of the scalar [GeV]; SUEP: soft unclustered energy patterns.
SUEP_MASSES = {"h125": 125.0, "h200": 200.0, "h300": 300.0, "h400": 400.0, "h700": 700.0, "h1000": 1000.0}
# Name -> mass of the Z' [GeV]; SVJ: semi-visible jets.
SVJ_MASSES = {"svj2100": 2100.0, "svj3100": 3100.0, "svj4100": 4100.0}
SIGNALS = (*SUEP_MASSES, *SVJ_MASSES)
PROCESSES = (QCD, *SIGNALS)
# A crossing of inelastic collisions alone, with no selection.
ZERO_BIAS = "zero_bias"
# What a training learns from, and signals are told from; one of them in a run.
BACKGROUNDS = (QCD, ZERO_BIAS)
# Every name that an event may have.
CLASSES = (*BACKGROUNDS, *SIGNALS)


@dataclass(frozen=True)
class EventImages:
    """N events.

    images: (N, 72, 58, 3) float32, axes (event, phi, eta, channel), GeV.
    signal: (N,) str, "qcd", "zero_bias" or the signal's name.
    n_tracks: (N,) int32, tracks of channel 0.
    weight: (N,) float64, relative; physical rates need them (1 where unknown).
    pileup_block: (N,) int32, which block of the pile-up pool the event was overlaid with; -1 where unknown. Events that
    share a block stay in one split.
    provenance: how the events were made (generator, settings, seed, versions), JSON-ready.
    """

    images: np.ndarray
    signal: np.ndarray
    n_tracks: np.ndarray
    weight: np.ndarray
    pileup_block: np.ndarray
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        check_images(self.images)
        check_signals(self.signal)
        for f in fields(self)[1:5]:
            if len(getattr(self, f.name)) != len(self.images):
                raise InputError(
                    f"{len(getattr(self, f.name))} entries of {f.name} for {len(self.images)} images",
                    "one entry per event",
                    "correct the file",
                )

    @classmethod
    def of_good_energies(cls, images: np.ndarray, signal: np.ndarray, *rest: Any) -> "EventImages":
        """Events whose shapes and energies are known to be good: only the names are checked, not every pixel."""
        check_signals(signal)
        events = object.__new__(cls)
        for f, value in zip(fields(cls), (images, signal, *rest), strict=True):
            object.__setattr__(events, f.name, value)
        return events

    def __len__(self) -> int:
        return len(self.images)

    @property
    def contradictory(self) -> np.ndarray:
        """Which events (N,) have tracks, but no active pixel of tracks, or less than no tracks."""
        return (self.n_tracks < 0) | ((self.n_tracks > 0) & ~np.any(self.images[..., 0], axis=(1, 2)))

    def checked(self, where: str = "images", start: int = 0) -> "EventImages":
        """The events themselves; InputError where some are contradictory, or of no block of pile-up. start: number of
        the first one.

        Where a part of a file was lost, its images are empty: only this tells them from empty events.
        """
        unknown = self.pileup_block < -1
        if unknown.any():
            first = int(np.argmax(unknown))
            raise InputError(
                f"{where} of pileup_block {self.pileup_block[first]} in event {start + first}",
                "the number of a block, or -1 where it is not known",
                "correct the file",
            )
        wrong = self.contradictory
        if wrong.any():
            first = int(np.argmax(wrong))
            seen = "an" if self.images[first, ..., 0].any() else "no"
            raise InputError(
                f"{where} in {wrong.sum()} of {len(wrong)} events contradict n_tracks: event {start + first} has "
                f"n_tracks = {self.n_tracks[first]} and {seen} active pixel of tracks",
                "an active pixel where there are tracks, and n_tracks >= 0",
                "copy or make the file again; part of it may be missing",
            )
        return self

    def select(self, which: np.ndarray) -> "EventImages":
        """The events at an index array or mask, in its order."""
        return EventImages.of_good_energies(
            self.images[which],
            self.signal[which],
            self.n_tracks[which],
            self.weight[which],
            self.pileup_block[which],
            self.provenance,
        )


def unweighted(images: np.ndarray, signal: np.ndarray, n_tracks: np.ndarray, provenance: dict) -> EventImages:
    """Events without further information: weights 1, pile-up blocks unknown (-1)."""
    n = len(images)
    names, tracks = signal.astype("U16"), n_tracks.astype(np.int32)
    return EventImages(images, names, tracks, np.ones(n), np.full(n, -1, np.int32), provenance)


def concatenate(parts: Sequence[EventImages]) -> EventImages:
    """One EventImages made of several, with the provenance of the first."""
    if len(parts) == 1:
        return parts[0]
    columns = [np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(EventImages)[:5]]
    return EventImages.of_good_energies(*columns, parts[0].provenance)


def check_images(images: np.ndarray, where: str = "images", start: int = 0) -> None:
    """Raise InputError unless images are (N, 72, 58, 3) real numbers, without a mask, finite and not negative.

    start: number of the first event.
    """
    images = WordType.array(images, where, REAL)
    if images.ndim != 4 or images.shape[1:] != IMAGE_SHAPE:
        raise InputError(
            f"{where} of shape {images.shape}",
            f"(N, {', '.join(map(str, IMAGE_SHAPE))}), axes (event, phi, eta, channel)",
            "pool or transpose the images to the calorimeter grid",
        )
    # The minimum of an array with NaN is NaN, and no comparison with NaN holds: one pass finds both.
    if images.size and not (images.min() >= 0 and np.isfinite(images.max())):
        bad = ~(np.isfinite(images) & (images >= 0)).all(axis=(1, 2, 3))
        kind = "NaN or infinite" if not np.isfinite(images).all() else "negative"
        raise InputError(
            f"{where} with {kind} energy in {bad.sum()} of {len(images)} events, first event {start + np.argmax(bad)}",
            "finite energies >= 0 GeV",
            "remove or repair those events",
        )


def check_signals(names: np.ndarray, where: str = "") -> None:
    """Raise InputError if a name is not a known process. where: the file, for the message."""
    unknown = sorted(set(np.unique(names).tolist()) - {*CLASSES})
    if unknown:
        raise InputError(
            f"{where}{': ' if where else ''}unknown signal name {', '.join(map(repr, unknown))}",
            f"one of {', '.join(CLASSES)}",
            "correct the name",
        )
