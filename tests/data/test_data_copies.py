"""Near-duplicates: copies made by re-encoding, brightness and slight crops are found, similar pictures are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from augury.data import (
    LEFT_OUT,
    census,
    copied,
    draw_clusters,
    find_near_duplicates,
    from_arrays,
    load,
    sample,
    shared,
    split,
)
from augury.data.image_similarity import reduced, spectrum
from augury.data.near_duplicates import APART, NEAR, _by_bands, candidates, clusters, identical
from augury.errors import DataError
from augury.images import LabelledImages
from augury.proof import like_held

Pixels = npt.NDArray[np.uint8]


def scenes(count: int, size: int = 40, seed: int = 0) -> Pixels:
    """Pictures of overlapping discs in grey, [N, size, size], each unlike the others."""
    random, images = np.random.default_rng(seed), []
    y, x = np.mgrid[:size, :size]
    for _ in range(count):
        picture = np.full((size, size), random.uniform(40, 200))
        for _ in range(30):
            cy, cx, radius = (*random.uniform(0, size, 2), random.uniform(2, size / 4))
            picture[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = random.uniform(0, 255)
        images.append(Image.fromarray(picture.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7)))
    return np.stack([np.asarray(image) for image in images])


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": jpeg,
    "brighter": lambda image: image.point(lambda v: min(255, int(1.15 * v + 10))),
    "flatter": lambda image: image.point(lambda v: int(0.7 * v + 30)),
    "cropped": lambda image: image.resize(image.size, box=tuple(side * f for f in (0.02, 0.98) for side in image.size)),
    "shrunk and grown": lambda image: image.resize((30, 30), Image.Resampling.BICUBIC).resize(image.size),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("size", [40, 64])
def test_a_changed_copy_is_found(change: str, size: int) -> None:
    pixels = scenes(40, size)
    copies = [np.asarray(CHANGES[change](Image.fromarray(picture))) for picture in pixels[:10]]
    near_pairs = find_near_duplicates(np.concatenate([pixels, np.stack(copies)])[:, None])
    assert set(near_pairs) <= {(i, 40 + i) for i in range(10)} and len(near_pairs) >= 9


@pytest.mark.parametrize("change", CHANGES)
def test_many_copies_of_one_picture_do_not_hide_each_other(change: str) -> None:
    pixels = scenes(40)
    random = np.random.default_rng(3)
    changed_copies = [
        np.clip(np.asarray(CHANGES[change](Image.fromarray(picture))) + random.normal(0, sigma, picture.shape), 0, 255)
        for sigma in np.linspace(1, 4, 20)
        for picture in pixels[:10]
    ]
    images = np.concatenate([scenes(30, seed=9), np.stack(changed_copies).astype(np.uint8)])[:, None]
    copies = np.concatenate([copied(images[i : i + 1], pixels[:, None]) for i in range(len(images))])
    assert not copies[:30].any() and copies[30:].mean() > 0.9
    np.testing.assert_array_equal(copied(images, pixels[:, None]), copies)
    extended = np.concatenate([pixels, pixels[:5]])[:, None]  # held twice, and still no outsiders of each other
    np.testing.assert_array_equal(copied(images, extended), copies)
    assert not copied(images, scenes(40, seed=8)[:, None], pixels[:, None]).any()  # of others, which may be copied


def test_copies_of_what_is_held_are_as_near_as_find_near_duplicates() -> None:
    reference, one = sample().images[:300], sample().images[300:301]
    for k in range(0, 300, 25):
        dimmer = np.asarray(reference[k : k + 1] * 0.8 + 9).astype(np.uint8)
        both = find_near_duplicates(np.concatenate([reference, dimmer]))
        assert copied(dimmer, reference).tolist() == [any(300 in cluster for cluster in both)]
    assert not copied(one, reference).any() and copied(reference[7:8], reference).all()
    other_way = np.asarray(reference[7:8, :, :, ::-1] * 0.8 + 9).astype(np.uint8)
    assert not copied(other_way, reference).any() and copied(other_way, reference, mirrored=True).all()
    tiny = reference[:9, :, :12, :12]
    assert copied(tiny[3:5], tiny[4:]).tolist() == [False, True] and copied(tiny[:0], tiny).shape == (0,)
    assert copied(tiny[4:5, :, :, ::-1], tiny, mirrored=True).all() and not copied(tiny, tiny[:0]).any()


def test_pictures_that_are_all_alike_are_no_copies_beside_others_of_their_kind() -> None:
    data = sample()
    trousers = data.images[data.labels == np.bincount(data.labels).argmax()]
    reference, new, others = trousers[:5], trousers[5:250], trousers[250:]
    assert copied(new, reference, others).sum() <= 1
    np.testing.assert_array_equal(copied(new, reference, others[:0]), copied(new, reference))


def test_colour_and_grey_versions_are_copies() -> None:
    colours = scenes(60).reshape(20, 3, 40, 40)
    grey = np.repeat(colours[:1].mean(axis=1, keepdims=True), 3, axis=1).astype(np.uint8)
    assert find_near_duplicates(np.concatenate([colours, grey])) == ((0, 20),)


def test_different_pictures_the_sample_and_noise_are_no_copies() -> None:
    assert find_near_duplicates(scenes(200)[:, None]) == ()
    assert find_near_duplicates(sample().images[:1500]) == ()
    noise = np.random.default_rng(0).integers(0, 256, (300, 1, 20, 20), dtype=np.uint8)
    assert find_near_duplicates(noise) == ()


def test_identical_pictures_count_and_blank_or_tiny_ones_only_when_identical() -> None:
    pixels = scenes(6)[:, None]
    pixels[4] = pixels[1]
    assert find_near_duplicates(pixels) == ((1, 4),)
    blank = np.full((5, 1, 32, 32), 90, np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None, None]
    assert find_near_duplicates(blank) == () and find_near_duplicates(pixels[:0]) == ()
    tiny = scenes(5)[:, None, :12, :12]
    assert find_near_duplicates(np.concatenate([tiny, tiny[:1], tiny[1:2] // 2 + 9])) == ((0, 5),)


def test_a_copy_of_an_identical_pair_joins_them() -> None:
    pixels = scenes(8)
    pixels[5] = pixels[2]
    brighter = np.asarray(CHANGES["brighter"](Image.fromarray(pixels[2])))
    assert find_near_duplicates(np.concatenate([pixels, brighter[None]])[:, None]) == ((2, 5, 8),)


def test_candidates_by_bands_and_by_force_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Banding promises every pair within 7 bits, finds none beyond 10, and gives each once."""
    random = np.random.default_rng(0)
    bits = random.random((3000, 64)) < 0.5
    for i in range(0, 1200, 2):
        bits[i + 1] = bits[i] ^ (np.argsort(random.random(64)) < random.integers(0, 14))
    pairs = {}
    for name, threshold in (("force", 10_000), ("bands", 10)):
        monkeypatch.setattr("augury.data.near_duplicates._FEW", threshold)
        listed = [(int(a), int(b)) for first, second in candidates(bits) for a, b in zip(first, second, strict=True)]
        assert len(listed) == len(set(listed)) and all(a < b for a, b in listed)
        pairs[name] = set(listed)
    assert pairs["bands"] <= pairs["force"]
    assert all((bits[a] ^ bits[b]).sum() > 7 for a, b in pairs["force"] - pairs["bands"])
    assert len(pairs["bands"]) > 0.8 * len(pairs["force"]) > 300


