"""Extractors by name."""

from __future__ import annotations

import torch

from augury.errors import SettingsError
from augury.metrics.features import Extractor, Progress, pixels
from augury.metrics.lite0 import lite0

EXTRACTORS = ("lite0", "classifier", "pixels")
"""Names that `extractor` knows."""


def extractor(
    name: str | Extractor,
    shape: tuple[int, int, int],
    device: str | torch.device = "cpu",
    classifier: Extractor | None = None,
    progress: Progress | None = None,
) -> Extractor:
    """The extractor of this name for images of `shape` (C, H, W); an Extractor is returned as it is.

    `classifier` is what the name "classifier" stands for: the caller's own network through `from_network`. Raises
    SettingsError for an unknown name, or for "classifier" where there is none.
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
    raise SettingsError(f"there are no features '{name}'; choose one of: {', '.join(EXTRACTORS)}")
