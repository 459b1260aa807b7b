"""Many encoded images worked on at once: threads fetch them, and threads or processes look at them or decode them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property
from typing import Any, TypeVar

from augury.data.decoding.image_index import ImageIndex
from augury.errors import DataError

PROCESSES_FROM = 4096
"""So many images repay the start of processes. Threads wait for Python's lock: of pictures of 64 px they decode hardly more than
one core's worth."""
_BATCH = 32
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG

T = TypeVar("T")


class DecoderPool:
    """Workers for a set of `count` images; use it in a `with` block.

    Processes are forked, on Linux alone: they only run Pillow and NumPy on bytes that they are sent, die with their parent,
    and leave Ctrl-C to it. Elsewhere, and for few images, threads do the work.
    """

    def __init__(self, count: int) -> None:
        cores = min(32, os.cpu_count() or 1)
        able = sys.platform == "linux" and cores > 1 and not multiprocessing.current_process().daemon
        self.number = cores if able and count >= PROCESSES_FROM else 0
        self.threads = ThreadPoolExecutor(2 * cores if self.number else cores)

    @cached_property
    def processes(self) -> ProcessPoolExecutor | None:
        """They have started already when they are asked for, from this thread, whose end would be theirs."""
        return _forked(self.number) if self.number else None

    def __enter__(self) -> DecoderPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.threads.shutdown(cancel_futures=True)
        if started := self.__dict__.get("processes"):
            started.shutdown(cancel_futures=True)

    def each(
        self, work: Callable[[bytes | str], T], found: ImageIndex, items: Sequence[int], *, light: bool = False
    ) -> Iterator[T]:
        """`work` of the encoded bytes of each image, or of the reason why there are none, in order; a few batches ahead of
        whoever asks, so that memory stays bounded. `light` work is left to threads. Raises DataError when a process dies."""
        processes = None if light else self.processes

        def batch(some: Sequence[int]) -> list[T]:
            raws = [_fetched(found, i) for i in some]
            if processes is None:
                return [work(raw) for raw in raws]
            try:
                return processes.submit(_worked, work, raws).result()
            except BrokenProcessPool as error:
                first, last = found.names[some[0]], found.names[some[-1]]
                raise DataError(
                    f"a process that decodes images has died, most likely for want of memory, or of a damaged image near {first} "
                    f"to {last}; free memory, or look at these images"
                ) from error

        waiting: deque[Future[list[T]]] = deque()
        try:
            for start in range(0, len(items), _BATCH):
                waiting.append(self.threads.submit(batch, items[start : start + _BATCH]))
                if len(waiting) > 4 * (self.number or 2):
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _fetched(found: ImageIndex, i: int) -> bytes | str:
    """The encoded bytes of image i, or why there are none."""
    if i in found.bad:
        return found.bad[i]
    try:
        return found.fetch(i)
    except OSError as error:
        return f"cannot be opened ({error.strerror or error})"
    except DataError as error:
        return str(error)


def _worked(work: Callable[[bytes | str], T], raws: list[bytes | str]) -> list[T]:
    return [work(raw) for raw in raws]


def _forked(number: int) -> ProcessPoolExecutor:
    """Processes that have started."""
    context: Any = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(number, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # "multi-threaded, use of fork may lead to deadlocks": see Crew
        pool.submit(_begin, os.getpid()).result()
    return pool


def _begin(parent: int) -> None:
    """In a new process: Ctrl-C is the parent's affair, and its end the process's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(libc := ctypes.CDLL(None), "prctl"):
        libc.prctl(_DIES_WITH_PARENT, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
