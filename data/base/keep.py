"""Work that is done once: a folder remembers what it was made from, and is not made again while that stays the same.

    row = keep(folder, {"config": dump(config), "seed": 1}, make)

The folder holds `.inputs`, the SHA-256 of what it is made from, and `result.json`, written last. Killed half-way, the
same call goes on in the same folder, from whatever checkpoints `make` left there; with other inputs it starts over.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, whole_file, write_json

# Config keys that say how fast something is done, not what comes out.
SPEED_KEYS = ("jobs", "tool_timeout_s", "simulation_threads")
_INPUTS = ".inputs"


def digest(content: Any) -> str:
    """SHA-256 of JSON-ready content; tables that differ in the order of their keys alone give the same.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def without_speed(section: Any) -> Any:
    """A dumped config without the keys that say how fast.

    >>> without_speed({"jobs": 4, "part": "xcvu13p"})
    {'part': 'xcvu13p'}
    """
    if isinstance(section, dict):
        return {key: without_speed(value) for key, value in section.items() if key not in SPEED_KEYS}
    return section


def keep(folder: Path, inputs: Any, make: Callable[[Path], Any], result: str = "result.json") -> Any:
    """The JSON-ready result of `make(folder)`: the stored one where the folder was made from the same inputs.

    inputs: JSON-ready, all that decides the result. result: name of the file that holds it. The folder is its own
    from then on, and emptied when the inputs change. Raises InputError where it holds files and was never claimed.
    """
    asked, stored = digest(inputs), folder / result
    if made_from(folder) == asked and stored.is_file():
        return read_json(stored)
    # What a claim that was killed leaves is of this function, too.
    others = [p.name for p in folder.iterdir() if not p.name.startswith(f".{_INPUTS}-")] if folder.is_dir() else []
    if made_from(folder) is None and others:
        raise InputError(
            f"{folder} holds files of something else ({min(others)})",
            "an empty or a new folder",
            "name another folder, or empty this one",
        )
    claim(folder, asked)
    stored.unlink(missing_ok=True)
    made = make(folder)
    write_json(stored, made)
    return made


def made_from(folder: Path) -> str | None:
    """The digest of what a folder is made from, or being made from; None where it does not say."""
    state = folder / _INPUTS
    return state.read_text() if state.is_file() else None


def claim(folder: Path, inputs: str) -> None:
    """Make `folder` one of `inputs`; what it held from other inputs is removed, checkpoints included."""
    if made_from(folder) not in (None, inputs):
        shutil.rmtree(folder)
    with whole_file(folder / _INPUTS) as temporary:
        temporary.write_text(inputs)
