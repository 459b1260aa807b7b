"""Decode the files of a folder, in parallel and once, to LabelledImages of one size and colour."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import __version__ as pillow_version

from augury.data import cache as store
from augury.data import decode, folder, resize
from augury.data.coding import finished
from augury.data.resize import Fit, Size
from augury.errors import DataError
from augury.files import digest
from augury.images import Codes, Images, LabelledImages

DECODING = 1
"""Raise when the same file would give other pixels, so that old cache entries are left alone."""
_CHUNK = 128


@dataclass(frozen=True)
class _Look:
    """A file's content hash, and either its header or why it cannot be used."""

    sha: str
    header: decode.Header | None
    reason: str = ""


class _Damaged(Exception):
    """Some images could not be decoded: index -> reason."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(len(reasons))
        self.reasons = reasons


def read(
    root: Path,
    *,
    size: int | Size | None = None,
    fit: Fit = "crop",
    on_bad: Literal["error", "skip"] = "error",
    cache: Path | None = None,
) -> LabelledImages:
    """Read a folder as `folder.find` describes; the decoded images are memory-mapped from the cache.

    C is 1 when all images are grey, else 3. Raises DataError as `folder.find` does, for unreadable images unless
    `on_bad` is "skip" (the message names the first and counts the others), and when fewer than two classes are left.
    """
    wanted = resize.checked(size, fit)
    found = folder.find(root)
    with decode.quiet(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        looks = list(pool.map(_look, found.files))
        names = [(file.name, look.sha) for file, look in zip(found.files, looks, strict=True)]
        entry = store.place(cache) / "images" / digest([DECODING, pillow_version, names, wanted, fit])
        images, about = store.recall(entry) or _decoded(entry, root, found.files, looks, wanted, fit, pool)
    if about["skipped"] and on_bad == "error":
        raise DataError(_complaint(root, about["skipped"]))
    files = [found.files[i] for i in about["kept"]]
    classes = sorted({file.label for file in files})
    notes = {
        "format": "folder",
        "source": str(root),
        "ignored": dict(sorted(found.ignored.items())),
        **{key: about[key] for key in about if key not in ("kept", "digest", "memory")},
        **(
            {"cache": f"images are held in memory, as they could not be kept: {about['memory']}"}
            if "memory" in about
            else {}
        ),
    }
    codes = {name: code for code, name in enumerate(classes)}
    labels: Codes = np.array([codes[file.label] for file in files], np.int64)
    data = LabelledImages(
        images=images,
        labels=labels,
        classes=tuple(classes),
        split=None if files[0].part < 0 else np.array([file.part for file in files], np.int8),
        names=tuple(file.name for file in files),
        notes=notes,
    )
    try:
        return finished(data, about["digest"])
    except DataError as error:
        raise DataError(f"{root}: {error}") from error


def _look(file: folder.File) -> _Look:
    try:
        raw = file.path.read_bytes()
    except OSError as error:
        return _Look("", None, f"cannot be opened ({error.strerror})")
    sha = hashlib.sha256(raw).hexdigest()
    try:
        return _Look(sha, decode.header(raw))
    except DataError as error:
        return _Look(sha, None, str(error))


def _decoded(
    entry: Path,
    root: Path,
    files: Sequence[folder.File],
    looks: Sequence[_Look],
    wanted: Size | None,
    fit: Fit,
    pool: ThreadPoolExecutor,
) -> tuple[Images, dict[str, Any]]:
    """Decode all good files into the cache; when some prove damaged, choose size and colour anew without them."""
    bad = {i: look.reason for i, look in enumerate(looks) if look.header is None}
    while True:
        headers = {i: look.header for i, look in enumerate(looks) if look.header is not None and i not in bad}
        skipped = [{"file": files[i].name, "reason": bad[i]} for i in sorted(bad)]
        if not headers:
            raise DataError(_complaint(root, skipped))
        goal = resize.target((header.size for header in headers.values()), wanted)
        grey = all(header.grey for header in headers.values())
        chosen = [(i, files[i].path) for i in headers]
        sizes = Counter(f"{header.size[0]}x{header.size[1]}" for header in headers.values())
        about = {
            "kept": list(headers),
            "skipped": skipped,
            **resize.notes(dict(sizes.most_common()), goal, fit),
            "colour": "grey: every image is" if grey else "RGB: at least one image has colour",
            "original_modes": dict(Counter(header.mode for header in headers.values()).most_common()),
            "animated": sum(header.animated for header in headers.values()),
            "turned_upright": sum(header.rotated for header in headers.values()),
        }

        def chunks(chosen: list[tuple[int, Path]] = chosen, goal: Size = goal, grey: bool = grey) -> Iterator[Images]:
            return _chunks(chosen, goal, fit, grey, pool)

        try:
            return store.keep(entry, (len(chosen), 1 if grey else 3, *goal), chunks, about)
        except _Damaged as error:
            bad |= error.reasons


def _chunks(
    chosen: list[tuple[int, Path]], size: Size, fit: Fit, grey: bool, pool: ThreadPoolExecutor
) -> Iterator[Images]:
    """uint8 [n, C, H, W] pieces in order; once all are tried, raises _Damaged if any failed."""

    def one(item: tuple[int, Path]) -> Images | str:
        try:
            return decode.pixels(item[1].read_bytes(), size, fit, grey)
        except OSError as error:
            return f"cannot be opened ({error.strerror})"
        except DataError as error:
            return str(error)

    damaged: dict[int, str] = {}
    for start in range(0, len(chosen), _CHUNK):
        piece = chosen[start : start + _CHUNK]
        results = list(pool.map(one, piece))
        damaged |= {i: result for (i, _), result in zip(piece, results, strict=True) if isinstance(result, str)}
        if not damaged:
            yield np.stack([result for result in results if not isinstance(result, str)])
    if damaged:
        raise _Damaged(damaged)


def _complaint(root: Path, skipped: list[dict[str, str]]) -> str:
    first, others = skipped[0], skipped[1:]
    more = ""
    if others:
        more = f" ({len(others)} other file{'s are' if len(others) > 1 else ' is'} bad as well: "
        more += ", ".join(item["file"] for item in others[:5]) + (", …)" if len(others) > 5 else ")")
    return (
        f"{root / first['file']}: {first['reason']}{more}; every image must be whole and readable: mend or "
        "remove it, or pass on_bad='skip' (--on-bad skip) to leave it out"
    )
