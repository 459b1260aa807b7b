"""Export as one .npz of arrays."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from augury.cards import readable
from augury.errors import DataError
from augury.exports.options import DEFAULTS, ExportOptions
from augury.exports.rows import Row, check_file, export_report, rows_of, write_card_beside
from augury.files import atomic_path
from augury.images import Images, LabelledImages, SyntheticImages

_CHUNK = 1024


def export_npz(
    path: str | os.PathLike[str],
    train: LabelledImages,
    synthetic: SyntheticImages | LabelledImages | None = None,
    options: ExportOptions = DEFAULTS,
) -> dict[str, Any]:
    """Write one .npz with `images` [N, H, W] or [N, H, W, 3] and further arrays.

    These are `labels`, `classes`, `origin`, `provenance` (JSON), `group`, `split` and one for each attribute. The same
    data give the same bytes.

    Parameters
    ----------
    path : path
        The file.
    train : LabelledImages
        Real images.
    synthetic : SyntheticImages or LabelledImages, optional
        Synthetic images; of SyntheticImages, the accepted ones. LabelledImages are those of another generator.
    options : ExportOptions
        Refused: `originals` and `synthetic_size`, as arrays have one size, and `sidecar`.

    Returns
    -------
    dict
        As `export_folder`.

    Raises
    ------
    DataError
        As `export_folder`, and when `originals` are given.
    RunFolderError
        When the file exists already (unless `force`).
    """
    target = Path(path).resolve()
    check_file(target, ".npz", options)
    if options.originals is not None:
        raise DataError(f"{target}: an .npz holds images of one size; leave originals out, or export another format")
    rows = rows_of(train, synthetic, target, options)
    columns = {name: np.array([row.columns[name] for row in rows]) for name in (rows[0].columns if rows else ())}
    arrays: dict[str, npt.NDArray[Any]] = {
        "labels": np.array([row.label for row in rows], np.int64),
        "classes": np.array([readable(name) for name in train.classes]),
        **columns,
        "provenance": np.array([row.provenance.encode() for row in rows]),
    }
    channels, height, width = train.shape
    shape = (len(rows), height, width) if channels == 1 else (len(rows), height, width, channels)
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        with _member(archive, "images") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for piece in _pieces(rows):
                file.write(piece.transpose(0, 2, 3, 1).tobytes())
        for name, array in arrays.items():
            with _member(archive, name) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    write_card_beside(target, rows, train, options.background)
    return export_report(target, rows)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    info = zipfile.ZipInfo(f"{name}.npy")
    info.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(info, "w", force_zip64=True)


def _pieces(rows: Sequence[Row]) -> Iterator[Images]:
    """uint8 [n, C, H, W], in order."""
    for start in range(0, len(rows), _CHUNK):
        yield np.stack([row.images[row.at] for row in rows[start : start + _CHUNK]])
