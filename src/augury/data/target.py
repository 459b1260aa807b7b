"""Read images of another domain, the target, resize them to the labelled images' shape, and keep them separate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from augury.data.decoding.label_encoding import composed
from augury.data.decoding.load_options import OnBad, Transparency
from augury.data.decoding.resize import Fit
from augury.data.decoding.skipped import SkippedFiles, skipped_lines
from augury.data.decoding.split_names import split_code
from augury.data.formats.folder import walked
from augury.data.formats.layout import text
from augury.data.loading import pictures
from augury.data.unlabelled import apart_from, coloured, files_below
from augury.errors import DataError
from augury.images import SPLITS, Codes, Images, LabelledImages
from augury.randomness import rng

FEWEST = 20
"""Fewest unlabelled target images; statistics and a translator need at least this many."""
SHARED = 0.05
"""Largest share of target images that may also be labelled images. Up to it they are left out; above it they are refused."""
CUT = 0.5
"""Largest share of an image's area that cropping may remove."""
ENLARGED = 4.0
"""Largest enlargement of an image, as a factor per side. Beyond it only blur is added."""
TEST = 2
"""Every second labelled target image is a test image where the target has no split."""


@dataclass(frozen=True)
class TargetImages:
    """Images of the target domain.

    Parameters
    ----------
    images
        uint8 [M, C, H, W], to be used without labels.
    test
        Labelled target images under the classes of the labelled data, or None.
    notes
        Sentences for the user.
    """

    images: Images
    test: LabelledImages | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        test = 0 if self.test is None else len(self.test)
        size = "×".join(map(str, self.images.shape[1:]))
        return f"TargetImages({len(self.images):,} images, {size}, {test:,} labelled test images)"


def read_target(
    path: str | Path,
    labelled: LabelledImages,
    *,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    mirrored: bool = False,
    seed: int = 0,
    follow_links: str | Path | None = None,
    transparency: Transparency | None = None,
) -> TargetImages:
    """Read the images of the target domain.

    Without labels, give a folder of image files at any depth, or any other format that `load` reads. With labels, give
    class folders or a file with labels, of the same class names. Labels are used for the test only. The test images are
    the target's own test split. Without one, they are half of the images of each class, or half of the groups.

    Parameters
    ----------
    path : str or Path
    labelled : LabelledImages
        The labelled images of the source domain. Target images get their shape [C, H, W]: colour becomes grey by ITU-R
        601 luma, grey becomes three equal channels.
    fit : {"crop", "pad"}
        How images of another shape are resized, as in `load`.
    on_bad : {"error", "skip"}
        What happens with unreadable images.
    mirrored : bool
        Whether a mirror image counts as a near-duplicate. Set it where training mirrors images.
    seed : int
        Selects which labelled target images become test images.
    follow_links : path, optional
        As in `load`.
    transparency : {"white", "black", "ignore"}, optional
        Background for images with opacity, as in `load`.

    Returns
    -------
    TargetImages
        Near-duplicates of labelled images are left out of `images` and `test`. Near-duplicates of test images are left
        out of `images`. `notes` says how many.

    Raises
    ------
    DataError
        When cropping would cut away more than half of most images, or most would be enlarged more than four times; when
        more than 5 % are also labelled images; when only some of the class names agree; or when fewer than 20
        unlabelled images remain.

    Examples
    --------
    >>> data = augury.load("labelled/")
    >>> target = augury.data.read_target("new-scanner/", data)
    >>> target.images.shape, target.test is None
    """
    target_path = Path(path)
    target, labels_known, notes = _read(target_path, labelled, fit, on_bad, follow_links, transparency)
    apart, left = apart_from(target.images, {"labelled": np.asarray(labelled.images[:])}, mirrored=mirrored)
    notes += _check_shared(target_path, left["labelled"], len(target))
    target = target.take(apart)
    if not labels_known:
        _check_number(target_path, len(target), "")
        return TargetImages(target.images, None, tuple(notes))
    tested = _tested(target, seed)
    test, rest = target.take(tested), target.take(~tested)
    apart, left = apart_from(rest.images, {"test": test.images}, mirrored=mirrored)
    if left["test"]:
        notes.append(f"{left['test']} unlabelled target images are near-duplicates of test images and were left out")
    notes.append(
        f"the labels of {len(test)} target images are used for the test; those of the other {len(rest)} are not used"
    )
    _check_number(target_path, int(apart.sum()), f" beside {len(test)} test images")
    return TargetImages(rest.images[apart], replace(test, split=None), tuple(notes))


def _read(
    path: Path,
    labelled: LabelledImages,
    fit: Fit,
    on_bad: OnBad,
    follow_links: str | Path | None,
    transparency: Transparency | None,
) -> tuple[LabelledImages, bool, list[str]]:
    """Return the images in the shape of `labelled`, whether their labels are known, and notes on the changes.

    Known labels are returned as codes of the classes of `labelled`.
    """
    size = (labelled.shape[1], labelled.shape[2])
    labels_known = _labels_known(path, labelled, follow_links) if path.is_dir() else True
    if labels_known:
        target = pictures(path, size=size, fit=fit, on_bad=on_bad, follow_links=follow_links, transparency=transparency)
        labels_known = _same_classes(path, target.classes, labelled.classes)
    else:
        target = files_below(
            path, size, fit=fit, on_bad=on_bad, least=FEWEST, follow_links=follow_links, transparency=transparency
        )
    _check_sizes(path, target, size, fit)
    notes = _changes(target, labelled)
    target = replace(target, images=coloured(np.asarray(target.images[:]), labelled.shape[0]))
    if labels_known:
        codes = np.array([labelled.classes.index(name) for name in target.classes], np.int64)[target.labels]
        target = replace(target, labels=codes, classes=labelled.classes)
    return target, labels_known, notes


