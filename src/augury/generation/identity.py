"""Whether a translation is still recognised as the group (person, patient, track) of its source image.

Networks that have never seen a group embed its images. A real image of the group that shows the new value stands in for the
translation first. The networks judge translations only where they recognise such real images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from augury.data.cells import cell_codes
from augury.generation.filter_context import Features, Floats, Keep
from augury.generation.vector_index import blocks
from augury.images import Codes, Images, LabelledImages
from augury.randomness import rng
from augury.stored import Stored

FOLDS = 2
"""Networks; each embeds the groups that it was not trained on."""
LEAST_AUC = 0.8
"""Networks with a lower AUC on real images do not judge translations; 0.5 is chance."""
LEAST_PROBES = 20
"""Real images that measure the AUC. With fewer, no translation could get a score below 0.05."""
LEAST_GROUPS = 6
"""Groups with such images. With fewer, a network learns from two groups at most."""
TOLERATED = 0.05
"""A translation passes if no larger share of other groups' images is nearer, however well real images are recognised."""
FALSE_REJECTIONS = 0.05
"""Default limit of the score: about this share of the translations that keep the identity as real images do is rejected."""
MOST_PROBES = 2000
"""Real images that stand in for translations, at most; more would only cost time."""
CHUNK = 1024
"""Images embedded at a time."""


@dataclass(frozen=True)
class Recognition:
    """How well groups are recognised across a change of one column, measured on real train images.

    Parameters
    ----------
    column
        Name of the attribute, or "label".
    probes, groups
        Number of real images that stood in for translations, and of their groups.
    auc
        How often an image is nearer to one of its group than to one of another group, 0.5 by chance. None: not measured.
    detected
        Share of real images of another group that the filter would reject at its default limit. None: not measured.
    shares
        float64 [probes], ascending: share of other groups' images that are nearer.
    """

    column: str
    probes: int
    groups: int
    auc: float | None = None
    detected: float | None = None
    shares: Floats = field(default_factory=lambda: np.empty(0), repr=False)

    @property
    def enough(self) -> bool:
        """Whether there are enough real images to measure the AUC."""
        return self.probes >= LEAST_PROBES and self.groups >= LEAST_GROUPS

    @property
    def judges(self) -> bool:
        """Whether translations that change the column are judged."""
        return self.auc is not None and self.auc >= LEAST_AUC

    @property
    def sentence(self) -> str:
        """The result in words."""
        pairs = f"{self.probes:,} images of {self.groups:,} groups"
        if self.auc is None:
            return (
                f"changes of '{self.column}' are not judged and none is rejected, because it takes {LEAST_PROBES} train images of "
                f"{LEAST_GROUPS} groups with another image that differs in '{self.column}' alone, and there are {pairs}"
            )
        measured = f"the AUC on real images that differ in '{self.column}' is {self.auc:.2f} ({pairs})"
        if not self.judges:
            return (
                f"changes of '{self.column}' are not judged and none is rejected, because the networks cannot tell groups apart: "
                f"{measured}, below the limit of {LEAST_AUC}"
            )
        return f"changes of '{self.column}' are judged: {measured}; {self.detected:.0%} of images of another group would be rejected"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {k: v for k, v in asdict(self).items() if k != "shares"} | {
            "judges": self.judges,
            "sentence": self.sentence,
        }