def test_a_cluster_must_stand_apart() -> None:
    close, near, far = NEAR / 4, NEAR / 2, APART * NEAR * 0.9
    assert clusters(np.array([[1, 2, near], [2, 3, far]])) == [[1, 2]]
    assert clusters(np.array([[1, 2, near], [2, 3, near * 1.2], [3, 4, near * 1.6], [4, 5, NEAR * 1.1]])) == []
    triple = clusters(np.array([[1, 2, close], [3, 2, near], [1, 9, far * 1.05]]))
    assert [sorted(cluster) for cluster in triple] == [[1, 2, 3]]
    assert clusters(np.array([[1, 2, 0.001], [2, 3, 0.0015], [5, 6, NEAR * 1.1]])) != []
    assert clusters(np.empty((0, 3))) == []


def woven(count: int, seed: int = 0) -> Pixels:
    """One scene with a fine checked texture of its own in each picture, [N, 64, 64]. At 32 px all are alike."""
    random = np.random.default_rng(seed)
    signs = random.choice([-30, 30], (count, 8, 8)).repeat(8, axis=1).repeat(8, axis=2)
    checks = np.where(np.indices((64, 64)).sum(axis=0) % 2, 1, -1)
    return np.asarray(scenes(1, 64, seed) // 2 + 60 + signs * checks).astype(np.uint8)


def written(root: Path, pixels: Pixels) -> Path:
    """A folder of two classes with these pictures, in turn, as PNG."""
    for i, picture in enumerate(pixels):
        file = root / "ab"[i % 2] / f"{i:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)
    return root


@pytest.mark.parametrize("size", [16, 32, 64, 96, None])
def test_fine_textures_tell_apart_what_looks_alike_at_32_pixels(size: int | None) -> None:
    """Pictures of one scene that differ by a fine texture are no copies, whatever the size in which they are used."""
    pixels = np.concatenate([woven(4), scenes(20, 64, seed=5)])
    pixels = np.concatenate([pixels, [np.asarray(jpeg(Image.fromarray(pixels[i]))) for i in (2, 7)]])
    data = from_arrays(pixels, np.arange(26) % 2, size=size)
    assert (data.previews is None) == (size in (64, None))
    assert find_near_duplicates(data) == ((2, 24), (7, 25))
    rows = np.arange(26)[::-1]
    assert find_near_duplicates(data.take(rows)) == ((0, 18), (1, 23))
    if size == 32:  # without the texture they are one picture, or nearly so
        assert any({0, 1, 2, 3} <= set(cluster) for cluster in find_near_duplicates(data.images))


def test_pairs_that_differ_at_32_pixels_are_no_copies_at_64() -> None:
    """Candidates by their outlines, of which none is close."""
    random = np.random.default_rng(0)
    scene = np.clip(scenes(1, 64), 30, 225).astype(np.int64)
    coarse = random.choice([-15, 15], (2, 16, 16)).repeat(4, axis=1).repeat(4, axis=2)
    images = (scene + coarse).astype(np.uint8)[:, None]
    first, second = (spectrum(reduced(image[None]))[0] for image in images)
    assert ((first > 0) != (second > 0)).sum() <= 10 and np.corrcoef(first, second)[0, 1] > 0.95
    assert find_near_duplicates(images) == ()


@pytest.mark.parametrize("edge", [64, 128])
def test_files_are_compared_in_their_own_size(edge: int, tmp_path: Path) -> None:
    """The same picture saved in another size is a copy; the cache returns the same previews as the files."""
    textured, others = woven(4, seed=3).repeat(edge // 64, axis=1).repeat(edge // 64, axis=2), scenes(30, edge, seed=4)
    root = written(tmp_path / "photos", np.concatenate([textured, others]))
    for i in range(4, 10):
        once = Image.fromarray(others[i]).resize((edge * 5 // 4, edge * 5 // 4), Image.Resampling.BICUBIC)
        jpeg(once).save(root / "a" / f"copy{i}.png")
    expected = {tuple(sorted((f"a/copy{i}.png", f"{'ab'[i % 2]}/{i + 4:03}.png"))) for i in range(4, 10)}
    for size in (24, 32, 48, 24):
        data = load(root, size=size, cache=tmp_path / "cache")
        assert data.previews is not None and data.previews.shape == (40, 1, 64, 64)
        near_pairs = {tuple(sorted(data.names[i] for i in cluster)) for cluster in find_near_duplicates(data)}
        assert near_pairs == expected
    with pytest.raises(DataError, match="2 previews for 40 images"):
        replace(data, previews=data.previews[:2])


def test_one_surface_photographed_again_is_one_picture() -> None:
    """Noise of the camera and another exposure change the fine details, which lie on fine stripes, by half."""
    random = np.random.default_rng(0)
    stripes = random.normal(0, 14, (30, 1, 64)) + 60 + scenes(30, 64, seed=2) / 3
    shots = [np.clip(stripes * gain + random.normal(0, 5, stripes.shape), 0, 255) for gain in (0.8, 1.0, 1.2)]
    near_pairs = find_near_duplicates(np.concatenate(shots).astype(np.uint8)[:, None])
    assert near_pairs == tuple((i, i + 30, i + 60) for i in range(30))


def test_clusters_are_drawn_with_the_setting_that_accepts_them() -> None:
    pixels = scenes(60)
    data = from_arrays(np.concatenate([pixels, pixels]), np.arange(120) % 2)
    few_drawn, many_drawn = (draw_clusters(data, [(i, i + 60) for i in range(count)]) for count in (1, 60))
    assert few_drawn.width == many_drawn.width >= 900 and many_drawn.height > few_drawn.height
    tile = np.asarray(Image.fromarray(pixels[0]).resize((80, 80), Image.Resampling.NEAREST))
    drawings = np.asarray(few_drawn)[..., 0]
    assert all((drawings[-104 - 12 : -24 - 12, left : left + 80] == tile).all() for left in (24, 108))


def test_the_census_reports_them_and_those_across_parts() -> None:
    pixels = scenes(12)
    pixels[7] = np.asarray(jpeg(Image.fromarray(pixels[0])))
    pixels[9] = np.asarray(jpeg(Image.fromarray(pixels[1])))
    names = [f"{i}.png" for i in range(12)]
    facts = census(from_arrays(pixels, [0, 1] * 6, split=[0] * 8 + [2] * 4, names=names))
    assert facts.near_duplicates == (("0.png", "7.png"), ("1.png", "9.png"))
    assert facts.near_across_parts == (("1.png", "9.png"),) and facts.duplicates == ()
    assert any("2 clusters of 4 near-duplicates" in line for line in facts.advice)
    assert any("1 near-duplicate picture in more than one part, such as 1.png = 9.png" in line for line in facts.advice)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_group_and_no_cluster_lies_in_two_parts(draw: st.DataObject) -> None:
    """Whatever groups and clusters there are: a division keeps both whole, or there is none and it says so."""
    total = draw.draw(st.integers(30, 120))
    random = np.random.default_rng(draw.draw(st.integers(0, 10_000)))
    groups = random.integers(0, total // 2, total) if draw.draw(st.booleans()) else None
    order, clusters_drawn = random.permutation(total), []
    for size in draw.draw(st.lists(st.integers(2, 5), max_size=6)):
        clusters_drawn.append(tuple(order[:size].tolist()))
        order = order[size:] if draw.draw(st.booleans()) else order  # clusters may overlap, too
    data = from_arrays(np.zeros((total, 2, 2), np.uint8), np.arange(total) % 2, groups=groups)
    try:
        codes = split(data, together=clusters_drawn, seed=int(random.integers(99)))
    except DataError as error:
        assert "group" in str(error)
        return
    for cluster in clusters_drawn:
        assert len(set(codes[list(cluster)].tolist())) == 1
    for group in np.unique(groups) if groups is not None else ():
        assert len(set(codes[groups == group].tolist())) == 1
    assert all(set(codes[data.labels == label].tolist()) == {0, 1, 2} for label in (0, 1))


def test_a_given_split_that_tears_a_cluster_is_refused_or_mended() -> None:
    data = from_arrays(np.zeros((60, 2, 2), np.uint8), np.arange(60) % 2, split=[0] * 40 + [2] * 20)
    clusters_given = [(0, 5, 50), (7, 9), (41, 44)]
    with pytest.raises(DataError, match=r"1 near-duplicate.* index 0 \(train\) = index 50 \(test\).*drop.*allow"):
        split(data, together=clusters_given)
    codes = split(data, together=clusters_given, torn="drop")
    assert codes[[0, 5]].tolist() == [LEFT_OUT] * 2 and (codes[40:] == 2).all() and codes[7] == codes[9] >= 0
    assert (codes == LEFT_OUT).sum() == 2
    assert np.array_equal(split(data), split(data, together=()))


def test_too_few_different_pictures_say_so() -> None:
    data = from_arrays(np.zeros((40, 2, 2), np.uint8), [0] * 6 + [1] * 34)
    with pytest.raises(DataError, match=r"class '0' has 2 groups.*near-duplicates are one group.*allow"):
        split(data, together=[(0, 1, 2), (3, 4, 5)])


def test_mirrored_copies_are_found_where_asked_for() -> None:
    pixels = scenes(40)
    flipped = np.stack([np.asarray(jpeg(Image.fromarray(picture[:, ::-1]))) for picture in pixels[:10]])
    both = np.concatenate([pixels, flipped])[:, None]
    assert find_near_duplicates(both) == ()
    near_pairs = find_near_duplicates(both, mirrored=True)
    assert set(near_pairs) <= {(i, 40 + i) for i in range(10)} and len(near_pairs) >= 9
    exact = np.concatenate([pixels[:6], pixels[1:2, :, ::-1]])[:, None]
    assert identical(exact) == () and identical(exact, mirrored=True) == ((1, 6),)
    assert (
        find_near_duplicates(exact[:, :, :12, ::-1], mirrored=True)
        == find_near_duplicates(exact, mirrored=True)
        == ((1, 6),)
    )
    summary = census(from_arrays(both, np.arange(50) % 2), flips=True)
    assert len(summary.near_duplicates) == len(near_pairs) == len(summary.clusters)


def test_mirrored_candidates_are_all_that_differ_little() -> None:
    random = np.random.default_rng(1)
    bits = random.integers(0, 2, (400, 64)).astype(bool)
    mirror = bits ^ np.array([k % 2 == 1 for k in range(64)])
    for i in range(60):  # near the mirror image of another, 0 to 7 bits away
        bits[300 + i] = mirror[i]
        bits[300 + i, random.choice(64, i % 8, replace=False)] ^= True
    mirror = bits ^ np.array([k % 2 == 1 for k in range(64)])
    every = {(i, j) for i in range(400) for j in range(i + 1, 400) if (bits[i] ^ mirror[j]).sum() <= 10}
    candidate_pairs = [
        tuple(pair) for a, b in candidates(bits, mirror) for pair in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert set(candidate_pairs) == every and len(candidate_pairs) == len(every) >= 60
    packed = (np.packbits(some, axis=1).view(np.uint16) for some in (bits, mirror))
    banded = [tuple(pair) for a, b in _by_bands(*packed) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    assert len(banded) == len(set(banded)) and set(banded) <= every
    assert {(i, j) for i, j in every if (bits[i] ^ mirror[j]).sum() <= 7} <= set(banded)


def test_what_several_sets_share() -> None:
    train, test = scenes(30)[:, None], scenes(10, seed=1)[:, None]
    test[4] = np.minimum(train[7] * 1.1 + 9, 255)
    train[3] = train[2]
    assert shared([train, test[:0], test]) == (((0, 7), (2, 4)),) and shared([train]) == ()
    with pytest.raises(DataError, match="parts of one data set have one shape"):
        shared([train, test[:, :, :30]])


def test_sets_that_were_made_smaller_are_compared_by_their_previews() -> None:
    """At 12 px nothing is searched for; the previews of 64 px show the copies."""

    def small(pictures: Pixels) -> LabelledImages:
        images = np.stack([np.asarray(Image.fromarray(picture).resize((12, 12))) for picture in pictures])
        labels = np.arange(len(images)) % 2
        return replace(from_arrays(images[:, None], labels), previews=pictures[:, None])

    train, test, others = scenes(30, 64), scenes(10, 64, seed=1), scenes(20, 64, seed=2)
    test[4] = np.minimum(train[7] * 1.1 + 9, 255)
    assert shared([small(train), small(test)]) == shared([train[:, None], test[:, None]]) == (((0, 7), (1, 4)),)
    for reference in (None, small(others)):
        assert np.flatnonzero(copied(small(test), small(train), reference)).tolist() == [4]
    assert not copied(small(test).images, small(train)).any(), "one of the sets has no previews"
    np.testing.assert_array_equal(np.flatnonzero(like_held(small(test), small(train), "drop")), [4])
