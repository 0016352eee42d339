"""The events of a run: which file, which events are in which split."""

from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.errors import InputError
from codae_l1.data.events import QCD, EventImages
from codae_l1.data.sample import SAMPLE
from codae_l1.data.splits import split_of
from codae_l1.data.store import EventFile

# Fewer QCD events than this in a split, and a training or an AUC says nothing.
MIN_QCD_EVENTS = 50


def events_path(run: Any) -> Path:
    """The events file that the run's config names."""
    source = run.config.data.events
    if source == "generate":
        return run.path("make_data", "events.h5")
    return Path(SAMPLE) if source == "sample" else Path(source)


def indices(file: EventFile, split: str, qcd_only: bool = False) -> np.ndarray:
    """Sorted indices of a split's events; InputError where the split holds too few QCD events.

    Events without a known pile-up block (-1) belong to no split of a training: they can be scored, not trained on.
    """
    chosen = split_of(file.pileup_block) == split
    n_qcd = int(np.sum(chosen & (file.signal == QCD)))
    if n_qcd < MIN_QCD_EVENTS:
        raise InputError(
            f"{n_qcd} QCD events in the {split} split of {file.path}",
            f"at least {MIN_QCD_EVENTS}",
            "generate more events (scripts/make_data.py)",
        )
    return np.flatnonzero(chosen & ((file.signal == QCD) | (not qcd_only)))


def read_split(run: Any, split: str, qcd_only: bool = True) -> EventImages:
    """The events of a split; QCD alone unless asked otherwise."""
    with EventFile(events_path(run)) as file:
        return file.read_where(indices(file, split, qcd_only))
