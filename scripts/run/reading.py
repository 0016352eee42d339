"""Arguments of the commands that read events of any format: the label, and what single formats can be told."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codae_l1.data.formats import FORMATS


def add_arguments(parser: argparse.ArgumentParser, images: bool = True) -> None:
    """Add --label and the options of each format; images: of the formats of event images alone."""
    unsaid = ", ".join(known.name for known in FORMATS if not known.labelled and (known.images or not images))
    parser.add_argument("--label", help=f"what the events are, for files that do not say ({unsaid}): qcd, or a signal")
    for known in FORMATS:
        fields = dataclasses.fields(known.Options) if known.images or not images else ()
        group = parser.add_argument_group(f"files of {known.name}") if fields else parser
        for field in fields:
            name, settings = "--" + field.name.replace("_", "-"), dict(field.metadata)
            if field.default is False:
                group.add_argument(name, action="store_true", **settings)
            else:
                group.add_argument(name, type=type(field.default), default=field.default, **settings)


class _Told(list[str]):
    """The lines about what was done to the events that were read: each is printed and kept."""

    def __call__(self, line: str) -> None:
        """Print a line and keep it."""
        print(line, flush=True)
        self.append(line)


def chosen(arguments: argparse.Namespace, *groups: Sequence[Path | str]) -> dict[str, Any]:
    """label, options of the formats and tell (a _Told), as codae_l1.data.formats takes them.

    groups: files that are read together; one that is named twice is told.
    """
    told = _Told()
    for files in groups:
        places = [Path(file).resolve() for file in files]
        for place in dict.fromkeys(places):
            if (times := places.count(place)) > 1:
                told(f"{files[places.index(place)]}: named {times} times, so each of its events counts {times} times")
    given = vars(arguments)
    options = {}
    for known in FORMATS:
        names = [field.name for field in dataclasses.fields(known.Options)]
        options[known.name] = known.Options(**{name: given[name] for name in names if name in given})
    return {"label": arguments.label, "options": options, "tell": told}
