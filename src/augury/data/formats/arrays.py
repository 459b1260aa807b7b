"""Images in memory -> LabelledImages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.data.decoding import resize
from augury.data.decoding.image_decoder import PIXEL_LIMIT
from augury.data.decoding.label_encoding import attributes_of, coded, coded_labels, coded_split, column, finished
from augury.data.decoding.load_options import Transparency
from augury.data.decoding.resize import Fit, Size
from augury.errors import DataError
from augury.images import Images, LabelledImages

_CHUNK = 512
FOUR_CHANNELS = (
    "images have four channels, and an array does not say whether the fourth is opacity; transparency='white' or 'black' "
    "(--transparency white) puts the colours on that background, 'ignore' (--transparency ignore) uses the colours alone"
)
BACKGROUNDS = {"white": 255, "black": 0}
_TRANSPARENCY = {
    None: "",
    "white": "transparency put on white",
    "black": "transparency put on black",
    "ignore": "fourth channel left out",
}


def from_arrays(
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    classes: Sequence[str] | None = None,
    attributes: Mapping[str, npt.ArrayLike] | None = None,
    groups: npt.ArrayLike | None = None,
    split: npt.ArrayLike | None = None,
    *,
    size: int | Size | None = None,
    fit: Fit = "crop",
    names: Sequence[str] | None = None,
    notes: Mapping[str, Any] | None = None,
    native: int = resize.NATIVE_LIMIT,
    least: int = 2,
    transparency: Transparency | None = None,
) -> LabelledImages:
    """Build LabelledImages from arrays.

    Parameters
    ----------
    images : array [N, H, W], [N, H, W, C] or [N, C, H, W]
        C is 1, 3 or 4 (with `transparency`). uint8, other integers and whole floats within 0..255 are used as they are.
        Floats within [0, 1] are multiplied by 255, uint16 is divided by 257, bool becomes black and white.
    labels : int or str array [N] or [N, 1]
    classes : sequence of str, optional
        Names of the int labels 0..K-1, or all permitted str labels. None: the values are the names.
    attributes : mapping of str to int or str array [N], optional
    groups : int or str array [N], optional
        Images of one group stay in one split.
    split : array [N], optional
        Names as in SPLITS, or 0, 1, 2.
    size : int or (int, int), optional
        Height and width in pixels, or one number for both. None keeps images up to 64 pixels a side and resizes larger
        ones to 64 x 64.
    fit : {"crop", "pad"}
        As in `load`.
    names : sequence of str, optional
        A name for each image, for messages.
    notes : mapping, optional
        Entries that are added to the notes of the result.
    native : int
        The number of pixels a side up to which images keep their size when `size` is None.
    least : int
        Fewest classes.
    transparency : {"white", "black", "ignore"}, optional
        What the fourth of four channels is: opacity, and the background that the colours are put on, or "ignore".

    Returns
    -------
    LabelledImages

    Raises
    ------
    DataError
        When lengths disagree; there are four channels without `transparency`; pixels are
        NaN, infinite or out of range; labels have several columns; or there are too few classes.
    SettingsError
        When `size` or `fit` is out of range.
    """
    target_size = resize.checked(size, fit)
    array = np.asarray(images)
    layout = _layout(array)
    if 4 in _channels(array, layout) and transparency is None:
        raise DataError(FOUR_CHANNELS)
    n = len(array)
    codes, class_names = coded_labels(labels, classes, n)
    extra = {name: column(f"attribute '{name}'", values, n) for name, values in (attributes or {}).items()}
    scaling, factor = _scaling(array)
    height, width = array.shape[2:] if layout == "NCHW" else array.shape[1:3]
    goal = resize.target([(height, width)], target_size, native)
    preview = resize.preview_size([(height, width)], goal)
    chunks, previews = [], []
    for start in range(0, n, _CHUNK):
        piece = array[start : start + _CHUNK]
        scaled = piece if piece.dtype == np.uint8 else np.rint(piece * np.float64(factor)).astype(np.uint8)
        planes = _planar(scaled, layout, transparency, start)
        chunks.append(resize.resized(planes, goal, fit))
        if preview is not None:
            previews.append(resize.previewed(planes, preview, fit))
    all_notes = {
        "format": "arrays",
        "pixels": scaling,
        "colour": f"{layout}, {_TRANSPARENCY[transparency] if 4 in _channels(array, layout) else 'as given'}",
        **resize.notes({f"{height}x{width}": n}, goal, fit),
        **(notes or {}),
    }
    return finished(
        LabelledImages(
            images=np.concatenate(chunks),
            labels=codes,
            classes=class_names,
            attributes=attributes_of(extra),
            groups=None if groups is None else coded(column("groups", groups, n))[0],
            split=None if split is None else coded_split(split, n),
            names=tuple(names) if names is not None else tuple(f"index {i}" for i in range(n)),
            notes=all_notes,
            previews=np.concatenate(previews) if previews else None,
        ),
        least=least,
    )


def _channels(array: npt.NDArray[Any], layout: str) -> tuple[int, ...]:
    return {"NHW": (), "NHWC": array.shape[3:], "NCHW": array.shape[1:2]}[layout]


def _layout(array: npt.NDArray[Any]) -> str:
    """Return NHW, NHWC or NCHW. Raises DataError for objects, other shapes, no images, or sides out of range."""
    if array.dtype.kind == "O":
        raise DataError("images differ in size or are Python objects; stack images of one size into one uint8 array")
    if array.ndim == 3:
        layout = "NHW"
    elif array.ndim == 4 and array.shape[3] in (1, 3, 4):
        layout = "NHWC"
    elif array.ndim == 4 and array.shape[1] in (1, 3, 4):
        layout = "NCHW"
    else:
        raise DataError(
            f"images have shape {list(array.shape)}; give [N, H, W], [N, H, W, C] or [N, C, H, W] with 1, 3 or 4 "
            "channels"
        )
    if 0 in array.shape:
        raise DataError(
            f"there are no images: the array has shape {list(array.shape)}; give at least two classes of them"
        )
    height, width = array.shape[2:] if layout == "NCHW" else array.shape[1:3]
    if height * width > PIXEL_LIMIT:
        raise DataError(
            f"images of {height} x {width} exceed the {PIXEL_LIMIT:,} pixels an image may have; shrink them"
        )
    return layout


def _scaling(array: npt.NDArray[Any]) -> tuple[str, float]:
    """Return how values become 0..255, in words and as a factor. Raises DataError when no rule applies."""
    if array.dtype == np.uint8:
        return "uint8, as given", 1.0
    if array.dtype == np.uint16:
        return "uint16, divided by 257", 1 / 257
    if array.dtype == np.bool_:
        return "bool, times 255", 255.0
    if array.dtype.kind not in "iuf":
        raise DataError(f"pixels are {array.dtype}; give uint8, or floats within [0, 1]")
    low, high, integral = np.inf, -np.inf, True
    for start in range(0, len(array), _CHUNK):
        piece = array[start : start + _CHUNK]
        finite = np.isfinite(piece).reshape(len(piece), -1).all(axis=1)
        if not finite.all():
            at = start + int(np.flatnonzero(~finite)[0])
            raise DataError(
                f"image {at} holds NaN or infinity; every pixel must be a number: mend or leave out that image"
            )
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        integral = integral and bool((piece == np.rint(piece)).all())
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return f"{array.dtype} within [0, 1], times 255", 255.0
    if integral and low >= 0 and high <= 255:
        return f"{array.dtype}, whole numbers within [0, 255], as given", 1.0
    raise DataError(
        f"pixels are {array.dtype} from {low:g} to {high:g}; floats must lie within [0, 1] or be whole numbers within "
        "[0, 255]: undo any normalisation, or round to uint8"
    )


def _planar(piece: Images, layout: str, transparency: Transparency | None, start: int) -> Images:
    """uint8 of any layout -> [N, 1 or 3, H, W], with opacity put on a background. `start` numbers the images."""
    planes = piece[:, None] if layout == "NHW" else piece.transpose(0, 3, 1, 2) if layout == "NHWC" else piece
    if planes.shape[1] < 4 or transparency == "ignore":
        return np.ascontiguousarray(planes[:, :3])
    flat = _on(planes, transparency or "white")
    lost = _one_colour(flat) & ~_one_colour(planes)
    if lost.any():
        first = planes[lost][:1]
        others = [name for name in BACKGROUNDS if name != transparency and not _one_colour(_on(first, name)).all()]
        others += [] if _one_colour(first[:, :3]).all() else ["ignore"]
        remedy = " or ".join(f"transparency='{name}' (--transparency {name})" for name in others)
        raise DataError(
            f"image {start + int(np.flatnonzero(lost)[0])} becomes one colour once its transparency is put on {transparency}; "
            f"{f'choose {remedy}' if others else 'leave it out'}"
        )
    return np.ascontiguousarray(flat)


def _on(planes: Images, background: str) -> Images:
    """uint8 [N, 4, H, W] with opacity -> [N, 3, H, W] on a background."""
    alpha = planes[:, 3:].astype(np.float64) / 255
    return np.asarray(np.rint(planes[:, :3] * alpha + BACKGROUNDS[background] * (1 - alpha)).astype(np.uint8))


def _one_colour(planes: Images) -> npt.NDArray[np.bool_]:
    return np.asarray((planes == planes[:, :, :1, :1]).all(axis=(1, 2, 3)))
