"""The images in the size that the classifiers of a trial see, which need not be that of the generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from augury import proof
from augury.data.decoding.resize import resized
from augury.images import LabelledImages
from augury.metrics.lite0 import SIDE
from augury.networks import lite0_installed
from augury.pipeline.inputs import Callbacks, check_unchanged, in_size
from augury.settings import AUTO, ProveSettings, RunSettings


def judge_size(data: LabelledImages, settings: ProveSettings) -> tuple[int, int] | None:
    """The (height, width) for classifiers of the trial; None: that of `data`.

    It is the one of the settings. Otherwise, for pretrained classifiers, it is the median size of the files, with the aspect of
    `data` and at most 224 px a side.
    """
    if (size := settings.judge_size) is not None:
        height, width = (size, size) if isinstance(size, int) else size
        return None if (height, width) == data.shape[1:] else (height, width)
    pretrained = any(map(proof.is_pretrained, settings.candidates or (settings.classifier,)))
    if settings.classifier == AUTO and not settings.candidates:
        pretrained = lite0_installed()
    sizes: dict[str, int] = data.notes.get("original_sizes", {})
    if not pretrained or not sizes:
        return None
    height, width = data.shape[1:]
    factors = sorted(
        factor
        for name, count in sizes.items()
        for factor in [min(int(name.split("x")[0]) / height, int(name.split("x")[1]) / width)] * count
    )
    factor = min(factors[len(factors) // 2], SIDE / max(height, width))
    return (round(height * factor), round(width * factor)) if factor > 1 else None


def at_judge_size(
    path: Path | None, data: LabelledImages, settings: RunSettings, callbacks: Callbacks
) -> LabelledImages:
    """The images of `data` as the classifiers of the trial see them: read again from `path` in their size, or resized if they are
    in memory.
    """
    size = judge_size(data, settings.prove)
    if size is None:
        return data
    if path is None or not path.exists():
        return replace(data, images=resized(np.asarray(data.images), size, settings.data.fit))
    callbacks.note(
        f"the classifiers of the trial see the images at {size[0]}x{size[1]}, the generator at {data.shape[1]}x{data.shape[2]}"
    )
    check_unchanged(path, data, settings)
    return in_size(path, data, settings, size)
