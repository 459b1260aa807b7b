"""What every policy of the table promises."""

import math

import pytest
import torch
from torch import Tensor

from augury.augment import POLICIES, diffaugment, policy
from augury.errors import SettingsError

SHAPES = [(6, 1, 28, 28), (5, 3, 16, 24), (4, 4, 9, 7), (1, 3, 1, 1), (0, 1, 8, 8)]


def noise(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


every_policy = pytest.mark.parametrize("name", POLICIES)
ENGINE = ("randaugment", "trivialaugment", "augmix", "natural", "medical", "faces", "astronomy", "text", "degraded")
CLAMPED = ("none", "classical", "extreme_gamma", *ENGINE)
STEPPED = (
    "randaugment",
    "trivialaugment",
    "augmix",
    "degraded",
)  # they hand gradients straight through posterised and equalised values
CHANGES = {
    "none": [0.5],
    "classical": [0.5, 0.5],
    "diffaugment": [1, 1, 1, 24 / 25, 0.5, 1],
    "diffaugment_light": [1, 1, 1, 24 / 25, 0.5],
    "ada": [0.5, 3 / 4, 24 / 25, 1, 1, 1, 1, 1, 1, 0.5, 1, 1],
    "randaugment": [0.5, 0.92, 0.92],
    "trivialaugment": [0.5, 0.92],
    "augmix": [0.5, 1],
    "natural": [0.5, 1, 1, 1, 1, 1, 1, 0.1],
    "medical": [0.5, 1, 1, 1, 1, 0.3, 1, 1, 1, 0.3],
    "faces": [0.5, 1, 1, 1, 1, 1, 1, 1, 0.05, 0.2, 0.2],
    "astronomy": [0.5, 1],
    "text": [1, 1, 1, 1, 1, 1, 1, 0.3, 0.3],
    "degraded": [0.5, 0.92, 0.92, 0.5, 0.5],
    "extreme_gamma": [0.5, 1],
}
"""With flips, on colour images of 16 x 16: how often each change that is made leaves its mark (24 of 25 shifts by up to two
pixels do, three of four quarter turns, and 13 of 14 operators, but for a few equalised images of so few pixels)."""

with_and_without_flips = pytest.mark.parametrize("flips", [False, True])


@every_policy
@with_and_without_flips
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_dtype_and_range(name: str, flips: bool, shape: tuple[int, ...]) -> None:
    images = noise(shape)
    before = images.clone()
    out = policy(name, flips=flips)(images, draws())
    assert out.shape == images.shape and out.dtype == images.dtype
    assert out.isfinite().all()
    assert torch.equal(images, before), "the images given were written to"
    if name in CLAMPED:
        assert out.abs().le(1).all()


@every_policy
@with_and_without_flips
def test_the_generator_alone_decides(name: str, flips: bool) -> None:
    images, pipeline = noise((16, 1, 12, 12)), policy(name, flips=flips)
    torch.manual_seed(0)
    first = pipeline(images, draws())
    torch.manual_seed(1)
    assert torch.equal(first, pipeline(images, draws()))
    if name != "none" or flips:
        assert not torch.equal(first, pipeline(images, draws(1)))


@every_policy
@with_and_without_flips
@pytest.mark.parametrize("p", [0.0, torch.tensor(0.0)], ids=["number", "tensor"])
@pytest.mark.parametrize("shape", SHAPES)
def test_probability_zero_changes_nothing(name: str, flips: bool, p: float | Tensor, shape: tuple[int, ...]) -> None:
    images = noise(shape)
    assert torch.equal(policy(name, flips=flips)(images, draws(), p=p), images)
    half = images.bfloat16()
    assert torch.equal(policy(name, flips=flips)(half, draws(), p=p), half)


@every_policy
def test_probability_one_is_what_goes_without_saying_and_a_tensor_is_a_number(name: str) -> None:
    images, pipeline = noise((32, 3, 16, 16)), policy(name, flips=True)
    assert torch.equal(pipeline(images, draws()), pipeline(images, draws(), p=torch.tensor(1.0)))
    assert torch.equal(pipeline(images, draws(), p=0.25), pipeline(images, draws(), p=torch.tensor(0.25)))


@every_policy
def test_the_share_of_changed_images_grows_with_the_probability(name: str) -> None:
    images, before = noise((4000, 3, 16, 16)), torch.zeros(4000, dtype=torch.bool)
    for p in (0.05, 0.2, 0.5, 1.0 - 1e-6):
        changed = (policy(name, flips=True)(images, draws(), p=p) != images).flatten(1).any(1)
        expected = 1 - math.prod(1 - p * change for change in CHANGES[name])
        assert float(changed.float().mean()) == pytest.approx(expected, abs=0.025)
        undone = 0.02 if name in ("randaugment", "degraded") else 0  # two operators may be one another's inverse
        assert (before & ~changed).float().mean() <= undone, "changed at a lower probability only"
        before = changed


@every_policy
@pytest.mark.parametrize("p", [0.4, 1.0])
def test_images_of_a_batch_do_not_touch_each_other(name: str, p: float) -> None:
    images, pipeline = noise((6, 3, 10, 10)), policy(name, flips=True)
    changed = images.clone()
    changed[[0, 1, 3, 4, 5]] = -changed[[0, 1, 3, 4, 5]]
    assert torch.equal(pipeline(images, draws(), p=p)[2], pipeline(changed, draws(), p=p)[2])


@every_policy
def test_each_image_has_its_own_draw(name: str) -> None:
    images = noise((1, 1, 10, 10)).expand(8, 1, 10, 10)
    out = policy(name, flips=True)(images, draws())
    assert len({o.numpy().tobytes() for o in out}) >= {"none": 2, "classical": 3, "trivialaugment": 6}.get(name, 8)


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in STEPPED])
@with_and_without_flips
def test_twice_differentiable(name: str, flips: bool) -> None:
    images = 0.3 * noise((2, 3, 6, 5), torch.float64)  # far from the clamp of `classical`
    images.requires_grad_()

    def fixed(x: Tensor) -> Tensor:
        return policy(name, flips=flips)(x, draws())

    fast = {"fast_mode": name in ENGINE}
    assert torch.autograd.gradcheck(fixed, images, **fast)
    assert torch.autograd.gradgradcheck(lambda x: fixed(x).square(), images, **fast)


