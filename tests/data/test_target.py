"""Images of the target domain: read in the labelled images' shape, their labels for the test alone, bad input refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from augury.data import read_target
from augury.errors import DataError
from augury.images import LabelledImages


def pictures(n: int, seed: int, channels: int = 1, side: tuple[int, int] = (24, 24)) -> np.ndarray:
    """Smooth random pictures uint8 [n, C, H, W]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, channels, 6, 6), dtype=np.uint8)
    size = (side[1], side[0])
    upscaled = [[Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC) for plane in image] for image in coarse]
    return np.stack([np.stack([np.asarray(plane) for plane in image]) for image in upscaled])


def write(folder, images: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(folder / f"{i}.png")


def labelled(n: int = 40, channels: int = 1) -> LabelledImages:
    return LabelledImages(pictures(n, 0, channels), np.arange(n) % 2, ("cat", "dog"), fingerprint="x")


def sums(images: np.ndarray) -> np.ndarray:
    return np.sort(images.astype(int).sum((1, 2, 3)))


def test_a_folder_without_labels_at_any_depth(tmp_path) -> None:
    write(tmp_path / "t", pictures(15, 1))
    write(tmp_path / "t" / "tuesday" / "late", pictures(10, 2))
    target = read_target(tmp_path / "t", labelled())
    assert target.test is None and target.notes == ()
    np.testing.assert_array_equal(sums(target.images), sums(np.r_[pictures(15, 1), pictures(10, 2)]))


def test_folders_that_are_no_classes_are_no_labels(tmp_path) -> None:
    write(tmp_path / "t" / "ward-1", pictures(15, 1))
    write(tmp_path / "t" / "ward-2", pictures(10, 2))
    target = read_target(tmp_path / "t", labelled())
    assert target.test is None and len(target.images) == 25


def test_labels_serve_the_test_alone(tmp_path) -> None:
    write(tmp_path / "t" / "dog", pictures(30, 1))
    write(tmp_path / "t" / "cat", pictures(50, 2))
    target = read_target(tmp_path / "t", labelled(), seed=3)
    assert target.test is not None and target.test.classes == ("cat", "dog")
    assert target.test.counts.tolist() == [25, 15] and len(target.images) == 40
    dogs = sums(pictures(30, 1))
    assert np.isin(target.test.images[target.test.labels == 1].astype(int).sum((1, 2, 3)), dogs).all()
    np.testing.assert_array_equal(
        sums(np.r_[target.images, target.test.images]), sums(np.r_[pictures(30, 1), pictures(50, 2)])
    )
    assert any("labels of 40 target images are used for the test" in note for note in target.notes)
    repeated = read_target(tmp_path / "t", labelled(), seed=3)
    np.testing.assert_array_equal(repeated.images, target.images)


def test_the_targets_own_test_part_is_kept(tmp_path) -> None:
    for part, seed in (("train", 1), ("test", 2)):
        write(tmp_path / "t" / part / "dog", pictures(25, seed))
        write(tmp_path / "t" / part / "cat", pictures(25, 10 + seed))
    target = read_target(tmp_path / "t", labelled())
    assert target.test is not None and target.test.split is None
    np.testing.assert_array_equal(sums(target.test.images), sums(np.r_[pictures(25, 2), pictures(25, 12)]))
    np.testing.assert_array_equal(sums(target.images), sums(np.r_[pictures(25, 1), pictures(25, 11)]))


def test_arrays_with_and_without_labels_and_groups_stay_whole(tmp_path) -> None:
    images, names = pictures(60, 5)[:, 0], np.array(["cat", "dog"])[np.arange(60) % 2]
    np.savez(tmp_path / "bare.npz", images=images)
    assert read_target(tmp_path / "bare.npz", labelled()).test is None
    np.savez(tmp_path / "named.npz", images=images, labels=names, group=np.repeat(np.arange(15), 4))
    target = read_target(tmp_path / "named.npz", labelled())
    assert target.test is not None and target.test.groups is not None
    assert len(target.test) + len(target.images) == 60 and set(np.bincount(target.test.groups)) <= {0, 4}
    np.savez(tmp_path / "other.npz", images=images, labels=np.where(names == "cat", "left", "right"))
    assert read_target(tmp_path / "other.npz", labelled()).test is None


def test_shape_and_colour_are_those_of_the_labelled_images(tmp_path) -> None:
    write(tmp_path / "colour", pictures(22, 1, channels=3, side=(36, 30)))
    target = read_target(tmp_path / "colour", labelled())
    assert target.images.shape == (22, 1, 24, 24)
    assert "36x30" in target.notes[0] and "made grey" in target.notes[1]
    write(tmp_path / "grey", pictures(22, 1))
    target = read_target(tmp_path / "grey", labelled(channels=3))
    assert target.images.shape == (22, 3, 24, 24) and "colour alone tells the domains apart" in target.notes[0]


def test_a_few_labelled_images_among_them_are_left_out_and_many_refused(tmp_path) -> None:
    write(tmp_path / "few", pictures(60, 1))
    write(tmp_path / "few" / "more", labelled().images[:2])
    target = read_target(tmp_path / "few", labelled())
    assert len(target.images) == 60 and "2 target images are near-duplicates of labelled ones" in target.notes[0]
    brighter = np.clip(labelled().images[:10].astype(int) + 6, 0, 255).astype(np.uint8)
    write(tmp_path / "many", pictures(60, 1))
    write(tmp_path / "many" / "more", brighter)
    with pytest.raises(DataError, match="10 of 70 target images are labelled images too"):
        read_target(tmp_path / "many", labelled())


def test_unlabelled_images_that_are_test_images_too_are_left_out(tmp_path) -> None:
    images = pictures(30, 1)
    for part in ("train", "test"):
        write(tmp_path / "t" / part / "dog", images if part == "test" else np.r_[pictures(25, 2), images[:5]])
        write(tmp_path / "t" / part / "cat", pictures(25, 10 + len(part)))
    target = read_target(tmp_path / "t", labelled())
    assert len(target.images) == 50 and any("5 unlabelled target images" in note for note in target.notes)


def test_images_that_cannot_be_brought_to_the_shape_are_refused(tmp_path) -> None:
    write(tmp_path / "wide", pictures(22, 1, side=(24, 72)))
    with pytest.raises(DataError, match=r"24x72 .* would lose 67% of their area .* \(--fit pad\)"):
        read_target(tmp_path / "wide", labelled())
    assert read_target(tmp_path / "wide", labelled(), fit="pad").images.shape == (22, 1, 24, 24)
    data = replace(labelled(), images=pictures(40, 0, side=(100, 100)))
    with pytest.raises(DataError, match=r"24x24 .* would be enlarged 4\.2 times"):
        write(tmp_path / "small", pictures(22, 1))
        read_target(tmp_path / "small", data)


def test_too_few_images_and_half_known_classes_are_refused(tmp_path) -> None:
    write(tmp_path / "few", pictures(19, 1))
    with pytest.raises(DataError, match="holds 19 images"):
        read_target(tmp_path / "few", labelled())
    write(tmp_path / "halves" / "dog", pictures(19, 1))
    write(tmp_path / "halves" / "cat", pictures(19, 2))
    with pytest.raises(DataError, match=r"holds 18 images .* beside 20 test images"):
        read_target(tmp_path / "halves", labelled())
    write(tmp_path / "mixed" / "dog", pictures(30, 1))
    write(tmp_path / "mixed" / "horse", pictures(30, 2))
    with pytest.raises(DataError, match="also the folder 'horse'"):
        read_target(tmp_path / "mixed", labelled())
    np.savez(tmp_path / "mixed.npz", images=pictures(40, 5)[:, 0], labels=np.repeat(["dog", "horse"], 20))
    with pytest.raises(DataError, match="1 of its 2 classes are none of the labelled images', such as 'horse'"):
        read_target(tmp_path / "mixed.npz", labelled())
    with pytest.raises(DataError, match="there is no such file"):
        read_target(tmp_path / "nowhere", labelled())
