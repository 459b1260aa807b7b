"""An .npz file: arrays under common names, or MedMNIST's six. Nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from augury.data.decoding.label_encoding import LONGEST
from augury.data.decoding.load_options import UNGROUPED, LoadOptions
from augury.data.formats import table
from augury.data.formats.arrays import from_arrays
from augury.data.formats.column_names import is_called, possible_groups
from augury.errors import DataError
from augury.images import LabelledImages

MEMORY_LIMIT = 4 * 2**30
"""Most bytes that the arrays of one file may declare. It is checked in their headers, before decompression."""
_SPLITS = ("train", "val", "test")
_OWN = frozenset({"image", "images", "label", "labels", "split", "classes", "provenance"})
_GROUP = ("group", "groups")
"""Never left out. A wrong shape is an error."""


def recognises(path: Path) -> bool:
    """Whether its name ends in .npz."""
    return path.is_file() and path.suffix.lower() == ".npz"


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read `image(s)` and `label(s)`, or MedMNIST's `train_images`, `train_labels`, `val_…`, `test_…`.

    `split` and `classes` are read where present. Of the other arrays with one value per image, the one named by
    `options` or by `table.NAMES` is the group; the rest become attributes.

    Raises DataError when the file is damaged or not an .npz; an array holds Python objects; the arrays together declare
    more than MEMORY_LIMIT; images or labels are missing; or as `from_arrays` does. Each message begins with the path.
    """
    try:
        members = _members(path)
        return _medmnist(path, members, options) if "train_images" in members else _plain(path, members, options)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _members(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        shapes = _declared(path)
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in shapes}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, RuntimeError, OSError) as error:
        raise DataError(f"damaged, or not an .npz file ({error}); save it again with np.savez_compressed") from error


