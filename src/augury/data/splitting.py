"""Split images into train, validation and test: every class in every split, and no group in two splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from augury.errors import DataError, SettingsError
from augury.images import SPLITS, Codes, LabelledImages
from augury.randomness import rng

SplitCodes = npt.NDArray[np.int8]
LEFT_OUT = -1
"""Code of an image that is in no split."""
_TRIES = 20
_NEAR = " (near-duplicates are one group; data.near_duplicates=allow lets them part)"


def split(
    data: LabelledImages,
    *,
    validation: float = 0.15,
    test: float = 0.2,
    seed: int = 0,
    together: Sequence[Sequence[int]] = (),
    torn: Literal["refuse", "drop"] = "refuse",
    fold: tuple[int, int] | None = None,
) -> SplitCodes:
    """Assign each image to train, validation or test.

    Splits given by `data.split` are kept. Those it lacks are taken from its train split, so that train and the new
    splits keep their usual proportion. Every class appears in every new split. Groups are never divided, so shares are
    only as exact as groups allow.

    Parameters
    ----------
    data : LabelledImages
    validation : float
        Share of each class for validation, in (0, 1).
    test : float
        Share of each class for the test, in (0, 1); `validation` + `test` < 1.
    seed : int
    together : sequence of sequences of int
        Clusters of image indices (see `find_near_duplicates`) that stay in one split. Groups that share a cluster are
        merged.
    torn : {"refuse", "drop"}
        What happens when the given split divides a cluster. "refuse" raises DataError. "drop" keeps only the images in
        the last split of the cluster and marks the others LEFT_OUT, so that the given test split stays as it is.
    fold : (int, int), optional
        (k, K): the test split is the k-th of K `folds`, counted from 1. `validation` is taken from the other folds, as
        much as beside a test split of share `test`.

    Returns
    -------
    int8 array [N]
        Index into SPLITS (0 train, 1 validation, 2 test), or LEFT_OUT (-1).

    Raises
    ------
    SettingsError
        When the shares leave nothing to train on, or when folds are requested for data that have a split.
    DataError
        When a class (or its groups) is too small for one in each split; when a given split has no train images, lacks a
        class in validation or test, or divides a group; or when groups overlap so that no division found gives every
        class to every split.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise SettingsError(
            f"validation {validation:g} and test {test:g} must each lie between 0 and 1 and add up to less "
            "than 1; lower one"
        )
    if fold is not None:
        data = replace(data, split=_tested(data, fold, seed, together))
    codes = np.zeros(len(data), np.int8) if data.split is None else data.split.astype(np.int8)
    present = set(np.unique(codes).tolist())
    if 0 not in present:
        raise DataError("the given split has no train images; put some under train")
    if data.split is not None and data.groups is not None:
        _check_groups(data, codes)
    codes = _settled(data, codes, together, torn)
    if together:
        data = replace(data, groups=merged(data.groups, together, len(data)))
    new_splits = (0, *(code for code in (1, 2) if code not in present))
    pool = np.flatnonzero(codes == 0)
    _check_sizes(data, pool, new_splits, bool(together))
    _check_own_split(data, codes)
    if len(new_splits) == 1:
        return codes
    shares = (1 - validation - test, validation, test)
    target_shares = np.array([shares[code] for code in new_splits])
    target_shares /= target_shares.sum()
    random = rng(seed, "split")
    if data.groups is None:
        chosen = _by_image(data.labels[pool], target_shares, random)
    else:
        chosen = _by_group(data, pool, target_shares, [SPLITS[code] for code in new_splits], random)
    codes[pool] = np.array(new_splits, np.int8)[chosen]
    return codes


def folds(
    data: LabelledImages, number: int, *, seed: int = 0, together: Sequence[Sequence[int]] = ()
) -> npt.NDArray[np.intp]:
    """Assign each image to one of `number` folds for cross-validation.

    Each class is spread evenly. Groups are never divided.

    Parameters
    ----------
    data : LabelledImages
    number : int
        Number of folds, at least 2.
    seed : int
    together : sequence of sequences of int
        Clusters of image indices that stay in one fold.

    Returns
    -------
    int array [N]
        Fold of each image, 0 to `number` - 1.

    Raises
    ------
    SettingsError
        When `number` is below 2.
    DataError
        When a class (or its groups) is too small for all folds.
    """
    if number < 2:
        raise SettingsError(f"{number} folds are asked for, but it takes at least 2")
    if together:
        data = replace(data, groups=merged(data.groups, together, len(data)))
    pool = np.arange(len(data))
    counts = data.counts if data.groups is None else (_table(data, pool) > 0).sum(axis=0)
    if (few := int(counts.min())) < number:
        unit = "image" if data.groups is None else "group"
        raise DataError(
            f"class '{data.classes[int(counts.argmin())]}' has {few} {unit}{'' if few == 1 else 's'}, but {number} folds need one "
            f"each; {f'take at most {few} folds' if few > 1 else 'merge or remove the class'}{_NEAR if together else ''}"
        )
    random = rng(seed, "folds")
    if data.groups is not None:
        return _by_group(data, pool, np.full(number, 1 / number), [f"fold {k + 1}" for k in range(number)], random)
    fold_of = np.empty(len(data), np.intp)
    mixed = random.permutation(len(data))
    fold_of[mixed[np.argsort(data.labels[mixed], kind="stable")]] = pool % number
    return fold_of


