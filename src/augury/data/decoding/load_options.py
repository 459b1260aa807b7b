"""The options that all readers share: size, tones of scientific images, unreadable images, columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from augury.data.decoding import resize
from augury.data.decoding.pixel_range import Range
from augury.data.decoding.resize import Fit, Size
from augury.errors import SettingsError

OnBad = Literal["error", "skip"]
Window = Literal["file", "percentile"] | tuple[float, float]
Stretch = Literal["asinh", "linear"]
Transparency = Literal["white", "black", "ignore"]
Split = Literal["given", "new"]
UNGROUPED = "none"
"""Value of `group` that disables grouping, whatever the columns or arrays are called."""
ROLES = ("image", "label", "group", "split")
"""Roles that a column of a table can have; any other column is an attribute."""


@dataclass(frozen=True)
class LoadOptions:
    """The checked options of `load`, which documents each of them.

    Parameters
    ----------
    labelled
        False for `pictures`: images may have no labels, and one class is enough.
    native
        Images that all have one size keep it up to this many pixels a side.
    binned
        Numeric columns that will be divided into bins. They become attributes however many values they have.
    value_range
        Black and white of images whose files do not declare them; chosen while reading.
    """

    size: Size | None = None
    fit: Fit = "crop"
    on_bad: OnBad = "error"
    cache: Path | None = None
    window: Window = "file"
    stretch: Stretch = "asinh"
    columns: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] | None = None
    root: Path | None = None
    labelled: bool = True
    native: int = resize.NATIVE_LIMIT
    group: str | None = None
    split: Split = "given"
    binned: tuple[str, ...] = ()
    transparency: Transparency | None = None
    value_range: Range | None = None

    @property
    def asks_for_columns(self) -> bool:
        """Whether an option other than the group is set that only a format with columns supports."""
        return bool(set(self.columns) - {"group"}) or self.attributes is not None

    @property
    def asks_for_group(self) -> bool:
        """Whether a column or array is named as the group."""
        return "group" in self.columns


def checked(
    *,
    size: int | Size | None = None,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    cache: Path | None = None,
    window: Window = "file",
    stretch: Stretch = "asinh",
    columns: Mapping[str, str] | None = None,
    attributes: Sequence[str] | None = None,
    root: Path | None = None,
    group: str | None = None,
    split: Split = "given",
    binned: Sequence[str] = (),
    transparency: Transparency | None = None,
) -> LoadOptions:
    """Return the options as LoadOptions. Raises SettingsError when one is out of range."""
    if on_bad not in ("error", "skip"):
        raise SettingsError(f"on_bad is '{on_bad}'; choose 'error' or 'skip'")
    if stretch not in ("asinh", "linear"):
        raise SettingsError(f"stretch is '{stretch}'; choose 'asinh' (faint light is lifted) or 'linear'")
    if transparency not in (None, "white", "black", "ignore"):
        raise SettingsError(
            f"transparency is '{transparency}'; choose 'white' or 'black' (the background), or 'ignore' (colours alone)"
        )
    if window not in ("file", "percentile"):
        try:
            centre, width = (float(value) for value in window)
        except (TypeError, ValueError):
            centre, width = 0.0, 0.0
        if not width > 0:
            raise SettingsError(
                f"window is {window!r}; choose 'file', 'percentile', or (centre, width) with a width above 0, "
                "such as (40, 400)"
            )
        window = (centre, width)
    wrong = sorted(set(columns or {}) - set(ROLES))
    if wrong:
        raise SettingsError(f"columns names '{wrong[0]}'; it maps {', '.join(ROLES)} to the columns that hold them")
    if split not in ("given", "new"):
        raise SettingsError(f"split is '{split}'; choose 'given' (the data's own parts, if any) or 'new' (divide anew)")
    named = dict(columns or {})
    if group is not None:
        if named.get("group", group) != group:
            raise SettingsError(f"group is '{group}', but columns names '{named['group']}' the group; give one of them")
        named |= {} if group == UNGROUPED else {"group": group}
    return LoadOptions(
        size=resize.checked(size, fit),
        fit=fit,
        on_bad=on_bad,
        cache=None if cache is None else Path(cache),
        window=window,
        stretch=stretch,
        columns=named,
        attributes=None if attributes is None else tuple(dict.fromkeys((*attributes, *binned))),
        root=None if root is None else Path(root),
        group=group,
        split=split,
        binned=tuple(binned),
        transparency=transparency,
    )
