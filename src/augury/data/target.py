"""Images of another domain, the target: read, brought to the labelled images' shape, and kept apart from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from augury.data.decoding.label_encoding import SPLIT_NAMES
from augury.data.decoding.load_options import OnBad
from augury.data.decoding.resize import Fit
from augury.data.formats.folder import text, walked
from augury.data.loading import pictures
from augury.data.unlabelled import apart_from, coloured, files_below
from augury.errors import DataError
from augury.images import SPLITS, Codes, Images, LabelledImages
from augury.randomness import rng

FEWEST = 20
"""Fewest target images without labels: statistics and a translator need more than a handful."""
SHARED = 0.05
"""The largest share of target images that may be labelled images too; so few are left out, more are refused."""
CUT = 0.5
"""The largest share of an image's area that cropping may cut away."""
ENLARGED = 4.0
"""How many times as large as it came an image may become; beyond this nothing but blur is added."""
TEST = 2
"""Of labelled target images without parts every second is kept for the test."""


@dataclass(frozen=True)
class TargetImages:
    """`images` uint8 [M, C, H, W] of the target domain, to be used without labels; `test`, labelled target images under the
    classes of the labelled data, or None; `notes`, sentences for the user."""

    images: Images
    test: LabelledImages | None = None
    notes: tuple[str, ...] = ()


def read_target(
    path: str | Path,
    labelled: LabelledImages,
    *,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    mirrored: bool = False,
    seed: int = 0,
) -> TargetImages:
    """Read the images of the target domain.

    Without labels: a folder of image files at any depth, or any other format that `load` reads. With labels: class folders, or
    a file with labels, of the same class names. Labels are used for the test alone. The test images are the target's own test
    part; where it has none, half of the images, by class, or by group where there are groups.

    Parameters
    ----------
    path : str or Path
    labelled : LabelledImages
        The labelled images of the source domain; target images get their shape [C, H, W]. Colour becomes grey by ITU-R 601
        luma, grey three equal channels.
    fit : {"crop", "pad"}
        How images of another shape are resized, as in `load`.
    on_bad : {"error", "skip"}
        What happens with unreadable images.
    mirrored : bool
        Whether a mirror image counts as a near-duplicate: True where training mirrors images.
    seed : int
        Which labelled target images become test images.

    Returns
    -------
    TargetImages
        Near-duplicates of labelled images are left out of both parts, and those of test images out of `images`; `notes` says
        how many.

    Raises
    ------
    DataError
        When the images cannot be brought to the shape (cropping would cut away more than half of them, or they would be enlarged
        more than four times), when more than 5 % are labelled images too, when only some of the class names agree, or when
        fewer than 20 unlabelled images remain.

    Examples
    --------
    >>> data = augury.load("labelled/")
    >>> target = augury.data.read_target("new-scanner/", data)
    >>> target.images.shape, target.test is None
    """
    place = Path(path)
    found, known, notes = _read(place, labelled, fit, on_bad)
    apart, left = apart_from(found.images, {"labelled": np.asarray(labelled.images[:])}, mirrored=mirrored)
    notes += _check_shared(place, left["labelled"], len(found))
    found = found.take(apart)
    if not known:
        _check_number(place, len(found), "")
        return TargetImages(found.images, None, tuple(notes))
    tested = _tested(found, seed)
    test, rest = found.take(tested), found.take(~tested)
    apart, left = apart_from(rest.images, {"test": test.images}, mirrored=mirrored)
    if left["test"]:
        notes.append(f"{left['test']} unlabelled target images are near-duplicates of test images and were left out")
    notes.append(
        f"the labels of {len(test)} target images are used for the test; those of the other {len(rest)} are not used"
    )
    _check_number(place, int(apart.sum()), f" beside {len(test)} test images")
    return TargetImages(rest.images[apart], replace(test, split=None), tuple(notes))


def _read(place: Path, labelled: LabelledImages, fit: Fit, on_bad: OnBad) -> tuple[LabelledImages, bool, list[str]]:
    """(images in the labelled ones' shape, whether their labels are known, what was done to them); labels that are known are
    codes of the labelled images' classes."""
    size = (labelled.shape[1], labelled.shape[2])
    known = _known(place, labelled) if place.is_dir() else True
    if known:
        found = pictures(place, size=size, fit=fit, on_bad=on_bad)
        known = _same_classes(place, found.classes, labelled.classes)
    else:
        found = files_below(place, size, fit=fit, on_bad=on_bad, least=FEWEST)
    _check_sizes(place, found, size, fit)
    notes = _changes(found, labelled)
    found = replace(found, images=coloured(np.asarray(found.images[:]), labelled.shape[0]))
    if known:
        codes = np.array([labelled.classes.index(name) for name in found.classes], np.int64)[found.labels]
        found = replace(found, labels=codes, classes=labelled.classes)
    return found, known, notes


