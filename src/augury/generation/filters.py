"""Which synthetic images to keep: each filter gives a score per image, and a limit says which are rejected.

Filters are named in order, each with its own limit or another: "agreement", "confidence>.6", "class_distance<1.2". An
image counts for the first that rejects it.
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
from augury.settings import GenerateSettings


@dataclass(frozen=True)
class Filter:
    """`score` (candidates, evidence) -> float64 [N]; kept are images with a score of `above` or more, or of `below` or
    less. With `among` a score depends on the other candidates too. One that `selects` keeps, of the images of a cell that
    have passed, as many as are wanted: those with the highest scores. `asks` says in words what is kept."""

    score: Callable[[Candidates, FilterContext], Floats]
    asks: str
    above: float | Callable[[FilterContext], float] | None = None
    below: float | None = None
    among: bool = False
    selects: bool = False


CHANGED = 1.0
"""A translation nearer to its source than this (RMS, 0 … 255) has changed nothing that rounding could not."""
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
    """A filter as it was named: its limits, if other than the filter's own."""

    name: str
    above: float | None = None
    below: float | None = None

    @property
    def filter(self) -> Filter:
        """Its row of FILTERS, with the limits named."""
        own = FILTERS[self.name]
        return own if self.above is None and self.below is None else replace(own, above=self.above, below=self.below)

    def limit(self, context: FilterContext) -> tuple[float | None, float | None]:
        """(least, most) that is kept."""
        above = self.filter.above
        return above(context) if callable(above) else above, self.filter.below


def rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """The filters that `names` ask for, in order. Raises SettingsError for one that does not exist, a limit that is no
    number, and a selection that is not the last."""
    found = tuple(map(_rule, names))
    early = [rule.name for rule in found[:-1] if rule.filter.selects]
    if early:
        raise SettingsError(
            f"the filter '{early[0]}' selects from what has passed all others, but others follow it; put it last, and alone"
        )
    return found


TRANSLATIONS_ONLY = ("attribute_agreement", "changed")
"""Filters that images drawn from noise cannot have."""
FOR_TRANSLATIONS = ("agreement>0.5", "attribute_agreement>0.5", "changed", "near_copy")
"""Filters of translations unless others are named."""


def filters_for_translations(names: tuple[str, ...]) -> tuple[str, ...]:
    """`names`, or where they are the default of images from noise, those of translations."""
    return FOR_TRANSLATIONS if names == GenerateSettings().filters else names


def _rule(text: str) -> Rule:
    parts = re.fullmatch(r"\s*(\w+)\s*(?:([<>])=?\s*(\S+))?\s*", text)
    name = parts[1] if parts else text
    if name not in FILTERS:
        raise SettingsError(f"there is no filter '{name}'; choose among: {', '.join(FILTERS)}")
    assert parts is not None
    if parts[2] is None:
        return Rule(name)
    try:
        value = float(parts[3])
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise SettingsError(
            f"the filter '{text}' has the limit '{parts[3]}'; write a number, as in {name}{parts[2]}0.5"
        )
    return Rule(name, above=value) if parts[2] == ">" else Rule(name, below=value)


def asked(names: Sequence[str], context: FilterContext | None) -> dict[str, str]:
    """Name -> what the filter keeps, in words with its limits, for each of `names`."""
    told: dict[str, str] = {}
    for rule in rules(names):
        least, most = rule.limit(context) if context is not None else (None, None)
        words = [f"{sign} {value:.3g}" for sign, value in (("at least", least), ("at most", most)) if value is not None]
        told[rule.name] = "; ".join([*([told[rule.name]] if rule.name in told else [rule.filter.asks]), *words])
    return told


def apply(
    names: Sequence[str], candidates: Candidates, context: FilterContext, known: Mapping[str, Floats] | None = None
) -> tuple[dict[str, Floats], list[str]]:
    """(scores of every filter named, per image the first that rejects it or "").

    `known` has scores of the first candidates, judged before; only those that depend on other candidates are taken again.
    Raises SettingsError as `rules` does, and for a filter whose evidence is missing.
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


def _scored(rule: Rule, candidates: Candidates, context: FilterContext, known: Floats | None) -> Floats:
    if rule.filter.among or known is None or not len(known):
        return rule.filter.score(candidates, context)
    if len(known) == len(candidates.images):
        return known
    new = slice(len(known), None)
    fresh = Candidates(*(getattr(candidates, f)[new] for f in ("images", "conditions", "indices", "quota", "passed")))
    fresh = fresh if candidates.sources is None else replace(fresh, sources=candidates.sources[new])
    return np.concatenate([known, rule.filter.score(fresh, context)])


def _within(scores: Floats, least: float | None, most: float | None) -> Keep:
    keep = np.ones(len(scores), bool)
    if least is not None:
        keep &= scores >= least
    if most is not None:
        keep &= scores <= most
    return keep


def _best(scores: Floats, candidates: Candidates) -> Keep:
    """Of each cell as many as are wanted of those that passed, the highest first, of equals the lower index."""
    keep = np.zeros(len(scores), bool)
    for rows in candidates.cells:
        passed = rows[candidates.passed[rows]]
        order = passed[np.argsort(-scores[passed], kind="stable")]
        keep[order[: int(candidates.quota[rows[0]])]] = True
    return keep
