"""Walks, style mixing and truncation: their ends are the images drawn alone, their arcs follow the closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from augury.errors import DataError, SettingsError
from augury.networks import NETWORKS, build, shares
from augury.networks.conditioning import ConditionEmbedding
from augury.networks.dcgan import ConditionalNorm
from augury.training import Card, Synthesizer
from augury.training.latent import layers_of, slerp
from tests.helpers.training_data import trainable

SMALL = {"width": 8, "widest": 16}
SETTINGS = {"mlp": {"hidden": 32}, "stylegan": {**SMALL, "latent": 16}, "flow": {**SMALL, "sampling_steps": 2}}
SHAPE = (1, 20, 17)
FROM_NOISE = trainable(name for name, parts in NETWORKS.items() if parts.method != "translation")


def untrained(network: str, strength: float = 0.5) -> Synthesizer:
    """A generator with random weights, so that nothing about its images is smooth or symmetric by training."""
    torch.manual_seed(0)
    settings = SETTINGS.get(network, SMALL)
    generator = build(network, settings, SHAPE, (3, 2))[0]
    with torch.no_grad():
        for module in generator.modules():
            if hasattr(module, "strength") and not isinstance(module, ConditionEmbedding):
                module.strength.fill_(strength)  # of the noise per pixel
            if network == "projected" and isinstance(module, ConditionalNorm):
                module.affine.weight.mul_(20)  # the condition begins with almost no effect
        generator.train()
        for _ in range(40):  # batch norms and averages learn what they see
            generator(torch.randn(64, generator.latent), torch.randint(2, (64, 2)))
    card = Card(network, settings, SHAPE, ("a", "b", "c"), ("pose",), (("l", "r"),), "x", network, 0, 1, 1, "fp32")
    return Synthesizer(card, generator)


def test_slerp_keeps_the_norm_and_turns_at_even_speed() -> None:
    a, b = np.eye(3, dtype=np.float32)[[0, 0, 0]], np.eye(3, dtype=np.float32)[[1, 1, 1]]
    t = np.array([1 / 3, 0.5, 1], np.float32)
    by_hand = [[np.cos(np.pi / 6), np.sin(np.pi / 6), 0], [0.5**0.5, 0.5**0.5, 0], [0, 1, 0]]
    np.testing.assert_allclose(slerp(a, b, t), by_hand, atol=1e-6)
    numbers = np.random.default_rng(0).standard_normal((2, 50, 8)).astype(np.float32)
    p, q = numbers / np.linalg.norm(numbers, axis=2, keepdims=True)
    arc = slerp(p, q, np.linspace(0, 1, 50, dtype=np.float32))
    np.testing.assert_allclose(np.linalg.norm(arc, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        np.arccos((p * arc).sum(1)), np.linspace(0, 1, 50) * np.arccos((p * q).sum(1)), atol=1e-3
    )


def test_slerp_ends_in_the_same_bytes_and_goes_straight_where_there_is_no_arc() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 9, 64)).astype(np.float32)
    np.testing.assert_array_equal(slerp(a, b, np.zeros(9, np.float32)), a)
    np.testing.assert_array_equal(slerp(a, b, np.ones(9, np.float32)), b)
    np.testing.assert_allclose(slerp(a, 3 * a, np.full(9, 0.5, np.float32)), 2 * a, rtol=1e-6)


def test_layers_are_grouped_by_the_grids_they_paint() -> None:
    sides = {side: build("stylegan", SMALL, (1, side, side), (2,))[0].sides for side in (28, 64, 128)}
    assert sides[28] == [7, 14, 14, 28, 28, 28]
    assert [layers_of(name, sides[28]) for name in ("coarse", "middle", "fine")] == [[0, 1], [2, 3], [4, 5]]
    assert [layers_of(name, sides[64]) for name in ("coarse", "middle", "fine")] == [
        [0, 1, 2],
        [3, 4, 5, 6],
        [7, 8, 9],
    ]
    assert layers_of("fine", sides[128]) == [7, 8, 9, 10, 11]
    assert layers_of((3, 0, 3), sides[28]) == [0, 3]
    for invalid, rule in (("finest", "choose coarse, middle, fine"), ([6], "are 0 to 5")):
        with pytest.raises(SettingsError, match=rule):
            layers_of(invalid, sides[28])


def test_conditions_can_be_halfway() -> None:
    embedding = ConditionEmbedding((3, 2), 8)
    codes = torch.tensor([[2, 0], [0, 1]])
    hot = shares(codes, (3, 2))
    assert hot.tolist() == [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1]]
    assert torch.equal(embedding(hot), embedding(codes))
    torch.testing.assert_close(embedding(hot.mean(0, keepdim=True)), embedding(codes).mean(0, keepdim=True))


@pytest.mark.parametrize("network", FROM_NOISE)
@pytest.mark.parametrize("space", ["z", None])
def test_a_walk_ends_in_the_images_drawn_alone(network: str, space: str | None) -> None:
    synthesizer = untrained(network, strength=0.0)  # without noise per pixel, which a walk holds
    labels, indices = [[0, 1], [2, 0], [2, 1]], [5, 40, 7]
    single = synthesizer.sample(labels, seed=3, indices=indices).images
    interpolated = synthesizer.interpolate(labels, seed=3, indices=indices, frames=4, space=space)
    assert interpolated.shape == (7, *SHAPE) and interpolated.dtype == np.uint8
    np.testing.assert_array_equal(interpolated[[0, 3, 6]], single)
    np.testing.assert_array_equal(
        interpolated, synthesizer.interpolate(labels, seed=3, indices=indices, frames=4, space=space)
    )
    for before, after in itertools.pairwise(interpolated):
        assert not np.array_equal(before, after)
    steps = np.abs(np.diff(synthesizer.interpolate(labels[:2], frames=41, space=space).astype(float), axis=0))
    ends = np.abs(np.subtract(*synthesizer.sample(labels[:2]).images.astype(float)))
    assert steps.mean((1, 2, 3)).max() < 0.3 * ends.mean()  # smooth: no step is near the whole way


def test_a_walk_may_go_between_seeds() -> None:
    synthesizer = untrained("dcgan")
    interpolated = synthesizer.interpolate([[0, 0], [1, 0]], seed=[4, 9], indices=[2, 2], frames=2)
    for image, label, seed in zip(interpolated, (0, 1), (4, 9), strict=True):
        np.testing.assert_array_equal(image, synthesizer.sample([[label, 0]], seed=seed, start=2).images[0])
    with pytest.raises(DataError, match="2 labels but 3 seeds"):
        synthesizer.interpolate([[0, 0], [1, 0]], seed=[4, 9, 1])


def test_a_walk_holds_the_first_images_pixel_noise() -> None:
    synthesizer = untrained("stylegan")
    labels, indices = [[0, 0], [1, 1]], [0, 32]  # at one place in a batch, so that bytes can be compared
    for space in ("w", "z"):
        interpolated = synthesizer.interpolate(labels, indices=indices, frames=3, space=space)
        np.testing.assert_array_equal(interpolated[0], synthesizer.sample(labels[:1]).images[0])
        everything = synthesizer.mix(labels[:1], labels[1:], layers=range(6), indices=indices)[0, 0]
        np.testing.assert_array_equal(interpolated[-1], everything)
        assert not np.array_equal(interpolated[-1], synthesizer.sample(labels[1:], indices=indices[1:]).images[0])


def test_mixing_nothing_gives_the_row_and_everything_the_column_with_the_rows_pixel_noise() -> None:
    for strength in (0.5, 0.0):
        synthesizer = untrained("stylegan", strength)
        rows, columns = [[0, 0], [1, 0], [2, 0]], [[1, 1], [0, 1]]
        sampled = synthesizer.sample([*rows, *columns], seed=2, start=30).images
        count = len(synthesizer.generator.sides)
        nothing = synthesizer.mix(rows, columns, layers=(), seed=2, start=30)
        assert nothing.shape == (3, 2, *SHAPE)
        for column in range(2):
            np.testing.assert_array_equal(nothing[:, column], sampled[:3])
        everything = synthesizer.mix(rows, columns, layers=range(count), seed=2, start=30)
        if strength:
            assert not np.array_equal(everything[0], everything[1])
        else:
            for row in range(3):  # at the row's place in the batch, where rounding may differ by one
                np.testing.assert_allclose(everything[row].astype(int), sampled[3:], atol=1)
    parts = [synthesizer.mix(rows, columns, layers=name, seed=2, start=30) for name in ("coarse", "middle", "fine")]
    for part in parts:
        assert not np.array_equal(part, nothing) and not np.array_equal(part, everything)


@pytest.mark.parametrize("network", FROM_NOISE)
def test_a_sweep_goes_from_the_typical_image_to_the_one_drawn(network: str) -> None:
    synthesizer = untrained(network, strength=0.0)
    labels = [[1, 0], [1, 0], [2, 1]]
    sweep = synthesizer.truncate(labels, (0, 0.5, 1), seed=6, start=31)
    assert sweep.shape == (3, 3, *SHAPE)
    np.testing.assert_array_equal(sweep[:, 2], synthesizer.sample(labels, seed=6, start=31).images)
    np.testing.assert_array_equal(sweep[:, 1], synthesizer.sample(labels, seed=6, start=31, truncation=0.5).images)
    np.testing.assert_allclose(sweep[0, 0].astype(int), sweep[1, 0], atol=1)  # at another place in the batch
    assert np.abs(sweep[0, 0].astype(int) - sweep[2, 0]).max() > 1  # the class stays
    assert np.abs(sweep[0, 2].astype(int) - sweep[1, 2]).max() > 1


def test_requests_that_cannot_be_met_are_refused_in_words() -> None:
    plain, styled = untrained("dcgan"), untrained("stylegan")
    conditions = [[0, 0], [1, 0]]
    for call, rule in (
        (lambda: plain.mix(conditions, conditions), "recipe stylegan"),
        (lambda: plain.interpolate(conditions, space="w"), "recipe stylegan"),
        (lambda: styled.interpolate(conditions, space="x"), "must be z, or w"),
        (lambda: styled.interpolate(conditions[:1]), "through 1 images"),
        (lambda: styled.interpolate(conditions, frames=1), "1 frames"),
        (lambda: styled.mix(conditions, []), "0 columns"),
        (lambda: styled.mix(conditions, conditions, layers="all"), "choose coarse"),
        (lambda: styled.truncate(conditions, ()), "one or more"),
        (lambda: styled.truncate(conditions, (0, float("nan"))), "from -2 to 2"),
    ):
        with pytest.raises(SettingsError, match=rule):
            call()
    with pytest.raises(DataError, match="label, pose"):
        styled.truncate([0, 1])
