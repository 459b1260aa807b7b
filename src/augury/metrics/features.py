"""Extractors: functions from images to the feature vectors that scores use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from augury.errors import ScoreError
from augury.images import AnyImages, Images, as_images

Features = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Head = Callable[[npt.NDArray[Any]], Floats]
"""features [N, D] -> class probabilities float64 [N, K]."""
Progress = Callable[[int, int], None]
"""Called with (images done, images in all) after each batch."""

BATCH = 32
LARGE = 4
"""Images at a time on a CPU through networks with inputs of 224 px or more.

The activations then stay in the processor's cache, and Lite0 takes half the time.
"""


@dataclass(frozen=True)
class Extractor:
    """A function from images to features, with its description.

    `extract` takes uint8 [N, C, H, W] to float32 [N, dimension]. `fingerprint` is the beginning of the SHA-256 of the
    weights, "" where there are none. `head`, where there is one, takes features to class probabilities float64 [N, K].
    `network`, where there is one, takes float images [N, C, H, W] in [-1, 1] to the same features, to be
    stored with a classifier. `floats` does the same with a network that is not to be stored.
    """

    name: str
    preprocessing: str
    fingerprint: str
    dimension: int
    extract: Callable[[Images], Features]
    head: Head | None = None
    network: nn.Module | None = None
    floats: Callable[[Tensor], Tensor] | None = None

    def __call__(self, images: AnyImages) -> Features:
        """The features float32 [N, dimension] of an array or a set of images."""
        return self.extract(as_images(images))

    @property
    def identity(self) -> str:
        """Name and weights, as a score records them. Scores with another identity must not be compared."""
        return f"{self.name}@{self.fingerprint}" if self.fingerprint else self.name


class Pixels(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> their pixel values in [0, 1], [N, C·H·W]."""

    def forward(self, images: Tensor) -> Tensor:
        """images [N, C, H, W] in [-1, 1] -> [N, C·H·W]."""
        return ((images + 1) / 2).flatten(1)


def pixels(shape: tuple[int, int, int]) -> Extractor:
    """The pixel values as features, for images of `shape` (C, H, W). They need no weights and carry no semantics.

    Parameters
    ----------
    shape : (int, int, int)
        C, H, W.

    Returns
    -------
    Extractor
        C · H · W features in [0, 1].
    """
    c, h, w = shape

    def extract(images: Images) -> Features:
        check_images(images)
        if images.shape[1:] != shape:
            raise ScoreError(
                f"images of {list(images.shape[1:])} cannot be set pixel by pixel against {list(shape)}; "
                "bring all to one size"
            )
        return np.asarray(images, np.float32).reshape(len(images), c * h * w) / np.float32(255)

    return Extractor("pixels", f"value / 255 at {c}×{h}×{w}", "", c * h * w, extract, network=Pixels())


def in_bf16(extractor: Extractor, device: str | torch.device = "cpu") -> Extractor:
    """The same extractor with matrix products in bfloat16, for monitoring a training; the error is about one percent.

    The preprocessing records it, so that its scores cannot be compared with those of the original extractor.

    Parameters
    ----------
    extractor : Extractor
        The original.
    device : str or torch.device
        The device of its network.

    Returns
    -------
    Extractor
        The faster extractor.
    """

    def extract(images: Images) -> Features:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            return extractor.extract(images)

    how = f"{extractor.preprocessing.removesuffix('; float32')}; bfloat16, for monitoring only"
    return replace(extractor, preprocessing=how, extract=extract)


def from_network(
    name: str,
    module: nn.Module,
    preprocessing: str,
    device: str | torch.device = "cpu",
    features: Callable[[Tensor], Tensor] | None = None,
    *,
    dimension: int,
    progress: Progress | None = None,
    head: Head | None = None,
) -> Extractor:
    """An extractor from the caller's network, such as the run's own classifier.

    Parameters
    ----------
    name : str
        Name of the extractor.
    module : nn.Module
        It is moved to `device`, and is in eval mode during extraction. The fingerprint is that of its current weights.
    preprocessing : str
        Description of the preprocessing.
    device : str or torch.device
        Where the network runs.
    features : callable, optional
        Takes float images [N, C, H, W] in [-1, 1] to [N, dimension]; `module` itself if None.
    dimension : int
        Number of features.
    progress : callable, optional
        Called with (images done, images in all) after each batch.
    head : callable, optional
        Takes features to class probabilities float64 [N, K], for the Inception Score.

    Returns
    -------
    Extractor
        The extractor.
    """
    module.to(device)
    run = module if features is None else features

    def extract(images: Images) -> Features:
        was_training = module.training
        module.eval()
        try:
            return batched(lambda x: run(x / 127.5 - 1), images, dimension, device, progress)
        finally:
            module.train(was_training)

    return Extractor(name, preprocessing, fingerprint(module), dimension, extract, head, floats=run)


def fingerprint(module: nn.Module) -> str:
    """The beginning of the SHA-256 of the current weights of `module`."""
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        digest.update(f"{key} {value.dtype} {list(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def check_images(images: Images) -> None:
    """Raises ScoreError unless `images` are uint8 [N, C, H, W]."""
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ScoreError(
            f"features are taken of uint8 [N, C, H, W] images, but these are {images.dtype} {list(images.shape)}; "
            "give the images as they were loaded"
        )


def batched(
    run: Callable[[Tensor], Tensor],
    images: Images,
    dimension: int,
    device: str | torch.device,
    progress: Progress | None,
    *,
    large: bool = False,
) -> Features:
    """Apply `run` to float batches [n, C, H, W] of 0 … 255 and collect float32 [N, dimension] in memory.

    `large` states that the network has inputs of 224 px or more.
    """
    check_images(images)
    out = np.empty((len(images), dimension), np.float32)
    few = LARGE if large and torch.device(device).type == "cpu" else BATCH
    with torch.inference_mode():
        for start in range(0, len(images), few):
            part = np.ascontiguousarray(images[start : start + few])
            batch = torch.tensor(part).to(device).float()
            features = run(batch)
            if features.shape != (len(part), dimension):
                raise ScoreError(
                    f"the features of {len(part)} images are {list(features.shape)}, but [{len(part)}, {dimension}] was "
                    "promised; give the dimension that the network has"
                )
            out[start : start + few] = features.float().cpu().numpy()
            if progress is not None:
                progress(start + len(part), len(images))
    return out
