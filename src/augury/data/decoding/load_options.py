"""The options that all readers share: size, tones of scientific images, unreadable images, columns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from augury.data.decoding import resize
from augury.data.decoding.pixel_range import Range
from augury.data.decoding.resize import Fit, Size
from augury.errors import SettingsError
from augury.settings import DataSettings
from augury.validation import validated

OnBad = Literal["error", "skip"]
Window = Literal["file", "percentile"] | tuple[float, float]
Stretch = Literal["asinh", "linear"]
Transparency = Literal["white", "black", "ignore"]
Split = Literal["given", "new"]
UNGROUPED = "none"
"""Value of `group` that disables grouping, whatever the columns or arrays are called."""


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
    class_folder: int | None = None
    follow_links: Path | None = None
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


def checked(*, cache: Path | None = None, **values: Any) -> LoadOptions:
    """Return the options as LoadOptions.

    Parameters
    ----------
    cache
        Folder for decoded images.
    **values
        Settings of `DataSettings` about reading. None stands for no columns and no bins.

    Raises
    ------
    SettingsError
        When one is out of range, or two contradict each other.
    """
    if values.get("follow_links") is not None:
        values["follow_links"] = os.fspath(values["follow_links"])
    empty = [name for name in ("columns", "bins") if values.get(name) is None]
    options = validated(DataSettings, {name: value for name, value in values.items() if name not in empty})
    named: dict[str, str] = dict(options.columns)
    if options.group is not None:
        if named.get("group", options.group) != options.group:
            raise SettingsError(
                f"group is '{options.group}', but columns names '{named['group']}' the group; give one of them"
            )
        named |= {} if options.group == UNGROUPED else {"group": options.group}
    if options.class_folder == 0:
        raise SettingsError("class_folder is 0; the outermost folder is 1, and the one that holds the image is -1")
    if options.follow_links is not None and not Path(options.follow_links).is_dir():
        raise SettingsError(
            f"follow_links is '{options.follow_links}', which is no folder; give the folder that links lead to"
        )
    binned = tuple(options.bins)
    return LoadOptions(
        size=resize.checked(options.size, options.fit),
        fit=options.fit,
        on_bad=options.on_bad,
        cache=None if cache is None else Path(cache),
        window=options.window,
        stretch=options.stretch,
        columns=named,
        attributes=None if options.attributes is None else tuple(dict.fromkeys((*options.attributes, *binned))),
        root=None if options.root is None else Path(options.root),
        group=options.group,
        split=options.split,
        binned=binned,
        class_folder=options.class_folder,
        follow_links=None if options.follow_links is None else Path(options.follow_links),
        transparency=options.transparency,
    )
