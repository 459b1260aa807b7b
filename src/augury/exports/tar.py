"""Export as one WebDataset tar: each image, its class (.cls) and its metadata (.json)."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from augury.exports.options import DEFAULTS, ExportOptions
from augury.exports.rows import Row, check_file, encoded, export_report, rows_of, write_card_beside
from augury.files import atomic_path
from augury.images import LabelledImages, SyntheticImages


def export_tar(
    path: str | os.PathLike[str],
    train: LabelledImages,
    synthetic: SyntheticImages | LabelledImages | None = None,
    options: ExportOptions = DEFAULTS,
) -> dict[str, Any]:
    """Write `real-000012.png`, `.cls` (the number of the class) and `.json` for each image.

    The JSON holds label, attributes, group, split, origin and provenance. The same data give the same bytes.

    Parameters
    ----------
    path : path
        The file.
    train : LabelledImages
        Real images.
    synthetic : SyntheticImages or LabelledImages, optional
        Synthetic images; of SyntheticImages, the accepted ones. LabelledImages are those of another generator.
    options : ExportOptions
        Refused: `sidecar`.

    Returns
    -------
    dict
        As `export_folder`.

    Raises
    ------
    DataError
        As `export_folder`.
    RunFolderError
        When the file exists already (unless `force`).
    """
    target = Path(path).resolve()
    check_file(target, ".tar", options)
    rows = rows_of(train, synthetic, target, options)
    with atomic_path(target) as temporary:
        write_tar(temporary, rows)
    write_card_beside(target, rows, train, options.background)
    return export_report(target, rows, options.originals)


def write_tar(path: Path, rows: Sequence[Row]) -> None:
    """Write the samples of `rows`; a row whose label is negative has no class. The same rows give the same bytes."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for row, image in encoded(rows):
            labelled = row.label >= 0
            metadata: dict[str, Any] = {"label": row.class_name} if labelled else {}
            metadata |= {**row.columns, "provenance": row.facts}
            beside = json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode()
            classes = [(".cls", str(row.label).encode())] if labelled else []
            for suffix, raw in ((row.suffix, image), *classes, (".json", beside)):
                member = tarfile.TarInfo(row.name + suffix)
                member.size, member.mode = len(raw), 0o644
                archive.addfile(member, io.BytesIO(raw))
            archive.members.clear()  # type: ignore[attr-defined]  # otherwise all members stay in memory
