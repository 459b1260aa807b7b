"""Export as class folders with a table of metadata: Hugging Face's imagefolder, or a plain CSV."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from augury.exports.folder import Also, written
from augury.exports.options import DEFAULTS, ExportOptions
from augury.exports.rows import Row
from augury.files import atomic_path
from augury.images import LabelledImages, SyntheticImages

METADATA, LABELS = "metadata.csv", "labels.csv"


def export_imagefolder(
    path: str | os.PathLike[str],
    train: LabelledImages,
    synthetic: SyntheticImages | LabelledImages | None = None,
    options: ExportOptions = DEFAULTS,
) -> dict[str, Any]:
    """Write the files of `export_folder`, and `metadata.csv`: file_name, label, the attributes, group, split and
    origin.

    Parameters and errors are those of `export_folder`.
    """
    return written(Path(path), train, synthetic, options, metadata_table(METADATA, "file_name"), (METADATA,))


def export_csv(
    path: str | os.PathLike[str],
    train: LabelledImages,
    synthetic: SyntheticImages | LabelledImages | None = None,
    options: ExportOptions = DEFAULTS,
) -> dict[str, Any]:
    """Write the files of `export_folder`, and `labels.csv`: path, label, the attributes, group, split and origin.

    Parameters and errors are those of `export_folder`.
    """
    return written(Path(path), train, synthetic, options, metadata_table(LABELS, "path"), (LABELS,))


def metadata_table(name: str, first: str) -> Also:
    """A function that writes the table `name`, whose first column is the file."""

    def also(root: Path, rows: list[Row], files: list[str]) -> None:
        with atomic_path(root / name) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow([first, "label", *rows[0].columns] if rows else [first, "label"])
            for row, path in zip(rows, files, strict=True):
                table.writerow([path, row.class_name, *row.columns.values()])

    return also
