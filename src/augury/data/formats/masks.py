"""Recognise segmentation masks that lie beside images: folders images and masks, files x.png and x_mask.png."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from augury.data.decoding import image_decoder
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.split_names import split_code
from augury.errors import DataError

_MASK_NAMES = (
    "mask masks seg segs segm segmentation segmentations segmentationclass segmentationobject gt groundtruth annotation "
    "annotations label labels trimap trimaps matte mattes"
)
_IMAGE_NAMES = (
    "image images img imgs picture pictures photo photos original originals orig raw input inputs scan scans frame frames "
    "rgb jpegimages jpg jpeg png"
)
_MASKS, _IMAGES = frozenset(_MASK_NAMES.split()), frozenset(_IMAGE_NAMES.split())
_WORDS = "mask|masks|seg|segm|segmentation|gt|ground[ _-]?truth|label|labels|annot|annotation|annotations|trimap|matte"
_WORD = re.compile(_WORDS, re.IGNORECASE)
_SHORT = ("mask", "label", "gt", "seg")
FLAT = 8
"""Most grey values of a segmentation mask; photographs have more."""
SAME = 16
"""Mean difference of grey values up to which two files are one picture."""
TRIED = 5
"""Pairs of image and mask that are decoded."""
_JPEG = re.compile(r"\.jpe?g$", re.IGNORECASE)
Folder = tuple[str, ...]
_TWIN = re.compile(
    rf"(?P<base>.+?)[ _.-]+(?:{_WORDS})(?:[ _-]?\d+)?|(?:{_WORDS})[ _.-]+(?P<base_after>.+)", re.IGNORECASE
)


def find_masks(paths: Sequence[tuple[str, ...]], content: Callable[[int], bytes]) -> set[int]:
    """Return the indices of the masks among image files, given as path components.

    A file is a mask if it is called as another image of its folder and _mask, _seg, _gt or the like. A folder called
    masks, labels, ground_truth or the like holds masks if each folder beside it is called images or is a split, or if
    at least half of its files are called as images of the folder above. `content` returns the bytes of a file.
    """
    by_folder: dict[Folder, list[int]] = defaultdict(list)
    for i, parts in enumerate(paths):
        by_folder[parts[:-1]].append(i)
    children: dict[Folder, set[str]] = defaultdict(set)
    for folder in by_folder:
        for depth in range(len(folder)):
            children[folder[:depth]].add(folder[depth])
    beside_masks = {parent for parent, names in children.items() if any(map(is_mask_folder, names))}
    of_masks: set[Folder] = set()
    if beside_masks:
        stems = {folder: {_stem(paths[i][-1]) for i in members} for folder, members in by_folder.items()}
        below: dict[Folder, set[str]] = defaultdict(set)
        for folder, names in stems.items():
            for depth in range(len(folder)):
                if folder[:depth] in beside_masks:
                    below[folder[: depth + 1]] |= names
        of_masks = {folder for folder in below if _holds_masks(folder, children, below, stems)}
    mask_indices: set[int] = set()
    for folder, members in by_folder.items():
        if of_masks and any(folder[: depth + 1] in of_masks for depth in range(len(folder))):
            mask_indices.update(members)
        else:
            mask_indices.update(_twins(paths, members) or _flat_twins(paths, members, content))
    return mask_indices


def _flat_twins(paths: Sequence[tuple[str, ...]], members: Sequence[int], content: Callable[[int], bytes]) -> list[int]:
    """Return the masks x.png beside the images x.jpg, where at least half of the files of a folder lie in such pairs.

    Names alone do not tell, so that a few pairs are decoded: a mask has at most FLAT grey values, the image has more.
    """
    by_stem: dict[str, list[int]] = defaultdict(list)
    for i in members:
        by_stem[_stem(paths[i][-1])].append(i)
    if 4 * (len(members) - len(by_stem)) < len(members):
        return []
    pairs = [sorted(same, key=lambda i: not _JPEG.search(paths[i][-1])) for same in by_stem.values() if len(same) == 2]
    pairs = [pair for pair in pairs if _JPEG.search(paths[pair[0]][-1]) and not _JPEG.search(paths[pair[1]][-1])]
    tried = pairs[:: max(1, len(pairs) // TRIED)]
    return [mask for _, mask in pairs] if all(_is_mask_of(content, *pair) for pair in tried) else []


def _is_mask_of(content: Callable[[int], bytes], image: int, mask: int) -> bool:
    """Whether the second of two files has few grey values, the first more, and they are not one picture saved twice."""
    plain = LoadOptions(transparency="ignore")
    try:
        raws = [content(i) for i in (image, mask)]
        size, own = (image_decoder.header(raw, plain).size for raw in raws)
        shown = image_decoder.pixels(raws[0], size, plain, True).astype(np.int16)
        flat = image_decoder.pixels(raws[1], own, plain, True)
        alike = np.abs(shown - image_decoder.pixels(raws[1], size, plain, True)).mean() <= SAME
    except (DataError, OSError):
        return False
    return bool(len(np.unique(flat)) <= FLAT < len(np.unique(shown)) and not alike)


def _twins(paths: Sequence[tuple[str, ...]], members: Sequence[int]) -> list[int]:
    """Return those of the images of one folder that are masks of others."""
    named = [i for i in members if _WORD.search(paths[i][-1])]
    stems = {_stem(paths[i][-1]) for i in members} if named else set()
    return [i for i in named if (base := _base(stem := _stem(paths[i][-1]))) != stem and base in stems]


def is_mask_folder(name: str) -> bool:
    """Whether a folder is called as folders of masks or annotations are."""
    return bool(_tokens(name) & _MASKS)


def is_image_folder(name: str) -> bool:
    """Whether a folder is called as folders of images beside masks are."""
    return bool(_tokens(name) & _IMAGES) and not is_mask_folder(name)


def _holds_masks(
    folder: Folder,
    children: Mapping[Folder, set[str]],
    below: Mapping[Folder, set[str]],
    stems: Mapping[Folder, set[str]],
) -> bool:
    name, parent = folder[-1], folder[:-1]
    if not is_mask_folder(name):
        return False
    bases = {_base(stem) for stem in below[folder]}
    others = [other for other in children[parent] if not is_mask_folder(other)]
    beside = [other for other in others if is_image_folder(other)]
    if beside:
        exact = _exact(name, _MASKS) and all(_exact(other, _IMAGES) for other in beside)
        alike = any(2 * len(bases & below[(*parent, other)]) >= len(bases) for other in beside)
        return (exact or alike) and all(other in beside or split_code(other) >= 0 for other in others)
    if others and all(split_code(other) >= 0 for other in others):  # train, test and ground_truth
        return name.casefold() not in _SHORT
    inner = children.get(folder, set())
    if len(inner) > 1 and 2 * len(inner & set(others)) >= len(
        inner
    ):  # benign, malignant, masks/benign, masks/malignant
        return True
    among = set(stems.get(parent, set()))
    if name.casefold() not in _SHORT:  # a class may be called mask
        among |= {stem for other in others for stem in below[(*parent, other)] if re.search(r"[^\W\d_]", stem)}
    return 2 * len(bases & among) >= len(bases) > 0


def _exact(name: str, words: frozenset[str]) -> bool:
    """Whether a name has no other words than these."""
    tokens = _tokens(name)
    return tokens <= words or "".join(sorted(tokens, key=len)[-1:]) in words


def _base(stem: str) -> str:
    """Return the name of the image that a mask belongs to: "x_mask_1" -> "x"; any other name as it is."""
    match = _TWIN.fullmatch(stem)
    return stem if match is None else match["base"] or match["base_after"]


def _stem(name: str) -> str:
    return name.casefold().rpartition(".")[0] or name.casefold()


@lru_cache(maxsize=4096)
def _tokens(name: str) -> frozenset[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    tokens = re.findall(r"[^\W\d_]+", spaced)
    return frozenset((*tokens, "".join(tokens)))
