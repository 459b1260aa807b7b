"""What every operator of the table promises, and that joining them changes nothing but the number of resamplings."""

import numpy as np
import pytest
import torch
from torch import Tensor

from augury.augment import DIRECT, OPERATORS, ImageDraws, Vary
from augury.augment.engine import Step, carried_out, places
from augury.errors import SettingsError

every_operator = pytest.mark.parametrize("name", OPERATORS)
STEPPED = ("posterise", "equalise", "jpeg_like")


def smooth(n: int = 6, c: int = 3, size: tuple[int, int] = (20, 24), dtype: torch.dtype = torch.float32) -> Tensor:
    """Images in [-0.9, 0.9] that vary slowly."""
    coarse = torch.rand(n, c, 5, 5, generator=torch.Generator().manual_seed(0), dtype=dtype) * 1.8 - 0.9
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear")


def step(name: str, n: int, strength: float, members: list[int] | None = None) -> Step:
    operator, rows = OPERATORS[name], torch.tensor(list(range(n)) if members is None else members)
    extra = ImageDraws(1, 0, rows).uniform(operator.draws)
    return Step(operator, rows, torch.full((len(rows),), float(strength)), extra)


@every_operator
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("magnitude", [0.0, 0.5, 1.0])
def test_every_magnitude_keeps_form_and_range(name: str, channels: int, magnitude: float) -> None:
    operator, images = OPERATORS[name], smooth(c=channels)
    m, before = torch.full((6,), magnitude), images.clone()
    strengths = operator.strength(m, torch.tensor([0.1, 0.9] * 3))
    low, high = sorted((operator.weakest, operator.strongest))
    assert not operator.signed or operator.weakest == operator.neutral
    reach = high - low
    assert (
        (strengths >= (low - reach if operator.signed else low) - 1e-5) & (strengths <= max(high, low + reach) + 1e-5)
    ).all()
    out = carried_out(
        images, [Step(operator, torch.arange(6), strengths, ImageDraws(1, 0, range(6)).uniform(operator.draws))]
    )
    assert out.shape == images.shape and out.dtype == images.dtype and out.isfinite().all()
    assert out.abs().le(1).all()
    assert torch.equal(images, before), "the images given were written to"
    colour_only = (channels != 3 and name == "hue") or (channels == 1 and name in ("saturation", "grey"))
    if magnitude == 1 and name != "identity" and not colour_only and name not in ("equalise",):
        assert not torch.equal(out, images)


@every_operator
def test_neutral_changes_nothing(name: str) -> None:
    images = smooth()
    out = carried_out(images, [step(name, 6, OPERATORS[name].neutral)])
    if name in ("equalise", "autocontrast"):
        return
    if name in ("posterise", "jpeg_like"):  # 8 bits are kept, or rounded coefficients
        assert (out - images).abs().max() < (1 / 127.5 if name == "posterise" else 0.05)
    else:
        torch.testing.assert_close(out, images, atol=2e-6, rtol=0)


@every_operator
def test_only_members_change_and_uint8_is_rounded_floats(name: str) -> None:
    images = smooth()
    one = step(name, 6, OPERATORS[name].strongest, [1, 4])
    out = carried_out(images, [one])
    assert torch.equal(out[[0, 2, 3, 5]], images[[0, 2, 3, 5]])
    levels = ((images + 1) * 127.5).round().to(torch.uint8)
    floats = carried_out(levels / 127.5 - 1, [one])
    actual = carried_out(levels, [one])
    assert actual.dtype == torch.uint8
    assert ((floats + 1) * 127.5 - actual).abs().max() <= 0.501
    half = carried_out(images.bfloat16(), [one])
    assert half.dtype == torch.bfloat16 and torch.equal(half[[0, 2, 3, 5]], images.bfloat16()[[0, 2, 3, 5]])


@pytest.mark.parametrize("name", [n for n in OPERATORS if n not in STEPPED])
def test_twice_differentiable(name: str) -> None:
    images = (0.5 * smooth(2, 3, (6, 7), torch.float64)).requires_grad_()
    one = step(name, 2, OPERATORS[name].weakest + 0.4 * (OPERATORS[name].strongest - OPERATORS[name].weakest))
    assert torch.autograd.gradcheck(lambda x: carried_out(x, [one]), images)
    assert torch.autograd.gradgradcheck(lambda x: carried_out(x, [one]).square(), images)


@pytest.mark.parametrize("name", STEPPED)
def test_steps_let_gradients_through(name: str) -> None:
    images = smooth().requires_grad_()
    (gradient,) = torch.autograd.grad(carried_out(images, [step(name, 6, 5)]).sum(), images)
    assert gradient.isfinite().all() and (gradient != 0).any()


