"""Process many encoded images at once: threads fetch them, and threads or processes check or decode them."""

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
"""From this many images on, processes repay their start. Threads wait for Python's lock: with images of 64 px they decode hardly
more than one core does."""
_BATCH = 32
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG

T = TypeVar("T")


class DecoderPool:
    """Workers for a data set of `count` images; use it in a `with` block.

    Processes are forked, and only on Linux. They run nothing but Pillow and NumPy on bytes sent to them. They die with
    their parent and leave Ctrl-C to it. On other systems, and for few images, threads do the work.
    """

    def __init__(self, count: int) -> None:
        cores = min(32, os.cpu_count() or 1)
        able = sys.platform == "linux" and cores > 1 and not multiprocessing.current_process().daemon
        self.number = cores if able and count >= PROCESSES_FROM else 0
        self.threads = ThreadPoolExecutor(2 * cores if self.number else cores)

    @cached_property
    def processes(self) -> ProcessPoolExecutor | None:
        """The processes, started on first access.

        They must be started from this thread, because they end when it does.
        """
        return _forked(self.number) if self.number else None

    def __enter__(self) -> DecoderPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.threads.shutdown(cancel_futures=True)
        if started := self.__dict__.get("processes"):
            started.shutdown(cancel_futures=True)

    def map_images(
        self, work: Callable[[bytes | str], T], index: ImageIndex, items: Sequence[int], *, light: bool = False
    ) -> Iterator[T]:
        """Yield `work` of the encoded bytes of each image, or of the reason why there are none, in order.

        Only a few batches are processed ahead of the caller, so memory stays bounded. `light` work is done by threads.
        Raises DataError when a process dies.
        """
        processes = None if light else self.processes

        def batch(some: Sequence[int]) -> list[T]:
            raws = [_fetched(index, i) for i in some]
            if processes is None:
                return [work(raw) for raw in raws]
            try:
                return processes.submit(_worked, work, raws).result()
            except BrokenProcessPool as error:
                first, last = index.names[some[0]], index.names[some[-1]]
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


def _fetched(index: ImageIndex, i: int) -> bytes | str:
    """Return the encoded bytes of image i, or the reason why there are none."""
    if i in index.bad:
        return index.bad[i]
    try:
        return index.fetch(i)
    except OSError as error:
        return f"cannot be opened ({error.strerror or error})"
    except DataError as error:
        return str(error)


def _worked(work: Callable[[bytes | str], T], raws: list[bytes | str]) -> list[T]:
    return [work(raw) for raw in raws]


def _forked(number: int) -> ProcessPoolExecutor:
    """Return a pool whose processes have started."""
    context: Any = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(number, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
    with warnings.catch_warnings():
        # "multi-threaded, use of fork may lead to deadlocks": see DecoderPool
        warnings.simplefilter("ignore", DeprecationWarning)
        pool.submit(_begin, os.getpid()).result()
    return pool


def _begin(parent: int) -> None:
    """Prepare a new process: ignore Ctrl-C, which the parent handles, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(libc := ctypes.CDLL(None), "prctl"):
        libc.prctl(_DIES_WITH_PARENT, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
