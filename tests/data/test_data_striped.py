"""The embedded sample with an empty cell."""

from __future__ import annotations

import numpy as np

import augury
from augury.data import STRIPED, sample
from augury.data.cells import cells
from augury.data.embedded import with_stripes


def test_no_striped_shirt_is_outside_the_test_part() -> None:
    data = augury.load(STRIPED)
    counts = [cells(data.take(data.split == part), ("fabric",)).counts.tolist() for part in range(3)]
    assert counts == [[[150, 150], [150, 0]], [[30, 30], [30, 0]], [[125, 125], [125, 125]]]
    assert data.notes["flips"] and data.notes["licence"] == "MIT"


def test_every_image_is_another_garment_and_the_test_part_is_the_samples_own() -> None:
    data, source = augury.load(STRIPED), sample()
    names = [name.removesuffix(" striped") for name in data.names]
    assert len(set(names)) == len(data)
    rows = np.array([source.names.index(name) for name in names])
    assert ((source.split[rows] == 2) == (data.split == 2)).all()
    is_plain = data.attributes["fabric"].codes == 0
    np.testing.assert_array_equal(data.images[is_plain], source.images[rows[is_plain]])
    assert (data.images[~is_plain] <= source.images[rows[~is_plain]]).all()


def test_a_stripe_is_two_pixels_high_and_darkens_the_garment_alone() -> None:
    images = np.full((3, 1, 12, 5), 200, np.uint8)
    images[:, :, :, 0] = 10
    striped = with_stripes(images, np.array([1, 2, 3]))
    assert (striped[..., 0] == 10).all()
    for image in striped[:, 0]:
        rows = image[:, 1] == 70  # .35 of 200
        assert (image[~rows, 1:] == 200).all() and (image[rows, 1:] == 70).all()
        assert 5 <= rows.sum() <= 7
        assert all(rows[i] == (not rows[i + 2]) for i in range(10))
