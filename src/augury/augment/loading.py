"""The `torch.utils.data` side: a data set that augments, a sampler that balances, a collate that mixes."""

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
from augury.randomness import rng, stream


class AugmentedDataset(Dataset[Any]):
    """A map-style data set of (image, label, ...) with its images augmented from (seed, epoch, index), the rest as it is.

        train = AugmentedDataset(train, "natural", seed=0)
        loader = DataLoader(train, batch_size=64, shuffle=True, num_workers=2)
        for epoch in range(10):
            train.set_epoch(epoch)

    Images are PIL images, arrays or tensors (see `augury.augment.rotate`) and stay what they are; tensors and arrays of one
    size are augmented a batch at a time. `p`, `strength` and `span` as in `augmented`. The epoch is in shared memory, so
    that workers that persist see it.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        policy: str | Policy = "natural",
        *,
        seed: int,
        p: Schedule = 1.0,
        strength: Schedule = 1.0,
        flips: bool | None = None,
        span: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self.dataset, self.policy, self.seed = dataset, policy, seed
        self.given = {"p": p, "strength": strength, "flips": flips, "span": span}
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Other draws for every image; call it before each pass."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, ...]]:
        """All samples of a batch; a DataLoader asks for them like that."""
        places = [int(i) + len(self) * (int(i) < 0) for i in indices]
        samples = [self.dataset[i] for i in places]
        for sample in samples[:1]:
            if not isinstance(sample, tuple | list):
                raise DataError(f"a sample is (image, label), but this data set gives a {type(sample).__name__}")
        images = [sample[0] for sample in samples]
        return [(image, *sample[1:]) for image, sample in zip(self._changed(images, places), samples, strict=True)]

    def _changed(self, images: list[Any], places: list[int]) -> list[Any]:
        address: dict[str, Any] = {"seed": self.seed, "epoch": int(self._epoch), **self.given}
        kinds = {(type(i), getattr(i, "dtype", None), getattr(i, "shape", None)) for i in images}
        first = images[0] if images else None
        if len(kinds) == 1 and isinstance(first, Tensor) and first.dim() == 3:
            return list(augmented(torch.stack(images), self.policy, indices=places, **address))
        if len(kinds) == 1 and isinstance(first, np.ndarray) and first.ndim == 3:
            return list(augmented(np.stack(images), self.policy, indices=places, **address))
        return [
            augmented(image, self.policy, indices=[at], **address) for image, at in zip(images, places, strict=True)
        ]


class BalancedSampler(Sampler[int]):
    """Indices in which every class comes equally often, each image of a class as often as the others (or once more).

    `labels` int [N]; `samples` an epoch, N if None; order and choice from (seed, epoch). Give it to a DataLoader as
    `sampler`, and call `set_epoch` before each pass.
    """

    def __init__(self, labels: npt.ArrayLike | Tensor, *, seed: int, samples: int | None = None) -> None:
        codes = np.asarray(labels)
        self.members = [np.flatnonzero(codes == c) for c in np.unique(codes)]
        self.seed, self.epoch, self.samples = seed, 0, len(codes) if samples is None else samples

    def set_epoch(self, epoch: int) -> None:
        """Another choice and order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.samples

    def __iter__(self) -> Iterator[int]:
        draws = rng(self.seed, "balanced", self.epoch)
        share, left = divmod(self.samples, max(1, len(self.members)))
        more = set(draws.permutation(len(self.members))[:left].tolist())
        found = []
        for c, members in enumerate(self.members):
            wanted = share + (c in more)
            rounds = [draws.permutation(members) for _ in range(-(-wanted // len(members)))]
            found += [np.concatenate(rounds)[:wanted]] if rounds else []
        return iter(draws.permutation(np.concatenate(found)).tolist() if found else [])


class MixCollate:
    """A collate function that mixes each batch: `DataLoader(..., collate_fn=MixCollate(classes=10, seed=0))`.

    Half of the batches get CutMix (Yun et al. 2019), half MixUp (Zhang et al. 2018), or only one of them; labels become float
    [N, classes], as `torch.nn.functional.cross_entropy` takes them. What is drawn depends on the seed and on the pixels
    and labels of the batch, and so neither on the number of workers nor on what came before. `p` is the share of batches
    that are mixed; further parts of a sample are collated as usual.
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
        """Samples (image, label, ...) -> [images [N, C, H, W], soft labels [N, classes], ...]."""
        images, labels, *more = default_collate(list(samples))
        content = zlib.crc32(np.ascontiguousarray(images.numpy()).tobytes(), zlib.crc32(labels.numpy().tobytes()))
        draws = stream(self.seed, "mix", content)
        coin, choice = torch.rand(2, generator=draws).tolist()
        if coin >= self.p:
            return [images, softened(labels, self.classes), *more]
        mix, alpha = self.mixes[int(choice * len(self.mixes))]
        return [*mix(images, labels, draws, classes=self.classes, alpha=alpha), *more]


MIXES: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {f.__name__: f for f in (mixup, cutmix)}
