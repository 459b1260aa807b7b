"""Images without labels: found at any depth, brought to the data's shape, kept apart from what is held out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from augury.data import apart_from, read_unlabelled, with_unlabelled
from augury.errors import DataError
from augury.images import Attribute, LabelledImages


def pictures(n: int, seed: int, channels: int = 1, side: int = 24) -> np.ndarray:
    """Smooth random pictures uint8 [n, C, side, side]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, channels, 6, 6), dtype=np.uint8)
    return np.stack(
        [
            np.stack(
                [np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC)) for plane in image]
            )
            for image in coarse
        ]
    )


def write(folder, images: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(folder / f"{i}.png")


def test_loose_and_nested_files_are_read_in_the_shape_of_the_data(tmp_path) -> None:
    write(tmp_path / "x", pictures(3, 0))
    write(tmp_path / "x" / "deeper" / "still", pictures(2, 1))
    images = read_unlabelled(tmp_path / "x", (1, 24, 24))
    assert images.shape == (5, 1, 24, 24)
    np.testing.assert_array_equal(
        np.sort(images.sum((1, 2, 3))), np.sort(np.r_[pictures(3, 0), pictures(2, 1)].sum((1, 2, 3)))
    )
    assert read_unlabelled(tmp_path / "x", (3, 12, 16)).shape == (5, 3, 12, 16)


def test_colour_becomes_grey_as_pillow_does_it(tmp_path) -> None:
    images = pictures(2, 4, channels=3)
    write(tmp_path / "x", images)
    unlabelled = read_unlabelled(tmp_path / "x", (1, 24, 24))
    expected = [np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L")).astype(int) for image in images]
    assert np.abs(unlabelled[:, 0].astype(int) - expected).max() <= 1


def test_arrays_serve_as_well_and_their_labels_do_not_count(tmp_path) -> None:
    np.savez(tmp_path / "x.npz", images=pictures(4, 2)[:, 0], labels=np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(read_unlabelled(tmp_path / "x.npz", (1, 24, 24)), pictures(4, 2))


def test_one_image_is_too_few(tmp_path) -> None:
    write(tmp_path / "x", pictures(1, 0))
    with pytest.raises(DataError, match="holds 1 images"):
        read_unlabelled(tmp_path / "x", (1, 24, 24))


def test_near_duplicates_of_what_is_held_out_are_left_out_and_counted() -> None:
    test, validation, free = pictures(6, 0), pictures(5, 1), pictures(7, 2)
    brighter = np.clip(test[:2].astype(int) + 6, 0, 255).astype(np.uint8)
    inputs = np.concatenate([free, brighter, validation[3:4], free[:1]])
    keep, left = apart_from(inputs, {"validation": validation, "test": test})
    assert keep.tolist() == [True] * 7 + [False] * 3 + [True]
    assert left == {"validation": 1, "test": 2}


def test_they_stand_beside_the_labelled_ones_as_a_class_of_their_own() -> None:
    pose = Attribute(np.array([0, 1, 0, 1]), ("l", "r"))
    data = LabelledImages(pictures(4, 0), np.array([0, 0, 1, 1]), ("a", "b"), {"pose": pose}, fingerprint="f")
    both = with_unlabelled(data, pictures(3, 1))
    assert both.classes == ("a", "b", "unlabelled") and both.counts.tolist() == [2, 2, 3]
    assert both.conditions(("pose",)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]] + [[2, 2]] * 3
    assert both.cardinalities(("pose",)) == (3, 3)
    np.testing.assert_array_equal(both.images[4:], pictures(3, 1))
    assert both.fingerprint not in (data.fingerprint, with_unlabelled(data, pictures(3, 2)).fingerprint)
    with pytest.raises(DataError, match="already"):
        with_unlabelled(both, pictures(3, 1))
