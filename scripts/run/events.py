"""The events of a run: which file, which events are in which split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.spool import Spool
from codae_l1.data.events import QCD, ZERO_BIAS, EventImages
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.sample import SAMPLE
from codae_l1.data.splits import CYCLE, SHARES, SPLITS, split_of
from codae_l1.scripts.run.config import RunConfig

# Fewer background events than this in a split, and a training or an AUC says nothing.
MIN_BACKGROUND_EVENTS = 50
# A background in words.
_NAMES = {QCD: "QCD events", ZERO_BIAS: "zero-bias crossings"}
# Events that are read at a time.
SLICE = 1024


class _HasEvents(Protocol):
    """What is asked of a run here: its config, and where a stage keeps its files."""

    config: RunConfig

    def path(self, stage: str, *names: str) -> Path:
        """The folder of a stage, or a file in it."""
        ...

    def check_own(self, file: EventFile) -> None:
        """Raise InputError where a file does not hold the run's own events."""
        ...


def events_path(run: _HasEvents) -> Path:
    """The events file that the run's config names."""
    source = run.config.data.events
    if source == "generate":
        return run.path("make_data", "events.h5")
    return Path(SAMPLE) if source == "sample" else Path(source)


def splits(file: EventFile) -> np.ndarray:
    """Split (N,) str of each event; "none" where the pile-up block is not known (-1)."""
    known = file.pileup_block >= 0
    return np.where(known, split_of(np.where(known, file.pileup_block, 0)), "none")


def check_events(file: EventFile, background: str = QCD) -> None:
    """Raise InputError where a run could measure nothing: no signal in the test split, or weights that are none.

    No AUC and no rate follows from negative or non-finite weights, no share of crossings from those of which some
    stand for more than others. background: what the run's config says of the file (data.background).
    """
    if file.background != background:
        raise InputError(
            f"data.background = {background!r} with {file.path}, whose background is {file.background!r}",
            "the file's background",
            f"set data.background = {file.background!r}, or name another file in data.events",
        )
    weight = file.weight[file.is_process(ZERO_BIAS)]
    if weight.size and np.ptp(weight) > 1e-9 * np.abs(weight).max():
        raise InputError(
            f"{file.path}: zero-bias crossings of different weights ({weight.min():g} to {weight.max():g})",
            "crossings that all count as one",
            "make them with bias = 0 (scripts/make_data.py --layout crossings)",
        )
    bad = ~(np.isfinite(file.weight) & (file.weight >= 0))
    if bad.any():
        raise InputError(
            f"{file.path}: {bad.sum():,} of {len(file):,} events with a negative or non-finite weight, the first "
            f"{file.weight[bad][0]:g} of event {np.argmax(bad)}",
            "finite weights >= 0",
            "generate events with positive weights, or give all the weight 1",
        )
    if not np.any(_in_split(file, "test") & ~file.is_process(background)):
        raise InputError(
            f"no signal events in the test split of {file.path}{_unknown(file)}",
            "at least one signal",
            "generate some (scripts/make_data.py --n-signal)",
        )


def indices(file: EventFile, split: str, background_only: bool = False) -> np.ndarray:
    """Sorted indices of a split's events; InputError where the split holds too few background events.

    Events without a known pile-up block (-1) belong to no split of a training: they can be scored, not trained on.
    """
    background = file.background
    chosen, found = _in_split(file, split), file.is_process(background)
    number = int(np.sum(chosen & found))
    if number < MIN_BACKGROUND_EVENTS:
        raise InputError(
            f"{number} {_NAMES[background]} in the {split} split of {file.path}{_unknown(file)}",
            f"at least {MIN_BACKGROUND_EVENTS}",
            "generate more events (scripts/make_data.py)",
        )
    return np.flatnonzero(chosen & (found | (not background_only)))


def _in_split(file: EventFile, split: str) -> np.ndarray:
    """Mask (N,) of a split's events; without a text for each event, which would take memory that grows."""
    of_block, block = np.repeat(SPLITS, SHARES) == split, file.pileup_block
    return (block >= 0) & of_block[np.maximum(block, 0) % CYCLE]


def _unknown(file: EventFile) -> str:
    n = int(np.sum(file.pileup_block < 0))
    return f" ({n} of {len(file)} events without a known pile-up block)" if n else ""


def read_split(run: _HasEvents, split: str, background_only: bool = True) -> EventImages:
    """The events of a split; the background alone unless asked otherwise."""
    with EventFile(events_path(run)) as file:
        run.check_own(file)
        return file.read_where(indices(file, split, background_only))


def read_each(
    run: _HasEvents,
    split: str,
    each: Callable[[np.ndarray], np.ndarray],
    background_only: bool = True,
    into: Spool | None = None,
) -> tuple[Any, np.ndarray]:
    """What `each` makes of the images of a split, and the process of each event: (N, ...) and (N,) str.

    The images are read a slice at a time: a whole split of them takes 50 kB per event.

    each: images (n, 72, 58, 3) GeV -> array (n, ...). into: a Spool that takes what is made, and is given back in the
    place of an array.
    """
    with EventFile(events_path(run)) as file:
        run.check_own(file)
        chosen = indices(file, split, background_only)
        slices = (chosen[chosen // SLICE == number] for number in np.unique(chosen // SLICE))
        made = (each(file.read_where(part).images) for part in slices)
        if into is None:
            values: Any = np.concatenate(list(made))
        else:
            values = into
            for part in made:
                into.add(part)
        return values, np.full(len(chosen), file.background) if background_only else file.signal[chosen]
