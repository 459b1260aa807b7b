"""Brightness, contrast, saturation and hue of each image, in one pass."""

from __future__ import annotations

import torch
from torch import Tensor


def adjust(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Change brightness, then saturation, then contrast, as in DiffAugment (Zhao et al. 2020), in one weighted sum.

    Parameters
    ----------
    images : Tensor
        Float [N, C, H, W].
    brightness : Tensor
        [N], added. Neutral: 0.
    contrast : Tensor
        [N], factor of the distance from the mean of the image. Neutral: 1.
    saturation : Tensor
        [N], factor of the distance of each pixel from the mean of its channels; no effect on one channel. Neutral: 1.

    Returns
    -------
    Tensor
        [N, C, H, W], not clamped.
    """
    b, c, s = (p.to(images.dtype).view(-1, 1, 1, 1) for p in (brightness, contrast, saturation))
    if images.shape[1] == 1:
        return images * c + (images.mean((1, 2, 3), keepdim=True) * (1 - c) + b)
    grey = images.mean(1, keepdim=True)
    return images * (c * s) + (grey * (c * (1 - s)) + (grey.mean((2, 3), keepdim=True) * (1 - c) + b))


def colour_matrices(
    channels: int, brightness: Tensor, contrast: Tensor, inverted: Tensor, hue: Tensor, saturation: Tensor
) -> Tensor:
    """One matrix per image: brightness, contrast, luma inversion, hue, then saturation (Karras et al. 2020, appendix
    B).

    With one channel, which is luma alone, hue and saturation do nothing. Hue does nothing unless there are exactly
    three channels.

    Parameters
    ----------
    channels : int
        C, the number of channels.
    brightness : Tensor
        [N], added.
    contrast : Tensor
        [N], factor of every value; mid-grey, 0, does not change.
    inverted : Tensor
        bool [N], negates luma, the mean of the channels.
    hue : Tensor
        [N] degrees, rotation of the colours about the grey axis.
    saturation : Tensor
        [N], factor of the distance from grey.

    Returns
    -------
    Tensor
        [N, C, C + 1]; the last column is added.
    """
    luma = contrast * (1 - 2 * inverted.to(contrast.dtype))
    chroma = contrast * saturation
    eye = torch.eye(channels, dtype=contrast.dtype, device=contrast.device)
    grey = torch.full_like(eye, 1 / channels)
    if channels == 3:
        quarter = (eye.roll(1, 0) - eye.roll(-1, 0)) / 3**0.5  # the cross product with the grey axis: 90 degrees of hue
        turned = torch.deg2rad(hue)
        along, aside = chroma * turned.cos(), chroma * turned.sin()
    else:
        quarter, along, aside = torch.zeros_like(eye), luma if channels == 1 else chroma, torch.zeros_like(chroma)
    # luma * grey + along * (eye - grey) + aside * quarter, ordered so that neutral parameters give exactly the identity.
    shares = torch.stack([along, luma - along, aside], dim=1)
    linear = (shares[:, :, None, None] * torch.stack([eye, grey, quarter])).sum(1)
    return torch.cat([linear, (luma * brightness).view(-1, 1, 1).expand(-1, channels, 1)], dim=2)


def recolour(images: Tensor, matrices: Tensor) -> Tensor:
    """Apply to each pixel the matrix of its image.

    Parameters
    ----------
    images : Tensor
        Float [N, C, H, W].
    matrices : Tensor
        [N, C, C + 1] from `colour_matrices`.

    Returns
    -------
    Tensor
        [N, C, H, W], not clamped.
    """
    m, c = matrices.to(images.dtype), images.shape[1]
    with torch.autocast(images.device.type, enabled=False):  # bf16 would round images that must not change
        return torch.baddbmm(m[:, :, c:], m[:, :, :c], images.flatten(2)).view(images.shape)


def around_grey(matrices: Tensor, grey: Tensor) -> Tensor:
    """The same changes, but the value `grey` [N] is the fixed point instead of mid-grey; returns [N, C, C + 1]."""
    linear = matrices[:, :, :-1]
    return torch.cat([linear, ((1 - linear.sum(2)) * grey[:, None])[:, :, None]], dim=2)


def followed(first: Tensor, second: Tensor) -> Tensor:
    """The colour matrix that applies the first change and then the second; each is [N, C, C + 1]."""
    total = (second[:, :, :-1, None] * first[:, None]).sum(
        2
    )  # summed explicitly, as autocast would round a matrix product
    return torch.cat([total[:, :, :-1], total[:, :, -1:] + second[:, :, -1:]], dim=2)


def recoloured_means(means: Tensor, matrices: Tensor) -> Tensor:
    """The mean value of each image [N] after its matrix is applied, from the channel means [N, C] before."""
    return ((matrices[:, :, :-1] * means[:, None]).sum(2) + matrices[:, :, -1]).mean(1)
