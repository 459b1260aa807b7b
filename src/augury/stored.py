"""Images that stay in their file until they are indexed."""

from __future__ import annotations

import math
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import DataError


class Stored:
    """Images uint8 [N, C, H, W] in a file, read when indexed by a number, a slice or an array.

    NumPy accepts it as an array, which reads all images. A memory-mapped file is not used, because every page once
    touched counts as memory of this process. `start` is the byte at which the images begin in the file. `rows` int64
    [N] selects images of the file; None is all, in order. The file is closed when the object is collected.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(
        self, path: Path, start: int, shape: tuple[int, ...], rows: npt.NDArray[np.int64] | None = None
    ) -> None:
        self.path, self.start, self.file_shape, self.rows = path, start, shape, rows
        self.shape = shape if rows is None else (len(rows), *shape[1:])
        self.file = path.open("rb", buffering=0)
        weakref.finalize(self, self.file.close)

    def __repr__(self) -> str:
        return f"Stored({str(self.path)!r}, shape={self.shape})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Stored, (self.path, self.start, self.file_shape, self.rows)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Their size in memory, in bytes."""
        return math.prod(self.shape)

    def __getitem__(self, key: Any) -> npt.NDArray[np.uint8]:
        indices = np.arange(len(self))[key] if self.rows is None else self.rows[key]
        return self._read(np.ravel(indices)).reshape(*np.shape(indices), *self.shape[1:])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)

    def taken(self, chosen: npt.NDArray[Any]) -> Stored:
        """The images at `chosen` int64, still in the file."""
        rows = chosen if self.rows is None else self.rows[chosen]
        return Stored(self.path, self.start, self.file_shape, np.asarray(rows, np.int64))

    def _read(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Read each run of consecutive rows at once. Raises DataError when the file has become shorter."""
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        size = math.prod(self.shape[1:])
        ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        begin = 0
        for end in ends if len(rows) else ():
            view, at = images[begin:end].data.cast("B"), self.start + int(rows[begin]) * size
            while len(view):
                count = self._read_into(view, at)
                if not count:
                    raise DataError(f"{self.path}: has become shorter than it was; load the data again")
                view, at = view[count:], at + count
            begin = end
        return images

    def _read_into(self, view: memoryview, at: int) -> int:
        """Fill `view` from byte `at` of the file on; returns how many bytes were read."""
        if hasattr(os, "preadv"):
            return os.preadv(self.file.fileno(), [view], at)
        with self.path.open("rb", buffering=0) as file:  # the position of self.file is shared by threads
            file.seek(at)
            return file.readinto(view)


class Joined:
    """Two sets of images uint8 [N, C, H, W] and [M, C, H, W], one after the other; read when indexed, as `Stored`."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second
        self.shape = (len(first) + len(second), *first.shape[1:])

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, key: Any) -> npt.NDArray[np.uint8]:
        indices = np.arange(len(self))[key]
        rows = np.ravel(indices)
        images, early = np.empty((len(rows), *self.shape[1:]), np.uint8), rows < len(self.first)
        images[early] = self.first[rows[early]]
        images[~early] = self.second[rows[~early] - len(self.first)]
        return images.reshape(*np.shape(indices), *self.shape[1:])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)
