"""Near-duplicates: images with the same pixels except for re-encoding, brightness or a slight crop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augury.data import image_similarity as like
from augury.errors import DataError
from augury.images import AnyImages, Images, LabelledImages, as_images

Indices = npt.NDArray[np.int64]
Clusters = tuple[tuple[int, ...], ...]
"""Clusters of two or more image indices. Indices ascend, and clusters are ordered by their first index."""

NEAR = 0.07
"""Largest distance, as 1 - likeness, between two copies."""
APART = 2.0
"""The nearest outsider of a cluster must be this many times farther away than the cluster's widest gap. Where all images are
alike, such as 28 x 28 trousers, one that is slightly more alike is not a copy."""
SURE = 0.01
"""Copies within this distance need no gap to other images."""
FINE = 0.4
"""Least likeness of two copies at up to 64 pixels a side. Noise lowers it to about 0.6 for one surface photographed again;
different textures have about 0."""
_RADIUS = 10
_ALIKE = 0.95
_FEW = 20_000
_BESIDE = 10_000
_CHUNK = 4096
_PAIRS = 1_000_000


def identical(images: Images, *, mirrored: bool = False) -> Clusters:
    """Find images with equal pixels; with `mirrored`, also those equal to a mirror image. Reads every image once."""
    marks = np.empty((len(images), 2), np.uint64)
    for start in range(0, len(images), _CHUNK):
        for i, image in enumerate(images[start : start + _CHUNK], start):
            mark = _mark(image)
            marks[i] = np.frombuffer(min(mark, _mark(image[:, :, ::-1])) if mirrored else mark, np.uint64)
    order = np.lexsort((marks[:, 1], marks[:, 0]))
    same = (marks[order[1:]] == marks[order[:-1]]).all(axis=1)
    starts = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(np.int8), [0]])) == 1)
    ends = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(np.int8), [0]])) == -1)
    return tuple(sorted(tuple(sorted(order[a : b + 1].tolist())) for a, b in zip(starts, ends, strict=True)))


def _mark(image: Images) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def find_near_duplicates(images: AnyImages, twins: Clusters | None = None, *, mirrored: bool = False) -> Clusters:
    """Find clusters of near-duplicate or identical images.

    Candidates are pairs whose perceptual hashes differ in at most 10 of 64 bits. Among more than 20,000 images, all
    pairs that differ in up to 7 bits are found, and most of the others. A pair is accepted by its likeness
    (`image_similarity.likeness`) at up to 32 pixels a side, unless its details at up to 64 pixels differ, and only if
    its cluster is clearly separated from all other images. Blank images, and images below 16 pixels a side, are matched
    only when identical.

    Parameters
    ----------
    images : uint8 array [N, C, H, W], LabelledImages or SyntheticImages
        With LabelledImages that were resized while loading, their previews are compared. So the result does not depend
        on the size in which they were loaded.
    twins : clusters, optional
        The result of `identical(images)`, where it is already known.
    mirrored : bool
        Whether mirror images (left-right) also count, as they should where a classifier is trained on flipped images.

    Returns
    -------
    tuple of tuples of int
        Indices of two or more images per cluster, ascending, ordered by the first.

    Examples
    --------
    >>> for cluster in find_near_duplicates(photos):
    ...     print([photos.names[i] for i in cluster])
    """
    pixels = as_images(images)
    twins = identical(pixels, mirrored=mirrored) if twins is None else twins
    previews = images.previews if isinstance(images, LabelledImages) else None
    images = pixels if previews is None else previews
    if not len(images) or min(images.shape[2:]) < like.SMALLEST:
        return twins
    single = np.ones(len(images), bool)
    single[[i for same in twins for i in same[1:]]] = False
    return _with_twins(clusters(_linked(images, np.flatnonzero(single), mirrored)), twins)


def copied(
    images: AnyImages, held: AnyImages, others: AnyImages | None = None, *, mirrored: bool = False
) -> npt.NDArray[np.bool_]:
    """Find the images that are identical to, or near-duplicates of, a held-out image.

    Where all sets are LabelledImages with previews of one shape, their previews are compared; else the images.

    The rule is that of `find_near_duplicates`, with one change: a pair must be separated from the images of `held` and
    `others` only. So many copies of one image do not hide each other. Two held-out images that are near-duplicates
    count as one.

    Parameters
    ----------
    images : uint8 array [N, C, H, W], LabelledImages or SyntheticImages
        The images to check.
    held : uint8 array [M, C, H, W] or LabelledImages
        The held-out images.
    others : uint8 array [L, C, H, W] or LabelledImages, optional
        Further real images. Of more than 10,000, that many are taken at even steps.
    mirrored : bool
        Whether mirror images (left-right) also count.

    Returns
    -------
    bool array [N]
        True for copies.
    """
    compared = _compared([images, held, *([] if others is None else [others])])
    images, held = as_images(images), as_images(held)
    marks = {_mark(image) for image in held}
    if mirrored:
        marks |= {_mark(image[:, :, ::-1]) for image in held}
    copies = np.array([_mark(image) in marks for image in images], bool)
    images, held, *rest = compared
    if not len(images) or not len(held) or min(images.shape[2:]) < like.SMALLEST:
        return copies
    real, others = held, rest[0] if rest else None
    if others is not None and len(others):
        taken = np.linspace(0, len(others) - 1, min(len(others), _BESIDE)).astype(np.int64)
        real = np.concatenate([held, others[taken]])
    links = _linked(np.concatenate([real, images]), np.arange(len(real) + len(images)), mirrored, new=len(real))
    first, second, distance = links[:, 0].astype(np.int64), links[:, 1].astype(np.int64), links[:, 2]
    among = second < len(real)
    picture = np.arange(len(real))
    for cluster in clusters(links[among]):
        picture[cluster] = min(cluster)
    reach: dict[int, list[tuple[float, int]]] = {}  # of a real or new image: (distance, real image) of its neighbours
    for i, j, away in zip(picture[first].tolist(), second.tolist(), distance.tolist(), strict=True):
        if j >= len(real):
            reach.setdefault(j, []).append((away, i))
        elif (other := int(picture[j])) != i:
            reach.setdefault(i, []).append((away, other))
            reach.setdefault(other, []).append((away, i))
    for j, i, away in zip(second[~among].tolist(), first[~among].tolist(), distance[~among].tolist(), strict=True):
        if i < len(held) and away <= NEAR:
            own = int(picture[i])
            near = [gap for gap, other in (*reach[j], *reach.get(own, ())) if other != own]
            copies[j - len(real)] |= away <= max(SURE, min(near, default=APART * NEAR) / APART)
    return copies


def shared(parts: Sequence[AnyImages], *, mirrored: bool = False) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Find near-duplicates that lie in more than one set of images.

    Parameters
    ----------
    parts : sequence of uint8 arrays [N, C, H, W] or LabelledImages
        Sets of images of one shape [C, H, W]. Where all have previews of one shape, the previews are compared.
    mirrored : bool
        Whether mirror images (left-right) also count.

    Returns
    -------
    tuple of tuples of (int, int)
        Clusters of (set, index).

    Raises
    ------
    DataError
        When the sets differ in shape.
    """
    arrays = [as_images(part) for part in parts]
    odd = next((part for part in arrays if part.shape[1:] != arrays[0].shape[1:]), None)
    if odd is not None:
        raise DataError(
            f"parts of one data set have one shape, but there are {list(arrays[0].shape[1:])} and {list(odd.shape[1:])}; load "
            "them with one size"
        )
    if not arrays:
        return ()
    ends = np.cumsum([len(part) for part in arrays])
    twins = identical(np.concatenate([np.asarray(part) for part in arrays]), mirrored=mirrored)
    images = np.concatenate([np.asarray(part) for part in _compared(parts)])
    spanning = []
    for cluster in find_near_duplicates(images, twins, mirrored=mirrored):
        sources = [int(np.searchsorted(ends, i, side="right")) for i in cluster]
        if len(set(sources)) > 1:
            spanning.append(
                tuple((k, int(i - (ends[k - 1] if k else 0))) for k, i in zip(sources, cluster, strict=True))
            )
    return tuple(spanning)


