"""The real images of each step: a function of (seed, step), so a resumed run sees the same images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from augury.augment.draws import sent
from augury.images import LabelledImages
from augury.randomness import rng
from augury.training.devices import out_of_memory
from augury.training.distributed import ALONE, World

FREQUENCY: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "frequency": lambda n: n,
    "sqrt": np.sqrt,
    "log": np.log1p,
    "uniform": np.sign,
}
"""label_sampling -> a class's weight from its count. sqrt and log raise rare classes (CTGAN samples by log-frequency). A
number is the exponent of the count: .5 is sqrt."""


RESIDENT = 4 * 2**30
PIECE = 4096


class WeightedSampler:
    """Draw `batch` rows per step. Classes are weighted by `label_sampling`, and the rows of a class equally."""

    def __init__(
        self, labels: npt.NDArray[np.int64], classes: int, label_sampling: str | float, batch: int, seed: int
    ) -> None:
        self.batch, self.seed = batch, seed
        counts = np.bincount(labels, minlength=classes).astype(np.float64)
        if isinstance(label_sampling, str):
            weights = FREQUENCY[label_sampling](counts)
        else:
            weights = np.where(counts > 0, counts**label_sampling, 0.0)
        self.share: npt.NDArray[np.float64] = weights / weights.sum()
        self.members = [np.flatnonzero(labels == c) for c in range(classes)]

    def draw(self, step: int) -> npt.NDArray[np.int64]:
        """The rows of this step, int64 [batch]."""
        random = rng(self.seed, "batch", step)
        labels = random.choice(len(self.share), self.batch, p=self.share)
        picks = random.random(self.batch)
        return np.array([self.members[c][int(u * len(self.members[c]))] for c, u in zip(labels, picks, strict=True)])


class BatchLoader:
    """Draw (images float [B, C, H, W] in [-1, 1], conditions int64 [B, K]), with classes weighted by `label_sampling`.

    On a GPU the images stay in its memory when they take no more than RESIDENT bytes.
    """

    def __init__(
        self, data: LabelledImages, condition: tuple[str, ...], label_sampling: str | float, batch: int, seed: int
    ) -> None:
        self.images, self.conditions = data.images, data.conditions(condition)
        self.lottery = WeightedSampler(data.labels, len(data.classes), label_sampling, batch, seed)
        self.resident: torch.Tensor | None = None
        self.full = False

    def draw(
        self, step: int, device: torch.device, world: World = ALONE, parts: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of this step, on `device`. Of several processes, each gets the conditions of all images, and its own
        images, in so many micro-batches.
        """
        chosen = self.lottery.draw(step)
        conditions = sent(torch.from_numpy(self.conditions[chosen]), device)
        chosen = chosen[world.rows_of_parts(len(chosen), parts)]
        fits = device.type != "cpu" and self.images.nbytes <= RESIDENT and not self.full
        if fits and self.resident is None:
            self.resident = self._placed(device)
        if not fits or self.resident is None:
            return as_float(self.images[chosen], device), conditions
        return as_float(self.resident[sent(torch.from_numpy(chosen), device)]), conditions

    def _placed(self, device: torch.device) -> torch.Tensor | None:
        """All images on the device. None where it has no memory for them; later calls do not try again."""
        try:
            resident = torch.empty(self.images.shape, dtype=torch.uint8, device=device)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            self.full = True
            return None
        for start in range(0, len(self.images), PIECE):  # one copy of all images would need as much main memory
            resident[start : start + PIECE] = torch.from_numpy(np.ascontiguousarray(self.images[start : start + PIECE]))
        return resident


def as_float(images: npt.NDArray[np.uint8] | torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
    """Scale images to [-1, 1].

    Parameters
    ----------
    images
        uint8 [N, C, H, W].
    device
        Target device of an array. A tensor stays on its device.

    Returns
    -------
    float [N, C, H, W], channels last.
    """
    if isinstance(images, torch.Tensor):
        moved = images
    else:
        moved = sent(torch.from_numpy(np.ascontiguousarray(images)), torch.device(device))
    return moved.to(torch.float32).div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def as_uint8(images: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Convert network outputs to images.

    Parameters
    ----------
    images
        float [N, C, H, W] in [-1, 1].

    Returns
    -------
    uint8 [N, C, H, W], rounded to nearest.
    """
    scaled = images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.cpu().numpy())