def test_places_join_in_order() -> None:
    """The joined map takes each output pixel where the single maps, one after the other, take it."""
    images = smooth()
    names = ["rotate", "shear_y", "perspective", "translate_x", "mirror", "zoom", "scale"]
    strengths = {
        "rotate": 25.0,
        "shear_y": 0.2,
        "perspective": 0.1,
        "translate_x": 0.2,
        "mirror": 1.0,
        "zoom": 0.5,
        "scale": 1.3,
    }
    steps = [step(name, 6, strengths[name]) for name in names]
    joined, bends = places(images, steps)
    assert bends is None
    total = torch.eye(3).double()
    for one in steps:
        total = total @ places(images, [one])[0].double()
    torch.testing.assert_close(joined.double(), total, atol=1e-4, rtol=1e-4)


def test_colours_join_in_order_and_contrast_is_about_the_mean_of_the_moment() -> None:
    images = 0.3 * smooth()
    steps = [
        step("brightness", 6, 0.8),
        step("contrast", 6, 1.4),
        step("hue", 6, 30),
        step("saturation", 6, 0.5),
        step("contrast", 6, 0.7),
    ]
    separate = images
    for one in steps:
        separate = carried_out(separate, [one])
    torch.testing.assert_close(carried_out(images, steps), separate, atol=2e-6, rtol=0)


def test_values_wait_for_their_tints_and_places_come_last() -> None:
    images = smooth()
    tint, tone, turn = (
        step("brightness", 6, 1.5, [0, 1, 2]),
        step("solarise", 6, 100, [2, 3]),
        step("rotate", 6, 20, [2, 5]),
    )
    actual = carried_out(images, [turn, tint, tone])
    expected = carried_out(carried_out(carried_out(images, [tint]), [tone]), [turn])
    torch.testing.assert_close(actual, expected, atol=2e-6, rtol=0)


def test_many_images_are_done_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    images = smooth(9)
    steps = [
        step("contrast", 9, 1.3, [0, 3, 4, 8]),
        step("blur", 9, 1.0, [1, 4, 5]),
        step("elastic", 9, 0.1, [4, 7]),
        step("rotate", 9, 9),
    ]
    full = carried_out(images, steps)
    monkeypatch.setattr("augury.augment.engine.VALUES", 2 * images[0].numel())
    assert torch.equal(carried_out(images, steps), full)


def test_vary_names_the_operators_there_are() -> None:
    with pytest.raises(SettingsError, match=r"no operator 'spin'; choose from: identity, rotate"):
        Vary({"spin": (0, 1)})
    with pytest.raises(SettingsError, match="no operator 'spin'"):
        Vary({"rotate": (0, 1)}, {"spin": 0.5})


def test_vary_draws_from_its_ranges() -> None:
    grey = torch.zeros(4000, 1, 2, 2)
    out = Vary({"brightness": (0.8, 1.6)}, {"brightness": 0.5})(grey, ImageDraws(0, 0, range(4000)))[:, 0, 0, 0]
    changed = out[out != 0]
    assert len(changed) / 4000 == pytest.approx(0.5, abs=0.03)
    assert changed.min() == pytest.approx(-0.2, abs=0.005) and changed.max() == pytest.approx(0.6, abs=0.005)
    weak = Vary({"brightness": (0.8, 1.6)})(grey, ImageDraws(0, 0, range(4000)), strength=0.5)[:, 0, 0, 0]
    assert weak.min() == pytest.approx(-0.1, abs=0.005) and weak.max() == pytest.approx(0.3, abs=0.005)
    assert torch.equal(Vary({})(grey, torch.Generator()), grey)


def test_every_direct_change_has_an_operator_or_a_reason() -> None:
    """Names differ only where one operator stands for several changes."""
    same = {
        "shear": "shear_x",
        "shift": "translate_x",
        "flip": "mirror",
        "color_adjust": "contrast",
        "sharpen": "sharpness",
    }
    same |= {"crop": "zoom", "random_crop": "zoom", "resized_crop": "zoom", "random_resized_crop": "zoom"}
    assert {same.get(name, name) for name in DIRECT} <= set(OPERATORS)


def test_erased_boxes_cover_what_they_should() -> None:
    out = carried_out(torch.ones(500, 1, 40, 40), [step("erase", 500, 0.2)])
    covered = (out == 0).float().mean((1, 2, 3)).numpy()
    assert np.abs(covered - 0.2).max() < 0.05
