"""Export as class folders, as every ImageFolder loader reads them, with a provenance row for each image."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import DataError, RunFolderError
from augury.exports.names import folder_names
from augury.files import atomic_folder, read_json, read_lines, write_json, write_lines
from augury.images import Images, LabelledImages, SyntheticImages

FORMAT = "augury-export-1"
CLASSES, MANIFEST = "classes.json", "manifest.jsonl"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""Kinds of file that loaders read; an original of any other kind is written as PNG instead."""

Work = Callable[[], str]


def export_folder(
    path: str | os.PathLike[str],
    train: LabelledImages,
    synthetic: SyntheticImages | None = None,
    *,
    originals: Sequence[str | os.PathLike[str]] | None = None,
    link: bool = True,
    force: bool = False,
) -> dict[str, Any]:
    """Write `train` and the kept images of `synthetic` as `path/<class>/real-000012.png` and `synthetic-000034.png`.

    The number is the image's place in `train` or `synthetic`. `originals`, one file per training image, are
    hard-linked (copied where that is not possible, or with `link=False`) in their own size and format; a hard link is
    the same file, so editing it in place edits the original. Without `originals` the arrays are written as PNG, as
    the training saw them.

    In the root, `manifest.jsonl` has a row {file, class, label, origin, source, scores} per image and `classes.json`
    the folder of each class. An older export at `path` is replaced whole. Returns {path, real, synthetic, linked,
    folders}.

    Raises DataError when classes or shapes disagree, or `originals` do not fit `train`; RunFolderError when `path`
    holds anything that is not from an export (unless `force`), or cannot be written.
    """
    target = Path(path).resolve()
    added = None if synthetic is None else np.flatnonzero(synthetic.kept)
    if synthetic is not None:
        _check_alike(train, synthetic)
    files = None if originals is None else _checked(originals, len(train), target)
    _check_free(target, force)
    folders = folder_names(train.classes, taken=(CLASSES, MANIFEST))
    with atomic_folder(target) as root:
        for folder in folders:
            (root / folder).mkdir()
        rows, work = _real(root, train, folders, files, link)
        if synthetic is not None and added is not None:
            more_rows, more_work = _synthetic(root, synthetic, folders, added)
            rows, work = rows + more_rows, work + more_work
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            how = list(pool.map(lambda job: job(), work))
        write_lines(root / MANIFEST, rows)
        named = [{"label": c, "class": _text(name), "folder": folders[c]} for c, name in enumerate(train.classes)]
        write_json(root / CLASSES, {"format": FORMAT, "classes": named})
    return {
        "path": str(target),
        "real": len(train),
        "synthetic": 0 if added is None else len(added),
        "linked": how.count("linked"),
        "folders": dict(zip(train.classes, folders, strict=True)),
    }


def _real(
    root: Path, train: LabelledImages, folders: list[str], files: list[Path] | None, link: bool
) -> tuple[list[dict[str, Any]], list[Work]]:
    """The manifest's rows of the training images, and one piece of writing for each."""
    rows: list[dict[str, Any]] = []
    work: list[Work] = []
    for i, label in enumerate(train.labels.tolist()):
        source = files[i] if files and files[i].suffix.lower() in SUFFIXES else None
        name = f"{folders[label]}/real-{i:06d}{source.suffix.lower() if source else '.png'}"
        came_from = _text(train.names[i]) if train.names else f"index {i}"
        rows.append(_row(name, train.classes[label], label, "real", came_from, {}))
        if source:
            work.append(partial(_bring, source, root / name, link))
        else:
            work.append(partial(_write_png, train.images, i, root / name))
    return rows, work