class Identity:
    """The score of the filter "identity".

    Parameters
    ----------
    train
        The train split, with groups.
    condition
        Attributes that form the cells together with the class.
    folds
        int64 [N], from `group_folds`.
    embed
        (images uint8 [N, C, H, W], fold) -> unit vectors [N, D] by the network that was not trained on this fold.
    seed
        Chooses the real images that stand in for sources.
    """

    def __init__(
        self,
        train: LabelledImages,
        condition: tuple[str, ...],
        folds: Codes,
        embed: Callable[[Images, int], Features],
        seed: int,
    ) -> None:
        assert train.groups is not None, "images without groups have no identity"
        self.groups, self.folds, self.embed, self.seed = train.groups, folds, embed, seed
        self.conditions, self.condition = train.conditions(condition), condition
        self.codes = cell_codes(self.conditions, train.cardinalities(condition))
        self.embedded = self._embedded(train.images, folds)
        self.recognitions = tuple(self._measured(column) for column in range(self.conditions.shape[1]))

    def note(self, columns: Sequence[int]) -> str:
        """Which of the changes of these columns are judged, and why not the others."""
        return "; ".join(self.recognitions[column].sentence for column in columns)

    def scores(self, images: Images, conditions: Codes, sources: Codes) -> Floats:
        """Compare translations with the real images that stood in for them.

        The score is the share of these real images that are recognised no better than the translation, counting the
        translation itself (the p-value of conformal prediction; Vovk et al. 2005, section 2.2). A translation that keeps the
        identity as well as real images do scores below p with a probability of about p.

        Parameters
        ----------
        images
            uint8 [N, C, H, W], translations.
        conditions
            int64 [N, K], their class and attribute codes.
        sources
            int64 [N], rows of the train split.

        Returns
        -------
        float64 [N] in (0, 1]. It is 1 for changes that are not judged.
        """
        scores = np.ones(len(images))
        different = conditions != self.conditions[sources]
        for column, recognition in enumerate(self.recognitions):
            rows = np.flatnonzero(different[:, column] & (different.sum(1) == 1))
            if recognition.judges and len(rows):
                embedded = self._embedded(images[rows], self.folds[sources[rows]])
                scores[rows] = p_values(self.shares(embedded, sources[rows]), recognition.shares)
        return scores

    def shares(self, embedded: Features, sources: Codes) -> Floats:
        """Share of real images of other groups that are nearer than the nearest one of the source's group.

        This is the false match rate at the similarity with which the image matches its own group (ISO/IEC 19795-1). The
        images compared are those of the source's cell and fold, so that neither the attribute nor the class tells groups
        apart, and no network has seen them. The source itself is compared only where its group has no other image there,
        because it shares pose and light with its translation. Equal similarities count half.

        Parameters
        ----------
        embedded
            [N, D], unit vectors of translations by the networks of their sources' folds.
        sources
            int64 [N], rows of the train split.

        Returns
        -------
        float64 [N] in [0, 1]; NaN where the source's cell and fold have no other group.
        """
        shares = np.full(len(sources), np.nan)
        for rows, near, own, others in self._compared(embedded, sources):
            best = np.where(own, near, -np.inf).max(1, keepdims=True)
            nearer = ((near > best) + 0.5 * (near == best)) * others
            shares[rows] = nearer.sum(1) / others.sum(1)
        return shares

    def auc(self, embedded: Features, sources: Codes) -> float:
        """How often an image is nearer to one of the source's group than to one of another group, 0.5 by chance.

        The mean over the images of the area under the ROC curve (Mann & Whitney 1947), with the images compared as in
        `shares`. All images of the own group count, not only the nearest: the nearest of many is near by chance.
        """
        areas = [
            pair_auc(row[is_own], row[is_other])
            for _, near, own, others in self._compared(embedded, sources)
            for row, is_own, is_other in zip(near, own, others, strict=True)
        ]
        return float(np.mean(areas))

    def _compared(self, embedded: Features, sources: Codes) -> Iterator[tuple[Codes, Features, Keep, Keep]]:
        """Blocks of (rows, their similarities to real images, which of these are of the own group, which of others).

        Rows whose source's cell and fold have no other group are left out.
        """
        block = self.codes * FOLDS + self.folds
        for number in np.unique(block[sources]):
            queries, real = np.flatnonzero(block[sources] == number), np.flatnonzero(block == number)
            if len(np.unique(self.groups[real])) == 1:
                continue
            for part in blocks(len(queries), len(real)):
                rows = queries[part]
                same = self.groups[sources[rows]][:, None] == self.groups[real][None, :]
                alone = same.sum(1, keepdims=True) == 1
                own = same & ((sources[rows][:, None] != real[None, :]) | alone)
                yield rows, embedded[rows] @ self.embedded[real].T, own, ~same

    def _embedded(self, images: Images | Stored, folds: Codes) -> Features:
        embedded: Features | None = None
        for fold in range(FOLDS):
            rows = np.flatnonzero(folds == fold)
            for part in np.split(rows, range(CHUNK, len(rows), CHUNK)) if len(rows) else ():
                vectors = self.embed(np.asarray(images[part]), fold)
                embedded = np.empty((len(folds), vectors.shape[1]), np.float32) if embedded is None else embedded
                embedded[part] = vectors
        assert embedded is not None, "there are no images to embed"
        return embedded

    def _measured(self, column: int) -> Recognition:
        """Let real images stand in for translations of another image of their group that differs in `column` alone."""
        name = ("label", *self.condition)[column]
        probes, sources = pairs_across(self.groups, self.conditions, column, self.seed)
        chosen = np.sort(rng(self.seed, "identity", "probes", column).permutation(len(probes))[:MOST_PROBES])
        probes, sources = probes[chosen], sources[chosen]
        if not len(probes):
            return Recognition(name, 0, 0)
        shares = self.shares(self.embedded[probes], sources)
        valid = ~np.isnan(shares)
        probes, sources, shares = probes[valid], sources[valid], np.sort(shares[valid])
        embedded = self.embedded[probes]
        counted = Recognition(name, len(np.unique(probes)), len(np.unique(self.groups[probes])))
        if not counted.enough:
            return counted
        impostors = self._others(sources)
        strange = p_values(self.shares(embedded, impostors), shares)
        detected = float(np.mean(strange < FALSE_REJECTIONS))
        return Recognition(name, counted.probes, counted.groups, self.auc(embedded, sources), detected, shares)

    def _others(self, sources: Codes) -> Codes:
        """For each source an image of another group in the same cell and fold."""
        random = rng(self.seed, "identity", "impostors")
        block = self.codes * FOLDS + self.folds
        chosen = [random.choice(np.flatnonzero((block == block[s]) & (self.groups != self.groups[s]))) for s in sources]
        return np.array(chosen, np.int64)


