"""A folder of image files, one folder per class, perhaps under train, validation and test -> LabelledImages."""

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
from augury.data.decoding.load_options import Policy
from augury.data.decoding.safety import file_bytes
from augury.errors import DataError
from augury.images import LabelledImages


def recognises(path: Path) -> bool:
    """Any folder: the other formats that are folders come before this one."""
    return path.is_dir()


def read(path: Path, policy: Policy) -> LabelledImages:
    """Read a folder as `find` describes. Raises DataError as `find` and `reading.read` do."""
    return reading.read(path, find(path, policy.labelled), policy, "folder")


def holds_images(root: Path) -> bool:
    """Whether there are image files directly in the folders of `root`, as in class folders."""
    try:
        places = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir()]
        return any(Path(entry.name).suffix.lower() in EXTENSIONS for place in places for entry in os.scandir(place))
    except OSError:
        return False


def find(root: Path, labelled: bool = True) -> ImageIndex:
    """All image files of `<class>/…` or `<train|val|validation|test>/<class>/…`, sorted by name.

    Unless they must be `labelled`, images that all lie directly in the root are of one class without a name.
    Hidden files, other extensions and links that leave the root are passed over and counted.
    Raises DataError when there is none, when images lie directly in the root or in a part, or when folders named like
    parts stand beside classes so that the layout is unclear.
    """
    ignored: Counter[str] = Counter()
    places = walked(root, ignored)
    order, names, labels, split = arranged(root, places, ignored, labelled)

    def fetch(i: int) -> bytes:
        return file_bytes(root.joinpath(*places[order[i]]))

    return ImageIndex(names, labels, fetch, numeric=False, split=split, ignored=+ignored)


def walked(root: Path, ignored: Counter[str]) -> list[tuple[str, ...]]:
    """Every image file below `root` by its relative parts; counts what is passed over. Raises DataError."""
    try:
        return [tuple(path.relative_to(root).parts) for path in _walk(root, root.resolve(), (), ignored)]
    except OSError as error:
        raise DataError(
            f"{error.filename or root}: cannot be read ({error.strerror}); change its permissions"
        ) from error


def arranged(
    root: Path, places: Sequence[tuple[str, ...]], ignored: Counter[str], labelled: bool = True
) -> tuple[list[int], list[str], list[str], list[int] | None]:
    """Relative paths in class folders -> the order of their names, and in that order names, classes and parts, if any.

    `root` is for messages. Raises DataError when the layout is not as `find` says.
    """
    nested = [parts for parts in places if len(parts) > 1]
    loose = len(places) - len(nested)
    if not nested and loose and not labelled:
        order = sorted(range(loose), key=lambda i: text(places[i][0]))
        return order, [text(places[i][0]) for i in order], [""] * loose, None
    if not nested:
        raise DataError(_nothing(root, loose, ignored))
    ignored["images directly in the root"] += loose
    parted = _has_parts(root, nested)
    texts = {i: [text(part) for part in parts] for i, parts in enumerate(places) if len(parts) > 1}
    named = {i: "/".join(parts) for i, parts in texts.items()}
    order = sorted(named, key=lambda i: named[i])
    labels = [sys.intern(texts[i][1 if parted else 0]) for i in order]
    split = [SPLIT_NAMES[texts[i][0].casefold()] for i in order] if parted else None
    return order, [named[i] for i in order], labels, split


def _walk(folder: Path, root: Path, above: tuple[Path, ...], ignored: Counter[str]) -> Iterator[Path]:
    """Image files below `folder`; `above` are the real folders on the way here, so that a loop of links ends."""
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
            yield path  # a link to nothing is for the reader to complain about
        else:
            ignored["not image files"] += 1


def _has_parts(root: Path, nested: list[tuple[str, ...]]) -> bool:
    """Whether the folders below `root` are parts (train, test …) rather than classes."""
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
    passed = ", ".join(f"{count} {what}" for what, count in sorted(ignored.items()))
    return (
        f"{root}: found no images ({passed or 'the folder is empty'}); put them in one folder per class, as "
        f"{', '.join(sorted(EXTENSIONS))}"
    )


def text(name: str) -> str:
    """A file name as proper text; bytes that are no UTF-8 become a replacement sign."""
    return os.fsencode(name).decode("utf-8", "replace")
