"""Images drawn by a trained generator, written as class folders with a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augury.cards import README
from augury.errors import RunFolderError
from augury.exports.names import folder_names
from augury.files import read_lines, write_lines
from augury.pipeline.run_folder import Run
from augury.pipeline.tagged_files import write_card, write_tagged
from augury.training import Synthesizer

MANIFEST = "manifest.jsonl"
_COLUMNS = {"file", "class", "seed", "index", "truncation", "synthesizer"}
"""Entries that every row of such a manifest has."""


def generate_files(
    generator: Synthesizer,
    output: Path,
    *,
    labels: Sequence[str] = (),
    attributes: Mapping[str, str] | None = None,
    number: int = 16,
    start: int = 0,
    seed: int = 0,
    truncation: float = 1.0,
    sidecar: bool = False,
    licence: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Draw images and write them as `output/<class>/seed7-000012.png`, with a card of all images in the folder (README.md).

    A call adds to the images of earlier calls. An image that exists already is left as it is, so that an interrupted call
    can be repeated.

    Parameters
    ----------
    generator
        A synthesizer that draws from noise.
    output
        Folder for the class folders and manifest.jsonl; new, or written by this function.
    labels
        Classes to draw; none: all.
    attributes
        One value of each attribute, for a generator that is conditioned on attributes.
    number, start
        Number of images of each class, and the index of the first.
    seed, truncation
        As for `Synthesizer.sample`.
    sidecar
        Also write an unsigned C2PA-style file beside each image.
    licence
        Licence of the training images, for the card; None: that on the card of the generator.
    on_progress
        Called with (images written, all images).

    Returns
    -------
    Rows of the manifest for the images of this call: file, class, label, attributes, origin, seed, index, truncation and
    synthesizer.

    Raises
    ------
    DataError
        For a class or attribute value that the generator does not know.
    SettingsError
        For a translator, and a truncation out of range.
    RunFolderError
        When `output` holds other files, or images of these names that another call drew differently.
    """
    rows, conditions = _planned(generator, labels, attributes or {}, range(start, start + number), seed, truncation)
    generator.sample(conditions[:1], seed=seed, start=start, truncation=truncation)  # raises before anything is written
    _earlier(output)
    with Run(output).held():
        earlier = _earlier(output)
        by_file = {row["file"]: row for row in earlier}
        for row in rows:
            _refuse_conflict(output / row["file"], by_file.get(row["file"]), row)
        # the manifest first, so that a repeated call recognises the files of an interrupted one
        write_lines(output / MANIFEST, [*earlier, *(row for row in rows if row["file"] not in by_file)])
        missing = np.array([i for i, row in enumerate(rows) if not (output / row["file"]).exists()], np.int64)
        for begin in range(0, len(missing), generator.chunk):
            at = missing[begin : begin + generator.chunk]
            indices = [rows[i]["index"] for i in at]
            drawn = generator.sample(conditions[at], seed=seed, indices=indices, truncation=truncation)
            for i, image in zip(at.tolist(), drawn.images, strict=True):
                write_tagged(output / rows[i]["file"], image, rows[i], generator, sidecar)
            on_progress(begin + len(at), len(missing))
        write_card(output, output.name, generator, read_lines(output / MANIFEST), licence)
    return rows


def _planned(
    generator: Synthesizer,
    labels: Sequence[str],
    attributes: Mapping[str, str],
    indices: range,
    seed: int,
    truncation: float,
) -> tuple[list[dict[str, Any]], np.ndarray[Any, np.dtype[np.int64]]]:
    """The rows of the manifest, and the condition int64 [N, K] of each."""
    classes = generator.card.classes
    names = dict(zip(classes, folder_names(classes, taken=(MANIFEST, README)), strict=True))
    rows, conditions = [], []
    for label in dict.fromkeys(labels or classes):
        cell = generator.cell(label, attributes)
        for index in indices:
            row = {"file": f"{names[label]}/seed{seed}-{index:06d}.png", "class": label, "label": cell[0]}
            row |= {"attributes": dict(attributes)} if attributes else {}
            row |= {"origin": "synthetic", "seed": seed, "index": index, "truncation": truncation}
            rows.append(row | {"synthesizer": generator.fingerprint})
            conditions.append(cell)
    return rows, np.array(conditions, np.int64)


def _earlier(output: Path) -> list[dict[str, Any]]:
    """The rows of earlier calls. Raises RunFolderError for anything but a folder of this kind."""
    if not output.exists():
        return []
    if not output.is_dir():
        raise RunFolderError(f"{output}: a file is in the way of this folder; choose another folder with -o")
    if not any(not path.name.startswith(".") for path in output.iterdir()):
        return []
    remedy = "choose another folder with -o, or remove this one"
    rows = read_lines(output / MANIFEST, remedy) if (output / MANIFEST).is_file() else []
    if not rows or not all(row.keys() >= _COLUMNS for row in rows):
        raise RunFolderError(
            f"{output}: holds other files than images of augury generate; choose another folder with -o, or remove it"
        )
    return rows


def _refuse_conflict(file: Path, earlier: dict[str, Any] | None, row: dict[str, Any]) -> None:
    """Raises RunFolderError when `file` is there and is not the image that `row` describes."""
    if earlier == row or (earlier is None and not file.exists()):
        return
    differs = [name for name in row if earlier is not None and earlier.get(name) != row[name]]
    reason = f", drawn with another {' and '.join(differs)}" if differs else ", and no call of augury generate wrote it"
    raise RunFolderError(
        f"{file}: exists already{reason}; choose another folder with -o, or draw other images with --seed or --start"
    )
