"""An .npz file -> LabelledImages: arrays under common names, or MedMNIST's six. Nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from augury.data.decoding.load_options import Policy
from augury.data.formats import table
from augury.data.formats.arrays import from_arrays
from augury.errors import DataError
from augury.images import LabelledImages

MEMORY_LIMIT = 4 * 2**30
"""Most bytes the arrays of one file may declare; judged from their headers, before anything is decompressed."""
_PARTS = ("train", "val", "test")
_OWN = frozenset({"image", "images", "label", "labels", "split", "classes", "provenance"})
_GROUP = ("group", "groups")
"""Never left out: of a wrong shape they are an error."""


def recognises(path: Path) -> bool:
    """Whether it is called .npz."""
    return path.is_file() and path.suffix.lower() == ".npz"


def read(path: Path, policy: Policy) -> LabelledImages:
    """Read `image(s)`, `label(s)` and, where present, `split` and `classes`, or MedMNIST's `train_images`, `train_labels`,
    `val_…`, `test_…`. Of the arrays of one value an image, the one that `policy` or its name (`table.NAMES`) says is the
    group, every other becomes an attribute.

    Raises DataError when the file is damaged or not an .npz, an array holds Python objects, the arrays together declare
    more than MEMORY_LIMIT, images or labels are missing, or as `from_arrays` does; each message begins with the path.
    """
    try:
        members = _members(path)
        return _medmnist(path, members, policy) if "train_images" in members else _plain(path, members, policy)
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
    """Shape of every array by its name, from the headers alone. Raises DataError for objects and for too much."""
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
    found = [name for name in (singular, f"{singular}s") if name in members]
    if len(found) > 1:
        raise DataError(f"holds both '{found[0]}' and '{found[1]}'; keep one of them")
    return members[found[0]] if found else None


def _plain(path: Path, members: Mapping[str, npt.NDArray[Any]], policy: Policy) -> LabelledImages:
    images, labels = (_one_of(members, name) for name in ("image", "label"))
    if not policy.labelled:
        if images is None and len(members) == 1:  # as np.savez(file, images) names it: arr_0
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
    attributes, groups, told = _beside(others, len(images), policy)
    return from_arrays(
        images,
        labels,
        classes=members["classes"].astype(str).tolist() if "classes" in members else None,
        attributes=attributes,
        groups=groups,
        split=members.get("split"),
        size=policy.size,
        fit=policy.fit,
        notes={"format": "npz", "source": str(path), **told},
        native=policy.native,
        least=2 if policy.labelled else 1,
    )


def _beside(
    others: Mapping[str, npt.NDArray[Any]], n: int, policy: Policy
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[Any] | None, dict[str, Any]]:
    """(attributes, groups, notes) of the arrays beside `n` images and their labels. One of another type or several values an image
    is left out and noted, but not if it is called as groups are, or asked for as the group: then it is an error, or whole
    numbers stored as floats, since a split must not tear a person by mistake."""
    others = {
        name: array.astype(str) if name in policy.binned and array.dtype.kind == "f" else array
        for name, array in others.items()
    }
    usable = {
        name: array for name, array in others.items() if array.shape in ((n,), (n, 1)) and array.dtype.kind in "iubUS"
    }
    left_out = sorted(set(others) - set(usable))
    asked = policy.columns.get("group")
    called = [
        name
        for name in left_out
        if name in _GROUP
        or name == asked
        or (name.casefold() in table.NAMES["group"] and others[name].shape[:1] == (n,))
    ]
    group = table.of_role("group", [*usable, *called], policy)
    groups = None if group is None else others[group]
    if groups is not None and groups.dtype.kind == "f" and np.isfinite(groups).all() and (groups % 1 == 0).all():
        groups = groups.astype(np.int64)
    told: dict[str, Any] = {"arrays_left_out": [name for name in left_out if name != group]}
    told |= {} if group is None else {"grouped_by": group}
    return {name: array for name, array in usable.items() if name != group}, groups, told


def _medmnist(path: Path, members: Mapping[str, npt.NDArray[Any]], policy: Policy) -> LabelledImages:
    parts = [part for part in _PARTS if f"{part}_images" in members]
    images, labels, codes, names = [], [], [], []
    for part in parts:
        pictures, told = members[f"{part}_images"], members.get(f"{part}_labels")
        if told is None:
            raise DataError(f"holds '{part}_images' but no '{part}_labels'; save both")
        if told.shape[:1] != pictures.shape[:1]:
            raise DataError(f"{part}: {len(pictures)} images, but {len(told)} labels; give one label an image")
        if pictures.shape[1:] != members["train_images"].shape[1:]:
            raise DataError(
                f"{part}_images are {list(pictures.shape[1:])}, but train_images are "
                f"{list(members['train_images'].shape[1:])}; save all parts in one size"
            )
        images.append(pictures)
        labels.append(told)
        codes.append(np.full(len(pictures), _PARTS.index(part), np.int64))
        names += [f"{part} {i}" for i in range(len(pictures))]
    pixels = np.concatenate(images)
    others, torn = _columns(parts, members)
    attributes, groups, about = _beside(others, len(pixels), policy)
    about["arrays_left_out"] = sorted([*about["arrays_left_out"], *torn])
    return from_arrays(
        pixels,
        np.concatenate(labels),
        attributes=attributes,
        groups=groups,
        split=np.concatenate(codes),
        size=policy.size,
        fit=policy.fit,
        names=names,
        notes={"format": "npz (MedMNIST)", "source": str(path), **about},
        native=policy.native,
        least=2 if policy.labelled else 1,
    )


def _columns(
    parts: list[str], members: Mapping[str, npt.NDArray[Any]]
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """(name -> the arrays `PART_name` of all parts, one after the other; the arrays that are not there for every part). Raises
    DataError where the group's array has not one value for each image."""
    mine = {f"{part}_{name}" for part in parts for name in ("images", "labels")}
    rest = [name for name in members if name not in mine | _OWN]
    stems = dict.fromkeys(name.partition("_")[2] for name in rest if name.partition("_")[0] in parts)
    found = {}
    for stem in stems:
        each = [members.get(f"{part}_{stem}") for part in parts]
        fits = [
            a is not None and a.shape[:1] == members[f"{part}_images"].shape[:1] and a.shape[1:] in ((), (1,))
            for a, part in zip(each, parts, strict=True)
        ]
        if all(fits):
            found[stem] = np.concatenate([a.reshape(-1) for a in each if a is not None])
        elif stem.casefold() in table.NAMES["group"]:
            raise DataError(
                f"'{parts[fits.index(False)]}_{stem}' is missing or has not one value for each image, but the other parts' "
                f"'{stem}' says which images stay together; give it for every part, or remove it from all"
            )
    return found, [name for name in rest if name.partition("_")[2] not in found]
