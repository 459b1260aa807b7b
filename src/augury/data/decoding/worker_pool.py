"""Process many encoded images at once: threads fetch them, and threads or processes check or decode them."""

from __future__ import annotations

import ctypes
import math
import mmap
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
from typing import Any, NamedTuple, TypeVar

import numpy as np

from augury.data.decoding.image_index import ImageIndex
from augury.errors import DataError
from augury.images import Images

PROCESSES_FROM = 4096
"""From this many images on, processes repay their start. Threads wait for Python's lock: with images of 64 px they decode hardly
more than one core does."""
_BATCH = 32
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG

_SLOT = 2**20
"""Bytes of shared memory for the images of a batch. Larger images come back through a pipe."""

T = TypeVar("T")
R = TypeVar("R")
Shape = tuple[int, ...]


class Decoded(NamedTuple):
    """Some decoded images uint8 [n, C, H, W], their previews or None, and position -> reason of images that are damaged.

    The arrays are valid until the next batch is taken. They lack the damaged images, and are None without any other.
    """

    images: Images | None
    previews: Images | None
    damaged: dict[int, str]


Work = Callable[[bytes | str], tuple[Images, Images | None] | str]
"""Decodes encoded bytes to an image [C, H, W] and its preview, or returns the reason why there is none."""


