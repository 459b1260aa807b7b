"""Roles of columns by their names: image, label, group and split; and columns that look like groups but are not used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

ENDINGS = ("", "id", "uid", "no", "nr", "number", "code", "key", "name")
_PERSONS = ("patient", "person", "subject", "participant", "individual", "donor", "identity", "mrn")
_PARTS = ("case", "lesion", "animal", "specimen", "slide", "study", "video", "clip", "sequence", "track")
NAMES: Mapping[str, tuple[str, ...]] = {
    "image": ("path", "file", "file_name", "file_path", "image", "image_path"),
    "label": ("label", "labels", "class", "class_name", "category"),
    "group": (
        *("group", "groups", "group_id", "track"),
        *(f"{name}_{ending}".removesuffix("_") for name in _PERSONS for ending in ENDINGS),
        *(f"{name}_{ending}" for name in _PARTS for ending in ENDINGS[1:6]),
    ),
    "split": ("split",),
}
"""Names by which the role of a column is recognised, in any case, with any separators or none between their words."""
_SEPARATORS = re.compile(r"[\s_.\-/#:]+")
_ID = re.compile(r"(^|[\s_.\-/#:])u?ids?$", re.IGNORECASE)
_CAMEL_ID = re.compile(r"[a-z0-9]U?I[Dd]s?$")
_MANY = 20
"""With more values than this, a column called as one word, such as "cowid", counts as an id; "covid" and "valid" have fewer."""


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Return a column name without its case, blanks, dashes, dots and underscores: "Patient ID" -> "patientid"."""
    return _SEPARATORS.sub("", name.casefold())


_CANONICAL = {role: frozenset(map(canonical, names)) for role, names in NAMES.items()}
_FINER = frozenset(canonical(f"{name}_{ending}") for name in _PARTS if name != "track" for ending in ENDINGS[1:])


def is_called(role: str, name: str) -> bool:
    """Whether a column of this name has the role."""
    return canonical(name) in _CANONICAL[role]


def candidates(role: str, header: Sequence[str]) -> list[str]:
    """Return the columns whose names fit a role. A group of persons goes before one of which a person can have several."""
    fits = [name for name in header if is_called(role, name)]
    coarse = [name for name in fits if canonical(name) not in _FINER]
    return coarse or fits


def possible_groups(columns: Mapping[str, Sequence[object]], labels: Sequence[object]) -> dict[str, int]:
    """Return the columns that are called like an id and whose values recur, with the number of their values.

    Images with the same id often show the same thing. A column that only names the class is none of them.

    Parameters
    ----------
    columns
        The values [N] of each column that has no role.
    labels
        The label [N] of each image.
    """
    columns = {name: column for name, column in columns.items() if canonical(name).endswith(("id", "ids"))}
    if not columns:
        return {}
    recurring = {}
    classes = np.unique(np.array([str(label) for label in labels]), return_inverse=True)[1].reshape(-1)
    for name, column in columns.items():
        values, codes = np.unique(np.array([str(value) for value in column]), return_inverse=True)
        pairs = len(np.unique(np.stack([codes.reshape(-1), classes]), axis=1).T)
        clearly = _ID.search(name.strip()) or _CAMEL_ID.search(name.strip()) or len(values) > _MANY
        if clearly and 1 < len(values) < len(codes) and pairs > int(classes.max(initial=0)) + 1:
            recurring[name] = len(values)
    return recurring