def _tested(data: LabelledImages, fold: tuple[int, int], seed: int, together: Sequence[Sequence[int]]) -> SplitCodes:
    """Return a split int8 [N] whose test split is one fold."""
    which, number = fold
    if data.split is not None:
        raise SettingsError(
            "the data come with splits of their own, and folds divide them anew: ask for that with data.split=new (--split new), "
            "or leave the folds out"
        )
    if not 1 <= which <= number:
        raise SettingsError(f"there is no fold {which} of {number}; count from 1")
    return np.where(folds(data, number, seed=seed, together=together) == which - 1, 2, 0).astype(np.int8)


def merged(groups: Codes | None, together: Sequence[Sequence[int]], total: int) -> Codes:
    """Merge the groups that share a cluster.

    Parameters
    ----------
    groups : int array [total] or None
        Group of each image; None makes each image a group of its own.
    together : sequence of sequences of int
        Clusters of image indices.
    total : int
        Number of images.

    Returns
    -------
    int64 array [total]
        Group of each image after merging.
    """
    codes = np.arange(total) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    first = np.array([codes[cluster[0]] for cluster in together for _ in cluster], np.int64)
    linked = np.array([codes[i] for cluster in together for i in cluster], np.int64)
    size = int(codes.max(initial=-1)) + 1
    links = coo_array((np.ones(len(linked), bool), (first, linked)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][codes], np.int64)


def _settled(data: LabelledImages, codes: SplitCodes, together: Sequence[Sequence[int]], torn: str) -> SplitCodes:
    """Mark as LEFT_OUT the images that must go because the given split divides their cluster.

    Raises DataError when that is to be refused.
    """
    apart = [list(cluster) for cluster in together if len(set(codes[list(cluster)].tolist())) > 1]
    if apart and torn == "refuse":
        pair = [next(i for i in apart[0] if codes[i] == code) for code in sorted(set(codes[apart[0]].tolist()))[-2:]]
        shown = " = ".join(f"{data.names[i] if data.names else f'image {i}'} ({SPLITS[codes[i]]})" for i in pair)
        raise DataError(
            f"{len(apart)} near-duplicate pictures lie in more than one part of the given split, such as {shown}; test "
            "results would be too optimistic. Let Augury split: split='new' (--split new). Or keep the split: "
            "data.near_duplicates=drop (--set data.near_duplicates=drop) leaves the copies out of the earlier part and keeps "
            "the test part as it is; data.near_duplicates=allow treats them as different pictures. augury inspect DATA -o "
            "sheet.png draws them"
        )
    left = codes.copy()
    for cluster in apart:
        left[[i for i in cluster if codes[i] < codes[cluster].max()]] = LEFT_OUT
    return left


def _check_groups(data: LabelledImages, codes: SplitCodes) -> None:
    assert data.groups is not None
    pairs = np.unique(np.stack([data.groups, codes.astype(np.int64)], axis=1), axis=0)
    twice = pairs[1:][pairs[1:, 0] == pairs[:-1, 0]]
    if len(twice):
        group = int(twice[0, 0])
        sides = " and ".join(SPLITS[code] for code in pairs[pairs[:, 0] == group, 1])
        example = f" (such as {data.names[int(np.flatnonzero(data.groups == group)[0])]})" if data.names else ""
        others = len(np.unique(twice[:, 0])) - 1
        raise DataError(
            f"group {group}{example} lies in {sides} of the given split, and {others} more groups likewise; a group "
            "must stay on one side: mend the split, or let Augury divide by group: split='new' (--split new)"
        )


def _check_own_split(data: LabelledImages, codes: SplitCodes) -> None:
    """Raise DataError when a class is missing from a validation or test split that the data come in."""
    for code, name in enumerate(SPLITS):
        counts = np.bincount(data.labels[codes == code], minlength=len(data.classes))
        if code and counts.any() and not counts.all():
            absent = [data.classes[c] for c in np.flatnonzero(counts == 0)]
            others = f", nor have {len(absent) - 1} more classes" if len(absent) > 1 else ""
            raise DataError(
                f"class '{absent[0]}' has no image in the given {name} split{others}, but each class is tested; add images of it "
                f"to {name}, remove the class, or let Augury divide: split='new' (--split new)"
            )


