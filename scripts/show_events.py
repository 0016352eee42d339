"""Show events: displays (three channels, mask, pooled firmware input side by side) and average images of each class.

    python scripts/show_events.py data/sample/events.h5 --process qcd h125 svj3100 --out events

Writes displays.svg, the first events of each class, one a row, and averages.svg, the mean of all events of each class,
into the folder --out. Files of any format of event images.
"""

from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import PROCESSES
from codae_l1.data.formats.reading import event_slices
from codae_l1.data.pooling import INPUTS, PoolingConfig, input_words
from codae_l1.scripts.run import cli


def command() -> None:
    """Parse the arguments, read, draw."""
    parser = cli.parser(__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="events files")
    parser.add_argument("--label", help="class of events whose files do not say (CoDAE raw HDF5, Delphes)")
    parser.add_argument("--process", nargs="+", choices=PROCESSES, default=PROCESSES, help="classes to show")
    parser.add_argument("--events", type=int, default=1, help="displays of each class")
    parser.add_argument("--pool", type=int, default=PoolingConfig().pool, help="side of a firmware cell in towers")
    parser.add_argument("--inputs", nargs="+", choices=tuple(INPUTS), default=PoolingConfig().inputs, help="firmware's")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    options = parser.parse_args()
    if options.events < 1:
        raise InputError(f"--events {options.events}", "a number >= 1", "correct it")
    pooling = PoolingConfig(options.pool, tuple(options.inputs))
    shown = collect(options.files, options.process, options.events, pooling, options.label)

    from codae_l1.scripts.reports.event_figures import average_figure, display_figure
    from codae_l1.scripts.reports.figures import save_svg

    displays = [display for row in shown.values() for display in row["displays"]]
    save_svg(display_figure(displays), options.out / "displays.svg")
    events = {name: row["events"] for name, row in shown.items()}
    averages = {name: row["sum"] / row["events"] for name, row in shown.items()}
    save_svg(average_figure(averages, events), options.out / "averages.svg")
    print(f"{options.out}: displays.svg, averages.svg of {', '.join(f'{n:,} {name}' for name, n in events.items())}")


def collect(
    files: list[Path], processes: tuple[str, ...], n_displays: int, pooling: PoolingConfig, label: str | None = None
) -> dict[str, dict[str, Any]]:
    """Class -> its number of events, their sum (72, 58, 3) GeV, and displays of the first, in order of PROCESSES."""
    rows: dict[str, dict[str, Any]] = {}
    for path in files:
        for events in event_slices(path, label=label):
            for name in np.unique(events.signal[np.isin(events.signal, processes)]):
                images = events.images[events.signal == name]
                row = rows.setdefault(str(name), {"events": 0, "sum": 0.0, "displays": []})
                missing = images[: n_displays - len(row["displays"])]
                row["displays"] += [_display(str(name), image, pooling) for image in missing]
                row["events"] += len(images)
                row["sum"] += images.sum(axis=0, dtype=np.float64)
    if not rows:
        raise InputError(f"no events of {', '.join(processes)}", "at least one", "choose another --process or file")
    return {name: rows[name] for name in PROCESSES if name in rows}


def _display(signal: str, image: np.ndarray, pooling: PoolingConfig) -> dict[str, Any]:
    words = input_words(image[None], pooling)[0]
    inputs = {name: words[..., i] for i, name in enumerate(pooling.inputs)}
    return {"signal": signal, "image": image, "mask": image[..., 0] > 0, "words": inputs}


if __name__ == "__main__":
    cli.run(command)
