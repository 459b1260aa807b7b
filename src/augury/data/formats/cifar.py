"""The binary version of CIFAR-10 and CIFAR-100 -> LabelledImages. The pickled version is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from augury.data.decoding import array_store, safety
from augury.data.decoding.label_encoding import attributes_of, finished
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.skipped import others
from augury.errors import DataError
from augury.images import Attribute, Images, LabelledImages

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Layout:
    """The files of the data set, and the label bytes before the pixels."""

    files: tuple[tuple[str, int], ...]
    meta: str
    coarse: str = ""

    @property
    def labels(self) -> int:
        return 2 if self.coarse else 1


LAYOUTS = (
    _Layout((*((f"data_batch_{i}.bin", 0) for i in range(1, 10)), ("test_batch.bin", 2)), "batches.meta.txt"),
    _Layout((("train.bin", 0), ("test.bin", 2)), "fine_label_names.txt", "coarse_label_names.txt"),
)
"""CIFAR-10: label, pixels. CIFAR-100: coarse label, fine label, pixels (Krizhevsky 2009)."""
PICKLED = ("data_batch_1", "batches.meta")


def recognises(path: Path) -> bool:
    """Whether it is a folder of such batches (or of pickled ones, which `read` refuses), or one of its files."""
    root = path if path.is_dir() else path.parent
    if path.is_file() and not any(path.name in dict(layout.files) for layout in LAYOUTS):
        return False
    return _layout(root) is not None or all((root / name).is_file() for name in PICKLED)


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read all batches of a folder; CIFAR-100's coarse label becomes the attribute `coarse`.

    Raises DataError when batches are pickled, cut off, or hold a label without a name.
    """
    root = path if path.is_dir() else path.parent
    layout = _layout(root)
    if layout is None:
        raise DataError(
            f"{root}: these batches are pickles, which are refused as unpickling can run code; fetch the binary "
            "version (cifar-10-binary.tar.gz), or save arrays with np.savez_compressed(images=…, labels=…)"
        )
    files = [(root / name, split_code) for name, split_code in layout.files if (root / name).is_file()]
    counts = [_count(file, layout) for file, _ in files]
    labels = np.concatenate([_labels(file, n, layout) for (file, _), n in zip(files, counts, strict=True)])
    names = [_names(root / name, labels[:, k]) for k, name in enumerate(filter(None, (layout.coarse, layout.meta)))]
    n = sum(counts)
    entry, notes = array_store.cached(
        [file for file, _ in files],
        (n, 3, 32, 32),
        lambda: _pieces([file for file, _ in files], layout),
        options,
        "cifar",
    )
    split = np.repeat(np.array([split_code for _, split_code in files], np.int8), counts)
    used = [*(file.name for file, _ in files), layout.meta, layout.coarse, "readme.html"]
    data = LabelledImages(
        images=entry.images,
        previews=entry.previews,
        labels=labels[:, -1].astype(np.int64),
        classes=names[-1],
        attributes={"coarse": Attribute(labels[:, 0].astype(np.int64), names[0])}
        if layout.coarse
        else attributes_of({}),
        split=split if len(set(split.tolist())) > 1 else None,
        names=tuple(f"{file.name} {i}" for (file, _), count in zip(files, counts, strict=True) for i in range(count)),
        notes={**notes, "source": str(path), "ignored": dict(others(path, used)) if path.is_dir() else {}},
    )
    try:
        return finished(data, entry.metadata["digest"])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _layout(root: Path) -> _Layout | None:
    for layout in LAYOUTS:
        if (root / layout.meta).is_file() and any((root / name).is_file() for name, _ in layout.files):
            return layout
    return None


def _count(file: Path, layout: _Layout) -> int:
    size, record = file.stat().st_size, layout.labels + PIXELS
    if size % record or not size:
        raise DataError(f"{file}: has {size:,} bytes, but each image takes {record:,}; it is cut off: fetch it again")
    return size // record


def _mapped(file: Path, layout: _Layout) -> npt.NDArray[np.uint8]:
    try:
        return np.memmap(file, np.uint8, mode="r").reshape(-1, layout.labels + PIXELS)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); change its permissions") from error


def _labels(file: Path, n: int, layout: _Layout) -> npt.NDArray[np.uint8]:
    """uint8 [n, 1 or 2]."""
    return np.array(_mapped(file, layout)[:n, : layout.labels])


def _pieces(files: list[Path], layout: _Layout) -> Iterator[Images]:
    for file in files:
        records = _mapped(file, layout)
        for start in range(0, len(records), array_store.PIECE):
            yield np.array(records[start : start + array_store.PIECE, layout.labels :]).reshape(-1, 3, 32, 32)


def _names(file: Path, codes: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    """Return the names that a file lists, one per line.

    Raises DataError when they are too few or not all different.
    """
    try:
        text = safety.file_bytes(file).decode("utf-8")
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); it must list the names of the classes") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not text; it must list the names of the classes, one a line") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(set(names)) < len(names):
        raise DataError(f"{file}: lists a name twice; each class needs its own")
    if int(codes.max()) >= len(names):
        raise DataError(f"{file}: lists {len(names)} names, but there are labels up to {codes.max()}; fetch both again")
    return names
