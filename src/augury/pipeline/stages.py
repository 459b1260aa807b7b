"""The whole pipeline: load -> split -> classify -> train -> generate -> score -> prove -> classifier -> export -> report.

Each stage is a function of the stages before it and of its own settings. It is skipped when neither has changed. After an
interruption it resumes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from augury import exports, generation, metrics, proof, report, sentences, training
from augury.data import LEFT_OUT, cautions, draw_clusters
from augury.durations import duration
from augury.errors import SettingsError
from augury.files import atomic_path, read_json, read_lines, remove, write_json
from augury.images import LabelledImages
from augury.pipeline import domains, ranks, scorecard
from augury.pipeline.cards import CHANGING, background, write_cards
from augury.pipeline.cost import plan_run
from augury.pipeline.description import command, describe, plan_facts, resolved
from augury.pipeline.display import showing
from augury.pipeline.filter_inputs import amounts, filter_context
from augury.pipeline.final_classifier import FOLDER, store_classifier, trial_inputs
from augury.pipeline.inputs import Callbacks, check_unchanged, read, refuse_among_data, split_codes
from augury.pipeline.preflight import check_splits, preflight
from augury.pipeline.recipe_contest import hold_contest, monitor
from augury.pipeline.run_folder import Run
from augury.pipeline.run_settings import run_settings
from augury.pipeline.session import Session
from augury.pipeline.settings_file import write_settings
from augury.pipeline.tracking import track
from augury.pipeline.translations import fill_cells
from augury.pipeline.trial_cache import load_cache
from augury.prediction import CARD
from augury.randomness import derived_seed
from augury.settings import ExportSettings, RunSettings
from augury.training import checkpoints
from augury.validation import validated


def split_data(session: Session) -> None:
    """Split the data and store the split of every image; near-duplicates stay in one split."""
    codes, near = split_codes(session.data, session.settings, session.flips)
    names = session.data.names or tuple(f"index {i}" for i in range(len(session.data)))
    listed = {
        "policy": session.settings.data.near_duplicates,
        "mirrored": session.flips,
        "clusters": [[names[i] for i in same] for same in near],
        "indices": [list(same) for same in near],
    }
    write_json(
        session.run / "near_duplicates.json",
        listed | {"left_out": [names[i] for i in np.flatnonzero(codes == LEFT_OUT)]},
    )
    if near:
        left = int((codes == LEFT_OUT).sum())
        session.callbacks.note(
            f"{sum(map(len, near)):,} images are near-duplicates of another, in {len(near):,} clusters; each cluster is kept "
            f"in one split{f', and {left:,} images were left out' if left else ''}. near_duplicates.png shows the first; "
            "data.near_duplicates=allow treats them as different pictures"
        )
        with atomic_path(session.run / "near_duplicates.png") as temporary:
            draw_clusters(session.data, near).save(temporary, format="PNG")
    else:
        remove(session.run / "near_duplicates.png")
    with atomic_path(session.run / "split.npy") as temporary, temporary.open("wb") as file:
        np.save(file, codes, allow_pickle=False)
    session.forget("splits")


def fit(session: Session) -> None:
    """Train the classifier that filters and monitors: balanced, with classical augmentation and without synthetic images."""
    session.record_seen("classifier", session.splits["train"])
    checkpoints.save(session.run / "classifier.safetensors", session.fitted(0).state_dict(), {})
    session.forget("classifier")
    if session.target is not None:
        label_target(session)


def label_target(session: Session) -> None:
    """Give the target images pseudo-labels from an adapted classifier, and report their class mix."""
    target, train = session.target, session.splits["train"]
    assert target is not None
    model = domains.target_classifier(
        train,
        target.images,
        domains.LABELLER,
        seed=derived_seed(session.settings.seed, "target labeller"),
        flips=session.flips,
        device=session.device,
    )
    labelled = domains.label_target(model, target.images)
    domains.check_pseudo_labels(labelled.labels, train)
    with atomic_path(session.run / "target.npy") as temporary, temporary.open("wb") as file:
        np.save(file, labelled.labels, allow_pickle=False)
    write_json(session.run / "target.json", domains.describe_target(target, labelled))
    lines = "\n".join(f"  {line}" for line in labelled.lines(train.classes, train.counts))
    session.callbacks.note(f"Share of each class:\n{lines}")
    session.forget("target_labels", "generator_images")


def train(session: Session) -> None:
    """Train the generator as planned, monitored on the validation split; with `--recipe auto`, choose the recipe first."""
    hold_contest(session)
    folder, s, plan = session.run / "train", session.settings, session.planned()
    generator_images = session.generator_images
    if training.trains_nothing(plan.rule):
        return use_pipeline(session, plan)
    session.record_seen("generator", generator_images, s.train.start_from)
    if s.train.unlabelled:
        images, used, left_out = len(session.unlabelled), len(session.beside), session.left_out
        summary = {"folder": s.train.unlabelled, "images": images, "used": used, "left_out": left_out}
        write_json(folder / "unlabelled.json", summary)
        away = ", ".join(f"{n:,} like the {name} split" for name, n in left_out.items())
        session.callbacks.note(f"{used:,} of {images:,} unlabelled images train the generator; left out: {away}")
    assess = monitor(session, plan)
    judges = session.column_classifiers if plan.rule.semantic else ()
    ranks.check_batch(plan.batch)
    world = ranks.call("train", session, plan=plan.as_dict(), apart=assess.apart)
    with track(session, plan) as on_progress:
        synthesizer = training.train_plan(
            plan,
            generator_images,
            folder,
            checkpoint_every=s.train.checkpoint_every,
            assess=assess,
            apart=assess.apart,
            judges=judges,
            world=world,
            on_progress=on_progress,
            on_event=session.callbacks.note,
        )
    synthesizer.save(session.run / "synthesizer")
    session.forget("synthesizer")


def use_pipeline(session: Session, plan: training.Plan) -> None:
    """Draw one image with the pretrained pipeline as a check, and record what it is."""
    settings = plan.rule.settings
    remove(session.run / "drawn")
    session.record_seen("generator", session.generator_images, settings["pipeline"])
    session.callbacks.note(
        f"Nothing is trained: {settings['class_name']} of {settings['pipeline']} (digest {settings['digest']}) draws the images. "
        f"{sentences.PRETRAINED}"
    )
    training.train_plan(plan, session.generator_images, session.run / "train").save(session.run / "synthesizer")
    session.forget("synthesizer")


def draw(session: Session) -> None:
    """Draw or translate the planned number of images, and filter them."""
    g, context = session.settings.generate, filter_context(session)
    session.record_seen("filters", context.train)
    if session.translates:
        return fill_cells(session, context)
    planned = amounts(session)
    synthetic = generation.draw(
        session.synthesizer,
        planned.numbers,
        seed=session.settings.seed,
        surplus=g.surplus,
        truncation=g.truncation,
        filters=g.filters,
        context=context,
        sampling=g.sampling,
        on_progress=lambda done, total: session.callbacks.amount("images", done, total),
    )
    if g.soft_labels:
        members = [session.classifier, *(session.fitted(i) for i in range(1, g.soft_labels))]
        ensemble = [partial(proof.probabilities, member) for member in members]
        targets = generation.soft_labels(synthetic.images, synthetic.labels, ensemble)
        synthetic = replace(synthetic, targets=targets)
    session.store(synthetic)
    rows = generation.census(synthetic, context.train, planned.numbers, planned.why)
    summary = {"strategy": str(g.sampling_strategy), "sampling": g.sampling, "rows": rows}
    write_json(session.run / "generation.json", summary | {"filters": generation.described(g.filters, context)})


def score(session: Session) -> None:
    """Write the score card, the generator's copies of training images, and their pictures."""
    images, validation, among = session.generator_images, session.splits["validation"], None
    if session.target is not None:  # translations are compared with unlabelled target images
        among = np.arange(len(session.splits["train"]), len(images))
        validation = validation.take(among[:0])
    card, copies = scorecard.score(
        training.sampler(session.synthesizer, images, session.planned().rule.class_moves),
        images if session.translates else session.splits["train"],
        validation,
        session.classifier,
        session.settings,
        device=session.device,
        folder=session.features,
        among=among,
        trained_on=training.feature_network(session.planned().rule),
    )
    with atomic_path(session.run / "copies.npy") as temporary, temporary.open("wb") as file:
        np.save(file, copies.pictures, allow_pickle=False)
    copied = {"looked": list(copies.looked), "pairs": list(copies.rows)}
    notes = [scorecard.ABOUT_TRANSLATIONS] if session.translates else []
    notes += [scorecard.FLATTERED] if training.feature_network(session.planned().rule) else []
    write_json(session.run / "scores.json", card.as_dict() | {"copies": copied, "notes": notes})


