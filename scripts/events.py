"""Convert events of other formats, compare two samples, and show events.

    python scripts/events.py convert qcd_*.h5 --label qcd --out qcd.h5
    python scripts/events.py validate "$CODAE_SAMPLE" data/sample/events.h5 --out validation.json --plots validation.svg
    python scripts/events.py show data/sample/events.h5 --process qcd h125 svj3100 --out runs/events

Each sub-command has its own --help. A file's format is recognised by its suffix and content; --label says what the
events are where the file does not.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import sha256, write_json
from codae_l1.data.base.progress import Progress
from codae_l1.data.events import CLASSES, EventImages
from codae_l1.data.formats import event_slices, format_of, slices
from codae_l1.data.formats.arrays import write_arrays
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.pooling import INPUTS, PoolingConfig, input_counts
from codae_l1.scripts._seeds import require_seeds
from codae_l1.scripts.run import cli, reading

# Events that `show` reads at a time.
SLICE = 256
CONVERT = """Convert other people's events into the project's HDF5, in slices: files of any size.

    python scripts/events.py convert data/qcd_*.h5 --label qcd --out qcd.h5               # CoDAE raw HDF5
    python scripts/events.py convert delphes.root --label svj2100 --out svj2100.h5        # Delphes
    python scripts/events.py convert public/*.npz --out public.h5                         # public CoDAE sample
    python scripts/events.py convert train.h5 --jet-images 16 --out jets.h5               # top-tagging reference
    python scripts/events.py convert background.h5 --label background --out objects.h5    # ADC2021

Event images become an events file, which every command reads. Jets become the arrays relative (N, 200, 3), which is
eta, phi and pT relative to the jet, image (N, bins, bins) and is_signal; ADC2021 becomes particles (N, 19, 4) and
label.
"""
VALIDATE = """Compare two samples of events, class by class: means, quantiles, profiles, AUCs, and a two-sample test.

    python scripts/events.py validate "$CODAE_SAMPLE" data/sample/events.h5 --out validation.json --plots validation.svg

$CODAE_SAMPLE is the folder of the public sample. A and B are events files, folders of such, or several joined by
commas. Errors are those of the mean for n_tracks, active fractions and sums, and the bootstrap's for AUCs. The
two-sample test is the cross-validated AUC of boosted trees that separate B from A by 37 summaries of an image: 0.5
where they cannot.
"""
SHOW = """Show events: displays (three channels, mask, pooled firmware input) and average images of each class.

    python scripts/events.py show data/sample/events.h5 --process qcd h125 svj3100 --out runs/events

Writes into the folder --out: displays.svg, the first events of each class, one per row, and averages.svg, the mean of
all events of each class.
"""


def command() -> None:
    """Parse the arguments and do what the sub-command says."""
    parser = cli.parser(__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, text, add, work in (
        ("convert", CONVERT, _convert_arguments, _convert),
        ("validate", VALIDATE, _validate_arguments, _validate),
        ("show", SHOW, _show_arguments, _show),
    ):
        sub = commands.add_parser(
            name, help=text.split("\n")[0], description=text, formatter_class=parser.formatter_class
        )
        add(sub)
        sub.set_defaults(work=work)
    options = parser.parse_args()
    options.work(options)


def _convert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="events files of one format")
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")
    reading.add_arguments(parser, images=False)


def _convert(options: argparse.Namespace) -> None:
    cli.output("--out", options.out, "file of events", options.files)
    formats = {known.name: known for known in map(format_of, options.files)}
    if len(formats) > 1:
        raise InputError(f"files of {', '.join(sorted(formats))}", "one format", "convert each by itself")
    [known] = formats.values()
    how = reading.chosen(options, options.files)
    sums = {path.name: sha256(path) for path in options.files}
    provenance = {"source": known.name, "files": [path.name for path in options.files], "sha256": sums}
    # The list grows while the files are read, and the provenance is written after the last event.
    provenance |= {"reading": how["tell"]} | ({} if known.labelled else {"label": options.label})
    with cli.Progress("convert") as progress:
        parts = _each(options.files, how, progress)
        n = (_write_images if known.images else write_arrays)(options.out, parts, provenance)
    print(f"{options.out}: {n:,} events ({known.name}), {options.out.stat().st_size / 1e6:.1f} MB")


def _each(files: list[Path], how: dict[str, Any], progress: Progress) -> Iterator[Any]:
    first: dict[str, Any] = {}
    for i, path in enumerate(files):
        progress(i, len(files), path.name)
        for part in slices(path, **how):
            if isinstance(part, Mapping):
                first = first or {name: column.shape[1:] for name, column in part.items()}
                _require_alike(part, first, path, files[0])
            yield part


def _require_alike(part: Mapping[str, np.ndarray], first: dict[str, Any], path: Path, other: Path) -> None:
    """InputError where arrays have other shapes than those of the first file, such as jets of fewer constituents."""
    for name, column in part.items():
        if column.shape[1:] != first[name]:
            shapes = [" x ".join(map(str, shape)) for shape in (column.shape[1:], first[name])]
            raise InputError(
                f"{path}: {name} of {shapes[0]} per event, {other}: {shapes[1]}",
                "files alike",
                "convert each by itself",
            )


def _write_images(out: Path, parts: Iterator[EventImages], provenance: dict[str, Any]) -> int:
    """Write an events file; the number of its events."""
    # The file's provenance is its first part's; cross sections of the first of several files are not those of all.
    lost = {"processes"} if len(provenance["files"]) > 1 else set()
    write_events(out, (replace(part, provenance=_joined(part, provenance, lost)) for part in parts))
    with EventFile(out) as file:
        return len(file)


def _joined(part: EventImages, provenance: dict[str, Any], lost: set[str]) -> dict[str, Any]:
    told = provenance["reading"]
    told[:0] = [line for line in part.provenance.get("reading", []) if line not in told]
    return {**{key: value for key, value in part.provenance.items() if key not in lost}, **provenance}


def _validate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", help="events file, folder, or several joined by commas")
    parser.add_argument("b", help="likewise")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--plots", type=Path, help="SVG file to write: one page of plots")
    parser.add_argument("--seed", type=int, default=0, help="seed of the two-sample test")
    reading.add_arguments(parser)


def _validate(options: argparse.Namespace) -> None:
    require_seeds("--seed", [options.seed])
    from codae_l1.scripts.studies.validation import compare, summaries, table, test_lines

    files = [name for side in (options.a, options.b) for name in side.split(",")]
    for name in files:
        cli.existing(name)
    cli.output("--out", options.out, "JSON of a validation", files)
    cli.output("--plots", options.plots, "SVG picture", files)
    how = reading.chosen(options, options.a.split(","), options.b.split(","))
    sums: dict[str, dict[str, str]] = {"a": {}, "b": {}}
    samples = {side: summaries(getattr(options, side), sums[side], **how) for side in sums}
    of_a = {sum_: path for path, sum_ in sums["a"].items()}
    same = [f"{of_a[sum_]} of A and {path} of B are the same file" for path, sum_ in sums["b"].items() if sum_ in of_a]
    content = {"files": {"a": options.a, "b": options.b}, "sha256": sums["a"] | sums["b"]}
    content["reading"] = [*how["tell"], *same]
    content |= compare(samples["a"], samples["b"], options.seed)
    if options.out is not None:
        write_json(options.out, content)
    if options.plots is not None:
        from codae_l1.scripts.reports.event_figures import validation_figure
        from codae_l1.scripts.reports.figures import save_svg

        save_svg(validation_figure(content), options.plots)
    print("\n".join([*same, table(content["a"], content["b"])]))
    print("\n".join(["", *test_lines(content["two_sample"])]))


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="events files")
    parser.add_argument("--process", nargs="+", choices=CLASSES, default=CLASSES, help="classes to show")
    parser.add_argument("--events", type=int, default=1, help="displays of each class")
    parser.add_argument("--pool", type=int, default=PoolingConfig().pool, help="side of a firmware cell in towers")
    parser.add_argument(
        "--inputs", nargs="+", choices=tuple(INPUTS), default=PoolingConfig().inputs, help="inputs of the firmware"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    reading.add_arguments(parser)


def _show(options: argparse.Namespace) -> None:
    if options.events < 1:
        raise InputError(f"--events {options.events}", "a number >= 1", "correct it")
    cli.output("--out", options.out, "folder of pictures")
    pooling = PoolingConfig(options.pool, tuple(options.inputs))
    shown = _collect(options.files, options.process, options.events, pooling, **reading.chosen(options, options.files))

    from codae_l1.scripts.reports.event_figures import average_figure, display_figure
    from codae_l1.scripts.reports.figures import save_svg

    displays = [display for row in shown.values() for display in row["displays"]]
    save_svg(display_figure(displays), options.out / "displays.svg")
    events = {name: row["events"] for name, row in shown.items()}
    averages = {name: row["sum"] / row["events"] for name, row in shown.items()}
    save_svg(average_figure(averages, events), options.out / "averages.svg")
    print(f"{options.out}: displays.svg, averages.svg of {', '.join(f'{n:,} {name}' for name, n in events.items())}")


def _collect(
    files: list[Path], processes: tuple[str, ...], n_displays: int, pooling: PoolingConfig, **how: Any
) -> dict[str, dict[str, Any]]:
    """Class -> its number of events, their sum (72, 58, 3) GeV, and displays of the first, in order of CLASSES.

    how: label, options of formats and tell, as for event_slices.
    """
    rows: dict[str, dict[str, Any]] = {}
    for path in files:
        for events in event_slices(path, SLICE, **how):
            for name in np.unique(events.signal[np.isin(events.signal, processes)]):
                images = events.images[events.signal == name]
                row = rows.setdefault(str(name), {"events": 0, "sum": 0.0, "displays": []})
                missing = images[: n_displays - len(row["displays"])]
                row["displays"] += [_display(str(name), image, pooling) for image in missing]
                row["events"] += len(images)
                row["sum"] += images.sum(axis=0, dtype=np.float64)
    if not rows:
        raise InputError(f"no events of {', '.join(processes)}", "at least one", "choose another --process or file")
    return {name: rows[name] for name in CLASSES if name in rows}


def _display(signal: str, image: np.ndarray, pooling: PoolingConfig) -> dict[str, Any]:
    words = input_counts(image[None], pooling)[0]
    inputs = {name: words[..., i] for i, name in enumerate(pooling.inputs)}
    # A view would keep all the events that were read with it.
    image = image.copy()
    return {"signal": signal, "image": image, "mask": image[..., 0] > 0, "words": inputs}


if __name__ == "__main__":
    cli.run(command)
