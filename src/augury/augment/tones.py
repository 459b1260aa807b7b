"""New values pixel by pixel, where a colour matrix cannot express the change; images float [N, C, H, W] in [-1, 1].

Steps have no useful gradient. `posterised` and `equalised` pass gradients through unchanged (the straight-through
estimator, Bengio et al. 2013). 8-bit levels count 0 to 255 for -1 to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gamma_corrected(images: Tensor, gamma: Tensor) -> Tensor:
    """v^`gamma` [N] of the values v, clamped to [0, 1] first."""
    value = (images + 1) / 2
    above = value > 0  # the gradient at 0 may be infinite
    power = torch.where(above, value, 1).clamp(max=1) ** _wide(gamma, images)
    return torch.where(above, 2 * power - 1, -1)


def posterised(images: Tensor, bits: Tensor) -> Tensor:
    """Keep only the highest `bits` [N], 1 to 8 (rounded), of the 8-bit level, as Pillow does."""
    step = torch.exp2(8 - _wide(bits, images).round())
    quantised = (images.detach() * (127.5 / step)).add_(128 / step).floor_()  # 128 also rounds to a level
    return _straight(quantised.mul_(step / 127.5).sub_(1), images)


def solarised(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert values whose 8-bit level is at least `threshold` [N], 0 to 256."""
    # A product, as torch.where is several times slower where its choice varies from pixel to pixel.
    sign = (images.detach() >= (_wide(threshold, images) - 128) / 127.5).to(images.dtype).mul_(-2).add_(1)
    return images * sign


def equalised(images: Tensor) -> Tensor:
    """Equalise the histogram of each channel of each image, by Pillow's integer rule."""
    n, c, h, w = images.shape
    level = levels(images).long().reshape(n * c, h * w)
    counts = torch.zeros(n * c, 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, level, torch.ones_like(level))
    last = 255 - (counts.flip(1) > 0).int().argmax(1, keepdim=True)  # Pillow leaves out the highest level in use
    step = (h * w - counts.gather(1, last)).div(255, rounding_mode="floor")
    below = counts.cumsum(1) - counts + step.div(2, rounding_mode="floor")
    table = (below.div(step.clamp(min=1), rounding_mode="floor")).clamp(max=255).to(images.dtype) / 127.5 - 1
    mapped = table.gather(1, level).view(n, c, h, w)
    few = (step <= 0).view(n, c, 1, 1)  # unchanged with too few pixels
    return _straight(_except(few, images, mapped), images)


def autocontrasted(images: Tensor) -> Tensor:
    """Stretch each channel of each image to reach from black to white; a constant channel stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high <= low
    return _except(flat, images, (images - low) * (2 / torch.where(flat, 1, high - low)) - 1)


def levels(images: Tensor) -> Tensor:
    """The nearest 8-bit level of each value, as float 0 to 255, without a gradient."""
    return (images.detach() * 127.5).add_(127.5).round_().clamp_(0, 255)


def _except(rare: Tensor, images: Tensor, changed: Tensor) -> Tensor:
    """`images` where `rare` [N, C, 1, 1], else `changed`; on a CPU nothing is copied where no channel is rare."""
    if rare.device.type == "cpu" and not bool(rare.any()):
        return changed
    return torch.where(rare, images, changed)


def _straight(values: Tensor, images: Tensor) -> Tensor:
    return images + (values - images).detach() if images.requires_grad else values


def _wide(parameter: Tensor, images: Tensor) -> Tensor:
    return parameter.to(images).view(-1, 1, 1, 1)
