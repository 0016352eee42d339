"""What scripts/compare.py measures: scores of each system on the same events -> rows of a table, JSON-ready.

A row is one score of one system, or the firmware, or a published model. AUC, FPR and TPR are means over the seeds;
`error` is the standard deviation over bootstrap samples of both classes' events, of the first seed, `_spread` the
standard deviation over seeds (ddof 1). Each event counts once in them: only the rate is of weighted QCD.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import parse_table, read_arrays, sha256, whole_file
from codae_l1.data.events import BACKGROUNDS, QCD, SIGNALS, ZERO_BIAS, concatenate
from codae_l1.data.formats import read_events
from codae_l1.data.formats.event_file import EventFile
from codae_l1.models.evaluation.rates import accepted_cross_section, background_rate
from codae_l1.models.evaluation.roc import (
    MINIMUM_BACKGROUND,
    auc,
    auc_with_error,
    fpr_at_tpr,
    roc_curve,
    tpr_at_fpr,
)
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.events import check_events, events_path, indices
from codae_l1.scripts.studies import _cicada

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


# Working points of the tables: FPR where the signal efficiency is TPR, TPR where the background's is FPR, and LOW_FPR
# if there is enough background.
TPR, FPR, LOW_FPR = 0.4, 0.01, 0.001
# False-positive rates at which ROC curves are kept.
ROC_GRID = np.logspace(-3, 0, 61)
# Events that a network is timed and held against Keras on.
TIMED_EVENTS = 16
# Of the auto-encoder (principal components of the pooled mask) whose complexity bias is shown; fewest events that it is
# fitted to, and of which each AUC is.
BIAS_COMPONENTS, BIAS_EVENTS = 5, 20
# What is expected: system -> the AUC of `CctSystem.classification`, mean over the seeds, that it is to surpass.
EXPECTED_AUC = {"cct_three_class": 0.95}


@dataclass(frozen=True)
class _ComparedEvents:
    """The events that all systems score.

    images (N, 72, 58, 3) GeV, signal (N,) str, n_tracks (N,), weight (N,). cross_section_pb: of the QCD; None where it
    is not known, then `no_rate` says why. key: what tells these events from others. what: in words. published: scores
    of published models that came with the events, name -> (N,).
    """

    images: np.ndarray
    signal: np.ndarray
    n_tracks: np.ndarray
    weight: np.ndarray
    cross_section_pb: float | None
    no_rate: str | None
    key: str
    what: str
    published: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        if len(found := [name for name in BACKGROUNDS if name in self.signal]) != 1 or np.all(self.is_background):
            raise InputError(
                f"events of {', '.join(np.unique(self.signal))}{' alone' if len(found) < 2 else ''}",
                "one background (QCD or zero bias) and a signal",
                "name other files",
            )

    @property
    def is_background(self) -> np.ndarray:
        """Mask (N,) of the background."""
        return np.isin(self.signal, BACKGROUNDS)

    @property
    def background(self) -> str:
        """Its name."""
        return QCD if QCD in self.signal else ZERO_BIAS

    def published_parts(self) -> "dict[str, Part]":
        """Name -> part of each published model whose scores came with the events."""
        record = {"main_score": "mse", "learning": "background", "parameters": 1_646_467, "how": None}
        return {"published CoDAE": Part(self.published, record)} if self.published else {}


def _section(file: EventFile) -> float:
    """Accepted cross section [pb] of a file's QCD."""
    is_qcd = file.is_process(QCD)
    if not is_qcd.any():
        raise InputError("zero-bias crossings, whose rate is a share of all crossings", "QCD", "see the report's rates")
    return accepted_cross_section(file.provenance, QCD, file.weight[is_qcd])