def prove(session: Session) -> None:
    """Run the paired trial. Each training's result is stored at once and reused for other numbers of seeds."""
    file, s = session.run / "trial.json", session.settings
    inputs = [session.run.key("generate"), s.seed, session.device.type, session.flips, *session.reviewed]
    layers, others = session.layers, session.drawn_by_others()
    if not isinstance(layers, str):
        others[proof.LAYERS] = layers.fingerprint
    elif not session.translates:  # trials about empty cells have no such arm
        session.callbacks.note(f"no arm starts from the discriminator: {layers}")
    cache = load_cache(file, inputs, s.prove, session.splits["test"], session.callbacks, others)
    images = trial_inputs(session)
    world = ranks.call("prove", session, results=cache.results)
    verdict = proof.prove(
        **images, results=cache.results, world=world, on_result=cache.store, on_note=session.callbacks.note
    )
    write_json(session.run / "verdict.json", cache.with_earlier_look(verdict).as_dict())


def export(session: Session) -> None:
    """Write the augmented data set in the chosen format."""
    name = session.settings.export.format
    target = exports.dataset_path(session.run.path, name)
    write_data_set(session, target, session.settings.export, force=True)
    for each in exports.EXPORTS:
        other = exports.dataset_path(session.run.path, each)
        if other != target:
            remove(other)
            remove(exports.card_path(other, each))


