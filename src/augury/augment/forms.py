"""Converts PIL images, arrays and tensors to one batch, and back to their original form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from augury.errors import DataError
from augury.images import LabelledImages, SyntheticImages, as_images, as_labelled

Held = TypeVar("Held")
Span = tuple[float, float]
MODES = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3}
"""The accepted PIL modes and the number of their colour channels; any other channel is transparency."""


@dataclass(frozen=True)
class Opened:
    """One image, or several of one size, as a tensor [N, C, H, W] of the original dtype.

    The first `colours` channels are colour, the rest transparency. `closed` converts such a tensor back to the original
    form.
    """

    images: Tensor
    colours: int
    closed: Callable[[Tensor], Any]


def opened(image: Any) -> Opened:
    """Open a PIL image (L, LA, RGB, RGBA), an array [H, W], [H, W, C] or [N, H, W, C], a tensor [H, W], [C, H, W] or
    [N, C, H, W]; uint8 or float. Or a set of images, which is read into memory.

    A set comes back as LabelledImages with other pixels: the accepted images of SyntheticImages, because a changed image
    cannot be drawn again from its seed.

    Raises DataError for anything else.
    """
    if isinstance(image, Tensor):
        return _of_tensor(image)
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if isinstance(image, LabelledImages | SyntheticImages):
        return _of_set(as_labelled(image))
    if hasattr(image, "mode") and hasattr(image, "getbands"):
        return _of_picture(image)
    raise DataError(
        f"images are a PIL image, a NumPy array, a torch tensor or LabelledImages, but this is a {type(image).__name__}; "
        "convert it, e.g. with numpy.asarray"
    )


def through(image: Held, change: Callable[[Tensor], Tensor]) -> Held:
    """Apply `change`, a geometric one, to float [N, C, H, W] with the original values.

    uint8 counts 0 to 255 and is rounded again; all channels move alike. Returns the original form.
    """
    held = opened(image)
    return held.closed(in_the_form_of(change(as_float(held.images)), held.images))  # type: ignore[no-any-return]


def toned(image: Held, change: Callable[[Tensor], Tensor], span: Span) -> Held:
    """Apply `change`, one of values, to float [N, C, H, W] in [-1, 1].

    0 to 255 of uint8 and `span` of floats map to that range. Transparency is unchanged. uint8 is rounded and clamped,
    floats are not.
    """
    held = opened(image)
    colours = held.images[:, : held.colours]
    changed = spread(change(centred(colours, span)), span, colours)
    return held.closed(torch.cat([changed, held.images[:, held.colours :]], dim=1))  # type: ignore[no-any-return]


def centred(images: Tensor, span: Span = (0.0, 1.0)) -> Tensor:
    """Convert uint8, or float in `span`, to float in [-1, 1]."""
    low, high = (0.0, 255.0) if images.dtype == torch.uint8 else span
    if (low, high) == (-1.0, 1.0):
        return images
    values = as_float(images)
    middle = torch.tensor(-1 - 2 * low / (high - low), dtype=values.dtype, device=images.device)
    if values is not images:  # nobody else holds them
        return torch.add(middle, values, alpha=2 / (high - low), out=values)
    return torch.add(middle, values, alpha=2 / (high - low))


def spread(images: Tensor, span: Span, like: Tensor, *, clamped: bool = False) -> Tensor:
    """The inverse of `centred`, with the dtype of `like`. `clamped` states that no value exceeds [-1, 1]."""
    if like.dtype == torch.uint8:
        levels = torch.add(
            torch.tensor(128.0, device=images.device), images.float(), alpha=127.5
        )  # a half, then truncated
        return _to_uint8(levels if clamped else levels.clamp_(0, 255))
    low, high = span
    if (low, high) == (-1.0, 1.0):
        return images.to(like.dtype)
    middle = torch.tensor((low + high) / 2, dtype=images.dtype, device=images.device)
    return torch.add(middle, images, alpha=(high - low) / 2).to(like.dtype)


def as_float(images: Tensor) -> Tensor:
    """uint8 as float32; floats unchanged."""
    return images if images.is_floating_point() else images.float()


def in_the_form_of(images: Tensor, like: Tensor) -> Tensor:
    """Floats converted to the dtype of `like`; uint8 is rounded and clamped to 0 and 255."""
    if like.dtype != torch.uint8:
        return images.to(like.dtype)
    return _to_uint8((images + 0.5).clamp_(0, 255))


def _to_uint8(levels: Tensor) -> Tensor:
    return levels.to(torch.int16).to(torch.uint8)  # through int16, which takes half the time


def per_image(value: float | Sequence[float] | Sequence[bool] | Tensor, images: Tensor) -> Tensor:
    """One number for all images, or one for each, as [N] in a float dtype on the device of the images.

    Raises DataError when their number is another one.
    """
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    values = torch.as_tensor(value, dtype=dtype, device=images.device)
    if values.dim() > 1 or (values.dim() == 1 and len(values) not in (1, len(images))):
        raise DataError(
            f"a parameter is one number, or one for each of the {len(images)} images, but has shape {list(values.shape)}"
        )
    return values.expand(len(images)) if values.dim() == 0 or len(values) == 1 else values


def _of_tensor(image: Tensor) -> Opened:
    if image.dim() not in (2, 3, 4):
        raise DataError(f"a tensor of images is [H, W], [C, H, W] or [N, C, H, W], but has shape {list(image.shape)}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise DataError(f"images are uint8 or float, but these are {image.dtype}; convert them, scaled to [0, 1]")
    missing = 4 - image.dim()
    images = image[(None,) * missing]
    return Opened(images, images.shape[1], lambda done: done[(0,) * missing])


def _of_array(image: np.ndarray[Any, Any]) -> Opened:
    if image.ndim not in (2, 3, 4):
        raise DataError(f"an array of images is [H, W], [H, W, C] or [N, H, W, C], but has shape {list(image.shape)}")
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise DataError(f"images are uint8 or float, but these are {image.dtype}; convert them, scaled to [0, 1]")
    if image.ndim > 2 and image.shape[-3] in (1, 3) and image.shape[-1] > 4:
        raise DataError(
            f"an array of images has its channels last, but {list(image.shape)} looks as if they came first; "
            "move that axis, or give a torch tensor"
        )
    planes = image[None, None] if image.ndim == 2 else np.moveaxis(image, -1, -3)
    planes = planes[None] if planes.ndim == 3 else planes
    images = torch.from_numpy(np.ascontiguousarray(planes))

    def closed(done: Tensor) -> np.ndarray[Any, Any]:
        array = done.numpy()
        if image.ndim == 2:
            return array[0, 0]  # type: ignore[no-any-return]
        last = np.ascontiguousarray(np.moveaxis(array, 1, 3))
        return last[0] if image.ndim == 3 else last

    return Opened(images, images.shape[1], closed)


def _of_set(data: LabelledImages) -> Opened:
    images = torch.from_numpy(np.require(as_images(data), requirements=["C", "W"]))

    def closed(done: Tensor) -> LabelledImages:
        pixels = np.ascontiguousarray(done.numpy())
        content = hashlib.sha256(data.fingerprint.encode())
        content.update(pixels.data)
        notes = {name: note for name, note in data.notes.items() if name != "copies"}  # they redraw the former pixels
        return replace(data, images=pixels, fingerprint=content.hexdigest()[:16], notes=notes)

    return Opened(images, images.shape[1], closed)


def _of_picture(image: Any) -> Opened:
    from PIL import Image

    if image.mode not in MODES:
        raise DataError(
            f"PIL images of mode {', '.join(MODES)} are taken, but this is '{image.mode}'; use image.convert('RGB')"
        )
    inner = _of_array(np.array(image))
    return Opened(inner.images, MODES[image.mode], lambda done: Image.fromarray(inner.closed(done)))