@dataclass(frozen=True)
class Part:
    """One system with one seed, scored. scores: name -> (N,). record: parameters, macs, cpu, seconds, ... (JSON).

    untrained: the scores of the same system before training, where it is a random network of its own.
    """

    scores: dict[str, np.ndarray]
    record: dict[str, Any]
    untrained: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        with whole_file(path) as temporary, open(temporary, "wb") as handle:
            kinds = {"scores": self.scores, "untrained": self.untrained}
            named: dict[str, Any] = {f"{kind}/{name}": x for kind, of in kinds.items() for name, x in of.items()}
            np.savez(handle, record=json.dumps(self.record), **named)

    @classmethod
    def load(cls, path: Path, key: str) -> "Part | None":
        """The part that a file holds, if there is one that is whole and was made from what `key` says."""
        try:
            arrays = read_arrays(path, "a part of a comparison", keys=("record",))
            record = parse_table(str(arrays.pop("record")), path, ("key",))
        except InputError:
            return None
        of: dict[str, dict[str, np.ndarray]] = {"scores": {}, "untrained": {}}
        for name, values in arrays.items():
            kind, score = name.split("/", 1)
            of[kind][score] = values
        return cls(of["scores"], record, of["untrained"]) if record["key"] == key else None

    @staticmethod
    def of_cicada(checkout: Path) -> "Callable[[np.ndarray], Part]":
        """The published networks of a checkout of github.com/cms-hls4ml/CICADA, read now: images -> their part.

        images: (N, 72, 58, 3) GeV. InputError where the networks are not there or are others.
        """
        networks = _cicada.read_published(checkout)
        return lambda images: Part(*_cicada.published(networks, images))


def run_events(run: "Run") -> _ComparedEvents:
    """The test events of a run."""
    with EventFile(events_path(run)) as file:
        run.check_own(file)
        check_events(file, run.config.data.background)
        events = file.read_where(indices(file, "test"))
        try:
            section, reason = _section(file), None
        except InputError as error:
            section, reason = None, str(error)
        record = (events.n_tracks, events.weight, section, reason, file.checksum, "the run's test events")
    return _ComparedEvents(events.images, events.signal, *record)


def file_events(paths: Sequence[Path]) -> _ComparedEvents:
    """All events of some files; those of the public sample come with the published models' scores."""
    parts = [read_events(path) for path in paths]
    events = concatenate(parts)
    reason = "events of files: the cross section that they stand for is not known"
    key = ",".join(sha256(path) for path in paths)
    what = ", ".join(path.name for path in paths)
    published = _published(paths, [len(part) for part in parts])
    record = (events.n_tracks, events.weight, None, reason, key, what, published)
    return _ComparedEvents(events.images, events.signal, *record)


def _published(paths: Sequence[Path], lengths: Sequence[int]) -> dict[str, np.ndarray]:
    """Reconstruction MSE of the published CoDAE, where every file has it in ../reference_scores.npz of the sample."""
    columns = []
    for path, n in zip(paths, lengths, strict=True):
        file = path.resolve().parent.parent / "reference_scores.npz"
        if not file.is_file():
            return {}
        stored = read_arrays(file, "the published scores of the sample", keys=("columns",))
        if path.stem not in stored or len(stored[path.stem]) != n:
            return {}
        columns.append(stored[path.stem][:, stored["columns"].tolist().index("reco_mse")])
    return {"mse": np.concatenate(columns).astype(np.float64)}


def timing(system: Any, images: np.ndarray) -> dict[str, Any]:
    """CPU time of one event: cpu_ms and `how`. A network is timed as TF-Lite, another system as the Python it is."""

    from codae_l1.models.evaluation.tflite import TIMED_SECONDS, time_one

    network = system.predict_function(images[:TIMED_EVENTS])
    if network is not None:
        with cli.silent_stderr():
            part = f", {system.timed}" if system.timed else ""
            return {**time_one(*network), "how": f"TF-Lite float16{part}"}
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        system.scores(images[:1])
        calls, spent, started = 0, 0.0, time.process_time()
        while spent < TIMED_SECONDS:
            system.scores(images[calls % len(images)][None])
            calls, spent = calls + 1, time.process_time() - started
    return {"cpu_ms": 1e3 * spent / calls, "how": "Python"}