def write_data_set(session: Session, path: Path, settings: ExportSettings, *, force: bool) -> None:
    """Write train images and kept synthetic images as the settings of an export say, which need not be those of the run."""
    train = session.splits["train"]
    if settings.originals != "none" and Path(session.source).exists():
        check_unchanged(Path(session.source), session.data, session.settings)
    originals = session.originals(train, settings)
    options = exports.ExportOptions(
        originals=originals,
        link=settings.originals == "link",
        synthetic_size=settings.synthetic_size,
        force=force,
        background=background(session),
        sidecar=settings.sidecar,
    )
    done = exports.writer(settings.format)(path, train, session.exported(), options)
    if originals and "note" in done:
        session.callbacks.note(done["note"])


def write_report(session: Session) -> None:
    """Write the report."""
    neighbours, distances = scorecard.closest(session.synthetic, session.splits["train"])
    scores = session.run.read("scores")
    card = read_json(session.run / FOLDER / CARD) if (session.run / FOLDER / CARD).exists() else {}
    near, drawn = session.run.read("near_duplicates"), session.drawn()
    facts = report.Facts(
        title=session.run.path.resolve().name,
        source=session.source,
        command=command(session),
        metadata=session.run.metadata,
        verdict=session.run.verdict,
        train=session.splits["train"],
        synthetic=session.synthetic,
        neighbours=neighbours,
        distances=distances,
        log=read_lines(session.run / "train" / "log.jsonl"),
        plan=plan_facts(session),
        generation=drawn,
        scores=scores["scores"],
        score_notes=scores.get("notes", ()),
        copies=scores["copies"],
        copied=np.load(session.run / "copies.npy", allow_pickle=False),
        seconds={stage: facts["seconds"] for stage, facts in session.run.state().items()},
        near=near,
        near_images=[session.data.images[np.array(same[:4])] for same in near["indices"][:8]],
        translations=generation.examples(
            drawn.get("plan", ()), session.synthetic, session.generator_images, metrics.nearest
        ),
        known=session.generator_images if session.target is not None else None,
        best=card["arm"]["name"] if card else "",
        classifier=card,
    )
    report.write(facts, session.run / "report.html")


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    `needs` are the stages that it builds on, `run` does the work, and `output` is a file that it writes ("": the data set, in the
    format of the settings). Without that file the stage is repeated. `stage_inputs` says what decides its result.
    """

    name: str
    needs: tuple[str, ...]
    run: Callable[[Session], None]
    output: str


STAGES = {
    stage.name: stage
    for stage in (
        Stage("split", (), split_data, "split.npy"),
        Stage("classify", ("split",), fit, "classifier.safetensors"),
        Stage("train", ("classify",), train, "synthesizer/card.json"),
        Stage("generate", ("train",), draw, "synthetic/manifest.jsonl"),
        Stage("score", ("train",), score, "scores.json"),
        Stage("prove", ("generate",), prove, "verdict.json"),
        Stage("classifier", ("prove",), store_classifier, "classifier/README.md"),
        Stage("export", ("generate",), export, ""),
        Stage("report", ("score", "prove", "classifier", "export"), write_report, "report.html"),
    )
}
"""All stages, in order."""


def done(session: Session, stage: Stage) -> bool:
    """Whether a stage is done with its present inputs; the stages that it needs must be."""
    output = Path(stage.output) if stage.output else exports.dataset_path(Path(), session.settings.export.format)
    return session.run.is_done(stage.name, session.inputs(stage.name)) and (session.run.path / output).exists()


def pending(session: Session, needed: set[str]) -> list[str]:
    """The stages that are still to do, in order."""
    names: list[str] = []
    for stage in STAGES.values():
        if stage.name in needed and (set(stage.needs) & set(names) or not done(session, stage)):
            names.append(stage.name)
    return names


def run_stage(session: Session, stage: Stage) -> None:
    """Run one stage unless it is done."""
    cached = done(session, stage)
    session.callbacks.begin(stage.name, cached)
    if not cached:
        with session.run.stage(stage.name, session.inputs(stage.name)):
            stage.run(session)
        if stage.name in CHANGING:
            write_cards(session)
    session.callbacks.end(stage.name)


def advance(session: Session, last: str, seconds: float | None = None, further: int = 0) -> None:
    """Run the stage `last` and every stage that it needs; with `seconds`, with the steps that fit into them.

    `further` is the number of such runs that follow; the plan includes what they cost.

    Raises SettingsError before anything is done when the settings do not allow it.
    """
    needed = {last}
    for stage in reversed(STAGES.values()):
        needed |= set(stage.needs) if stage.name in needed else set()
    if session.settings.train.unconditional and "generate" in needed:
        raise SettingsError(
            "the images of an unconditional generator have no class and cannot fill one; use augury train and augury "
            "generate, or set train.unconditional=false"
        )
    preflight(session, needed)
    ranks.check_batch(session.settings.train.batch)
    if session.target is not None and session.target.test is None:
        needed -= {"prove", "classifier", "report"}
        for stale in ("verdict.json", "classifier", "report.html"):
            remove(session.run / stale)
    licence = session.run.settings.get("data", {}).get("licence")
    plan_run(session, "prove" in needed, lambda: pending(session, needed), seconds, further, needed)
    for stage in (stage for stage in STAGES.values() if stage.name in needed):
        run_stage(session, stage)
        if stage.name == "split":
            write_json(session.run / "run.json", describe(session))
            check_splits(session, needed)
        if stage.name in ("split", "train"):
            write_settings(session.run / "settings.yaml", resolved(session))
    if licence != session.settings.data.licence:  # it decides no stage, so none was repeated for it
        write_cards(session)


def rewrite_report(folder: Path, callbacks: Callbacks) -> None:
    """Write the report of a finished run again.

    Raises RunFolderError when a stage that takes long would have to run first.
    """
    with opened(None, folder, callbacks=callbacks) as session:
        names = pending(session, set(STAGES))
        if not set(names) <= {"export", "report"}:
            _ = session.run.report  # raises with the command that continues the run
        for name in names:
            run_stage(session, STAGES[name])


def run(
    data: LabelledImages | str | os.PathLike[str] | None,
    folder: str | os.PathLike[str],
    *,
    settings: RunSettings | Mapping[str, Any] | None = None,
    seed: int | None = None,
    until: str = "report",
    time: str | float | None = None,
    verbose: bool = False,
    callbacks: Callbacks | None = None,
    **options: Any,
) -> Run:
    """Run every stage up to `until` in `folder`; stages that are done are skipped.

    After an interruption or an error, finished work is kept, and the same call resumes.

    In several processes that torchrun has started, each makes the same call. They share the training of the generator and the
    trainings of the trial; the first process does the rest, and it alone writes and reports progress.

    Parameters
    ----------
    data
        Images, or a path that `augury.load` reads, such as a folder of class folders or an .npz. None: the data that the folder
        was created from, or the embedded sample for a new folder.
    folder
        Run folder; created, or resumed if it exists.
    settings
        Settings of the run, or plain values by section such as {"train": {"steps": 500}}; None: those stored in the folder, else
        the defaults.
    seed
        Replaces the seed of the settings.
    until
        Name of the last stage: split, classify, train, generate, score, prove, classifier, export or report.
    time
        Time for the whole run, such as "15m", or seconds. The speed is measured, and the steps of the generator and of the trial
        that fit are stored as settings. They replace train.steps, train.budget and prove.steps.
    verbose
        Show the progress: two bars on a terminal, lines elsewhere, as in a notebook.
    callbacks
        Functions that receive the progress (`augury.Callbacks`).
    **options
        The usual settings by name alone, such as steps=500, recipe="dcgan", budget="10m", target="new-scanner/" or seeds=7
        (`augury.settings.OPTIONS`). They replace those of `settings`, or of the folder.

    Returns
    -------
    The Run.

    Raises
    ------
    The errors of `augury.errors`.

    Examples
    --------
    >>> run = augury.run("photos/", "runs/photos", recipe="dcgan", steps=4000)
    >>> run.verdict.outcome
    """
    if options or not (settings is None or isinstance(settings, RunSettings)):
        settings = run_settings(Run(folder).settings if settings is None else settings, options)
    if time is not None and (lengths := {"steps", "budget"} & options.keys()):
        raise SettingsError(f"time sets the number of steps, and so does {min(lengths)}; give one of them")
    limit = None if time is None else duration(time)
    with ranks.only_first(data) as first:
        if first:
            with (
                showing(verbose, callbacks) as shown,
                opened(data, folder, settings=settings, seed=seed, callbacks=shown) as session,
            ):
                advance(session, until, limit)
    return Run(folder)


@contextmanager
def opened(
    data: LabelledImages | str | os.PathLike[str] | None,
    folder: str | os.PathLike[str],
    *,
    settings: RunSettings | None = None,
    seed: int | None = None,
    callbacks: Callbacks | None = None,
) -> Iterator[Session]:
    """The session of a run folder, which this process holds; arguments as for `run`."""
    refuse_among_data(data, folder)
    refuse_among_data(settings.data.target if settings else None, folder)
    run_folder, callbacks = Run(folder), (callbacks or Callbacks()).logged()
    with run_folder.held():
        chosen = settings or validated(RunSettings, run_folder.settings)
        if seed is not None:
            chosen = chosen.model_copy(update={"seed": seed})
        images, source = read(data, run_folder, chosen, callbacks)
        for caution in cautions(images):
            callbacks.note(f"Caution: {caution}")
        yield Session(run_folder, images, chosen, source, callbacks)