def _check_sizes(data: LabelledImages, pool: npt.NDArray[np.intp], splits: tuple[int, ...], near: bool) -> None:
    labels, k = data.labels[pool], len(splits)
    unit = "image" if data.groups is None else "group"
    if data.groups is None:
        counts = np.bincount(labels, minlength=len(data.classes))
    else:
        counts = (_table(data, pool) > 0).sum(axis=0)
    small = [int(c) for c in np.argsort(counts, kind="stable") if counts[c] < k]
    if not small:
        return
    others = ", ".join(f"'{data.classes[c]}' ({counts[c]})" for c in small[1:6])
    qualifier = "" if k == 3 and data.split is None else "train "
    only = f"{counts[small[0]]} {qualifier}{unit}{'' if counts[small[0]] == 1 else 's'}"
    plural = f"{k} {qualifier}{unit}{'' if k == 1 else 's'}"
    requirement = {1: "the given split has every part", 2: f"one each for train and {SPLITS[splits[-1]]}"}.get(
        k, "one each for train, validation and test"
    )
    raise DataError(
        f"class '{data.classes[small[0]]}' has {only}, but a class needs at least {plural}: {requirement}"
        + (", as a group is never put on two sides" if unit == "group" and k > 1 else "")
        + (f"; too small as well: {others}{', …' if len(small) > 6 else ''}" if others else "")
        + f"; add images{' of other groups' if unit == 'group' else ''}, or merge or remove the class"
        + (_NEAR if near else "")
    )


def _by_image(
    labels: npt.NDArray[np.int64], target_shares: npt.NDArray[np.float64], random: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Assign a split index to each label.

    Each class is divided by `target_shares`, rounded, with at least one image in each split.
    """
    chosen = np.zeros(len(labels), np.intp)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        sizes = [max(1, int(len(members) * share + 0.5)) for share in target_shares[1:]]
        while sum(sizes) >= len(members):
            sizes[int(np.argmax(sizes))] -= 1
        start = 0
        for part, size in enumerate(sizes, 1):
            chosen[members[start : start + size]] = part
            start += size
    return chosen


def _table(data: LabelledImages, pool: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Count the images of each group (of those present in `pool`, sorted) and class, int64 [groups, classes]."""
    assert data.groups is not None
    _, group = np.unique(data.groups[pool], return_inverse=True)
    table = np.zeros((int(group.max()) + 1, len(data.classes)), np.int64)
    np.add.at(table, (group.reshape(-1), data.labels[pool]), 1)
    return table


def _by_group(
    data: LabelledImages,
    pool: npt.NDArray[np.intp],
    target_shares: npt.NDArray[np.float64],
    names: Sequence[str],
    random: np.random.Generator,
) -> npt.NDArray[np.intp]:
    """Assign a split index to each image of `pool`, whole groups at a time; `names` are those of the splits."""
    assert data.groups is not None
    table = _table(data, pool)
    _, group = np.unique(data.groups[pool], return_inverse=True)
    missing = ""
    for attempt in range(_TRIES):
        order = random.permutation(len(table))
        if not attempt:
            # first the groups that hold most of some class, because the greedy choice is freest at the beginning
            weight = (table / table.sum(axis=0)).max(axis=1)
            order = order[np.argsort(-weight[order], kind="stable")]
        part_of = _greedy(table, target_shares, order)
        covered = np.stack([(table[part_of == part] > 0).any(axis=0) for part in range(len(names))])
        if covered.all():
            return np.asarray(part_of[group.reshape(-1)])
        part, label = np.argwhere(~covered)[0]
        missing = f"class '{data.classes[label]}' is missing from {names[part]}"
    raise DataError(
        f"{missing} however the {len(table)} groups are divided ({_TRIES} ways were tried), as groups hold "
        "several classes and each stays on one side; add images of other groups, or merge or remove the class"
    )


def _greedy(
    table: npt.NDArray[np.int64], target_shares: npt.NDArray[np.float64], order: npt.NDArray[np.int64]
) -> npt.NDArray[np.intp]:
    """Assign a split to each group, in the given order.

    A split that would otherwise lack a class comes first; then the split that brings class shares nearest to their
    targets. Two passes follow in which a group moves where that brings the shares nearer, unless a split would lose a
    class.
    """
    shares, holds = table / table.sum(axis=0), table > 0
    k = len(target_shares)
    now = np.zeros((k, table.shape[1]))
    groups = np.zeros((k, table.shape[1]), np.int64)
    part_of = np.zeros(len(table), np.intp)
    left = holds.sum(axis=0)

    def dearer(g: int) -> npt.NDArray[np.float64]:
        """Return how much the squared distance from the target shares grows if group g joins each split, [k]."""
        before = now - target_shares[:, None]
        return np.asarray((shares[g] * (2 * before + shares[g])).sum(axis=1))

    for g in order:
        empty = groups == 0
        urgent = (empty & holds[g] & (left <= empty.sum(axis=0))).sum(axis=1)
        part = int(np.lexsort((dearer(g), -urgent))[0])
        part_of[g] = part
        now[part] += shares[g]
        groups[part] += holds[g]
        left -= holds[g]
    for g in np.concatenate([order, order]):
        home = part_of[g]
        if (groups[home][holds[g]] <= 1).any():
            continue
        now[home] -= shares[g]
        groups[home] -= holds[g]
        part = int(np.argmin(dearer(g)))
        part_of[g] = part
        now[part] += shares[g]
        groups[part] += holds[g]
    return part_of
