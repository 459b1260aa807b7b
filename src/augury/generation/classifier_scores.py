"""Scores by networks trained on real images: classifier, gradients of its last layer, discriminator, identity networks."""

from __future__ import annotations

import numpy as np

from augury.errors import SettingsError
from augury.generation.filter_context import Candidates, Features, FilterContext, Floats
from augury.images import Codes


def agreement(candidates: Candidates, context: FilterContext) -> Floats:
    """The classifier's probability of the label divided by that of the most probable class, in [0, 1]; 1 when the label is
    the most probable class.
    """
    p = context.probabilities(candidates.images)
    return np.asarray(_of_label(p, candidates.labels) / p.max(1))


def confidence(candidates: Candidates, context: FilterContext) -> Floats:
    """The classifier's probability of the label, in [0, 1]."""
    return _of_label(context.probabilities(candidates.images), candidates.labels)


def attribute_agreement(candidates: Candidates, context: FilterContext) -> Floats:
    """Agreement with the requested attribute values, in [0, 1]; the lowest over the attributes of the condition. Each
    attribute has a classifier of real images. Its probability of the requested value is divided by that of the most
    probable value.
    """
    if candidates.conditions.shape[1] == 1:
        return np.ones(len(candidates.images))
    if not context.attribute_probabilities:
        raise SettingsError(
            "the filter 'attribute_agreement' needs classifiers of the attributes, but none were given; leave it out of "
            "generate.filters"
        )
    lowest = np.ones(len(candidates.images))
    for column, probabilities in enumerate(context.attribute_probabilities, start=1):
        p = probabilities(candidates.images)
        lowest = np.minimum(lowest, _of_label(p, candidates.conditions[:, column]) / p.max(1))
    return lowest


def margin(candidates: Candidates, context: FilterContext) -> Floats:
    """The classifier's probability of the label minus that of the best other class, in [-1, 1]; near 0 at the boundary."""
    p = context.probabilities(candidates.images)
    others = p.copy()
    others[np.arange(len(p)), candidates.labels] = -np.inf
    return np.asarray(_of_label(p, candidates.labels) - others.max(1))


def discriminator(candidates: Candidates, context: FilterContext) -> Floats:
    """The share of real images that the discriminator scores no higher than this one, in [0, 1].

    Each image is scored with its own condition. The real images are those of the validation split, because the
    discriminator may have memorised training images.
    """
    if context.discriminator is None:
        raise SettingsError(
            f"the filter 'discriminator' needs the discriminator of this training, but {context.why_no_discriminator}; "
            "leave it out of generate.filters"
        )
    held = context.validation if context.validation is not None and len(context.validation) else context.train
    real = np.sort(context.discriminator(held.images, held.conditions(context.condition)))
    scores = context.discriminator(candidates.images, candidates.conditions)
    return np.searchsorted(real, scores, side="right") / len(real)


def identity(candidates: Candidates, context: FilterContext) -> Floats:
    """The share of real images, of one group and with another attribute value, that are recognised as their group no better
    than the translation, in (0, 1] (see `Identity.scores`). It is 1 for changes that cannot be judged; `identity_note` of the
    context says which. Raises SettingsError for images that are not translations.
    """
    if candidates.sources is None:
        raise SettingsError(
            "the filter 'identity' compares a translation with the group of its source, but these images have none; leave it "
            "out"
        )
    if context.identity is None:
        raise SettingsError(
            "the filter 'identity' needs networks that tell groups apart, but none were given; leave it out of "
            "generate.filters"
        )
    return context.identity(candidates.images, candidates.conditions, candidates.sources)


def influence(candidates: Candidates, context: FilterContext) -> Floats:
    """How far a step of the classifier's last layer on this image would lower the validation loss.

    The score is the cosine, in [-1, 1], of the two gradients (Pruthi et al. 2020, eq. 1 and section 4.1, at one
    checkpoint). It is first order in the sense of Koh & Liang 2017 with the identity for the Hessian. Every class has the
    same weight in the validation loss. The test split is not used.

    For logits W f + b the gradient of one image's cross-entropy is (p - e) ⊗ [f, 1]. The two factors suffice, so no [N,
    K·F] array is held.
    """
    held = context.validation
    if held is None or not len(held) or context.last_inputs is None:
        raise SettingsError(
            "the filter 'influence' needs validation images and the classifier's last layer, but there are none; leave it "
            "out of generate.filters"
        )
    inputs, errors = _gradient_factors(
        context.last_inputs(held.images), context.probabilities(held.images), held.labels
    )
    weight = 1.0 / held.counts[held.labels]
    validation_gradient = (errors * weight[:, None]).T @ inputs
    inputs, errors = _gradient_factors(
        context.last_inputs(candidates.images), context.probabilities(candidates.images), candidates.labels
    )
    along = ((errors @ validation_gradient) * inputs).sum(1)
    lengths = np.linalg.norm(errors, axis=1) * np.linalg.norm(inputs, axis=1) * np.linalg.norm(validation_gradient)
    return np.asarray(along / np.maximum(lengths, 1e-300))


def _gradient_factors(inputs: Features, p: Floats, labels: Codes) -> tuple[Floats, Floats]:
    """The two factors of each image's gradient: [f, 1] [N, F + 1] and p - e [N, K]."""
    errors = p.copy()
    errors[np.arange(len(p)), labels] -= 1
    return np.concatenate([inputs.astype(np.float64), np.ones((len(inputs), 1))], axis=1), errors


def _of_label(p: Floats, labels: Codes) -> Floats:
    return p[np.arange(len(p)), labels]
