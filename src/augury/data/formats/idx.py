"""The idx files of the MNIST family, plain or gzipped -> LabelledImages."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from augury.data.decoding import array_store, safety
from augury.data.decoding.label_encoding import coded_labels, finished
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.skipped import others
from augury.data.decoding.split_names import split_prefix
from augury.errors import DataError
from augury.images import Images, LabelledImages

_NAME = re.compile(r"(?P<before>.*?)(?P<what>images|labels)(?P<after>[-_.]idx[13][-_.]ubyte(\.gz)?)$", re.IGNORECASE)
_NUMBER = {"images": "3", "labels": "1"}
_UBYTE = 8


@dataclass(frozen=True)
class _Pair:
    """The images and labels of one split, and their shape [N, C, H, W]."""

    images: Path
    labels: Path
    split: int
    shape: tuple[int, int, int, int]
    header: int


def recognises(path: Path) -> bool:
    """Whether it is an idx file of images or labels, or a folder that holds some of images."""
    if path.is_dir():
        return bool(_image_files(path))
    return _NAME.fullmatch(path.name) is not None and path.is_file()


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read every `…images-idx3-ubyte(.gz)` with its `…labels-idx1-ubyte(.gz)`: train, t10k or test, validation.

    Given one file, all files of the same family are read (EMNIST has several families). Classes are the labels as text.
    Raises DataError when labels are missing, counts disagree, or a file is damaged, cut off or not of bytes.
    """
    root = path if path.is_dir() else path.parent
    files = _image_files(root)
    families = {_family(file) for file in files}
    if path.is_file():
        files = [file for file in files if _family(file) == _family(path)] or [path]
    elif len(families) > 1:
        raise DataError(
            f"{root}: holds {len(families)} sets ({', '.join(sorted(name or 'unnamed' for name in families)[:5])}); "
            "give one of the files of the set that is meant"
        )
    pairs = [_pair(file) for file in files]
    odd = next((pair for pair in pairs if pair.shape[1:] != pairs[0].shape[1:]), None)
    if odd:
        raise DataError(
            f"{odd.images}: images are {list(odd.shape[1:])}, but {list(pairs[0].shape[1:])} in {pairs[0].images.name}; "
            "keep sets of different sizes in different folders"
        )
    split_codes = [pair.split for pair in pairs]
    if len(set(split_codes)) < len(split_codes) or (len(split_codes) > 1 and min(split_codes) < 0):
        raise DataError(
            f"{root}: the parts of {', '.join(pair.images.name for pair in pairs)} are unclear; call them train-…, "
            "validation-… and test-… (or t10k-…)"
        )
    labels = [_labels(pair) for pair in pairs]
    n = sum(len(values) for values in labels)
    entry, notes = array_store.cached(
        [pair.images for pair in pairs], (n, *pairs[0].shape[1:]), lambda: _pieces(pairs), options, "idx"
    )
    codes, classes = coded_labels(np.concatenate(labels).astype(np.int64), None, n)
    split = np.repeat(np.array(split_codes, np.int8), [len(values) for values in labels])
    try:
        return finished(
            LabelledImages(
                images=entry.images,
                previews=entry.previews,
                labels=codes,
                classes=classes,
                split=split if len(pairs) > 1 else None,
                names=tuple(f"{pair.images.name} {i}" for pair in pairs for i in range(pair.shape[0])),
                notes={**notes, "source": str(path), "ignored": _others(path)},
            ),
            entry.metadata["digest"],
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _image_files(root: Path) -> list[Path]:
    """List the files of images, train first. Of a plain and a gzipped file of one name the plain one is used."""
    try:
        names = {entry.name for entry in root.iterdir() if entry.is_file()}
    except OSError:
        return []
    matches = [name for name in names if (match := _NAME.fullmatch(name)) and match["what"].lower() == "images"]
    matches = [name for name in matches if not (name.lower().endswith(".gz") and name[:-3] in names)]
    return [root / name for name in sorted(matches, key=lambda name: (_split_code(name), name))]


def _others(path: Path) -> dict[str, int]:
    """Count the files of a folder that are none of the set."""
    if not path.is_dir():
        return {}
    return dict(others(path, [entry.name for entry in path.iterdir() if _NAME.fullmatch(entry.name)]))


def _stem(file: str) -> tuple[str, str]:
    """Return the family of a file name and its split: "emnist-letters-train-images…" -> "emnist-letters", "train"."""
    match = _NAME.fullmatch(file)
    before = match["before"] if match else ""
    family, _, split_word = before.rstrip("-_.").rpartition("-")
    return (family, split_word) if split_prefix(split_word) >= 0 else (before.rstrip("-_."), "")


def _family(file: Path) -> str:
    return _stem(file.name)[0]


def _split_code(file: str) -> int:
    return split_prefix(_stem(file)[1])


def _pair(file: Path) -> _Pair:
    match = _NAME.fullmatch(file.name)
    assert match
    after = match["after"].replace("3", "1", 1).removesuffix(".gz")
    names = [f"{match['before']}labels{after}{packed}" for packed in ("", ".gz")]
    labels = next((file.parent / name for name in names if (file.parent / name).is_file()), None)
    if match["what"].lower() == "labels" or labels is None:
        missing = names[0] if labels is None else "its images"
        raise DataError(f"{file}: there is no {missing} beside it; images and labels belong together")
    sides, header = _header(file, (3, 4))
    if len(sides) == 3:
        shape = (sides[0], 1, sides[1], sides[2])
    elif sides[3] in (1, 3):
        shape = (sides[0], sides[3], sides[1], sides[2])
    else:
        raise DataError(f"{file}: images of {list(sides[1:])}; the last number is the channels: 1 or 3")
    try:
        array_store.check_sides(shape[2], shape[3])
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    return _Pair(file, labels, _split_code(file.name), shape, header)


def _header(file: Path, dimensions: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Return the sides that the header declares, and the header's length.

    Raises DataError when there is no valid header, or it declares more than the file can hold.
    """
    try:
        with safety.opened(file) as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[3] not in dimensions:
                raise DataError(f"{file}: begins with {magic!r}, not as an idx file of {dimensions[0]} dimensions does")
            if magic[2] != _UBYTE:
                raise DataError(
                    f"{file}: holds numbers of type {magic[2]:#04x}; only bytes (0x08) are images and labels"
                )
            sides = struct.unpack(f">{magic[3]}I", stream.read(4 * magic[3]))
    except struct.error as error:
        raise DataError(f"{file}: is cut off in its header; fetch it again") from error
    except safety.UNPACKING_ERRORS as error:
        raise DataError(f"{file}: damaged, cannot be read ({error}); fetch it again") from error
    if 0 in sides:
        raise DataError(f"{file}: declares {' x '.join(map(str, sides))}: nothing; fetch it again")
    total = int(np.prod([int(side) for side in sides], dtype=object))
    actual = file.stat().st_size
    packed = file.name.lower().endswith(".gz") or safety.head(file, 2) == b"\x1f\x8b"
    most = safety.unpacking_limit(actual) if packed else actual
    if total > most:
        raise DataError(
            f"{file}: declares {total:,} bytes, but of {actual:,} at most {most:,} can come; fetch it again"
        )
    return tuple(sides), 4 + 4 * len(sides)


def _labels(pair: _Pair) -> npt.NDArray[np.uint8]:
    (n,), header = _header(pair.labels, (1,))
    if n != pair.shape[0]:
        raise DataError(
            f"{pair.images}: {pair.shape[0]} images, but {n} labels in {pair.labels.name}; fetch both again"
        )
    with _stream(pair.labels, header) as stream:
        return np.frombuffer(_exactly(stream, n, pair.labels), np.uint8)


def _pieces(pairs: list[_Pair]) -> Iterator[Images]:
    """uint8 [n, C, H, W], in order."""
    for pair in pairs:
        n, channels, height, width = pair.shape
        most = array_store.piece_of(channels, height, width)
        with _stream(pair.images, pair.header) as stream:
            for start in range(0, n, most):
                count = min(most, n - start)
                raw = _exactly(stream, count * channels * height * width, pair.images)
                piece = np.frombuffer(raw, np.uint8).reshape(count, height, width, channels)
                yield piece.transpose(0, 3, 1, 2)


def _stream(file: Path, start: int) -> IO[bytes]:
    stream = safety.opened(file)
    try:
        stream.read(start)
    except safety.UNPACKING_ERRORS as error:
        raise DataError(f"{file}: damaged, cannot be read ({error}); fetch it again") from error
    return stream


def _exactly(stream: IO[bytes], count: int, file: Path) -> bytes:
    try:
        raw = stream.read(count)
    except safety.UNPACKING_ERRORS as error:
        raise DataError(f"{file}: damaged, cannot be read ({error}); fetch it again") from error
    if len(raw) < count:
        raise DataError(f"{file}: is cut off; its header declares more than is there: fetch it again")
    return raw
