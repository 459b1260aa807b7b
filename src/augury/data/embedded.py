"""Embedded samples: a long-tailed Fashion-MNIST, and two of its classes with an empty cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import as_file, files

import numpy as np

from augury.data.decoding import load_options
from augury.data.decoding.resize import Fit, Size
from augury.data.formats import npz
from augury.images import SPLITS, Attribute, Images, LabelledImages
from augury.randomness import rng


def sample(*, size: int | Size | None = None, fit: Fit = "crop") -> LabelledImages:
    """Load the embedded long-tailed Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017; MIT licence).

    It holds ten classes of 28 x 28 grey garments, with 500 down to 10 train images a class and 250 test images each.

    Parameters
    ----------
    size : int or (int, int), optional
        Height and width in pixels, or one number for both. None keeps 28 x 28.
    fit : {"crop", "pad"}
        "crop" covers the size and cuts the middle; "pad" fits inside it.

    Returns
    -------
    LabelledImages
        `notes["flips"]` is True: a horizontal flip keeps the class.

    Raises
    ------
    SettingsError
        When `size` or `fit` is out of range.
    """
    with as_file(files("augury.data").joinpath("sample", "fashion_long_tail.npz")) as path:
        data = npz.read(path, load_options.checked(size=size, fit=fit))
    notes = {
        **data.notes,
        "source": "embedded sample: Fashion-MNIST, Zalando SE, long-tailed (500 down to 10 train images a class)",
        "licence": "MIT",
        "flips": True,
    }
    return replace(data, notes=notes)


STRIPED = "sample:striped"
CELL = {"train": 150, "validation": 30, "test": 125}
"""Images per cell in each split of the striped sample."""
ALIKE = "index 491"
"""With stripes, this coat of the train split is a near-duplicate of a test image. It is left out."""
GARMENT, DARKER = 25, 0.35
"""Pixels brighter than GARMENT belong to the garment; a dark stripe has DARKER times their brightness."""


def striped(*, size: int | Size | None = None, fit: Fit = "crop") -> LabelledImages:
    """Load coats and shirts of the embedded sample, with stripes drawn on half of them.

    The attribute "fabric" is plain or striped. No striped shirt lies outside the test split. A striped image is a
    different garment from every plain one. There are 150 train and 30 validation images in each of three cells, and 125
    test images in each of four cells.
    """
    data, taken = sample(size=size, fit=fit), []
    assert data.split is not None
    usable = np.array([image_name != ALIKE for image_name in data.names])
    for label, name in enumerate(("coat", "shirt")):
        for value in (0, 1):
            used = 0
            for split_name, number in CELL.items():
                if label and value and split_name != "test":
                    continue
                # the sample has no validation split
                source_split = SPLITS.index("test" if split_name == "test" else "train")
                members = np.flatnonzero(
                    (data.labels == data.classes.index(name)) & (data.split == source_split) & usable
                )
                begin = value * (CELL["test"] if split_name == "test" else CELL["train"] + CELL["validation"])
                begin += 0 if split_name == "test" else used
                used += number
                taken += [(row, label, value, SPLITS.index(split_name)) for row in members[begin : begin + number]]
    rows, labels, values, split_codes = (np.array(column, np.int64) for column in zip(*taken, strict=True))
    images = data.images[rows].copy()
    images[values == 1] = with_stripes(images[values == 1], rows[values == 1])
    return replace(
        data,
        images=images,
        labels=labels,
        classes=("coat", "shirt"),
        attributes={"fabric": Attribute(values, ("plain", "striped"))},
        split=split_codes.astype(np.int8),
        names=tuple(f"{data.names[row]}{' striped' if value else ''}" for row, value in zip(rows, values, strict=True)),
        fingerprint=f"{data.fingerprint} {STRIPED}",
        notes={
            **data.notes,
            "source": "embedded sample: coats and shirts of Fashion-MNIST, stripes drawn on half of them",
        },
    )


def with_stripes(images: Images, numbers: np.ndarray) -> Images:
    """Draw dark stripes two pixels high across the garments of images uint8 [N, C, H, W].

    `numbers` [N] are the random addresses of their phases.
    """
    height = images.shape[2]
    phases = np.array([rng(0, "stripes", int(number)).integers(0, 4) for number in numbers], np.int64)
    dark = (np.arange(height)[None] + phases[:, None]) // 2 % 2 == 0
    where = dark[:, None, :, None] & (images > GARMENT)
    return np.where(where, np.round(images * DARKER), images).astype(np.uint8)


SAMPLES: dict[str, Callable[..., LabelledImages]] = {STRIPED: striped}
"""Paths that name embedded samples. No path at all names `sample`."""
