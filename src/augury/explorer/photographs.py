"""Photographs that are inverted in the background, one at a time. They are in memory while the explorer runs, and not stored."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

from augury.errors import AuguryError, DataError
from augury.generation import Projection
from augury.images import Images

SECONDS = 60.0
"""Longest search for a photograph; then the best point so far is the result."""
GRACE = 0.1
"""Share of that time before which no search is hurried, so that one that is fast enough does not depend on the time."""
RETAINED = 8
"""Photographs in memory; further ones replace the oldest."""
WAITING = 3
"""Photographs that may wait for the search of another."""
Pace = Callable[[float], float]
Search = Callable[[Pace], Projection]
"""Searches at a pace, as `generation.project` takes it."""
LOGGER = logging.getLogger("augury")


class _StoppedError(Exception):
    """The search is no longer needed."""


@dataclass
class Photograph:
    """A photograph uint8 [1, C, H, W] as the generator with this fingerprint draws images, and its inversion when it is found."""

    name: str
    image: Images
    notes: tuple[str, ...]
    synthesizer: str
    share: float = 0.0
    seconds: float = 0.0
    started: bool = False
    projection: Projection | None = None
    problem: str = ""
    stopped: Event = field(default_factory=Event)

    @property
    def state(self) -> str:
        """waiting, searching, done or failed."""
        if self.problem:
            return "failed"
        return "done" if self.projection is not None else "searching" if self.started else "waiting"

    def search(self, invert: Search) -> None:
        """Set `projection`, or `problem` in words."""
        self.started, start = True, time.monotonic()

        def pace(done: float) -> float:
            if self.stopped.is_set():
                raise _StoppedError
            self.seconds = time.monotonic() - start
            self.share = min(1.0, max(done, (self.seconds / SECONDS - GRACE) / (1 - GRACE)))
            return self.share

        try:
            self.projection = invert(pace)
        except _StoppedError:
            self.problem = "the search was stopped"
        except AuguryError as error:
            self.problem = str(error)
        except Exception as error:
            self.problem = "the search failed; the terminal where the explorer runs shows the details"
            LOGGER.error("inversion of %s", self.name, exc_info=error)


class Photographs:
    """The photographs of the people who look at a run, by keys that cannot be guessed."""

    def __init__(self) -> None:
        self._turn, self._lock = Lock(), Lock()
        self._by_key: dict[str, Photograph] = {}

    def begin(self, photograph: Photograph, invert: Search) -> str:
        """Search for a photograph in the background; returns its key. Raises DataError where too many wait."""
        with self._lock:
            pending = [each for each in self._by_key.values() if each.state in ("waiting", "searching")]
            if len(pending) > WAITING:
                raise DataError(f"{len(pending)} photographs are being inverted already; try again in a minute")
            key = secrets.token_urlsafe(9)
            self._by_key[key] = photograph
            finished = [name for name, each in self._by_key.items() if each.state in ("done", "failed")]
            for name in finished[: max(0, len(self._by_key) - RETAINED)]:
                del self._by_key[name]
        Thread(target=self._work, args=(photograph, invert), daemon=True).start()
        return key

    def __getitem__(self, key: str) -> Photograph:
        """The photograph of a key. Raises DataError for an unknown one."""
        with self._lock:
            if key not in self._by_key:
                raise DataError("this photograph is no longer in memory; choose the file again")
            return self._by_key[key]

    def stop(self, key: str) -> None:
        """End a search that nobody waits for."""
        with self._lock:
            if (photograph := self._by_key.get(key)) is not None and photograph.projection is None:
                photograph.stopped.set()
                del self._by_key[key]

    def close(self) -> None:
        """End all searches, and wait for the one at work."""
        for key in list(self._by_key):
            self.stop(key)
        self._turn.acquire(timeout=5)

    def _work(self, photograph: Photograph, invert: Search) -> None:
        with self._turn:
            if not photograph.stopped.is_set():
                photograph.search(invert)
