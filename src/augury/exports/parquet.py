"""Export as one parquet file in the layout of Hugging Face data sets. Needs pyarrow."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from augury.cards import readable
from augury.errors import MissingExtraError
from augury.exports.options import DEFAULTS, ExportOptions
from augury.exports.rows import Row, check_file, encoded, export_report, rows_of, write_card_beside
from augury.files import atomic_path
from augury.images import LabelledImages, SyntheticImages

GROUP = 100
"""Rows per row group; few, as viewers fetch entire groups."""


def export_parquet(
    path: str | os.PathLike[str],
    train: LabelledImages,
    synthetic: SyntheticImages | LabelledImages | None = None,
    options: ExportOptions = DEFAULTS,
) -> dict[str, Any]:
    """Write the columns image {bytes, path}, label (a ClassLabel), attributes, group, split, origin and provenance
    (JSON).

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
    MissingExtraError
        Without pyarrow.
    """
    target = Path(path).resolve()
    check_file(target, ".parquet", options)
    pyarrow()
    rows = rows_of(train, synthetic, target, options)
    with atomic_path(target) as temporary:
        write_parquet(temporary, rows, train.classes)
    write_card_beside(target, rows, train, options.background)
    return export_report(target, rows, options.originals)


def write_parquet(path: Path, rows: Sequence[Row], classes: Sequence[str], columns: Sequence[str] = ()) -> None:
    """Write `rows`, whose labels are indices into `classes` or -1; without rows, with these further columns.

    The same rows give the same bytes.
    """
    arrow, parquet = pyarrow()
    texts = [*(rows[0].columns if rows else columns), "provenance"]
    features = {
        "image": {"_type": "Image"},
        "label": {"names": [readable(name) for name in classes], "_type": "ClassLabel"},
        **{name: {"dtype": "string", "_type": "Value"} for name in texts},
    }
    schema = arrow.schema(
        [
            ("image", arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])),
            ("label", arrow.int64()),
            *((name, arrow.string()) for name in texts),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}}, ensure_ascii=False)},
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for some in _groups(rows):
            writer.write_table(arrow.Table.from_pylist(some, schema=schema))


def _groups(rows: Sequence[Row]) -> Iterator[list[dict[str, Any]]]:
    pairs = encoded(rows)
    while some := list(islice(pairs, GROUP)):
        yield [
            {
                "image": {"bytes": raw, "path": row.name + row.suffix},
                "label": row.label,
                **row.columns,
                "provenance": row.provenance,
            }
            for row, raw in some
        ]


def pyarrow() -> tuple[Any, Any]:
    """pyarrow and its parquet module. Raises MissingExtraError without them."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError(
            "writing parquet needs the package pyarrow; install it with: pip install 'augury[hf]'"
        ) from error
