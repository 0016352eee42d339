"""Trainings of a scan on Dask: requests go out, results come back; each finished one is kept in scan/trials/."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.data.base import children
from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_table, write_json
from codae_l1.data.base.keep import digest, without_speed
from codae_l1.data.base.progress import Progress
from codae_l1.scripts.run.folder import versions
from codae_l1.scripts.run.stages import code_of
from codae_l1.scripts.studies._scan_trial import run_trial
from codae_l1.scripts.studies.scan_data import identity

if TYPE_CHECKING:
    from codae_l1.quantization.config import DistillConfig
    from codae_l1.quantization.f_m.config import FirmwareConfig
    from codae_l1.scripts.run.run import Run

# Requests -> results, in order.
Evaluate = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@contextmanager
def connect(jobs: int, scheduler: str | None) -> Iterator[Any]:
    """A Dask client of `jobs` local processes of one thread, or of a scheduler at an address."""
    import logging

    import dask
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise InputError(f"no Dask scheduler at {scheduler} ({error})", "tcp://host:port", "start one") from error
        with client:
            yield client
        return
    # One thread a training: its sums, and so its numbers, are those of any number of jobs.
    threads = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1")
    options = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL, "env": threads}
    options["preload"] = [*dask.config.get("distributed.worker.preload"), children.PRELOAD]
    stack = contextlib.ExitStack()
    try:
        with children.undisturbed():
            cluster = stack.enter_context(LocalCluster(n_workers=jobs, threads_per_worker=1, **options))
        yield stack.enter_context(Client(cluster))
    finally:
        # Workers that take too long to end do so with this process.
        with contextlib.suppress(TimeoutError):
            stack.close()


def evaluator(run: "Run", data: Path, client: Any, progress: Progress) -> Evaluate:
    """A function that gives the results of requests: kept ones from scan/trials/, others by Dask."""
    from distributed import as_completed

    done, total = 0, run.config.scan.trials

    def evaluate(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        nonlocal done
        files = [run.path("scan", "trials", f"{_request_key(run, r)}.json") for r in requests]
        new = {file: request for file, request in zip(files, requests, strict=True) if not file.exists()}
        futures = {}
        for file, request in new.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            arguments = (request, str(data.resolve()), str(file.with_suffix(".npz").resolve()))
            futures[client.submit(run_trial, *arguments, pure=False)] = file
        for future in as_completed(list(futures)):
            write_json(futures[future], {"request": new[futures[future]], **future.result()})
            done += 1
            progress(min(done, total), total, f"{done} trained here")
        return [{**read_table(file, ("state", "lut"), "remove it and scan again"), "key": file.stem} for file in files]

    return evaluate


def _request_key(run: "Run", request: dict[str, Any]) -> str:
    """Name that a request's result is kept under: hash of it and of all else that decides its numbers."""
    plain = {name: value for name, value in request.items() if name != "codae"}
    plain["hls"] = without_speed(request["hls"])
    return digest([plain, identity(run), code_of("codae_l1.scripts.studies._scan_trial"), versions()])[:24]


def make_request(
    run: "Run", firmware: "FirmwareConfig", distill: "DistillConfig", training: str, seed: int, mapped: bool
) -> dict[str, Any]:
    """The request of scan_trial.run_trial for a design."""
    config = run.config.scan
    request = {
        "firmware": dump(firmware),
        "distill": dump(distill),
        "in_situ": dump(run.config.in_situ) if training == "in situ" else None,
        "codae": str(run.path("train", "codae.keras").resolve()),
        "hls": dump(run.config.hls),
        "training": training,
        "deterministic": run.config.training.deterministic,
        "seed": seed,
        "max_lut": config.max_lut,
        "max_latency_ns": config.max_latency_ns,
        "map": mapped,
    }
    if config.space.on_crossings:
        request |= {
            "trigger": dump(run.config.trigger),
            "point": run.config.trigger.points[0],
            "signals": list(config.signals),
        }
    return request
