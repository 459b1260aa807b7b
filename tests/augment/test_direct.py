"""Operators on PIL images, arrays and tensors, each against Pillow, SciPy, NumPy or a formula written out."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageEnhance, ImageOps
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from augury import augment as A
from augury.augment import DIRECT, color_adjust, rotate, scale
from augury.errors import DataError, SettingsError

SMOOTH = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(40, 56, 3)), (2, 2, 0))
PHOTO = np.clip(128 + 380 * SMOOTH, 0, 255).astype(np.uint8)
"""uint8 [40, 56, 3], smooth as photographs are, with a few values cut off."""
NOISE = np.random.default_rng(1).integers(0, 256, (9, 14, 3), dtype=np.uint8)

ARGUMENTS: dict[str, dict[str, Any]] = {
    "rotate": {"degrees": 33.0},
    "scale": {"factor": 1.2},
    "shear": {"slope": 0.2},
    "shift": {"right": 0.13, "down": -0.2},
    "flip": {"vertical": True},
    "crop": {"left": -1, "top": 2, "width": 14, "height": 9},
    "random_crop": {"width": 14, "height": 9, "seed": 0, "margin": 2},
    "resized_crop": {"box": (0.1, 0.2, 0.8, 0.9)},
    "random_resized_crop": {"seed": 0},
    "perspective": {"corners": ((0.1, 0.0), (-0.05, 0.1), (0.0, 0.05), (0.1, -0.1))},
    "elastic": {"moves": 0.05 * torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))},
    "color_adjust": {"brightness": 1.1, "contrast": 1.5, "saturation": 0.7, "hue": 20.0, "gamma": 1.2},
    "grey": {},
    "equalise": {},
    "autocontrast": {},
    "posterise": {"bits": 3},
    "solarise": {"threshold": 0.5},
    "blur": {"sigma": 1.3},
    "sharpen": {"factor": 1.7},
    "noise": {"sigma": 0.1, "seed": 0},
    "jpeg_like": {"quality": 40},
    "erase": {"box": (0.2, 0.1, 0.7, 0.6)},
}
every_operator = pytest.mark.parametrize("name", DIRECT)


def tensor(array: np.ndarray) -> Tensor:
    """uint8 or float [H, W, C] -> [C, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)


def holders() -> dict[str, Any]:
    return {
        "RGB": Image.fromarray(NOISE),
        "L": Image.fromarray(NOISE[..., 0]),
        "RGBA": Image.fromarray(np.concatenate([NOISE, NOISE[..., :1]], axis=2)),
        "array": NOISE,
        "grey array": NOISE[..., 0],
        "float array": NOISE / 255,
        "arrays": np.stack([NOISE, NOISE]),
        "tensor": tensor(NOISE),
        "float tensor": tensor(NOISE).float() / 255,
        "half tensor": tensor(NOISE).half() / 255,
        "tensors": tensor(np.concatenate([NOISE, NOISE], axis=2))[None].expand(3, 6, 9, 14),
    }


def pixels(image: Any) -> np.ndarray:
    return image.numpy() if isinstance(image, Tensor) else np.asarray(image)


def kind(image: Any) -> tuple[Any, ...]:
    return type(image), getattr(image, "mode", None), getattr(image, "size", None), *_form(image)


def _form(image: Any) -> tuple[Any, ...]:
    return () if isinstance(image, Image.Image) else (image.dtype, tuple(image.shape))


def test_the_three_lines_of_the_mission() -> None:
    image = Image.fromarray(PHOTO)
    rotated, larger, crisper = rotate(image, degrees=90), scale(image, factor=1.2), color_adjust(image, contrast=1.5)
    assert {i.size for i in (rotated, larger, crisper)} == {image.size}
    assert {i.mode for i in (rotated, larger, crisper)} == {"RGB"}


@every_operator
@pytest.mark.parametrize("holder", holders())
def test_what_comes_back_is_what_was_given(name: str, holder: str) -> None:
    image = holders()[holder]
    before = np.copy(pixels(image))
    out = DIRECT[name](image, **ARGUMENTS[name])
    if isinstance(image, Tensor):
        assert kind(out)[3:] == kind(image)[3:] and isinstance(out, Tensor)
    else:
        assert kind(out) == kind(image)
    assert np.array_equal(pixels(image), before), "the image given was written to"
    if name not in ("equalise", "autocontrast") and (name != "grey" or holder not in ("L", "grey array")):
        assert not np.array_equal(pixels(out), before)


