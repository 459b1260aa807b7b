"""Export as class folders, which every ImageFolder loader reads, with a provenance row for each image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from augury import provenance
from augury.cards import README, readable
from augury.errors import RunFolderError
from augury.exports.names import folder_names
from augury.exports.options import DEFAULTS, ExportOptions
from augury.exports.readme import count, readme
from augury.exports.rows import SYNTHETIC, Row, export_report, rows_of
from augury.files import atomic_folder, read_json, read_lines, write_json, write_lines, write_text
from augury.images import LabelledImages, SyntheticImages

FORMAT = "augury-export-1"
CLASSES, MANIFEST = "classes.json", "manifest.jsonl"
LOST = (
    "class folders hold no groups, so that a split made later may put one group on two sides; write imagefolder, the same "
    "folders beside a metadata.csv that tells"
)
Also = Callable[[Path, list[Row], list[str]], None]
"""Writes further files into the root, from all rows and the file of each."""


def export_folder(
    path: str | os.PathLike[str],
    train: LabelledImages,
    synthetic: SyntheticImages | LabelledImages | None = None,
    options: ExportOptions = DEFAULTS,
) -> dict[str, Any]:
    """Write `train` and the kept images of `synthetic` as `path/<class>/real-000012.png` and `synthetic-000034.png`.

    If the data have splits, the class folders lie below `path/train/`, `validation/` and `test/`. The number is the
    position of the image in `train` or `synthetic`. In the root, `manifest.jsonl` has a row {file, class, label,
    origin, source, scores} per image and `classes.json` the folder of each class. An older export at `path` is replaced
    entirely. `README.md` is the card of the data set. Synthetic images say in their text chunks what they are. Class folders
    hold neither groups nor attributes.

    Parameters
    ----------
    path : path
        Folder of the export.
    train : LabelledImages
        Real images.
    synthetic : SyntheticImages or LabelledImages, optional
        Synthetic images; of SyntheticImages, the accepted ones. LabelledImages are those of another generator.
    options : ExportOptions
        All of them apply.

    Returns
    -------
    dict
        {path, real, synthetic, linked, folders}, and a `note` where there are groups, which are lost, and where originals of
        other types were written as PNG.

    Raises
    ------
    DataError
        When classes or shapes disagree, or `originals` do not fit `train`.
    RunFolderError
        When `path` holds anything but an export, or an export to which files were added (unless `force`), or cannot be written.

    Examples
    --------
    >>> export_folder("dataset", train, synthetic)["synthetic"]
    46
    """
    done = written(Path(path), train, synthetic, options)
    return done if train.groups is None else {**done, "note": "; ".join([LOST, *filter(None, [done.get("note")])])}


def written(
    path: Path,
    train: LabelledImages,
    synthetic: SyntheticImages | LabelledImages | None,
    options: ExportOptions,
    also: Also | None = None,
    taken: tuple[str, ...] = (),
    pixels: tuple[str, Callable[[Row], bytes]] | None = None,
) -> dict[str, Any]:
    """Write the export of `export_folder`, and the additions of `also` in the root under the names `taken`.

    `pixels` are the suffix and the encoding of images that are not original files; PNG if not given.
    """
    target = path.resolve()
    rows = rows_of(train, synthetic, target, options)
    _check_free(target, options.force, taken)
    folders = folder_names(train.classes, taken=(CLASSES, MANIFEST, README, *taken))
    subfolders = [folders[row.label] if row.part is None else f"{row.part}/{folders[row.label]}" for row in rows]
    suffixes = [row.suffix if row.original or pixels is None else pixels[0] for row in rows]
    files = [f"{at}/{row.name}{suffix}" for row, at, suffix in zip(rows, subfolders, suffixes, strict=True)]
    encode = None if pixels is None else pixels[1]
    with atomic_folder(target) as root:
        for subfolder in dict.fromkeys([*subfolders, *([] if any(row.part for row in rows) else folders)]):
            (root / subfolder).mkdir(parents=True)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            how = list(pool.map(lambda row, file: _bring(row, root / file, options, encode), rows, files))
        write_lines(root / MANIFEST, ({"file": file, **row.facts} for row, file in zip(rows, files, strict=True)))
        named = [{"label": c, "class": readable(name), "folder": folders[c]} for c, name in enumerate(train.classes)]
        write_json(root / CLASSES, {"format": FORMAT, "classes": named})
        if also is not None:
            also(root, rows, files)
        counted = count((row.facts for row in rows), list(map(readable, train.classes)))
        write_text(root / README, readme(target.name, counted, train.shape, options.background))
    named_folders = dict(zip(train.classes, folders, strict=True))
    return export_report(target, rows, options.originals, how.count("linked"), named_folders)


def _bring(row: Row, path: Path, options: ExportOptions, encode: Callable[[Row], bytes] | None) -> str:
    """Hard-link the row's original as `path`, copy it where the file system has no links, or write its pixels."""
    if row.original is None:
        content = row.encoded() if encode is None else encode(row)
        path.write_bytes(content)
        if options.sidecar and row.origin == SYNTHETIC:
            provenance.write_sidecar(path, content, row.tag)
        return "written"
    if options.link:
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
        metadata = read_json(target / CLASSES)
        ours = isinstance(metadata, dict) and metadata.get("format") == FORMAT and (target / MANIFEST).is_file()
    except RunFolderError:
        ours = False
    if not ours:
        raise RunFolderError(f"{target}: not empty and not an export of Augury; choose another folder")
    rows = read_lines(target / MANIFEST, "choose another folder, or remove this one")
    listed = {row.get("file") for row in rows} | {CLASSES, MANIFEST, README, *taken}
    listed |= {f"{row.get('file')}{provenance.SIDECAR}" for row in rows}
    files = (file for file in target.rglob("*") if file.is_symlink() or not file.is_dir())
    present = {file.relative_to(target).as_posix() for file in files}
    if present - listed and not force:
        raise RunFolderError(
            f"{target}: {len(present - listed)} files were added to this export, as {min(present - listed)}; move them "
            "away, choose another folder, or --force to replace everything"
        )