def _compared(sets: Sequence[AnyImages]) -> list[Images]:
    """The previews of the sets where all have some of one shape; else their images."""
    previews = [
        images.previews for images in sets if isinstance(images, LabelledImages) and images.previews is not None
    ]
    if len(previews) == len(sets) and len({each.shape[1:] for each in previews}) == 1:
        return previews
    return [as_images(images) for images in sets]


def _linked(images: Images, judged: Indices, mirrored: bool, new: int | None = None) -> npt.NDArray[np.float64]:
    """Return the `_links` among the images `judged` that are not blank.

    With `mirrored`, images are also compared with mirror images. Pairs of two images from number `new` on are skipped.
    """
    waves, rough = _described(images, judged)
    judged, waves = judged[rough >= like.FLAT], waves[rough >= like.FLAT]
    bits = waves > 0
    # mirroring changes only the sign of the coefficients with an odd number of half-periods across
    sides = [(None, None), *([(bits ^ like.ODD, np.where(like.ODD, -waves, waves))] if mirrored else [])]
    links = [np.empty((0, 3))]
    for other_bits, other_waves in sides:
        for a, b in candidates(bits, other_bits):
            if new is not None:
                a, b = a[judged[a] < new], b[judged[a] < new]
            links.append(_links(images, judged, waves, a, b, other_waves))
    return np.concatenate(links)


