"""Score events with the trigger network of a run, by any executor, and decide which events fire.

    python scripts/score.py --run runs/demo --events my.h5 --executor emulator --out scores.h5

Reads events of any format: our HDF5, public .npz, CoDAE raw HDF5, Delphes ROOT. Writes one HDF5 file. Each executor has
a group with

    firmware_score   (N,) float64, higher is more anomalous
    firmware_word    (N,) int64, the same as an integer (integer executors)
    accept/<point>   (N,) bool for each working point of the run (integer executors); its attribute `threshold_word` is
                     the lowest word that fires, or `reason` says why the point never fires

Beside the groups, `signal` and `file` (N,) are strings. The order of events is kept, file after file. What was done to
the events while they were read, such as tracks dropped as pile-up, is printed and kept in the attribute `reading`, a
JSON list of lines; `made_from` is a JSON table of the network's and the events' files and their SHA-256. Only the
executors float and qkeras need TensorFlow. Where words of executors differ, the command ends with status 1.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import new_hdf5, opened_hdf5, sha256, write_attributes
from codae_l1.data.events import CLASSES
from codae_l1.scripts.run import cli, reading, stage
from codae_l1.scripts.run.executors import EXECUTORS, INTEGER_EXECUTORS

if TYPE_CHECKING:
    from codae_l1.hls.trigger.thresholds import WorkingPoint
    from codae_l1.scripts.run.run import Run

# Events that executors take at a time; the networks' own batches are of it.
BATCH = 2048
# Rows of a block of the file, and all classes in the order of their names.
_BLOCK = 1 << 14
# Bytes of blocks that HDF5 keeps of each dataset while it grows; by default a megabyte.
_CACHE = 1 << 18
_CLASSES = np.array(sorted(CLASSES))
# Executor -> its scores (n,) and its score words (n,), None where it has none.
Scored = dict[str, tuple[np.ndarray, np.ndarray | None]]


def command() -> None:
    """Parse the arguments, score, write."""
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a finished run folder")
    parser.add_argument("--events", type=Path, nargs="+", required=True, metavar="FILE", help="events of any format")
    parser.add_argument("--executor", choices=(*EXECUTORS, "all"), default="all", help="what computes the score")
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")
    parser.add_argument("--trust", **stage.TRUST)
    reading.add_arguments(parser)
    arguments = parser.parse_args()
    names = EXECUTORS if arguments.executor == "all" else (arguments.executor,)
    run = stage.open_run(arguments.run, None, trust=arguments.trust)
    for file in arguments.events:
        cli.existing(str(file))
    cli.output("--out", arguments.out, "file of scores", [*arguments.events, run.config.data.events], run.folder)
    how = reading.chosen(arguments, arguments.events)
    executors: dict[str, Any] = {}
    points, why = ((), "") if names == ("float",) else _known_points(run)
    baselines, signal, different, n = _Compact(), _Compact(), 0, 0
    used = [run.path("quantize", "f_m.npz"), *arguments.events]
    with write_scores(arguments.out, how["tell"], used) as out:
        for part in read_counts(arguments.events, run.config.firmware, **how):
            if not executors:
                # The events have been seen to be some. A stage that is not done ends the command here, in one line.
                executors = {name: run.executor(name) for name in names}
                if why:
                    print(f"no accept bits: {why}", flush=True)
            scored = _scored(executors, part.counts, run.trained)
            different += _different({name: words for name, (_, words) in scored.items() if words is not None})
            out.add(scored, part.signal, part.file, points)
            baselines.add(**part.baselines)
            signal.add(class_of=np.searchsorted(_CLASSES, part.signal))
            n += len(part.counts)
        for name in names:
            print(f"{name}: {n} events", flush=True)
    words = [name for name in INTEGER_EXECUTORS if name in names]
    if len(words) > 1:
        print(f"words of {', '.join(words)}: {different:,} of {n:,} events differ")
    _print_auc(arguments.out, names, baselines.columns(), signal.columns()["class_of"])
    print(arguments.out)
    if different:
        raise SystemExit(1)


@dataclass(frozen=True)
class _Counted:
    """Some events, one after another: counts (n, 18, 15, inputs) int64, signal and file (n,) str, baselines name ->
    (n,), active pixels and block power."""

    counts: np.ndarray
    signal: np.ndarray
    file: np.ndarray
    baselines: dict[str, np.ndarray]


def read_counts(paths: list[Path], firmware: Any, **how: Any) -> Iterator[_Counted]:
    """The events of files in order, BATCH at a time whatever the files' lengths: a float executor's last bit depends on
    where a batch ends.

    how: label, options of formats and tell, as for event_slices.
    """
    from codae_l1.data.formats import event_slices
    from codae_l1.data.pooling import input_counts, track_mask
    from codae_l1.models.codae.scores import active_pixels, block_power

    waiting: list[tuple[np.ndarray, ...]] = []
    for path in paths:
        for events in event_slices(path, **how):
            masks, name = track_mask(events.images), np.full(len(events), str(path))
            counts = input_counts(events.images, firmware.pooling)
            waiting.append((counts, events.signal, name, active_pixels(masks), block_power(masks)))
            while sum(len(part[0]) for part in waiting) >= BATCH:
                columns = [np.concatenate(column) for column in zip(*waiting, strict=True)]
                waiting = [tuple(column[BATCH:] for column in columns)]
                yield _counted(column[:BATCH] for column in columns)
    columns = [np.concatenate(column) for column in zip(*waiting, strict=True)]
    if len(columns[0]):
        yield _counted(columns)


def _counted(columns: Iterable[np.ndarray]) -> _Counted:
    counts, signal, file, pixels, power = columns
    return _Counted(counts, signal, file, {"active pixels": pixels, "block power": power})


def _scored(executors: dict[str, Any], counts: np.ndarray, trained: Any) -> "Scored":
    """Executor -> (scores, score words or None) of counts."""
    found: Scored = {}
    for name, executor in executors.items():
        if name == "float":
            found[name] = executor.scores(counts), None
        else:
            words = executor.predict_words(counts)
            found[name] = trained.scores(words), trained.score_words(words)
    return found


class _Compact:
    """Columns that grow part by part, kept in the smallest integers that hold them."""

    def __init__(self):
        self._parts: dict[str, list[np.ndarray]] = {}

    def add(self, **columns: np.ndarray) -> None:
        for name, column in columns.items():
            whole = column.astype(np.int64)
            small = whole.astype(np.min_scalar_type(int(whole.max(initial=0))))
            self._parts.setdefault(name, []).append(small if (small == column).all() else column)

    def columns(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


def _known_points(run: "Run") -> tuple[tuple["WorkingPoint", ...], str]:
    """The run's working points; none, and why, where its own events cannot be had."""
    try:
        return run.working_points(), ""
    except run.Altered:
        raise
    except InputError as error:
        return (), str(error)


