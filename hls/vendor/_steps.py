"""Steps of a vendor tool on one design, in order and resumable: what is run, what it must leave, and what is read.

    WORK/project/    a copy of what the tools read, and what they make of it
    WORK/STEP.log    the tool's output
    WORK/STEP.json   a finished step: inputs, program, seconds, checksums of what it left, figures

A step is done if its JSON exists and was made from the same source files (those that it reads), scripts and program and
from the same results of the steps that it needs, and if its files have not changed. An interrupted step leaves no JSON
and is repeated. When a step runs, only the changed files of the copy are replaced. A step whose tool ended well, but
whose reports cannot be read, has a JSON without figures ("unread"): others work on what it left, and the next run reads
it again.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import locked, read_json, sha256, write_json, writing
from codae_l1.data.base.progress import Progress
from codae_l1.hls.vendor._reports import Source, Unreadable
from codae_l1.hls.vendor._tools import on_path, run_tool

# What the JSON of a finished step holds, apart from its name.
_SHAPE = {"inputs": str, "program": str, "seconds": (int, float), "log": str, "reports": dict, "found": dict}
# Takes (step, line) of a running tool.
Follow = Callable[[str, str], None]


@dataclass(frozen=True)
class Step:
    """One run of a vendor tool.

    commands: program -> command; the first that is on PATH runs, in the subfolder `folder` of the project. also:
    further programs that it calls. reports: texts it has to leave there; read: those and the log, each with its source
    -> figures, JSON-ready. products: other files it has to leave. needs: steps whose results it works on. files:
    written into the folder before it runs. optional: texts that it may leave, read after the reports, empty where it
    did not. label: what errors call the program, its own name by default. ignores: how the paths of source files begin
    that it does not read. version: of the program, where its place does not tell it.
    """

    name: str
    says: str
    commands: dict[str, tuple[str, ...]]
    reports: tuple[str, ...]
    read: Callable[[list[tuple[str, Source]]], dict[str, Any]]
    products: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    folder: str = "."
    label: str = ""
    ignores: tuple[str, ...] = ()
    version: str = ""

    @property
    def leaves(self) -> tuple[str, ...]:
        """All files that it has to leave."""
        return (*self.reports, *self.products)

    def program(self) -> tuple[str, str]:
        """(name, place) of the program that runs it; ToolError where one that it needs is not on PATH."""
        for name in self.also:
            on_path(name)
        return on_path(*self.commands)


def run_step(step: Step, project: Path, log: Path, timeout_s: float, **options: Any) -> dict[str, Any]:
    """Run one step in its project and read its reports; options: those of `run_tool`. Raises ToolError."""
    name = _run_program(step, project, log, timeout_s, **options)
    return _figures(step, project / step.folder, log, name)


def _run_program(step: Step, project: Path, log: Path, timeout_s: float, **options: Any) -> str:
    """Run the program of a step; its name. Raises ToolError."""
    name, _ = step.program()
    folder = project / step.folder
    with writing(folder):
        folder.mkdir(exist_ok=True)
        for file, text in step.files.items():
            (folder / file).write_text(text)
        for file in step.optional:
            (folder / file).unlink(missing_ok=True)
        leaves = tuple(folder / file for file in step.leaves)
        run_tool(step.commands[name], folder, log, timeout_s, leaves, label=step.label or name, **options)
    return name


def _figures(step: Step, folder: Path, log: Path, program: str) -> dict[str, Any]:
    """What the reports of a step say; ToolError where it did not succeed, Unreadable where they lack something."""
    files = [*(folder / file for file in (*step.reports, *step.optional)), log]
    texts = [path.read_text(errors="replace") if path.is_file() else "" for path in files]
    tool = step.label or program
    return step.read([(text, Source(tool, path, log)) for text, path in zip(texts, files, strict=True)])


def check_programs(
    steps: list[Step], work: Path, selected: tuple[str, ...], source: dict[str, bytes] | None = None
) -> None:
    """Raise ToolError where a program is not on PATH that the `selected` steps, or those they need, would run.

    source: path in the project -> content; without it, only steps that were never done count as those that would run.
    """
    wanted = _with_needs(steps, selected)
    if source is None:
        done = {step.name for step in steps if (work / f"{step.name}.json").is_file()}
    else:
        done = set(_kept(steps, work, source))
    for step in steps:
        if step.name in wanted - done:
            step.program()


def run_steps(
    steps: list[Step],
    source: dict[str, bytes],
    work: Path,
    selected: tuple[str, ...],
    timeout_s: float,
    follow: Follow | None = None,
    progress: Progress | None = None,
    limit: str = "hls.tool_timeout_s",
    failed: dict[str, ToolError] | None = None,
) -> dict[str, dict[str, Any]]:
    """Do what is not done of the `selected` steps and of those they need; {step: its JSON} of all that are done.

    source: path in the project -> content. limit: what the user calls timeout_s. Programs are looked for before any
    step runs. Steps that were done and are not any more, with these inputs, are named to `progress`.
    Raises ToolError where a tool is not there, fails, takes too long or leaves a report or a figure out. failed: takes
    the errors of the steps instead, by their names; steps that do not need what failed go on.
    """
    wanted, say = _with_needs(steps, selected), progress or (lambda done, total, text: None)
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
    with locked(work / ".lock") as lock:
        done = _kept(steps, work, source)
        todo = [step for step in steps if step.name in wanted and step.name not in done]
        for step in todo:
            step.program()
        if todo:
            _copy(source, work / "project", anew=not done)
        todo = _with_followers(steps, todo, wanted, done)
        _say_dropped(steps, todo, work, done, say)
        for step in (step for step in steps if step.name in wanted and _is_unread(done.get(step.name))):
            with _going_on(step, done, failed):
                done[step.name] = _with_figures(step, work, done[step.name])
        for number, step in enumerate(todo):
            missing = [name for name in step.needs if name not in done]
            if missing:
                say(number, len(todo), f"{step.name}: left out, it needs {' and '.join(missing)}")
                continue
            say(number, len(todo), f"{step.name}: {step.says}")
            heard = None if follow is None else lambda line, name=step.name: follow(name, line)
            options = {"follow": heard, "lock": lock, "limit": limit}
            with _going_on(step, done, failed):
                done[step.name] = _do(step, work, _inputs(step, source, done), timeout_s, options)
                done[step.name] = _with_figures(step, work, done[step.name])
        ended = "all steps done" if todo else "done already"
        say(len(todo), len(todo), f"not done: {', '.join(failed)}" if failed else ended)
    return {name: content for name, content in done.items() if not _is_unread(content)}


@contextmanager
def _going_on(step: Step, done: dict[str, Any], failed: dict[str, ToolError] | None) -> Iterator[None]:
    """Put the error of a step into `failed`, if there is one; what could not be read alone stays in `done`."""
    try:
        yield
    except ToolError as error:
        if failed is None:
            raise
        failed[step.name] = error
        if not isinstance(error, Unreadable):
            done.pop(step.name, None)


def _is_unread(content: dict[str, Any] | None) -> bool:
    """Whether the JSON of a step is of one whose reports are still to be read."""
    return bool(content) and "unread" in content


def _do(step: Step, work: Path, inputs: str | None, timeout_s: float, options: dict[str, Any]) -> dict[str, Any]:
    """Run the program of one step and write its JSON, which has no figures yet."""
    started, log, folder = time.time(), (work / f"{step.name}.log").resolve(), work / "project" / step.folder
    file = work / f"{step.name}.json"
    file.unlink(missing_ok=True)
    _run_program(step, work / "project", log, timeout_s, **options)
    content = {
        "step": step.name,
        "inputs": inputs,
        "program": step.program()[1],
        "seconds": round(time.time() - started, 1),
        "log": str(log),
        "reports": {name: sha256(folder / name) for name in _left(step, folder)},
        "found": {},
        "unread": True,
    }
    write_json(file, content)
    return content


def _with_figures(step: Step, work: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a step whose program ended well, with its figures, written; without one, where it did not succeed."""
    file, folder = work / f"{step.name}.json", work / "project" / step.folder
    try:
        found = _figures(step, folder, Path(content["log"]), Path(content["program"]).name)
    except Unreadable:
        raise
    except ToolError:
        file.unlink()
        raise
    read = {key: value for key, value in content.items() if key != "unread"} | {"found": found}
    write_json(file, read)
    return read


