"""EfficientNet-Lite0: features learnt from photographs. The weights come with a package and need no download."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import special
from torch import Tensor

from augury.metrics.check import Features, Floats
from augury.metrics.features import Extractor, Progress, batched
from augury.networks.pretrained import LITE0_SHA256, backbone


def lite0(device: str | torch.device = "cpu", progress: Progress | None = None) -> Extractor:
    """EfficientNet-Lite0 with its ImageNet weights (Tan & Le 2019; Liu 2020): 1280 features, averaged over the
    positions.

    Grey images are repeated to three channels. The scores are named FD-lite0 and KID-lite0, never FID or KID.

    Parameters
    ----------
    device : str or torch.device
        Where the network runs.
    progress : callable, optional
        Called with (images done, images in all) after each batch.

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

    def run(x: Tensor) -> Tensor:
        return network.of_pixels(
            F.interpolate(x, size=(224, 224), mode="bilinear", antialias=True, align_corners=False)
        )

    def probabilities(features: Features) -> Floats:
        return np.asarray(special.softmax(features.astype(np.float64) @ weight.T + bias, axis=1), np.float64)

    return Extractor(
        "lite0",
        "to 224×224, bilinear, antialiased, not rounded; (x - 127) / 128; grey repeated to RGB; float32",
        LITE0_SHA256[:12],
        1280,
        lambda images: batched(run, images, 1280, device, progress, large=True),
        probabilities,
    )
