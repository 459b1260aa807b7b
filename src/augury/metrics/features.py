"""Extractors: what turns images into the feature vectors that scores are about."""

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
from augury.images import Images

Features = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Head = Callable[[npt.NDArray[Any]], Floats]
"""features [N, D] -> class probabilities float64 [N, K]."""
Progress = Callable[[int, int], None]
"""Told (images done, images in all) after each batch."""

BATCH = 32
LARGE = 4
"""Images at a time on a CPU through networks that look at 224 px and more: what passes between their layers then stays in
the processor's cache, and Lite0 takes half the time."""


@dataclass(frozen=True)
class Extractor:
    """A function from images to features, and what must be known of it.

    `extract` takes uint8 [N, C, H, W] to float32 [N, dimension]; `fingerprint` is the beginning of the weights'
    SHA-256, "" where there are none. `head`, where there is one, takes features to class probabilities float64 [N, K].
    """

    name: str
    preprocessing: str
    fingerprint: str
    dimension: int
    extract: Callable[[Images], Features]
    head: Head | None = None

    @property
    def identity(self) -> str:
        """Name and weights, as a score records them: scores of other features must not be compared with it."""
        return f"{self.name}@{self.fingerprint}" if self.fingerprint else self.name


def pixels(shape: tuple[int, int, int]) -> Extractor:
    """The pixels themselves, for images of `shape` (C, H, W): no weights, and no idea of what is in the picture."""
    c, h, w = shape

    def extract(images: Images) -> Features:
        look(images)
        if images.shape[1:] != shape:
            raise ScoreError(
                f"images of {list(images.shape[1:])} cannot be set pixel by pixel against {list(shape)}; "
                "bring all to one size"
            )
        return np.asarray(images, np.float32).reshape(len(images), c * h * w) / np.float32(255)

    return Extractor("pixels", f"value / 255 at {c}×{h}×{w}", "", c * h * w, extract)


def in_bf16(extractor: Extractor, device: str | torch.device = "cpu") -> Extractor:
    """The same extractor with its network's products in bfloat16: for watching a training go, off by about one percent.

    Its preprocessing says so, and its scores therefore refuse to be compared with those of the extractor itself.
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
    """An extractor from a network of the caller's, such as the run's own classifier.

    `features` takes float images [N, C, H, W] in [-1, 1] to [N, dimension]; without it `module` itself does;
    `head` takes features to class probabilities float64 [N, K], for the Inception Score. `module`
    is moved to `device`, is in eval mode while it extracts, and its weights as they are now make the fingerprint.
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

    return Extractor(name, preprocessing, fingerprint(module), dimension, extract, head)


def fold(part: nn.Module, convolution: str, norm: str) -> None:
    """Put the batch normalisation `norm` of `part`, as it is in eval mode, into its `convolution`, by their names: equal but
    for rounding, and faster."""
    inner, after = part.get_submodule(convolution), part.get_submodule(norm)
    assert isinstance(inner, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
    setattr(part, convolution, nn.utils.fusion.fuse_conv_bn_eval(inner.eval(), after.eval()))
    setattr(part, norm, nn.Identity())


def fingerprint(module: nn.Module) -> str:
    """The beginning of the SHA-256 of the weights of `module`, as they are."""
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        digest.update(f"{key} {value.dtype} {list(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def look(images: Images) -> None:
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
    """`run` over float batches [n, C, H, W] of 0 … 255, gathered as float32 [N, dimension] in memory; `large`: the network
    looks at 224 px or more."""
    look(images)
    out = np.empty((len(images), dimension), np.float32)
    few = LARGE if large and torch.device(device).type == "cpu" else BATCH
    with torch.inference_mode():
        for start in range(0, len(images), few):
            part = np.ascontiguousarray(images[start : start + few])
            batch = torch.tensor(part).to(device).float()
            found = run(batch)
            if found.shape != (len(part), dimension):
                raise ScoreError(
                    f"the features of {len(part)} images are {list(found.shape)}, but [{len(part)}, {dimension}] was "
                    "promised; give the dimension that the network has"
                )
            out[start : start + few] = found.float().cpu().numpy()
            if progress is not None:
                progress(start + len(part), len(images))
    return out
