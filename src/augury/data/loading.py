"""`load`: one door for every format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from augury.data import npz, reading
from augury.data.embedded import sample
from augury.data.resize import Fit, Size
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages

READERS = {"folder": reading.read, ".npz": npz.read}
"""What kind of path is read by which function."""


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    size: int | Size | None = None,
    fit: Fit = "crop",
    on_bad: Literal["error", "skip"] = "error",
    cache: Path | None = None,
) -> LabelledImages:
    """Read labelled images: a folder with one folder per class, an .npz file, or (None) the embedded sample.

    `size` (height, width) in pixels or one number for both: None keeps images that are all alike and at most 64 a side,
    and brings others to 64 x 64. `fit` "crop" covers and cuts the middle, "pad" fits inside. `on_bad` and `cache`
    matter to folders: what to do with unreadable images, and where decoded ones are kept (else AUGURY_CACHE, else
    the user's cache folder).

    Raises DataError when the path is missing, of an unknown kind or cannot be read as described there (`folder.find`,
    `npz.read`), SettingsError when a setting is out of its range.
    """
    if on_bad not in ("error", "skip"):
        raise SettingsError(f"on_bad is '{on_bad}'; choose 'error' or 'skip'")
    if path is None:
        return sample(size=size, fit=fit)
    place = Path(path)
    if place.is_dir():
        return reading.read(place, size=size, fit=fit, on_bad=on_bad, cache=cache)
    if not place.exists():
        raise DataError(
            f"{place}: there is no such file or folder; give a folder with one folder per class, an .npz file, "
            "or nothing for the embedded sample"
        )
    if place.suffix.lower() == ".npz":
        return npz.read(place, size=size, fit=fit)
    raise DataError(
        f"{place}: '{place.suffix or 'no extension'}' is not a format that is read; give a folder with one "
        "folder per class (unpack archives first), or an .npz file"
    )
