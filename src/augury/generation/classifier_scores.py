"""Scores by networks that know real images: the classifier, its last layer's slopes, the discriminator."""

from __future__ import annotations

import numpy as np

from augury.errors import SettingsError
from augury.generation.filter_context import Candidates, Features, FilterContext, Floats
from augury.images import Codes


def agreement(candidates: Candidates, context: FilterContext) -> Floats:
    """The classifier's probability of the label over that of the most probable class, in [0, 1]: 1 when it sees no other
    class rather."""
    p = context.probabilities(candidates.images)
    return np.asarray(_of_label(p, candidates.labels) / p.max(1))


def confidence(candidates: Candidates, context: FilterContext) -> Floats:
    """The classifier's probability of the label, in [0, 1]."""
    return _of_label(context.probabilities(candidates.images), candidates.labels)


def attribute_agreement(candidates: Candidates, context: FilterContext) -> Floats:
    """The lowest, over the attributes of the condition, of the probability that a classifier of real images gives the
    attribute value asked for, over that of the most probable value; in [0, 1]."""
    if candidates.conditions.shape[1] == 1:
        return np.ones(len(candidates.images))
    if not context.attribute_probabilities:
        raise SettingsError(
            "the filter 'attribute_agreement' needs classifiers of the attributes, but none were given; leave it out of "
            "generate.filters"
        )
    found = np.ones(len(candidates.images))
    for column, probabilities in enumerate(context.attribute_probabilities, start=1):
        p = probabilities(candidates.images)
        found = np.minimum(found, _of_label(p, candidates.conditions[:, column]) / p.max(1))
    return found


def margin(candidates: Candidates, context: FilterContext) -> Floats:
    """The classifier's probability of the label less that of the best other class, in [-1, 1]: near 0 at the boundary."""
    p = context.probabilities(candidates.images)
    others = p.copy()
    others[np.arange(len(p)), candidates.labels] = -np.inf
    return np.asarray(_of_label(p, candidates.labels) - others.max(1))


def discriminator(candidates: Candidates, context: FilterContext) -> Floats:
    """The share, in [0, 1], of real images that the discriminator finds no more real than this one, each judged with its
    own condition. The real images are those of the validation part: of the training images it may know each."""
    if context.discriminator is None:
        raise SettingsError(
            f"the filter 'discriminator' needs the discriminator of this training, but {context.why_no_discriminator}; "
            "leave it out of generate.filters"
        )
    held = context.validation if context.validation is not None and len(context.validation) else context.train
    real = np.sort(context.discriminator(held.images, held.conditions(context.condition)))
    scores = context.discriminator(candidates.images, candidates.conditions)
    return np.searchsorted(real, scores, side="right") / len(real)


def influence(candidates: Candidates, context: FilterContext) -> Floats:
    """How far a step of the classifier's last layer on this image would lower the loss on validation: the cosine, in
    [-1, 1], of the two slopes (Pruthi et al. 2020, eq. 1 and section 4.1, at one checkpoint; first order in the sense of Koh
    & Liang 2017 with the identity for the Hessian). Every class weighs alike in the validation loss; the test part has no
    say.

    For logits W f + b the slope of one image's cross-entropy is (p - e) ⊗ [f, 1], so that no [N, K·F] is ever held.
    """
    held = context.validation
    if held is None or not len(held) or context.last_inputs is None:
        raise SettingsError(
            "the filter 'influence' needs validation images and the classifier's last layer, but there are none; leave it "
            "out of generate.filters"
        )
    inputs, errors = _slopes(context.last_inputs(held.images), context.probabilities(held.images), held.labels)
    weight = 1.0 / held.counts[held.labels]
    wanted = (errors * weight[:, None]).T @ inputs
    inputs, errors = _slopes(
        context.last_inputs(candidates.images), context.probabilities(candidates.images), candidates.labels
    )
    along = ((errors @ wanted) * inputs).sum(1)
    lengths = np.linalg.norm(errors, axis=1) * np.linalg.norm(inputs, axis=1) * np.linalg.norm(wanted)
    return np.asarray(along / np.maximum(lengths, 1e-300))


def _slopes(inputs: Features, p: Floats, labels: Codes) -> tuple[Floats, Floats]:
    """([f, 1] [N, F + 1], p - e [N, K]): the two factors of each image's slope."""
    errors = p.copy()
    errors[np.arange(len(p)), labels] -= 1
    return np.concatenate([inputs.astype(np.float64), np.ones((len(inputs), 1))], axis=1), errors


def _of_label(p: Floats, labels: Codes) -> Floats:
    return p[np.arange(len(p)), labels]
