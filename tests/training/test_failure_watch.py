"""What the processes of a training learn of the failure of one, from a store that they share."""

from __future__ import annotations

import signal

import pytest
from torch.distributed import HashStore

from augury.training import failure_watch
from augury.training.failure_watch import FailureWatch, PeerError


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats are short."""
    monkeypatch.setattr(failure_watch, "BEAT", 0.05)


def test_the_first_reason_is_the_one_that_all_report() -> None:
    store = HashStore()
    watches = [FailureWatch(store, rank, 3) for rank in range(3)]
    assert watches[0].reported() == ""
    assert watches[2].report("rank 2 of 3 (node7): the disk is full") == "rank 2 of 3 (node7): the disk is full"
    assert watches[1].report("rank 1 of 3 (node6): the connection is lost") == "rank 2 of 3 (node7): the disk is full"
    assert watches[0].diagnosis("the connection is lost") == "rank 2 of 3 (node7): the disk is full"


def test_a_process_without_signs_of_life_is_named_and_one_that_lives_is_not() -> None:
    store = HashStore()
    watches = [FailureWatch(store, rank, 3) for rank in range(3)]
    watches[2]._beat()  # and then no more
    with watches[1]:
        text = watches[0].diagnosis("the connection is lost")
        assert (
            text.startswith("rank 2 of 3 has ended without a message") and "continues from the last checkpoint" in text
        )
        assert watches[1].reported() == text
        watches[1].finished.set()  # before it ends this process


def test_where_all_live_the_connection_is_reported_and_sigterm_says_who_asked() -> None:
    store = HashStore()
    first, second = (FailureWatch(store, rank, 2) for rank in range(2))
    before = signal.getsignal(signal.SIGTERM)
    with second:
        with (
            first,
            pytest.raises(PeerError, match=r"this process was asked to end \(SIGTERM\)\. Run the same command again"),
        ):
            signal.raise_signal(signal.SIGTERM)
        second.finished.set()
    assert signal.getsignal(signal.SIGTERM) == before
