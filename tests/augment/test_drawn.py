"""Policies that draw from the table: how often each operator comes, addresses, schedules, and AugMix's mixture."""

import numpy as np
import pytest
import torch
from torch import Tensor

from augury.augment import (
    OPERATORS,
    POLICIES,
    Compose,
    ImageDraws,
    Vary,
    augmented,
    augmix,
    policy,
    randaugment,
    trivialaugment,
)
from augury.augment.drawn import FOURTEEN, layers
from augury.errors import DataError, SettingsError


def images(n: int = 24, size: int = 20) -> Tensor:
    """uint8 [n, 3, size, size], smooth."""
    coarse = torch.rand(n, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 255
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear").to(torch.uint8)


def test_operators_come_equally_often_each_at_its_magnitude() -> None:
    steps = layers(7000, torch.Generator().manual_seed(0), FOURTEEN, torch.full((2, 7000), 0.3), 1.0)
    shares = dict.fromkeys(FOURTEEN, 0.0)
    for name in FOURTEEN:
        for step in (s for s in steps if s.operator is OPERATORS[name]):
            shares[name] += len(step.members) / 14000
            expected = {abs(OPERATORS[name].strength(torch.tensor(0.3), torch.tensor(c)).item()) for c in (0.0, 0.9)}
            assert {round(abs(float(s)), 4) for s in step.strengths} <= {round(w, 4) for w in expected}
            assert (step.members.diff() > 0).all()
    assert shares.pop("identity") == 0 and all(s == pytest.approx(1 / 14, abs=0.01) for s in shares.values())
    drawn_layers = layers(7000, torch.Generator().manual_seed(0), FOURTEEN, torch.full((1, 7000), 0.3), 0.25)
    assert sum(len(s.members) for s in drawn_layers) / 7000 == pytest.approx(0.25 * 13 / 14, abs=0.02)


@pytest.mark.parametrize("case", [*POLICIES, "vary", "composed"])
def test_an_image_comes_out_alike_in_every_batch(case: str) -> None:
    """Bit for bit, in uint8; `ada`, whose powers of two are vectorised by batch, within a level."""
    policies = {
        "vary": Vary({n: (o.neutral, o.strongest) for n, o in OPERATORS.items()}),
        "composed": Compose(["text", "augmix"]),
    }
    chosen_policy, x = policies.get(case, case), images()
    batch_output = augmented(x, chosen_policy, seed=1, epoch=2)
    one_by_one = torch.cat(
        [augmented(x[i : i + 1], chosen_policy, seed=1, epoch=2, indices=[i]) for i in range(len(x))]
    )
    reversed_output = augmented(x.flip(0), chosen_policy, seed=1, epoch=2, indices=list(range(len(x)))[::-1]).flip(0)
    for other in (one_by_one, reversed_output):
        assert (batch_output.int() - other.int()).abs().max() <= (1 if case == "ada" else 0)
    if case != "none":
        assert not torch.equal(batch_output, augmented(x, chosen_policy, seed=1, epoch=3))
        assert not torch.equal(batch_output, augmented(x, chosen_policy, seed=2, epoch=2))


@pytest.mark.parametrize("name", ["natural", "randaugment", "trivialaugment", "augmix", "classical"])
def test_floats_bytes_arrays_and_lists_of_numbers_agree(name: str) -> None:
    x = images(8)
    expected = augmented(x, name, seed=0, indices=torch.arange(5, 13))
    floats = augmented(x / 255, name, seed=0, indices=range(5, 13))
    assert (floats * 255 - expected).abs().max() <= 1.01
    array = augmented(np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy()), name, seed=0, indices=np.arange(5, 13))
    assert np.array_equal(array, expected.permute(0, 2, 3, 1).numpy())
    wide = augmented(x / 127.5 - 1, name, seed=0, indices=range(5, 13), span=(-1, 1))
    torch.testing.assert_close(wide, floats * 2 - 1, atol=1e-3, rtol=0)


