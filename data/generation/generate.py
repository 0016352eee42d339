"""A sample from its config: chunks are made on a Dask cluster, kept in a work folder, and joined into one file.

An interrupted generation resumes with the chunks that are missing. The file is the same, byte for byte, whatever the
number of workers and however often it was interrupted.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.events import EventImages
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.generation._chunks import (
    Task,
    make_chunk,
    make_pool_chunk,
    pool_blocks,
    pool_chunks,
    pool_file,
    tasks_of,
)
from codae_l1.data.generation._parallel import Piece, make_all, prepare, versions
from codae_l1.data.generation.config import DEFAULT, GenerationConfig, Work


def generate(config: GenerationConfig, out: Path | str, work: Work = DEFAULT) -> Path:
    """Generate the sample of `config` into the file `out` and return its path."""
    out = Path(out)
    folder, tasks = work.folder_for(out), tasks_of(config)
    if not tasks:
        raise InputError("a sample of no events", "at least one event of one process", "raise the counts")
    prepare(folder, dump(config))
    make_all(_stages(config, tasks), folder, work)
    total = sum(t.count for t in tasks)
    work.report(total, total, "writing")
    write_events(out, _parts(config, tasks, folder, work.command))
    work.report(total, total, "done")
    return out


def _stages(config: GenerationConfig, tasks: list[Task]) -> list[list[Piece]]:
    """The pieces of the pile-up pool, then those of the chunks."""
    pool = []
    for chunk in pool_chunks(config):
        files = tuple(pool_file(block) for block in pool_blocks(config, chunk))
        pool.append(Piece(files, 0, "pile-up pool", partial(make_pool_chunk, config, chunk)))
    chunks = [Piece((task.file,), task.count, task.process, partial(make_chunk, config, task)) for task in tasks]
    return [pool, chunks]


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
        "versions": versions(),
        "weights": "an event's cross section is cross_section_pb * weight / sum_weight of its process",
        "processes": processes,
    }
