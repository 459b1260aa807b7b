"""Objects in a notebook: HTML panels of facts, tables and a strip of images, without external files."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

SHOWN = 12
"""Most images of a strip, and most rows of a table of classes."""
SIDE = 64
"""Longest side of an image in a strip, in pixels; larger images are reduced."""
Counts = Sequence[int] | npt.NDArray[np.integer[Any]]
CELL = "text-align:left;padding:2px 12px 2px 0;white-space:nowrap"


def panel(title: str, *parts: str) -> str:
    """A heading above `parts`, which are HTML. The title is escaped."""
    return f'<div style="max-width:60em;overflow-x:auto"><p><b>{escape(title)}</b></p>{"".join(parts)}</div>'


def paragraph(text: str) -> str:
    """A paragraph; the text is escaped."""
    return f"<p>{escape(text)}</p>"


def table(rows: Sequence[Sequence[object]], head: Sequence[str] = ()) -> str:
    """A table of `rows` under the column names `head`; every cell is escaped."""
    heading = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in head)
    cells = ["".join(f'<td style="{CELL}">{escape(_text(value))}</td>' for value in row) for row in rows]
    lines = [heading, *cells] if head else cells
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def class_table(classes: Sequence[str], columns: Mapping[str, Counts]) -> str:
    """A table with a row per class and `columns` of counts; the classes after the first SHOWN are summed up."""
    rows: list[list[object]] = [[name, *(int(c[i]) for c in columns.values())] for i, name in enumerate(classes)]
    if len(rows) > SHOWN:
        rest = [int(sum(int(n) for n in counts[SHOWN - 1 :])) for counts in columns.values()]
        rows = [*rows[: SHOWN - 1], [f"… {len(rows) - SHOWN + 1:,} more classes", *rest]]
    return table(rows, ["class", *columns])


def strip(images: npt.NDArray[np.uint8], alt: str) -> str:
    """Images uint8 [N, 1 or 3, H, W] side by side as one inline PNG; "" for none. `alt` describes them."""
    if not len(images):
        return ""
    from PIL import Image

    tiles = [np.pad(_tile(image), ((0, 0), (0, 2), (0, 0)), constant_values=255) for image in images]
    file = io.BytesIO()
    picture = Image.fromarray(np.concatenate(tiles, axis=1)[:, :-2])
    picture.save(file, format="PNG", optimize=True)
    times = max(1, SIDE // max(images.shape[2:]))
    width = f"image-rendering:{'pixelated' if times > 1 else 'auto'};width:{times * picture.width}px;max-width:none"
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(alt)}" style="{width}" src="data:image/png;base64,{data}">'


def over_classes(labels: npt.NDArray[np.int64], number: int = SHOWN) -> npt.NDArray[np.int64]:
    """Indices of up to `number` of the labelled images, spread over the classes that occur."""
    present, counts = np.unique(labels, return_counts=True)
    if len(labels) <= number:
        return np.argsort(labels, kind="stable")
    classes = np.arange(number) * len(present) // number
    return np.array([np.flatnonzero(labels == present[c])[i % counts[c]] for i, c in enumerate(classes)], np.int64)


def _tile(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """An image [C, H, W] as RGB [h, w, 3] with sides of at most SIDE pixels."""
    from PIL import Image

    tile = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    tile = tile.convert("RGB")
    tile.thumbnail((SIDE, SIDE))
    return np.asarray(tile)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
