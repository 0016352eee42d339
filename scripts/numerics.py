"""Stage numerics: profile the words of every layer on events: range, used bits, saturations, wraps, zeros.

    python scripts/numerics.py --run runs/demo

It uses the run's test events, or events of any format given by --events, and profiles the background and all of them,
for the QKeras model and for the float one. Prints one table each; writes numerics.json and numerics.svg, by default
into the run's folder. docs/numerics.md says how to read them. (The module is not called profile.py, because in a
script's folder that name would take the place of Python's own module.)
"""

import argparse
import functools
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.spool import Rows, Spool
from codae_l1.data.events import CLASSES
from codae_l1.scripts.run import cli, reading, stage

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


# Bytes that hold the name of any process.
_NAME = f"S{max(map(len, CLASSES))}"


def command() -> None:
    """Parse the arguments, profile, print, write."""
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder whose stage quantize is done")
    parser.add_argument(
        "--events", type=Path, nargs="+", metavar="FILE", help="events of any format (default: the run's test events)"
    )
    parser.add_argument("--out", type=Path, help="folder to write to (default: numerics/ of the run)")
    reading.add_arguments(parser)
    arguments = parser.parse_args()
    for file in arguments.events or ():
        cli.existing(str(file))
    run = stage.open_run(arguments.run, None)
    cli.output("--out", arguments.out, "folder of profiles", run=run.folder)
    # Another command that works on the run is named now, not behind the work.
    with run.alone() if arguments.out is None else nullcontext():
        _profile(run, arguments)


def _profile(run: "Run", arguments: argparse.Namespace) -> None:
    """Profile, print, write."""
    cli.import_tensorflow()
    out = arguments.out or run.path("numerics")

    from codae_l1.data.base.files import sha256, write_json
    from codae_l1.hls.network.profile import table
    from codae_l1.scripts.reports.figures import numerics_figure, save_svg
    from codae_l1.scripts.run.folder import stamp

    how = reading.chosen(arguments, arguments.events or ())
    counts, signal = _read_events(run, arguments.events, out, **how)
    found = numerics(run, counts, signal)
    for events, models in found["profiles"].items():
        for model, records in models.items():
            print(f"{model} on {events}, {found['events'][events]:,} events\n{table(records)}\n")
    if arguments.events or arguments.out:
        read = {"reading": list(how["tell"])} if how["tell"] else {}
        used = [run.path("quantize", "f_m.npz"), *(arguments.events or ())]
        sums = {"made_from": {str(path): sha256(path) for path in used}}
        write_json(out / "numerics.json", {**found, **read, **sums, "stamp": stamp(run.config.seed)})
    else:
        run.do("numerics", lambda run: {**found, "rows": []})
    last = list(found["profiles"])[-1]
    save_svg(numerics_figure(found["profiles"][last]), out / "numerics.svg")
    print(out / "numerics.json" if arguments.events or arguments.out else run.folder / "numerics.json")


def _read_events(run: "Run", files: list[Path] | None, folder: Path, **how: Any) -> tuple[Any, Any]:
    """Counts (N, 18, 15, inputs) and signal (N,), names, of the files, or of the run's test events.

    The counts are a Spool: they take 2 kB per event. Names of files are bytes, nine per event; as text they take 64.
    how: label, options of formats and tell, as for event_slices.
    """
    from codae_l1.scripts.run.executors import open_firmware

    if files:
        from codae_l1.scripts.score import read_counts

        counts, signal = Spool(folder), Spool(folder)
        for part in read_counts(files, open_firmware(run).config, **how):
            counts.add(part.counts)
            signal.add(part.signal.astype(_NAME))
        return counts, signal[:]
    from codae_l1.data.pooling import input_counts
    from codae_l1.scripts.run.events import read_each

    pool = functools.partial(input_counts, config=run.config.firmware.pooling)
    return read_each(run, "test", pool, background_only=False, into=Spool(folder))


def numerics(run: "Run", counts: Any, signal: Any) -> dict[str, Any]:
    """Profiles of both models on each background and on all events, where there are such: JSON-ready.

    counts: (N, 18, 15, inputs), an array or a Spool. signal: (N,) str or bytes.

    events: {"qcd" or "zero_bias", "all"} -> number. profiles: the same -> {"qkeras", "float"} -> records of
    `hls.profile.profile`.
    """
    from codae_l1.data.events import BACKGROUNDS
    from codae_l1.hls.network.profile import profile_firmware
    from codae_l1.scripts.run.executors import open_firmware, open_float

    models = open_firmware(run), open_float(run)
    names = np.array(BACKGROUNDS).astype(signal.dtype)
    where = {name: np.flatnonzero(signal == stored) for name, stored in zip(BACKGROUNDS, names, strict=True)}
    chosen: dict[str, Any] = {name: Rows(counts, index) for name, index in where.items()}
    chosen["all"] = counts
    chosen = {name: of for name, of in chosen.items() if len(of)}
    return {
        "events": {name: len(of) for name, of in chosen.items()},
        "profiles": {name: profile_firmware(*models, of) for name, of in chosen.items()},
    }


if __name__ == "__main__":
    cli.run(command)