def _measure(
    scores: Sequence[np.ndarray], events: _ComparedEvents, bootstrap: int, luminosity: float
) -> dict[str, Any]:
    """One row's numbers: scores (N,) of each seed -> auc, fpr_at_tpr, tpr_at_fpr and roc by signal, rate.

    A value that the events cannot carry is None, with a `reason`.
    """
    is_background = events.is_background
    row: dict[str, Any] = {
        "auc": _aucs(scores, events, bootstrap),
        "fpr_at_tpr": {},
        "tpr_at_fpr": {},
        "tpr_at_low_fpr": {},
    }
    row["roc"] = {}
    for process in (s for s in SIGNALS if s in events.signal):
        pairs = [(s[is_background], s[events.signal == process]) for s in scores]
        shares = [fpr_at_tpr(*pair, TPR, bootstrap) for pair in pairs]
        row["fpr_at_tpr"][process] = _spread([share for share, _ in shares], shares[0][1])
        if not any(share for share, _ in shares):
            # No background event passes: 90 % confidence limit of a binomial.
            row["fpr_at_tpr"][process]["limit"] = 1 - 0.1 ** (1 / int(is_background.sum()))
        row["tpr_at_fpr"][process] = _tpr(pairs, FPR, bootstrap)
        row["tpr_at_low_fpr"][process] = _tpr(pairs, LOW_FPR, bootstrap)
        curve = roc_curve(*pairs[0])
        row["roc"][process] = np.round(np.interp(ROC_GRID, curve.fpr, curve.tpr), 4).tolist()
    row["rate"] = _rate_at_fpr([s[is_background] for s in scores], events, luminosity)
    return row


def _tpr(pairs: Sequence[tuple[np.ndarray, np.ndarray]], fpr: float, bootstrap: int) -> dict[str, Any]:
    """Efficiency at a share of the background, of pairs (background, signal) of each seed; None and why where too few
    pass."""
    points = [tpr_at_fpr(*pair, fpr, n_bootstrap=bootstrap) for pair in pairs]
    missing = next((p for p in points if p.value is None), None)
    if missing is not None:
        return {"value": None, "reason": missing.reason}
    return _spread([p.value for p in points], points[0].error)


def _aucs(scores: Sequence[np.ndarray], events: _ComparedEvents, bootstrap: int) -> dict[str, Any]:
    """Signal -> the AUC of scores (N,) of each seed: mean, error, spread."""
    by_signal = {}
    for process in (s for s in SIGNALS if s in events.signal):
        pairs = [(s[events.is_background], s[events.signal == process]) for s in scores]
        by_signal[process] = _spread([auc(*pair) for pair in pairs], auc_with_error(*pairs[0], bootstrap)[1])
    return by_signal


def _rate_at_fpr(backgrounds: Sequence[np.ndarray], events: _ComparedEvents, luminosity: float) -> dict[str, Any]:
    """The rate [kHz] of weighted QCD above each seed's threshold of FPR; None with a reason where it is not known.

    Where too few events pass, `effective` is their effective number.
    """
    if events.cross_section_pb is None:
        return {"value": None, "reason": events.no_rate}
    weight, rates = events.weight[events.is_background], []
    for background in backgrounds:
        point = tpr_at_fpr(background, background, FPR, n_bootstrap=2)  # for its threshold
        if point.threshold is None or point.value is None:
            return {"value": None, "reason": point.reason}
        rates.append(background_rate(background, weight, point.threshold, events.cross_section_pb, luminosity))
    refused = sorted((r for r in rates if r.rate_khz is None), key=lambda r: r.effective_events)
    if refused:
        few = refused[0].effective_events < MINIMUM_BACKGROUND
        counted = {"effective": refused[0].effective_events} if few else {}
        return {"value": None, "reason": refused[0].reason, **counted}
    return _spread([r.rate_khz for r in rates], rates[0].error_khz)


