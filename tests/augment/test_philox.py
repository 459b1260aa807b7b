"""Addressed numbers against the known answers of Random123, SciPy's tests of spread, and themselves in other batches."""

import numpy as np
import pytest
import torch
from scipy import stats

from augury.augment import ImageDraws
from augury.augment.philox import philox

KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_words(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    actual = philox(tuple(np.array([c], dtype=np.uint64) for c in counter), key)
    assert tuple(int(word[0]) for word in actual) == expected


def test_an_image_draws_alike_in_every_batch_and_anew_in_every_call_epoch_and_seed() -> None:
    all_draws = ImageDraws(3, 1, range(50))
    first, second = all_draws.uniform(7), all_draws.normal(3)
    two_rows = ImageDraws(3, 1, torch.tensor([41, 7]))
    assert torch.equal(two_rows.uniform(7), first[:, [41, 7]]) and torch.equal(two_rows.normal(3), second[:, [41, 7]])
    others = [ImageDraws(3, 2, range(50)), ImageDraws(4, 1, range(50)), ImageDraws(3, 1, range(50, 100))]
    blocks = [first, all_draws.uniform(7), *(other.uniform(7) for other in others)]
    assert len(torch.cat(blocks).flatten().unique()) > 0.99 * 5 * 350
    assert ImageDraws(0, 0, [2**40]).uniform(1) != ImageDraws(0, 0, [0]).uniform(1)


def test_numbers_are_spread_as_they_should() -> None:
    draws = ImageDraws(0, 0, range(2000))
    uniform, normal = draws.uniform(5), draws.normal(5)
    assert uniform.dtype == normal.dtype == torch.float32
    assert uniform.min() >= 0 and uniform.max() < 1
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 0.001
    assert stats.kstest(normal.flatten().numpy(), "norm").pvalue > 0.001
    assert np.abs(np.corrcoef(uniform.numpy()) - np.eye(5)).max() < 0.1
    assert draws.uniform(0).shape == (0, 2000) and ImageDraws(0, 0, []).uniform(3).shape == (3, 0)
