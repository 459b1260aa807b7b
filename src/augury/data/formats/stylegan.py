"""StyleGAN's data sets: a folder of images in numbered folders, and a dataset.json with the label of each file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from augury.data.decoding import reading, safety
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.skipped import UNNAMED, SkippedFiles
from augury.data.formats import folder, table
from augury.errors import DataError
from augury.images import LabelledImages

FILE = folder.STYLEGAN
LIMIT = 512 * 2**20
"""Most bytes that dataset.json may have."""


def recognises(path: Path) -> bool:
    """Whether it is a dataset.json with labels, or a folder that holds one."""
    file = path / FILE if path.is_dir() else path
    return file.name == FILE and folder.begins_labels(safety.head(file, folder.HEAD))


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read the images that dataset.json names; their numbered folders are no classes.

    A label is a whole number, or a list with one 1 (one-hot). Files without a row are counted. Raises DataError when
    dataset.json is damaged or has no labels (null), or as `reading.read` does.
    """
    root = path if path.is_dir() else path.parent
    skipped = SkippedFiles()
    files = ["/".join(parts) for parts in folder.walked(root, skipped, options.follow_links)]
    skipped.counts[".json"] -= 1  # dataset.json itself
    labels = _labels(root / FILE)
    bad: dict[int, str] = {}
    if labels is None:
        if options.labelled:
            raise DataError(
                f"{root / FILE}: its labels are null, so that the images have no classes; write [file, label] for each image, or "
                "remove the file and put the images into one folder per class"
            )
        names, values = files, [""] * len(files)
    else:
        names, values = [name for name, _ in labels], [_label(value) for _, value in labels]
        bad = {i: _WRONG for i, value in enumerate(values) if not value}
    paths, bad = table.files(root, list(names), bad, rows="entry", follow_links=options.follow_links)
    skipped.add(UNNAMED, count=len(set(files) - {file.relative_to(root).as_posix() for file in paths}))
    index = ImageIndex(names, values, lambda i: safety.file_bytes(paths[i]), bad=bad, ignored=skipped.counts)
    return reading.read(root, index, options, "stylegan")


_WRONG = "has a label that is neither a whole number nor a list of zeros with one 1; write one class for each image"


def _label(value: Any) -> str:
    """Return the class as text; "" for a label that names no class."""
    if isinstance(value, bool):
        return ""
    if isinstance(value, list):
        ones = [i for i, each in enumerate(value) if each == 1]
        return str(ones[0]) if len(ones) == 1 and all(each in (0, 1) for each in value) else ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, int | str) else ""


def _labels(file: Path) -> list[tuple[str, Any]] | None:
    """Return the file and label of each image; None where the labels are null. Raises DataError."""
    try:
        if file.stat().st_size > LIMIT:
            raise DataError(f"has {file.stat().st_size:,} bytes, but {LIMIT:,} at most are read; divide the data")
        content = json.loads(file.read_text("utf-8-sig"), object_pairs_hook=safety.unique)
        labels = content["labels"]
        if labels is None:
            return None
        for row in labels:
            if not (isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)):
                raise DataError(f"has the entry {str(row)[:80]}; write [file, label] for each image")
        return [(name, value) for name, value in labels]
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); change its permissions") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f'{file}: is damaged, or no {{"labels": [[file, label], …]}} ({error}); write it again'
        ) from error