def complexity_bias(run: "Run", events: _ComparedEvents) -> dict[str, Any]:
    """Does an auto-encoder flag what it has not seen, or what is complicated? Signal -> the AUCs of both directions.

    Principal components of the pooled track mask (18 x 15 counts) are fitted to as many validation events of
    background, or of the signal; a signal of fewer than BIAS_EVENTS has a `reason` instead. `from_background`: AUC of
    the reconstruction error of the first for the signal against background. `from_signal`: of the second for background
    against the signal: below 0.5 it calls its own training class the more anomalous one.
    """
    from codae_l1.models.systems.pca import PrincipalComponents, pooled_counts
    from codae_l1.scripts.run.events import read_split

    learned = read_split(run, "validation", background_only=False)
    pooled = [pooled_counts(e.images) for e in (learned, events)]
    bias: dict[str, Any] = {}
    for process in (s for s in SIGNALS if s in events.signal):
        n, errors = min(int(np.sum(learned.signal == s)) for s in (events.background, process)), {}
        if n < BIAS_EVENTS:
            bias[process] = {"reason": f"{n} validation events of {process} or of background, fewer than {BIAS_EVENTS}"}
            print(f"complexity bias, {process}: left out, {bias[process]['reason']}", flush=True)
            continue
        both = events.background, process
        for name, trained, other in (("from_background", *both), ("from_signal", *both[::-1])):
            model = PrincipalComponents.fit(pooled[0][learned.signal == trained][:n], BIAS_COMPONENTS)
            score = model.score(pooled[1])
            pair = (score[events.signal == trained], score[events.signal == other])
            errors[name] = dict(zip(("value", "error"), auc_with_error(*pair, n_bootstrap=50), strict=True))
        bias[process] = errors
    return bias


def _spread(values: Sequence[Any], error: float | None) -> dict[str, Any]:
    """Mean of a number over seeds, the error of the first, the standard deviation over seeds where there are several.

    >>> _spread([0.5, 0.7], 0.01)["spread"].__round__(4)
    0.1414
    """
    summary = {"value": float(np.mean(values)), "error": error, "values": [float(v) for v in values]}
    return {**summary, "spread": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def rows_of(name: str, parts: Mapping[int, Part], events: _ComparedEvents, **how: Any) -> list[dict[str, Any]]:
    """The rows of a system: one a score; parts: seed -> what it gave. how: bootstrap, luminosity."""
    first = next(iter(parts.values()))
    rows = []
    for score in first.scores:
        record = {k: v for k, v in first.record.items() if k != "key"}
        record |= {"model": name, "score": score, "main": score == first.record["main_score"], "seeds": list(parts)}
        record["seconds"] = [part.record.get("seconds") for part in parts.values()]
        if "classification" in record:
            each = [part.record["classification"] for part in parts.values()]
            record["classification"] = {name: _spread([c[name] for c in each], None) for name in each[0]}
        if score in first.untrained:
            before = [part.untrained[score] for part in parts.values()]
            record["untrained"] = _aucs(before, events, how["bootstrap"])
        rows.append({**record, **_measure([part.scores[score] for part in parts.values()], events, **how)})
    return rows


def checks(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each system in EXPECTED_AUC that is there: what, its value, the least expected, whether it holds.

    >>> row = {"model": "cct_three_class", "main": True, "seeds": [1], "classification": {"auc": {"value": 0.94}}}
    >>> checks([row])[0]["holds"]
    False
    """
    results = []
    for row in (row for row in rows if row["main"] and row["model"] in EXPECTED_AUC):
        value, least = row["classification"]["auc"]["value"], EXPECTED_AUC[row["model"]]
        what = f"{row['model']}, AUC of its classes, mean over {len(row['seeds'])} seeds"
        results.append({"what": what, "value": value, "least": least, "holds": value > least})
    return results
