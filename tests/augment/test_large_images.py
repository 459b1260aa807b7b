"""Blur of large images on a CPU, which sums shifted images, agrees with SciPy and with the convolution that has a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from augury.augment import filters


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_of_large_images(channels: int) -> None:
    images = torch.randn(4, channels, 130, 140, generator=torch.Generator().manual_seed(0))
    sigmas = torch.tensor([0.0, 0.4, 1.0, 2.5])
    blurred = filters.blurred(images, sigmas)
    assert torch.equal(blurred[0], images[0])
    for image, sigma, result in zip(images, sigmas.tolist(), blurred, strict=True):
        radius = int(np.ceil(3 * sigma))
        expected = ndimage.gaussian_filter(image.double().numpy(), (0, sigma, sigma), mode="nearest", radius=radius)
        np.testing.assert_allclose(result.numpy(), expected, atol=2e-6)
    with_gradient = filters.blurred(images.clone().requires_grad_(), sigmas)
    torch.testing.assert_close(blurred, with_gradient.detach(), atol=1e-6, rtol=0)
    assert torch.equal(filters.blurred(images[1:3], sigmas[1:3]), blurred[1:3])  # whatever else is in the batch