@pytest.mark.parametrize("name", STEPPED)
def test_steps_let_gradients_through(name: str) -> None:
    images = noise((32, 3, 16, 16)).requires_grad_()
    (gradient,) = torch.autograd.grad(policy(name)(images, draws()).sum(), images)
    assert gradient.isfinite().all() and (gradient != 0).flatten(1).any(1).all()


# `ada` turns and inverts a ramp as well, `astronomy` turns it by any angle, `text` mirrors nothing.
@pytest.mark.parametrize("name", [name for name in POLICIES if name not in ("ada", "astronomy", "text")])
def test_flips_only_when_allowed(name: str) -> None:
    ramp = torch.linspace(-0.3, 0.3, 24).expand(200, 1, 24, 24)
    rows = {f: policy(name, flips=f)(ramp, draws())[:, 0].mean(1) for f in (False, True)}
    rising = {f: float((r[:, 12:].mean(1) > r[:, :12].mean(1)).float().mean()) for f, r in rows.items()}
    assert rising[False] > 0.75  # a cutout or a shift can turn a few
    assert 0.35 < rising[True] < 0.65


def test_strengths_of_diffaugment() -> None:
    """Colour and translation reach the published limits and no further; the cutout hides a quarter at most."""
    flat = torch.full((4000, 1, 16, 16), 0.25)
    light = policy("diffaugment_light")(flat, draws())
    level = light.amax((1, 2, 3)) - 0.25  # brightness alone, as a flat image has no contrast
    assert level[light.amin((1, 2, 3)) > 0].min() >= -0.2
    assert 0.19 < level.max() <= 0.2
    empty_columns = (light == 0).all(2)[:, 0].sum(1)
    assert set(empty_columns.tolist()) == {0, 1, 2}
    hidden = (diffaugment(flat, draws()) == 0).float().mean((1, 2, 3)) - (light == 0).float().mean((1, 2, 3))
    assert hidden.max() <= 0.25


def test_a_callable_is_its_own_policy_and_an_unknown_name_lists_the_known() -> None:
    def darker(images: Tensor, generator: torch.Generator) -> Tensor:
        return images - 0.1

    assert policy(darker) is darker
    with pytest.raises(SettingsError, match=r"'diffuse'.*none, diffaugment, diffaugment_light, classical, ada"):
        policy("diffuse")
