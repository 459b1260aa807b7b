"""Any image size from networks that double: a coarsest grid, doubled `stages` times, then cut or padded to the image."""

from __future__ import annotations

import torch
from torch.nn import functional as F


class Canvas:
    """The coarsest grid (rows, columns), with a short side of 4 to 7, and the number of doublings that cover [H, W].

    Generated images are cut out of the middle; input images are edge-padded.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width, self.stages = height, width, 0
        while min(height, width) // 2 ** (self.stages + 1) >= 4:
            self.stages += 1
        self.rows, self.columns = -(-height // 2**self.stages), -(-width // 2**self.stages)
        self.down = self.rows * 2**self.stages - height
        self.right = self.columns * 2**self.stages - width

    def cut(self, images: torch.Tensor) -> torch.Tensor:
        """[N, C, canvas height, canvas width] -> [N, C, H, W]."""
        top, left = self.down // 2, self.right // 2
        return images[:, :, top : top + self.height, left : left + self.width]

    def pad(self, images: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, C, canvas height, canvas width]."""
        if not (self.down or self.right):
            return images
        sides = (self.right // 2, self.right - self.right // 2, self.down // 2, self.down - self.down // 2)
        return F.pad(images, sides, mode="replicate")
