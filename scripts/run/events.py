"""The events of a run: which file, which events are in which split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.spool import Spool
from codae_l1.data.events import QCD, EventImages
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.sample import SAMPLE
from codae_l1.data.splits import CYCLE, SHARES, SPLITS, split_of
from codae_l1.scripts.run.config import RunConfig

# Fewer QCD events than this in a split, and a training or an AUC says nothing.
MIN_QCD_EVENTS = 50
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


def check_events(file: EventFile) -> None:
    """Raise InputError where a run could measure nothing: no signal in the test split, or weights that are none.

    No AUC and no rate follows from negative or non-finite weights.
    """
    bad = ~(np.isfinite(file.weight) & (file.weight >= 0))
    if bad.any():
        raise InputError(
            f"{file.path}: {bad.sum():,} of {len(file):,} events with a negative or non-finite weight, the first "
            f"{file.weight[bad][0]:g} of event {np.argmax(bad)}",
            "finite weights >= 0",
            "generate events with positive weights, or give all the weight 1",
        )
    if not np.any(_in_split(file, "test") & ~file.is_process(QCD)):
        raise InputError(
            f"no signal events in the test split of {file.path}{_unknown(file)}",
            "at least one signal",
            "generate some (scripts/make_data.py --n-signal)",
        )


def indices(file: EventFile, split: str, qcd_only: bool = False) -> np.ndarray:
    """Sorted indices of a split's events; InputError where the split holds too few QCD events.

    Events without a known pile-up block (-1) belong to no split of a training: they can be scored, not trained on.
    """
    chosen, of_qcd = _in_split(file, split), file.is_process(QCD)
    n_qcd = int(np.sum(chosen & of_qcd))
    if n_qcd < MIN_QCD_EVENTS:
        raise InputError(
            f"{n_qcd} QCD events in the {split} split of {file.path}{_unknown(file)}",
            f"at least {MIN_QCD_EVENTS}",
            "generate more events (scripts/make_data.py)",
        )
    return np.flatnonzero(chosen & (of_qcd | (not qcd_only)))


def _in_split(file: EventFile, split: str) -> np.ndarray:
    """Mask (N,) of a split's events; without a text for each event, which would take memory that grows."""
    of_block, block = np.repeat(SPLITS, SHARES) == split, file.pileup_block
    return (block >= 0) & of_block[np.maximum(block, 0) % CYCLE]


def _unknown(file: EventFile) -> str:
    n = int(np.sum(file.pileup_block < 0))
    return f" ({n} of {len(file)} events without a known pile-up block)" if n else ""


def read_split(run: _HasEvents, split: str, qcd_only: bool = True) -> EventImages:
    """The events of a split; QCD alone unless asked otherwise."""
    with EventFile(events_path(run)) as file:
        run.check_own(file)
        return file.read_where(indices(file, split, qcd_only))


def read_each(
    run: _HasEvents,
    split: str,
    each: Callable[[np.ndarray], np.ndarray],
    qcd_only: bool = True,
    into: Spool | None = None,
) -> tuple[Any, np.ndarray]:
    """What `each` makes of the images of a split, and the process of each event: (N, ...) and (N,) str.

    The images are read a slice at a time: a whole split of them takes 50 kB per event.

    each: images (n, 72, 58, 3) GeV -> array (n, ...). into: a Spool that takes what is made, and is given back in the
    place of an array.
    """
    with EventFile(events_path(run)) as file:
        run.check_own(file)
        chosen = indices(file, split, qcd_only)
        slices = (chosen[chosen // SLICE == number] for number in np.unique(chosen // SLICE))
        made = (each(file.read_where(part).images) for part in slices)
        if into is None:
            values: Any = np.concatenate(list(made))
        else:
            values = into
            for part in made:
                into.add(part)
        return values, np.full(len(chosen), QCD) if qcd_only else file.signal[chosen]
