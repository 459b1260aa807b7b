"""Beside a DataLoader: the same images whatever the workers, classes in balance, mixed labels that sum to one."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from augury.augment import AugmentedDataset, BalancedSampler, ImageDraws, MixCollate, cutmix, mixup
from augury.augment.mixing import softened
from augury.errors import DataError, SettingsError

PIXELS = torch.randint(0, 256, (30, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0] * 20 + [1] * 7 + [2] * 3)


def gathered(dataset: Any, workers: int, **options: Any) -> Tensor:
    with_workers = {"multiprocessing_context": "fork"} if workers else {}
    loader = DataLoader(dataset, batch_size=7, num_workers=workers, **with_workers, **options)
    return torch.cat([batch[0] for batch in loader])


def test_workers_change_nothing_and_epochs_do() -> None:
    data = AugmentedDataset(TensorDataset(PIXELS, LABELS), "randaugment", seed=3)
    first = gathered(data, 0)
    assert torch.equal(gathered(data, 2), first)
    data.set_epoch(1)
    second = gathered(data, 0)
    assert not torch.equal(second, first)
    assert torch.equal(gathered(data, 2), second)
    assert torch.equal(torch.stack([data[i][0] for i in range(30)]), second), "one by one as in a batch"
    order = torch.randperm(30).tolist()
    assert torch.equal(gathered(data, 2, sampler=order), second[order])


def test_workers_that_persist_see_the_epoch() -> None:
    data = AugmentedDataset(TensorDataset(PIXELS, LABELS), "natural", seed=3)
    loader = DataLoader(data, batch_size=10, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    passes = []
    for epoch in (0, 1, 0):
        data.set_epoch(epoch)
        passes.append(torch.cat([images for images, _ in loader]))
    assert torch.equal(passes[0], passes[2]) and not torch.equal(passes[0], passes[1])


def test_the_three_lines_of_the_documentation() -> None:
    train = TensorDataset(PIXELS.float() / 255, LABELS)
    train = AugmentedDataset(train, "natural", seed=0)
    sampler = BalancedSampler(LABELS, seed=0)
    loader = DataLoader(train, batch_size=8, sampler=sampler, collate_fn=MixCollate(classes=3, seed=0))
    for epoch in range(2):
        train.set_epoch(epoch), sampler.set_epoch(epoch)
        for images, labels in loader:
            loss = torch.nn.functional.cross_entropy(images.mean((2, 3)), labels)
            assert loss.isfinite() and images.dtype == torch.float32


@pytest.mark.parametrize("form", ["picture", "array", "grey tensor", "odd sizes"])
def test_images_stay_what_they_are(form: str) -> None:
    inputs: list[Any] = {
        "picture": [Image.fromarray(p.permute(1, 2, 0).numpy()) for p in PIXELS],
        "array": [p.permute(1, 2, 0).numpy() for p in PIXELS],
        "grey tensor": [p[:1].float() / 255 for p in PIXELS],
        "odd sizes": [p[:, : 8 + i % 3] for i, p in enumerate(PIXELS)],
    }[form]
    data = AugmentedDataset([(image, i, f"name {i}") for i, image in enumerate(inputs)], "faces", seed=0)
    for i, (image, label, name) in enumerate(data.__getitems__([4, 2, -1])):
        index = (4, 2, 29)[i]
        assert (label, name) == (index, f"name {index}") and type(image) is type(inputs[index])
        assert (
            np.asarray(image).shape == np.asarray(inputs[index]).shape
            and np.asarray(image).dtype == np.asarray(inputs[index]).dtype
        )
        assert np.array_equal(np.asarray(image), np.asarray(data[index][0]))


def test_schedules_reach_the_policy_and_a_bare_image_is_refused() -> None:
    data = AugmentedDataset(
        TensorDataset(PIXELS, LABELS), "randaugment", seed=0, p=lambda epoch: float(epoch > 0), flips=False
    )
    assert torch.equal(gathered(data, 0), PIXELS)
    data.set_epoch(1)
    assert not torch.equal(gathered(data, 0), PIXELS)
    with pytest.raises(DataError, match=r"a sample is \(image, label\), but this data set gives a Tensor"):
        AugmentedDataset(PIXELS, "natural", seed=0)[0]


def test_classes_come_equally_often_and_their_images_too() -> None:
    sampler = BalancedSampler(LABELS, seed=1)
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert len(epochs[-1]) == len(sampler) == 30
        assert Counter(LABELS[epochs[-1]].tolist()) == {0: 10, 1: 10, 2: 10}
        uses = Counter(epochs[-1])
        assert {uses[i] for i in (27, 28, 29)} <= {3, 4} and {uses[i] for i in range(20, 27)} <= {1, 2}
    assert epochs[0] != epochs[1]
    sampler.set_epoch(0)
    assert list(sampler) == epochs[0]
    order = list(BalancedSampler(LABELS.numpy(), seed=0, samples=100))
    assert len(order) == 100 and max(Counter(LABELS[order].tolist()).values()) == 34
    assert list(BalancedSampler([], seed=0)) == []


def test_mixup_fades_images_and_labels_alike() -> None:
    images = torch.eye(6).view(6, 1, 1, 6).expand(6, 1, 4, 6)  # the image names its label
    mixed, soft_labels = mixup(images, torch.arange(6), torch.Generator().manual_seed(0), classes=6, alpha=1.0)
    torch.testing.assert_close(mixed[:, 0, 0], soft_labels)
    torch.testing.assert_close(soft_labels.sum(1), torch.ones(6))
    shares = mixup(
        torch.zeros(4000, 1, 1, 1), torch.arange(4000) % 2, ImageDraws(0, 0, range(4000)), classes=2, alpha=0.2
    )[1]
    label_shares = shares[torch.arange(4000), torch.arange(4000) % 2]
    assert float(label_shares.mean()) == pytest.approx(0.75, abs=0.02), "half of the partners are of the same class"


def test_cutmix_labels_are_the_shares_of_pixels() -> None:
    images = torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1).expand(8, 2, 13, 17)
    mixed, soft_labels = cutmix(images, torch.arange(8), torch.Generator().manual_seed(1), classes=8)
    assert mixed.dtype == torch.uint8
    pixel_shares = torch.stack([(mixed == c).float().mean((1, 2, 3)) for c in range(8)], dim=1)
    torch.testing.assert_close(soft_labels, pixel_shares)
    assert ((soft_labels > 0).sum(1) == 2).any()


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_mixes_are_twice_differentiable_in_images_and_labels(mix: Callable[..., tuple[Tensor, Tensor]]) -> None:
    draws = torch.Generator().manual_seed(5)
    images = torch.rand(3, 2, 5, 4, generator=draws, dtype=torch.float64, requires_grad=True)
    labels = torch.rand(3, 3, generator=draws, dtype=torch.float64, requires_grad=True)

    def mixed(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return mix(images, labels, ImageDraws(1, 0, range(3)), alpha=1.0)

    assert torch.autograd.gradcheck(mixed, (images, labels))
    assert torch.autograd.gradgradcheck(lambda *inputs: tuple(v.square() for v in mixed(*inputs)), (images, labels))
    mixed_images, soft_labels = mixed(images, labels)
    assert not torch.equal(mixed_images, images) and not torch.equal(soft_labels, labels)


def test_labels_soften_and_wrong_numbers_of_classes_are_refused() -> None:
    torch.testing.assert_close(softened(torch.tensor([1, 0]), 2, 0.1), torch.tensor([[0.05, 0.95], [0.95, 0.05]]))
    soft_labels = torch.rand(2, 3)
    assert softened(soft_labels) is soft_labels
    with pytest.raises(DataError, match="labels reach 4, but 3 classes are given; give classes=5 or more"):
        softened(torch.tensor([4]), 3)


def test_the_collate_depends_on_its_batch_alone() -> None:
    samples = [(PIXELS[i].float() / 255, int(LABELS[i]), i) for i in range(8)]
    images, soft_labels, indices = MixCollate(3, seed=0)(samples)
    repeated = MixCollate(3, seed=0)(samples)
    assert (
        torch.equal(images, repeated[0])
        and torch.equal(soft_labels, repeated[1])
        and indices.tolist() == list(range(8))
    )
    assert not torch.equal(images, MixCollate(3, seed=1)(samples)[0])
    torch.testing.assert_close(soft_labels.sum(1), torch.ones(8))
    unmixed, hard_labels, _ = MixCollate(3, seed=0, p=0.0)(samples)
    assert torch.equal(unmixed, torch.stack([s[0] for s in samples])) and set(hard_labels.flatten().tolist()) == {
        0.0,
        1.0,
    }
    assert MixCollate(3, seed=0, mixes=["cutmix"])(samples)[0].shape == (8, 3, 12, 12)
    with pytest.raises(SettingsError, match="no mix 'blend'; choose from: mixup, cutmix"):
        MixCollate(3, seed=0, mixes=["blend"])
    data = TensorDataset(PIXELS.float(), LABELS)
    one, in_worker = (gathered(data, w, collate_fn=partial(MixCollate(3, seed=0))) for w in (0, 2))
    assert torch.equal(one, in_worker)