def _left(step: Step, folder: Path) -> list[str]:
    """The files that a step left."""
    return [*step.leaves, *(name for name in step.optional if (folder / name).is_file())]


def _with_needs(steps: list[Step], selected: tuple[str, ...]) -> set[str]:
    """The selected steps and those they need, whatever is done."""
    names = {step.name: step for step in steps}
    wanted: set[str] = set()
    waiting = list(selected)
    while waiting:
        name = waiting.pop()
        if name not in names:
            raise InputError(f"step {name!r}", f"steps of {', '.join(names)}", "choose among them")
        wanted.add(name)
        waiting += names[name].needs
    return wanted


def _with_followers(steps: list[Step], todo: list[Step], wanted: set[str], done: dict[str, Any]) -> list[Step]:
    """`todo` and what has to be done anew after it; what was done of those is forgotten."""
    renewed = {step.name for step in todo}
    for step in steps:
        if renewed & set(step.needs):
            renewed.add(step.name)
            done.pop(step.name, None)
    return [step for step in steps if step.name in renewed & wanted]


def _say_dropped(steps: list[Step], todo: list[Step], work: Path, done: dict[str, Any], say: Progress) -> None:
    """Name the steps that were done and are left out."""
    left = [step.name for step in steps if step.name not in done and step not in todo]
    dropped = [name for name in left if (work / f"{name}.json").is_file()]
    if dropped:
        say(0, len(todo), f"{', '.join(dropped)}: done before with other inputs, left out until done again")


