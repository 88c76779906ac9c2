import pytest

from src.core.errors import ConfigError
from src.core.processes import ALONE, Processes, is_first, joined, refuse_several


def test_several_processes_are_refused_where_each_would_do_all():
    for environment in ({}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": "auto"}):
        refuse_several("split", environment)
    with pytest.raises(ConfigError, match="split runs in one process, and a launcher started 4"):
        refuse_several("split", {"OMPI_COMM_WORLD_SIZE": "4"})


def test_the_first_writes():
    assert is_first({})
    assert is_first({"RANK": "0"})
    assert not is_first({"RANK": "1"})


def test_what_was_shared_comes_back_in_order(monkeypatch):
    items = list(range(7))
    three = [Processes(rank, 3) for rank in range(3)]
    shares = [one.share(items) for one in three]
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]
    monkeypatch.setattr("accelerate.utils.gather_object", lambda _: shares)
    assert [one.gather(share) for one, share in zip(three, shares, strict=True)] == [items] * 3


def test_one_process_does_all(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as processes:
        assert processes is ALONE
    assert processes.gather(processes.share([1, 2])) == [1, 2]
    processes.wait()
