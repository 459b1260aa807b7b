"""Moments of features: stored with each shard, merged in groups, and compared with those of real images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes

from augury import metrics
from augury.data import pictures
from augury.errors import DataError, RunFolderError, ScoreError, SettingsError
from augury.images import LabelledImages
from augury.intervals import jackknife
from augury.metrics import Extractor, Moments, Score, ScoreCard, frechet_of_moments, merged, moments
from augury.randomness import rng

GROUPS = 10
"""Groups of shards, whose moments give the interval when one group is left out."""
MOST_FEATURES = 4096
"""Most features of an image; the moments of a shard then take 67 MB."""
LARGEST = 1e100
"""Bound of the values of stored moments, whose squares then stay finite."""
BLOCK = 1024
"""Reference images whose features are in memory at once."""
SUFFIX = ".moments.safetensors"


def pack(groups: Iterable[Moments]) -> bytes:
    """One or more moments as safetensors: of each scatter the upper triangle. Equal moments give equal bytes."""
    values: dict[str, Any] = {}
    for number, group in enumerate(groups):
        values[f"{number:02d}.n"] = np.array([group.n], np.int64)
        values[f"{number:02d}.mean"] = group.mean
        values[f"{number:02d}.scatter"] = group.scatter[np.triu_indices(len(group.mean))]
    return to_bytes(values)


def unpack(content: bytes, where: str) -> list[Moments]:
    """The moments of `pack`; raises RunFolderError when the bytes are others."""
    try:
        values = from_bytes(content)
        groups = [
            _whole(values[name], values[f"{name[:2]}.mean"], values[f"{name[:2]}.scatter"])
            for name in sorted(values)
            if name.endswith(".n")
        ]
        if len({len(group.mean) for group in groups}) > 1:
            raise ValueError("groups of several kinds of features")
        return groups
    except Exception as error:  # the reader has exceptions of its own
        raise RunFolderError(f"{where}: these are no moments of features ({error}); merge the shards again") from error


def _whole(number: Any, mean: Any, triangle: Any) -> Moments:
    """The moments with the whole scatter; raises ValueError for arrays that are none before memory is taken for it."""
    d = len(mean)
    if not 1 <= d <= MOST_FEATURES:
        raise ValueError(f"{d:,} features, but at most {MOST_FEATURES:,} are stored")
    if (number.shape, mean.shape, triangle.shape) != ((1,), (d,), (d * (d + 1) // 2,)):
        raise ValueError(f"arrays of the shapes {number.shape}, {mean.shape} and {triangle.shape}")
    if (number.dtype, mean.dtype, triangle.dtype) != (np.int64, np.float64, np.float64) or number[0] < 1:
        raise ValueError("a number of images below 1, or values of another type")
    if not all((np.abs(values) < LARGEST).all() for values in (mean, triangle)):  # not true of NaN
        raise ValueError(f"a value that is not finite, or beyond {LARGEST:g}")
    scatter = np.zeros((d, d))
    scatter[np.triu_indices(d)] = triangle
    scatter += np.triu(scatter, 1).T
    return Moments(int(number[0]), mean, scatter)


def feature_extractor(name: str, shape: tuple[int, int, int], device: torch.device) -> Extractor:
    """The extractor of this name for images of `shape`; raises SettingsError for more than `MOST_FEATURES` features."""
    extractor = metrics.extractor(name, shape, device)
    if extractor.dimension > MOST_FEATURES:
        raise SettingsError(
            f"the features '{name}' are {extractor.dimension:,} an image, but moments of at most {MOST_FEATURES:,} are stored; use "
            "lite0 or inception"
        )
    return extractor


def distance_to(
    groups: list[Moments],
    reference: str | os.PathLike[str],
    extractor: Extractor,
    shape: tuple[int, int, int],
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    **reading: Any,
) -> ScoreCard:
    """The Fréchet distance of synthetic images, known by their moments, to real images at a path.

    No features of all images are held: the real images are read in blocks. The interval is that of `metrics.frechet`: one of up
    to ten groups of both sides is left out at a time.

    Parameters
    ----------
    groups
        Moments of the synthetic images in groups.
    reference
        Real images in any format that `augury.load` reads; they are resized to `shape`.
    extractor
        The features of the moments.
    shape
        C, H, W of the synthetic images.
    seed
        Seed of the groups of real images.
    on_progress
        Called with (real images done, real images in all).
    **reading
        Options of `augury.data.pictures`.

    Returns
    -------
    A card with one score.

    Raises
    ------
    DataError
        For colour images where the synthetic ones are grey, and as `augury.load`.
    ScoreError
        For fewer than four images on a side.
    """
    images = pictures(reference, **{"size": shape[1:], **reading})
    if images.shape[0] > shape[0]:
        raise DataError(f"{reference}: these images have colour, but the synthetic ones are grey; convert them")
    n = sum(group.n for group in groups)
    if min(n, len(images)) < 4:
        raise ScoreError(f"a distance needs 4 images a side, but there are {n} and {len(images)}; give more")
    number = max(2, min(len(groups), len(images)))
    real = _in_groups(images, extractor, shape[0], number, seed, on_progress)
    return ScoreCard((_score(groups, real, extractor),))


def _score(groups: list[Moments], real: list[Moments], extractor: Extractor) -> Score:
    fake_all, real_all = merged(groups), merged(real)
    value = frechet_of_moments(fake_all, real_all)
    left = [
        frechet_of_moments(_without(fake_all, groups, g), _without(real_all, real, g))
        for g in range(min(len(groups), len(real)) if len(groups) > 1 else 0)  # of one shard there is none
    ]
    reach, n, d = jackknife(left), min(fake_all.n, real_all.n), len(fake_all.mean)
    halves = frechet_of_moments(merged(real[::2]), merged(real[1::2]))
    note = (
        f"not meaningful: N={n:,} is small against D={d:,}"
        if n < 2 * d
        else f"from moments of {fake_all.n:,} synthetic and {real_all.n:,} real images; two halves of the real images are {halves:.4g} apart"
    )
    note += "" if left else "; one shard alone gives no interval"
    return Score(
        f"FD-{extractor.name}",
        value,
        max(0.0, value - reach),
        value + reach,
        n,
        "lower",
        extractor.identity,
        extractor.preprocessing,
        note=note,
        settings=f"{fake_all.n} against {real_all.n} images",
        same_n=True,
    )


def _without(whole: Moments, groups: list[Moments], left_out: int) -> Moments:
    """The moments of all groups but one, merged from the others where few remain, as subtraction loses digits."""
    others = [group for number, group in enumerate(groups) if number != left_out]
    rest = whole.n - groups[left_out].n
    return merged(others) if rest <= groups[left_out].n else whole.without(groups[left_out])


def _in_groups(
    images: LabelledImages,
    extractor: Extractor,
    channels: int,
    number: int,
    seed: int,
    on_progress: Callable[[int, int], None],
) -> list[Moments]:
    """The moments of real images in groups at random, read block by block."""
    group_of = rng(seed, "frechet", 1).permutation(np.arange(len(images)) % number)
    sums: dict[int, Moments] = {}
    for start in range(0, len(images), BLOCK):
        block = np.ascontiguousarray(images.images[start : start + BLOCK])
        if block.shape[1] < channels:
            block = np.repeat(block, channels, axis=1)
        features = extractor.extract(block)
        for group in range(number):
            chosen = features[group_of[start : start + BLOCK] == group]
            if len(chosen):
                part = moments(chosen)
                sums[group] = sums[group].merge(part) if group in sums else part
        on_progress(min(start + BLOCK, len(images)), len(images))
    return [sums[group] for group in range(number)]


def merged_groups(parts: Iterable[tuple[int, Moments]]) -> list[Moments]:
    """The moments of shards in up to `GROUPS` groups: shard i is in group i mod `GROUPS`."""
    sums: dict[int, Moments] = {}
    for shard, part in parts:
        group = shard % GROUPS
        sums[group] = sums[group].merge(part) if group in sums else part
    return [sums[group] for group in sorted(sums)]
