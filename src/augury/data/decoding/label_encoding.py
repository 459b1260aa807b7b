"""Encode labels, attributes, groups and splits as integers, and compute the fingerprint of a data set."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.data.decoding.load_options import UNGROUPED
from augury.data.decoding.split_names import split_codes
from augury.errors import DataError, SettingsError
from augury.images import SPLITS, Attribute, Codes, LabelledImages

LONGEST = 200
"""Most characters of a label; a longer one is most likely text of another kind."""


def column(name: str, values: npt.ArrayLike, n: int) -> npt.NDArray[Any]:
    """Return one int or str value per image, [N] or [N, 1] -> [N]; bytes become str.

    Raises DataError when the values have another type or a length other than `n`, or when an image has several values.
    """
    array = np.asarray(values)
    if array.dtype.kind == "O":
        raise DataError(f"{name} hold Python objects; give integers or strings, such as np.array({name}, dtype=str)")
    if array.dtype.kind not in "iubUS":
        raise DataError(f"{name} are {array.dtype}; give integers or strings, for instance with .astype(np.int64)")
    if array.ndim == 2 and array.shape[1] > 1:
        raise DataError(
            f"{name} have shape {list(array.shape)}, several values an image; Augury learns one class an image: "
            "give one column (one task of a multi-label set)"
        )
    array = array.reshape(len(array)) if array.ndim == 2 and array.shape[1] == 1 else array
    if array.shape != (n,):
        raise DataError(f"{name} have shape {list(array.shape)}, but there are {n} images; give one value an image")
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def numbers_or_text(values: Sequence[str]) -> npt.NDArray[Any]:
    """Return values as int64 when all are whole numbers, so that they sort as numbers; else as text."""
    if all(len(v) < 19 and v.removeprefix("-").isdecimal() and str(int(v)) == v for v in set(values)):
        return np.array([int(value) for value in values], np.int64)
    return np.array(values)


def coded(values: npt.NDArray[Any]) -> tuple[Codes, tuple[str, ...]]:
    """int or str [N] -> codes int64 [N], and the distinct values, sorted (numbers as numbers), as strings.

    Strings that differ by their Unicode form alone are one value.
    """
    distinct, codes = np.unique(values, return_inverse=True)
    if distinct.dtype.kind == "U" and any(composed(value) != value for value in distinct.tolist()):
        distinct, again = np.unique([composed(value) for value in distinct.tolist()], return_inverse=True)
        codes = again.reshape(-1)[codes.reshape(-1)]
    return codes.astype(np.int64).reshape(-1), tuple(str(value) for value in distinct)


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), in which names are compared: macOS writes the other one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def coded_labels(labels: npt.ArrayLike, classes: Sequence[str] | None, n: int) -> tuple[Codes, tuple[str, ...]]:
    """Encode int or str labels as int64 [N] indices into the class names.

    Without `classes`, the distinct values name the classes. With them, int labels index them and str labels must be
    among them. Raises DataError when a label has no class.
    """
    values = column("labels", labels, n)
    if values.dtype.kind == "U" and n and (length := int(np.char.str_len(values).max())) > LONGEST:
        raise DataError(f"a label has {length:,} characters, but at most {LONGEST} are read; give shorter names")
    if classes is None:
        return coded(values)
    names = tuple(composed(str(name)) for name in classes)
    if len(set(names)) < len(names):
        raise DataError(
            f"the {len(names)} class names hold only {len(set(names))} different ones; name each class once"
        )
    if values.dtype.kind == "U":
        values = np.array([composed(value) for value in values.tolist()])
        unknown = sorted(set(values.tolist()) - set(names))
        if unknown:
            raise DataError(f"label '{unknown[0]}' is none of the {len(names)} classes: {', '.join(names[:20])}")
        codes = {name: code for code, name in enumerate(names)}
        return np.array([codes[value] for value in values.tolist()], np.int64), names
    if n and (int(values.min()) < 0 or int(values.max()) >= len(names)):
        raise DataError(
            f"labels run from {values.min()} to {values.max()}, but {len(names)} class names need 0 to "
            f"{len(names) - 1}; name every class, or leave classes out"
        )
    return values.astype(np.int64), names


def coded_split(values: npt.ArrayLike, n: int) -> npt.NDArray[np.int8]:
    """Encode splits as int8 [N] indices into SPLITS.

    Values are 'train', 'validation' and 'test' in any usual spelling (`split_names`), or 0, 1, 2. Raises DataError for any other.
    """
    raw_values = column("split", values, n)
    if raw_values.dtype.kind == "U":
        by_name = split_codes(set(raw_values.tolist()))
        codes = {value: by_name.get(value, -1) for value in set(raw_values.tolist())}
    else:
        codes = {value: int(value) if 0 <= value < len(SPLITS) else -1 for value in set(raw_values.tolist())}
    wrong = sorted(str(value) for value, code in codes.items() if code < 0)
    if wrong:
        raise DataError(f"split holds '{wrong[0]}'; write train, validation or test (or 0, 1, 2) for each image")
    return np.array([codes[value] for value in raw_values.tolist()], np.int8)


def finished(data: LabelledImages, pixels: str | None = None, least: int = 2) -> LabelledImages:
    """Add the fingerprint to `data`, and leave out groups of which there is only one.

    The fingerprint is a digest of pixels, labels, classes, attributes, groups and split, but not of names.

    Parameters
    ----------
    data : LabelledImages
    pixels : str, optional
        `pixel_digest(data.images)`, where it is already known.
    least : int
        Fewest classes with images.

    Returns
    -------
    LabelledImages
        The same data with `fingerprint`.

    Raises
    ------
    DataError
        When fewer than `least` classes have images.
    """
    present = np.unique(data.labels)
    if len(present) < least:
        only = f"'{data.classes[int(present[0])]}' with {len(data)} images" if len(present) else "none"
        raise DataError(
            f"at least two classes with images are needed, but there is only one: {only}; add a folder (or label) for "
            "each further class"
        )
    data = _without_single_group(data)
    hashed: list[Any] = [data.images.shape, pixels or pixel_digest(data.images), data.classes, _content(data.labels)]
    hashed += [(name, a.values, _content(a.codes)) for name, a in sorted(data.attributes.items())]
    hashed += ["" if codes is None else _content(codes) for codes in (data.groups, data.split)]
    return replace(data, fingerprint=hashlib.sha256(repr(hashed).encode("utf-8", "replace")).hexdigest()[:16])


def regrouped(data: LabelledImages, group: str | None, split: str = "given") -> LabelledImages:
    """Replace the groups of `data`, or drop its split.

    Parameters
    ----------
    data : LabelledImages
    group : str or None
        Attribute that becomes the group. None keeps the groups; "none" removes them.
    split : {"given", "new"}
        "given" keeps the split of the data, "new" drops it.

    Returns
    -------
    LabelledImages
        `data` itself when nothing changes; otherwise a copy with another fingerprint.

    Raises
    ------
    SettingsError
        When there is no such attribute.
    """
    if group not in (None, UNGROUPED) and group not in data.attributes:
        available = ", ".join(f"'{name}'" for name in data.attributes) or "none"
        raise SettingsError(f"there is no attribute '{group}' to be the group; the data have {available}")
    split_codes = data.split if split == "given" else None
    groups, notes = data.groups, dict(data.notes)
    if group is not None:
        groups = data.attributes[group].codes if group != UNGROUPED else None
        notes["grouped_by"] = group
        notes = {name: note for name, note in notes.items() if name not in ("groups_left_out", "possible_groups")}
    if split == "new":
        notes["split"] = "the parts that the data came in are forgotten"
    if groups is data.groups and split_codes is data.split:
        return data if notes == data.notes else replace(data, notes=notes)
    hashed = [data.fingerprint, *("" if codes is None else _content(codes) for codes in (groups, split_codes))]
    fingerprint = hashlib.sha256(repr(hashed).encode()).hexdigest()[:16]
    changed = replace(data, groups=groups, split=split_codes, notes=notes, fingerprint=fingerprint)
    return changed if group is None else _without_single_group(changed)


def _without_single_group(data: LabelledImages) -> LabelledImages:
    """Leave out groups where all images are in one group, as in anonymised files. The notes say so."""
    if data.groups is None or len(data) < 2 or (data.groups != data.groups[0]).any():
        return data
    notes = dict(data.notes)
    source = notes.pop("grouped_by", "")
    notes["groups_left_out"] = (
        f"all {len(data):,} images are in one group{f' ({source})' if source else ''}, so there are no groups, and images of one "
        "person may lie in several splits; give a table with a column that tells persons apart, or accept it with --group none"
    )
    return replace(data, groups=None, notes=notes)


def pixel_digest(images: npt.NDArray[np.uint8]) -> str:
    """sha256 of all pixels. They are read in pieces, so that a memory-mapped array stays on disk."""
    total = hashlib.sha256()
    for start in range(0, len(images), 1024):
        total.update(images[start : start + 1024].tobytes())
    return total.hexdigest()


def attributes_of(columns: dict[str, npt.NDArray[Any]]) -> dict[str, Attribute]:
    """Encode int or str columns [N] as attributes."""
    return {name: Attribute(*coded(values)) for name, values in columns.items()}


def _content(codes: npt.NDArray[Any]) -> str:
    return hashlib.sha256(codes.astype("<i8").tobytes()).hexdigest()
