"""Convert other people's events into the project's HDF5, in slices: files of any size.

    python scripts/convert_events.py data/qcd_*.h5 --label qcd --out qcd.h5               # CoDAE raw HDF5
    python scripts/convert_events.py delphes.root --label svj2100 --out svj2100.h5        # Delphes
    python scripts/convert_events.py public/*.npz --out public.h5                         # public CoDAE sample
    python scripts/convert_events.py train.h5 --jet-images 16 --out jets.h5               # top-tagging reference
    python scripts/convert_events.py background.h5 --label background --out objects.h5    # ADC2021

The format is told from the content. --label says what the events are where files do not. Event images become an events
file (codae_l1.data.formats.event_file), which every command reads. Jets become `relative` (N, 200, 3): eta, phi and pT relative to
the jet, `image` (N, bins, bins) and `is_signal`; ADC2021 becomes `particles` (N, 19, 4) and `label`; both are read by
codae_l1.data.formats.arrays.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import EventImages
from codae_l1.data.formats import adc2021, top_tagging
from codae_l1.data.formats.arrays import write_arrays
from codae_l1.data.formats.delphes import DelphesConfig
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.formats.reading import event_slices, format_of
from codae_l1.scripts.run import cli

JET_IMAGES = {config.bins: config for config in (top_tagging.COARSE, top_tagging.FINE)}


def command() -> None:
    """Parse the arguments, convert."""
    parser = cli.parser(__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="events files of one format")
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")
    parser.add_argument("--label", help="what the events are, where files do not say: qcd, or a signal")
    parser.add_argument("--tracks", default=DelphesConfig().tracks, help="Delphes: branch of tracks (or EFlowTrack)")
    parser.add_argument("--jet-images", type=int, choices=JET_IMAGES, default=16, help="jets: pixels a side")
    options = parser.parse_args()
    formats = {format_of(path) for path in options.files}
    if len(formats) > 1:
        raise InputError(f"files of {', '.join(sorted(formats))}", "one format", "convert each by itself")
    kind = formats.pop()
    with cli.Progress("convert") as progress:
        n = _convert(kind, options, progress)
    print(f"{options.out}: {n:,} events ({kind}), {options.out.stat().st_size / 1e6:.1f} MB")


def _convert(kind: str, options: Any, progress: cli.Progress) -> int:
    provenance = {"source": kind, "files": [path.name for path in options.files], "label": options.label}
    if kind == "top-tagging":
        return write_arrays(options.out, _each(options.files, partial(_jets, options), progress), provenance)
    if kind == "adc2021":
        if options.label is None:
            raise InputError(f"{options.files[0]} does not say what its events are", "a label", "give --label NAME")
        return write_arrays(options.out, _each(options.files, partial(_objects, options), progress), provenance)
    images = partial(event_slices, label=options.label, delphes=DelphesConfig(tracks=options.tracks))
    parts = _each(options.files, images, progress)
    # The file's provenance is its first part's; cross sections of the first of several files are not those of all.
    lost = {"processes"} if len(options.files) > 1 else set()
    write_events(options.out, (replace(part, provenance=_joined(part, provenance, lost)) for part in parts))
    with EventFile(options.out) as file:
        return len(file)


def _each(files: list[Path], slices_of: Any, progress: cli.Progress) -> Iterator[Any]:
    for i, path in enumerate(files):
        progress(i, len(files), path.name)
        yield from slices_of(path)


def _joined(part: EventImages, provenance: dict[str, Any], lost: set[str]) -> dict[str, Any]:
    return {**{key: value for key, value in part.provenance.items() if key not in lost}, **provenance}


def _jets(options: Any, path: Path) -> Iterator[dict[str, np.ndarray]]:
    for jets in top_tagging.jet_slices(path):
        relative = top_tagging.relative(jets.constituents)
        image = top_tagging.jet_images(relative, JET_IMAGES[options.jet_images])
        yield {"relative": relative, "image": image, "is_signal": jets.is_signal}


def _objects(options: Any, path: Path) -> Iterator[dict[str, np.ndarray]]:
    for particles in adc2021.object_slices(path):
        yield {"particles": particles, "label": np.full(len(particles), options.label.encode())}


if __name__ == "__main__":
    cli.run(command)
