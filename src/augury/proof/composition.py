"""Training images of an arm for holes: real images, and other images pooled with them as if they were real."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augury.errors import DataError
from augury.images import Codes, Images, LabelledImages, SyntheticImages
from augury.proof.arms import Arm
from augury.proof.cells import Holes, Mask
from augury.proof.matching import MATCHINGS
from augury.randomness import rng


@dataclass(frozen=True)
class Composition:
    """The train images of one arm, `real` of them first.

    `cells` and `attributes` int64 [N] are the cell number and the attribute value of each image. `pairs` holds images,
    and for each train image the row of its pair among them, -1 for none. Everything is the same for every seed, since a
    translator is trained once.
    """

    train: LabelledImages
    real: int
    cells: Codes
    attributes: Codes
    pairs: tuple[Images, Codes]


@dataclass(frozen=True)
class Added:
    """Images pooled with the real ones: uint8 [M, C, H, W], the cell of each, and the train row of its source (-1: none)."""

    images: Images
    cells: Codes
    sources: Codes


def compose(arm: Arm, train: LabelledImages, synthetic: SyntheticImages | None, holes: Holes) -> Composition:
    """Pool the images that the arm shows.

    Parameters
    ----------
    arm
        One with `cells`.
    train, holes
        The real images and their holes.
    synthetic
        The accepted images of the arm's source. For arms without a generator, the images that the trial judges: their
        plan sets how many images each hole gets.

    Raises
    ------
    DataError
        When the arm would have no image of a class, or nothing to show beside the real images.
    """
    cells = holes.cells(train)
    rows = _real_rows(arm, train, holes)
    added = [_added(arm, train, synthetic, holes)] if arm.fill else []
    if arm.real == "passed":
        through = _passed(train, synthetic, holes)
        rows = np.setdiff1d(rows, through.sources)
        added.append(through)
    real = train.take(rows)
    pooled = np.concatenate([cells[rows], *(each.cells for each in added)])
    values = holes.counts.shape[1]
    images: Images = real.images
    if added:
        images = np.concatenate([np.asarray(real.images), *(each.images for each in added)])
    together = LabelledImages(images, pooled // values, train.classes, fingerprint=train.fingerprint)
    absent = [train.classes[c] for c in np.flatnonzero((together.counts == 0) & (train.counts > 0))]
    if absent:
        raise DataError(f"it would show no image of the class '{absent[0]}'")
    origins = np.concatenate([rows, *(each.sources for each in added)])
    pairs = _pairs(train, synthetic, holes, pooled, origins, len(rows)) if arm.objective == "consistency" else None
    none = (images[:0], np.full(len(pooled), -1, np.int64))
    return Composition(together, len(rows), pooled, pooled % values, pairs or none)


def shown(arm: Arm, train: LabelledImages, synthetic: SyntheticImages, holes: Holes) -> SyntheticImages:
    """The generated images that the arm shows, including those that passed through the translator."""
    if not arm.shows:
        return synthetic.take(np.empty(0, np.int64))
    chosen = holes.symmetric(synthetic, train) if arm.fill == "symmetric" else holes.fills(synthetic, train)
    if arm.real == "passed":
        chosen = chosen | _first_passed(train, synthetic, holes)
    return synthetic.take(chosen)


def obstacle(arm: Arm, train: LabelledImages, synthetic: SyntheticImages | None, holes: Holes) -> str:
    """Say why the arm cannot be composed; "" when it can. Parameters as for `compose`; no image is copied."""
    needs_sources = arm.fill in ("symmetric", "untranslated") or arm.real == "passed" or arm.objective == "consistency"
    if (arm.shows or needs_sources) and (synthetic is None or not len(synthetic)):
        return "there are no generated images; generate some for the empty cells"
    if needs_sources and (synthetic is None or synthetic.sources is None):
        return "it needs translated images, which record their source; those given were generated from noise"
    if arm.objective == "adversarial" and holes.counts.shape[1] < 2:
        return "there is no attribute to remove from the features"
    rows = _real_rows(arm, train, holes)
    labels = [train.labels[rows]]
    values = holes.counts.shape[1]
    matched = _matchable(arm, holes)
    if arm.fill in MATCHINGS and not any(_references(train, holes, cell)[0].size for cell in matched):
        return "no class of an empty cell has images with another attribute value, so there is nothing to match"
    if arm.fill in MATCHINGS:
        labels.append(
            np.array([cell // values for cell in matched if _references(train, holes, cell)[0].size], np.int64)
        )
    if synthetic is not None and arm.fill and arm.fill not in MATCHINGS:
        chosen = holes.symmetric(synthetic, train) if arm.fill == "symmetric" else holes.fills(synthetic, train)
        if not chosen.any():
            return f"there is no image of the kind it shows ({arm.fill})"
        labels.append(holes.targets(synthetic)[chosen] // values)
    if arm.real == "passed" and synthetic is not None and not holes.passed(synthetic, train).any():
        return "there is no image that went through the translator with its own attributes as the target"
    counts = np.bincount(np.concatenate(labels), minlength=len(train.classes))
    absent = [train.classes[c] for c in np.flatnonzero((counts == 0) & (train.counts > 0))]
    return f"it would show no image of the class '{absent[0]}'" if absent else ""


def _open(holes: Holes) -> list[int]:
    """The cell numbers of the holes."""
    return [int(cell) for cell in np.flatnonzero(holes.mask.ravel())]


def _matchable(arm: Arm, holes: Holes) -> list[int]:
    """The cells that a style-matching arm fills: the holes, or every class when real images of these values are left out."""
    if arm.real != "outside":
        return _open(holes)
    return [int(cell) for cell in np.flatnonzero(np.broadcast_to(holes.inside, holes.counts.shape).ravel())]


def _real_rows(arm: Arm, train: LabelledImages, holes: Holes) -> Codes:
    """Rows of the real images that an arm shows, in order. Half of a cell is a fixed random choice."""
    inside = holes.within(train)
    if arm.real == "outside":
        return np.flatnonzero(~inside)
    if arm.real != "half":
        return np.arange(len(train), dtype=np.int64)
    cells = holes.cells(train)
    keep = ~inside | holes.mask.ravel()[cells]  # keep all real images of a rare cell
    for cell in np.unique(cells[~keep]).tolist():
        rows = rng(0, "half of a cell", cell).permutation(np.flatnonzero(cells == cell))
        keep[rows[: -(-len(rows) // 2)]] = True
    return np.flatnonzero(keep)


def _added(arm: Arm, train: LabelledImages, synthetic: SyntheticImages | None, holes: Holes) -> Added:
    """The images that `arm.fill` names."""
    if arm.fill in MATCHINGS:
        return _matched(arm, train, synthetic, holes)
    assert synthetic is not None, "obstacle() was not asked"
    chosen = holes.symmetric(synthetic, train) if arm.fill == "symmetric" else holes.fills(synthetic, train)
    chosen_images = synthetic.take(chosen)
    sources = np.full(len(chosen_images), -1, np.int64) if chosen_images.sources is None else chosen_images.sources
    images = np.asarray(train.images[sources]) if arm.fill == "untranslated" else chosen_images.images
    return Added(images, holes.targets(chosen_images), sources)


def _first_passed(train: LabelledImages, synthetic: SyntheticImages, holes: Holes) -> Mask:
    """bool [M]: the first image of each source that passed through the translator."""
    at = np.flatnonzero(holes.passed(synthetic, train))
    assert synthetic.sources is not None
    chosen = np.zeros(len(synthetic), bool)
    chosen[at[np.unique(synthetic.sources[at], return_index=True)[1]]] = True
    return chosen


def _passed(train: LabelledImages, synthetic: SyntheticImages | None, holes: Holes) -> Added:
    """One passed image of each source that has any."""
    assert synthetic is not None and synthetic.sources is not None, "obstacle() was not asked"
    passed_images = synthetic.take(_first_passed(train, synthetic, holes))
    assert passed_images.sources is not None
    return Added(passed_images.images, holes.targets(passed_images), passed_images.sources)


def _references(train: LabelledImages, holes: Holes, cell: int) -> tuple[Codes, Codes]:
    """Rows of the class of a hole outside its attribute value, and rows of that attribute value in other cells."""
    cells, values = holes.cells(train), holes.counts.shape[1]
    label, value = divmod(cell, values)
    sources = np.flatnonzero((cells // values == label) & ~holes.within(train))
    references = np.flatnonzero(cells % values == value)
    if not len(sources):  # fall back to attribute values that have holes too
        sources = np.flatnonzero((cells // values == label) & (cells != cell))
    return (sources, references) if len(references) else (sources[:0], references)


def _matched(arm: Arm, train: LabelledImages, synthetic: SyntheticImages | None, holes: Holes) -> Added:
    """Match real images of each hole's class to the statistics of a random image of its attribute value.

    The plan sets the number of images for each hole. Without a plan, it is the size of the largest cell of the value.
    When real images of these values are left out, every class is filled.
    """
    how = arm.fill
    planned = np.zeros(holes.counts.size, np.int64)
    if synthetic is not None and len(synthetic):
        fills = holes.targets(synthetic)[holes.fills(synthetic, train)]
        planned = np.bincount(fills, minlength=holes.counts.size)
    images, cells, rows = [], [], []
    for cell in _matchable(arm, holes):
        sources, references = _references(train, holes, cell)
        if not len(sources):
            continue
        random = rng(0, how, cell)
        count = int(planned[cell] or holes.counts[:, cell % holes.counts.shape[1]].max())
        order = np.concatenate([random.permutation(sources) for _ in range(-(-count // len(sources)))])[:count]
        others = random.choice(references, count)
        images += [MATCHINGS[how](train.images[i], train.images[j]) for i, j in zip(order, others, strict=True)]
        cells.append(np.full(count, cell))
        rows.append(order)
    return Added(np.stack(images), np.concatenate(cells).astype(np.int64), np.concatenate(rows).astype(np.int64))


def _pairs(
    train: LabelledImages, synthetic: SyntheticImages | None, holes: Holes, cells: Codes, origins: Codes, real: int
) -> tuple[Images, Codes]:
    """Pair images with their translations within the class.

    A real image is paired with a random translation of it, a translation with its source. Translations that change the
    class form no pair.
    """
    assert synthetic is not None, "obstacle() was not asked"
    before, targets, values = holes.origins(synthetic, train), holes.targets(synthetic), holes.counts.shape[1]
    translations = np.flatnonzero((before // values == targets // values) & (before != targets))
    translations = rng(0, "pairs").permutation(translations)
    assert synthetic.sources is not None
    row_of = np.full(len(train), -1, np.int64)
    row_of[synthetic.sources[translations]] = np.arange(len(translations))
    partners = np.full(len(cells), -1, np.int64)
    partners[:real] = row_of[origins[:real]]
    own = np.flatnonzero((np.arange(len(cells)) >= real) & (holes.cells(train)[origins] // values == cells // values))
    sources, positions = np.unique(origins[own], return_inverse=True)
    partners[own] = len(translations) + positions.reshape(-1)
    images = np.concatenate([synthetic.images[translations], np.asarray(train.images[sources])])
    return images, partners
