"""A folder of image files: one folder per class, optionally below train, validation and test."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from augury.data.decoding import codecs, reading, safety
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.skipped import HIDDEN, LOOP, OUTSIDE, SYSTEM, SYSTEM_FOLDERS, SkippedFiles
from augury.data.formats.layout import arranged
from augury.errors import DataError
from augury.images import LabelledImages
from augury.provenance import SIDECAR

STYLEGAN = "dataset.json"
"""The file with the labels of a StyleGAN data set."""
HEAD = 2**16
_LABELS = re.compile(rb'"labels"\s*:\s*(null|\[\s*\[\s*")')
EXPORTED = {"classes.json", "manifest.jsonl", "README.md"}
"""What an export of class folders writes beside them. None is counted as skipped."""


def recognises(path: Path) -> bool:
    """Whether it is a folder. The other folder formats are tried first."""
    return path.is_dir()


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read a folder as `find` describes. Raises DataError as `find` and `reading.read` do."""
    return reading.read(path, find(path, options), options, "folder")


def holds_images(root: Path) -> bool:
    """Whether there are image files directly in the folders of `root`, as in class folders."""
    try:
        folders = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir()]
        return any(
            codecs.extension(entry.name) in codecs.EXTENSIONS for folder in folders for entry in os.scandir(folder)
        )
    except OSError:
        return False


def begins_labels(raw: bytes) -> bool:
    """Whether the first bytes of a JSON file have StyleGAN's entry: "labels": [["file", …]] or "labels": null."""
    return bool(_LABELS.search(raw))


def find(root: Path, options: LoadOptions) -> ImageIndex:
    """List all image files of `<class>/…` or `<train|val|validation|test>/<class>/…`, sorted by name.

    Unless they must be labelled, images that all lie directly in the root are in one class without a name. Hidden
    files, files of other kinds, masks, and links that leave the root (except into `options.follow_links`) are skipped
    and counted.

    Raises DataError when there are no images; when images lie directly in the root or in the folder of a split; or when
    it is unclear which folders are classes.
    """
    skipped = SkippedFiles()
    paths = walked(root, skipped, options.follow_links)

    def content(i: int) -> bytes:
        return safety.file_bytes(root.joinpath(*paths[i]))

    layout = arranged(root, paths, skipped, content, options.labelled, options.class_folder)

    return ImageIndex(
        layout.names,
        layout.labels,
        lambda i: content(layout.order[i]),
        numeric=False,
        split=layout.split,
        ignored=skipped.counts,
        empty=layout.empty,
        notes=layout.notes,
    )


def walked(root: Path, skipped: SkippedFiles, follow_links: Path | None = None) -> list[tuple[str, ...]]:
    """List every image file below `root` by its path components; record folders and what is skipped.

    Links may lead into `follow_links` too. Raises DataError.
    """
    allowed = [os.path.realpath(folder) for folder in (root, follow_links) if folder is not None]
    try:
        return list(_walk(root, (), (), allowed, skipped))
    except OSError as error:
        raise DataError(
            f"{error.filename or root}: cannot be read ({error.strerror}); change its permissions"
        ) from error


def _walk(
    folder: Path, parts: tuple[str, ...], above: tuple[Path, ...], allowed: list[str], skipped: SkippedFiles
) -> Iterator[tuple[str, ...]]:
    """Yield the path components of the image files below `folder`, which `parts` leads to.

    `above` are the real folders on the way here, so that a loop of links ends.
    """
    above = (*above, folder.resolve())
    skipped.enter(parts)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.startswith("."):
            skipped.add(HIDDEN, parts)
        elif entry.name in SYSTEM_FOLDERS:
            skipped.add(SYSTEM, parts)
        elif entry.is_symlink() and not safety.is_within(os.path.realpath(path), allowed):
            skipped.add(OUTSIDE, (*parts, entry.name) if entry.is_dir() else parts)
        elif entry.is_dir():
            if path.resolve() in above:
                skipped.add(LOOP, parts)
            else:
                yield from _walk(path, (*parts, entry.name), above, allowed, skipped)
        elif not (entry.is_file() or not path.exists()):
            skipped.add("not plain files", parts)
        elif entry.name == STYLEGAN and parts and begins_labels(safety.head(path, HEAD)):
            raise DataError(
                f"{path}: has the labels of its folder (StyleGAN's format), whose numbered folders are no classes; give "
                f"{folder} itself as the data"
            )
        elif codecs.is_image(entry.name, lambda path=path: safety.head(path, codecs.HEAD)):  # type: ignore[misc]
            yield (*parts, entry.name)  # the reader reports a dangling link
        elif (parts or entry.name not in EXPORTED) and not entry.name.endswith(SIDECAR):
            skipped.add_file(entry.name, parts)
