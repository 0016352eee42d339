"""What a command may write over: files and folders of the kind that it writes; none that it reads, nor a run's own."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import opened_hdf5, partial, read_attribute, read_json, writing
from codae_l1.scripts.run.stages import STAGES, WEIGHTS

# What the running command holds of its outputs.
_HELD: ContextVar[contextlib.ExitStack | None] = ContextVar("held", default=None)


def output(
    option: str, path: Path | None, kind: str, inputs: Iterable[Path | str] = (), run: Path | None = None
) -> None:
    """Raise InputError unless a command may write `path`, the value of `option`, and hold it; nothing is asked of None.

    kind: what it writes, a key of KINDS. inputs: files and folders that it reads. run: a run folder, in whose stages'
    folders nothing else is written.
    """
    if path is None:
        return
    if wrong := _no_place(path):
        raise InputError(f"{option} {path} {wrong}", "a place that can be written", "name another")
    for given in map(Path, inputs):
        if _is_in(path, given):
            raise InputError(
                f"{option} {path} is read by the same command and would be overwritten",
                "a file that it does not read",
                "name another",
            )
    if run is not None and (stage := _stage_of(path, run)):
        raise InputError(
            f"{option} {path} is in the run folder's {stage}, which only the stage writes",
            "a place of its own",
            "name another",
        )
    folder = kind.startswith("folder")
    if folder and path.suffix in _FILES and not path.exists():
        raise InputError(f"{option} {path}", f"a {kind}, whose name does not end with {path.suffix}", "correct it")
    if path.is_dir() != folder and path.exists():
        raise InputError(f"{option} {path} is a {'folder' if path.is_dir() else 'file'}", f"a {kind}", "name another")
    if (held := _others(path)) and not KINDS[kind](path):
        raise InputError(
            f"{option} {path} holds other files ({', '.join(held[:3])})",
            f"a new or empty folder, or a {kind}",
            "name another",
        )
    if path.is_file() and not KINDS[kind](path):
        raise InputError(
            f"{option} {path} exists and holds something else, which would be overwritten",
            f"a new file, or a {kind}",
            "name another, or remove it yourself",
        )
    if (stack := _HELD.get()) is not None and path.parent.is_dir():
        with writing(path):
            stack.enter_context(partial(path))
    endings = next((ends for start, ends in _ENDINGS.items() if kind.startswith(start)), None)
    if endings and path.suffix not in endings:
        raise InputError(f"{option} {path}", f"a name that ends with {' or '.join(endings)}", "correct it")


@contextlib.contextmanager
def outputs() -> Iterator[None]:
    """A command, which alone writes what `output` allows it to."""
    with contextlib.ExitStack() as held:
        before = _HELD.set(held)
        try:
            yield
        finally:
            _HELD.reset(before)


def _no_place(path: Path) -> str:
    """Why nothing can be written at a path; empty where something can. It, or the first of the folders above it that
    is there, may be a link that leads nowhere, and the folder no folder."""
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    below = "" if there == path else f"lies below {there}, which "
    if not there.exists():
        return f"{below}is a link that leads nowhere (to {there.readlink()})"
    return f"{below}is no folder" if below and not there.is_dir() else ""


def _others(path: Path) -> list[str]:
    """What a folder shows; nothing of a file."""
    return sorted(p.name for p in path.iterdir() if not p.name.startswith(".")) if path.is_dir() else []


def _is_in(path: Path, given: Path) -> bool:
    """Whether two paths are one file, or the first is a file that lies in the second."""
    if not (path.is_file() and given.exists()):
        return False
    return path.samefile(given) or (given.is_dir() and path.resolve().is_relative_to(given.resolve()))


def _stage_of(path: Path, run: Path) -> str:
    """The stage's folder or JSON, the config or imported weights that a path is in; empty where it is in none."""
    found, run = path.resolve(), run.resolve()
    names = ("config.json", WEIGHTS, *STAGES, *(f"{stage}.json" for stage in STAGES))
    own = [run / name for name in names]
    return next((place.name for place in own if found == place or found.is_relative_to(place)), "")


def _hdf5(wanted: Callable[[Any], bool]) -> Callable[[Path], bool]:
    """Whether a file is HDF5 of which something holds."""

    def holds(path: Path) -> bool:
        try:
            with opened_hdf5(path, "HDF5") as file:
                return wanted(file)
        except InputError:
            return False

    return holds


def _of_format(*names: str) -> Callable[[Path], bool]:
    """Whether a file is HDF5 of ours, of one of some formats."""
    return _hdf5(lambda file: str(read_attribute(file, "format")) in names)


def _json(*keys: str) -> Callable[[Path], bool]:
    """Whether a file is a JSON table with some keys."""

    def holds(path: Path) -> bool:
        try:
            content = read_json(path)
        except InputError:
            return False
        return isinstance(content, dict) and set(keys) <= set(content)

    return holds


def _folder(*marks: str) -> Callable[[Path], bool]:
    """Whether a folder holds something of a command, named by patterns, and is no run's.

    The marks are what the command writes first, so that a killed one is continued.
    """

    def holds(path: Path) -> bool:
        return not (path / "config.json").exists() and any(True for mark in marks for _ in path.glob(mark))

    return holds


def _starts_with(path: Path, words: bytes, within: int) -> bool:
    with open(path, "rb") as handle:
        return words in handle.read(within)


# How the names of files end, by the start of their kind: under another name they would pass for another format.
_ENDINGS = {
    **dict.fromkeys(("file of", "generated sample"), (".h5", ".hdf5")),
    "JSON of": (".json",),
    "SVG picture": (".svg",),
    "page": (".md",),
}
# How names of files end that are no folder's.
_FILES = {ending for endings in _ENDINGS.values() for ending in endings}
_FILES |= {
    ".txt",
    ".csv",
    ".toml",
    ".npz",
    ".npy",
    ".keras",
    ".root",
    ".pdf",
    ".png",
    ".html",
    ".v",
    ".log",
    ".zip",
    ".tar",
}
_FILES |= {".gz", ".tgz"}
# What commands write -> whether a file or folder is one.
KINDS: dict[str, Callable[[Path], bool]] = {
    "file of scores": _hdf5(lambda file: {"signal", "file"} <= set(file) and "format" not in file.attrs),
    "file of events": _of_format("codae-l1 events", "codae-l1 arrays"),
    "file of crossings": _of_format("codae-l1 crossings"),
    # In a layout of others, which has no such attribute; our generators note how they made it.
    "generated sample": _hdf5(lambda file: "provenance" in file.attrs and "format" not in file.attrs),
    "JSON of a validation": _json("files", "a", "b"),
    "SVG picture": lambda path: _starts_with(path, b"<svg", 4096),
    "JSON of designs": _json("versions", "designs"),
    # Whoever writes it knows its own folders, and pages.
    "folder": lambda path: True,
    "page of a comparison": lambda path: True,
    "folder of pictures": _folder("displays.svg"),
    "folder of profiles": _folder("numerics.json"),
    "folder of a comparison": _folder("comparison.json", "parts/*-seed-*.npz"),
    "folder of encoders": _folder("encoders.json", "costs.json", "published.json", "hls4ml/project.json"),
    "folder of a mapped network": _folder("synthesize.json", "rtl/design.json"),
    "folder of projects": _folder("backends.json", "*-*-*-*/.inputs"),
    "folder of trained jets": _folder("settings.json", "jets.work"),
    "folder of trained objects": _folder("settings.json", "background.work"),
    "folder of swaps": _folder("swaps.json", "trials/*/.inputs"),
    "folder of runs": _folder("seeds.json", "seed-*/config.json"),
}
