"""Pieces of a sample made on a Dask cluster and kept in a work folder until the sample is whole.

A piece is one file, or several, that depend on the config alone: it is the same whichever worker makes it, and when.
Pieces that exist are not made again, so that an interrupted generation resumes where it stopped.

The cluster consists of local processes, or is any other one given by its scheduler's address. Its workers need the same
versions of this package and the work folder under the same path (https://distributed.dask.org).
"""

import contextlib
import importlib.metadata
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from codae_l1.data.base import children
from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import read_json, tidied, write_json
from codae_l1.data.generation.config import Work

# Changes when the same config would give other events.
GENERATOR_VERSION = 3
STAMP = "config.json"
# Suffixes of the files of pieces.
_SUFFIXES = (".h5", ".npz", ".npy")
# Names of hidden files, and of a pool.
_POOL = (".", "collisions-")
# Pieces that the scheduler knows at a time, at least: it keeps some kilobytes of each.
_AHEAD = 64
# seconds
_PATIENCE_S = 10
# Beyond CRITICAL, at which Dask's scheduler tells of each piece that a client which has gone was still to hear of.
_SILENT = logging.CRITICAL + 1


@dataclass(frozen=True)
class Piece:
    """files: what it makes in the work folder. events: its number of events. text: for the progress. make: called with
    the folder; it is sent to a worker, and is therefore a function of a module with its arguments bound."""

    files: tuple[str, ...]
    events: int
    text: str
    make: Callable[[Path], None]

    def is_there(self, folder: Path) -> bool:
        """Whether all pieces exist."""
        return all((folder / name).exists() for name in self.files)


def prepare(folder: Path, config: dict[str, Any]) -> None:
    """A work folder for this config: new, or left by the same one; half-written files of an interrupted run are
    removed."""
    require_pythia()
    stamp = {"config": config, "versions": versions()}
    if (folder / STAMP).exists():
        if read_json(folder / STAMP) != stamp:
            raise InputError(
                f"work folder {folder} of another config or version",
                "chunks of the config given",
                "remove the folder or choose another one",
            )
        tidied(folder)
        # Names as older releases gave them: the folder is the user's choice and may hold other hidden files.
        for leftover in (p for p in folder.glob(".*-*") if p.suffix in _SUFFIXES):
            leftover.unlink(missing_ok=True)
    else:
        # A file of a piece's name would be taken for the piece. The pool of another pile-up may be there before.
        found = folder.iterdir() if folder.is_dir() else ()
        held = sorted(p.name for p in found if p.suffix in _SUFFIXES and not p.name.startswith(_POOL))
        if held:
            raise InputError(
                f"work folder {folder} holds other files ({', '.join(held[:3])})",
                "a new or empty folder, or one that this command made",
                "choose another one: --work-folder",
            )
        write_json(folder / STAMP, stamp)


def make_all(stages: Sequence[Sequence[Piece]], folder: Path, work: Work) -> None:
    """Make the pieces that are not in the folder; pieces of a stage need those of the stages before."""
    total = sum(piece.events for stage in stages for piece in stage)
    missing = [[piece for piece in stage if not piece.is_there(folder)] for stage in stages]
    done = total - sum(piece.events for stage in missing for piece in stage)
    if not any(missing[-1:]):
        return
    with _client(work.workers, work.scheduler) as client:
        while not client.ncores():
            # A batch system's workers may come later.
            work.report(done, total, f"waiting: {work.scheduler} has no worker yet")
            time.sleep(1)
        for stage in missing:
            work.report(done, total, stage[0].text if stage else "")
            for number, piece in enumerate(_made(client, stage, folder.resolve()), 1):
                done += piece.events
                # Collisions are no events yet.
                work.report(done, total, f"{piece.text}, {number} of {len(stage)} pieces")


def chunked(
    parts: dict[str, int], size: int, file: Callable[[str, int], str], make: Callable[[str, int, int, Path], None]
) -> list[Piece]:
    """Pieces of at most `size` events for parts of so many events; file: (part, chunk) -> name; make: (part, chunk,
    events, folder)."""
    pieces = []
    for part, number in parts.items():
        for chunk, first in enumerate(range(0, number, size)):
            count = min(size, number - first)
            pieces.append(Piece((file(part, chunk),), count, part, partial(make, part, chunk, count)))
    return pieces


def versions() -> dict[str, Any]:
    """Versions that the events depend on."""
    packages = {name: importlib.metadata.version(name) for name in ("codae-l1", "pythia8mc", "numpy")}
    return {"generator": GENERATOR_VERSION, **packages}


def require_pythia() -> None:
    """Raise InputError if the packages for generation are not installed."""
    for package in ("pythia8mc", "awkward"):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise InputError(
                f"{package} is not installed",
                "Pythia 8 where events are generated",
                "pip install pythia8mc==8.317.2 awkward (or pip install -e '.[generate]')",
            ) from None


def make_piece(piece: Piece, folder: Path, expected: dict[str, Any]) -> None:
    """Make a piece on a worker, if it has the same generator and the same folder."""
    require_pythia()
    if versions() != expected:
        raise InputError(f"a worker with {versions()}", f"{expected}", "install the same versions on all workers")
    if not (folder / STAMP).exists():
        raise InputError(
            f"a worker without the work folder {folder}", "a folder that all workers share", "choose one: --work-folder"
        )
    piece.make(folder)


def _made(client: Any, stage: Sequence[Piece], folder: Path) -> Iterator[Piece]:
    """The pieces of a stage as they are made."""
    from distributed import KilledWorker, as_completed
    from distributed.client import FutureCancelledError

    expected, waiting = versions(), iter(stage)
    pieces: dict[Any, Piece] = {}

    def submitted(number: int) -> list[Any]:
        new = {client.submit(make_piece, p, folder, expected, pure=False): p for p in islice(waiting, number)}
        pieces.update(new)
        return list(new)

    made = as_completed(submitted(max(_AHEAD, 4 * sum(client.ncores().values()))))
    try:
        for future in made:
            future.result()
            yield pieces.pop(future)
            made.update(submitted(1))
    except (KilledWorker, FutureCancelledError) as error:
        raise ToolError(
            f"a worker process of the generation died ({type(error).__name__})",
            "one that lives",
            "start it again: finished chunks are kept",
        ) from error
    finally:
        # After an error or an interrupt nobody waits for the pieces under way.
        client.cancel(list(pieces), force=True)


@contextlib.contextmanager
def _client(workers: int | None, scheduler: str | None) -> Iterator[Any]:
    """A client of the scheduler at an address, or of local processes that end with it."""
    import dask
    from distributed import Client, LocalCluster

    # Memory is bounded by the size of a chunk, so that no worker is stopped for it.
    quiet = {"distributed.worker.memory.terminate": False, "distributed.worker.memory.pause": False}
    with dask.config.set(quiet), contextlib.ExitStack() as stack:
        if scheduler is None:
            number = workers or os.cpu_count() or 1
            options = {"memory_limit": 0, "dashboard_address": "127.0.0.1:0", "silence_logs": _SILENT}
            options["preload"] = [*dask.config.get("distributed.worker.preload"), children.PRELOAD]
            with children.undisturbed():
                address = stack.enter_context(LocalCluster(n_workers=number, threads_per_worker=1, **options))
        else:
            address = scheduler
        yield stack.enter_context(_connected(Client, address))


def _connected(client: Any, address: Any) -> Any:
    try:
        return client(address, timeout=_PATIENCE_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler at {address} ({type(error).__name__})",
            "the address of a running one, such as tcp://host:8786",
            "start it, or leave --scheduler out for local processes",
        ) from None