class DecoderPool:
    """Workers for a data set of `count` images; use it in a `with` block.

    Processes are forked, and only on Linux. They run nothing but Pillow, simplejpeg and NumPy on bytes sent to them. They
    die with their parent and leave Ctrl-C to it. On other systems, and for few images, threads do the work.

    Decoded images come back in shared memory: a pipe would take longer than decoding a small image does.
    """

    def __init__(self, count: int) -> None:
        cores = min(32, os.cpu_count() or 1)
        able = sys.platform == "linux" and cores > 1 and not multiprocessing.current_process().daemon
        self.number = cores if able and count >= PROCESSES_FROM else 0
        self.threads = ThreadPoolExecutor(2 * cores if self.number else cores)
        self.ahead = 4 * (self.number or 2)
        self.slots = self.ahead + 2  # one of them is read by the caller, and one is filled anew meanwhile
        self.shared = mmap.mmap(-1, self.slots * _SLOT) if self.number else None

    @cached_property
    def processes(self) -> ProcessPoolExecutor | None:
        """The processes, started on first access.

        They must be started from this thread, because they end when it does.
        """
        return None if self.shared is None else _forked(self.number, self.shared)

    def __enter__(self) -> DecoderPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.threads.shutdown(cancel_futures=True)
        if started := self.__dict__.get("processes"):
            started.shutdown(cancel_futures=True)

    def map_images(
        self,
        light: Callable[[bytes | str], T | None],
        heavy: Callable[[bytes | str], T] | None,
        index: ImageIndex,
        items: Sequence[int],
    ) -> Iterator[T]:
        """Yield `light`, or `heavy` where that returns None, of the encoded bytes of each image, or of the reason why there
        are none, in order. Threads do light work, processes heavy work. Without `heavy` none are started.

        Raises DataError when a process dies.
        """
        self._start(heavy is not None)

        def batch(number: int, some: Sequence[int]) -> list[T]:
            raws = [_fetched(index, i) for i in some]
            results = [light(raw) for raw in raws]
            rest = [raw for raw, result in zip(raws, results, strict=True) if result is None]
            worked = iter(self._run(_worked, index, some, heavy, rest) if rest and heavy is not None else ())
            return [next(worked) if result is None else result for result in results]

        for results in self._batches(batch, items, _BATCH):
            yield from results

    def decode_images(self, work: Work, index: ImageIndex, items: Sequence[int], size: int) -> Iterator[Decoded]:
        """Yield what `work` decodes of all images, batch by batch and in order. `size` is the bytes of an image and its preview.

        Raises DataError when a process dies.
        """
        self._start(True)

        def batch(number: int, some: Sequence[int]) -> Decoded:
            raws = [_fetched(index, i) for i in some]
            slot = number % self.slots
            result = self._run(_decoded, index, some, work, raws, slot)
            return result if isinstance(result, Decoded) else self._in_slot(result, slot)

        yield from self._batches(batch, items, max(1, min(_BATCH, _SLOT // size)))

    def _start(self, heavy: bool) -> None:
        """Start the processes from this thread, if they will be needed."""
        if heavy:
            _ = self.processes

    def _in_slot(self, placed: _Placed, slot: int) -> Decoded:
        """Return the arrays that a process has left in shared memory."""
        assert self.shared is not None
        images, previews = _views(self.shared, slot, placed.images, placed.previews)
        count = len(images) - len(placed.damaged)
        return Decoded(images[:count], None if previews is None else previews[:count], placed.damaged)

    def _run(self, function: Callable[..., R], index: ImageIndex, some: Sequence[int], *words: Any) -> R:
        """Call a function in a process, or in this thread where there is none."""
        processes = self.__dict__.get("processes")
        if processes is None:
            return function(*words)
        try:
            result: R = processes.submit(function, *words).result()
        except BrokenProcessPool as error:
            first, last = index.names[some[0]], index.names[some[-1]]
            raise DataError(
                f"a process that decodes images has died, most likely for want of memory, or of a damaged image near {first} "
                f"to {last}; free memory, or look at these images"
            ) from error
        return result

    def _batches(self, batch: Callable[[int, Sequence[int]], R], items: Sequence[int], length: int) -> Iterator[R]:
        """Yield `batch` of each batch's number and items. Only a few are processed ahead of the caller."""
        waiting: deque[Future[R]] = deque()
        try:
            for number, start in enumerate(range(0, len(items), length)):
                waiting.append(self.threads.submit(batch, number, items[start : start + length]))
                if len(waiting) > self.ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
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


class _Placed(NamedTuple):
    """Shapes of the batch of images and previews in shared memory, with room for the damaged ones, and their reasons."""

    images: Shape
    previews: Shape | None
    damaged: dict[int, str]


def _decoded(work: Work, raws: list[bytes | str], slot: int) -> Decoded | _Placed:
    """Decode a batch, in a process to its slot of the shared memory if that is large enough.

    Each image is copied to its batch at once, while it is in the processor's cache.
    """
    images, previews, placed, count = None, None, False, 0
    damaged: dict[int, str] = {}
    for position, raw in enumerate(raws):
        result = work(raw)
        if isinstance(result, str):
            damaged[position] = result
            continue
        image, preview = result
        if images is None:
            shape = (len(raws), *image.shape)
            small = None if preview is None else (len(raws), *preview.shape)
            placed = bool(_SHARED) and math.prod(shape) + math.prod(small or (0,)) <= _SLOT
            images, previews = _views(_SHARED[0], slot, shape, small) if placed else _empty(shape, small)
        images[count] = image
        if previews is not None and preview is not None:
            previews[count] = preview
        count += 1
    if images is None:
        return Decoded(None, None, damaged)
    if placed:
        return _Placed(images.shape, None if previews is None else previews.shape, damaged)
    return Decoded(images[:count], None if previews is None else previews[:count], damaged)


def _empty(shape: Shape, small: Shape | None) -> tuple[Images, Images | None]:
    return np.empty(shape, np.uint8), None if small is None else np.empty(small, np.uint8)


def _views(shared: mmap.mmap, slot: int, shape: Shape, previews: Shape | None) -> tuple[Images, Images | None]:
    """Return the arrays of these shapes that lie at the beginning of a slot, one behind the other."""
    start, length = slot * _SLOT, math.prod(shape)
    images = np.frombuffer(shared, np.uint8, length, start).reshape(shape)
    if previews is None:
        return images, None
    return images, np.frombuffer(shared, np.uint8, math.prod(previews), start + length).reshape(previews)


def _forked(number: int, shared: mmap.mmap) -> ProcessPoolExecutor:
    """Return a pool whose processes have started."""
    context: Any = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(number, mp_context=context, initializer=_begin, initargs=(os.getpid(), shared))
    with warnings.catch_warnings():
        # "multi-threaded, use of fork may lead to deadlocks": see DecoderPool
        warnings.simplefilter("ignore", DeprecationWarning)
        pool.submit(os.getpid).result()
    return pool


_SHARED: list[mmap.mmap] = []
"""In a process of the pool, the memory that it shares with its parent."""


def _begin(parent: int, shared: mmap.mmap) -> None:
    """Prepare a new process: ignore Ctrl-C, which the parent handles, and end with the parent."""
    _SHARED[:] = [shared]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(libc := ctypes.CDLL(None), "prctl"):
        libc.prctl(_DIES_WITH_PARENT, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