def _different(words: dict[str, np.ndarray]) -> int:
    """Firmware words of each executor -> in how many events they are not all the same.

    >>> _different({"qkeras": np.array([1, 2]), "hls": np.array([1, 2]), "rtl": np.array([1, 3])})
    1
    """
    first = next(iter(words.values()), None)
    return int(np.any([w != first for w in words.values()], axis=0).sum()) if len(words) > 1 else 0


def _print_auc(path: Path, names: Sequence[str], baselines: dict[str, np.ndarray], class_of: np.ndarray) -> None:
    """Where a background and signals were scored: AUC in % of each executor and baseline with its bootstrap error.

    path: the file of scores. class_of: (N,) indices into _CLASSES.
    """
    from codae_l1.data.events import BACKGROUNDS, SIGNALS
    from codae_l1.models.evaluation.roc import auc_with_error, paired_auc_difference

    present = set(_CLASSES[np.unique(class_of)].tolist())
    found = [s for s in SIGNALS if s in present]
    backgrounds = [name for name in BACKGROUNDS if name in present]
    if len(backgrounds) != 1 or not found:
        return

    def scores(name: str, process: str) -> tuple[np.ndarray, np.ndarray]:
        classes = (np.flatnonzero(process_name == _CLASSES)[0] for process_name in (backgrounds[0], process))
        if name in baselines:
            background, signal = (baselines[name][class_of == at] for at in classes)
        else:
            background, signal = (_column(path, name, class_of, at) for at in classes)
        return background, signal

    print("AUC of all events read, any that the run learned from included; stage evaluate takes test events alone")
    columns = (*names, *baselines)
    loss = {"float", "rtl"} <= set(names)
    print("AUC in %  " + "".join(f"{name:>15}" for name in columns) + ("    float - rtl [points]" if loss else ""))
    for process in found:
        errors = (auc_with_error(*scores(name, process)) for name in columns)
        row = "".join(f"{100 * value:8.1f} +- {100 * error:3.1f}" for value, error in errors)
        if loss:
            value, error = paired_auc_difference(*scores("float", process), *scores("rtl", process))
            row += f"{100 * value:+8.2f} +- {100 * error:4.2f}"
        print(f"{process:10}{row}")


