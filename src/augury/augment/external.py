"""Third-party augmentation as a policy: torchvision v2, albumentations, kornia, or any callable."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from augury.augment.draws import Source, numbers
from augury.augment.philox import ImageDraws
from augury.errors import DataError, SettingsError

Kind = Literal["policy", "tensor", "batch", "array"]


@dataclass(frozen=True)
class Foreign:
    """A policy made of a transform with its own source of randomness: the global generators of torch, NumPy and Python,
    or its own (albumentations).

    These generators are seeded from the draws of the policy for each image and restored afterwards. A kornia pipeline
    with a torch generator is seeded once per batch. `p` is the share of images that the transform is applied to.
    """

    transform: Callable[..., Any]
    kind: Kind

    def __call__(self, images: Tensor, generator: Source, *, p: float | Tensor = 1.0) -> Tensor:
        """Apply the transform: float [N, C, H, W] in [-1, 1] -> the same, clamped where changed.

        The transform sees values in [0, 1], or uint8 [H, W, C]. Raises DataError when it returns another shape,
        SettingsError when gradients are required of albumentations.
        """
        if self.kind == "array" and images.requires_grad:
            raise SettingsError(
                "albumentations works in NumPy, so that no gradient passes; use it on data, and one of augury.augment, "
                "kornia or torchvision in front of a discriminator"
            )
        coin, *seeds = numbers(len(images), generator, 3).cpu()
        members = (coin < float(p)).nonzero()[:, 0]
        if not len(members):
            return images
        each = (torch.stack(seeds).double() * 2**24).long()[:, members]
        words = ((each[0] << 24) + each[1]).tolist()
        some = images[members.to(images.device)]
        if self.kind == "batch" and not isinstance(generator, ImageDraws):
            changed = self._seeded(some, words[0])
        else:
            changed = torch.cat([self._seeded(image[None], seed) for image, seed in zip(some, words, strict=True)])
        return images.index_put((members.to(images.device),), changed.to(images.dtype))

    def _seeded(self, images: Tensor, seed: int) -> Tensor:
        with borrowed(seed):
            if self.kind == "array":
                result = self._on_array(images, seed)
            else:
                result = self.transform(((images + 1) / 2).clamp(0, 1))
        if not isinstance(result, Tensor) or result.shape != images.shape:
            returned = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise DataError(
                f"an augmentation returns images of the shape that it was given, but {list(images.shape)} became {returned}; "
                "do what resizes or converts before, in the data set"
            )
        return (2 * result - 1).clamp(-1, 1)

    def _on_array(self, images: Tensor, seed: int) -> Tensor:
        set_seed = getattr(self.transform, "set_random_seed", None)
        if set_seed is not None:
            set_seed(seed % 2**32)
        array = ((images[0] * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)).permute(1, 2, 0).cpu().numpy()
        result = self.transform(image=np.ascontiguousarray(array))["image"]
        if isinstance(result, Tensor):  # the transform ends in ToTensorV2
            planes = result[None]
        else:
            planes = torch.from_numpy(np.ascontiguousarray(result if result.ndim == 3 else result[..., None])).permute(
                2, 0, 1
            )[None]
        scaled = planes.to(images.device).to(images.dtype)
        return scaled if planes.is_floating_point() else scaled / 255


def adapted(transform: Callable[..., Any]) -> Callable[..., Any]:
    """A policy unchanged; any other transform wrapped as a policy.

    A transform is one of torchvision, kornia or albumentations, or a callable of one tensor [N, C, H, W] in [0, 1]. The
    package of its class decides which, otherwise its signature.
    """
    kind = kind_of(transform)
    return transform if kind == "policy" else Foreign(transform, kind)


def kind_of(transform: Callable[..., Any]) -> Kind:
    """What a callable takes.

    "policy": images and a generator. "batch": many images (kornia). "tensor": one image at a time, so that each has
    separate draws (torchvision). "array": `image=` in NumPy (albumentations).
    """
    roots = {c.__module__.partition(".")[0] for c in type(transform).__mro__}
    if "albumentations" in roots:
        return "array"
    if "kornia" in roots:
        return "batch"
    if "torchvision" in roots:
        return "tensor"
    called = transform.forward if isinstance(transform, torch.nn.Module) else transform
    try:
        taken = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):  # built in C
        return "policy"
    if any(t.name == "image" and t.kind is t.KEYWORD_ONLY for t in taken):
        return "array"
    required = [t for t in taken if t.default is t.empty and t.kind in (t.POSITIONAL_ONLY, t.POSITIONAL_OR_KEYWORD)]
    return "tensor" if len(required) == 1 else "policy"


@contextlib.contextmanager
def borrowed(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, and restore them afterwards."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        random.setstate(before[2])
