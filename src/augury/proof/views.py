"""Features of images and of changed copies of them, for classifiers that see nothing else."""

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
"""Changed copies of each image, beside the image itself."""


class Views:
    """The features of images and of changed copies of them, each extracted once and kept in memory.

    How a copy is changed is drawn from the content of the image, and so is the same for every seed and arm.
    """

    def __init__(self, features: Extractor) -> None:
        self.features, self.known = features, dict[tuple[str, int], npt.NDArray[np.float32]]()

    def extract(self, images: Images, augment: Policy | None = None) -> npt.NDArray[np.float32]:
        """float32 [N, D] of uint8 images; with a policy [(1 + VIEWS)·N, D]: of the images, then of all their first copies,
        their second …"""
        found = [self._kept(images, "", 0, lambda images, keys: images)]
        if augment is not None:
            name = repr(augment)
            found += [self._kept(images, name, v + 1, partial(_changed, augment, v)) for v in range(VIEWS)]
        return np.concatenate(found)

    def _kept(
        self, images: Images, policy: str, view: int, change: Callable[[Images, list[int]], Images]
    ) -> npt.NDArray[np.float32]:
        keys = [hashlib.blake2b(image.tobytes(), digest_size=15).hexdigest() for image in images]
        lacking = list({k: i for i, k in enumerate(keys) if (policy + k, view) not in self.known}.values())
        if lacking:
            changed = change(images[lacking], [int(keys[i][:15], 16) for i in lacking])
            for i, row in zip(lacking, self.features.extract(changed), strict=True):
                self.known[policy + keys[i], view] = row
        return np.stack([self.known[policy + k, view] for k in keys])


def _changed(augment: Policy, view: int, images: Images, addresses: list[int]) -> Images:
    return as_uint8(augment(as_float(images), ImageDraws(0, view, np.array(addresses, np.int64))))
