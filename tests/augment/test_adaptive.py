"""The policy `ada` against SciPy's resampling and products of 3 x 3 and 4 x 4 matrices, and the spread of its draws."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from augury.augment import ada, recolour
from augury.augment.adaptive import colours, moves


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def transforms_of(images: Tensor, flips: bool, p: float) -> tuple[Tensor, Tensor]:
    """The maps and the colour matrices that `ada` draws from a fresh generator."""
    generator = draws()
    return moves(images, generator, flips=flips, p=p), colours(images, generator, p=p)


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("p", [0.3, 1.0])
@pytest.mark.parametrize("shape", [(12, 3, 16, 16), (12, 1, 9, 14), (6, 4, 11, 8)])
def test_one_resampling_and_one_matrix_agree_with_scipy(shape: tuple[int, ...], p: float, flips: bool) -> None:
    images = noise(*shape)
    actual = ada(images, draws(), flips=flips, p=p)
    centre = (np.array(shape[2:]) - 1) / 2
    for image, m, colour, out in zip(
        images.numpy(), *(t.numpy() for t in transforms_of(images, flips, p)), actual, strict=True
    ):
        rows_first = m[::-1, [1, 0]].astype(float)
        offset = centre + m[::-1, 2] - rows_first @ centre
        resampled = [ndimage.affine_transform(c, rows_first, offset, order=1, mode="reflect") for c in image]
        expected = np.einsum("oc,chw->ohw", colour[:, :-1].astype(float), resampled) + colour[:, -1, None, None]
        np.testing.assert_allclose(out.numpy(), expected, atol=1e-6)


def test_what_does_not_move_keeps_its_bits() -> None:
    images = noise(400, 3, 8, 8).float()
    maps, tints = transforms_of(images, flips=True, p=0.1)
    unmoved = (maps == torch.eye(2, 3)).all(2).all(1)
    unchanged = unmoved & (tints == torch.eye(3, 4)).all(2).all(1)
    out = ada(images, draws(), flips=True, p=0.1)
    assert 0 < unchanged.sum() < unmoved.sum() < 400
    assert torch.equal(out[unchanged], images[unchanged])
    assert torch.equal(out[unmoved], recolour(images, tints)[unmoved])


def test_a_mirror_and_half_a_turn_only_with_flips() -> None:
    images = torch.empty(4000, 1, 16, 16)
    for flips, mirrored in ((False, 0.0), (True, 0.5)):
        maps = moves(images, draws(), flips=flips, p=1.0)[:, :, :2]
        handed = torch.linalg.det(maps).sign()
        assert float((handed < 0).float().mean()) == pytest.approx(mirrored, abs=0.03)
        u, _, v = torch.linalg.svd(maps[handed > 0])
        rotation = torch.rad2deg(torch.acos(((u @ v).diagonal(dim1=1, dim2=2).sum(1) / 2).clamp(-1, 1)))
        assert rotation.max() > 179 if flips else 40 < rotation.max() <= 45.1


def test_strengths_of_the_geometry() -> None:
    images = torch.empty(20_000, 1, 16, 24)
    maps = moves(images, draws(), flips=False, p=0.1)
    scales = -torch.linalg.det(maps[:, :, :2]).log2() / 2  # stretching, rotating and shifting keep areas
    scaled = scales.abs() > 1e-5
    assert float(scaled.float().mean()) == pytest.approx(0.1, abs=0.01)
    assert float(scales[scaled].std()) == pytest.approx(0.2, abs=0.02)
    rotated = maps[:, 0, 1] != 0
    assert float(rotated.float().mean()) == pytest.approx(0.1, abs=0.01)  # either of the two rotations
    shifts = -maps[(maps[:, :, :2] == torch.eye(2)).all(2).all(1), :, 2]
    integral = (shifts == shifts.round()).all(1) & (shifts != 0).any(1)
    assert set(shifts[integral, 0].tolist()) == set(range(-3, 4)) and set(shifts[integral, 1].tolist()) == set(
        range(-2, 3)
    )
    drifted = shifts[(shifts != shifts.round()).all(1)]
    drifted = drifted[drifted.abs().amax(1) > 0]
    assert drifted.std(0).tolist() == pytest.approx([0.125 * 24, 0.125 * 16], rel=0.1)


def test_strengths_of_the_colours() -> None:
    images = torch.empty(20_000, 3, 1, 1)
    matrices = colours(images, draws(), p=1.0)
    luma, chroma = matrices[:, :, :3].sum(2).mean(1), torch.linalg.det(matrices[:, :, :3])
    assert float((luma < 0).float().mean()) == pytest.approx(0.5, abs=0.02)
    contrast, saturation = luma.abs(), (chroma / luma**3).abs().sqrt()
    assert float(contrast.log2().std()) == pytest.approx(0.5, rel=0.05)
    assert float(saturation.log2().std()) == pytest.approx(1.0, rel=0.05)
    assert float((matrices[:, 0, 3] / luma).std()) == pytest.approx(0.2, rel=0.05)


def test_reduced_precision_around_it_changes_nothing() -> None:
    images = noise(16, 3, 12, 12).float()
    expected = ada(images, draws(), flips=True, p=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ada(images, draws(), flips=True, p=0.5), expected)
        assert torch.equal(ada(images, draws(), flips=True, p=0.0), images)
