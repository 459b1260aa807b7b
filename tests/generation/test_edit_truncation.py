"""Truncation before an edit, and the pace of an inversion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from augury.errors import DataError, SettingsError
from augury.generation import edit, find_directions, project
from augury.generation.latent import descend
from augury.training import LatentSpace
from tests.generation.test_directions import untrained
from tests.helpers.linear_generator import linear_synthesizer

CELLS = np.array([[0, 1], [1, 2], [1, 0]])


@pytest.mark.parametrize("network", ["stylegan", "dcgan", "autoencoder"])
@pytest.mark.parametrize("value", [0.0, 0.4, 1.3])
def test_an_edit_begins_at_the_truncated_image(network: str, value: float) -> None:
    synthesizer = untrained(network, latent=6)
    moved = edit(synthesizer, find_directions(synthesizer), {"sefa0": 2}, CELLS, frames=2, seed=5, truncation=value)
    truncated = synthesizer.truncate(CELLS, [value], seed=5)[:, 0].astype(int)
    assert np.abs(moved[:, 0].astype(int) - truncated).max() <= 1  # the last bit of a sum may differ
    assert (moved[:, 1] != moved[:, 0]).any()


def test_points_of_a_linear_generator_move_on_the_line_to_their_centre() -> None:
    space = LatentSpace(linear_synthesizer())
    conditions = np.array([[0, 0], [1, 1]])
    points = space.drawn(conditions, np.arange(2), 3)
    centres = sum(effect.numpy()[conditions[:, k]] for k, effect in enumerate(space.generator.effects))
    moved = space.truncated(points, 0.25).latents
    np.testing.assert_allclose(moved, centres + 0.25 * (points.latents - centres), atol=1e-5)
    wide = points.__class__(points.latents[:, None].repeat(2, 1), points.noise, points.conditions, points.indices)
    np.testing.assert_allclose(space.truncated(wide, 0.25).latents, moved[:, None].repeat(2, 1), atol=1e-5)
    assert space.truncated(points, 1.0) is points
    for value in (2.5, float("nan")):
        with pytest.raises(SettingsError, match=r"truncation is .* must lie from -2 to 2"):
            space.truncated(points, value)


def test_a_pace_sees_the_progress_and_can_end_the_search() -> None:
    shares: list[float] = []
    start = torch.full((2, 3), 4.0, requires_grad=True)

    def half(share: float) -> float:
        shares.append(share)
        return 2 * share

    best, least = descend(start, lambda x: x.square().sum(1), 20, lambda done: 0.1 if done <= 1 else 1e9, pace=half)
    np.testing.assert_allclose(shares, np.arange(11) / 20)  # at 10 of 20 updates the share is 1
    np.testing.assert_allclose(least, best.square().sum(1))
    assert (least < 3 * 4.0**2).all() and least.isfinite().all()


def test_an_inversion_ends_when_its_pace_says_so_or_raises() -> None:
    synthesizer = linear_synthesizer(gain=0.5)
    drawn = synthesizer.sample([[0, 0]], seed=3).images
    none = project(synthesizer, drawn, steps=300, pace=lambda share: 1.0)
    whole = project(synthesizer, drawn, steps=300)
    assert whole.psnr[0] > none.psnr[0] + 10 and whole.ratings == ["close"] and whole.measures[0].startswith("PSNR")

    def stop(share: float) -> float:
        if share > 0.5:
            raise KeyError("enough")
        return share

    with pytest.raises(KeyError, match="enough"):
        project(synthesizer, drawn, steps=300, pace=stop)


@pytest.mark.parametrize("shape", [(1, 1, 8, 9), (1, 3, 8, 8), (0, 1, 8, 8)], ids=["size", "mode", "none"])
def test_images_that_the_generator_does_not_draw_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"this generator draws \[N, 1, 8, 8\]; resize or convert them first"):
        project(linear_synthesizer(), np.zeros(shape, np.uint8))