def test_probability_and_strength_may_follow_the_epoch() -> None:
    x = images(400, 8)
    changed = [
        (augmented(x, "randaugment", seed=0, epoch=e, p=lambda e: 0.1 * e, flips=False) != x)
        .flatten(1)
        .any(1)
        .float()
        .mean()
        for e in range(4)
    ]
    assert changed[0] == 0 and changed[1] < changed[2] < changed[3]
    rotate = Vary({"rotate": (-40, 40)})
    small, large = (
        (augmented(x, rotate, seed=0, epoch=e, strength=lambda e: 0.1 + e).int() - x.int()).abs().float().mean()
        for e in (0, 1)
    )
    assert 0 < small < large
    with pytest.raises(SettingsError, match="this policy takes no 'strength'"):
        augmented(x, "classical", seed=0, strength=0.5)


def test_augmented_says_what_it_cannot_do() -> None:
    x = images(3)
    with pytest.raises(DataError, match="3 images and 2 indices"):
        augmented(x, "text", seed=0, indices=[1, 2])
    from PIL import Image

    with pytest.raises(DataError, match="transparency"):
        augmented(Image.new("RGBA", (8, 8)), "text", seed=0)
    assert augmented(x[:0], "text", seed=0).shape == (0, 3, 20, 20)


def test_augmix_lies_between_the_image_and_its_chains() -> None:
    flat = torch.full((200, 1, 8, 8), 0.5)
    out = augmix(flat, ImageDraws(0, 0, range(200)), operators=["solarise"], magnitude=1.0)
    assert ((out >= -0.5001) & (out <= 0.5001)).all() and float((out < 0.49).float().mean()) > 0.1
    same = augmix(flat, ImageDraws(0, 0, range(200)), operators=["identity"])
    torch.testing.assert_close(same, flat)
    assert torch.equal(augmix(flat, torch.Generator().manual_seed(0), p=0.0), flat)


def test_trivialaugment_makes_one_change_and_randaugment_as_many_as_asked() -> None:
    grey = torch.zeros(3000, 1, 6, 6)
    bright = {"operators": ["identity", "brightness"]}
    one = trivialaugment(grey, torch.Generator().manual_seed(0), **bright)[:, 0, 0, 0]
    assert float((one != 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert one.abs().max() <= 0.9 and float(one.abs()[one != 0].mean()) == pytest.approx(0.45, abs=0.03)
    four = randaugment(grey, torch.Generator().manual_seed(0), operations=4, magnitude=0.1, **bright)[:, 0, 0, 0]
    assert float((four != 0).float().mean()) == pytest.approx(15 / 16, abs=0.02)


@pytest.mark.parametrize(
    ("name", "invariant"),
    [("astronomy", "radial"), ("text", "handed"), ("medical", "handed"), ("faces", "hue"), ("medical", "hue")],
)
def test_presets_keep_what_matters_to_their_domain(name: str, invariant: str) -> None:
    ramp = torch.linspace(-0.5, 0.5, 32)
    if invariant == "radial":  # a round galaxy looks the same from every side: nothing else may change
        y, x = torch.meshgrid(torch.linspace(-2, 2, 33), torch.linspace(-2, 2, 33), indexing="ij")
        galaxy = torch.exp(-(x**2 + y**2)).expand(50, 3, 33, 33) - 0.5
        away = (POLICIES[name](galaxy, ImageDraws(0, 0, range(50))) - galaxy).abs()
        assert away[:, :, x**2 + y**2 < 1.9**2].max() < 0.01  # the corners show the mirrored border
    elif invariant == "handed":
        out = policy(name, flips=False)(ramp.expand(300, 3, 32, 32), ImageDraws(0, 0, range(300)))
        assert (out[..., 20:].mean((1, 2, 3)) > out[..., :12].mean((1, 2, 3))).all()
        assert torch.equal(policy("text", flips=True)(out, draws()), policy("text", flips=False)(out, draws()))
    else:
        red = torch.tensor([0.5, -0.2, -0.2]).view(1, 3, 1, 1).expand(100, 3, 16, 16)
        out = POLICIES[name](red, ImageDraws(0, 0, range(100))).mean((2, 3))
        assert (out[:, 0] >= out[:, 1] - 0.02).all() and (out[:, 1] - out[:, 2]).abs().max() < 0.06


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_compose_hands_its_keywords_to_those_that_take_them() -> None:
    def darker(x: Tensor, generator: torch.Generator) -> Tensor:
        return x - 0.5

    x = images(4).float() / 255
    both = Compose(["none", darker, "astronomy"])
    assert torch.equal(both(x, draws(), flips=False, p=0.0, strength=1.0), x - 0.5)
    assert policy(both) is both
