"""Extractors by name."""

from __future__ import annotations

from pathlib import Path

import torch

from augury.errors import SettingsError
from augury.metrics.features import Extractor, Progress, pixels
from augury.metrics.lite0 import lite0
from augury.metrics.networks import inception, timm
from augury.metrics.phash import phash

EXTRACTORS = ("lite0", "classifier", "pixels", "phash", "inception=FILE", "timm:NAME", "timm:NAME=FILE")
"""Names that `extractor` knows; FILE is a weights file, state dict or safetensors."""


def extractor(
    name: str | Extractor,
    shape: tuple[int, int, int],
    device: str | torch.device = "cpu",
    classifier: Extractor | None = None,
    progress: Progress | None = None,
) -> Extractor:
    """The extractor of this name for images of `shape` (C, H, W); an Extractor is returned as it is.

    `classifier` is what the name "classifier" stands for: the caller's own network through `from_network`. Raises
    SettingsError for an unknown name, for "classifier" where there is none, or for "inception" without its file.
    """
    if isinstance(name, Extractor):
        return name
    if name == "classifier" and classifier is None:
        raise SettingsError("the features 'classifier' need a classifier, but there is none; use lite0 or pixels")
    if name == "lite0":
        return lite0(device, progress)
    if name == "classifier" and classifier is not None:
        return classifier
    if name == "pixels":
        return pixels(shape)
    if name == "phash":
        return phash()
    family, _, file = name.partition("=")
    if family == "inception":
        if not file:
            raise SettingsError(
                "the features 'inception' need a weights file, and none is downloaded; say inception=FILE, the PyTorch "
                "state dict of the 2015-12-05 graph, or use lite0"
            )
        return inception(Path(file), device, progress)
    if family.startswith("timm:"):
        return timm(family.removeprefix("timm:"), Path(file) if file else None, device, progress)
    raise SettingsError(f"there are no features '{name}'; choose one of: {', '.join(EXTRACTORS)}")