def _declared(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array by its name, from the headers alone.

    Raises DataError for Python objects and for more than MEMORY_LIMIT bytes.
    """
    shapes, total = {}, 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if not member.endswith(".npy"):
                continue
            name = member.removesuffix(".npy")
            with archive.open(member) as stream:
                shape, dtype = _header(stream)
            if dtype.hasobject:
                raise DataError(
                    f"array '{name}' holds Python objects, which are refused as unpickling can run code; save "
                    "images as uint8, labels as integers or strings (np.array(labels, dtype=str))"
                )
            count = 1
            for side in shape:
                count *= side
            total += count * dtype.itemsize
            shapes[name] = shape
    if total > MEMORY_LIMIT:
        raise DataError(
            f"its arrays declare {total:,} bytes, but at most {MEMORY_LIMIT:,} are read into memory; save "
            "smaller images, or use a folder of image files"
        )
    return shapes


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(stream)
    else:
        raise DataError(f"an array is in .npy format {version}, but versions 1.0 and 2.0 are read; save plain arrays")
    return shape, dtype


def _one_of(members: Mapping[str, npt.NDArray[Any]], singular: str) -> npt.NDArray[Any] | None:
    matches = [name for name in (singular, f"{singular}s") if name in members]
    if len(matches) > 1:
        raise DataError(f"holds both '{matches[0]}' and '{matches[1]}'; keep one of them")
    return members[matches[0]] if matches else None


def _plain(path: Path, members: Mapping[str, npt.NDArray[Any]], options: LoadOptions) -> LabelledImages:
    images, labels = (_one_of(members, name) for name in ("image", "label"))
    if not options.labelled:
        if images is None and len(members) == 1:  # np.savez(file, images) names it arr_0
            (images,) = members.values()
        if labels is None and images is not None and images.ndim:
            labels = np.full(len(images), "")
    if images is None or labels is None:
        raise DataError(
            f"needs the arrays 'images' and 'labels' (or MedMNIST's train_images, train_labels, …), but holds: "
            f"{', '.join(members) or 'nothing'}"
        )
    if labels.shape[:1] != images.shape[:1]:
        raise DataError(
            f"images and labels disagree: {len(images) if images.ndim else 0} images, "
            f"{len(labels) if labels.ndim else 0} labels; give one label an image"
        )
    others = {name: array for name, array in members.items() if name not in _OWN | {"arr_0"}}
    attributes, groups, notes = _beside(others, labels, options)
    return from_arrays(
        images,
        labels,
        classes=members["classes"].astype(str).tolist() if "classes" in members else None,
        attributes=attributes,
        groups=groups,
        split=members.get("split"),
        size=options.size,
        fit=options.fit,
        notes={"format": "npz", "source": str(path), **notes},
        native=options.native,
        transparency=options.transparency,
        least=2 if options.labelled else 1,
    )


def _beside(
    others: Mapping[str, npt.NDArray[Any]], labels: npt.NDArray[Any], options: LoadOptions
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[Any] | None, dict[str, Any]]:
    """Return attributes, groups and notes from the arrays beside images and their `labels` [N, …].

    An array of another type, with several values per image, or with a value of its own for every image (a file name) is
    left out and noted. This does not apply to an array
    that is named like groups or requested as the group, because a split must not divide a person by mistake. Such an
    array is an error, unless it holds whole numbers stored as floats.
    """
    n = labels.shape[0] if labels.ndim else 0
    others = {
        name: array.astype(str) if name in options.binned and array.dtype.kind == "f" else array
        for name, array in others.items()
    }
    usable = {
        name: array
        for name, array in others.items()
        if array.shape in ((n,), (n, 1)) and array.dtype.kind in "iubUS" and _is_short(array)
    }
    left_out = sorted(set(others) - set(usable))
    requested = options.columns.get("group")
    called = [
        name
        for name in left_out
        if name in _GROUP or name == requested or (is_called("group", name) and others[name].shape[:1] == (n,))
    ]
    group = table.of_role("group", [*usable, *called], options)
    groups = None if group is None else others[group]
    if groups is not None and groups.dtype.kind == "f" and np.isfinite(groups).all() and (groups % 1 == 0).all():
        groups = groups.astype(np.int64)
    notes: dict[str, Any] = {} if group is None else {"grouped_by": group}
    attributes = {name: array for name, array in usable.items() if name != group}
    if n and group is None and options.group != UNGROUPED:
        columns = {name: array.reshape(-1).tolist() for name, array in attributes.items()}
        possible = possible_groups(columns, labels.reshape(n, -1)[:, 0].tolist())
        notes |= {"possible_groups": possible} if possible else {}
    used = {name: array for name, array in attributes.items() if name in options.binned or _is_attribute(name, array)}
    notes["arrays_left_out"] = [name for name in (*left_out, *sorted(attributes.keys() - used)) if name != group]
    return used, groups, notes


def _is_attribute(name: str, array: npt.NDArray[Any]) -> bool:
    """Whether an array [N] or [N, 1] is an attribute.

    Text follows the rule of tables. Numbers are none where each image has one of its own, as an id. Otherwise they may have
    many values, as `bins` can divide them.
    """
    values = array.reshape(-1).tolist()
    if array.dtype.kind in "US":
        return table.is_attribute(name, values)
    return len(set(values)) < max(len(values), 2)


def _is_short(array: npt.NDArray[Any]) -> bool:
    """Whether no text of an array is longer than a value of an attribute may be."""
    return array.dtype.kind not in "US" or not array.size or int(np.char.str_len(array).max()) <= LONGEST


def _medmnist(path: Path, members: Mapping[str, npt.NDArray[Any]], options: LoadOptions) -> LabelledImages:
    splits = [split_name for split_name in _SPLITS if f"{split_name}_images" in members]
    images, labels, codes, names = [], [], [], []
    for split_name in splits:
        pictures, split_labels = members[f"{split_name}_images"], members.get(f"{split_name}_labels")
        if split_labels is None:
            raise DataError(f"holds '{split_name}_images' but no '{split_name}_labels'; save both")
        if split_labels.shape[:1] != pictures.shape[:1]:
            raise DataError(
                f"{split_name}: {len(pictures)} images, but {len(split_labels)} labels; give one label an image"
            )
        if pictures.shape[1:] != members["train_images"].shape[1:]:
            raise DataError(
                f"{split_name}_images are {list(pictures.shape[1:])}, but train_images are "
                f"{list(members['train_images'].shape[1:])}; save all parts in one size"
            )
        images.append(pictures)
        labels.append(split_labels)
        codes.append(np.full(len(pictures), _SPLITS.index(split_name), np.int64))
        names += [f"{split_name} {i}" for i in range(len(pictures))]
    pixels = np.concatenate(images)
    others, torn = _columns(splits, members)
    attributes, groups, notes = _beside(others, np.concatenate(labels), options)
    notes["arrays_left_out"] = sorted([*notes["arrays_left_out"], *torn])
    return from_arrays(
        pixels,
        np.concatenate(labels),
        attributes=attributes,
        groups=groups,
        split=np.concatenate(codes),
        size=options.size,
        fit=options.fit,
        names=names,
        notes={"format": "npz (MedMNIST)", "source": str(path), **notes},
        native=options.native,
        transparency=options.transparency,
        least=2 if options.labelled else 1,
    )


def _columns(
    splits: list[str], members: Mapping[str, npt.NDArray[Any]]
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """Concatenate the arrays `SPLIT_name` of all splits, by name.

    Also returns the arrays that are missing for some split. Raises DataError when the group's array does not have one
    value per image.
    """
    mine = {f"{split_name}_{name}" for split_name in splits for name in ("images", "labels")}
    rest = [name for name in members if name not in mine | _OWN]
    stems = dict.fromkeys(name.partition("_")[2] for name in rest if name.partition("_")[0] in splits)
    columns = {}
    for stem in stems:
        arrays = [members.get(f"{split_name}_{stem}") for split_name in splits]
        fits = [
            a is not None and a.shape[:1] == members[f"{split_name}_images"].shape[:1] and a.shape[1:] in ((), (1,))
            for a, split_name in zip(arrays, splits, strict=True)
        ]
        if all(fits):
            columns[stem] = np.concatenate([a.reshape(-1) for a in arrays if a is not None])
        elif is_called("group", stem):
            raise DataError(
                f"'{splits[fits.index(False)]}_{stem}' is missing or has not one value for each image, but the other parts' "
                f"'{stem}' says which images stay together; give it for every part, or remove it from all"
            )
    return columns, [name for name in rest if name.partition("_")[2] not in columns]
