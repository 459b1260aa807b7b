"""Export as class folders, as every ImageFolder loader reads them, with a provenance row for each image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from augury.errors import RunFolderError
from augury.exports.names import folder_names
from augury.exports.rows import Row, rows_of, said, text
from augury.files import atomic_folder, read_json, read_lines, write_json, write_lines
from augury.images import LabelledImages, SyntheticImages

FORMAT = "augury-export-1"
CLASSES, MANIFEST = "classes.json", "manifest.jsonl"
LOST = (
    "class folders hold no groups, so that a split made later may put one group on two sides; write imagefolder, the same "
    "folders beside a metadata.csv that tells"
)
Also = Callable[[Path, list[Row], list[str]], None]
"""Writes more into the root, given all rows and the file of each."""


def export_folder(
    path: str | os.PathLike[str],
    train: LabelledImages,
    synthetic: SyntheticImages | None = None,
    *,
    originals: Sequence[str | os.PathLike[str]] | None = None,
    link: bool = True,
    force: bool = False,
) -> dict[str, Any]:
    """Write `train` and the kept images of `synthetic` as `path/<class>/real-000012.png` and `synthetic-000034.png`, below
    `path/train/`, `validation/` and `test/` where the data come in parts.

    The number is the image's place in `train` or `synthetic`. `originals`, one file per training image, are
    hard-linked (copied where that is not possible, or with `link=False`) in their own size and format; a hard link is
    the same file, so editing it in place edits the original. Without `originals` the arrays are written as PNG, as
    the training saw them.

    In the root, `manifest.jsonl` has a row {file, class, label, origin, source, scores} per image and `classes.json`
    the folder of each class. An older export at `path` is replaced whole. Returns {path, real, synthetic, linked,
    folders}.

    Class folders hold neither groups nor attributes; where there are groups, the `note` in what is returned says so.

    Raises DataError when classes or shapes disagree, or `originals` do not fit `train`; RunFolderError when `path`
    holds anything but an export, or an export to which files were added (unless `force`), or cannot be written.
    """
    done = written(Path(path), train, synthetic, originals, link, force)
    return done if train.groups is None else {**done, "note": LOST}


def written(
    path: Path,
    train: LabelledImages,
    synthetic: SyntheticImages | None,
    originals: Sequence[str | os.PathLike[str]] | None,
    link: bool,
    force: bool,
    also: Also | None = None,
    taken: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What `export_folder` promises, and what `also` adds to the root under the names `taken`."""
    target = path.resolve()
    rows = rows_of(train, synthetic, originals, target)
    _check_free(target, force, taken)
    folders = folder_names(train.classes, taken=(CLASSES, MANIFEST, *taken))
    places = [folders[row.label] if row.part is None else f"{row.part}/{folders[row.label]}" for row in rows]
    files = [f"{place}/{row.name}{row.suffix}" for row, place in zip(rows, places, strict=True)]
    with atomic_folder(target) as root:
        for place in dict.fromkeys([*places, *([] if any(row.part for row in rows) else folders)]):
            (root / place).mkdir(parents=True)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            how = list(pool.map(lambda row, file: _bring(row, root / file, link), rows, files))
        write_lines(root / MANIFEST, ({"file": file, **row.facts} for row, file in zip(rows, files, strict=True)))
        named = [{"label": c, "class": text(name), "folder": folders[c]} for c, name in enumerate(train.classes)]
        write_json(root / CLASSES, {"format": FORMAT, "classes": named})
        if also is not None:
            also(root, rows, files)
    return said(target, rows, how.count("linked"), dict(zip(train.classes, folders, strict=True)))


def _bring(row: Row, path: Path, link: bool) -> str:
    """Hard-link the row's original as `path`, copy it where the file system has no links, or write its pixels."""
    if row.original is None:
        row.picture().save(path, format="PNG")
        return "written"
    if link:
        try:
            os.link(row.original, path)
            return "linked"
        except OSError:
            pass
    shutil.copyfile(row.original, path)
    return "copied"


def _check_free(target: Path, force: bool, taken: tuple[str, ...]) -> None:
    """Raise RunFolderError unless `target` is absent, empty or an export, with nothing added unless `force` is set."""
    if target.exists() and not target.is_dir():
        raise RunFolderError(f"{target}: a file is in the way of the export; choose another folder")
    if not target.exists() or not any(target.iterdir()):
        return
    try:
        about = read_json(target / CLASSES)
        ours = isinstance(about, dict) and about.get("format") == FORMAT
        listed = (
            {row.get("file") for row in read_lines(target / MANIFEST)} | {CLASSES, MANIFEST, *taken} if ours else set()
        )
    except (RunFolderError, OSError, AttributeError):
        ours, listed = False, set()
    if not ours:
        raise RunFolderError(f"{target}: not empty and not an export of Augury; choose another folder")
    found = (file for file in target.rglob("*") if file.is_symlink() or not file.is_dir())
    there = {file.relative_to(target).as_posix() for file in found}
    if there - listed and not force:
        raise RunFolderError(
            f"{target}: {len(there - listed)} files were added to this export, as {min(there - listed)}; move them "
            "away, choose another folder, or --force to replace everything"
        )
