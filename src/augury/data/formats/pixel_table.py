"""A CSV (or TSV) file that holds the pixels themselves: one column for each pixel, or one column with all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from augury.data.decoding import reading
from augury.data.decoding.label_encoding import numbers_or_text
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.safety import word
from augury.data.decoding.split_names import split_codes
from augury.data.formats import csv, one_hot, table
from augury.data.formats.arrays import from_arrays
from augury.data.formats.column_names import candidates, canonical
from augury.errors import DataError
from augury.images import SPLITS, LabelledImages

FEWEST = 16
"""Fewest pixels of an image."""
_NUMBERED = re.compile(r"(?:pixel|pix|px|p|x)[\s_.\-]*(\d+)", re.IGNORECASE)
_BY_ROW = re.compile(r"(\d+)x(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class _Layout:
    """Where the pixels are: the positions of their columns in order, the one column that holds all, and [H, W]."""

    positions: list[int]
    packed: int | None = None
    sides: tuple[int, int] | None = None


def recognises(path: Path) -> bool:
    """Whether it is a .csv or .tsv with columns of pixels, and without a column of file names."""
    try:
        return csv.recognises(path) and _layout(_header(path)) is not None
    except DataError:
        return False


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read `label, pixel1 … pixel784` (sign-language MNIST), `1x1 … 28x28`, or `emotion, pixels, Usage` (FER-2013).

    Images are square; three values a pixel, side by side, are its colours. The label is the column called so, else the
    only other column. Raises DataError when the table is damaged, or as `from_arrays` does.
    """
    try:
        layout = _layout(_header(path))
        if layout is None:
            raise DataError("has no columns of pixels, such as pixel1, pixel2 …, or one column called pixels")
        pixels, columns, bad = _rows(path, layout)
        columns, options, bad = one_hot.joined(columns, options, bad)
        columns = _with_split(columns, bad)
        chosen = _roles(columns, options)
        fields = table.image_fields(columns, chosen, options, bad, len(pixels))
        names = [f"row {i + 1}" for i in range(len(pixels))]
        skipped = [{"file": names[i], "reason": fields.bad[i]} for i in sorted(fields.bad)]
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if skipped and (options.on_bad == "error" or len(skipped) == len(pixels)):
        raise DataError(reading.complaint(path, skipped))
    good = [i for i in range(len(pixels)) if i not in fields.bad]
    try:
        return from_arrays(
            _stacked([pixels[i] for i in good], layout),
            numbers_or_text([fields.labels[i] for i in good]),
            attributes={name: numbers_or_text([v[i] for i in good]) for name, v in fields.attributes.items()},
            groups=None if fields.groups is None else np.array([fields.groups[i] for i in good]),
            split=None if fields.split is None else np.array([fields.split[i] for i in good]),
            size=options.size,
            fit=options.fit,
            names=[names[i] for i in good],
            notes={
                "format": "pixels",
                "source": str(path),
                "columns": chosen,
                "skipped": skipped,
                **({"grouped_by": chosen["group"]} if "group" in chosen else {}),
                **table.noted(fields),
            },
            native=options.native,
            least=2 if options.labelled else 1,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _header(path: Path) -> list[str]:
    return [name.strip() for name in next(csv.rows(path), [])]


def _layout(header: Sequence[str]) -> _Layout | None:
    """Return where the pixels are, or None when there are none."""
    numbered = {i: int(match[1]) for i, name in enumerate(header) if (match := _NUMBERED.fullmatch(name))}
    if len(numbered) >= FEWEST:
        positions = sorted(numbered, key=lambda i: numbered[i])
        first = numbered[positions[0]]
        if [numbered[i] for i in positions] == list(range(first, first + len(positions))) and first in (0, 1):
            return _Layout(positions)
    by_row = {i: (int(m[1]), int(m[2])) for i, name in enumerate(header) if (m := _BY_ROW.fullmatch(name))}
    if len(by_row) >= FEWEST:
        rows, columns = ({position[axis] for position in by_row.values()} for axis in (0, 1))
        if len(rows) * len(columns) == len(by_row) == len(set(by_row.values())):
            return _Layout(sorted(by_row, key=lambda i: by_row[i]), sides=(len(rows), len(columns)))
    packed = [i for i, name in enumerate(header) if canonical(name) == "pixels"]
    if len(packed) == 1 and not candidates("image", header):
        return _Layout([], packed[0])
    return None


def _rows(
    path: Path, layout: _Layout
) -> tuple[list[npt.NDArray[np.generic]], dict[str, list[str | None]], dict[int, str]]:
    """Return the pixels of each row, the other columns, and why rows cannot be used."""
    rows = csv.rows(path)
    header = [name.strip() for name in next(rows)]
    taken = {*layout.positions, *(() if layout.packed is None else (layout.packed,))}
    others = [i for i in range(len(header)) if i not in taken]
    csv.check_header([header[i] for i in others])
    columns: dict[str, list[str | None]] = {header[i]: [] for i in others}
    pixels: list[npt.NDArray[np.generic]] = []
    bad: dict[int, str] = {}
    for number, row in enumerate(rows):
        values: npt.NDArray[np.generic] = np.zeros(0, np.uint8)
        if len(row) != len(header):
            bad[number] = f"has {len(row)} values for {len(header)} columns"
            row = (row + [""] * len(header))[: len(header)]
        else:
            cells = [row[i] for i in layout.positions] if layout.packed is None else row[layout.packed].split()
            try:
                values = _compact(np.array(cells, np.float64))
            except ValueError:
                bad[number] = "has a pixel that is no number; mend it, or remove the row"
        pixels.append(values)
        for i in others:
            columns[header[i]].append(word(row[i]))
    usable = [i for i in range(len(pixels)) if i not in bad]
    if not pixels:
        raise DataError("has no rows; write a header (label,pixel1,pixel2,…) and then a line per image")
    lengths = [len(pixels[i]) for i in usable]
    usual = max(set(lengths), key=lengths.count) if lengths else 0
    for i, length in zip(usable, lengths, strict=True):
        if length != usual:
            bad[i] = f"has {length:,} pixels, but most rows have {usual:,}; give each as many"
    return pixels, columns, bad


def _compact(values: npt.NDArray[np.float64]) -> npt.NDArray[np.generic]:
    """Return whole numbers from 0 to 255 as uint8, because a table of a million pixels is large otherwise."""
    small = len(values) and values.min() >= 0 and values.max() <= 255 and (values == np.rint(values)).all()
    return values.astype(np.uint8) if small else values


def _stacked(pixels: Sequence[npt.NDArray[np.generic]], layout: _Layout) -> npt.NDArray[np.generic]:
    """Return [N, H, W] or [N, H, W, 3]. Raises DataError for a number of pixels that is no square."""
    flat = np.stack(pixels)
    count = flat.shape[1]
    if layout.sides is not None:
        return flat.reshape(-1, *layout.sides)
    for channels in (1, 3):
        side = int(np.sqrt(count / channels) + 0.5)
        if side * side * channels == count >= FEWEST:
            return flat.reshape(-1, side, side) if channels == 1 else flat.reshape(-1, side, side, 3)
    raise DataError(
        f"images of {count:,} pixels are no square, grey or RGB, so their sides are unknown; save them as an .npz: "
        "np.savez_compressed(images=…, labels=…)"
    )


def _with_split(columns: dict[str, list[str | None]], bad: Mapping[int, str]) -> dict[str, list[str | None]]:
    """Call the column "Usage" the split, where all of its values are names of splits."""
    names = [name for name in columns if canonical(name) == "usage"]
    if len(names) != 1 or candidates("split", list(columns)):
        return columns
    values = [value or "" for value in columns[names[0]]]
    split_of = split_codes(set(values))
    codes = [split_of.get(value, -1) for value in values]
    if any(code < 0 and i not in bad for i, code in enumerate(codes)):
        return columns
    rest = {name: column for name, column in columns.items() if name != names[0]}
    return {**rest, "split": [SPLITS[max(code, 0)] for code in codes]}


def _roles(columns: dict[str, list[str | None]], options: LoadOptions) -> dict[str, str]:
    chosen = table.roles(list(columns), options, needed=())
    others = [name for name in columns if name not in chosen.values()]
    if "label" not in chosen and len(others) == 1:
        chosen["label"] = others[0]
    chosen.pop("image", None)
    if options.labelled and "label" not in chosen:
        raise table.no_column("label", list(columns))
    return chosen
