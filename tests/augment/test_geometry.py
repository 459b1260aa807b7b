"""Moving pixels, against torch.rot90, SciPy's resampling, NumPy's roll and finite differences."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from augury.augment import affine, chain, compose, translate


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def matrices(n: int, size: tuple[int, int], **changes: list[float] | list[list[float]] | list[bool]) -> Tensor:
    neutral = {"angles": [0.0] * n, "scales": [1.0] * n, "shears": [0.0] * n, "translations": [[0.0, 0.0]] * n}
    values = {k: torch.tensor(v, dtype=torch.float64) for k, v in {**neutral, **changes}.items() if k != "flips"}
    return compose(**values, flips=torch.tensor(changes.get("flips", [False] * n)), size=size)


@pytest.mark.parametrize("padding", ["border", "reflection", "zeros"])
@pytest.mark.parametrize("size", [(8, 8), (7, 12)])
def test_neutral_parameters_change_nothing(size: tuple[int, int], padding: str) -> None:
    images = noise(2, 3, *size)
    torch.testing.assert_close(affine(images, matrices(2, size), padding), images)
    assert torch.equal(translate(images, torch.zeros(2, 2, dtype=torch.int64)), images)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("side", [8, 9])
def test_quarter_turns_are_rot90(turns: int, side: int) -> None:
    images = noise(2, 3, side, side)
    rotated = affine(images, matrices(2, (side, side), angles=[90.0 * turns] * 2))
    torch.testing.assert_close(rotated, torch.rot90(images, turns, (2, 3)))


def test_half_turn_of_a_non_square_image_and_quarter_turn_keep_distances() -> None:
    images = noise(1, 1, 6, 11)
    torch.testing.assert_close(affine(images, matrices(1, (6, 11), angles=[180.0])), images.flip(2, 3))
    dot = torch.zeros(1, 1, 9, 21, dtype=torch.float64)
    dot[0, 0, 4, 13] = 1  # three pixels right of the centre (4, 10)
    rotated = affine(dot, matrices(1, (9, 21), angles=[90.0]), "zeros")
    assert rotated[0, 0, 1, 10] == pytest.approx(1)  # three pixels above it


def test_mirroring_is_exact_and_comes_first() -> None:
    images = noise(2, 1, 5, 8)
    flipped = affine(images, matrices(2, (5, 8), flips=[True, False]))
    torch.testing.assert_close(flipped, torch.stack([images[0].flip(2), images[1]]))
    mirrored = affine(images, matrices(2, (5, 8), flips=[True, True], translations=[[0.25, 0.0]] * 2), "zeros")
    torch.testing.assert_close(mirrored[:, :, :, 2:], images.flip(3)[:, :, :, :-2])


def test_scale_shear_and_translation_mean_what_they_say() -> None:
    size = (9, 13)
    ramp = torch.arange(13, dtype=torch.float64).expand(1, 1, 9, 13) - 6  # the value is x from the centre
    torch.testing.assert_close(affine(ramp, matrices(1, size, scales=[2.0])), ramp / 2)
    sheared = affine(ramp, matrices(1, size, shears=[0.5]))
    torch.testing.assert_close(sheared[0, 0, 6, 4:9], ramp[0, 0, 6, 4:9] - 1)  # two down: moved one right
    translated = affine(noise(1, 2, 10, 20), matrices(1, (10, 20), translations=[[0.1, -0.2]]), "zeros")
    torch.testing.assert_close(translated[:, :, :-2, 2:], noise(1, 2, 10, 20)[:, :, 2:, :-2])


@pytest.mark.parametrize(("padding", "mode"), [("border", "nearest"), ("reflection", "reflect")])
@pytest.mark.parametrize("size", [(12, 12), (9, 15)])
def test_affine_agrees_with_scipy(size: tuple[int, int], padding: str, mode: str) -> None:
    images = noise(3, 2, *size)
    maps = matrices(
        3,
        size,
        angles=[13.0, -40.0, 200.0],
        scales=[0.8, 1.3, 1.0],
        shears=[0.2, 0.0, -0.3],
        translations=[[0.1, -0.07], [0.0, 0.2], [-0.15, 0.0]],
        flips=[True, False, True],
    )
    actual = affine(images, maps, padding)
    centre = (np.array(size) - 1) / 2
    for i, m in enumerate(maps.numpy()):
        rows_first = m[::-1, [1, 0]]
        offset = centre + m[::-1, 2] - rows_first @ centre
        for channel in range(2):
            expected = ndimage.affine_transform(images[i, channel].numpy(), rows_first, offset, order=1, mode=mode)
            np.testing.assert_allclose(actual[i, channel].numpy(), expected, atol=1e-9)


def test_compose_is_the_inverse_of_the_product_of_the_single_maps() -> None:
    angle, scale, shear, (right, down), h, w = 0.3, 1.4, 0.25, (0.1, -0.2), 10, 30
    rotate = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    slant = np.array([[1, shear, 0], [0, 1, 0], [0, 0, 1]])
    move = np.array([[1, 0, right * w], [0, 1, down * h], [0, 0, 1]])
    forward = move @ rotate @ slant @ np.diag([scale, scale, 1]) @ np.diag([-1, 1, 1])
    actual = matrices(
        1,
        (h, w),
        angles=[np.rad2deg(angle)],
        scales=[scale],
        shears=[shear],
        translations=[[right, down]],
        flips=[True],
    )
    np.testing.assert_allclose(actual[0].numpy(), np.linalg.inv(forward)[:2], atol=1e-12)


def test_a_chain_makes_its_changes_in_order_and_scales_may_differ_across_and_down() -> None:
    size = (10, 30)
    first = matrices(2, size, angles=[30.0, -80.0], translations=[[0.1, -0.2], [0.0, 0.3]], flips=[True, False])
    second = matrices(2, size, angles=[10.0, 50.0], scales=[[1.5, 0.5], [0.7, 1.2]], translations=[[0.2, 0.1]] * 2)
    third = matrices(2, size, scales=[[1.5, 0.5], [1.0, 2.0]])
    np.testing.assert_allclose(third[0].numpy(), [[1 / 1.5, 0, 0], [0, 2, 0]])
    square = [np.concatenate([m.numpy(), np.tile([[[0.0, 0, 1]]], (2, 1, 1))], 1) for m in (first, second, third)]
    forward = np.linalg.inv(square[2]) @ np.linalg.inv(square[1]) @ np.linalg.inv(square[0])
    np.testing.assert_allclose(chain(first, second, third).numpy(), np.linalg.inv(forward)[:, :2], atol=1e-12)


@pytest.mark.parametrize("size", [(6, 6), (5, 9)])
def test_translate_is_a_roll_with_zeros(size: tuple[int, int]) -> None:
    images, shifts = noise(4, 3, *size), [(0, 0), (2, -1), (-3, 4), (size[1] + 2, 0)]
    actual = translate(images, torch.tensor(shifts), torch.tensor([False, True, False, True]))
    for i, (right, down) in enumerate(shifts):
        source = images[i].numpy()[:, :, ::-1] if i in (1, 3) else images[i].numpy()
        expected = np.zeros_like(source)
        for y in range(size[0]):
            for x in range(size[1]):
                if 0 <= y - down < size[0] and 0 <= x - right < size[1]:
                    expected[:, y, x] = source[:, y - down, x - right]
        np.testing.assert_array_equal(actual[i].numpy(), expected)


def test_translate_agrees_with_affine() -> None:
    images = noise(2, 1, 8, 16)
    slow = affine(images, matrices(2, (8, 16), translations=[[0.125, 0.25], [-0.25, 0.0]]), "zeros")
    torch.testing.assert_close(translate(images, torch.tensor([[2, 2], [-4, 0]])), slow)


def test_half_precision_comes_back_as_it_went() -> None:
    images = noise(1, 1, 32, 32).bfloat16()
    rotated = affine(images, matrices(1, (32, 32), angles=[90.0]))
    assert rotated.dtype == torch.bfloat16
    torch.testing.assert_close(rotated.float(), torch.rot90(images.float(), 1, (2, 3)), atol=0.01, rtol=0)


@pytest.mark.parametrize("padding", ["border", "reflection"])
def test_affine_is_twice_differentiable(padding: str) -> None:
    maps = matrices(2, (4, 5), angles=[20.0, -50.0], scales=[0.9, 1.2])
    images = noise(2, 2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: affine(x, maps, padding), images)
    assert torch.autograd.gradgradcheck(lambda x: affine(x, maps, padding).square(), images)


def test_translate_is_twice_differentiable() -> None:
    images, shifts = noise(2, 2, 4, 5).requires_grad_(), torch.tensor([[1, -2], [0, 1]])
    assert torch.autograd.gradcheck(lambda x: translate(x, shifts), images)
    assert torch.autograd.gradgradcheck(lambda x: translate(x, shifts).square(), images)
