"""Processes that a test starts indirectly: which they are, and the death of one of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def descendants(of: int) -> dict[int, str]:
    """Process -> its command, for all processes that descend from one."""
    parents, titles = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                titles[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:  # it has just ended
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    known = {of}
    while more := {pid for pid, parent in parents.items() if parent in known and pid not in known}:
        known |= more
    return {pid: titles[pid] for pid in known - {of} if pid in titles}


@contextmanager
def killing_one(title: str, when: Callable[[], bool]) -> Iterator[list[int]]:
    """In the block, kill (SIGKILL) one descendant of this process whose command contains `title`, once `when` is true.

    The list holds its number when that is done.
    """
    killed: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not killed and not ended.is_set():
            at_work = [pid for pid, command in descendants(os.getpid()).items() if title in command]
            if at_work and when():
                os.kill(at_work[0], signal.SIGKILL)
                killed.append(at_work[0])
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield killed
    finally:
        ended.set()
        watcher.join()
