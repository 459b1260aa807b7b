"""Encoded images that can be read only once and in order (compressed tars, parquet), set down on disk for a while."""

from __future__ import annotations

import os
import tempfile
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from augury.data.decoding.cache import place
from augury.files import explained


class TemporaryStore:
    """A nameless temporary file that holds pieces of bytes; it is gone when the block of `spooled` ends, or the process."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.starts, self.end = array("q"), 0
        self.lock = threading.Lock()

    def add(self, raw: bytes) -> int:
        """Set down one piece; returns its number."""
        self.starts.append(self.end)
        self.file.write(raw)
        self.end += len(raw)
        return len(self.starts) - 1

    def fetch(self, i: int) -> bytes:
        """Piece i; several threads may ask at once, after `ready`."""
        stop = self.starts[i + 1] if i + 1 < len(self.starts) else self.end
        return self.slice(self.starts[i], stop - self.starts[i])

    def slice(self, start: int, length: int) -> bytes:
        """Bytes from anywhere; several threads may ask at once, after `ready`."""
        with self.lock:
            self.file.seek(start)
            return self.file.read(length)

    def ready(self) -> TemporaryStore:
        """All is written: what was added can be fetched."""
        self.file.flush()
        return self


@contextmanager
def spooled(cache: Path | None) -> Iterator[TemporaryStore]:
    """A new Spool in the cache's folder, or the system's temporary one where that cannot be written.

    Raises RunFolderError when the disk is full.
    """
    folder = place(cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    folder = folder if writable else Path(tempfile.gettempdir())
    with explained(folder), tempfile.TemporaryFile(dir=folder) as file:
        yield TemporaryStore(file)
