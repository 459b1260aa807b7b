"""Colour against Pillow and DiffAugment's three steps written out; colour matrices against hand
computations; cutout against a loop over pixels."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from augury.augment import adjust, colour_matrices, cutout, recolour


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_neutral_parameters_change_nothing(channels: int) -> None:
    images = noise(2, channels, 5, 7)
    torch.testing.assert_close(adjust(images, vector(0, 0), vector(1, 1), vector(1, 1)), images)
    grey = adjust(images, vector(0, 0), vector(1, 1), vector(0, 0))
    torch.testing.assert_close(grey, images.mean(1, keepdim=True).expand_as(images) if channels > 1 else images)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_one_pass_equals_the_three_steps(channels: int) -> None:
    images = noise(3, channels, 6, 4)
    brightness, contrast, saturation = vector(0.3, -0.5, 0.1), vector(0.5, 1.5, 1.1), vector(0.0, 2.0, 0.7)
    actual = adjust(images, brightness, contrast, saturation)
    for i in range(3):
        x = images[i].numpy() + brightness[i].item()
        x = x.mean(0) + (x - x.mean(0)) * saturation[i].item()
        x = x.mean() + (x - x.mean()) * contrast[i].item()
        np.testing.assert_allclose(actual[i].numpy(), x, atol=1e-12)


@pytest.mark.parametrize("factor", [0.4, 0.8, 1.2])
def test_contrast_of_grey_images_agrees_with_pillow(factor: float) -> None:
    pixels = np.random.default_rng(0).integers(60, 190, (16, 16), dtype=np.uint8)
    expected = np.asarray(ImageEnhance.Contrast(Image.fromarray(pixels)).enhance(factor), dtype=np.float64)
    images = torch.from_numpy(pixels).double().view(1, 1, 16, 16) / 127.5 - 1
    actual = adjust(images, vector(0), vector(factor), vector(1))
    assert (
        np.abs((actual.numpy()[0, 0] + 1) * 127.5 - expected).max() <= 1.5
    )  # Pillow rounds the mean and truncates the pixel


def test_adjust_is_twice_differentiable() -> None:
    images = noise(2, 3, 3, 4).requires_grad_()

    def colour(x: Tensor) -> Tensor:
        return adjust(x, vector(0.1, 0.2), vector(0.5, 1.5), vector(0.3, 1.4))

    assert torch.autograd.gradcheck(colour, images)
    assert torch.autograd.gradgradcheck(lambda x: colour(x).square(), images)


def tinted(images: Tensor, **changes: float) -> Tensor:
    """All images through the colour matrix of these parameters; those not given are neutral."""
    neutral = {"brightness": 0.0, "contrast": 1.0, "inverted": 0.0, "hue": 0.0, "saturation": 1.0}
    parameters = {k: vector(*[v] * len(images)) for k, v in {**neutral, **changes}.items()}
    return recolour(images, colour_matrices(images.shape[1], **parameters))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_a_neutral_colour_matrix_is_the_identity_to_the_bit(channels: int) -> None:
    images = noise(3, channels, 5, 7)
    assert torch.equal(tinted(images), images)
    assert torch.equal(tinted(images.float()), images.float())


def test_hue_turns_about_the_grey_axis() -> None:
    images = noise(2, 3, 4, 5)
    torch.testing.assert_close(tinted(images, hue=360.0), images)
    torch.testing.assert_close(tinted(images, hue=120.0), images.roll(1, 1))  # red becomes green, green blue
    rotated = tinted(images, hue=77.0)
    torch.testing.assert_close(rotated.mean(1), images.mean(1))
    torch.testing.assert_close(rotated.square().sum(1), images.square().sum(1))
    opposite = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
    torch.testing.assert_close(tinted(opposite, hue=180.0), -opposite)


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_inversion_negates_luma_and_keeps_chroma_and_saturation_zero_is_grey(channels: int) -> None:
    images = noise(2, channels, 4, 5)
    luma = images.mean(1, keepdim=True)
    torch.testing.assert_close(tinted(images, inverted=1.0), images - 2 * luma)
    torch.testing.assert_close(tinted(images, saturation=0.0), luma.expand_as(images))
    torch.testing.assert_close(tinted(images, saturation=2.5), luma + 2.5 * (images - luma))
    torch.testing.assert_close(tinted(images, brightness=0.3, contrast=1.5), 1.5 * (images + 0.3))
    if channels != 3:
        assert torch.equal(tinted(images, hue=50.0), images)


def test_one_channel_has_brightness_contrast_and_inversion_only() -> None:
    images = noise(2, 1, 4, 5)
    assert torch.equal(tinted(images, hue=50.0, saturation=0.3), images)
    torch.testing.assert_close(tinted(images, brightness=0.2, contrast=0.5, inverted=1.0), -0.5 * (images + 0.2))


def test_colour_matrix_is_the_product_of_the_single_changes() -> None:
    """Karras et al. 2020, appendix B, in homogeneous coordinates."""
    b, c, theta, s = 0.2, 1.7, 40.0, 0.6
    grey, eye = np.full((3, 3), 1 / 3), np.eye(3)
    axis = np.ones(3) / 3**0.5
    cross = np.cross(eye, axis)  # its rows are e x axis, so that it is the transpose of x -> x x axis: x -> axis x x
    cos, sin = np.cos(np.deg2rad(theta)), np.sin(np.deg2rad(theta))
    linear = (grey + s * (eye - grey)) @ (grey + cos * (eye - grey) + sin * cross) @ (eye - 2 * grey) * c
    actual = colour_matrices(3, vector(b), vector(c), vector(1), vector(theta), vector(s))[0].numpy()
    np.testing.assert_allclose(actual[:, :3], linear, atol=1e-12)
    np.testing.assert_allclose(actual[:, 3], linear @ np.full(3, b), atol=1e-12)


BOXES = [((8, 8), 0.5), ((6, 11), 0.5), ((9, 5), 0.3), ((4, 4), 0.0), ((4, 4), 1.0)]


@pytest.mark.parametrize(("size", "fraction"), BOXES)
def test_cutout_zeroes_one_box_an_image(size: tuple[int, int], fraction: float) -> None:
    images = torch.ones(50, 2, *size)
    centres = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    actual = cutout(images, centres, fraction)
    h, w = size
    tall, wide = int(h * fraction + 0.5), int(w * fraction + 0.5)
    for i in range(50):
        left = int(centres[i, 0].item() * (w + 1 - wide % 2)) - wide // 2
        top = int(centres[i, 1].item() * (h + 1 - tall % 2)) - tall // 2
        expected = np.ones((2, h, w))
        expected[:, max(top, 0) : max(top + tall, 0), max(left, 0) : max(left + wide, 0)] = 0
        np.testing.assert_array_equal(actual[i].numpy(), expected)


def test_only_the_named_images_get_a_box() -> None:
    images, centres = torch.ones(3, 1, 6, 6), torch.full((3, 2), 0.5)
    actual = cutout(images, centres, hidden=torch.tensor([True, False, True]))
    assert (actual == 0).any(3).any(2).flatten().tolist() == [True, False, True]


def test_cutout_is_twice_differentiable() -> None:
    images, centres = noise(2, 1, 4, 5).requires_grad_(), vector(0.2, 0.7, 0.9, 0.1).view(2, 2)
    assert torch.autograd.gradcheck(lambda x: cutout(x, centres), images)
    assert torch.autograd.gradgradcheck(lambda x: cutout(x, centres).square(), images)
