"""A generation has as many processes as its user asks for, and what Dask says while it ends is not for that user."""

import io
import logging

import pytest

from codae_l1.data.generation import _parallel


def test_dask_is_silent_as_long_as_its_cluster_lives(monkeypatch):
    # As Dask makes it, but where there is a handler of all loggers, such as pytest's.
    said, scheduler = io.StringIO(), logging.getLogger("distributed.scheduler")
    monkeypatch.setattr(logging.getLogger("distributed"), "handlers", [logging.StreamHandler(said)])
    with _parallel._client(1, None) as client:
        # As of a client that goes while pieces are made: the gravest level.
        scheduler.critical("Closed comm while trying to write")
        assert client.submit(max, 1, 2).result() == 2
    assert said.getvalue() == ""
    scheduler.critical("heard again")
    assert said.getvalue().endswith("heard again\n")


@pytest.mark.parametrize("workers", [1, 3])
def test_there_are_as_many_processes_as_asked_for(workers):
    with _parallel._client(workers, None) as client:
        assert list(client.ncores().values()) == [1] * workers
