"""Features of images and of augmented copies, for classifiers that use only features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from augury.augment import ImageDraws, Policy
from augury.images import Images
from augury.metrics import Extractor
from augury.training import as_float, as_uint8

VIEWS = 4
"""Augmented copies of each image, in addition to the image itself."""


class Views:
    """Features of images and of augmented copies, extracted once and cached in memory.

    The content of the image seeds its augmentation, so a copy is the same for every seed and arm.
    """

    def __init__(self, features: Extractor) -> None:
        self.features, self.cache = features, dict[tuple[str, int], npt.NDArray[np.float32]]()

    def extract(self, images: Images, augment: Policy | None = None) -> npt.NDArray[np.float32]:
        """Features float32 [N, D] of uint8 images.

        With a policy [(1 + VIEWS)·N, D]: those of the images, then of all first copies, all second copies and so on.
        """
        blocks = [self._cached(images, "", 0, lambda images, keys: images)]
        if augment is not None:
            name = repr(augment)
            blocks += [self._cached(images, name, v + 1, partial(_changed, augment, v)) for v in range(VIEWS)]
        return np.concatenate(blocks)

    def _cached(
        self, images: Images, policy: str, view: int, change: Callable[[Images, list[int]], Images]
    ) -> npt.NDArray[np.float32]:
        keys = [hashlib.blake2b(image.tobytes(), digest_size=15).hexdigest() for image in images]
        lacking = list({k: i for i, k in enumerate(keys) if (policy + k, view) not in self.cache}.values())
        if lacking:
            changed = change(images[lacking], [int(keys[i][:15], 16) for i in lacking])
            for i, row in zip(lacking, self.features.extract(changed), strict=True):
                self.cache[policy + keys[i], view] = row
        return np.stack([self.cache[policy + k, view] for k in keys])


def _changed(augment: Policy, view: int, images: Images, addresses: list[int]) -> Images:
    return as_uint8(augment(as_float(images), ImageDraws(0, view, np.array(addresses, np.int64))))
