"""Choose the common size of all images, and resize an image to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from PIL import Image

from augury.errors import SettingsError
from augury.images import Images
from augury.settings import LARGEST

Fit = Literal["crop", "pad"]
Size = tuple[int, int]
NATIVE_LIMIT = 64
"""Images of one common size keep it up to this many pixels a side; others become squares of this side."""
PREVIEW = 64
"""Most pixels on the shorter side of a preview."""
RESAMPLING = "bicubic, antialiased (Pillow), edges replicated when padding"


def checked(size: int | Size | None, fit: str) -> Size | None:
    """Return the requested size as (height, width), or None. Raises SettingsError when size or fit is out of range."""
    if fit not in ("crop", "pad"):
        raise SettingsError(f"fit is '{fit}'; choose 'crop' (cover, cut the middle) or 'pad' (fit inside, edge-padded)")
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(s, int) and 1 <= s <= LARGEST for s in sides):
        raise SettingsError(f"size is {size}; give one number or (height, width), each from 1 to {LARGEST} pixels")
    return sides[0], sides[1]


def target(sizes: Iterable[Size], size: Size | None, native: int = NATIVE_LIMIT) -> Size:
    """Return the (height, width) for images of these sizes.

    It is `size` if given. Otherwise it is the images' own size if they share one of at most `native` pixels a side,
    else 64 x 64.
    """
    if size is not None:
        return size
    distinct = set(sizes)
    if len(distinct) == 1:
        (only,) = distinct
        if max(only) <= native:
            return only
    return NATIVE_LIMIT, NATIVE_LIMIT


def preview_size(sizes: Iterable[Size], goal: Size) -> Size | None:
    """Return the (height, width) of the previews in which near-duplicates are searched; None where `goal` serves as well.

    Previews have the aspect of `goal` and the size of the largest image, with at most PREVIEW pixels on the shorter
    side.
    """
    height, width = goal
    largest = max((min(h / height, w / width) for h, w in sizes), default=1.0)
    factor = min(PREVIEW / min(height, width), largest)
    if largest == 1 or factor <= 1 < largest:
        return None
    return max(1, round(height * factor)), max(1, round(width * factor))


def fitted(image: Image.Image, size: Size, fit: Fit) -> Image.Image:
    """Resize an L or RGB image to `size` (height, width).

    crop: the largest central region of the target's shape, scaled. pad: the whole image scaled to fit inside, its edge
    pixels repeated outwards. Both use one bicubic resampling, whose support grows with the reduction (antialiasing).
    """
    (h, w), (width, height) = size, image.size
    if (height, width) == (h, w):
        return image
    if fit == "crop":
        step = min(width / w, height / h)
        left, top = (width - w * step) / 2, (height - h * step) / 2
        box = (max(left, 0.0), max(top, 0.0), min(left + w * step, width), min(top + h * step, height))
        return image.resize((w, h), Image.Resampling.BICUBIC, box=box, reducing_gap=None)
    scale = min(w / width, h / height)
    inner = (min(w, max(1, round(width * scale))), min(h, max(1, round(height * scale))))
    small = np.asarray(image.resize(inner, Image.Resampling.BICUBIC, reducing_gap=None))
    left_pad, top_pad = (w - inner[0]) // 2, (h - inner[1]) // 2
    margins = [(top_pad, h - inner[1] - top_pad), (left_pad, w - inner[0] - left_pad), (0, 0)][: small.ndim]
    return Image.fromarray(np.pad(small, margins, mode="edge"))


def resized(images: Images, size: Size, fit: Fit) -> Images:
    """Resize uint8 [N, 1 or 3, H, W] to `size`. An array of that size is returned unchanged."""
    if images.shape[2:] == size:
        return images
    result = np.empty((*images.shape[:2], *size), np.uint8)
    for i, image in enumerate(images):
        picture = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
        small = np.asarray(fitted(picture, size, fit))
        result[i] = small if small.ndim == 2 else small.transpose(2, 0, 1)
    return result


def previewed(images: Images, size: Size, fit: Fit) -> Images:
    """Resize uint8 [N, 1 or 3, H, W] to grey previews [N, 1, h, w] of `size`."""
    grey = images if images.shape[1] == 1 else np.rint(images.mean(axis=1, keepdims=True)).astype(np.uint8)
    return resized(grey, size, fit)


def notes(sizes: dict[str, int], size: Size, fit: Fit) -> dict[str, object]:
    """Describe the resizing for `LabelledImages.notes`.

    `sizes` maps each original size "HxW" to its number of images.
    """
    native = list(sizes) == [f"{size[0]}x{size[1]}"]
    how = "native, not resized" if native else f"{fit}; {RESAMPLING}"
    return {"size": list(size), "resizing": how, "original_sizes": sizes}