def digest_of(source: dict[str, bytes]) -> str:
    """SHA-256 of files, path -> content, hexadecimal."""
    parts = [(name, hashlib.sha256(content).hexdigest()) for name, content in sorted(source.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _inputs(step: Step, source: dict[str, bytes], done: dict[str, Any]) -> str | None:
    """SHA-256 of all that the step's result depends on; None where a step that it needs is not done."""
    if any(name not in done for name in step.needs):
        return None
    digest = digest_of({name: content for name, content in source.items() if not name.startswith(step.ignores)})
    parts = [
        digest,
        step.files,
        step.commands,
        step.leaves,
        step.version,
        [done[name]["reports"] for name in step.needs],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _kept(steps: list[Step], work: Path, source: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """{step: its JSON} of the steps that are done."""
    done: dict[str, dict[str, Any]] = {}
    for step in steps:
        content = _kept_step(step, work, _inputs(step, source, done))
        if content is not None:
            done[step.name] = content
    return done


def _kept_step(step: Step, work: Path, inputs: str | None) -> dict[str, Any] | None:
    """The JSON of a step that is done: same inputs and program, and its reports are still there, unchanged.

    One of another shape was not written by this code: not done.
    """
    file, folder = work / f"{step.name}.json", work / "project" / step.folder
    if inputs is None or not file.is_file():
        return None
    content = read_json(file)
    if not isinstance(content, dict) or any(not isinstance(content.get(key), kind) for key, kind in _SHAPE.items()):
        return None
    places = {shutil.which(name) for name in step.commands} - {None}
    same = content["inputs"] == inputs and (not places or content["program"] in places)
    whole = all((folder / r).is_file() and sha256(folder / r) == digest for r, digest in content["reports"].items())
    return content if same and whole else None


def _copy(source: dict[str, bytes], project: Path, anew: bool) -> None:
    """Copy what is not there as it is; anew: remove first what is there, the tools' results among them."""
    with writing(project):
        if anew:
            shutil.rmtree(project, ignore_errors=True)
        for name, content in source.items():
            path = project / name
            if not path.is_file() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
