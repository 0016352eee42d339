"""A run to hold in the hand: its executors, scores, working points and accept bits.

    import codae_l1

    run = codae_l1.open_run("runs/demo")
    run.executor("rtl").scores(images)       # (N,) float64, higher is more anomalous
    run.working_points()                     # thresholds, rates, efficiencies
    run.accept(images, "1 %")                # (N,) bool

Opening a run and scoring with hls, emulator, interpreter or rtl imports no TensorFlow.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import EventImages
from codae_l1.data.formats.event_file import EventFile
from codae_l1.hls.trigger.thresholds import Decision, WorkingPoint, working_points
from codae_l1.scripts.run.events import events_path, indices
from codae_l1.scripts.run.executors import EXECUTORS, RunExecutor, Trained, open_executor, open_float
from codae_l1.scripts.run.folder import RunFolder

# Executor that scores where the run has no scores of its own yet.
_FASTEST = "emulator"


class Run(RunFolder):
    """A run folder with its trigger network opened for scoring; `codae_l1.open_run(folder)` makes it."""

    # Score words of the test events, once they are known.
    _test_words: np.ndarray | None = None

    @functools.cached_property
    def trained(self) -> Trained:
        """The trained network's config and the orientation of its score."""
        self.require("quantize")
        return Trained.read(self)

    def executor(self, name: str) -> RunExecutor:
        """One of float, qkeras, hls, emulator, interpreter, rtl; its stage must be done."""
        if name not in EXECUTORS:
            raise InputError(f"executor {name!r}", f"one of {', '.join(EXECUTORS)}", "choose one of them")
        opened = open_float(self) if name == "float" else open_executor(self, name)
        return RunExecutor(name, opened, self.trained)

    def working_points(
        self, rates_khz: Sequence[float] | None = None, fprs: Sequence[float] | None = None
    ) -> tuple[WorkingPoint, ...]:
        """Integer thresholds on the score word with their rates and efficiencies, from the run's test events.

        rates_khz: rates of weighted QCD; fprs: false-positive rates. Both None takes those of the run's config. A point
        that the events do not carry has no threshold, never fires, and its `facts["reason"]` says why.
        """
        asked = self.config.evaluation
        if rates_khz is None and fprs is None:
            rates_khz, fprs = asked.rates_khz, asked.fprs
        if not all(0 < rate < np.inf for rate in rates_khz or ()) or not all(0 < fpr < 1 for fpr in fprs or ()):
            raise InputError(
                f"rates {list(rates_khz or ())} kHz, false-positive rates {list(fprs or ())}",
                "finite rates above zero, false-positive rates between 0 and 1",
                "correct them",
            )
        with EventFile(self._own_events()) as file:
            part = indices(file, "test")
            scores = self._test_score_words(file, part)
            return working_points(
                scores,
                part,
                file.signal,
                file.weight,
                file.provenance,
                rates_khz or (),
                asked.luminosity_cm2s,
                fprs or (),
            )

    def decision(self, points: Sequence[WorkingPoint] | None = None) -> Decision:
        """From output words to accept bits, for the run's working points or the given ones."""
        chosen = self.working_points() if points is None else tuple(points)
        return Decision(chosen, self.trained.sign, self.trained.component)

    def accept(self, events: EventImages | np.ndarray, working_point: str, executor: str = _FASTEST) -> np.ndarray:
        """Which events fire: (N,) bool.

        working_point: a false-positive rate ("1 %", "fpr_0.01") or a rate of weighted QCD ("0.1 kHz", "rate_0.1_khz");
        it need not be one of the config's. A rate that the run's events do not carry raises InputError, which says why.
        """
        kind, value = _asked(working_point, [point.name for point in self.working_points()])
        (point,) = self.working_points((value,)) if kind == "rate" else self.working_points(fprs=(value,))
        if point.threshold is None:
            carried = [p.name for p in self.working_points() if p.threshold is not None]
            raise InputError(
                f"working point {working_point!r}, which the run's test events do not carry ({point.facts['reason']})",
                f"one that they carry, such as {', '.join(carried) or '(none of the config does)'}",
                "choose another, or evaluate on more events",
            )
        words = self.executor(executor).words(events)
        return self.decision((point,)).accept(words, kill=False)[:, 0]

    def _own_events(self) -> Path:
        """The run's events file; InputError where it no longer holds the events that the run was made from."""
        path, _ = events_path(self), self.read("make_data")
        with EventFile(path) as file:
            self.check_own(file)
        return path

    def _test_score_words(self, file: EventFile, part: np.ndarray) -> np.ndarray:
        """Score words of the test events: those that evaluate wrote, else computed now."""
        if self._test_words is None:
            stored = self._stored_score_words(len(file)) if self.is_done("evaluate") else None
            self._test_words = self._score_now(file, part) if stored is None else stored[part]
        return self._test_words

    def _stored_score_words(self, events: int) -> np.ndarray | None:
        """The RTL's score words (events,) that evaluate wrote; None where the file is not whole."""
        try:
            with h5py.File(self.path("evaluate", "scores.h5")) as scores:
                words = np.asarray(scores["rtl/firmware_word"])
        except (OSError, KeyError, ValueError, RuntimeError):
            return None
        return words if words.shape == (events,) and words.dtype.kind == "i" else None

    def _score_now(self, file: EventFile, part: np.ndarray) -> np.ndarray:
        step, opened = 4096, self.executor(_FASTEST)
        parts = [opened.score_words(file.read_where(part[i : i + step])) for i in range(0, len(part), step)]
        return np.concatenate([np.zeros(0, np.int64), *parts])


def _asked(text: object, known: list[str]) -> tuple[str, float]:
    """A working point's name -> ("rate", kHz) or ("fpr", fraction).

    >>> _asked("40 kHz", []), _asked("0.5 %", []), _asked("fpr_0.01", [])
    (('rate', 40.0), ('fpr', 0.005), ('fpr', 0.01))
    """
    number = r"(\d+\.?\d*(?:[eE][+-]?\d+)?)"
    forms = (
        (rf"{number} ?kHz|rate_{number}_khz", "rate", 1.0),
        (rf"{number} ?%", "fpr", 0.01),
        (rf"fpr_{number}", "fpr", 1.0),
    )
    for pattern, kind, unit in forms:
        match = re.fullmatch(pattern, str(text).strip(), re.IGNORECASE)
        value = float(next(g for g in match.groups() if g)) * unit if match else 0.0
        if value > 0 and (kind == "rate" or value < 1):
            return kind, round(value, 12)
    raise InputError(
        f"working point {text!r}",
        f'a rate such as "0.1 kHz", a false-positive rate such as "1 %", or one of {", ".join(known)}',
        "name one of them",
    )