def _described(images: Images, chosen: Indices) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
    """Return spectra of unit length [n, 64] and roughness [n] of the images in `chosen`."""
    waves, rough = np.empty((len(chosen), 64), np.float16), np.empty(len(chosen), np.float32)
    for start in range(0, len(chosen), _CHUNK // 2):
        grey = like.reduced(images[chosen[start : start + _CHUNK // 2]])
        spectra = like.spectrum(grey)
        waves[start : start + len(grey)] = spectra / np.maximum(np.linalg.norm(spectra, axis=1, keepdims=True), 1e-6)
        rough[start : start + len(grey)] = like.roughness(grey)
    return waves, rough


def _links(
    images: Images,
    judged: Indices,
    waves: npt.NDArray[np.float16],
    a: Indices,
    b: Indices,
    mirror: npt.NDArray[np.float16] | None = None,
) -> npt.NDArray[np.float64]:
    """Return the candidates closer than APART * NEAR, as [pairs, 3]: two image indices and their distance.

    With `mirror`, the spectra of mirror images, the second image of each pair is mirrored.
    """
    links = [np.empty((0, 3))]
    for start in range(0, len(a), _CHUNK * 8):
        first, second = a[start : start + _CHUNK * 8], b[start : start + _CHUNK * 8]
        others = waves[second] if mirror is None else mirror[second]
        alike = np.einsum("nf,nf->n", waves[first], others, dtype=np.float32) >= _ALIKE
        first, second = judged[first[alike]], judged[second[alike]]
        for at in range(0, len(first), _CHUNK // 8):
            i, j = first[at : at + _CHUNK // 8], second[at : at + _CHUNK // 8]
            grey = like.reduced(images[j])
            grey = grey if mirror is None else grey[:, :, ::-1]
            distance = 1 - like.likeness(like.reduced(images[i]), grey).astype(np.float64)
            close = np.flatnonzero(distance < APART * NEAR)
            close = close[_fine_likeness(images[i[close]], images[j[close]], mirror is not None) >= FINE]
            links.append(np.stack([i[close], j[close], np.maximum(distance[close], 0)], axis=1))
    return np.concatenate(links)


def _fine_likeness(first: Images, second: Images, mirrored: bool) -> npt.NDArray[np.float32]:
    """Return the likeness [n] of image pairs [n, C, H, W] at their own size, up to FINE_SIDE; 1 where that adds no detail."""
    if not len(first) or min(first.shape[2:]) <= like.SIDE:
        return np.ones(len(first), np.float32)
    one, other = like.reduced(first, like.FINE_SIDE), like.reduced(second, like.FINE_SIDE)
    return like.likeness(one, other[:, :, ::-1] if mirrored else other)


def candidates(
    bits: npt.NDArray[np.bool_], mirror: npt.NDArray[np.bool_] | None = None
) -> Iterator[tuple[Indices, Indices]]:
    """Yield batches of pairs i < j of rows of `bits` [N, 64] that differ in at most 10 bits, each pair once.

    With `mirror` [N, 64], row i of `bits` is compared with row j of `mirror`.
    """
    others = bits if mirror is None else mirror
    if len(bits) <= _FEW:
        signs, seconds = (np.where(some, np.float32(1), np.float32(-1)) for some in (bits, others))
        for start in range(0, len(bits), _CHUNK // 4):
            same = signs[start : start + _CHUNK // 4] @ seconds[start:].T >= 64 - 2 * _RADIUS
            first, second = np.nonzero(np.triu(same, 1))
            yield (first + start).astype(np.int64), (second + start).astype(np.int64)
    else:
        bands = np.packbits(bits, axis=1).view(np.uint16)
        yield from _by_bands(bands, bands if mirror is None else np.packbits(mirror, axis=1).view(np.uint16))


_ONES = np.array([bin(value).count("1") for value in range(65536)], np.uint8)


def _ones(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Count the bits that are set."""
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return np.asarray(np.bitwise_count(words))
    return np.asarray(_ONES[words.view(np.uint16).reshape(-1, 4)].sum(axis=1, dtype=np.uint8))


def _by_bands(bands: npt.NDArray[np.uint16], others: npt.NDArray[np.uint16]) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs by multi-index hashing (Norouzi, Punjani & Fleet 2012).

    Hashes that differ in up to 7 bits differ in at most one bit in one of four bands [N, 4]. Each band is looked up
    as they are and with each single bit flipped. Pairs are i < j of row i of `bands` and row j of `others`.
    """
    words, their_words = bands.view(np.uint64)[:, 0], others.view(np.uint64)[:, 0]
    alike = others is bands
    for band in range(4):
        keys, theirs = bands[:, band].astype(np.int64), others[:, band].astype(np.int64)
        order, counts = np.argsort(theirs, kind="stable"), np.bincount(theirs, minlength=65536)
        starts = np.cumsum(counts) - counts
        for mask in (0, *(1 << bit for bit in range(16))):
            once = keys < keys ^ mask if alike and mask else True  # else each pair is found from both ends
            rows = np.flatnonzero((counts[keys ^ mask] > 0) & once)
            partners = keys[rows] ^ mask
            ends = np.cumsum(counts[partners])
            start_row = 0
            while start_row < len(rows):
                before = ends[start_row - 1] if start_row else 0
                stop = max(start_row + 1, int(np.searchsorted(ends, before + _PAIRS, side="right")))
                sizes = counts[partners[start_row:stop]]
                within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
                second = order[np.repeat(starts[partners[start_row:stop]], sizes) + within]
                first = np.repeat(rows[start_row:stop], sizes)
                start_row = stop
                near = _ones(words[first] ^ their_words[second]) <= _RADIUS
                near &= (first != second) if alike and mask else (first < second)
                first, second = first[near], second[near]
                # otherwise an earlier band found the pair
                new = (_ONES[bands[first, :band] ^ others[second, :band]] > 1).all(axis=1)
                if new.any():
                    yield np.minimum(first[new], second[new]), np.maximum(first[new], second[new])


def clusters(links: npt.NDArray[np.float64]) -> list[list[int]]:
    """Cluster links [n, 3] (two images, distance < APART * NEAR) by single linkage.

    A cluster's widest gap is at most NEAR, and its nearest outsider is APART times as far away. Of nested clusters the
    largest is returned.
    """
    home: dict[int, _Crowd] = {}
    accepted: dict[int, _Crowd] = {}

    def judge(crowd: _Crowd, outsider: float) -> None:
        enough = max(SURE, outsider / APART)
        if len(crowd.members) > 1 and crowd.widest <= min(NEAR, enough):
            cluster = _Crowd(list(crowd.members), crowd.widest)
            accepted.update((i, cluster) for i in cluster.members)

    for i, j, distance in links[np.argsort(links[:, 2], kind="stable")]:
        a, b = (home.setdefault(int(x), _Crowd([int(x)])) for x in (i, j))
        if a is b:
            continue
        judge(a, distance)
        judge(b, distance)
        if len(a.members) < len(b.members):
            a, b = b, a
        a.members.extend(b.members)
        a.widest = distance
        home.update((x, a) for x in b.members)
    for crowd in {id(c): c for c in home.values()}.values():
        judge(crowd, APART * NEAR)
    return [c.members for c in {id(c): c for c in accepted.values()}.values()]


@dataclass
class _Crowd:
    members: list[int]
    widest: float = 0.0


def _with_twins(near: list[list[int]], twins: Clusters) -> Clusters:
    others = {same[0]: same for same in twins}
    merged = [sorted(k for i in cluster for k in others.pop(i, (i,))) for cluster in near]
    return tuple(sorted([*map(tuple, merged), *others.values()]))
