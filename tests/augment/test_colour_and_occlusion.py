"""Colour against Pillow and DiffAugment's three steps written out; cutout against a loop over pixels."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from augury.augment import adjust, cutout


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
    got = adjust(images, brightness, contrast, saturation)
    for i in range(3):
        x = images[i].numpy() + brightness[i].item()
        x = x.mean(0) + (x - x.mean(0)) * saturation[i].item()
        x = x.mean() + (x - x.mean()) * contrast[i].item()
        np.testing.assert_allclose(got[i].numpy(), x, atol=1e-12)


@pytest.mark.parametrize("factor", [0.4, 0.8, 1.2])
def test_contrast_of_grey_images_agrees_with_pillow(factor: float) -> None:
    pixels = np.random.default_rng(0).integers(60, 190, (16, 16), dtype=np.uint8)
    want = np.asarray(ImageEnhance.Contrast(Image.fromarray(pixels)).enhance(factor), dtype=np.float64)
    images = torch.from_numpy(pixels).double().view(1, 1, 16, 16) / 127.5 - 1
    got = adjust(images, vector(0), vector(factor), vector(1))
    assert np.abs((got.numpy()[0, 0] + 1) * 127.5 - want).max() <= 1.5  # Pillow rounds the mean and truncates the pixel


def test_adjust_is_twice_differentiable() -> None:
    images = noise(2, 3, 3, 4).requires_grad_()

    def colour(x: Tensor) -> Tensor:
        return adjust(x, vector(0.1, 0.2), vector(0.5, 1.5), vector(0.3, 1.4))

    assert torch.autograd.gradcheck(colour, images)
    assert torch.autograd.gradgradcheck(lambda x: colour(x).square(), images)


BOXES = [((8, 8), 0.5), ((6, 11), 0.5), ((9, 5), 0.3), ((4, 4), 0.0), ((4, 4), 1.0)]


@pytest.mark.parametrize(("size", "fraction"), BOXES)
def test_cutout_zeroes_one_box_an_image(size: tuple[int, int], fraction: float) -> None:
    images = torch.ones(50, 2, *size)
    centres = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    got = cutout(images, centres, fraction)
    h, w = size
    tall, wide = int(h * fraction + 0.5), int(w * fraction + 0.5)
    for i in range(50):
        left = int(centres[i, 0].item() * (w + 1 - wide % 2)) - wide // 2
        top = int(centres[i, 1].item() * (h + 1 - tall % 2)) - tall // 2
        want = np.ones((2, h, w))
        want[:, max(top, 0) : max(top + tall, 0), max(left, 0) : max(left + wide, 0)] = 0
        np.testing.assert_array_equal(got[i].numpy(), want)


def test_cutout_is_twice_differentiable() -> None:
    images, centres = noise(2, 1, 4, 5).requires_grad_(), vector(0.2, 0.7, 0.9, 0.1).view(2, 2)
    assert torch.autograd.gradcheck(lambda x: cutout(x, centres), images)
    assert torch.autograd.gradgradcheck(lambda x: cutout(x, centres).square(), images)
