"""Find classes and splits in a tree of folders: <class>/…, <split>/<class>/…, <class>/<split>/…, in any outer folder."""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augury.data.decoding.codecs import EXTENSIONS
from augury.data.decoding.skipped import IN_ROOT, MASKS, SkippedFiles, listed
from augury.data.decoding.split_names import is_exact, split_code, split_codes
from augury.data.formats.masks import find_masks, is_image_folder, is_mask_folder
from augury.errors import DataError

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """The images of class folders in the order of their names.

    Parameters
    ----------
    order
        Index of each image into the paths.
    names, labels
        Path and class of each image.
    split
        Code into SPLITS of each image, or None.
    outer
        Number of outer folders that hold everything.
    empty
        Class folders without an image -> what lies there.
    notes
        Entries for `LabelledImages.notes`.
    """

    order: list[int]
    names: list[str]
    labels: list[str]
    split: list[int] | None = None
    outer: int = 0
    empty: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


def arranged(
    root: Path,
    paths: Sequence[Parts],
    skipped: SkippedFiles,
    content: Callable[[int], bytes],
    labelled: bool = True,
    class_folder: int | None = None,
) -> Layout:
    """Sort image files, given as path components relative to `root`, into classes and splits.

    Segmentation masks and images outside any folder are counted in `skipped`. With `class_folder` k, the k-th folder
    below those of splits names the class, counted from the end if negative. `content` returns the bytes of a file.

    Raises DataError when there are no images, or when it is unclear which folders are classes and which are splits.
    """
    masks = find_masks(paths, content)
    for i in masks:
        skipped.add(MASKS, paths[i][:-1])
    usable = [i for i in range(len(paths)) if i not in masks]
    nested = [i for i in usable if len(paths[i]) > 1]
    loose = len(usable) - len(nested)
    if not nested and loose and not labelled:
        order = sorted(usable, key=lambda i: text(paths[i][0]))
        return Layout(order, [text(paths[i][0]) for i in order], [""] * loose)
    if not nested:
        raise DataError(_nothing(root, loose, skipped))
    skipped.add(IN_ROOT, count=loose)
    tree = _Tree(root, {i: paths[i] for i in nested})
    if masks and labelled and len(tree.tops) == 1 and is_image_folder(next(iter(tree.tops))) and tree.direct:
        raise DataError(
            f"{root}: '{next(iter(tree.tops))}' holds images and another folder their masks, but no folder is a class; put the "
            "images into one folder per class, or give a CSV file that names each image and its class"
        )
    depths, split, inner_splits = _splits(tree)
    if class_folder is None:
        label_at = depths
        if labelled and not inner_splits:
            _check_unclear(root, tree.paths, depths)
    else:
        label_at = {i: _chosen(root, parts, class_folder, depths[i]) for i, parts in tree.paths.items()}
    names = {i: "/".join(map(text, parts)) for i, parts in tree.paths.items()}
    order = sorted(names, key=lambda i: names[i])
    labels = {parts: text(parts[label_at[i]]) for i, parts in tree.paths.items()}
    empty = _empty(tree, skipped, label_at, split) if class_folder is None else []
    contents = {"/".join(map(text, folder[len(tree.outer) :])): skipped.within(folder) for folder in empty}
    documents = {
        name: content
        for folder, (name, content) in zip(empty, contents.items(), strict=True)
        if len(set(labels.values())) > 1 and split_code(folder[-1]) < 0 and skipped.documents_alone(folder)
    }
    notes: dict[str, Any] = {"class_folders": f"those in {'/'.join(map(text, tree.outer))}"} if tree.outer else {}
    notes |= {"document_folders": documents} if documents else {}
    if by_class := skipped.by_class(labels):
        notes["skipped_by_class"] = by_class
    return Layout(
        order,
        [names[i] for i in order],
        [sys.intern(labels[tree.paths[i]]) for i in order],
        None if split is None else [split[i] for i in order],
        len(tree.outer),
        {name: content for name, content in contents.items() if name not in documents},
        notes,
    )


class _Tree:
    """Paths of images below the folders that hold all of them.

    `tops` maps the folders at the first level where there is a choice to the images in each; `direct` holds those of
    which images lie directly in the folder.
    """

    def __init__(self, root: Path, paths: dict[int, Parts]) -> None:
        self.root, self.paths = root, paths
        self.outer: Parts = ()
        while True:
            depth = len(self.outer)
            self.tops: dict[str, list[int]] = defaultdict(list)
            for i, parts in paths.items():
                self.tops[parts[depth]].append(i)
            self.direct = Counter(parts[depth] for parts in paths.values() if len(parts) == depth + 2)
            only = next(iter(self.tops))
            if len(self.tops) > 1 or self.direct or split_code(only) >= 0:
                return
            self.outer = (*self.outer, only)


