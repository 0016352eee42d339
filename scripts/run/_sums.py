"""What each stage recorded of what it wrote, and whether that is still what lies in the run folder.

A stage's JSON begins with its record:

    "record": {"sum": SHA-256 of this file without the sum itself,
               "needs": {stage that it needs: the sum of that stage's JSON},
               "files": {path: {"bytes", "mtime_ns", "sha256"}}}

Paths are relative to the run folder, so that a copy of it opens anywhere; an events file outside of it goes by the
config key that names it, data.events. A file whose size and time are those of the record is not read; one whose time
alone has changed (a copy) is, and its sum decides. Sums tell accidents and mix-ups, not attacks: whoever changes a file
can change its record, too (docs/security.md).
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, sha256, whole_file
from codae_l1.scripts.run._layout import misfit
from codae_l1.scripts.run.stages import STAGES

# How the record calls an events file outside the run folder: the config key that names it.
EVENTS = "data.events"
# Where the record stands in a stage's JSON, its sum first in both.
_EMPTY_SUM = '"sum": ""'
# Path, size and time of a file: while they are the same, so is the file.
_State = tuple[str, int, int]


class Altered(InputError):
    """Something in a run folder is not what its stage wrote."""


class Sums:
    """The records of one run folder; each file is compared once while it stays as it is.

    trust: compiled libraries may be others than those that the stages wrote, and of stages that recorded nothing.
    """

    def __init__(self, folder: Path, trust: bool = False):
        self.folder, self.trust = folder, trust
        self._compared: set[_State] = set()
        # Stage -> its JSON's state when it was compared, and its record.
        self._records: dict[str, tuple[_State, dict[str, Any]]] = {}
        self._told = False

    def file(self, stage: str) -> Path:
        """The JSON of a stage."""
        return self.folder / f"{stage}.json"

    def write(self, stage: str, content: dict[str, Any], outside: Path | None = None) -> dict[str, Any]:
        """Write a stage's JSON, its record first, whole or not at all; returns what was written.

        outside: an events file that is not in the run folder.
        """
        files = {path for pattern in STAGES[stage].made for path in (self.folder / stage).glob(pattern)}
        rows = {path.relative_to(self.folder).as_posix(): _row(path) for path in sorted(files) if path.is_file()}
        rows |= {EVENTS: _row(outside)} if outside and outside.is_file() else {}
        needs = {need: self._sum(need) for need in STAGES[stage].needs}
        record = {"sum": "", "needs": needs, "files": rows}
        content = {"record": record, **content}
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        record["sum"] = hashlib.sha256(text.encode()).hexdigest()
        with whole_file(self.file(stage)) as temporary:
            temporary.write_text(text.replace(_EMPTY_SUM, f'"sum": "{record["sum"]}"', 1))
        return content

    def read(self, stage: str) -> dict[str, Any]:
        """A stage's JSON; InputError where it holds no table, is not as its stage wrote it, or of another need."""
        content = self.read_alone(stage)
        for need, then in self._record(stage).get("needs", {}).items():
            if self.file(need).is_file() and self._sum(need) != then:
                raise Altered(
                    f"{self.file(stage)} was made from another {need}.json than lies beside it",
                    "stages that were made from each other",
                    self._again(stage),
                )
        return content

    def read_alone(self, stage: str) -> dict[str, Any]:
        """`read`, whatever lies beside the stage's JSON."""
        file = self.file(stage)
        content = read_json(file)
        if not isinstance(content, dict):
            raise InputError(f"{file} holds no table", "what the stage says", "remove it and run its stage")
        record, state = _table(content.get("record")), _state(file)
        if not record:
            if not content:
                raise InputError(f"{file} says nothing", "what the stage says", self._again(stage))
            self._tell(stage)
        elif set(_table(record.get("needs"))) != set(STAGES[stage].needs):
            raise Altered(f"{file} is what another stage than {stage} said", "the stage's own", self._again(stage))
        elif state not in self._compared:
            then = str(record.get("sum"))
            found = hashlib.sha256(file.read_bytes().replace(then.encode(), b"", 1)).hexdigest()
            if found != then:
                raise self._altered(stage, file, found, then)
            self._compared.add(state)
        if wrong := misfit("record", record):
            raise InputError(f"{file}: record.{wrong[0]}", wrong[1], self._again(stage))
        self._records[stage] = state, record
        return _said(content, str(file), self._again(stage))

    def check_types(self, stage: str, content: dict[str, Any]) -> None:
        """Raise InputError where a value of a stage's JSON, which a later command will use, is of another type."""
        if wrong := misfit(stage, content):
            raise InputError(f"{self.file(stage)}: {wrong[0]}", wrong[1], self._again(stage))

    def check(self, stage: str, path: Path) -> None:
        """Raise InputError unless the recorded files of a stage at or below `path` are there and as it wrote them.

        A stage that is not done, or recorded nothing, is let pass.
        """
        if stage not in STAGES or not self.file(stage).is_file():
            return
        below = path.relative_to(self.folder).as_posix()
        for name, row in self._files(stage).items():
            if name == below or name.startswith(f"{below}/"):
                self._compare(stage, self.folder / name, row)

    def check_library(self, stage: str, path: Path) -> None:
        """Raise InputError unless a compiled library is one that the stage recorded, as it was, or any is trusted.

        One that is not there is let pass: whoever loads it says so.
        """
        name = os.path.relpath(os.path.abspath(path), self.folder.absolute())
        if self.trust or not path.is_file():
            return
        row = self._files(stage).get(name) if self.file(stage).is_file() else None
        if row is None:
            raise InputError(
                f"the compiled library {path}, of which stage {stage} recorded no sum",
                "one that the stage made and recorded",
                f"{self._anew(stage)}, or add --trust",
            )
        self._compare(stage, path, row)

    def check_events(self, path: Path) -> None:
        """Raise InputError where an events file outside the folder is not as it was when make_data recorded it."""
        row = self._files("make_data").get(EVENTS) if self.file("make_data").is_file() else None
        if row is not None:
            self._compare("make_data", path, row)

    def _record(self, stage: str) -> dict[str, Any]:
        """The record of a stage whose JSON is there; empty where it recorded nothing."""
        if stage not in self._records or self._records[stage][0] != _state(self.file(stage)):
            self.read_alone(stage)
        return self._records[stage][1]

    def _files(self, stage: str) -> dict[str, dict[str, Any]]:
        return self._record(stage).get("files", {})

    def _sum(self, stage: str) -> str | None:
        return self._record(stage).get("sum")

    def _compare(self, stage: str, path: Path, row: dict[str, Any]) -> None:
        if self.trust and path.suffix == ".so":
            return
        try:
            does = "is not there"
            state = _state(path)
            if state in self._compared or state[1:] == (row["bytes"], row["mtime_ns"]):
                return
            does = "cannot be read"
            found = sha256(path)
        except OSError as error:
            raise InputError(
                f"{path}, which stage {stage} wrote, {does} ({error.strerror})",
                "a whole run folder",
                self._again(stage),
            ) from None
        if found != row["sha256"]:
            raise self._altered(stage, path, found, row["sha256"])
        self._compared.add(state)

    def _altered(self, stage: str, path: Path, found: str, then: str) -> Altered:
        return Altered(
            f"{path} was altered since stage {stage} wrote it (SHA-256 {found[:12]}, {then[:12]} then)",
            "what the stage wrote",
            self._again(stage) + (", or add --trust" if path.suffix == ".so" else ""),
        )

    def _again(self, stage: str) -> str:
        return f"put it back, or {self._anew(stage)}"

    def _anew(self, stage: str) -> str:
        script = STAGES[stage].module.rpartition(".")[2]
        return f"remove {self.file(stage)} and run python scripts/{script}.py --run {self.folder}, which makes it anew"

    def _tell(self, stage: str) -> None:
        """Say once that what an older release made is not compared with anything."""
        if not self._told:
            self._told = True
            print(f"{self.folder}: not verified, an older release made stage {stage} and recorded no sums", flush=True)


class _Unsaid(InputError, LookupError):
    """A stage's JSON lacks a key; templates take any LookupError for a value that need not be there."""


class _Said(dict[str, Any]):
    """A table of a stage's JSON; a key that it lacks, as in one of an older release or changed by hand, is named."""

    where, remedy = "", ""

    def __missing__(self, key: str) -> Any:
        raise _Unsaid(f"{self.where} without {key}", "what the stage says", self.remedy)


def _said(value: Any, where: str, remedy: str) -> Any:
    """The same with all its tables, however deep, as `_Said`."""
    if isinstance(value, list):
        return [_said(item, where, remedy) for item in value]
    if not isinstance(value, dict):
        return value
    table = _Said({key: _said(item, f"{where}: {key}", remedy) for key, item in value.items()})
    table.where, table.remedy = where, remedy
    return table


def _state(path: Path) -> _State:
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns


def _row(path: Path) -> dict[str, Any]:
    _, size, mtime_ns = _state(path)
    return {"bytes": size, "mtime_ns": mtime_ns, "sha256": sha256(path)}


def _table(value: Any) -> dict[str, Any]:
    """A value that should be a table, or an empty one."""
    return value if isinstance(value, dict) else {}
