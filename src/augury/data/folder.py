"""A folder of image files, one folder per class, perhaps under train, validation and test -> LabelledImages."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from augury.data.coding import SPLIT_NAMES
from augury.data.decode import EXTENSIONS
from augury.errors import DataError


@dataclass(frozen=True)
class File:
    """One image file: its place, its name relative to the root, its class, and its part (-1 when not given)."""

    path: Path
    name: str
    label: str
    part: int = -1


@dataclass(frozen=True)
class Found:
    """The image files under a root in a fixed order, and counts of what was passed over."""

    files: tuple[File, ...]
    ignored: Counter[str] = field(default_factory=Counter)


def find(root: Path) -> Found:
    """All image files of `<class>/…` or `<train|val|validation|test>/<class>/…`, sorted by name.

    Hidden files, other extensions and links that leave the root are passed over and counted.
    Raises DataError when there is none, when images lie directly in the root or in a part, or when folders named like
    parts stand beside classes so that the layout is unclear.
    """
    ignored: Counter[str] = Counter()
    try:
        found = [tuple(path.relative_to(root).parts) for path in _walk(root, root.resolve(), (), ignored)]
    except OSError as error:
        raise DataError(
            f"{error.filename or root}: cannot be read ({error.strerror}); change its permissions"
        ) from error
    loose = [parts for parts in found if len(parts) == 1]
    nested = [parts for parts in found if len(parts) > 1]
    if not nested:
        raise DataError(_nothing(root, len(loose), ignored))
    ignored["images directly in the root"] += len(loose)
    parted = _has_parts(root, nested)
    files = []
    for parts in nested:
        names = [_text(part) for part in parts]
        part, label = (SPLIT_NAMES[names[0].casefold()], names[1]) if parted else (-1, names[0])
        files.append(File(root.joinpath(*parts), "/".join(names), label, part))
    return Found(tuple(sorted(files, key=lambda file: file.name)), +ignored)


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
            "one folder per class, such as cats/ and dogs/"
        )
    passed = ", ".join(f"{count} {what}" for what, count in sorted(ignored.items()))
    return (
        f"{root}: found no images ({passed or 'the folder is empty'}); put them in one folder per class, as "
        f"{', '.join(sorted(EXTENSIONS))}"
    )


def _text(name: str) -> str:
    """A file name as proper text; bytes that are no UTF-8 become a replacement sign."""
    return os.fsencode(name).decode("utf-8", "replace")
