"""Temporary disk storage for encoded images that can be read only once and in order (compressed tars, parquet)."""

from __future__ import annotations

import os
import tempfile
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from augury.data.decoding.cache import cache_folder
from augury.files import explained


class TemporaryStore:
    """An unnamed temporary file that holds byte strings.

    It is deleted when the block of `open_temporary_store` or the process ends.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.starts, self.end = array("q"), 0
        self.lock = threading.Lock()

    def add(self, raw: bytes) -> int:
        """Append one byte string and return its index."""
        self.starts.append(self.end)
        self.file.write(raw)
        self.end += len(raw)
        return len(self.starts) - 1

    def fetch(self, i: int) -> bytes:
        """Return byte string `i`. Several threads may call this at once, after `ready`."""
        stop = self.starts[i + 1] if i + 1 < len(self.starts) else self.end
        return self.slice(self.starts[i], stop - self.starts[i])

    def slice(self, start: int, length: int) -> bytes:
        """Return `length` bytes from offset `start`. Several threads may call this at once, after `ready`."""
        with self.lock:
            self.file.seek(start)
            return self.file.read(length)

    def ready(self) -> TemporaryStore:
        """Flush the file, so that everything added can be fetched."""
        self.file.flush()
        return self


@contextmanager
def open_temporary_store(cache: Path | None) -> Iterator[TemporaryStore]:
    """Open a new TemporaryStore in the cache folder, or in the system's temporary folder where that is not writable.

    Raises RunFolderError when the disk is full.
    """
    folder = cache_folder(cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    folder = folder if writable else Path(tempfile.gettempdir())
    with explained(folder), tempfile.TemporaryFile(dir=folder) as file:
        yield TemporaryStore(file)