def _column(path: Path, executor: str, class_of: np.ndarray, at: int) -> np.ndarray:
    """Score words of an executor (the scores of one without words) on the events of a class, read block by block."""
    with opened_hdf5(path, "scores") as file:
        group = file[executor]
        dataset = group.get("firmware_word", group["firmware_score"])
        starts = range(0, len(dataset), _BLOCK)
        parts = [dataset[i : i + _BLOCK][class_of[i : i + _BLOCK] == at] for i in starts]
        words = dataset.dtype.kind == "i"
        return np.concatenate([part.astype(np.int32) if words and _fits(part) else part for part in parts])


def _fits(words: np.ndarray) -> bool:
    """Whether all of them are words of 32 bits."""
    limits = np.iinfo(np.int32)
    return bool(words.min(initial=0) >= limits.min and words.max(initial=0) <= limits.max)


class _ScoreFile:
    """An open file of scores, which grows part by part."""

    def __init__(self, file: Any):
        self._file = file

    def add(self, scored: Scored, signal: np.ndarray, file: np.ndarray, points: Sequence["WorkingPoint"] = ()) -> None:
        """Append events; points: working points whose accept bits are written beside the words."""
        import h5py

        for name, (values, words) in scored.items():
            self._append(f"{name}/firmware_score", values)
            if words is None:
                continue
            self._append(f"{name}/firmware_word", words)
            for point in points:
                bits = self._append(f"{name}/accept/{point.name}", point.fires(words))
                if point.threshold is None:
                    write_attributes(bits, {"reason": f"never fires: {point.facts['reason']}"})
                else:
                    write_attributes(bits, {"threshold_word": point.threshold})
        text = h5py.string_dtype()
        self._append("signal", signal.astype(text))
        self._append("file", file.astype(text))

    def _append(self, name: str, column: np.ndarray) -> Any:
        if name not in self._file:
            return self._file.create_dataset(name, data=column, maxshape=(None,), chunks=(_BLOCK,), rdcc_nbytes=_CACHE)
        dataset = self._file[name]
        dataset.resize(len(dataset) + len(column), axis=0)
        dataset[len(dataset) - len(column) :] = column
        return dataset


@contextmanager
def write_scores(path: Path, told: Sequence[str] = (), used: Sequence[Path] = ()) -> Iterator[_ScoreFile]:
    """A file of scores to which the block adds events, written whole or not at all.

    told: what was done to the events; what the list holds after the block. used: files that the scores are made from.
    """
    with new_hdf5(path) as file:
        yield _ScoreFile(file)
        made_from = {str(name): sha256(name) for name in used}
        write_attributes(file, {"reading": json.dumps(list(told)), "made_from": json.dumps(made_from)})


if __name__ == "__main__":
    cli.run(command)
