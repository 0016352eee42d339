"""Score events with the firmware f_m of a run, by any executor.

Reads events of any format (codae_l1.data.formats.reading): our HDF5, public .npz, CoDAE raw HDF5, Delphes ROOT. Writes one
HDF5: a group for each executor with `firmware_score` (N,) float64, higher = more anomalous, and for the integer
executors `firmware_word` (N,) int64; beside them `signal` and `file` (N,) strings. The order of events is kept: file
after file, as given.
"""

from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.executors import EXECUTORS, INTEGER_EXECUTORS


def command() -> None:
    """Parse the arguments, score, write."""
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a finished run folder")
    parser.add_argument("--events", type=Path, nargs="+", required=True, metavar="FILE", help="events of any format")
    parser.add_argument("--label", help="class of events whose files do not say (CoDAE raw HDF5, Delphes)")
    parser.add_argument("--executor", choices=(*EXECUTORS, "all"), default="all", help="who computes the score")
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")
    arguments = parser.parse_args()
    run = stage.open_run(arguments.run, None)
    names = EXECUTORS if arguments.executor == "all" else (arguments.executor,)

    from codae_l1.scripts.run.executors import score

    for file in arguments.events:
        cli.existing(str(file))
    counts, signal, file, baselines = read_counts(arguments.events, run.config.firmware, arguments.label)
    scored = {}
    for name in names:
        scored[name] = score(run, name, counts)
        print(f"{name}: {len(counts)} events", flush=True)
    write_scores(arguments.out, scored, signal, file)
    words = {name: scored[name][1] for name in INTEGER_EXECUTORS if name in scored}
    if len(words) > 1:
        print(agreement(words))
    print_auc({name: values for name, (values, _) in scored.items()} | baselines, signal)
    print(arguments.out)


def read_counts(
    paths: list[Path], firmware: Any, label: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Counts (N, 18, 15, inputs) int64, signal and file (N,) str, baselines name -> (N,); one slice at a time."""
    from codae_l1.data.formats.reading import event_slices
    from codae_l1.models.codae.scores import active_pixels, block_power, track_mask
    from codae_l1.quantization.f_m.network import input_counts

    counts, signal, file, pixels, power = [], [], [], [], []
    for path in paths:
        for events in event_slices(path, label=label):
            counts.append(input_counts(events.images, firmware))
            signal.append(events.signal)
            file.append(np.full(len(events), str(path)))
            pixels.append(active_pixels(track_mask(events.images)))
            power.append(block_power(track_mask(events.images)))
    baselines = {"active pixels": np.concatenate(pixels), "block power": np.concatenate(power)}
    return np.concatenate(counts), np.concatenate(signal), np.concatenate(file), baselines


def agreement(words: dict[str, np.ndarray]) -> str:
    """Firmware words of each executor -> in how many events they are not all the same.

    >>> agreement({"qkeras": np.array([1, 2]), "hls": np.array([1, 2]), "rtl": np.array([1, 3])})
    'words of qkeras, hls, rtl: 1 of 2 events differ'
    """
    first = next(iter(words.values()))
    different = np.any([w != first for w in words.values()], axis=0)
    return f"words of {', '.join(words)}: {different.sum():,} of {len(first):,} events differ"


def print_auc(scores: dict[str, np.ndarray], signal: np.ndarray) -> None:
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


def write_scores(path: Path, scored: dict[str, Any], signal: np.ndarray, file: np.ndarray) -> None:
    """Write the HDF5, whole or not at all; scored: executor -> (firmware_score, firmware_word or None)."""
    import h5py

    from codae_l1.data.base.files import whole_file

    with whole_file(path) as temporary, h5py.File(temporary, "w") as out:
        for name, (values, words) in scored.items():
            out[f"{name}/firmware_score"] = values
            if words is not None:
                out[f"{name}/firmware_word"] = words
        out["signal"] = signal.astype(h5py.string_dtype())
        out["file"] = file.astype(h5py.string_dtype())


if __name__ == "__main__":
    cli.run(command)