def _labels_known(path: Path, labelled: LabelledImages, follow_links: str | Path | None) -> bool:
    """Whether a folder has class folders of the labelled images' classes. Raises DataError when only some agree."""
    files = walked(path, SkippedFiles(), None if follow_links is None else Path(follow_links))
    folders = {tuple(composed(text(part)) for part in parts[:-1] if split_code(text(part)) < 0) for parts in files}
    loose = () in folders
    names = {parts[0] for parts in folders if parts}
    same = names & set(labelled.classes)
    if same and (loose or names != same):
        others = "images that lie in none" if loose else f"the folder '{min(names - same)}'"
        raise DataError(
            f"{path}: {len(same)} folders are called as classes, such as '{min(same)}', but there is also {others}; put all images "
            "into class folders if their labels are known, or into one folder if they are not"
        )
    return bool(same)


def _same_classes(path: Path, theirs: tuple[str, ...], ours: tuple[str, ...]) -> bool:
    """Whether the images have labels of the same classes.

    Labels with entirely different names are ignored. Raises DataError when only some names agree.
    """
    strange = [name for name in theirs if name not in ours]
    if strange and len(strange) < len(theirs):
        raise DataError(
            f"{path}: {len(strange)} of its {len(theirs)} classes are none of the labelled images', such as '{strange[0]}'; rename "
            f"them ({', '.join(ours[:8])}), remove their images, or leave the labels out"
        )
    return not strange


def _check_sizes(path: Path, target: LabelledImages, size: tuple[int, int], fit: Fit) -> None:
    """Raise DataError when most images would lose more than half their area or be enlarged more than four times."""
    original_sizes = {
        tuple(map(int, shape.split("x"))): n for shape, n in target.notes.get("original_sizes", {}).items()
    }
    (h, w), total = size, sum(original_sizes.values())
    cut = {shape: 1 - h * w * min(shape[0] / h, shape[1] / w) ** 2 / (shape[0] * shape[1]) for shape in original_sizes}
    large = {shape: max(h / shape[0], w / shape[1]) for shape in original_sizes}
    if fit == "crop" and 2 * sum(n for shape, n in original_sizes.items() if cut[shape] > CUT) > total:
        most = max(original_sizes, key=lambda shape: cut[shape])
        raise DataError(
            f"{path}: images of {most[0]}x{most[1]} (height x width) would lose {cut[most]:.0%} of their area when they are cropped to "
            f"{h}x{w}, the shape of the labelled ones; pad them (--fit pad), or give both in one shape"
        )
    if 2 * sum(n for shape, n in original_sizes.items() if large[shape] > ENLARGED) > total:
        small = max(original_sizes, key=lambda shape: large[shape])
        raise DataError(
            f"{path}: images of {small[0]}x{small[1]} (height x width) would be enlarged {large[small]:.1f} times to the {h}x{w} of the "
            f"labelled ones; {ENLARGED:g} times is the most: make the labelled ones smaller (--size), or give larger target images"
        )


def _changes(target: LabelledImages, labelled: LabelledImages) -> list[str]:
    """Describe in sentences what was done to the target images."""
    notes, size = [], f"{labelled.shape[1]}x{labelled.shape[2]}"
    original_sizes = {original: n for original, n in target.notes.get("original_sizes", {}).items() if original != size}
    if original_sizes:
        sizes = ", ".join(list(original_sizes)[:3]) + (" …" if len(original_sizes) > 3 else "")
        notes.append(
            f"{sum(original_sizes.values()):,} target images came as {sizes} (height x width) and were resized to {size}"
        )
    if target.images.shape[1] > labelled.shape[0]:
        notes.append("the target images are coloured and were made grey, as the labelled ones are")
    elif target.images.shape[1] < labelled.shape[0]:
        notes.append("the target images are grey, the labelled ones coloured: colour alone tells the domains apart")
    if skipped := target.notes.get("skipped", []):
        notes.append(f"{len(skipped):,} target files could not be read and were left out")
    return [*notes, *skipped_lines(target, "target images: ")]


def _check_shared(path: Path, shared: int, total: int) -> list[str]:
    """Return a note about labelled images among the target's. Raises DataError when they are too many."""
    if not shared:
        return []
    if shared > SHARED * total:
        raise DataError(
            f"{path}: {shared} of {total} target images are labelled images too, or near-duplicates of them; at most {SHARED:.0%} may "
            "be. Give a folder of the other domain alone"
        )
    return [f"{shared} target images are near-duplicates of labelled ones and were left out"]


def _check_number(path: Path, number: int, beside: str) -> None:
    if number < FEWEST:
        raise DataError(
            f"{path}: holds {number} images of the target domain that can be used without labels{beside}, but it takes at least "
            f"{FEWEST}; give more"
        )


def _tested(target: LabelledImages, seed: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Select the test images, bool [N].

    They are the target's test split, or else every second image of each class or every second group.
    """
    test = SPLITS.index("test")
    if target.split is not None and (target.split == test).any():
        return np.asarray(target.split == test)
    random = rng(seed, "target test")
    chosen = np.zeros(len(target), bool)
    if target.groups is not None:
        names = random.permutation(np.unique(target.groups))
        return np.isin(target.groups, names[::TEST])
    for c in np.flatnonzero(target.counts):
        members: Codes = np.flatnonzero(target.labels == c)
        chosen[random.permutation(members)[::TEST]] = True
    return chosen