@every_operator
def test_arrays_pictures_and_tensors_agree(name: str) -> None:
    expected = np.array(DIRECT[name](NOISE, **ARGUMENTS[name]))
    assert np.array_equal(np.array(DIRECT[name](Image.fromarray(NOISE), **ARGUMENTS[name])), expected)
    assert np.array_equal(DIRECT[name](tensor(NOISE), **ARGUMENTS[name]).permute(1, 2, 0).numpy(), expected)
    floats = DIRECT[name](NOISE / 255, **ARGUMENTS[name])
    spread = DIRECT[name](NOISE / 127.5 - 1, **ARGUMENTS[name], **({"span": (-1, 1)} if name in TONES else {}))
    if name != "erase":  # its fill is in the values of the image
        np.testing.assert_allclose(spread, 2 * floats - 1, atol=1e-6)
    assert np.abs(np.clip(255 * floats, 0, 255) - expected).max() <= 0.51


TONES = ("color_adjust", "grey", "equalise", "autocontrast", "posterise", "solarise", "sharpen", "noise", "jpeg_like")


@every_operator
def test_each_image_has_its_own_parameter(name: str) -> None:
    batch = tensor(PHOTO)[None].repeat(2, 1, 1, 1)
    first = next((k for k, v in ARGUMENTS[name].items() if isinstance(v, float)), None)
    if first is None:
        return
    value = ARGUMENTS[name][first]
    both = DIRECT[name](batch, **{**ARGUMENTS[name], first: torch.tensor([value, 0.8 * value])})
    for k, argument in enumerate((value, 0.8 * value)):
        single = DIRECT[name](batch[k : k + 1] if name != "noise" else batch, **{**ARGUMENTS[name], first: argument})
        assert torch.equal(both[k], single[k if name == "noise" else 0])


@pytest.mark.parametrize("holder", ["array", "float array"])
@pytest.mark.parametrize("turns", [-3, -1, 0, 1, 2, 3, 4])
def test_quarter_turns_change_no_pixel(turns: int, holder: str) -> None:
    image = holders()[holder]
    assert np.array_equal(rotate(image, 90 * turns, expand=True), np.rot90(image, turns))
    square = image[:, :9]
    assert np.array_equal(rotate(square, 90 * turns), np.rot90(square, turns))
    assert np.array_equal(rotate(image, 180 * turns), np.rot90(image, 2 * turns))


@pytest.mark.parametrize(("h", "w"), [(10, 14), (14, 10), (9, 14), (14, 9), (3, 11)])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("turns", [1, 3])
def test_quarter_turns_in_a_frame_of_the_same_size_cut_off_and_fill(h: int, w: int, padding: str, turns: int) -> None:
    image = np.random.default_rng(2).integers(1, 256, (h, w), dtype=np.uint8)
    mode = {"zeros": "constant", "border": "edge", "reflection": "symmetric"}[padding]
    wide = np.pad(np.rot90(image, turns), 2 * max(h, w), mode=mode)  # [w, h] and room around it
    top, left = (wide.shape[0] - h + 1) // 2, (wide.shape[1] - w + 1) // 2
    assert np.array_equal(rotate(image, 90 * turns, padding=padding), wide[top : top + h, left : left + w])


def test_a_batch_may_mix_quarter_turns_with_others() -> None:
    batch = tensor(NOISE[:, :9])[None].repeat(3, 1, 1, 1)
    out = rotate(batch, torch.tensor([90.0, 20.0, 0.0]))
    assert torch.equal(out[0], batch[0].rot90(1, (1, 2))) and torch.equal(out[2], batch[2])
    assert torch.equal(out[1], rotate(batch[1], 20.0))


