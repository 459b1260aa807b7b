"""Which synthetic images to keep: each filter gives a score per image, and a limit says which are rejected.

Filters are named in order, each with its own limit or another one: "agreement", "confidence>.6", "class_distance<1.2". An
image is counted under the first filter that rejects it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from augury.errors import SettingsError
from augury.generation import classifier_scores, diversity
from augury.generation import distances as far
from augury.generation.filter_context import Candidates, FilterContext, Floats, Keep
from augury.generation.identity import FALSE_REJECTIONS
from augury.settings import GenerateSettings


@dataclass(frozen=True)
class Filter:
    """A score with limits.

    Parameters
    ----------
    score
        (candidates, context) -> float64 [N].
    meaning
        States in words what is kept.
    above, below
        Images with a score of at least `above` and at most `below` are kept. `above` may depend on the context.
    among
        The score of an image also depends on the other candidates.
    selects
        Of the images of a cell that have passed, the requested number with the highest scores is kept.
    note
        States in words to which images the filter applies; "" for all.
    """

    score: Callable[[Candidates, FilterContext], Floats]
    meaning: str
    above: float | Callable[[FilterContext], float] | None = None
    below: float | None = None
    among: bool = False
    selects: bool = False
    note: Callable[[FilterContext], str] | None = None


CHANGED = 1.0
"""A translation nearer to its source than this (RMS, 0 … 255) differs by no more than rounding."""
FILTERS = {
    "agreement": Filter(
        classifier_scores.agreement, "a classifier trained on real images predicts the class of the image", above=1.0
    ),
    "attribute_agreement": Filter(
        classifier_scores.attribute_agreement,
        "classifiers trained on real images predict all its attribute values",
        above=1.0,
    ),
    "confidence": Filter(classifier_scores.confidence, "the predicted probability of the class", above=0.5),
    "margin": Filter(
        classifier_scores.margin, "the predicted probability of the class minus that of the best other class", above=0.2
    ),
    "class_distance": Filter(far.class_distance, "feature distance to the class, 1 at its real images", below=1.5),
    "realism": Filter(far.realism, "depth within the neighbourhoods of real images, 1 at the edge", above=0.4),
    "discriminator": Filter(
        classifier_scores.discriminator,
        "the share of held-out images that the discriminator scores no higher",
        above=0.05,
    ),
    "near_copy": Filter(
        far.near_copy,
        "pixel distance to the nearest training image, not below that between training images",
        above=lambda context: context.copy_limit,
    ),
    "changed": Filter(far.changed, "pixel distance of a translation to its source", above=CHANGED),
    "identity": Filter(
        classifier_scores.identity,
        "the share of real images of a group that are recognised as the group no better than the translation",
        above=FALSE_REJECTIONS,
        note=lambda context: context.identity_note,
    ),
    "near_duplicate": Filter(
        far.near_duplicate,
        "distance to synthetic images drawn before that the filters named before let pass, 1 being usual for real ones",
        0.2,
        among=True,
    ),
    "influence": Filter(
        classifier_scores.influence,
        "gradient alignment with the validation loss: training on the image lowers that loss",
        above=0.0,
    ),
    "k_center": Filter(diversity.k_center, "the most widely spread of each class", among=True, selects=True),
    "determinantal": Filter(diversity.determinantal, "the most diverse of each class", among=True, selects=True),
}


@dataclass(frozen=True)
class Rule:
    """A filter as named by the user, with its limits where they differ from the filter's own."""

    name: str
    above: float | None = None
    below: float | None = None

    @property
    def filter(self) -> Filter:
        """Its entry in FILTERS, with the limits of the rule."""
        own = FILTERS[self.name]
        return own if self.above is None and self.below is None else replace(own, above=self.above, below=self.below)

    def limit(self, context: FilterContext) -> tuple[float | None, float | None]:
        """(lowest, highest) score that is kept."""
        above = self.filter.above
        return above(context) if callable(above) else above, self.filter.below


def rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """Parse the names of filters.

    Parameters
    ----------
    names
        Filters in order, each with or without a limit.

    Returns
    -------
    One rule for each name.

    Raises
    ------
    SettingsError
        For an unknown filter, a limit that is not a number, or a selecting filter that is not the last.
    """
    chosen = tuple(map(_rule, names))
    early = [rule.name for rule in chosen[:-1] if rule.filter.selects]
    if early:
        raise SettingsError(
            f"the filter '{early[0]}' selects from what has passed all others, but others follow it; put it last, and alone"
        )
    return chosen


TRANSLATIONS_ONLY = ("attribute_agreement", "changed", "identity")
"""Filters that cannot be applied to images drawn from noise."""
FOR_TRANSLATIONS = ("agreement>0.5", "attribute_agreement>0.5", "changed", "near_copy")
"""Default filters of translations; "identity" follows where the images have groups."""


