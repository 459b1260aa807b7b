"""The embedded samples: a long-tailed Fashion-MNIST, and two of its classes with an empty cell, to try everything without data."""

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
    """Ten classes of 28 x 28 grey garments: 500 down to 10 train images a class, 250 test images each.

    notes["flips"] is True: a horizontal flip keeps the class. Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), MIT.
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
"""Images of each cell in each part of the striped sample."""
ALIKE = "index 491"
"""With stripes this coat of the train part is a near-duplicate of a test image; it is left out."""
GARMENT, DARKER = 25, 0.35
"""A pixel brighter than this belongs to the garment; a dark stripe has this share of its brightness."""


def striped(*, size: int | Size | None = None, fit: Fit = "crop") -> LabelledImages:
    """Coats and shirts of the embedded sample, half of them with stripes drawn on, and no striped shirt outside the test part.

    The attribute "fabric" is plain or striped. A striped image is another garment than any plain one. 150 train images in
    each of three cells, 30 for validation; 125 test images in each of four cells.
    """
    data, taken = sample(size=size, fit=fit), []
    assert data.split is not None
    known = np.array([each != ALIKE for each in data.names])
    for label, name in enumerate(("coat", "shirt")):
        for value in (0, 1):
            used = 0
            for part, number in CELL.items():
                if label and value and part != "test":
                    continue
                given = SPLITS.index("test" if part == "test" else "train")  # the sample has no validation part
                members = np.flatnonzero((data.labels == data.classes.index(name)) & (data.split == given) & known)
                begin = value * (CELL["test"] if part == "test" else CELL["train"] + CELL["validation"])
                begin += 0 if part == "test" else used
                used += number
                taken += [(row, label, value, SPLITS.index(part)) for row in members[begin : begin + number]]
    rows, labels, values, parts = (np.array(column, np.int64) for column in zip(*taken, strict=True))
    images = data.images[rows].copy()
    images[values == 1] = with_stripes(images[values == 1], rows[values == 1])
    return replace(
        data,
        images=images,
        labels=labels,
        classes=("coat", "shirt"),
        attributes={"fabric": Attribute(values, ("plain", "striped"))},
        split=parts.astype(np.int8),
        names=tuple(f"{data.names[row]}{' striped' if value else ''}" for row, value in zip(rows, values, strict=True)),
        fingerprint=f"{data.fingerprint} {STRIPED}",
        notes={
            **data.notes,
            "source": "embedded sample: coats and shirts of Fashion-MNIST, stripes drawn on half of them",
        },
    )


def with_stripes(images: Images, numbers: np.ndarray) -> Images:
    """Images uint8 [N, C, H, W] with dark stripes two pixels high across the garment; `numbers` [N] address their phase."""
    height = images.shape[2]
    phases = np.array([rng(0, "stripes", int(number)).integers(0, 4) for number in numbers], np.int64)
    dark = (np.arange(height)[None] + phases[:, None]) // 2 % 2 == 0
    where = dark[:, None, :, None] & (images > GARMENT)
    return np.where(where, np.round(images * DARKER), images).astype(np.uint8)


SAMPLES: dict[str, Callable[..., LabelledImages]] = {STRIPED: striped}
"""Paths that name embedded samples, beside no path, which names `sample`."""