@pytest.mark.parametrize("degrees", [13.0, -40.0, 200.0])
@pytest.mark.parametrize(("padding", "mode"), [("reflection", "reflect"), ("border", "nearest")])
def test_rotation_and_its_expansion_agree_with_scipy(degrees: float, padding: str, mode: str) -> None:
    image = NOISE / 255
    expected = ndimage.rotate(image, degrees, reshape=False, order=1, mode=mode)
    np.testing.assert_allclose(rotate(image, degrees, padding=padding), expected, atol=1e-6)
    rotated = rotate(image, degrees, expand=True, padding="zeros")
    corners = np.abs(np.array([[np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))]]))
    assert rotated.shape[0] == int(np.ceil(9 * corners[0, 0] + 14 * corners[0, 1]))
    assert rotated.sum() == pytest.approx(image.sum(), rel=0.05), "nothing is cut off"


def resampled(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, mode: str = "reflect") -> np.ndarray:
    return np.stack(
        [ndimage.map_coordinates(c, [rows, columns], order=1, mode=mode) for c in np.moveaxis(image, 2, 0)], 2
    )


def pixel_coordinates(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    return np.mgrid[:h, :w][0] - (h - 1) / 2, np.mgrid[:h, :w][1] - (w - 1) / 2


def test_scale_shear_and_shift_agree_with_scipy() -> None:
    image, (h, w) = NOISE / 255, NOISE.shape[:2]
    y, x = pixel_coordinates(h, w)
    middle = (h - 1) / 2, (w - 1) / 2
    for actual, rows, columns in (
        (scale(image, 1.3), y / 1.3, x / 1.3),
        (A.shear(image, 0.3), y, x - 0.3 * y),
        (A.shift(image, 0.11, -0.23), y + 0.23 * h, x - 0.11 * w),
    ):
        np.testing.assert_allclose(actual, resampled(image, rows + middle[0], columns + middle[1]), atol=1e-6)


def test_perspective_agrees_with_pillow_and_scipy() -> None:
    (h, w), corners = PHOTO.shape[:2], np.array(ARGUMENTS["perspective"]["corners"])
    box = np.array([(0, 0), (w, 0), (w, h), (0, h)], dtype=float)
    target = box + corners * (w, h)
    rows = []
    for (x, y), (u, v) in zip(box, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    c = np.linalg.solve(np.array(rows), target.flatten())
    actual = A.perspective(PHOTO, corners, padding="zeros")
    expected = Image.fromarray(PHOTO).transform((w, h), Image.Transform.PERSPECTIVE, c, Image.Resampling.BILINEAR)
    y, x = np.mgrid[:h, :w] + 0.5
    depth = c[6] * x + c[7] * y + 1
    u, v = (c[0] * x + c[1] * y + c[2]) / depth - 0.5, (c[3] * x + c[4] * y + c[5]) / depth - 0.5
    np.testing.assert_allclose(A.perspective(PHOTO / 255, corners), resampled(PHOTO / 255, v, u), atol=1e-6)
    inside = (u >= 0) & (u <= w - 1) & (v >= 0) & (v <= h - 1)
    assert inside.mean() > 0.8 and np.abs(actual.astype(int) - np.asarray(expected))[inside].max() <= 1


def test_elastic_agrees_with_scipy_on_its_own_bicubic_field() -> None:
    (h, w), moves = PHOTO.shape[:2], ARGUMENTS["elastic"]["moves"]
    knots = moves.double().numpy()

    def cubic(t: float) -> np.ndarray:  # Keys 1981 with a = -0.75, at -1, 0, 1, 2
        a, d = -0.75, np.abs(np.array([1 + t, t, 1 - t, 2 - t]))
        inner = (a + 2) * d**3 - (a + 3) * d**2 + 1
        return np.where(d <= 1, inner, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a)

    def weights(side: int) -> np.ndarray:
        out = np.zeros((side, 4))
        for i in range(side):
            position = i * 3 / (side - 1)
            first = int(np.floor(position))
            for k, weight in enumerate(cubic(position - first)):
                out[i, np.clip(first - 1 + k, 0, 3)] += weight
        return out

    field = weights(h) @ knots @ weights(w).T
    y, x = np.mgrid[:h, :w].astype(float)
    expected = resampled(PHOTO / 255, y + h * field[1], x + w * field[0])
    np.testing.assert_allclose(A.elastic(PHOTO / 255, moves), expected, atol=1e-4)


def test_crops_are_slices_and_resized_boxes_agree_with_scipy() -> None:
    assert np.array_equal(A.crop(NOISE, 3, 1, 5, 6), NOISE[1:7, 3:8])
    wide = np.pad(NOISE, ((4, 4), (4, 4), (0, 0)), mode="symmetric")
    assert np.array_equal(A.crop(NOISE, -2, -3, 14, 9), wide[1:10, 2:16])
    box, (h, w) = (0.1, 0.2, 0.7, 0.9), NOISE.shape[:2]
    y = box[1] * h + (np.arange(20) + 0.5) * (box[3] - box[1]) * h / 20 - 0.5
    x = box[0] * w + (np.arange(30) + 0.5) * (box[2] - box[0]) * w / 30 - 0.5
    expected = resampled(NOISE / 255, *np.meshgrid(y, x, indexing="ij"), mode="nearest")
    np.testing.assert_allclose(A.resized_crop(NOISE / 255, box, (20, 30)), expected, atol=1e-6)
    crops = A.random_crop(torch.arange(48.0).view(1, 1, 6, 8).repeat(200, 1, 1, 1), 3, 2, seed=0)
    starts = crops[:, 0, 0, 0].long()
    assert set((starts % 8).tolist()) == set(range(6)) and set((starts // 8).tolist()) == set(range(5))
    assert A.random_resized_crop(NOISE, (20, 30), seed=1).shape == (20, 30, 3)
    with pytest.raises(SettingsError, match=r"20 x 3 does not fit into images of 9 x 14 with a margin of 2"):
        A.random_crop(NOISE, 3, 20, seed=0, margin=2)


def sampled(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, mode: str, padding: str) -> np.ndarray:
    """[H, W, C] read at places between pixels, by the definitions: the four or sixteen neighbours that Keys' kernels weigh (Keys
    1981; a = -0.75), or the nearest one; beyond the border clamped, mirrored at its outer edge, or 0."""

    def folded(at: np.ndarray, side: int) -> np.ndarray:
        around = at % (2 * side)
        return np.clip(at, 0, side - 1) if padding != "reflection" else np.minimum(around, 2 * side - 1 - around)

    def kernel(d: np.ndarray) -> np.ndarray:
        if mode == "nearest":
            return (np.abs(d) < 0.5).astype(float)
        if mode == "bilinear":
            return np.maximum(0, 1 - np.abs(d))
        a, d = -0.75, np.abs(d)
        outer = np.where(d < 2, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a, 0)
        return np.where(d <= 1, (a + 2) * d**3 - (a + 3) * d**2 + 1, outer)

    h, w = image.shape[:2]
    total = np.zeros((*rows.shape, image.shape[2]))
    for down in range(-1, 3):
        for right in range(-1, 3):
            y, x = np.floor(rows).astype(int) + down, np.floor(columns).astype(int) + right
            weight = kernel(rows - y) * kernel(columns - x)
            if padding == "zeros":
                weight = weight * ((y >= 0) & (y < h) & (x >= 0) & (x < w))
            total += weight[..., None] * image[folded(y, h), folded(x, w)]
    return total


def turned_places(h: int, w: int, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    (y, x), angle = pixel_coordinates(h, w), np.deg2rad(degrees)
    return np.sin(angle) * x + np.cos(angle) * y + (h - 1) / 2, np.cos(angle) * x - np.sin(angle) * y + (w - 1) / 2


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["reflection", "border", "zeros"])
def test_every_interpolation_at_every_border_is_as_its_definition(mode: str, padding: str) -> None:
    """All that moves pixels; bilinear with zeros by SciPy too."""
    image, (h, w) = NOISE / 255, NOISE.shape[:2]
    (y, x), middle = pixel_coordinates(h, w), ((h - 1) / 2, (w - 1) / 2)
    shifts = [(0.11, -0.23)] * 4  # every corner alike is a shift, by perspective and by bending
    cases = {
        "rotate": (rotate(image, 33.0, padding=padding, mode=mode), turned_places(h, w, 33.0)),
        "far": (rotate(image, -128.7, padding=padding, mode=mode), turned_places(h, w, -128.7)),
        "scale": (scale(image, 0.63, padding=padding, mode=mode), (y / 0.63 + middle[0], x / 0.63 + middle[1])),
        "shear": (A.shear(image, 0.31, padding=padding, mode=mode), (y + middle[0], x - 0.31 * y + middle[1])),
        "shift": (
            A.shift(image, 0.11, -0.23, padding=padding, mode=mode),
            (y + 0.23 * h + middle[0], x - 0.11 * w + middle[1]),
        ),
        "perspective": (
            A.perspective(image, shifts, padding=padding, mode=mode),
            (y - 0.23 * h + middle[0], x + 0.11 * w + middle[1]),
        ),
        "elastic": (
            A.elastic(image, torch.tensor([0.11, -0.23]).view(2, 1, 1).expand(2, 4, 4), padding=padding, mode=mode),
            (y - 0.23 * h + middle[0], x + 0.11 * w + middle[1]),
        ),
    }
    if padding == "border":
        rows = 0.2 * h + (np.arange(h) + 0.5) * 0.7 - 0.5
        columns = 0.1 * w + (np.arange(w) + 0.5) * 0.6 - 0.5
        cases["resized_crop"] = (
            A.resized_crop(image, (0.1, 0.2, 0.7, 0.9), mode=mode),
            tuple(np.meshgrid(rows, columns, indexing="ij")),
        )
    for name, (actual, (rows, columns)) in cases.items():
        np.testing.assert_allclose(actual, sampled(image, rows, columns, mode, padding), atol=1e-5, err_msg=name)
        if (mode, padding) == ("bilinear", "zeros"):
            np.testing.assert_allclose(
                actual, resampled(image, rows, columns, "grid-constant"), atol=1e-6, err_msg=name
            )


def test_flips_and_crops_of_each_image_are_its_own() -> None:
    batch = np.stack([NOISE, NOISE[::-1], 255 - NOISE])
    flipped = A.flip(batch, torch.tensor([True, False, True]))
    assert np.array_equal(flipped, np.stack([batch[0, :, ::-1], batch[1], batch[2, :, ::-1]]))
    assert np.array_equal(A.flip(batch, [False, True, False], vertical=True)[1], batch[1, ::-1])
    assert np.array_equal(A.flip(batch, mirrored=False), batch)
    parts = A.crop(batch, torch.tensor([0, 3, 9]), [1, 0, 2], 5, 6)
    assert np.array_equal(parts, np.stack([batch[0, 1:7, :5], batch[1, :6, 3:8], batch[2, 2:8, 9:14]]))
    assert np.array_equal(A.crop(batch, [2, 2, 2], 1, 5, 6), batch[:, 1:7, 2:7])
    with pytest.raises(DataError, match=r"one for each of the 3 images, but has shape \[2\]"):
        A.flip(batch, [True, False])
    with pytest.raises(DataError, match=r"one for each of the 3 images, but has shape \[2\]"):
        A.crop(batch, [0, 1], 0, 5, 6)


def test_flips_are_pillows() -> None:
    image = Image.fromarray(PHOTO)
    assert ImageChops.difference(A.flip(image), ImageOps.mirror(image)).getbbox() is None
    assert ImageChops.difference(A.flip(image, vertical=True), ImageOps.flip(image)).getbbox() is None


PILLOW: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], int]] = {
    "equalise": (A.equalise, ImageOps.equalize, 0),
    "autocontrast": (A.autocontrast, ImageOps.autocontrast, 1),
    "posterise 3": (lambda i: A.posterise(i, 3), lambda i: ImageOps.posterize(i, 3), 0),
    "posterise 8": (lambda i: A.posterise(i, 8), lambda i: ImageOps.posterize(i, 8), 0),
    "solarise 128": (lambda i: A.solarise(i, 0.5), lambda i: ImageOps.solarize(i, 128), 0),
    "solarise 77": (lambda i: A.solarise(i, 77 / 256), lambda i: ImageOps.solarize(i, 77), 0),
    "brightness": (lambda i: color_adjust(i, brightness=0.7), lambda i: ImageEnhance.Brightness(i).enhance(0.7), 1),
    "sharpen 2": (lambda i: A.sharpen(i, 2), lambda i: ImageEnhance.Sharpness(i).enhance(2), 2),
    "smooth": (lambda i: A.sharpen(i, 0), lambda i: ImageEnhance.Sharpness(i).enhance(0), 1),
    "grey contrast": (
        lambda i: color_adjust(i.convert("L"), contrast=0.6),
        lambda i: ImageEnhance.Contrast(i.convert("L")).enhance(0.6),
        2,
    ),
    "gamma": (
        lambda i: color_adjust(i, gamma=2.2),
        lambda i: i.point([round(255 * (v / 255) ** 2.2) for v in range(256)] * 3),
        0,
    ),
}
"""What Pillow does, and by how many levels it may differ: it rounds means and smooth values before they are used."""


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("pixels", [PHOTO, NOISE, np.full((6, 5, 3), 77, np.uint8)], ids=["smooth", "noise", "flat"])
def test_values_agree_with_pillow(name: str, pixels: np.ndarray) -> None:
    augury_function, pillow_function, slack = PILLOW[name]
    actual, expected = (
        np.asarray(augury_function(Image.fromarray(pixels))),
        np.asarray(pillow_function(Image.fromarray(pixels))),
    )
    assert np.abs(actual.astype(int) - expected).max() <= slack


def test_hue_turns_as_a_rotation_about_grey_and_saturation_scales_about_it() -> None:
    image = 0.3 + 0.4 * np.random.default_rng(3).random((5, 6, 3))
    rotated = (
        Rotation.from_rotvec(np.deg2rad(50) * np.ones(3) / 3**0.5).apply(image.reshape(-1, 3)).reshape(image.shape)
    )
    np.testing.assert_allclose(color_adjust(image, hue=50.0), rotated, atol=1e-6)
    mean = image.mean(2, keepdims=True)
    np.testing.assert_allclose(color_adjust(image, saturation=0.4), mean + 0.4 * (image - mean), atol=1e-6)
    np.testing.assert_allclose(A.grey(image), np.broadcast_to(mean, image.shape), atol=1e-6)
    every = color_adjust(image, brightness=1.2, contrast=1.3, saturation=0.4, hue=50.0)
    steps = 1.2 * rotated
    steps = steps.mean(2, keepdims=True) + 0.4 * (steps - steps.mean(2, keepdims=True))
    np.testing.assert_allclose(every, steps.mean() + 1.3 * (steps - steps.mean()), atol=1e-6)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.4])