def _synthetic(
    root: Path, synthetic: SyntheticImages, folders: list[str], added: npt.NDArray[np.intp]
) -> tuple[list[dict[str, Any]], list[Work]]:
    """Like `_real` for the synthetic images at `added`."""
    rows: list[dict[str, Any]] = []
    work: list[Work] = []
    for i in added.tolist():
        label = int(synthetic.labels[i])
        name = f"{folders[label]}/synthetic-{i:06d}.png"
        source = {"seed": synthetic.seed, "index": int(synthetic.indices[i]), "synthesizer": synthetic.synthesizer}
        scores = {filter_name: _number(values[i]) for filter_name, values in synthetic.scores.items()}
        rows.append(_row(name, synthetic.classes[label], label, "synthetic", source, scores))
        work.append(partial(_write_png, synthetic.images, i, root / name))
    return rows, work


def _row(file: str, name: str, label: int, origin: str, source: Any, scores: dict[str, float | None]) -> dict[str, Any]:
    return {"file": file, "class": _text(name), "label": label, "origin": origin, "source": source, "scores": scores}


def _write_png(images: Images, i: int, path: Path) -> str:
    """Image i of uint8 [N, 1|3, H, W] as a grey or RGB PNG, lossless."""
    from PIL import Image

    image = images[i]
    pixels = np.ascontiguousarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    Image.fromarray(pixels).save(path, format="PNG")
    return "written"


def _bring(source: Path, path: Path, link: bool) -> str:
    """Hard-link `source` as `path`, or copy it where the file system has no links."""
    if link:
        try:
            os.link(source, path)
            return "linked"
        except OSError:
            pass
    shutil.copyfile(source, path)
    return "copied"


def _check_alike(train: LabelledImages, synthetic: SyntheticImages) -> None:
    if synthetic.classes != train.classes:
        raise DataError(
            f"the synthetic images have classes {', '.join(synthetic.classes)}, but the training images have "
            f"{', '.join(train.classes)}; generate them from this data set"
        )
    if synthetic.images.shape[1:] != train.images.shape[1:]:
        raise DataError(
            f"synthetic images are {list(synthetic.images.shape[1:])}, but training images {list(train.shape)} "
            "(channels, height, width); generate them from this data set"
        )


def _checked(originals: Sequence[str | os.PathLike[str]], n: int, target: Path) -> list[Path]:
    """`originals` with symbolic links followed; DataError when one is missing, is no file, or lies where we write."""
    if len(originals) != n:
        raise DataError(f"{len(originals)} original files for {n} training images; give one each, in the same order")
    files = []
    for original in originals:
        file = Path(original).resolve()
        if not file.is_file():
            raise DataError(f"{original}: this original is missing or not a file; leave originals out to write PNGs")
        if file.is_relative_to(target):
            raise DataError(f"{target}: the original {file.name} lies in it and would be replaced; export elsewhere")
        files.append(file)
    return files


def _check_free(target: Path, force: bool) -> None:
    """Raise RunFolderError unless `target` is absent, empty, an export with nothing added, or `force` is set."""
    if target.exists() and not target.is_dir():
        raise RunFolderError(f"{target}: a file is in the way of the export; choose another folder")
    if force or not target.exists() or not any(target.iterdir()):
        return
    try:
        about = read_json(target / CLASSES)
        ours = isinstance(about, dict) and about.get("format") == FORMAT
        listed = {row.get("file") for row in read_lines(target / MANIFEST)} | {CLASSES, MANIFEST} if ours else set()
    except (RunFolderError, OSError, AttributeError):
        ours, listed = False, set()
    if not ours:
        raise RunFolderError(
            f"{target}: not empty and not an export of Augury; choose another folder, or --force to replace it"
        )
    found = (file for file in target.rglob("*") if file.is_symlink() or not file.is_dir())
    there = {file.relative_to(target).as_posix() for file in found}
    if there - listed:
        raise RunFolderError(
            f"{target}: {len(there - listed)} files were added to this export, as {min(there - listed)}; move them "
            "away, choose another folder, or --force to replace everything"
        )


def _text(name: str) -> str:
    """A name that can be written as UTF-8 (file names may carry stray bytes)."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _number(value: float) -> float | None:
    """A plain JSON number; None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None
