"""Notices when one of several training processes has failed, so that the others do not wait for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

from augury.errors import TrainingError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

BEAT = 1.0
"""Seconds between two signs of life."""
SILENT = 40.0
"""Seconds without a sign of life after which a process counts as dead."""
GRACE = 5.0
"""Seconds that a process has to end with its own message after another one has failed."""
RESTART = "Run the same command again, on any number of processes: it continues from the last checkpoint; finished stages are kept"


class PeerError(TrainingError):
    """Another process of the training has failed."""


class FailureWatch(threading.Thread):
    """A thread that writes signs of life to the store of the processes, and reads those of the next process.

    Where one has failed, it ends this process, even while that waits for the other one. The first process reports the reason.
    Use it as a context: SIGTERM, by which torchrun ends the other processes, then raises PeerError.

    Parameters
    ----------
    store
        What the processes share, such as the TCPStore of torchrun.
    rank, size
        Number of this process, and of all.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        super().__init__(name="failure watch", daemon=True)
        self.store, self.rank, self.size = store, rank, size
        self.finished = threading.Event()
        self.beats = 0

    def __enter__(self) -> FailureWatch:
        self._beat()
        self.start()
        self.previous = signal.signal(signal.SIGTERM, self._on_terminate) if _in_main_thread() else None
        return self

    def __exit__(self, *error: object) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGTERM, self.previous)
        self.finished.set()

    def run(self) -> None:
        """Watch until the context ends, or a process has failed."""
        following, last, since = (self.rank + 1) % self.size, b"", time.monotonic()
        while not self.finished.wait(BEAT):
            try:
                self._beat()
                reason, beat = self.reported(), self._beat_of(following)
            except RuntimeError:  # the store is gone
                reason, beat = f"torchrun, or the first process, has ended. {RESTART}", last
            if beat != last:
                last, since = beat, time.monotonic()
            if not reason and time.monotonic() - since > SILENT:
                reason = self.report(_silent([following], self.size))
            if reason:
                self._end(reason)

    def report(self, reason: str) -> str:
        """Store why the training ends, unless another process has stored a reason; returns the stored one."""
        try:
            if not self.store.check(["failed"]):
                self.store.set("failed", reason)
            return self.reported()
        except RuntimeError:  # the store is gone: the others notice that by themselves
            return reason

    def reported(self) -> str:
        """The stored reason; "" while all processes go on."""
        return self.store.get("failed").decode() if self.store.check(["failed"]) else ""

    def diagnosis(self, otherwise: str) -> str:
        """Wait a few beats, and say which process has failed; `otherwise` where all are alive."""
        try:
            before = [self._beat_of(rank) for rank in range(self.size)]
            for _ in range(3):
                time.sleep(BEAT)
                if reason := self.reported():
                    return reason
            silent = [rank for rank in range(self.size) if rank != self.rank and self._beat_of(rank) == before[rank]]
            return self.report(_silent(silent, self.size) if silent else f"{otherwise}. {RESTART}")
        except RuntimeError:  # the store is gone
            return f"{otherwise}. {RESTART}"

    def _beat(self) -> None:
        self.beats += 1
        self.store.set(f"beat/{self.rank}", str(self.beats))

    def _beat_of(self, rank: int) -> bytes:
        key = f"beat/{rank}"
        return self.store.get(key) if self.store.check([key]) else b""

    def _end(self, reason: str) -> None:
        """End this process. Its main thread may be waiting in a collective that never returns."""
        if self.finished.wait(GRACE):
            return
        if self.rank == 0:
            print(f"\naugury: {reason}", file=sys.stderr, flush=True)
        os._exit(1)

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise PeerError(self.diagnosis("this process was asked to end (SIGTERM)"))


def _silent(ranks: list[int], size: int) -> str:
    names = ", ".join(map(str, ranks))
    which = f"rank {names} of {size} has" if len(ranks) == 1 else f"ranks {names} of {size} have"
    return f"{which} ended without a message: killed, out of main memory, or the connection to its machine is lost. {RESTART}"


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
