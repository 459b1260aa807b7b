"""The table of operators that policies draw from: the effect of each on an image, and its range of strengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from augury.augment import filters, jpeg, tones
from augury.augment.colour import around_grey, colour_matrices
from augury.augment.crops import box_maps, boxes_within
from augury.augment.draws import fields
from augury.augment.geometry import compose
from augury.augment.occlusion import erased
from augury.augment.warps import homogeneous, perspectives

Part = Literal["nothing", "place", "bend", "tint", "values"]
"""The kind of an operator, which decides how neighbouring operators are joined: a projective map, control points of a
bending, a colour matrix, or new pixels.

    place   change(strengths [M], extra [draws, M], (H, W))        -> maps [M, 3, 3], output to input
    bend    change(strengths [M], extra [draws, M], (H, W))        -> moves [M, 2, h, w], as `warps.warp` takes them
    tint    change(strengths [M], channels)                        -> colour matrices [M, C, C + 1]
    values  change(images [M, C, H, W], strengths [M], extra)      -> images [M, C, H, W], clamped
"""
KNOTS = 4
"""Control points of `elastic` across and down."""


@dataclass(frozen=True)
class Operator:
    """A change with a strength.

    The strength `neutral` changes nothing; magnitude 0 is `weakest` and magnitude 1 `strongest`. `signed` operators go
    either way from neutral, equally often. `draws` is the number of further uniform numbers per image. With `levels`, a
    tint leaves the mean grey of each image unchanged, not mid-grey.
    """

    part: Part
    change: Callable[..., Tensor]
    neutral: float
    weakest: float
    strongest: float
    signed: bool = False
    draws: int = 0
    levels: bool = False

    def strength(self, magnitude: Tensor, coin: Tensor) -> Tensor:
        """Strengths [M] for magnitudes [M] in [0, 1]; the uniform numbers `coin` [M] decide the sign."""
        reach = magnitude * (self.strongest - self.weakest)
        return self.weakest + (torch.where(coin < 0.5, -reach, reach) if self.signed else reach)


def identity(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """No change."""
    return torch.eye(3).to(strengths).expand(len(strengths), 3, 3)


def rotate(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """Degrees, counter-clockwise."""
    return _affine_map(size, angles=strengths)


def scale(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """Factor."""
    return _affine_map(size, scales=strengths)


def shear_x(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels right for each pixel down."""
    return _affine_map(size, shears=strengths)


