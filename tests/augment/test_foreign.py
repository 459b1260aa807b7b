"""Other people's transforms as policies. The packages themselves are not needed: stand-ins have their modules' names."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from augury.augment import AugmentedDataset, Compose, ImageDraws, Vary, augmented, policy
from augury.augment.external import Foreign, kind_of
from augury.errors import DataError, SettingsError


class Albumentation:
    __module__ = "albumentations.core.composition"

    def __init__(self) -> None:
        self.random = np.random.default_rng()

    def set_random_seed(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def __call__(self, *args: Any, **data: Any) -> dict[str, Any]:
        image = data["image"]
        assert image.dtype == np.uint8 and image.ndim == 3 and image.flags["C_CONTIGUOUS"]
        return {"image": image[:, ::-1] if self.random.random() < 0.5 else image}


class Vision(torch.nn.Module):
    __module__ = "torchvision.transforms.v2._geometry"

    def forward(self, *inputs: Any) -> Tensor:
        (image,) = inputs
        assert image.min() >= 0 and image.max() <= 1
        return image * torch.rand(1)


class Kornia(torch.nn.Module):
    __module__ = "kornia.augmentation.container"

    def forward(self, *inputs: Any, params: Any = None) -> Tensor:
        return inputs[0] * torch.rand(len(inputs[0]), 1, 1, 1)


def identity(x: Tensor) -> Tensor:
    return x * random.random() * np.random.random()  # noqa: NPY002


def by_name(*, image: Any) -> dict[str, Any]:
    return {"image": image // 2}


KINDS = [
    (Albumentation(), "array"),
    (Vision(), "tensor"),
    (Kornia(), "batch"),
    (identity, "tensor"),
    (by_name, "array"),
]


def images() -> Tensor:
    return torch.rand(12, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("transform", "kind"), KINDS)
def test_is_reported_by_its_package_or_by_what_it_takes(transform: Any, kind: str) -> None:
    assert kind_of(transform) == kind
    assert isinstance(policy(transform), Foreign)


@pytest.mark.parametrize("transform", [t for t, _ in KINDS[:4]])
def test_seeded_for_each_image_and_the_global_generators_stay_where_they_were(transform: Any) -> None:
    pipeline, x = policy(transform), images()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    batch_output = pipeline(x, ImageDraws(0, 0, range(12)))
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002
    assert torch.equal(pipeline(x[7:9], ImageDraws(0, 0, [7, 8])), batch_output[7:9])
    assert not torch.equal(pipeline(x, ImageDraws(0, 1, range(12))), batch_output)
    assert len({float(o.mean() / i.mean()) for o, i in zip(batch_output, x, strict=True)}) > 1
    streams = [pipeline(x, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(streams[0], streams[1]) and not torch.equal(streams[0], streams[2])


def test_values_are_those_of_the_transform() -> None:
    x = images()
    halved = policy(by_name)(x, torch.Generator())
    levels = ((x + 1) * 127.5).round().to(torch.uint8)
    torch.testing.assert_close(halved, (levels // 2) / 127.5 - 1)
    darker = policy(lambda image_in: image_in * 0.5)(x, torch.Generator())
    torch.testing.assert_close(darker, x * 0.5 - 0.5)
    grey = policy(by_name)(x[:, :1], torch.Generator())
    assert grey.shape == (12, 1, 6, 5)


def test_probability_is_the_share_of_images() -> None:
    x = images().repeat(100, 1, 1, 1)
    out = policy(lambda a: a * 0.5)(x, torch.Generator().manual_seed(0), p=0.3)
    assert float((out != x).flatten(1).any(1).float().mean()) == pytest.approx(0.3, abs=0.04)
    assert torch.equal(policy(identity)(x, torch.Generator(), p=torch.tensor(0.0)), x)


def test_gradients_pass_tensors_and_are_refused_by_arrays() -> None:
    x = images().requires_grad_()
    (gradient,) = torch.autograd.grad(policy(lambda a: a * 0.5)(x, torch.Generator()).sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 0.5))
    with pytest.raises(SettingsError, match="no gradient passes"):
        policy(by_name)(x, torch.Generator())


def test_another_shape_is_refused() -> None:
    with pytest.raises(DataError, match=r"\[1, 3, 6, 5\] became \[1, 3, 3, 5\]"):
        policy(lambda a: a[:, :, ::2])(images(), torch.Generator())


def test_flips_reach_a_policy_of_your_own_and_are_refused_where_they_cannot() -> None:
    mirror, x = Vary({"mirror": (1, 1)}), images()
    draws = ImageDraws(0, 0, range(12))
    assert torch.equal(policy(mirror, flips=True)(x, draws), x.flip(3))
    assert torch.equal(policy(mirror, flips=False)(x, draws), x)
    assert torch.equal(policy(Compose([mirror, mirror]), flips=False)(x, draws), x)
    pixels = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(augmented(pixels, mirror, seed=0, flips=False), pixels)
    assert torch.equal(AugmentedDataset([(p, 0) for p in pixels], mirror, seed=0, flips=False)[0][0], pixels[0])
    for other in (Vision(), Albumentation(), identity, lambda images, generator: images):
        for flips in (True, False):
            with pytest.raises(SettingsError, match=f"flips={flips} cannot be passed on"):
                policy(other, flips=flips)


def test_wherever_a_policy_is() -> None:
    pixels = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    assert augmented(pixels, Albumentation(), seed=0).dtype == torch.uint8
    assert Compose(["natural", Vision()])(images(), torch.Generator()).shape == (12, 3, 6, 5)
    data = AugmentedDataset([(p, 0) for p in pixels], Kornia(), seed=0)
    assert not torch.equal(data[0][0], pixels[0])
