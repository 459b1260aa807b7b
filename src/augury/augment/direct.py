"""The changes as functions of one image or several (PIL image, array or tensor), with explicit parameters.

`image` is a PIL image (L, LA, RGB, RGBA), an array [H, W], [H, W, C] or [N, H, W, C], or a tensor [H, W], [C, H, W] or
[N, C, H, W]; uint8 or float. The result has the same kind, mode, dtype and size. A parameter is one number, or a
sequence or tensor with one number for each of N images. Gradients flow through tensors of floats, to parameters too.

`padding` fills what lies beyond the border: "reflection" mirrors the image at its outer edge (the default), "border"
repeats the outermost pixels, "zeros" is the number 0. `mode` is the interpolation: "bilinear", "nearest" or "bicubic".
`span` is the lowest and highest colour value; for uint8 it is always 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from augury.augment import crops, filters, jpeg, tones, warps
from augury.augment.colour import around_grey, colour_matrices, followed, recolour, recoloured_means
from augury.augment.draws import fields, numbers
from augury.augment.forms import Span, opened, per_image, through, toned
from augury.augment.geometry import Mode, Padding, affine, compose, quarter_turns
from augury.augment.occlusion import erased
from augury.augment.philox import ImageDraws
from augury.errors import SettingsError

Held = TypeVar("Held")
Number = float | Sequence[float] | Tensor
Whole = int | Sequence[int] | Tensor
UNIT: Span = (0.0, 1.0)


def rotate(
    image: Held, degrees: Number, *, padding: Padding = "reflection", mode: Mode = "bilinear", expand: bool = False
) -> Held:
    """Rotate counter-clockwise about the centre. Multiples of 90° move pixels without resampling.

    Parameters
    ----------
    image : PIL image, array or tensor
        One image or several, see the module.
    degrees : float, or one per image
        Angle, counter-clockwise.
    padding, mode : str
        See the module.
    expand : bool
            Enlarge the frame so that every rotated image fits; a quarter turn then swaps the sides. Otherwise the size
        stays and corners are cut off.

    Returns
    -------
    PIL image, array or tensor
        Of the same kind as `image`.
    """

    def change(images: Tensor) -> Tensor:
        angles = per_image(degrees, images)
        size = _expanded_size(images, angles) if expand else (images.shape[2], images.shape[3])
        exact = (angles.detach() % 90 == 0) & (not angles.requires_grad)
        if expand and bool(exact.all()) and len(set((angles % 180).tolist())) == 1:
            turns = (angles / 90).long()
            return torch.stack([i.rot90(int(k), (1, 2)) for i, k in zip(images, turns, strict=True)])
        exact = exact & (size == tuple(images.shape[2:]))
        if bool(exact.all()):
            return quarter_turns(images, (angles / 90).long(), padding)
        turned = affine(images, _maps(images, angles=angles), padding, mode, size)
        if not bool(exact.any()):
            return turned
        return torch.where(
            exact.view(-1, 1, 1, 1), quarter_turns(images, (angles / 90).round().long(), padding), turned
        )

    return through(image, change)


def scale(image: Held, factor: Number, *, padding: Padding = "reflection", mode: Mode = "bilinear") -> Held:
    """Scale the content by `factor` (above 0) about the centre; the frame keeps its size. There is no smoothing before
    downscaling.

    Raises
    ------
    SettingsError
        When a factor is not above 0.
    """
    if not bool((torch.as_tensor(factor) > 0).all()):
        raise SettingsError(f"a scale is above 0, but {factor} was given; below 1 things shrink")
    return through(image, lambda x: affine(x, _maps(x, scales=per_image(factor, x)), padding, mode))


def shear(image: Held, slope: Number, *, padding: Padding = "reflection", mode: Mode = "bilinear") -> Held:
    """Shear: move rows sideways by `slope` pixels to the right for each pixel down from the centre."""
    return through(image, lambda x: affine(x, _maps(x, shears=per_image(slope, x)), padding, mode))


def shift(
    image: Held, right: Number = 0.0, down: Number = 0.0, *, padding: Padding = "reflection", mode: Mode = "bilinear"
) -> Held:
    """Shift right and down by shares of width and height, with interpolation between pixels."""

    def change(x: Tensor) -> Tensor:
        moves = torch.stack([per_image(right, x), per_image(down, x)], dim=1)
        return affine(x, _maps(x, translations=moves), padding, mode)

    return through(image, change)


def flip(image: Held, mirrored: bool | Sequence[bool] | Tensor = True, *, vertical: bool = False) -> Held:
    """Mirror left and right, or upside down if `vertical`. For several images, `mirrored` bool [N] selects those to mirror."""

    def change(x: Tensor) -> Tensor:
        mask = per_image(mirrored, x).bool().view(-1, 1, 1, 1)
        return torch.where(mask, x.flip(2 if vertical else 3), x)

    return through(image, change)


def crop(image: Held, left: Whole, top: Whole, width: int, height: int, *, padding: Padding = "reflection") -> Held:
    """The region of `width` by `height` pixels that begins at (`left`, `top`). The size changes.

    Parameters
    ----------
    image : PIL image, array or tensor
        One image or several, see the module.
    left, top : int, or one per image
        First column and row, in pixels; they may lie outside the image.
    width, height : int
        Size of the result in pixels.
    padding : str
        See the module.

    Returns
    -------
    PIL image, array or tensor
        Of the same kind as `image`.
    """

    def change(x: Tensor) -> Tensor:
        corners = torch.stack([per_image(left, x).long(), per_image(top, x).long()], dim=1)
        return crops.cropped(x, corners, (height, width), padding)

    return through(image, change)


def resized_crop(
    image: Held, box: Sequence[float] | Tensor, size: tuple[int, int] | None = None, *, mode: Mode = "bilinear"
) -> Held:
    """The `box` of each image, resized to `size`. There is no smoothing before downscaling; the border is repeated.

    Parameters
    ----------
    image : PIL image, array or tensor
        One image or several, see the module.
    box : sequence or Tensor
        Left, top, right, bottom as shares of width and height; or [N, 4].
    size : (int, int), optional
        Height and width; those of the image if None.
    mode : str
        See the module.

    Returns
    -------
    PIL image, array or tensor
        Of the same kind as `image`.
    """

    def change(x: Tensor) -> Tensor:
        boxes = torch.as_tensor(box, dtype=torch.float32, device=x.device).expand(len(x), 4)
        return crops.resized(x, boxes, size or (x.shape[2], x.shape[3]), mode)

    return through(image, change)


def random_crop(
    image: Held, width: int, height: int, *, seed: int, margin: int = 0, padding: Padding = "reflection"
) -> Held:
    """A region of `width` by `height` pixels at a random position in each image, or up to `margin` pixels outside it.

    Raises
    ------
    SettingsError
        When the region is larger than the image and its margin.
    """

    def change(x: Tensor) -> Tensor:
        margins = torch.tensor([x.shape[3] - width, x.shape[2] - height]) + 2 * margin
        if bool((margins < 0).any()):
            raise SettingsError(
                f"a part of {height} x {width} does not fit into images of {x.shape[2]} x {x.shape[3]} with a margin of "
                f"{margin}; ask for less, or for a wider margin"
            )
        corners = (numbers(len(x), ImageDraws(seed, 0, range(len(x))), 2).t() * (margins + 1)).long() - margin
        return crops.cropped(x, corners, (height, width), padding)

    return through(image, change)


def random_resized_crop(
    image: Held,
    size: tuple[int, int] | None = None,
    *,
    seed: int,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Held:
    """A random region of each image, resized to `size` (Szegedy et al. 2015).

    Parameters
    ----------
    image : PIL image, array or tensor
        One image or several, see the module.
    size : (int, int), optional
        Height and width; those of the image if None.
    seed : int
        The draws depend on (seed, position in the batch).
    area : (float, float)
        Range of the share of the image that the region covers.
    ratio : (float, float)
        Range of its width over its height.

    Returns
    -------
    PIL image, array or tensor
        Of the same kind as `image`.
    """
    x = opened(image).images
    aspect = x.shape[3] / x.shape[2]
    boxes = crops.boxes_within(numbers(len(x), ImageDraws(seed, 0, range(len(x))), 4), area, ratio, aspect)
    return resized_crop(image, boxes, size)


def perspective(
    image: Held,
    corners: Sequence[Sequence[float]] | Tensor,
    *,
    padding: Padding = "reflection",
    mode: Mode = "bilinear",
) -> Held:
    """Change the perspective: each corner of the result shows the input at an offset from that corner.

    Parameters
    ----------
    image : PIL image, array or tensor
        One image or several, see the module.
    corners : sequence or Tensor
        Four offsets (right, down) as shares of width and height, clockwise from the upper left; or [N, 4, 2].
    padding, mode : str
        See the module.

    Returns
    -------
    PIL image, array or tensor
        Of the same kind as `image`.
    """

    def change(x: Tensor) -> Tensor:
        dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        offsets = torch.as_tensor(corners, dtype=dtype, device=x.device).expand(len(x), 4, 2)
        return warps.warp(x, warps.perspectives(offsets, (x.shape[2], x.shape[3])), None, padding, mode)

    return through(image, change)


def elastic(image: Held, moves: Tensor, *, padding: Padding = "reflection", mode: Mode = "bilinear") -> Held:
    """Deform elastically by moves at control points, bicubic between them (free-form deformation, Rueckert et al.
    1999).

    `moves` are [2, h, w] or [N, 2, h, w], right and down as shares of width and height. The h × w control points are
    spread from corner to corner.
    """

    def change(x: Tensor) -> Tensor:
        bends = moves.to(x).expand(len(x), *moves.shape[-3:])
        eye = torch.eye(3, dtype=x.dtype, device=x.device).expand(len(x), 3, 3)
        return warps.warp(x, eye, bends, padding, mode)

    return through(image, change)


def color_adjust(
    image: Held,
    *,
    brightness: Number = 1.0,
    contrast: Number = 1.0,
    saturation: Number = 1.0,
    hue: Number = 0.0,
    gamma: Number = 1.0,
    span: Span = UNIT,
) -> Held:
    """Change brightness, hue, saturation and contrast in one matrix, then gamma.

    Parameters
    ----------
    image : PIL image, array or tensor
        One image or several, see the module.
    brightness : float, or one per image
        Factor of the values. Neutral: 1.
    hue : float, or one per image
        Degrees about the grey axis. Neutral: 0. Applied after the brightness.
    saturation : float, or one per image
        Factor of the distance of each pixel from grey, the mean of its channels. Neutral: 1.
    contrast : float, or one per image
        Factor of the distance from the mean of the image. Neutral: 1. Last in the matrix.
    gamma : float, or one per image
        Exponent of the values clamped to [0, 1]. Neutral: 1.
    span : (float, float)
        See the module.

    Returns
    -------
    PIL image, array or tensor
        Of the same kind as `image`.
    """

    def change(x: Tensor) -> Tensor:
        b, c, s, h, g = (per_image(v, x) for v in (brightness, contrast, saturation, hue, gamma))
        nil, one = torch.zeros_like(b), torch.ones_like(b)
        tint = around_grey(colour_matrices(x.shape[1], nil, b, nil, h, s), -one)  # black stays black
        if _changes(contrast, 1.0):
            level = recoloured_means(x.mean((2, 3)), tint)
            tint = followed(tint, around_grey(colour_matrices(x.shape[1], nil, c, nil, nil, one), level))
        tinted = recolour(x, tint)
        return tones.gamma_corrected(tinted, g) if _changes(gamma, 1.0) else tinted

    return toned(image, change, span)


def grey(image: Held, *, span: Span = UNIT) -> Held:
    """Replace every channel by the mean of the channels; the number of channels stays."""
    return toned(image, lambda x: x.mean(1, keepdim=True).expand_as(x), span)


def equalise(image: Held, *, span: Span = UNIT) -> Held:
    """Flatten the histogram of each channel, as Pillow's `ImageOps.equalize`; floats are binned in 256 levels."""
    return toned(image, tones.equalised, span)


