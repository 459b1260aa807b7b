"""Synthetic images from a plan per class: drawn, filtered, and reproducible from seed and index."""

from augury.generation.amounts import Amounts, Recognised, amounts
from augury.generation.directions import (
    Direction,
    Directions,
    find_directions,
    label_effects,
    principal_components,
    sefa,
)
from augury.generation.draw import draw
from augury.generation.editing import edit
from augury.generation.examples import Example, examples, tallied
from augury.generation.filter_context import Candidates, FilterContext
from augury.generation.filters import FILTERS, TRANSLATIONS_ONLY, Filter, described, filters_for_translations, rules
from augury.generation.folder import census, load, recounted, save
from augury.generation.identity import FOLDS, Identity, Recognition, group_folds, why_no_identity
from augury.generation.labels import pseudo_labels, soft_labels
from augury.generation.latent import invert
from augury.generation.plan import requested_counts, table
from augury.generation.projection import Projection, project
from augury.generation.review import Decided, decide, decision, decisions, image_identity, read_rows
from augury.generation.sampling import SAMPLING, between, boundary
from augury.generation.translation import TranslationPlan, plan_into, plan_translations, translate

__all__ = [
    "FILTERS",
    "FOLDS",
    "SAMPLING",
    "TRANSLATIONS_ONLY",
    "Amounts",
    "Candidates",
    "Decided",
    "Direction",
    "Directions",
    "Example",
    "Filter",
    "FilterContext",
    "Identity",
    "Projection",
    "Recognised",
    "Recognition",
    "TranslationPlan",
    "amounts",
    "between",
    "boundary",
    "census",
    "decide",
    "decision",
    "decisions",
    "described",
    "draw",
    "edit",
    "examples",
    "filters_for_translations",
    "find_directions",
    "group_folds",
    "image_identity",
    "invert",
    "label_effects",
    "load",
    "plan_into",
    "plan_translations",
    "principal_components",
    "project",
    "pseudo_labels",
    "read_rows",
    "recounted",
    "requested_counts",
    "rules",
    "save",
    "sefa",
    "soft_labels",
    "table",
    "tallied",
    "translate",
    "why_no_identity",
]
