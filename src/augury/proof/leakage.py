"""Has anything that made or chose the synthetic images seen the test part? Images are known by a digest of their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from augury.data import copied
from augury.errors import DataError
from augury.files import atomic_path
from augury.images import Images, LabelledImages

Prints = npt.NDArray[np.uint64]
Policy = Literal["refuse", "drop", "allow"]


def image_hashes(images: Images) -> Prints:
    """A 64-bit digest of the pixels of each image [N, C, H, W], in order; equal only for equal images of the same shape."""
    shape = repr(images.shape[1:]).encode()
    found = [hashlib.blake2b(image.tobytes(), digest_size=8, key=shape).digest() for image in images]
    return np.frombuffer(b"".join(found), np.uint64)


def record(folder: Path, place: str, *seen: Prints) -> None:
    """Keep in `folder` that `place` (generator, filters, ...) has seen these images."""
    with atomic_path(folder / f"{place}.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.unique(np.concatenate(seen)), allow_pickle=False)


def recorded(folder: Path) -> dict[str, Prints]:
    """Place -> the images it has seen, as `record` kept them; empty where nothing was kept."""
    return {file.stem: np.load(file, allow_pickle=False) for file in sorted(folder.glob("*.npy"))}


UNTOLD = " (not told of what it started from)"
"""Ends the name of a place that began with weights of which nobody knows what they had seen."""


def seen_by(place: str, start: str) -> dict[str, Prints]:
    """{the place's name: what it has seen} in the run `start` (its folder, or its synthesizer's); the name ends in UNTOLD where
    that is not all. Empty where nothing was kept."""
    folders = [folder / "seen" for folder in (Path(start), Path(start).parent)]
    files = [folder / f"{name}.npy" for folder in folders for name in (place, place + UNTOLD)]
    return {file.stem: np.load(file, allow_pickle=False) for file in [file for file in files if file.exists()][:1]}


def refuse_seen(test: LabelledImages, seen: Mapping[str, Prints], allowed: Prints | None = None) -> None:
    """Raises DataError when an image of `test`, but for those `allowed`, is among those that any place has seen."""
    mine = image_hashes(test.images)
    if allowed is not None:
        seen = {place: others[~np.isin(others, allowed)] for place, others in seen.items()}
    for place, others in seen.items():
        shared = np.isin(mine, others)
        if shared.any():
            raise DataError(
                f"{int(shared.sum())} of {len(test)} test images were seen by the {place}, such as {_named(test.names, shared, 1)}; the "
                "result would be too optimistic. Generate the synthetic images again from train images alone (a new run folder), or "
                "remove these images from the test split"
            )


def refuse_shared_parts(train: LabelledImages, validation: LabelledImages, test: LabelledImages) -> None:
    """Raises DataError when two parts have an image in common, pixel for pixel."""
    own = {"train": train, "validation": validation, "test": test}
    known = {name: image_hashes(part.images) for name, part in own.items()}
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        shared = np.isin(known[second], known[first])
        if shared.any():
            raise DataError(
                f"{int(shared.sum())} of {len(own[second])} {second} images are in the {first} split too, such as "
                f"{_named(own[second].names, shared, 1)}; the result would be too optimistic. Remove them from one of the two, let augury split "
                "the data (near-duplicates are kept in one split), or test them anyway with prove.near_duplicates=allow"
            )


WHY = {
    "test": "a classifier trained on them has seen the test",
    "validation": "the ratio is chosen on those real images",
}
"""Why synthetic images must not be images of a split."""


def like_held(
    images: Images,
    held: LabelledImages,
    policy: Policy = "refuse",
    *,
    name: str = "test",
    others: Images | None = None,
    mirrored: bool = False,
    names: Sequence[str] = (),
) -> npt.NDArray[np.bool_]:
    """bool [M]: which of the synthetic `images` (called as `names` say) are near-duplicates of an image of the `held` part called `name`,
    "test" or "validation", with `mirrored` also of its mirror image, and are to be left out; `others` are real images that
    none of them is a copy of, to tell how alike pictures of this kind are.

    An image that is a held image pixel for pixel is refused with DataError under "refuse" and "drop"; a near-duplicate
    (`augury.data.copied`, images of 16 px a side or more) is refused or left out as the policy says; "allow" looks
    for neither.
    """
    if policy == "allow" or not len(images) or not len(held):
        return np.zeros(len(images), bool)
    refuse_copies(images, held, name, mirrored=mirrored, names=names)
    near = copied(images, held.images, others, mirrored=mirrored)
    if near.any() and policy == "refuse":
        raise DataError(
            f"{int(near.sum())} of {len(images)} synthetic images are near-duplicates of a {name} image, such as "
            f"{_named(names, near)}; the result would be too optimistic: {WHY[name]}. prove.near_duplicates=drop leaves "
            "them out, allow keeps them (on the command line with --set)"
        )
    return near


def refuse_copies(
    images: Images, held: LabelledImages, name: str, *, mirrored: bool = False, names: Sequence[str] = ()
) -> None:
    """Raises DataError when one of the synthetic `images` (called as `names` say) is an image of the `held` part called `name`, or with
    `mirrored` its mirror image, pixel for pixel."""
    known = [image_hashes(held.images), *([image_hashes(held.images[..., ::-1])] if mirrored else [])]
    same = np.isin(image_hashes(images), np.concatenate(known))
    if same.any():
        raise DataError(
            f"{int(same.sum())} of {len(images)} synthetic images are images of the {name} split, pixel for pixel{' or mirrored' if mirrored else ''}, "
            f"such as {_named(names, same)}: {WHY[name]}. Remove them, or generate the synthetic images from train images alone"
        )


def _named(names: Sequence[str], chosen: npt.NDArray[np.bool_], most: int = 3) -> str:
    """The first few of those chosen, by name where they have names."""
    places = np.flatnonzero(chosen)
    told = [names[i] for i in places[:most]] if names else [f"number {i}" for i in places[:1]]
    return ", ".join(told)
