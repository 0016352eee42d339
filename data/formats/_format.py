"""What an input format is: one class with a name, suffixes, options, and the slices of its events."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from codae_l1.data.base.errors import InputError

# Called with a line about what was done to the events of a file.
Tell = Callable[[str], None]


def tell_weights(names: Iterable[str], of: str, tell: Tell) -> None:
    """Tell of arrays or columns with names of weights, which a format without weights does not use."""
    unused = [str(name) for name in names if "weight" in str(name).lower()]
    if unused:
        tell(f"{', '.join(unused[:5])} {'are' if len(unused) > 1 else 'is'} not used: each {of} has the weight 1")


@dataclass(frozen=True)
class NoOptions:
    """The options of a format that has none."""


class Format:
    """One input format.

    name: as commands print it. kind: what its files hold, for messages. suffixes: of its files. images: whether a slice
    is EventImages, or else a mapping of name -> array (n, ...). labelled: whether the files say what their events are;
    where they do not, `slices` gets a label. Options: a frozen dataclass of what can be set for this format alone,
    each field with a default and, in its metadata, a `help`; commands that read events have an option for each field.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    images: ClassVar[bool] = True
    labelled: ClassVar[bool] = True
    Options: ClassVar[type] = NoOptions

    def recognises(self, path: Path) -> bool:
        """Whether a file with one of the suffixes has this format; here the suffix alone decides."""
        return True

    def slices(self, path: Path, options: Any, size: int, label: str, tell: Tell) -> Iterator[Any]:
        """The events of a file in order, at most `size` at a time.

        options: an instance of Options. label: "qcd" or the name of a signal, for formats that do not say. tell: called
        after the last slice with what was done to the events, where that was not the same for every file.
        """
        raise NotImplementedError

    def checked_label(self, path: Path, label: str | None) -> str:
        """The label, or "" where the files say it themselves; InputError where it is missing."""
        if self.labelled:
            return ""
        if label is None:
            what = 'a label: "qcd" or a signal' if self.images else "a label"
            raise InputError(f"{path} does not say what its events are", what, "give --label NAME")
        return label
