"""What the stage generate needs of a run: the number of images of each cell, and the data and models of the filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from augury import generation, metrics, proof, training
from augury.images import Images
from augury.networks import Classifier
from augury.pipeline.session import Session


def amounts(session: Session) -> generation.Amounts:
    """The number of images to generate for each cell, and the reason."""
    strategy, validation = session.settings.generate.sampling_strategy, session.splits["validation"]
    recognised = None
    if strategy == "auto":
        correct = proof.probabilities(session.classifier, validation.images).argmax(1) == validation.labels
        hits = np.bincount(validation.labels[correct], minlength=len(validation.classes)).astype(np.int64)
        recognised = generation.Recognised(hits, validation.counts)
    return generation.amounts(session.splits["train"], strategy, session.settings.train.condition, recognised)


def filter_context(session: Session) -> generation.FilterContext:
    """The data and models that filters may use. They exclude the test split."""
    model = session.classifier
    inputs = metrics.from_network(
        "classifier's last layer", model, "", session.device, model.last_inputs, dimension=model.last.in_features
    )
    judges = session.column_classifiers if session.translates else []
    names = {rule.name for rule in generation.rules(session.filters)}
    identity = session.identity if "identity" in names else "no filter asked for it"
    discriminator, reason = None, "no filter asked for it"
    if "discriminator" in names:
        discriminator, reason = training.discriminator(
            session.run / "train", session.planned(), session.generator_images, session.device
        )
    return generation.FilterContext(
        session.splits["train"],
        _mean_probabilities(judges[0] if judges else [model]),
        lambda q, r, k: metrics.nearest(q, r, k),
        features=session.own_features().extract,
        validation=session.splits["validation"],
        last_inputs=inputs.extract,
        logits=model,
        discriminator=discriminator,
        condition=session.settings.train.condition,
        why_no_discriminator=reason,
        attribute_probabilities=tuple(map(_mean_probabilities, judges[1:])),
        identity=(lambda images, *_: np.ones(len(images))) if isinstance(identity, str) else identity.scores,
        identity_note=identity if isinstance(identity, str) else identity.note(session.changed_columns),
    )


def _mean_probabilities(models: Sequence[Classifier]) -> Callable[[Images], Any]:
    """Return a function from images uint8 [N, C, H, W] to the models' mean class probabilities, float64 [N, K]."""
    return lambda images: np.mean([proof.probabilities(model, images) for model in models], axis=0)
