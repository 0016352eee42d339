"""A sample from its config: chunks made in parallel processes, kept in a work folder, joined into one file.

A killed generation goes on with the chunks that are missing; the file is the same, byte for byte of its content,
whatever the number of workers and however often it was interrupted.
"""

import importlib.metadata
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

from codae_l1.data.artifact import read_json, write_json
from codae_l1.data.config import dump
from codae_l1.data.errors import InputError, ToolError
from codae_l1.data.events import EventImages
from codae_l1.data.generation.chunks import (
    Task,
    make_chunk,
    make_pool_chunk,
    pool_chunk_there,
    pool_chunks,
    tasks_of,
)
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.store import EventFile, write_events

Progress = Callable[[int, int, str], None]
# Changes when the same config would give other events.
GENERATOR_VERSION = 2


def generate(
    config: GenerationConfig,
    out: Path | str,
    workers: int | None = None,
    work_folder: Path | str | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> Path:
    """Generate the sample of `config` into the file `out` and return its path.

    workers: processes, default all cores. work_folder: where chunks are kept, default `out` with suffix .work; it may
    be removed afterwards. progress: called with events done, events in all and what is being made. command: what the
    user typed, for the provenance.
    """
    _require_pythia()
    out = Path(out)
    folder = Path(work_folder) if work_folder is not None else out.with_suffix(".work")
    _prepare(folder, config)
    tasks = tasks_of(config)
    if not tasks:
        raise InputError("a sample of no events", "at least one event of one process", "raise the counts")
    report = progress or (lambda done, total, text: None)
    missing = [task for task in tasks if not (folder / task.file).exists()]
    if missing:
        _make(config, missing, sum(t.count for t in tasks), folder, workers or os.cpu_count() or 1, report)
    total = sum(t.count for t in tasks)
    report(total, total, "writing")
    write_events(out, _parts(config, tasks, folder, command))
    report(total, total, "done")
    return out


def _make(config: GenerationConfig, missing: list[Task], total: int, folder: Path, workers: int, report: Progress):
    done = total - sum(t.count for t in missing)
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        wanted = [c for c in pool_chunks(config) if not pool_chunk_there(config, c, folder)]
        report(done, total, "pile-up pool")
        for future in as_completed([pool.submit(make_pool_chunk, config, c, folder) for c in wanted]):
            future.result()
        futures: dict[Future[None], Task] = {pool.submit(make_chunk, config, t, folder): t for t in missing}
        for future in as_completed(futures):
            future.result()
            done += futures[future].count
            report(done, total, futures[future].process)
    except BrokenProcessPool as error:
        raise ToolError(
            "a worker process of the generation died", "one that lives", "start it again: finished chunks are kept"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # After an error or an interrupt nobody waits for the chunks under way.
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()


def _parts(config: GenerationConfig, tasks: list[Task], folder: Path, command: str) -> Iterator[EventImages]:
    """The chunks in order, the first one with the provenance of all."""
    provenance = _provenance(config, tasks, folder, command)
    for task in tasks:
        with EventFile(folder / task.file) as file:
            yield replace(file.read(), provenance=provenance)


def _provenance(config: GenerationConfig, tasks: list[Task], folder: Path, command: str) -> dict[str, Any]:
    records: dict[str, list[dict[str, float]]] = {}
    for task in tasks:
        with EventFile(folder / task.file) as file:
            records.setdefault(task.process, []).append({**file.provenance, "accepted": task.count})
    processes = {}
    for process, chunks in records.items():
        sums = {key: sum(c[key] for c in chunks) for key in ("tried", "accepted", "sum_weight")}
        # Weighted by the collisions tried, since each chunk measures the cross section with those.
        section = sum(c["cross_section_pb"] * c["tried"] for c in chunks) / sums["tried"]
        processes[process] = sums | {"cross_section_pb": section}
    return {
        "kind": "generated events: Pythia 8 and a fast detector simulation, no data of any experiment",
        "license": "CC-BY-4.0",
        "command": command,
        "config": dump(config),
        "versions": _versions(),
        "weights": "an event's cross section is cross_section_pb * weight / sum_weight of its process",
        "processes": processes,
    }


def _versions() -> dict[str, Any]:
    packages = {name: importlib.metadata.version(name) for name in ("codae-l1", "pythia8mc", "numpy")}
    return {"generator": GENERATOR_VERSION, **packages}


def _prepare(folder: Path, config: GenerationConfig) -> None:
    """A work folder for this config: new, or left by the same one; half-written files of a killed run are removed."""
    stamp = {"config": dump(config), "versions": _versions()}
    if (folder / "config.json").exists():
        if read_json(folder / "config.json") != stamp:
            raise InputError(
                f"work folder {folder} of another config or version",
                "chunks of the config given",
                "remove the folder or choose another one",
            )
        for leftover in folder.glob(".*"):
            leftover.unlink()
    else:
        write_json(folder / "config.json", stamp)


def _require_pythia() -> None:
    for package in ("pythia8mc", "awkward"):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise InputError(
                f"{package} is not installed",
                "Pythia 8 where events are generated",
                "pip install pythia8mc==8.317.2 awkward (or pip install -e '.[generate]')",
            ) from None


def _start_worker() -> None:
    """In a worker: an interrupt ends it at once, and what Pythia and FastJet print on standard output is dropped."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.close(silent)
