"""The 2015 Inception network, as used by the FID and the Inception Score.

Szegedy et al. 2015 ("Rethinking the Inception Architecture"), table 1 and figures 5 to 7, with the deviations of the
TensorFlow graph that those scores were published with: 1008 classes; averages of 3×3 exclude the border from the count;
the last block takes a maximum where the one before it takes an average; images are resized as in TensorFlow 1, see
`resize.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augury.errors import WeightsError
from augury.networks.pretrained import fold

FEATURES, CLASSES = 2048, 1008
Step = tuple[str, int, tuple[int, int]]
"""A convolution's name, width and kernel (height, width); size-keeping, with batch normalisation and ReLU."""
Branch = Sequence[Step | tuple[Step, Step]]
"""Steps in sequence; a pair at the end is two steps side by side."""


class Convolution(nn.Module):
    """Convolution, batch normalisation (ε 0.001), ReLU."""

    def __init__(self, before: int, after: int, kernel: tuple[int, int], stride: int = 1, padding: bool = True) -> None:
        super().__init__()
        around = (kernel[0] // 2, kernel[1] // 2) if padding else (0, 0)
        self.conv = nn.Conv2d(before, after, kernel, stride, around, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """[N, before, H, W] -> [N, after, H', W'] ≥ 0."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Branches side by side, joined along the channels.

    `pool` is the operation of the pooling branch, "average" or "maximum". It is followed by a convolution of width
    `pooled`, unless that is 0. `halve` halves the image in the last step of each branch.
    """

    def __init__(
        self, before: int, branches: Sequence[Branch], pool: str, pooled: int = 0, halve: bool = False
    ) -> None:
        super().__init__()
        self.pool, self.halve, self.pooled, self.after = pool, halve, pooled, pooled or before
        self.branches: list[list[tuple[str, ...]]] = []
        for branch in branches:
            width, names = before, list[tuple[str, ...]]()
            for position, step in enumerate(branch):
                last = position == len(branch) - 1
                steps = (step,) if isinstance(step[0], str) else step
                for name, after, kernel in steps:
                    self.add_module(
                        name, Convolution(width, after, kernel, 2 if halve and last else 1, not (halve and last))
                    )
                names.append(tuple(name for name, _, _ in steps))
                width = sum(after for _, after, _ in steps)
            self.branches.append(names)
            self.after += width
        if pooled:
            self.branch_pool = Convolution(before, pooled, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, before, H, W] -> [N, after, H, W], or half of H and W."""
        out = []
        for names in self.branches:
            y = x
            for side_by_side in names:
                parts = [self.get_submodule(name)(y) for name in side_by_side]
                y = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
            out.append(y)
        if self.halve:
            return torch.cat([*out, F.max_pool2d(x, 3, 2)], 1)
        if self.pool == "average":
            pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        else:
            pooled = F.max_pool2d(x, 3, 1, 1)
        return torch.cat([*out, self.branch_pool(pooled)], 1)


def _a(before: int, pooled: int) -> Block:
    """Figure 5, 35×35."""
    return Block(
        before,
        [
            [("branch1x1", 64, (1, 1))],
            [("branch5x5_1", 48, (1, 1)), ("branch5x5_2", 64, (5, 5))],
            [("branch3x3dbl_1", 64, (1, 1)), ("branch3x3dbl_2", 96, (3, 3)), ("branch3x3dbl_3", 96, (3, 3))],
        ],
        "average",
        pooled,
    )


def _b(before: int) -> Block:
    """Figure 10, 35×35 to 17×17."""
    return Block(
        before,
        [
            [("branch3x3", 384, (3, 3))],
            [("branch3x3dbl_1", 64, (1, 1)), ("branch3x3dbl_2", 96, (3, 3)), ("branch3x3dbl_3", 96, (3, 3))],
        ],
        "maximum",
        halve=True,
    )


def _c(before: int, width: int) -> Block:
    """Figure 6 with n = 7, 17×17."""
    row, column = (1, 7), (7, 1)
    return Block(
        before,
        [
            [("branch1x1", 192, (1, 1))],
            [("branch7x7_1", width, (1, 1)), ("branch7x7_2", width, row), ("branch7x7_3", 192, column)],
            [
                ("branch7x7dbl_1", width, (1, 1)),
                ("branch7x7dbl_2", width, column),
                ("branch7x7dbl_3", width, row),
                ("branch7x7dbl_4", width, column),
                ("branch7x7dbl_5", 192, row),
            ],
        ],
        "average",
        192,
    )


def _d(before: int) -> Block:
    """Figure 10, 17×17 to 8×8."""
    return Block(
        before,
        [
            [("branch3x3_1", 192, (1, 1)), ("branch3x3_2", 320, (3, 3))],
            [
                ("branch7x7x3_1", 192, (1, 1)),
                ("branch7x7x3_2", 192, (1, 7)),
                ("branch7x7x3_3", 192, (7, 1)),
                ("branch7x7x3_4", 192, (3, 3)),
            ],
        ],
        "maximum",
        halve=True,
    )


def _e(before: int, pool: str) -> Block:
    """Figure 7, 8×8."""
    return Block(
        before,
        [
            [("branch1x1", 320, (1, 1))],
            [("branch3x3_1", 384, (1, 1)), (("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1)))],
            [
                ("branch3x3dbl_1", 448, (1, 1)),
                ("branch3x3dbl_2", 384, (3, 3)),
                (("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))),
            ],
        ],
        pool,
        192,
    )


class Inception(nn.Module):
    """The full network; its parameters have the names of the published PyTorch weights of this graph."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, (3, 3), 2, padding=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, (3, 3), padding=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = Convolution(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = Convolution(80, 192, (3, 3), padding=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32), _a(256, 64), _a(288, 64)
        self.Mixed_6a = _b(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (_c(768, width) for width in (128, 160, 160, 192))
        self.Mixed_7a = _d(768)
        self.Mixed_7b, self.Mixed_7c = _e(1280, "average"), _e(2048, "maximum")
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, 299, 299] in [-1, 1) -> the 2048 features of the last pooling layer, [N, 2048]."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean((2, 3))


def load(network: Inception, weights: Mapping[str, Tensor]) -> None:
    """Load `weights` into the network. Raises WeightsError when names or shapes differ."""
    tensors = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    expected = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    wrong = sorted(set(tensors) ^ set(expected)) or [
        name for name in expected if tensors[name].shape != expected[name].shape
    ]
    if wrong:
        raise WeightsError(
            f"these are not the weights of the 2015 Inception network: {len(wrong)} of {len(expected)} names or shapes "
            f"differ (first: {wrong[0]}); give the PyTorch state dict of the TensorFlow graph, with 1008 classes"
        )
    network.load_state_dict(tensors, strict=False)


def folded(network: Inception) -> Inception:
    """The same network with each batch normalisation folded into its convolution."""
    for part in network.modules():
        if isinstance(part, Convolution):
            fold(part, "conv", "bn")
    return network
