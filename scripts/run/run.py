"""A run to hold in the hand: its executors, scores, working points and accept bits.

    import codae_l1

    run = codae_l1.open_run("runs/demo")
    run.executor("rtl").scores(images)       # (N,) float64, higher is more anomalous
    run.working_points()                     # thresholds, rates, efficiencies
    run.accept(images, "1e-3")               # (N,) bool

Opening a run and scoring with hls, emulator, interpreter or rtl imports no TensorFlow.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import opened_hdf5
from codae_l1.data.events import ZERO_BIAS, EventImages
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.menu import solve_menu
from codae_l1.hls.trigger.thresholds import Decision, WorkingPoint, working_points, zero_bias_points
from codae_l1.models.evaluation.crossing_rates import Crossings, parse_point
from codae_l1.scripts.run.events import events_path, indices
from codae_l1.scripts.run.executors import EXECUTORS, RunExecutor, Trained, open_executor, open_float
from codae_l1.scripts.run.folder import RunFolder


class _Judged(NamedTuple):
    """Crossings of the test split with their words: zero bias, signal -> crossings, and the menu's thresholds."""

    zero_bias: Crossings
    signals: dict[str, Crossings]
    menu: dict[str, int]


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
        self,
        rates_khz: Sequence[float] | None = None,
        fprs: Sequence[float] | None = None,
        points: Sequence[str] | None = None,
    ) -> tuple[WorkingPoint, ...]:
        """Integer thresholds on the score word with their rates and efficiencies.

        points: rates on the run's zero-bias crossings, such as "1e-3" or "1 kHz pure". rates_khz: of weighted QCD;
        fprs: false-positive rates; both on the run's test events. All None takes the config's trigger.points, or
        evaluation.rates_khz and fprs where the run has no crossings. A point that the sample does not carry has no
        threshold, never fires, and its `facts["reason"]` says why.
        """
        asked = self.config.evaluation
        if points is None and rates_khz is None and fprs is None:
            if isinstance(self._crossings, _Judged):
                points = self.config.trigger.points
            else:
                rates_khz, fprs = asked.rates_khz, asked.fprs
        named = () if points is None else self._zero_bias_points(tuple(points))
        if rates_khz is None and fprs is None:
            return named
        if not all(0 < rate < np.inf for rate in rates_khz or ()) or not all(0 < fpr < 1 for fpr in fprs or ()):
            raise InputError(
                f"rates {list(rates_khz or ())} kHz, false-positive rates {list(fprs or ())}",
                "finite rates above zero, false-positive rates between 0 and 1",
                "correct them",
            )
        with EventFile(self._own_events()) as file:
            part = indices(file, "test")
            scores = self._test_score_words(file, part)
            of_qcd = working_points(
                scores,
                part,
                file.signal,
                file.weight,
                file.provenance,
                rates_khz or (),
                asked.luminosity_cm2s,
                fprs or (),
            )
        return (*named, *of_qcd)

    def _zero_bias_points(self, points: tuple[str, ...]) -> tuple[WorkingPoint, ...]:
        judged, khz = self._crossings, self.config.trigger.crossing_khz
        if len({parse_point(name, khz)[1:] for name in points}) < len(points):
            raise InputError(
                f"working points {', '.join(points)}, two of which are one", "different ones", "remove one"
            )
        if not isinstance(judged, _Judged):
            raise InputError(
                f"working points {', '.join(points)} of a run without crossings ({judged})",
                "rates or false-positive rates of QCD, such as rate_0.1_khz or fpr_0.01",
                "name a file of crossings in trigger.crossings",
            )
        return zero_bias_points(judged.zero_bias, judged.signals, points, judged.menu, khz)

    @functools.cached_property
    def _crossings(self) -> "_Judged | str":
        """The run's crossings of the test split with their words, or why it has none."""
        from codae_l1.scripts.run.crossings import RunCrossings

        config, reason = self.config.trigger, self.config.why_no_crossings()
        if reason:
            return reason
        self.check_own_crossings()
        executor = self.executor(_FASTEST)
        try:
            found = RunCrossings(config, executor, self.config.seed, supervised=False)
            zero_bias = found.read(ZERO_BIAS)
            menu = solve_menu(zero_bias.words, zero_bias.weight, config.menu, config.crossing_khz)
        except InputError as error:
            # As in evaluate: the shipped crossings need not fit every network and menu.
            if config.crossings != "sample":
                raise
            return str(error)
        return _Judged(zero_bias, {name: found.read(name) for name in found.signals}, menu.thresholds)

    def decision(self, points: Sequence[WorkingPoint] | None = None) -> Decision:
        """From output words to accept bits, for the run's working points or the given ones."""
        chosen = self.working_points() if points is None else tuple(points)
        return Decision(chosen, self.trained.sign, self.trained.component)

    def accept(self, events: EventImages | np.ndarray, working_point: str, executor: str = _FASTEST) -> np.ndarray:
        """Which events fire: (N,) bool.

        working_point: a share of zero-bias crossings ("1e-3", or "0.1 %"), a rate ("20 kHz") or a rate beyond the
        menu ("20 kHz pure"); "fpr_0.01" and "rate_0.1_khz" are of the run's QCD above its selection, and so are "1 %"
        and "0.1 kHz" where the run has no crossings, and only there. It need not be one of the config's. A rate that
        the sample does not carry raises InputError, which says why.
        """
        point = self._point(working_point)
        if point.threshold is None:
            carried = [p.name for p in self.working_points() if p.threshold is not None]
            raise InputError(
                f"working point {working_point!r}, which the run's sample does not carry ({point.facts['reason']})",
                f"one that they carry, such as {', '.join(carried) or '(none of the config does)'}",
                "choose another, or a larger sample",
            )
        words = self.executor(executor).words(events)
        return self.decision((point,)).accept(words, kill=False)[:, 0]

    def _point(self, name: object) -> WorkingPoint:
        """The working point of a name; InputError where it is none."""
        of_qcd = re.fullmatch(r"\s*(rate|fpr)_.*", str(name))
        if isinstance(self._crossings, _Judged) and isinstance(name, str) and not of_qcd:
            percent = re.fullmatch(r"\s*(\d+\.?\d*) ?%\s*", name)
            asked = f"{float(percent[1]) / 100:.12g}" if percent else name
            try:
                parse_point(asked, self.config.trigger.crossing_khz)
            except InputError as error:
                raise InputError(f"working point {name!r}", error.expected, error.remedy) from error
            return self.working_points(points=(asked,))[0]
        kind, value = _asked(name, [point.name for point in self.working_points()])
        return (self.working_points((value,)) if kind == "rate" else self.working_points(fprs=(value,)))[0]

    def _own_events(self) -> Path:
        """The run's events file; InputError where it no longer holds the events that the run was made from."""
        path, _ = events_path(self), self._read("make_data")
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
            with opened_hdf5(self.path("evaluate", "scores.h5"), "scores") as scores:
                words = np.asarray(scores["rtl/firmware_word"])
        except RunFolder.Altered:
            raise
        except InputError:
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
