"""Features stored on disk by the content of each image: an image is processed once, whichever sets contain it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from augury.files import atomic_path
from augury.images import Images
from augury.metrics.features import Extractor, Features, Progress, check_images

PIECE = 256
"""Images between two writes: the most that are lost when the process is killed."""
NAME = 16
"""Bytes of the name of an image."""
Locations = dict[bytes, tuple[Features, int]]
"""Name -> the array that holds the features, and the row."""


def remembered(extractor: Extractor, folder: Path, progress: Progress | None = None) -> Extractor:
    """The same extractor with its features stored in `folder`, image by image.

    An image that is in several sets, or twice in one, is extracted once. An interrupted extraction resumes. Each piece
    is two files: features float32 [n, D] and the names of their images. Damaged pieces are deleted and extracted again.

    Parameters
    ----------
    extractor : Extractor
        Computes the features.
    folder : Path
        Where they are stored.
    progress : callable, optional
        Called with (new images done, new images in all).

    Returns
    -------
    Extractor
        The extractor with storage.
    """
    identity = f"{extractor.identity} {extractor.preprocessing} {extractor.dimension}"
    directory = folder / hashlib.sha256(identity.encode()).hexdigest()[:16]
    locations: Locations = {}
    read: set[Path] = set()

    def extract(images: Images) -> Features:
        check_images(images)
        names = [_name(image) for image in images]
        for file in sorted(directory.glob("*.names")):
            if file not in read:
                read.add(file)
                locations.update(_load_piece(file, extractor.dimension))
        first: dict[bytes, int] = {}
        for i, name in enumerate(names):
            first.setdefault(name, i)
        new = [i for name, i in first.items() if name not in locations]
        for start in range(0, len(new), PIECE):
            part = new[start : start + PIECE]
            extracted = extractor.extract(images[part])
            file = _save_piece(directory, [names[i] for i in part], extracted)
            read.add(file)
            locations.update({names[i]: (extracted, row) for row, i in enumerate(part)})
            if progress is not None:
                progress(start + len(part), len(new))
        out = np.empty((len(images), extractor.dimension), np.float32)
        for i, name in enumerate(names):
            features, row = locations[name]
            out[i] = features[row]
        return out

    return replace(extractor, extract=extract)


def _name(image: Images) -> bytes:
    return hashlib.blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=NAME).digest()


def _save_piece(directory: Path, names: list[bytes], features: Features) -> Path:
    """Write one piece. Its names are written last: a piece without them does not count."""
    together = b"".join(names)
    file = directory / f"{hashlib.sha256(together).hexdigest()[:16]}.names"
    with atomic_path(file.with_suffix(".npy")) as temporary, temporary.open("wb") as stream:
        np.save(stream, features, allow_pickle=False)
    with atomic_path(file) as temporary:
        temporary.write_bytes(together)
    return file


def _load_piece(file: Path, dimension: int) -> Iterator[tuple[bytes, tuple[Features, int]]]:
    """The images of one piece, memory-mapped; nothing if the piece is damaged, which is then deleted."""
    try:
        together = file.read_bytes()
        features: Features = np.load(file.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        intact = features.shape == (len(together) // NAME, dimension) and len(together) % NAME == 0
    except (OSError, ValueError):
        intact = False
    if not intact or features.dtype != np.float32:
        file.unlink(missing_ok=True)
        file.with_suffix(".npy").unlink(missing_ok=True)
        return
    for row in range(len(features)):
        yield together[NAME * row : NAME * (row + 1)], (features, row)