def _splits(tree: _Tree) -> tuple[dict[int, int], dict[int, int] | None, bool]:
    """Return the position of the class in each path, the split of each image, and whether splits lie in class folders.

    Raises DataError when folders called as splits stand beside others, or hold images directly.
    """
    depth = len(tree.outer)
    codes = split_codes(tree.tops)
    if len(codes) == len(tree.tops):
        numbered = len(set(codes.values())) == 1 and not any(map(is_exact, codes))
        if not (numbered and (tree.direct or len(codes) > 1)):
            return *_outer_splits(tree, codes), False
        codes = {}
    deep = sorted(top for top in codes if not tree.direct[top])
    if deep:
        others = ", ".join(f"'{top}'" for top in sorted(set(tree.tops) - set(codes))[:5])
        raise DataError(
            f"{tree.root}: '{deep[0]}' looks like a part that holds class folders, but stands beside {others}; use "
            "either one folder per class, or train, validation and test with one folder per class in each"
        )
    depths = dict.fromkeys(tree.paths, depth)
    inner = {parts[depth + 1] for parts in tree.paths.values() if len(parts) == depth + 3}
    by_inner = split_codes(inner)
    clear = len(set(by_inner.values())) > 1 or any(map(is_exact, inner))
    if clear and len(by_inner) == len(inner) and all(len(parts) == depth + 3 for parts in tree.paths.values()):
        return depths, {i: by_inner[parts[depth + 1]] for i, parts in tree.paths.items()}, True
    return depths, None, False


def _outer_splits(tree: _Tree, codes: Mapping[str, int]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the position of the class in each path, and the split of each image, for <split>/<class>/…."""
    depths: dict[int, int] = {}
    for top, members in tree.tops.items():
        if tree.direct[top]:
            raise DataError(
                f"{tree.root.joinpath(*tree.outer, top)}: found {tree.direct[top]} images directly in this folder, but below train, "
                "validation and test there must be one folder per class; sort the images into class folders"
            )
        depth = len(tree.outer) + 1
        while True:  # seg_train/seg_train/<class>, train/images/<class>
            inner = {tree.paths[i][depth] for i in members}
            only = next(iter(inner))
            again = only == top or split_code(only) == codes[top] or is_image_folder(only)
            if len(inner) > 1 or not again or any(len(tree.paths[i]) == depth + 2 for i in members):
                break
            depth += 1
        depths |= dict.fromkeys(members, depth)
    return depths, {i: codes[top] for top, members in tree.tops.items() for i in members}


def _check_unclear(root: Path, paths: Mapping[int, Parts], depths: Mapping[int, int]) -> None:
    """Raise DataError when folders of the same names lie in most of the class folders, so that either may be the class."""
    deepest = max(len(parts) - 1 - depths[i] for i, parts in paths.items())
    for level in range(1, deepest):
        inside: dict[str, Counter[str]] = defaultdict(Counter)
        images = Counter[str]()
        for i, parts in paths.items():
            images[parts[depths[i]]] += 1
            if len(parts) > depths[i] + level + 1:
                inside[parts[depths[i]]][parts[depths[i] + level]] += 1
        times = Counter(name for names in inside.values() for name in names)
        shared = sorted(name for name, count in times.items() if count > 1 and not is_image_folder(name))
        recurring = {
            top: sum(names.values())
            for top, names in inside.items()
            if 2 * sum(name in shared for name in names) >= len(names)
        }
        if len(times) > 1 and len(recurring) > 1 and 2 * sum(recurring.values()) >= images.total():
            tops = sorted(images)
            raise DataError(
                f"{root}: the folders {_few(tops)} hold folders of the same names, {_few(shared)}, so that it is unclear which are the "
                f"classes. Either the outer ones are ({len(tops)} classes: --class-folder 1), or the inner ones ({len(times)} "
                f"classes: --class-folder {level + 1}); choose with --class-folder (class_folder=)"
            )


def _chosen(root: Path, parts: Parts, number: int, first: int) -> int:
    """Return the position of the folder that `class_folder` chooses in a path, counted from the position `first`."""
    folders = range(first, len(parts) - 1)
    at = number - 1 if number > 0 else number
    if number == 0 or not -len(folders) <= at < len(folders):
        raise DataError(
            f"{root / '/'.join(parts)}: lies in {len(folders)} folders below '{'/'.join(parts[:first]) or root.name}', so that folder "
            f"{number} cannot name its class; choose another --class-folder (class_folder=)"
        )
    return folders[at]


def _empty(
    tree: _Tree, skipped: SkippedFiles, depths: Mapping[int, int], split: Mapping[int, int] | None
) -> list[Parts]:
    """Return the folders beside those of classes that yield no image."""
    used = {tree.paths[i][: depth + 1] for i, depth in depths.items()}
    parents = {folder[:-1] for folder in used}
    unused = {folder for folder in skipped.folders if folder[:-1] in parents and folder not in used}
    if split is not None:  # a split without any image
        outer = len(tree.outer)
        unused |= {
            folder
            for folder in skipped.folders
            if len(folder) == outer + 1 and folder[-1] not in tree.tops and split_code(folder[-1]) >= 0
        }
    return [folder for folder in sorted(unused) if not is_mask_folder(folder[-1])]


def _nothing(root: Path, loose: int, skipped: SkippedFiles) -> str:
    if loose:
        return (
            f"{root}: found {loose} images directly in this folder, but none in a class folder; put them in "
            "one folder per class, such as cats/ and dogs/, or give a CSV file that names each image and its class"
        )
    return (
        f"{root}: found no images ({listed(skipped.counts, steps=2) or 'the folder is empty'}); put them in one folder per "
        f"class, as {', '.join(sorted(EXTENSIONS))}"
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(f"'{text(name)}'" for name in names[:3]) + (", …" if len(names) > 3 else "")


def text(name: str) -> str:
    """Return a file name as valid text; bytes that are not UTF-8 become a replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")