def pair_auc(own: Floats, others: Floats) -> float:
    """Share of pairs in which the similarity to the own group is the larger one; equal ones count half."""
    order = np.sort(others)
    below, up_to = (np.searchsorted(order, own, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(order)))


def p_values(shares: Floats, real: Floats) -> Floats:
    """Share of `real` ∪ {share} that is no smaller, for each of `shares`; values up to TOLERATED are equal.

    NaN, which is not measured, gives 1.
    """
    worse = len(real) - np.searchsorted(np.maximum(real, TOLERATED), np.maximum(shares, TOLERATED), side="left")
    return np.where(np.isnan(shares), 1.0, (1 + worse) / (1 + len(real)))


def pairs_across(groups: Codes, conditions: Codes, column: int, seed: int) -> tuple[Codes, Codes]:
    """Pairs of real images of one group that differ in `column` alone: (probes, sources), int64 [P] each.

    A probe occurs once for each other value of the column that its group has; the source is drawn among the images with it.
    """
    random = rng(seed, "identity", "sources", column)
    other_conditions = np.delete(conditions, column, axis=1)
    _, number = np.unique(np.column_stack([groups, other_conditions]), axis=0, return_inverse=True)
    order = np.argsort(number.reshape(-1), kind="stable")
    probes, sources = [], []
    for rows in np.split(order, np.flatnonzero(np.diff(number.reshape(-1)[order])) + 1):
        values = conditions[rows, column]
        for value in np.unique(values) if len(np.unique(values)) > 1 else ():
            chosen = rows[values != value]
            probes.append(chosen)
            sources.append(random.choice(rows[values == value], len(chosen)))
    empty = [np.empty(0, np.int64)]
    return np.concatenate(probes or empty), np.concatenate(sources or empty)


def group_folds(groups: Codes, seed: int) -> Codes:
    """Deal whole groups to folds, the largest first, int64 [N]. The folds get equally many groups."""
    names, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.lexsort((rng(seed, "identity", "folds").permutation(len(names)), -counts))
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % FOLDS
    return fold[number.reshape(-1)]


def why_no_identity(train: LabelledImages, condition: tuple[str, ...], columns: Sequence[int], seed: int) -> str:
    """State why no network for groups need be trained; "" where one may recognise a change of one of `columns`."""
    if train.groups is None:
        return "not applied, because the data have no groups"
    conditions, names = train.conditions(condition), ("label", *condition)
    counted = []
    for column in columns:
        probes, _ = pairs_across(train.groups, conditions, column, seed)
        counted.append(Recognition(names[column], len(np.unique(probes)), len(np.unique(train.groups[probes]))))
    return "" if any(each.enough for each in counted) else "; ".join(each.sentence for each in counted)
