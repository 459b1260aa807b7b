"""A small residual network for trials: nine layers, for images of 28 to 64 px."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from augury.networks.classifier import side_by_side, within_64


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2016a, figure 2): [N, A, H, W] -> [N, B, H / stride, W /
    stride].

    The shortcut is a strided 1×1 convolution where the shape changes.
    """

    def __init__(self, a: int, b: int, stride: int, copies: int) -> None:
        super().__init__()
        a, b = copies * a, copies * b
        self.first = nn.Conv2d(a, b, 3, stride, padding=1, bias=False, groups=copies)
        self.second = nn.Conv2d(b, b, 3, padding=1, bias=False, groups=copies)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _ in range(2))
        self.shortcut = (
            nn.Identity()
            if a == b and stride == 1
            else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False, groups=copies), nn.BatchNorm2d(b))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, A, H, W] -> [N, B, H / stride, W / stride]."""
        inner = self.norms[1](self.second(F.relu(self.norms[0](self.first(x)))))
        return F.relu(inner + self.shortcut(x))


class ResNet(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> logits [N, K] (He et al. 2016a).

    A 3×3 convolution, four blocks of 1, 2, 4 and 8 times `width` channels, the last three halving the sides, and the
    mean over positions. `features` returns that mean [N, 8·width]. With `copies` S it is S such networks side by side,
    as in `Classifier`.
    """

    def __init__(self, channels: int, classes: int, width: int = 16, copies: int = 1) -> None:
        super().__init__()
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        self.stem = nn.Conv2d(copies * channels, copies * width, 3, padding=1, bias=False, groups=copies)
        self.norm = nn.BatchNorm2d(copies * width)
        self.blocks = nn.ModuleList(
            Block(a, b, 1 if i == 0 else 2, copies) for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.dimension, self.copies = copies * widths[-1], copies
        self.last = nn.Linear(widths[-1], copies * classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W] in [-1, 1] -> [N, 8·width]."""
        x = F.relu(self.norm(self.stem(within_64(images))))
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))

    def last_inputs(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] in [-1, 1] -> the input of the last layer: the features."""
        return self.features(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W] in [-1, 1] -> logits [N, K]."""
        return side_by_side(self.last, self.features(images), self.copies)
