"""The network in use: pixels in, calibrated probabilities and the distance to the training images out."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from augury.prediction.novelty import Novelty


class Deployed(nn.Module):
    """Pixels [N, C, H, W] in 0 … 255, uint8 or float -> (probabilities [N, K], distance [N]).

    `network` takes images in [-1, 1] to logits, and `novelty` features and pixels to the distance. The features are the inputs of
    the last layer, of length 1. For a network without `last_inputs` and `last` they are the logits.
    """

    def __init__(self, network: nn.Module, temperature: float, novelty: Novelty) -> None:
        super().__init__()
        self.network, self.temperature, self.novelty = network, temperature, novelty

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [N, C, H, W] -> (probabilities [N, K], distance [N])."""
        features, logits = features_and_logits(self.network, pixels)
        return (logits / self.temperature).softmax(1), self.novelty(features, pixels)


def features_and_logits(network: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Features of length 1 [N, D] and logits [N, K] of pixels [N, C, H, W]."""
    images = pixels.float() / 127.5 - 1
    if has_features(network):
        features: Tensor = network.last_inputs(images)  # type: ignore[operator]
        logits: Tensor = network.last(features)  # type: ignore[operator]
    else:
        features = logits = network(images)
    return F.normalize(features.flatten(1), dim=1), logits


def has_features(network: nn.Module) -> bool:
    """Whether the inputs of the network's last layer can be computed."""
    return callable(getattr(network, "last_inputs", None)) and isinstance(getattr(network, "last", None), nn.Module)