def test_blur_agrees_with_scipy(sigma: float) -> None:
    expected = ndimage.gaussian_filter(
        PHOTO / 255, (sigma, sigma, 0), mode="nearest", radius=(int(np.ceil(3 * sigma)),) * 2 + (0,)
    )
    np.testing.assert_allclose(A.blur(PHOTO / 255, sigma), expected, atol=1e-6)
    assert np.array_equal(A.blur(PHOTO, 0.0), PHOTO)


def test_noise_is_as_strong_as_it_says_and_its_seed_decides() -> None:
    flat = torch.full((4, 3, 64, 64), 0.5)
    out = A.noise(flat, 0.1, seed=5)
    assert float((out - flat).std()) == pytest.approx(0.1, rel=0.02) and float((out - flat).mean()) == pytest.approx(
        0, abs=0.002
    )
    assert torch.equal(out, A.noise(flat, 0.1, seed=5)) and not torch.equal(out, A.noise(flat, 0.1, seed=6))
    assert torch.equal(out[:2], A.noise(flat[:2], 0.1, seed=5)) and not torch.equal(out[0], out[1])


@pytest.mark.parametrize("quality", [10, 40, 75, 95])
@pytest.mark.parametrize("pixels", [PHOTO, PHOTO[..., 0], PHOTO[:37, :51]], ids=["colour", "grey", "odd size"])
def test_jpeg_agrees_with_pillow(quality: int, pixels: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(file)).astype(int)
    actual = A.jpeg_like(pixels, quality).astype(int)
    assert np.abs(actual - expected).mean() < (1.3 if pixels.ndim == 3 else 0.6)  # libjpeg works in whole numbers
    assert np.array_equal(np.array(Image.open(file).quantization[0]).reshape(8, 8), jpeg_tables(quality)[0])