def filters_for_translations(names: tuple[str, ...], *, groups: bool) -> tuple[str, ...]:
    """Replace the default filters of images drawn from noise by those of translations.

    Parameters
    ----------
    names
        Filters as set by the user.
    groups
        Whether the images have groups (persons, patients), which a translation has to keep.

    Returns
    -------
    `names`, unless they are the default of images drawn from noise.
    """
    if names != GenerateSettings().filters:
        return names
    return (*FOR_TRANSLATIONS, "identity") if groups else FOR_TRANSLATIONS


def _rule(text: str) -> Rule:
    match = re.fullmatch(r"\s*(\w+)\s*(?:([<>])=?\s*(\S+))?\s*", text)
    name = match[1] if match else text
    if name not in FILTERS:
        raise SettingsError(f"there is no filter '{name}'; choose among: {', '.join(FILTERS)}")
    assert match is not None
    if match[2] is None:
        return Rule(name)
    try:
        value = float(match[3])
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise SettingsError(
            f"the filter '{text}' has the limit '{match[3]}'; write a number, as in {name}{match[2]}0.5"
        )
    return Rule(name, above=value) if match[2] == ">" else Rule(name, below=value)


def described(names: Sequence[str], context: FilterContext | None) -> dict[str, str]:
    """Describe filters for people.

    Parameters
    ----------
    names
        As in `rules`.
    context
        Facts on which limits may depend; None to leave the limits out.

    Returns
    -------
    Name -> what the filter keeps, in words with its limits, and to which images it applies.
    """
    sentences: dict[str, str] = {}
    for rule in rules(names):
        least, most = rule.limit(context) if context is not None else (None, None)
        words = [f"{sign} {value:.3g}" for sign, value in (("at least", least), ("at most", most)) if value is not None]
        sentences[rule.name] = "; ".join(
            [*([sentences[rule.name]] if rule.name in sentences else [rule.filter.meaning]), *words]
        )
    for name in sentences:
        note = FILTERS[name].note
        if note is not None and context is not None and note(context):
            sentences[name] += f"; {note(context)}"
    return sentences


def apply(
    names: Sequence[str], candidates: Candidates, context: FilterContext, known: Mapping[str, Floats] | None = None
) -> tuple[dict[str, Floats], list[str]]:
    """Score and filter images.

    Parameters
    ----------
    names
        As in `rules`.
    candidates, context
        The images, and facts about real images.
    known
        Scores of the first candidates from an earlier call. Only scores that depend on other candidates are computed again.

    Returns
    -------
    The scores of every filter, and for each image the first filter that rejects it or "".

    Raises
    ------
    SettingsError
        As `rules` does, and for a filter whose inputs are missing from the context.
    """
    scores: dict[str, Floats] = {}
    reasons = np.full(len(candidates.images), "", dtype=object)
    for rule in rules(names):
        now = replace(candidates, passed=candidates.passed & (reasons == ""))
        if rule.name not in scores:
            scores[rule.name] = _scored(rule, now, context, (known or {}).get(rule.name))
        keep = _within(scores[rule.name], *rule.limit(context))
        if rule.filter.selects:
            keep &= _best(scores[rule.name], replace(now, passed=now.passed & keep))
        reasons[(reasons == "") & ~keep] = rule.name
    return scores, [str(r) for r in reasons]


def _scored(rule: Rule, candidates: Candidates, context: FilterContext, earlier: Floats | None) -> Floats:
    if rule.filter.among or earlier is None or not len(earlier):
        return rule.filter.score(candidates, context)
    if len(earlier) == len(candidates.images):
        return earlier
    new = slice(len(earlier), None)
    fresh = Candidates(*(getattr(candidates, f)[new] for f in ("images", "conditions", "indices", "quota", "passed")))
    fresh = fresh if candidates.sources is None else replace(fresh, sources=candidates.sources[new])
    return np.concatenate([earlier, rule.filter.score(fresh, context)])


def _within(scores: Floats, least: float | None, most: float | None) -> Keep:
    keep = np.ones(len(scores), bool)
    if least is not None:
        keep &= scores >= least
    if most is not None:
        keep &= scores <= most
    return keep


def _best(scores: Floats, candidates: Candidates) -> Keep:
    """Of each cell, the requested number of images that passed: the highest scores, and the lower index among equal scores."""
    keep = np.zeros(len(scores), bool)
    for rows in candidates.cells:
        passed = rows[candidates.passed[rows]]
        order = passed[np.argsort(-scores[passed], kind="stable")]
        keep[order[: int(candidates.quota[rows[0]])]] = True
    return keep