def _known(place: Path, labelled: LabelledImages) -> bool:
    """Whether a folder has class folders of the labelled images' classes. Raises DataError when only some agree."""
    files = walked(place, Counter())
    folders = {tuple(text(part) for part in parts[:-1] if text(part).casefold() not in SPLIT_NAMES) for parts in files}
    loose = () in folders
    names = {parts[0] for parts in folders if parts}
    same = names & set(labelled.classes)
    if same and (loose or names != same):
        others = "images that lie in none" if loose else f"the folder '{min(names - same)}'"
        raise DataError(
            f"{place}: {len(same)} folders are called as classes, such as '{min(same)}', but there is also {others}; put all images "
            "into class folders if their labels are known, or into one folder if they are not"
        )
    return bool(same)


def _same_classes(place: Path, theirs: tuple[str, ...], ours: tuple[str, ...]) -> bool:
    """Whether the images have labels of the same classes; labels of wholly other names do not count. Raises DataError when
    only some agree."""
    strange = [name for name in theirs if name not in ours]
    if strange and len(strange) < len(theirs):
        raise DataError(
            f"{place}: {len(strange)} of its {len(theirs)} classes are none of the labelled images', such as '{strange[0]}'; rename "
            f"them ({', '.join(ours[:8])}), remove their images, or leave the labels out"
        )
    return not strange


def _check_sizes(place: Path, found: LabelledImages, size: tuple[int, int], fit: Fit) -> None:
    """Raises DataError when most images would be cut by more than half, or enlarged more than four times."""
    came = {tuple(map(int, each.split("x"))): n for each, n in found.notes.get("original_sizes", {}).items()}
    (h, w), total = size, sum(came.values())
    cut = {each: 1 - h * w * min(each[0] / h, each[1] / w) ** 2 / (each[0] * each[1]) for each in came}
    large = {each: max(h / each[0], w / each[1]) for each in came}
    if fit == "crop" and 2 * sum(n for each, n in came.items() if cut[each] > CUT) > total:
        most = max(came, key=lambda each: cut[each])
        raise DataError(
            f"{place}: images of {most[0]}x{most[1]} (height x width) would lose {cut[most]:.0%} of their area when they are cropped to "
            f"{h}x{w}, the shape of the labelled ones; pad them (--fit pad), or give both in one shape"
        )
    if 2 * sum(n for each, n in came.items() if large[each] > ENLARGED) > total:
        small = max(came, key=lambda each: large[each])
        raise DataError(
            f"{place}: images of {small[0]}x{small[1]} (height x width) would be enlarged {large[small]:.1f} times to the {h}x{w} of the "
            f"labelled ones; {ENLARGED:g} times is the most: make the labelled ones smaller (--size), or give larger target images"
        )


def _changes(found: LabelledImages, labelled: LabelledImages) -> list[str]:
    """What was done to the target images, in sentences."""
    notes, size = [], f"{labelled.shape[1]}x{labelled.shape[2]}"
    came = {each: n for each, n in found.notes.get("original_sizes", {}).items() if each != size}
    if came:
        sizes = ", ".join(list(came)[:3]) + (" …" if len(came) > 3 else "")
        notes.append(
            f"{sum(came.values()):,} target images came as {sizes} (height x width) and were resized to {size}"
        )
    if found.images.shape[1] > labelled.shape[0]:
        notes.append("the target images are coloured and were made grey, as the labelled ones are")
    elif found.images.shape[1] < labelled.shape[0]:
        notes.append("the target images are grey, the labelled ones coloured: colour alone tells the domains apart")
    if skipped := found.notes.get("skipped", []):
        notes.append(f"{len(skipped):,} target files could not be read and were left out")
    return notes


def _check_shared(place: Path, shared: int, total: int) -> list[str]:
    """A note about labelled images among the target's; raises DataError when they are many."""
    if not shared:
        return []
    if shared > SHARED * total:
        raise DataError(
            f"{place}: {shared} of {total} target images are labelled images too, or near-duplicates of them; at most {SHARED:.0%} may "
            "be. Give a folder of the other domain alone"
        )
    return [f"{shared} target images are near-duplicates of labelled ones and were left out"]


def _check_number(place: Path, number: int, beside: str) -> None:
    if number < FEWEST:
        raise DataError(
            f"{place}: holds {number} images of the target domain that can be used without labels{beside}, but it takes at least "
            f"{FEWEST}; give more"
        )


def _tested(found: LabelledImages, seed: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool [N]: the target's own test part; without one, every second image of each class, or every second group."""
    test = SPLITS.index("test")
    if found.split is not None and (found.split == test).any():
        return np.asarray(found.split == test)
    random = rng(seed, "target test")
    chosen = np.zeros(len(found), bool)
    if found.groups is not None:
        names = random.permutation(np.unique(found.groups))
        return np.isin(found.groups, names[::TEST])
    for c in np.flatnonzero(found.counts):
        members: Codes = np.flatnonzero(found.labels == c)
        chosen[random.permutation(members)[::TEST]] = True
    return chosen