def shear_y(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels down for each pixel right."""
    maps = torch.eye(3).to(strengths).repeat(len(strengths), 1, 1)
    maps[:, 1, 0] = -strengths
    return maps


def translate_x(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """Right, as a share of the width."""
    return _affine_map(size, right=strengths)


def translate_y(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """Down, as a share of the height."""
    return _affine_map(size, down=strengths)


def mirror(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """Mirror left and right where the strength is above a half."""
    maps = torch.eye(3).to(strengths).repeat(len(strengths), 1, 1)
    maps[:, 0, 0] = 1 - 2 * (strengths > 0.5).to(strengths)
    return maps


def zoom(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """A random region that covers at least 1 - strength of the image, resized to the full image.

    Its sides differ at most by 4 : 3 (Szegedy et al. 2015).
    """
    covered = 1 - strengths * extra[0]
    boxes = boxes_within(torch.stack([(covered - 0.01) / 0.99, *extra[1:]]), (0.01, 1.0), aspect=size[1] / size[0])
    return homogeneous(box_maps(boxes, size, size))


def perspective(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """Corners moved at random by up to this share of each side."""
    return perspectives((2 * extra.t().view(-1, 4, 2) - 1) * strengths.view(-1, 1, 1), size)


def elastic(strengths: Tensor, extra: Tensor, size: tuple[int, int]) -> Tensor:
    """Control points moved at random by up to this share of each side (Rueckert et al. 1999)."""
    return (2 * extra.t().reshape(-1, 2, KNOTS, KNOTS) - 1) * strengths.view(-1, 1, 1, 1)


def brightness(strengths: Tensor, channels: int) -> Tensor:
    """Factor of the values, black staying black."""
    return around_grey(_tint(channels, strengths, contrast=strengths), torch.full_like(strengths, -1))


def contrast(strengths: Tensor, channels: int) -> Tensor:
    """Factor of the distance from the mean of the image."""
    return _tint(channels, strengths, contrast=strengths)


def saturation(strengths: Tensor, channels: int) -> Tensor:
    """Factor of the distance from grey."""
    return _tint(channels, strengths, saturation=strengths)


def hue(strengths: Tensor, channels: int) -> Tensor:
    """Degrees about the grey axis."""
    return _tint(channels, strengths.double(), hue=strengths.double()).float()


def grey(strengths: Tensor, channels: int) -> Tensor:
    """The distance from grey less this share of it."""
    return _tint(channels, strengths, saturation=1 - strengths)


def gamma(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """Exponent of the values in [0, 1], as a power of two."""
    return tones.gamma_corrected(images, torch.exp2(strengths.double()))


def posterise(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """Number of bits kept of eight."""
    return tones.posterised(images, strengths)


def solarise(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """8-bit level from which values are inverted."""
    return tones.solarised(images, strengths)


def equalise(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """Flatten the histogram."""
    return tones.equalised(images)


def autocontrast(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """Stretch to the full range."""
    return tones.autocontrasted(images)


def sharpness(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """0 smooth, 1 unchanged, 2 sharp."""
    return filters.sharpened(images, strengths).clamp(-1, 1)


def blur(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """Deviation in pixels."""
    return filters.blurred(images, strengths)


def noise(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """Deviation as a share of the range from black to white."""
    return filters.noisy(images, 2 * strengths, fields(extra, tuple(images.shape[1:]))).clamp(-1, 1)


def jpeg_like(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """JPEG quality."""
    return jpeg.compressed(images, strengths)


def erase(images: Tensor, strengths: Tensor, extra: Tensor) -> Tensor:
    """Fill a box with mid-grey that covers this share of the image (Zhong et al. 2020). Its sides differ at most by 10
    : 3.
    """
    nil = torch.zeros_like(strengths)
    boxes = boxes_within(torch.stack([strengths.clamp(1e-6, 1), *extra]), (0.0, 1.0), (0.3, 10 / 3))
    return erased(images, torch.where((strengths > 0)[:, None], boxes, torch.stack([nil] * 4, dim=1)))


OPERATORS: dict[str, Operator] = {
    "identity": Operator("nothing", identity, 0, 0, 0),
    "rotate": Operator("place", rotate, 0, 0, 30, signed=True),
    "scale": Operator("place", scale, 1, 1, 1.4, signed=True),
    "shear_x": Operator("place", shear_x, 0, 0, 0.3, signed=True),
    "shear_y": Operator("place", shear_y, 0, 0, 0.3, signed=True),
    "translate_x": Operator("place", translate_x, 0, 0, 0.45, signed=True),
    "translate_y": Operator("place", translate_y, 0, 0, 0.45, signed=True),
    "mirror": Operator("place", mirror, 0, 1, 1),
    "zoom": Operator("place", zoom, 0, 0, 0.92, draws=4),
    "perspective": Operator("place", perspective, 0, 0, 0.2, draws=8),
    "elastic": Operator("bend", elastic, 0, 0, 0.1, draws=2 * KNOTS * KNOTS),
    "brightness": Operator("tint", brightness, 1, 1, 1.9, signed=True),
    "contrast": Operator("tint", contrast, 1, 1, 1.9, signed=True, levels=True),
    "saturation": Operator("tint", saturation, 1, 1, 1.9, signed=True),
    "hue": Operator("tint", hue, 0, 0, 90, signed=True),
    "grey": Operator("tint", grey, 0, 1, 1),
    "gamma": Operator("values", gamma, 0, 0, 1, signed=True),
    "posterise": Operator("values", posterise, 8, 8, 4),
    "solarise": Operator("values", solarise, 256, 256, 0),
    "equalise": Operator("values", equalise, 0, 1, 1),
    "autocontrast": Operator("values", autocontrast, 0, 1, 1),
    "sharpness": Operator("values", sharpness, 1, 1, 1.9, signed=True),
    "blur": Operator("values", blur, 0, 0, 2),
    "noise": Operator("values", noise, 0, 0, 0.1, draws=2),
    "jpeg_like": Operator("values", jpeg_like, 100, 95, 10),
    "erase": Operator("values", erase, 0, 0.02, 0.33, draws=3),
}
"""The ranges of the 14 operators of RandAugment are those of Cubuk et al. 2020 (as in torchvision); the others are
ours.
"""


def _affine_map(size: tuple[int, int], **parameters: Tensor) -> Tensor:
    """One affine map per image [M, 3, 3] from `parameters`; those left out are neutral."""
    nil = torch.zeros_like(next(iter(parameters.values())))
    moves = torch.stack([parameters.pop("right", nil), parameters.pop("down", nil)], dim=1)
    neutral = {"angles": nil, "scales": nil + 1, "shears": nil}
    return homogeneous(compose(**{**neutral, **parameters}, translations=moves, flips=nil.bool(), size=size))


def _tint(channels: int, strengths: Tensor, **parameters: Tensor) -> Tensor:
    nil = torch.zeros_like(strengths)
    neutral = {"brightness": nil, "contrast": nil + 1, "inverted": nil, "hue": nil, "saturation": nil + 1}
    return colour_matrices(channels, **{**neutral, **parameters})