def autocontrast(image: Held, *, span: Span = UNIT) -> Held:
    """Stretch each channel to the full range, as Pillow's `ImageOps.autocontrast`."""
    return toned(image, tones.autocontrasted, span)


def posterise(image: Held, bits: Number, *, span: Span = UNIT) -> Held:
    """Keep only the highest `bits`, 1 to 8, of each 8-bit level."""
    return toned(image, lambda x: tones.posterised(x, per_image(bits, x)), span)


def solarise(image: Held, threshold: Number = 0.5, *, span: Span = UNIT) -> Held:
    """Invert values of at least `threshold`, a share of the range."""
    return toned(image, lambda x: tones.solarised(x, 256 * per_image(threshold, x)), span)


def blur(image: Held, sigma: Number) -> Held:
    """Gaussian blur with a standard deviation of `sigma` pixels, cut off at three; the border is repeated."""
    return through(image, lambda x: filters.blurred(x, per_image(sigma, x)))


def sharpen(image: Held, factor: Number, *, span: Span = UNIT) -> Held:
    """Sharpen: 0 is smooth, 1 unchanged, 2 sharp, as Pillow's `ImageEnhance.Sharpness`."""
    return toned(image, lambda x: filters.sharpened(x, per_image(factor, x)), span)


def noise(image: Held, sigma: Number, *, seed: int, span: Span = UNIT) -> Held:
    """Add Gaussian noise with standard deviation `sigma`, a share of the range. The noise depends on (`seed`, position
    in the batch).
    """

    def change(x: Tensor) -> Tensor:
        field = fields(numbers(len(x), ImageDraws(seed, 0, range(len(x))), 2), tuple(x.shape[1:]))
        return filters.noisy(x, 2 * per_image(sigma, x), field)

    return toned(image, change, span)


