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
JSON list of lines. Only the executors float and qkeras need TensorFlow. Where words of executors differ, the command
ends with status 1.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.scripts.run import cli, reading, stage
from codae_l1.scripts.run.executors import EXECUTORS, INTEGER_EXECUTORS

if TYPE_CHECKING:
    from codae_l1.hls.trigger.thresholds import WorkingPoint
    from codae_l1.scripts.run.run import Run


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
    points = () if names == ("float",) else _known_points(run)
    how = reading.chosen(arguments)
    counts, signal, file, baselines = read_counts(arguments.events, run.config.firmware, **how)
    scored, trained = {}, run.trained
    for name in names:
        executor = run.executor(name)
        if name == "float":
            scored[name] = executor.scores(counts), None
        else:
            words = executor.predict_words(counts)
            scored[name] = trained.scores(words), trained.score_words(words)
        print(f"{name}: {len(counts)} events", flush=True)
    write_scores(arguments.out, scored, signal, file, points, how["tell"])
    words = {name: scored[name][1] for name in INTEGER_EXECUTORS if name in scored}
    different = _different(words)
    if len(words) > 1:
        print(f"words of {', '.join(words)}: {different:,} of {len(counts):,} events differ")
    _print_auc({name: values for name, (values, _) in scored.items()} | baselines, signal)
    print(arguments.out)
    if different:
        raise SystemExit(1)


def read_counts(
    paths: list[Path], firmware: Any, **how: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Counts (N, 18, 15, inputs) int64, signal and file (N,) str, baselines name -> (N,); one slice at a time.

    how: label, options of formats and tell, as for event_slices.
    """
    from codae_l1.data.formats import event_slices
    from codae_l1.data.pooling import input_counts, track_mask
    from codae_l1.models.codae.scores import active_pixels, block_power

    counts, signal, file, pixels, power = [], [], [], [], []
    for path in paths:
        for events in event_slices(path, **how):
            counts.append(input_counts(events.images, firmware.pooling))
            signal.append(events.signal)
            file.append(np.full(len(events), str(path)))
            pixels.append(active_pixels(track_mask(events.images)))
            power.append(block_power(track_mask(events.images)))
    baselines = {"active pixels": np.concatenate(pixels), "block power": np.concatenate(power)}
    return np.concatenate(counts), np.concatenate(signal), np.concatenate(file), baselines


def _known_points(run: "Run") -> tuple["WorkingPoint", ...]:
    """The run's working points; none, with a line that says why, where its own events cannot be had."""
    try:
        return run.working_points()
    except run.Altered:
        raise
    except InputError as error:
        print(f"no accept bits: {error}", flush=True)
        return ()


def _different(words: dict[str, np.ndarray]) -> int:
    """Firmware words of each executor -> in how many events they are not all the same.

    >>> _different({"qkeras": np.array([1, 2]), "hls": np.array([1, 2]), "rtl": np.array([1, 3])})
    1
    """
    first = next(iter(words.values()), None)
    return int(np.any([w != first for w in words.values()], axis=0).sum()) if len(words) > 1 else 0


def _print_auc(scores: dict[str, np.ndarray], signal: np.ndarray) -> None:
    """Where QCD and signals were scored: AUC in % of each executor and baseline with its bootstrap error."""
    from codae_l1.data.events import QCD, SIGNALS
    from codae_l1.models.evaluation.roc import auc_with_error, paired_auc_difference

    found = [s for s in SIGNALS if s in signal]
    if QCD not in signal or not found:
        return
    loss = {"float", "rtl"} <= set(scores)
    print("AUC in %  " + "".join(f"{name:>15}" for name in scores) + ("    float - rtl" if loss else ""))
    for process in found:
        pairs = {name: (v[signal == QCD], v[signal == process]) for name, v in scores.items()}
        errors = (auc_with_error(*pair) for pair in pairs.values())
        row = "".join(f"{100 * value:8.1f} +- {100 * error:3.1f}" for value, error in errors)
        if loss:
            value, error = paired_auc_difference(*pairs["float"], *pairs["rtl"])
            row += f"{100 * value:+8.2f} +- {100 * error:4.2f}"
        print(f"{process:10}{row}")


def write_scores(
    path: Path,
    scored: dict[str, Any],
    signal: np.ndarray,
    file: np.ndarray,
    points: tuple["WorkingPoint", ...] = (),
    told: Sequence[str] = (),
) -> None:
    """Write the HDF5, whole or not at all; scored: executor -> (firmware_score, firmware_word or None).

    points: working points whose accept bits are written beside the words. told: what was done to the events.
    """
    import h5py

    from codae_l1.data.base.files import new_hdf5

    with new_hdf5(path) as out:
        for name, (values, words) in scored.items():
            out[f"{name}/firmware_score"] = values
            if words is None:
                continue
            out[f"{name}/firmware_word"] = words
            for point in points:
                bits = out.create_dataset(f"{name}/accept/{point.name}", data=point.fires(words))
                if point.threshold is None:
                    bits.attrs["reason"] = f"never fires: {point.facts['reason']}"
                else:
                    bits.attrs["threshold_word"] = point.threshold
        out["signal"] = signal.astype(h5py.string_dtype())
        out["file"] = file.astype(h5py.string_dtype())
        out.attrs["reading"] = json.dumps(list(told))


if __name__ == "__main__":
    cli.run(command)