def jpeg_tables(quality: int) -> np.ndarray:
    from augury.augment.jpeg import quantisation

    return quantisation(torch.tensor([float(quality)]), 3)[0, :, 0, :, 0].numpy()


@pytest.mark.parametrize("quality", [10, 60])
def test_jpeg_is_the_cosine_transform_of_scipy(quality: int) -> None:
    ycc = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    planes = (PHOTO.astype(float) - 128) @ ycc.T
    for y in range(0, 40, 8):
        for x in range(0, 56, 8):
            for plane, table in enumerate(jpeg_tables(quality)):
                block = fft.dctn(planes[y : y + 8, x : x + 8, plane], norm="ortho")
                planes[y : y + 8, x : x + 8, plane] = fft.idctn(np.round(block / table) * table, norm="ortho")
    expected = np.clip(planes @ np.linalg.inv(ycc).T + 128, 0, 255)
    actual = A.jpeg_like(PHOTO.astype(float) / 255, quality) * 255
    assert np.quantile(np.abs(actual - expected), 0.98) < 1e-3, "but for a coefficient that lies on a half"


def test_erasing_fills_one_box() -> None:
    expected = PHOTO.copy()
    expected[4:24, 11:39] = 9
    assert np.array_equal(A.erase(PHOTO, (0.2, 0.1, 0.7, 0.6), fill=9), expected)


