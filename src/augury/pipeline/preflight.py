"""Checks before any training: unusable settings are refused, and the plan of a translator is shown."""

from __future__ import annotations

from augury import exports, generation, metrics, proof, tracking, training
from augury.data.cells import cells
from augury.errors import SettingsError
from augury.images import SPLITS
from augury.pipeline import domains
from augury.pipeline.cost import trial_facts
from augury.pipeline.session import Session
from augury.training.recipes import Recipe


def preflight(session: Session, needed: set[str]) -> None:
    """Raises now the errors that a stage would otherwise raise after hours, for settings that it cannot use."""
    s, data = session.settings, session.data
    tracking.check(s.train.track)
    _ = session.initial_weights  # raises where it is missing or lies in this run
    plan = session.planned() if session.trained else None
    name, rule = (
        (plan.recipe, plan.rule) if plan else training.resolve_recipe(session.foreseen, s.train, session.device)
    )
    _ = session.unlabelled  # raises where the folder has none
    check_recipe(session, name, rule, needed)
    exports.writer(s.export.format)
    if "export" in needed:
        session.originals(data, s.export)
    if "score" in needed and not session.run.state().get("score"):
        for features in set(s.score.features.split(",")) - {"auto", "classifier", ""}:
            metrics.extractor(features, data.shape, session.device)
    if "prove" in needed:
        proof.operating_point(s.prove.metric, data.classes)


def check_recipe(session: Session, name: str, rule: Recipe, needed: set[str]) -> None:
    """Raises SettingsError for settings of later stages that do not go with a recipe.

    Parameters
    ----------
    session
        The session, of which no stage has to be done.
    name, rule
        The recipe, and its settings with the overrides.
    needed
        Names of the stages whose settings count; the trial is checked if "prove" is among them.
    """
    s = session.settings
    filters = {each.name for each in generation.rules(s.generate.filters)}
    if (only := sorted(filters & set(generation.TRANSLATIONS_ONLY))) and not training.translates(rule):
        raise SettingsError(
            f"the filter '{only[0]}' is for translations, but the recipe {name} generates from noise; leave it out"
        )
    if training.translates(rule) and s.train.condition and s.prove.resample != "none" and "prove" in needed:
        raise SettingsError(
            f"prove.resample={s.prove.resample} does not go with a translator: its images belong to their sources; use none"
        )
    if training.trains_nothing(rule):
        for setting, usual in (("truncation", 1.0), ("sampling", "prior")):
            if (value := getattr(s.generate, setting)) != usual:
                raise SettingsError(
                    f"generate.{setting}={value} moves in a latent space, but the recipe {name} draws each image from a seed; leave "
                    "it out"
                )
    if not training.translates(rule) and s.generate.sampling_strategy != "auto":
        generation.amounts(session.data, s.generate.sampling_strategy, s.train.condition)
    if "prove" in needed:
        proof.check_trial(s.prove, session.data.shape, session.device, **trial_facts(session, name, rule))


def check_splits(session: Session, needed: set[str]) -> None:
    """The same checks, where they need the splits. Before a translator is trained, its table and plan are reported."""
    settings = session.settings
    if "prove" in needed and settings.prove.near_duplicates != "allow":
        proof.refuse_shared_splits(*(session.splits[name] for name in SPLITS))
    if "classify" not in needed or session.trained:
        return
    if session.target is not None:
        return _note_target(session)
    _, rule = training.resolve_recipe(
        session.generator_images, settings.train, session.device
    )  # the splits are smaller
    if not training.translates(rule):
        return
    table = cells(session.generator_images, settings.train.condition, class_moves=rule.class_moves)
    lines = [f"Train images of each cell (* empty or rare: fewer than {table.least}):", *_indented(table.lines())]
    session.callbacks.note("\n".join(lines))
    if (
        "generate" not in needed
    ):  # a translator of a complete table has nothing to fill, and changes images all the same
        return
    plan = generation.plan_translations(
        session.generator_images,
        settings.train.condition,
        settings.generate.sampling_strategy,
        class_moves=rule.class_moves,
    )
    session.callbacks.note("\n".join(["Cells to fill, and their source cells:", *_indented(plan.lines())]))
    if "prove" in needed and settings.train.condition:
        tested = cells(session.splits["test"], settings.train.condition)
        for cell in dict.fromkeys(row.target for row in plan.rows if row.fills):
            if not tested.counts[cell]:
                session.callbacks.note(
                    f"The test split has no image of {table.name(cell)}, so the trial cannot show whether filling it helps; give the data "
                    "a split that has some"
                )


def _note_target(session: Session) -> None:
    """Report what the run will do with the target images."""
    target, train, test = session.target, session.splits["train"], session.splits["test"]
    assert target is not None
    for note in target.notes:
        session.callbacks.note(note)
    session.callbacks.note(
        f"Training: {len(train):,} labelled images of the source, {len(target.images):,} images of the target without labels"
        + (f"; test: {len(test):,} labelled images of the target" if len(test) else "")
    )
    if not len(test):
        session.callbacks.note(
            "No target image has a label, so there is no verdict. The run ends with the translated images and the adapted "
            "classifier's estimate of the class mix. For a verdict, give class folders with about 50 labelled target images per class"
        )
    plan = generation.plan_into(train, domains.DOMAIN, "target", session.settings.generate.sampling_strategy)
    session.callbacks.note("\n".join(["Images to translate into the target domain:", *_indented(plan.lines())]))


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
