"""Features kept on disk by the content of each image: whatever sets it comes in, an image is looked at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from augury.files import atomic_path
from augury.images import Images
from augury.metrics.features import Extractor, Features, Progress, look

PIECE = 256
"""Images between two writes: so much is lost when the process is killed."""
NAME = 16
"""Bytes of an image's name."""
Places = dict[bytes, tuple[Features, int]]
"""Name -> the array that holds the features, and the row."""


def remembered(extractor: Extractor, folder: Path, progress: Progress | None = None) -> Extractor:
    """The same extractor, which keeps what it has extracted in `folder`, image by image: an image that is in several sets,
    or twice in one, is extracted once, and what was interrupted goes on. `progress` is told of images newly extracted.

    Two files a piece: features float32 [n, D] and the names of their images. Damaged ones are deleted, and extracted again.
    """
    about = f"{extractor.identity} {extractor.preprocessing} {extractor.dimension}"
    place = folder / hashlib.sha256(about.encode()).hexdigest()[:16]
    known: Places = {}
    read: set[Path] = set()

    def extract(images: Images) -> Features:
        look(images)
        names = [_name(image) for image in images]
        for file in sorted(place.glob("*.names")):
            if file not in read:
                read.add(file)
                known.update(_kept(file, extractor.dimension))
        first: dict[bytes, int] = {}
        for i, name in enumerate(names):
            first.setdefault(name, i)
        new = [i for name, i in first.items() if name not in known]
        for start in range(0, len(new), PIECE):
            part = new[start : start + PIECE]
            found = extractor.extract(images[part])
            file = _keep(place, [names[i] for i in part], found)
            read.add(file)
            known.update({names[i]: (found, row) for row, i in enumerate(part)})
            if progress is not None:
                progress(start + len(part), len(new))
        out = np.empty((len(images), extractor.dimension), np.float32)
        for i, name in enumerate(names):
            features, row = known[name]
            out[i] = features[row]
        return out

    return replace(extractor, extract=extract)


def _name(image: Images) -> bytes:
    return hashlib.blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=NAME).digest()


def _keep(place: Path, names: list[bytes], found: Features) -> Path:
    """Write one piece; its names come last, so that a piece without them is none."""
    together = b"".join(names)
    file = place / f"{hashlib.sha256(together).hexdigest()[:16]}.names"
    with atomic_path(file.with_suffix(".npy")) as temporary, temporary.open("wb") as stream:
        np.save(stream, found, allow_pickle=False)
    with atomic_path(file) as temporary:
        temporary.write_bytes(together)
    return file


def _kept(file: Path, dimension: int) -> Iterator[tuple[bytes, tuple[Features, int]]]:
    """The images of one piece, mapped and not read; none when it is damaged."""
    try:
        together = file.read_bytes()
        features: Features = np.load(file.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        whole = features.shape == (len(together) // NAME, dimension) and len(together) % NAME == 0
    except (OSError, ValueError):
        whole = False
    if not whole or features.dtype != np.float32:
        file.unlink(missing_ok=True)
        file.with_suffix(".npy").unlink(missing_ok=True)
        return
    for row in range(len(features)):
        yield together[NAME * row : NAME * (row + 1)], (features, row)
