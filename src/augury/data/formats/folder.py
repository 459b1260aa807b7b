"""A folder of image files: one folder per class, optionally below train, validation and test."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from augury.data.decoding import reading
from augury.data.decoding.codecs import EXTENSIONS
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.label_encoding import SPLIT_NAMES
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.safety import file_bytes
from augury.errors import DataError
from augury.images import LabelledImages


def recognises(path: Path) -> bool:
    """Whether it is a folder. The other folder formats are tried first."""
    return path.is_dir()


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read a folder as `find` describes. Raises DataError as `find` and `reading.read` do."""
    return reading.read(path, find(path, options.labelled), options, "folder")


def holds_images(root: Path) -> bool:
    """Whether there are image files directly in the folders of `root`, as in class folders."""
    try:
        folders = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir()]
        return any(Path(entry.name).suffix.lower() in EXTENSIONS for folder in folders for entry in os.scandir(folder))
    except OSError:
        return False


def find(root: Path, labelled: bool = True) -> ImageIndex:
    """List all image files of `<class>/…` or `<train|val|validation|test>/<class>/…`, sorted by name.

    Unless they must be `labelled`, images that all lie directly in the root are in one class without a name. Hidden
    files, other extensions and links that leave the root are skipped and counted.

    Raises DataError when there are no images; when images lie directly in the root or in the folder of a split; or when
    folders named like splits stand beside classes, so that the layout is unclear.
    """
    ignored: Counter[str] = Counter()
    paths = walked(root, ignored)
    order, names, labels, split = arranged(root, paths, ignored, labelled)

    def fetch(i: int) -> bytes:
        return file_bytes(root.joinpath(*paths[order[i]]))

    return ImageIndex(names, labels, fetch, numeric=False, split=split, ignored=+ignored)


def walked(root: Path, ignored: Counter[str]) -> list[tuple[str, ...]]:
    """List every image file below `root` by its path components; count what is skipped. Raises DataError."""
    try:
        return [tuple(path.relative_to(root).parts) for path in _walk(root, root.resolve(), (), ignored)]
    except OSError as error:
        raise DataError(
            f"{error.filename or root}: cannot be read ({error.strerror}); change its permissions"
        ) from error


def arranged(
    root: Path, paths: Sequence[tuple[str, ...]], ignored: Counter[str], labelled: bool = True
) -> tuple[list[int], list[str], list[str], list[int] | None]:
    """Sort relative paths in class folders by name.

    Returns their order and, in that order, names, classes and splits (None without splits). `root` is for messages.
    Raises DataError when the layout is not the one that `find` describes.
    """
    nested = [parts for parts in paths if len(parts) > 1]
    loose = len(paths) - len(nested)
    if not nested and loose and not labelled:
        order = sorted(range(loose), key=lambda i: text(paths[i][0]))
        return order, [text(paths[i][0]) for i in order], [""] * loose, None
    if not nested:
        raise DataError(_nothing(root, loose, ignored))
    ignored["images directly in the root"] += loose
    has_splits = _has_splits(root, nested)
    texts = {i: [text(part) for part in parts] for i, parts in enumerate(paths) if len(parts) > 1}
    named = {i: "/".join(parts) for i, parts in texts.items()}
    order = sorted(named, key=lambda i: named[i])
    labels = [sys.intern(texts[i][1 if has_splits else 0]) for i in order]
    split = [SPLIT_NAMES[texts[i][0].casefold()] for i in order] if has_splits else None
    return order, [named[i] for i in order], labels, split


def _walk(folder: Path, root: Path, above: tuple[Path, ...], ignored: Counter[str]) -> Iterator[Path]:
    """Yield the image files below `folder`.

    `above` are the real folders on the way here, so that a loop of links ends.
    """
    above = (*above, folder.resolve())
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.startswith("."):
            ignored["hidden"] += 1
        elif entry.is_symlink() and not path.resolve().is_relative_to(root):
            ignored["links that lead outside"] += 1
        elif entry.is_dir():
            if path.resolve() in above:
                ignored["links in a loop"] += 1
            else:
                yield from _walk(path, root, above, ignored)
        elif path.suffix.lower() in EXTENSIONS and (entry.is_file() or not path.exists()):
            yield path  # the reader reports a dangling link
        else:
            ignored["not image files"] += 1


def _has_splits(root: Path, nested: list[tuple[str, ...]]) -> bool:
    """Whether the folders below `root` are splits (train, test …), not classes."""
    tops = {parts[0] for parts in nested}
    direct = Counter(parts[0] for parts in nested if len(parts) == 2)
    named = sorted(top for top in tops if top.casefold() in SPLIT_NAMES)
    deep = [top for top in named if not direct[top]]
    if len(named) == len(tops):
        for top in named:
            if direct[top]:
                raise DataError(
                    f"{root / top}: found {direct[top]} images directly in this folder, but below train, "
                    "validation and test there must be one folder per class; sort the images into class folders"
                )
        return True
    if deep:
        others = ", ".join(f"'{top}'" for top in sorted(tops - set(named))[:5])
        raise DataError(
            f"{root}: '{deep[0]}' looks like a part that holds class folders, but stands beside {others}; use "
            "either one folder per class, or train, validation and test with one folder per class in each"
        )
    return False


def _nothing(root: Path, loose: int, ignored: Counter[str]) -> str:
    if loose:
        return (
            f"{root}: found {loose} images directly in this folder, but none in a class folder; put them in "
            "one folder per class, such as cats/ and dogs/, or give a CSV file that names each image and its class"
        )
    passed = ", ".join(f"{count} {reason}" for reason, count in sorted(ignored.items()))
    return (
        f"{root}: found no images ({passed or 'the folder is empty'}); put them in one folder per class, as "
        f"{', '.join(sorted(EXTENSIONS))}"
    )


def text(name: str) -> str:
    """Return a file name as valid text; bytes that are not UTF-8 become a replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")
