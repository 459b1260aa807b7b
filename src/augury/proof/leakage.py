"""Check that no generator, filter or other part has seen the test split. Images are identified by a hash of their pixels."""

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
from augury.images import AnyImages, Images, LabelledImages, as_images

Prints = npt.NDArray[np.uint64]
Policy = Literal["refuse", "drop", "allow"]


def image_hashes(images: AnyImages) -> Prints:
    """Hash the pixels of each image.

    Parameters
    ----------
    images
        uint8 [N, C, H, W] or a set of images.

    Returns
    -------
    uint64 [N]
        BLAKE2b, 64 bits, in the order of the images. Equal images of the same shape have equal hashes.
    """
    images = as_images(images)
    shape = repr(images.shape[1:]).encode()
    digests = [hashlib.blake2b(image.tobytes(), digest_size=8, key=shape).digest() for image in images]
    return np.frombuffer(b"".join(digests), np.uint64)


def record(folder: Path, part: str, *seen: Prints) -> None:
    """Store the hashes of the images that a part of the pipeline has seen.

    Parameters
    ----------
    folder
        Where to write `part`.npy.
    part
        Name of the part, such as generator or filters.
    seen
        Hashes uint64 of the images, as `image_hashes` returns them.
    """
    with atomic_path(folder / f"{part}.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.unique(np.concatenate(seen)), allow_pickle=False)


def recorded(folder: Path) -> dict[str, Prints]:
    """Read all hashes that `record` stored in a folder.

    Parameters
    ----------
    folder
        The folder that was given to `record`; it need not exist.

    Returns
    -------
    dict
        Name of the part -> hashes uint64 of the images it has seen; empty when nothing was stored.
    """
    return {file.stem: np.load(file, allow_pickle=False) for file in sorted(folder.glob("*.npy"))}


START_UNKNOWN = " (images of the model it started from unknown)"
"""Suffix of the name of a part that started from weights with unknown training images."""


def seen_by(part: str, start: str) -> dict[str, Prints]:
    """Read which images a part of an earlier run has seen.

    Parameters
    ----------
    part
        Name of the part, such as generator.
    start
        Folder of the run, or of its synthesizer.

    Returns
    -------
    dict
        {name: hashes uint64}. The name ends in START_UNKNOWN when the record is incomplete. Empty when nothing was stored.
    """
    folders = [folder / "seen" for folder in (Path(start), Path(start).parent)]
    files = [folder / f"{name}.npy" for folder in folders for name in (part, part + START_UNKNOWN)]
    return {file.stem: np.load(file, allow_pickle=False) for file in [file for file in files if file.exists()][:1]}


def refuse_seen(test: LabelledImages, seen: Mapping[str, Prints], allowed: Prints | None = None) -> None:
    """Raises DataError when any part has seen a test image. Images in `allowed` are exempt."""
    mine = image_hashes(test.images)
    if allowed is not None:
        seen = {source: others[~np.isin(others, allowed)] for source, others in seen.items()}
    for source, others in seen.items():
        shared = np.isin(mine, others)
        if shared.any():
            raise DataError(
                f"{int(shared.sum())} of {len(test)} test images were seen by the {source}, such as {_named(test.names, shared, 1)}; the "
                "result would be too optimistic. Generate the synthetic images again from train images alone (a new run folder), or "
                "remove these images from the test split"
            )


def refuse_shared_splits(train: LabelledImages, validation: LabelledImages, test: LabelledImages) -> None:
    """Refuse splits that share an image, pixel for pixel.

    Parameters
    ----------
    train, validation, test
        The three splits.

    Raises
    ------
    DataError
        When two of them have an image in common.
    """
    own = {"train": train, "validation": validation, "test": test}
    hashes = {name: image_hashes(part.images) for name, part in own.items()}
    for first, second in (("train", "test"), ("validation", "test"), ("train", "validation")):
        shared = np.isin(hashes[second], hashes[first])
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
    images: AnyImages,
    held: LabelledImages,
    policy: Policy = "refuse",
    *,
    name: str = "test",
    others: AnyImages | None = None,
    mirrored: bool = False,
    names: Sequence[str] = (),
) -> npt.NDArray[np.bool_]:
    """Find synthetic images that are near-duplicates of held-out images and must be left out.

    Near-duplicates (`augury.data.copied`) are searched in images of 16 px a side or more.

    Parameters
    ----------
    images
        Synthetic images: SyntheticImages, LabelledImages or uint8 [M, C, H, W].
    held
        The held-out split.
    policy
        "refuse" raises for near-duplicates, "drop" marks them, "allow" does not search. "refuse" and "drop" raise for
        exact copies.
    name
        Name of the held-out split: "test" or "validation".
    others
        Real images that none of the synthetic images copies. They calibrate how similar images of this kind are.
    mirrored
        Whether mirror images of held-out images count too.
    names
        Names of the synthetic images, for messages.

    Returns
    -------
    bool [M]
        Which images to leave out.

    Raises
    ------
    DataError
        For an exact copy of a held-out image unless the policy is "allow", and for a near-duplicate under "refuse".
    """
    pixels = as_images(images)
    if policy == "allow" or not len(pixels) or not len(held):
        return np.zeros(len(pixels), bool)
    refuse_copies(pixels, held, name, mirrored=mirrored, names=names)
    near = copied(images, held, others, mirrored=mirrored)
    if near.any() and policy == "refuse":
        raise DataError(
            f"{int(near.sum())} of {len(pixels)} synthetic images are near-duplicates of a {name} image, such as "
            f"{_named(names, near)}; the result would be too optimistic: {WHY[name]}. prove.near_duplicates=drop leaves "
            "them out, allow keeps them (on the command line with --set)"
        )
    return near


def refuse_copies(
    images: Images, held: LabelledImages, name: str, *, mirrored: bool = False, names: Sequence[str] = ()
) -> None:
    """Raises DataError when a synthetic image equals a held-out image pixel for pixel, or with `mirrored` its mirror image.

    `names` are the names of the synthetic images, `name` that of the held-out split.
    """
    hashes = [image_hashes(held.images), *([image_hashes(held.images[..., ::-1])] if mirrored else [])]
    same = np.isin(image_hashes(images), np.concatenate(hashes))
    if same.any():
        raise DataError(
            f"{int(same.sum())} of {len(images)} synthetic images are images of the {name} split, pixel for pixel{' or mirrored' if mirrored else ''}, "
            f"such as {_named(names, same)}: {WHY[name]}. Remove them, or generate the synthetic images from train images alone"
        )


def _named(names: Sequence[str], chosen: npt.NDArray[np.bool_], most: int = 3) -> str:
    """List the first few chosen images by name, or by number if they have no names."""
    rows = np.flatnonzero(chosen)
    shown = [names[i] for i in rows[:most]] if names else [f"number {i}" for i in rows[:1]]
    return ", ".join(shown)