def jpeg_like(image: Held, quality: Number, *, span: Span = UNIT) -> Held:
    """Add JPEG artefacts at `quality` 1 to 100, without chroma subsampling; see `jpeg.compressed`."""
    return toned(image, lambda x: jpeg.compressed(x, per_image(quality, x)), span)


def erase(image: Held, box: Sequence[float] | Tensor, *, fill: float = 0.0) -> Held:
    """Set the `box` to `fill`, in the values of the image.

    `box` is left, top, right, bottom as shares of width and height, rounded to pixels; or [N, 4].
    """
    boxes = torch.as_tensor(box, dtype=torch.float32)
    return through(image, lambda x: erased(x, boxes.expand(len(x), 4), fill))


def _maps(images: Tensor, **parameters: Tensor) -> Tensor:
    """Call `compose` with `parameters`; those left out are neutral."""
    nil = torch.zeros_like(
        next(iter(parameters.values()))[..., 0] if "translations" in parameters else next(iter(parameters.values()))
    )
    neutral = {
        "angles": nil,
        "scales": nil + 1,
        "shears": nil,
        "translations": torch.stack([nil, nil], dim=1),
        "flips": nil.bool(),
    }
    return compose(**{**neutral, **parameters}, size=(images.shape[2], images.shape[3]))


def _expanded_size(images: Tensor, angles: Tensor) -> tuple[int, int]:
    """(height, width) of a frame that holds every image rotated by its angle."""
    h, w = images.shape[2:]
    turn = torch.deg2rad(angles.detach().double())
    cos, sin = turn.cos().abs(), turn.sin().abs()
    slack = 1e-6  # a rounding error must not add a pixel
    sides = (h * cos + w * sin, w * cos + h * sin)
    tall, wide = (int(torch.ceil(side.max() - slack)) for side in sides)
    return tall, wide


def _changes(value: Number, neutral: float) -> bool:
    return isinstance(value, Tensor) or value != neutral


DIRECT: dict[str, Callable[..., object]] = {
    f.__name__: f
    for f in (
        rotate, scale, shear, shift, flip, crop, random_crop, resized_crop, random_resized_crop, perspective, elastic,
        color_adjust, grey, equalise, autocontrast, posterise, solarise, blur, sharpen, noise, jpeg_like, erase,
    )
}  # fmt: skip
