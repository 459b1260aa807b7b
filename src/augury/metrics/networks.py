"""Extractors with the user's weights: the 2015 Inception network, and any network of timm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import special
from torch import Tensor

from augury.metrics.check import Features, Floats
from augury.metrics.features import Extractor, Progress, batched, fingerprint
from augury.metrics.inception import FEATURES, Inception, folded, load
from augury.metrics.resize import tensorflow1
from augury.networks.pretrained import backbone
from augury.networks.weights import tensors

PUBLISHED = "6726825d"
"""Beginning of the SHA-256 of the published PyTorch file of the 2015-12-05 graph. With that file FD-inception is the
FID.
"""


def inception(
    weights: Path, device: str | torch.device = "cpu", progress: Progress | None = None, *, sha256: str = ""
) -> Extractor:
    """The 2015 Inception network with weights from a file.

    2048 features of the last pooling. The probabilities come from the logits without their bias, as in the published
    Inception Score.

    Parameters
    ----------
    weights : Path
        A state dict or safetensors file of the TensorFlow graph.
    device : str or torch.device
        Where the network runs.
    progress : callable, optional
        Called with (images done, images in all) after each batch.
    sha256 : str
        The beginning that the SHA-256 of the file must have.

    Returns
    -------
    Extractor
        With class probabilities as head.

    Raises
    ------
    WeightsError
        When the file is not of this network, or its SHA-256 does not begin with `sha256`.
    """
    named, digest = tensors(weights, sha256)
    with torch.device("meta"):  # skip random weights, which would draw from the global generator
        network = Inception()
    network.to_empty(device="cpu")
    load(network, named)
    head = network.fc.weight.detach().double().numpy()
    folded(network.eval()).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(x: Tensor) -> Tensor:
        coloured = ((tensorflow1(x, 299) - 128) / 128).expand(-1, 3, -1, -1)
        features: Tensor = network(coloured.contiguous(memory_format=torch.channels_last))
        return features

    def probabilities(features: Features) -> Floats:
        return np.asarray(special.softmax(features.astype(np.float64) @ head.T, axis=1), np.float64)

    kind = "the published file" if digest.startswith(PUBLISHED) else "not the published file, so no FID proper"
    return Extractor(
        "inception",
        f"to 299×299, bilinear as TensorFlow 1, not antialiased, not rounded; (x - 128) / 128; grey repeated to RGB; "
        f"float32; {kind}",
        digest[:12],
        FEATURES,
        lambda images: batched(run, images, FEATURES, device, progress, large=True),
        probabilities,
    )


def timm(
    name: str,
    weights: Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    *,
    sha256: str = "",
) -> Extractor:
    """A network of timm by name, such as vit_small_patch14_dinov2.lvd142m, without its classifier.

    Images are resized (bicubic, antialiased, the full image) and scaled as in the network's training.

    Parameters
    ----------
    name : str
        Name in timm.
    weights : Path, optional
        Weights file; timm downloads the weights if None.
    device : str or torch.device
        Where the network runs.
    progress : callable, optional
        Called with (images done, images in all) after each batch.
    sha256 : str
        The beginning that the SHA-256 of the file must have.

    Returns
    -------
    Extractor
        The extractor.

    Raises
    ------
    MissingExtraError
        Without timm.
    SettingsError
        For a name that timm does not have.
    WeightsError
        When the file is of another network, or its SHA-256 does not begin with `sha256`.
    """
    network = backbone(f"timm:{name}" + (f"={weights}" if weights else ""), sha256=sha256).to(device)
    side = network.side

    def run(x: Tensor) -> Tensor:
        sized = F.interpolate(x, size=(side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)
        return network.of_pixels(sized)

    return Extractor(
        network.name,
        f"to {side}×{side}, bicubic, antialiased, clamped, not rounded; the network's own mean and deviation; "
        "grey repeated to RGB; float32",
        fingerprint(network.inner),
        network.dimension,
        lambda images: batched(run, images, network.dimension, device, progress, large=side >= 224),
    )
