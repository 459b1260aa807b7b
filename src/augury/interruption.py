"""Ctrl-C and SIGTERM, held back until work reaches a point from which it can be resumed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Hold back the first SIGINT or SIGTERM until the block ends, then deliver it.

    The function that the block gets says whether a signal has come. A second signal is delivered at once. Threads other than the
    main one cannot handle signals; there the block changes nothing.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block after a signal, also where the handler of the caller returns.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            restore()
            signal.raise_signal(number)

    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, receive)
    try:
        yield lambda: bool(received)
    finally:
        restore()
    if received:
        signal.raise_signal(received[0])
        raise KeyboardInterrupt
