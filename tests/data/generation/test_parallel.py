"""What Dask says while a generation ends is not for its user."""

import io
import logging

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