def test_transparency_moves_with_the_image_and_keeps_its_values() -> None:
    image = holders()["RGBA"]
    assert np.array_equal(np.array(color_adjust(image, contrast=2.0))[..., 3], np.array(image)[..., 3])
    assert np.array_equal(np.array(A.flip(image)), np.array(image)[:, ::-1])


DIFFERENTIABLE = [n for n in DIRECT if n not in ("equalise", "posterise", "jpeg_like")]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_twice_differentiable(name: str) -> None:
    images = 0.2 + 0.6 * torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images.requires_grad_()
    arguments = {k: v for k, v in ARGUMENTS[name].items() if k not in ("width", "height")}
    arguments |= {"width": 4, "height": 3} if "width" in ARGUMENTS[name] else {}
    assert torch.autograd.gradcheck(lambda x: DIRECT[name](x, **arguments), images)
    assert torch.autograd.gradgradcheck(lambda x: DIRECT[name](x, **arguments).square(), images)


@pytest.mark.parametrize("name", ["equalise", "posterise"])
def test_steps_hand_gradients_straight_on(name: str) -> None:
    images = torch.rand(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 3, 6, 5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((DIRECT[name](images, **ARGUMENTS[name]) * weights).sum(), images)
    torch.testing.assert_close(gradient, weights)


def test_jpeg_hands_gradients_through_its_rounding() -> None:
    images = (0.3 + 0.4 * torch.rand(1, 3, 8, 8, dtype=torch.float64)).requires_grad_()
    weights = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((A.jpeg_like(images, 90) * weights).sum(), images)
    torch.testing.assert_close(gradient, weights)  # the transform and its inverse are one another's


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [("rotate", "degrees", 20.0), ("scale", "factor", 1.2), ("color_adjust", "contrast", 1.3), ("blur", "sigma", 1.2)],
)
def test_gradients_reach_parameters(name: str, parameter: str, value: float) -> None:
    images = torch.rand(1, 2, 7, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    magnitude = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: DIRECT[name](images, **{parameter: v}), magnitude)


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("cat.png", r"a PIL image, a NumPy array, a torch tensor or LabelledImages, but this is a str"),
        (Image.new("P", (4, 4)), r"'P'; use image.convert\('RGB'\)"),
        (np.zeros((3, 8, 9), np.uint8), r"channels last, but \[3, 8, 9\]"),
        (np.zeros((8, 9), np.int64), r"uint8 or float, but these are int64"),
        (torch.zeros(8, dtype=torch.uint8), r"has shape \[8\]"),
        (torch.zeros(3, 8, 9, dtype=torch.int16), r"uint8 or float, but these are torch.int16"),
    ],
)
def test_what_is_no_image_is_refused_with_the_remedy(image: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        A.blur(image, 1.0)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(DataError, match=r"one for each of the 2 images, but has shape \[3\]"):
        rotate(torch.zeros(2, 1, 4, 4), [1.0, 2.0, 3.0])
    with pytest.raises(SettingsError, match="a scale is above 0"):
        scale(NOISE, 0)
