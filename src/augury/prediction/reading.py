"""Read images to predict, brought to the classifier's size and colour as in training; every change is reported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from augury.data import coloured, files_below, pictures, skipped_lines
from augury.data.decoding.codecs import HEAD, is_image
from augury.data.decoding.label_encoding import composed
from augury.data.decoding.resize import RESAMPLING, Fit, resized
from augury.data.decoding.safety import head
from augury.errors import DataError
from augury.images import AnyImages, Codes, Images, LabelledImages, as_images
from augury.prediction.card import ClassifierCard

MODES = {1: "grey", 3: "colour"}


@dataclass(frozen=True)
class Read:
    """Images uint8 [N, C, H, W] as the classifier takes them, with their names, true classes if known, and what was done."""

    images: Images
    names: tuple[str, ...]
    truth: Codes | None
    notes: tuple[str, ...]
    skipped: Mapping[str, str]


def read_images(source: AnyImages | str | os.PathLike[str], card: ClassifierCard) -> Read:
    """Read or convert the images of a path or in memory.

    Parameters
    ----------
    source
        An image file, a folder with images anywhere below it, a file that `augury.load` reads with labels or without; or uint8
        [N, C, H, W], or a set of images.
    card
        Names size, colour and classes.

    Raises
    ------
    DataError
        When there is no readable image.
    """
    if not isinstance(source, str | os.PathLike):
        images, known = as_images(source), source if isinstance(source, LabelledImages) else None
        names = known.names if known is not None and known.names else tuple(f"index {i}" for i in range(len(images)))
        if not len(images):
            raise DataError("there are 0 images to predict; give at least one, uint8 [N, C, H, W]")
        truth = None if known is None else _truth([known.classes[label] for label in known.labels.tolist()], card)
        fit: Fit = card.data["reading"]["fit"]
        notes = _of_size(images.shape[2:], card, fit)
        return Read(*_in_mode(resized(images, card.size, fit), card, notes, names, truth), {})
    path, reading = Path(source), card.data["reading"]
    options: dict[str, Any] = {"size": card.size, "on_bad": "skip", **reading}
    options["window"] = tuple(options["window"]) if isinstance(options["window"], list) else options["window"]
    if path.is_dir() or (path.is_file() and is_image(path.name, lambda: head(path, HEAD))):
        data = _files(path, options)
        stated = [PurePosixPath(name).parent.name for name in data.names]
    else:
        data = pictures(path, **options)
        stated = [data.classes[label] for label in data.labels.tolist()]
    skipped = {item["file"]: item["reason"] for item in data.notes.get("skipped", ())}
    notes = [*skipped_lines(data), *_resizing(data, card), *_tones(data, card)]
    names = data.names or tuple(f"index {i}" for i in range(len(data)))
    return Read(*_in_mode(data.images, card, notes, names, _truth(stated, card)), skipped)


def _files(path: Path, options: dict[str, Any]) -> LabelledImages:
    """The image files of a folder, or one file. Raises DataError when none can be read."""
    try:
        return files_below(path, least=1, **options)
    except DataError as error:
        rule, _, _ = str(error).partition("; every image must be whole")
        if rule == str(error):
            raise
        raise DataError(f"{rule}. No image is left to predict; give images that can be opened") from error


def _in_mode(
    images: Images, card: ClassifierCard, notes: list[str], names: tuple[str, ...], truth: Codes | None
) -> tuple[Images, tuple[str, ...], Codes | None, tuple[str, ...]]:
    """The images with the channels of the classifier, and a note where that changes them."""
    own, needed = images.shape[1], card.shape[0]
    if own < needed:
        notes.append(
            "the images are grey, and the classifier was trained on colour images: grey was repeated in three channels"
        )
    elif own > needed:
        notes.append(
            "the images are in colour, and the classifier was trained on grey images: they were converted to grey (ITU-R 601 luma). "
            "If the training images did not come from such colours, predictions may be wrong"
        )
    return coloured(images, needed), names, truth, tuple(notes)


def _of_size(size: tuple[int, ...], card: ClassifierCard, fit: str) -> list[str]:
    height, width = card.size
    if tuple(size) == card.size:
        return []
    return [
        f"images of {size[0]}x{size[1]} (height x width) were resized to {height}x{width} as in training: {fit}; {RESAMPLING}"
    ]


def _resizing(data: LabelledImages, card: ClassifierCard) -> list[str]:
    """How the images were brought to the classifier's size."""
    height, width = card.size
    sizes = {name: n for name, n in data.notes.get("original_sizes", {}).items() if name != f"{height}x{width}"}
    if not sizes:
        return []
    some = ", ".join(list(sizes)[:3]) + (" …" if len(sizes) > 3 else "")
    how = data.notes["resizing"]
    return [f"images of {some} (height x width) were resized to {height}x{width} as in training: {how}"]


def _tones(data: LabelledImages, card: ClassifierCard) -> list[str]:
    """A warning where values beyond 8 bits were scaled by another range than in training."""
    now, then = set(data.notes.get("tones", {})), set(card.data.get("notes", {}).get("tones", {}))
    if now <= then:
        return []
    new_tones = "; ".join(sorted(now - then))
    return [
        f"values were scaled to 8 bits by another rule than in training ({new_tones}; training: {'; '.join(sorted(then)) or '8 bits'}), so "
        "predictions may be wrong; convert the files as the training images were"
    ]


def _truth(stated: list[str], card: ClassifierCard) -> Codes | None:
    """The classes that the images name, if every one is a class of the classifier."""
    codes = {composed(name): code for code, name in enumerate(card.classes)}
    known = [codes.get(composed(name), -1) for name in stated]
    return np.array(known, np.int64) if known and min(known) >= 0 else None
