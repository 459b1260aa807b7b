"""What a user should know before training: how the data were read may be wrong, or leak between splits."""

from __future__ import annotations

from collections import Counter

import numpy as np

from augury.images import SPLITS, Images, LabelledImages

DARK, LOOKED = 64, 256
"""Images count as dark when no pixel of the first LOOKED reaches DARK."""
SEPARATORS = ("|", ";", "+", "&", ",", "/")
"""Signs that join several labels in one. The first two hardly occur in a name, so no piece needs to be a class itself."""


def cautions(data: LabelledImages) -> tuple[str, ...]:
    """Return warnings about a data set, as sentences.

    They name images that are nearly black or synthetic, groups that are not used, and labels that join several labels.
    `inspect` shows them, and every run repeats them.

    Parameters
    ----------
    data : LabelledImages

    Returns
    -------
    tuple of str
    """
    left_out = [str(data.notes["groups_left_out"])] if "groups_left_out" in data.notes else []
    return (
        *_on_synthetic(data),
        *_on_darkness(data.images),
        *left_out,
        *_on_possible_groups(data),
        *_on_joined_labels(data.classes),
    )


def missing(data: LabelledImages) -> dict[str, list[str]]:
    """Return the classes without an image in a split that the data come in, by split.

    Splits that the data do not have are left out, as Augury makes those itself.
    """
    if data.split is None:
        return {}
    lacking = {}
    for code, name in enumerate(SPLITS):
        counts = np.bincount(data.labels[data.split == code], minlength=len(data.classes))
        if counts.any() and not counts.all():
            lacking[name] = [data.classes[c] for c in np.flatnonzero(counts == 0)]
    return lacking


def _on_synthetic(data: LabelledImages) -> list[str]:
    """Warn about images whose files, or whose attribute "origin" as exports write it, say that they are synthetic."""
    tools = dict(data.notes.get("synthetic", {}))
    number, by = sum(tools.values()), f", by {', '.join(tools)}"
    if not tools and (origin := data.attributes.get("origin")) and "synthetic" in origin.values:
        number, by = int((origin.codes == origin.values.index("synthetic")).sum()), ", by their attribute 'origin'"
    if not number:
        return []
    return [
        f"{number:,} of {len(data):,} images say that they are synthetic{by}. A generator trained on them repeats the errors of "
        "another, and a test on them says nothing about real images; leave them out, or give them as synthetic images: augury prove "
        "REAL --with SYNTHETIC"
    ]


def _on_darkness(images: Images) -> list[str]:
    """Warn about images that come out nearly black, as 12 bits stored in 16 and masks of 0 and 1 do."""
    looked = np.asarray(images[:LOOKED])
    brightest = int(looked.max())
    if brightest >= DARK:
        return []
    return [
        f"the brightest pixel of the first {len(looked):,} images is {brightest} of 255, so that a network sees nearly black; bring "
        "pixels to 0 … 255 before saving (0 and 1: multiply by 255; 12 bits stored in 16: divide by 16, not by 256)"
    ]


def _on_possible_groups(data: LabelledImages) -> list[str]:
    possible = data.notes.get("possible_groups", {})
    return [
        f"the column '{name}' looks like an id: {count:,} values for {len(data):,} images. Images of one value may lie in several "
        f"splits; --group '{name}' keeps them together, --group none says that they need not be"
        for name, count in possible.items()
    ]


def _on_joined_labels(classes: tuple[str, ...]) -> list[str]:
    """Report labels such as "Effusion|Infiltration" whose pieces are, or recur in, other labels."""
    for sign in SEPARATORS:
        pieces = {name: [piece.strip() for piece in name.split(sign)] for name in classes}
        joined = [name for name, parts in pieces.items() if len(parts) > 1 and all(parts)]
        counts = Counter(piece for parts in pieces.values() for piece in set(parts))
        known = counts.keys() if sign in SEPARATORS[:2] else set(classes)
        several = [name for name in joined if any(counts[piece] > 1 and piece in known for piece in pieces[name])]
        if several:
            return [
                f"{len(several)} of {len(classes)} classes join several labels with '{sign}', such as '{several[0]}'; each "
                "combination is a class of its own: keep the images with one label, or choose one label for each image"
            ]
    return []
