"""The options that every export takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from augury.cards import Background


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export, the same for every format.

    A format that cannot follow an option refuses it; the docstring of its function says so.

    Parameters
    ----------
    originals : sequence of path, optional
        One file per training image, included byte for byte in its own size and format. Without them the arrays are written
        as used in training.
    link : bool
        Hard-link the originals, or copy them where that is not possible; False always copies. A hard link is the same file:
        editing it in place edits the original. Has no effect in an export of one file, and none without `originals`.
    synthetic_size : (int, int), optional
        Height and width of the synthetic images beside `originals`; without it they keep the size of the training images.
        Refused without `originals`, as all other images of a data set have one size.
    force : bool
        Replace an existing file, or an export to which files were added.
    background : augury.cards.Background
        What the card says beyond the images. The card of an export of one file lies beside it (`NAME.tar.README.md`). The recipe
        is also written into the text chunks of synthetic PNG images.
    sidecar : bool
        Also write `NAME.png.c2pa.json` beside each synthetic image: unsigned C2PA-style assertions. Refused by exports of one
        file.

    Examples
    --------
    >>> export_folder("dataset", train, synthetic, ExportOptions(sidecar=True, force=True))["synthetic"]
    46
    """

    originals: Sequence[str | os.PathLike[str]] | None = None
    link: bool = True
    synthetic_size: tuple[int, int] | None = None
    force: bool = False
    background: Background = field(default_factory=Background)
    sidecar: bool = False


DEFAULTS = ExportOptions()
