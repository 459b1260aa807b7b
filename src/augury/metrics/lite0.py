"""EfficientNet-Lite0: features learnt from photographs. The weights come with a package and need no download."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import special
from torch import Tensor, nn

from augury.metrics.check import Features, Floats
from augury.metrics.features import Extractor, Progress, batched
from augury.networks.pretrained import LITE0_SHA256, Backbone, backbone

SIDE = 224
"""Height and width in px of the images of its training, and of scores."""


def lite0(
    device: str | torch.device = "cpu", progress: Progress | None = None, *, longest: int | None = None
) -> Extractor:
    """EfficientNet-Lite0 with its ImageNet weights (Tan & Le 2019; Liu 2020): 1280 features, averaged over the
    positions.

    Grey images are repeated to three channels. The scores are named FD-lite0 and KID-lite0, never FID or KID.

    Parameters
    ----------
    device : str or torch.device
        Where the network runs.
    progress : callable, optional
        Called with (images done, images in all) after each batch.
    longest : int, optional
        Resize images so that their longer side has this many pixels, instead of to 224×224. Smaller is faster; for classifiers
        on features and the monitor of a training, not for scores.

    Returns
    -------
    Extractor
        With ImageNet class probabilities as head.

    Raises
    ------
    MissingExtraError
        When the packages are not installed.
    WeightsError
        When the weights are not the known ones.
    """
    network = backbone("lite0", folded=True).to(device)
    assert network.head is not None
    weight, bias = (value.double().numpy() for value in network.head)

    to = f"to {SIDE}×{SIDE}" if longest is None else f"longer side to {longest}"
    module = Lite0(network, longest)

    def probabilities(features: Features) -> Floats:
        return np.asarray(special.softmax(features.astype(np.float64) @ weight.T + bias, axis=1), np.float64)

    return Extractor(
        "lite0",
        f"{to}, bilinear, antialiased, not rounded; (x - 127) / 128; grey repeated to RGB; float32",
        LITE0_SHA256[:12],
        1280,
        lambda images: batched(module.of_pixels, images, 1280, device, progress, large=(longest or SIDE) >= SIDE),
        probabilities,
        module,
    )


class Lite0(nn.Module):
    """Images [N, 1 or 3, H, W] in [-1, 1] -> features [N, 1280] of `body`, with the resizing of `lite0`."""

    def __init__(self, body: Backbone, longest: int | None) -> None:
        super().__init__()
        self.body, self.longest = body, longest

    def of_pixels(self, x: Tensor) -> Tensor:
        """Pixel values [N, 1 or 3, H, W] of 0 … 255 -> features [N, 1280]."""
        size = (SIDE, SIDE)
        if self.longest is not None:
            factor = self.longest / max(x.shape[2:])
            size = max(1, round(x.shape[2] * factor)), max(1, round(x.shape[3] * factor))
        return self.body.of_pixels(F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False))

    def forward(self, images: Tensor) -> Tensor:
        """images [N, 1 or 3, H, W] in [-1, 1] -> features [N, 1280]."""
        return self.of_pixels((images + 1) * 127.5)
