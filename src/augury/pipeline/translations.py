"""Translations of a run: the plan, how many keep their class, and what is stored about them."""

from __future__ import annotations

from typing import Any

import numpy as np

from augury import generation, proof
from augury.files import write_json
from augury.images import LabelledImages, SyntheticImages
from augury.pipeline import domains
from augury.pipeline.session import Session


def fill_cells(session: Session, context: generation.FilterContext) -> None:
    """Translate train images into the empty and rare cells."""
    g, train = session.settings.generate, session.splits["train"]
    plan = planned(session, train)
    for line in plan.lines():
        session.callbacks.note(line)
    filters = session.filters
    judges_identity = any(rule.name == "identity" for rule in generation.rules(filters))
    if judges_identity:
        session.callbacks.note(f"Filter identity: {context.identity_note}")
    synthetic = generation.translate(
        session.synthesizer,
        train,
        plan,
        seed=session.settings.seed,
        surplus=g.surplus,
        filters=filters,
        context=context,
        on_progress=lambda done, total: session.callbacks.amount("images", done, total),
    )
    session.store(synthetic, train)
    requested = np.zeros_like(plan.cells.counts)
    for row in plan.rows:
        requested[row.target] += row.number
    rows = generation.census(synthetic, train, requested)
    facts: dict[str, Any] = {
        "strategy": str(g.sampling_strategy),
        "sampling": "translation",
        "rows": rows,
        "plan": generation.tallied(plan.as_rows(), synthetic, train),
    }
    if (kept_classes := _kept_classes(session, synthetic)) is not None:
        session.callbacks.note(kept_classes.sentence)
        facts["kept_classes"] = kept_classes.as_dict()
    if judges_identity and not isinstance(session.identity, str):
        facts["identity"] = [session.identity.recognitions[column].as_dict() for column in session.changed_columns]
    write_json(session.run / "generation.json", facts | {"filters": generation.described(filters, context)})


def planned(session: Session, train: LabelledImages) -> generation.TranslationPlan:
    """The translation plan: into the target domain, or into empty and rare cells."""
    strategy, rule = session.settings.generate.sampling_strategy, session.planned().rule
    if session.target is not None:
        return generation.plan_into(train, domains.DOMAIN, domains.DOMAINS[1], strategy)
    return generation.plan_translations(train, session.settings.train.condition, strategy, class_moves=rule.class_moves)


def _kept_classes(session: Session, synthetic: SyntheticImages) -> proof.KeptClasses | None:
    """How many translations along attributes still show the class of their source, before any filter.

    None without such translations. The judge took no part in the training: the class's own classifiers, or the run's classifier
    where those gave the semantic loss. The limit is relative to the share of real validation images that it recognises.
    """
    train, held = session.splits["train"], session.splits["validation"]
    assert synthetic.sources is not None
    if session.target is not None:
        judge = session.target_judge
        return domains.classes_kept_by_target(judge, synthetic, session.target.images, session.target_labels.labels)
    rows = np.flatnonzero(synthetic.labels == train.labels[synthetic.sources])
    if not len(rows):
        return None
    judges = [session.classifier] if session.planned().rule.semantic else session.column_classifiers[0]
    translated, real = (
        np.mean([proof.probabilities(judge, images) for judge in judges], axis=0)
        for images in (synthetic.images[rows], held.images)
    )
    right = real.argmax(1) == held.labels
    recognised = float(np.mean([right[held.labels == c].mean() for c in np.unique(held.labels)]))
    limit = proof.limit_for(recognised)
    return proof.kept_classes(synthetic.labels[rows], translated, train.classes, limit=limit, judge=recognised)
