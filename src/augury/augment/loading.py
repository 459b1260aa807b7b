"""Integration with `torch.utils.data`: a data set that augments, a sampler that balances, a collate function that
mixes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, default_collate

from augury.augment.addressed import Schedule, augmented
from augury.augment.mixing import cutmix, mixup, softened
from augury.augment.policies import Policy
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages, SyntheticImages, as_labelled
from augury.randomness import rng, stream


class AugmentedDataset(Dataset[Any]):
    """A map-style data set of (image, label, ...) whose images are augmented, addressed by (seed, epoch, index).

        train = AugmentedDataset(train, "natural", seed=0)  # LabelledImages, or a data set of your own
        loader = DataLoader(train, batch_size=64, shuffle=True, num_workers=2)
        for epoch in range(10):
            train.set_epoch(epoch)

    Images are PIL images, arrays or tensors (see `augury.augment.rotate`) and keep their kind. Tensors and arrays of
    one size are augmented a batch at a time. The epoch is in shared memory, so that persistent workers see it.

    Parameters
    ----------
    dataset : Dataset, LabelledImages or SyntheticImages
        Returns (image, label, ...). Of a set of images: a tensor uint8 [C, H, W] and an int; of SyntheticImages, the
        accepted ones.
    policy : str or Policy
        As `how` in `augmented`.
    seed : int
        Address of the draws, with the epoch and the index.
    p, strength, flips, span
        As in `augmented`.
    """

    def __init__(
        self,
        dataset: Dataset[Any] | LabelledImages | SyntheticImages,
        policy: str | Policy = "natural",
        *,
        seed: int,
        p: Schedule = 1.0,
        strength: Schedule = 1.0,
        flips: bool | None = None,
        span: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self.dataset: Dataset[Any] = (
            _Samples(as_labelled(dataset)) if isinstance(dataset, LabelledImages | SyntheticImages) else dataset
        )
        self.policy, self.seed = policy, seed
        self.options = {"p": p, "strength": strength, "flips": flips, "span": span}
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes the draws of every image. Call it before each pass."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, ...]]:
        """All samples of a batch; a DataLoader calls this."""
        positions = [int(i) + len(self) * (int(i) < 0) for i in indices]
        samples = [self.dataset[i] for i in positions]
        for sample in samples[:1]:
            if not isinstance(sample, tuple | list):
                raise DataError(f"a sample is (image, label), but this data set gives a {type(sample).__name__}")
        images = [sample[0] for sample in samples]
        return [(image, *sample[1:]) for image, sample in zip(self._changed(images, positions), samples, strict=True)]

    def _changed(self, images: list[Any], positions: list[int]) -> list[Any]:
        address: dict[str, Any] = {"seed": self.seed, "epoch": int(self._epoch), **self.options}
        kinds = {(type(i), getattr(i, "dtype", None), getattr(i, "shape", None)) for i in images}
        first = images[0] if images else None
        if len(kinds) == 1 and isinstance(first, Tensor) and first.dim() == 3:
            return list(augmented(torch.stack(images), self.policy, indices=positions, **address))
        if len(kinds) == 1 and isinstance(first, np.ndarray) and first.ndim == 3:
            return list(augmented(np.stack(images), self.policy, indices=positions, **address))
        return [
            augmented(image, self.policy, indices=[at], **address) for image, at in zip(images, positions, strict=True)
        ]


class _Samples(Dataset[Any]):
    """The images of a set one by one, as (tensor uint8 [C, H, W], label)."""

    def __init__(self, data: LabelledImages) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(np.array(self.data.images[index])), int(self.data.labels[index])


class BalancedSampler(Sampler[int]):
    """Indices in which all classes are equally frequent. Within a class the images differ by at most one in how often
    they come.

    Pass it to a DataLoader as `sampler`, and call `set_epoch` before each pass.

    Parameters
    ----------
    labels : array of int [N], LabelledImages or SyntheticImages
        Class of each image; of SyntheticImages, of the accepted ones.
    seed : int
        Order and choice depend on (seed, epoch).
    samples : int, optional
        Number of indices per epoch; N if None.
    """

    def __init__(
        self,
        labels: npt.ArrayLike | Tensor | LabelledImages | SyntheticImages,
        *,
        seed: int,
        samples: int | None = None,
    ) -> None:
        codes = (
            as_labelled(labels).labels if isinstance(labels, LabelledImages | SyntheticImages) else np.asarray(labels)
        )
        self.members = [np.flatnonzero(codes == c) for c in np.unique(codes)]
        self.seed, self.epoch, self.samples = seed, 0, len(codes) if samples is None else samples

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes choice and order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.samples

    def __iter__(self) -> Iterator[int]:
        draws = rng(self.seed, "balanced", self.epoch)
        share, left = divmod(self.samples, max(1, len(self.members)))
        more = set(draws.permutation(len(self.members))[:left].tolist())
        chosen = []
        for c, members in enumerate(self.members):
            quota = share + (c in more)
            rounds = [draws.permutation(members) for _ in range(-(-quota // len(members)))]
            chosen += [np.concatenate(rounds)[:quota]] if rounds else []
        return iter(draws.permutation(np.concatenate(chosen)).tolist() if chosen else [])


class MixCollate:
    """A collate function that mixes each batch: `DataLoader(..., collate_fn=MixCollate(classes=10, seed=0))`.

    With both mixes, half of the mixed batches get CutMix (Yun et al. 2019) and half MixUp (Zhang et al. 2018). Labels
    become float [N, classes], as `torch.nn.functional.cross_entropy` takes them. The draws depend on the seed and on
    the pixels and labels of the batch, not on the number of workers or on earlier batches. Further elements of a sample
    are collated as usual.

    Parameters
    ----------
    classes : int
        Number of classes.
    seed : int
        Seed of the draws.
    mixes : sequence of str
        "mixup", "cutmix" or both.
    mixup_alpha, cutmix_alpha : float
        `alpha` of `mixup` and of `cutmix`.
    p : float
        Share of batches that are mixed.

    Raises
    ------
    SettingsError
        For an unknown mix, or none.
    """

    def __init__(
        self,
        classes: int,
        *,
        seed: int,
        mixes: Sequence[str] = ("mixup", "cutmix"),
        mixup_alpha: float = 0.2,
        cutmix_alpha: float = 1.0,
        p: float = 1.0,
    ) -> None:
        unknown = [name for name in mixes if name not in MIXES]
        if unknown or not mixes:
            raise SettingsError(f"there is no mix '{', '.join(unknown)}'; choose from: {', '.join(MIXES)}")
        self.classes, self.seed, self.p = classes, seed, p
        self.mixes = [(MIXES[name], {"mixup": mixup_alpha, "cutmix": cutmix_alpha}[name]) for name in mixes]

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Collate samples (image, label, ...) into [images [N, C, H, W], soft labels [N, classes], ...]."""
        images, labels, *more = default_collate(list(samples))
        content = zlib.crc32(np.ascontiguousarray(images.numpy()).tobytes(), zlib.crc32(labels.numpy().tobytes()))
        draws = stream(self.seed, "mix", content)
        coin, choice = torch.rand(2, generator=draws).tolist()
        if coin >= self.p:
            return [images, softened(labels, self.classes), *more]
        mix, alpha = self.mixes[int(choice * len(self.mixes))]
        return [*mix(images, labels, draws, classes=self.classes, alpha=alpha), *more]


MIXES: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {f.__name__: f for f in (mixup, cutmix)}
