"""The trial: train a classifier for every arm with the same seeds, and compare the arms on the test split.

The ratio is the number of synthetic images per real image in training. It is chosen on the validation split.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from augury.errors import DataError, SettingsError
from augury.images import UNNEEDED, AnyImages, LabelledImages, SyntheticImages, as_images
from augury.proof import leakage
from augury.proof.arms import ARMS, OWN, UNLABELLED, augmentations
from augury.proof.auto_classifier import Splits, at_size, choose_classifier
from augury.proof.cells import Holes, check_sources
from augury.proof.checks import check_sets, check_settings
from augury.proof.choice import choose
from augury.proof.cost import CHOICE_SEEDS, number_of_trainings
from augury.proof.judgement import few, judge
from augury.proof.judging_cells import absent, judged_images
from augury.proof.learners import Learner
from augury.proof.sequential import looks
from augury.proof.statistics import least_seeds
from augury.proof.trainings import NO_HOLES, Trainings
from augury.randomness import derived_seed
from augury.sentences import TEST_MORE
from augury.settings import ProveSettings
from augury.training import PretrainedBackbone
from augury.verdict import Verdict

NONE_ACCEPTED = "no image for an empty cell was accepted"
"""The reason, for messages, why a trial does not study the empty cells that it has."""
OTHER_DOMAIN = "the trial is about another domain"
"""The reason, for messages, why a trial with a target domain does not study empty cells."""


def prove(
    train: LabelledImages,
    validation: LabelledImages,
    test: LabelledImages,
    synthetic: SyntheticImages | LabelledImages,
    settings: ProveSettings | None = None,
    *,
    seed: int = 0,
    offset: int = 0,
    device: torch.device | str = "cpu",
    flips: bool = False,
    external: bool | None = None,
    names: Sequence[str] = (),
    extra: Mapping[str, SyntheticImages] | None = None,
    classifier: Any = None,
    layers: PretrainedBackbone | str = "none was given",
    seen: Mapping[str, leakage.Prints] | None = None,
    condition: tuple[str, ...] = (),
    rare: int = 1,
    target: AnyImages | None = None,
    own_size: Splits | None = None,
    results: MutableMapping[str, Any] | None = None,
    on_result: Callable[[int, int, str], None] = lambda done, total, name: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Test whether synthetic images improve a classifier: train every arm with paired seeds and compare them on `test`.

    An arm is one way to train the classifier. The images may come from any generator. With `settings.max_seeds`, the
    trial adds `settings.seeds` seeds at a time. It stops when the outcome is clear or the maximum is reached.

    Parameters
    ----------
    train, validation, test
        The splits of the real images, uint8 [N, C, H, W] with labels.
    synthetic
        The images to test. Of `SyntheticImages`, the arms train on accepted images only.
    settings
        Arms, seeds, ratios, training steps and margin; the defaults when None.
    seed
        Seed of the stream from which the seeds of all trainings are drawn. Trials with different seeds share no training.
    offset
        Skip this many training seeds of the stream. Trials with the same seed and different offsets are parts of one trial.
    device
        Where classifiers are trained.
    flips
        Whether augmentation may mirror images. If so, mirrored copies of held-out images count as copies.
    external
        Whether another program generated the images. None means: True for `LabelledImages`, False for
        `SyntheticImages`. An external generator may have seen any image. The trial therefore also searches for mirrored
        copies of test images and for near-duplicates of validation images. At least one image must remain.
    names
        Names of the synthetic images, for messages.
    extra
        Source name -> images of another generator, for arms that train on them (`source` of `augury.proof.ARMS`).
    classifier
        Replaces the classifier of the settings: a function (channels, classes) -> torch.nn.Module, a torch.nn.Module, or
        a scikit-learn estimator.
    layers
        A discriminator's layers (`augury.pretrained`), for the arms that initialise the classifier with them. A string
        is the reason why there are none.
    seen
        Component name, such as generator -> hashes of the images that it has seen; see `leakage.recorded`.
    condition
        Names of attributes, in order. For translated images they default to the attributes of the translations. For
        images generated from noise, the rules below apply only when `condition` is given.

        A *hole* is a cell of class × attribute with fewer than `rare` train images. If there are holes, the metric is
        balanced accuracy over the test images whose attribute values have a hole. The trial adds arms for holes. They
        train on all images generated for the holes, so no ratio is chosen. The verdict then has `cells` and `overall`.
    rare
        Cells with fewer train images than this are holes. With 1, only empty cells are; with `augury.proof.RARE`, also
        cells with too few images to learn from.
    target
        Unlabelled images of another domain, TargetImages or uint8 [M, C, H, W]. `test` must be of it. The trial adds arms for
        domain adaptation. It adds all synthetic images to the real ones, so no ratio is chosen.
    own_size
        The images of the three splits in another size, in the same order. Classifiers that are pretrained on larger images
        see them, and all classifiers if the settings have a `judge_size`. Synthetic images are resized for them.
    results
        Cache: name of a training -> its metrics. The trial skips trainings that it contains and adds new ones. An
        interrupted trial can thus resume.
    on_result
        Called as `on_result(done, total, name)` after each training.
    on_note
        Called with a message before training, for example when only "underpowered" is possible.

    Returns
    -------
    Verdict
        Outcome, effect with its confidence interval, and the metrics of every arm.

    Raises
    ------
    SettingsError
        When the settings cannot be used.
    DataError
        When the splits differ in classes or image size, or a class is missing in validation or test. Also when a test
        image is in another split, among the synthetic images, or in `seen`. Also when a validation image is among the
        synthetic images.
    """
    trial = prepare(
        train,
        validation,
        test,
        synthetic,
        settings,
        seed=seed,
        device=device,
        flips=flips,
        external=external,
        names=names,
        extra=extra,
        classifier=classifier,
        layers=layers,
        seen=seen,
        condition=condition,
        rare=rare,
        target=target,
        own_size=own_size,
        results=results,
        on_result=on_result,
        on_note=on_note,
    )
    trainings, sources, validation, test = trial.trainings, trial.sources, trial.splits.validation, trial.splits.test
    settings, holes = trainings.settings, trainings.holes
    any_shown = any(ARMS[name].shows and len(sources[ARMS[name].source]) for name in settings.arms)
    ratios = sorted({0.0, *settings.ratios}) if any_shown and isinstance(holes, str) else [0.0]
    if target is not None:
        ratios = [len(sources[OWN]) / len(train)]
    generative_arms = sum(ARMS[name].generative for name in settings.arms)
    plan = looks(settings.seeds, settings.max_seeds, arms=generative_arms)
    _warn_of_few(plan[-1], generative_arms, test, holes, on_note)
    total = number_of_trainings(settings, settings.arms, ratios)
    trainings.on_result = lambda done, name: on_result(done, total, name)
    ratio, curve = _chosen(trainings, ratios, validation)
    verdict = _grown(trainings, plan, ratio, curve, sources, test, offset)
    verdict = replace(verdict, synthetic=trial.counts, classifier=trial.record)
    return verdict.checked(
        {
            "test_not_seen_by": sorted(trial.seen),
            "left_out": trial.counts["left_out"],
            "looked_for": settings.near_duplicates != "allow",
            **({"pretrained": True} if any(name.endswith(leakage.START_UNKNOWN) for name in trial.seen) else {}),
        }
    )


@dataclass(frozen=True)
class Prepared:
    """A checked trial before its first training.

    Attributes
    ----------
    trainings
        Trains its arms; its settings name the arms that can be trained.
    sources
        Source -> the images shown.
    splits, record
        The images that its classifiers see, and what they are; see `auto_classifier.Choice`.
    counts
        The numbers of its images, as in `count_images`.
    seen
        Component -> hashes of the images that it has seen.
    """

    trainings: Trainings
    sources: Mapping[str, SyntheticImages]
    splits: Splits
    record: dict[str, Any]
    counts: dict[str, Any]
    seen: Mapping[str, leakage.Prints]


def prepare(
    train: LabelledImages,
    validation: LabelledImages,
    test: LabelledImages,
    synthetic: SyntheticImages | LabelledImages,
    settings: ProveSettings | None = None,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    flips: bool = False,
    external: bool | None = None,
    names: Sequence[str] = (),
    extra: Mapping[str, SyntheticImages] | None = None,
    classifier: Any = None,
    layers: PretrainedBackbone | str = "none was given",
    seen: Mapping[str, leakage.Prints] | None = None,
    condition: tuple[str, ...] = (),
    rare: int = 1,
    target: AnyImages | None = None,
    own_size: Splits | None = None,
    results: MutableMapping[str, Any] | None = None,
    on_result: Callable[[int, int, str], None] = lambda done, total, name: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Prepared:
    """Check the images of a trial, leave out copies of held-out images, and select its arms; parameters as for `prove`."""
    settings = settings or ProveSettings()
    external = isinstance(synthetic, LabelledImages) if external is None else external
    if isinstance(synthetic, LabelledImages):
        synthetic = SyntheticImages.of(synthetic)
    for each in (synthetic, *(extra or {}).values()):
        check_sets(train, validation, test, each)
    if target is not None:
        target = as_images(target)
        _refuse_resampling(settings, "another domain")
    holes = OTHER_DOMAIN if target is not None else holes_of(train, synthetic, condition, rare, settings)
    seen_hashes = {**({} if isinstance(layers, str) else layers.seen), **(seen or {})}
    _refuse_leaks(train, validation, test, seen_hashes, settings.near_duplicates)
    if external and not any(ratio > 0 for ratio in settings.ratios):
        raise SettingsError("prove.ratios has no ratio above 0, so no synthetic image would be shown; add one")
    held_out = {"test": test, "validation": validation}
    remove_copies = partial(
        _apart, train=train, held=held_out, policy=settings.near_duplicates, flips=flips, external=external
    )
    kept_images, left_out = remove_copies(synthetic, names=names)
    if left_out:
        on_note(
            f"{left_out:,} of {int(synthetic.accepted.sum()):,} synthetic images are near-duplicates of held-out images and are left out"
        )
    if external and not len(kept_images):
        raise DataError(
            "no synthetic image is left to judge; generate them from train images alone (augury split writes the splits)"
        )
    others = {name: remove_copies(images)[0] for name, images in (extra or {}).items()}
    unlabelled = None
    if UNLABELLED in others:  # FixMatch also uses images of which no classifier is confident
        unlabelled = remove_copies(replace((extra or {})[UNLABELLED], reasons=()))[0]
    if target is None and not isinstance(holes, str) and not holes.fills(kept_images, train).any():
        _refuse_unfilled(holes, synthetic, train)
        holes = NONE_ACCEPTED
        arms = tuple(arm for arm in settings.arms if arm not in ARMS or not ARMS[arm].cells)
        settings = settings.model_copy(update={"arms": (*arms, "randaugment", OWN)})
    if isinstance(holes, str) and synthetic.sources is not None and target is None:
        on_note(f"the translations are judged over all cells: {holes}")
    results, device = {} if results is None else results, torch.device(device)
    choice = choose_classifier(
        settings,
        Splits(train, validation, test),
        own_size,
        partial(
            _contest,
            settings=settings,
            flips=flips,
            device=device,
            results=results,
            on_result=on_result,
            trial_seed=seed,
        ),
        classifier=classifier,
        device=device,
        target=target is not None,
        seed=seed,
    )
    train, validation, test = choice.splits.train, choice.splits.validation, choice.splits.test
    kept_images = at_size(kept_images, choice.splits.size)
    others = {name: at_size(images, choice.splits.size) for name, images in others.items()}
    trainings = Trainings(
        train,
        (kept_images.images, kept_images.labels) if len(kept_images) else None,
        settings,
        flips,
        device,
        results,
        lambda done, name: None,
        validation=validation,
        targets={
            name: images.targets for name, images in {OWN: kept_images, **others}.items() if images.targets is not None
        },
        extra={name: (images.images, images.labels) for name, images in others.items()},
        classifier=choice.classifier,
        layers=layers,
        holes=holes,
        images_by_source={OWN: kept_images, **others},
        target=target,
        unlabelled=None if unlabelled is None else at_size(unlabelled, choice.splits.size).images,
        seed=seed,
    )
    settings = settings.model_copy(update={"arms": trainings.select(settings.arms)})
    trainings.settings = settings
    check_settings(settings)
    sources = {OWN: kept_images, **others}
    return Prepared(trainings, sources, choice.splits, choice.record, count_images(synthetic, left_out), seen_hashes)


def _contest(
    name: str,
    model: Learner,
    splits: Splits,
    arm: str,
    seeds: Sequence[int],
    *,
    settings: ProveSettings,
    flips: bool,
    device: torch.device,
    results: MutableMapping[str, Any],
    on_result: Callable[[int, int, str], None],
    trial_seed: int,
) -> list[dict[str, Any]]:
    """Metrics on validation of a classifier that is trained on the real images alone, one for each seed."""
    trainings = Trainings(
        splits.train,
        None,
        settings,
        flips,
        device,
        results,
        lambda done, result: on_result(done, len(seeds), result),
        validation=splits.validation,
        classifier=model,
        seed=trial_seed,
    )
    return trainings.measured(f"classifier/{name}", arm, 0.0, seeds, splits.validation)


def count_images(synthetic: SyntheticImages, left_out: int) -> dict[str, Any]:
    """Count the images of a trial: {drawn, accepted, rejected: {filter: number}, left_out}."""
    rejected = Counter(reason for reason in synthetic.reasons if reason not in ("", UNNEEDED))
    return {
        "drawn": len(synthetic),
        "accepted": int(synthetic.accepted.sum()),
        "rejected": dict(rejected),
        "left_out": left_out,
    }


def holes_of(
    train: LabelledImages,
    synthetic: SyntheticImages,
    condition: tuple[str, ...],
    rare: int,
    settings: ProveSettings,
) -> Holes | str:
    """Find the holes that a trial studies, or the reason why it studies none.

    The attributes are those of `condition`, or by default those of the translated images. Only holes for which images
    were generated count. If no image was generated for any hole, all holes count.

    Raises SettingsError when each seed resamples the train images: resampling would separate translations from their
    sources.
    """
    if synthetic.sources is None and not condition:
        return NO_HOLES
    check_sources(synthetic, train)
    condition = condition or synthetic.condition_names
    holes = Holes.of(train, condition, rare)
    if not holes:
        return f"no cell of class × {' × '.join(condition) or 'nothing'} has fewer than {rare} train images"
    _refuse_resampling(settings, "empty cells")
    return holes.aimed_at(synthetic, train) or holes


def _refuse_resampling(settings: ProveSettings, subject: str) -> None:
    """Raise SettingsError when each seed resamples the train images in a trial of the `subject`, which pools translations."""
    if settings.resample != "none":
        raise SettingsError(
            f"prove.resample is '{settings.resample}', but a trial of {subject} pools translations with the train images they were made "
            "from; use prove.resample=none"
        )


def _refuse_unfilled(holes: Holes, synthetic: SyntheticImages, train: LabelledImages) -> None:
    """Raise DataError when no image was made for a hole, not even one that the filters rejected."""
    if not holes.fills(synthetic, train).any():
        names = ", ".join(f"'{holes.cell_name(int(cell))}'" for cell in np.flatnonzero(holes.mask.ravel())[:5])
        raise DataError(
            f"none of {len(synthetic):,} synthetic images was made for an empty cell ({names}); generate images for these cells"
        )


def _warn_of_few(
    last: tuple[int, float],
    judged: int,
    test: LabelledImages,
    holes: Holes | str,
    on_note: Callable[[str], None],
) -> None:
    """Warn before training when only "underpowered" is possible.

    The test split may be too small. Or the last interim look, (seeds, significance level), may have too few seeds for
    `judged` generative arms.
    """
    seeds, level = last
    evaluated = test if isinstance(holes, str) else judged_images(test, holes)[0]
    if lacking := (not isinstance(holes, str) and absent(evaluated)) or few(evaluated, level):
        on_note(f"the verdict can only be 'underpowered': {lacking}. {TEST_MORE}")
    needed = least_seeds(level / judged)
    if seeds < needed:
        arms = "one generative arm needs" if judged == 1 else f"{judged} generative arms need"
        on_note(
            f"with {seeds} seeds the verdict can only be 'underpowered': {arms} at least {needed} (prove.seeds={needed})"
        )


def result_name(arm: str, ratio: float, rare: int = 1) -> str:
    """Name of an arm's results on the test split, without the seed.

    The images that an arm for holes trains on depend on `rare`, not on a ratio. An arm for another domain shows all images.
    """
    if ARMS[arm].method:
        return f"test/{arm}"
    if ARMS[arm].cells:
        return f"test/{arm}" + (f", fewer than {rare}" if rare > 1 else "")
    return f"test/{arm}" + (f" at ratio {ratio:g}" if ARMS[arm].shows else "")


def arm_of(name: str) -> str:
    """Extract the name of the arm from the name of a result.

    Parameters
    ----------
    name
        Such as "test/gan at ratio 1/0", as `prove` writes it into `results`.

    Returns
    -------
    str
        The name of the arm, such as "gan".
    """
    return re.split("/| at |, ", name)[1]


def _refuse_leaks(
    train: LabelledImages,
    validation: LabelledImages,
    test: LabelledImages,
    seen: Mapping[str, leakage.Prints],
    policy: leakage.Policy,
) -> None:
    """Raise DataError when a test image is among those `seen`, or two splits share an image.

    With "allow" the splits may share images. The generator may then have seen those images.
    """
    if policy == "allow":
        leakage.refuse_seen(test, seen, leakage.image_hashes(np.concatenate([train.images, validation.images])))
        return
    leakage.refuse_seen(test, seen)
    leakage.refuse_shared_splits(train, validation, test)


def _apart(
    images: SyntheticImages,
    *,
    train: LabelledImages,
    held: Mapping[str, LabelledImages],
    policy: leakage.Policy,
    flips: bool,
    external: bool,
    names: Sequence[str] = (),
) -> tuple[SyntheticImages, int]:
    """Remove near-duplicates of test images from the accepted images.

    For `external` images, near-duplicates of validation images are removed too. For Augury's own images they are not,
    because its generators use the validation split for selection only. Exact copies raise DataError, unless `policy` is
    "allow".

    Returns the remaining images and the number removed.
    """
    kept_images = images.take(images.accepted)
    names = [names[int(i)] for i in np.flatnonzero(images.accepted)] if len(names) else ()
    near, mirrored = np.zeros(len(kept_images), bool), flips or external
    for name, split in held.items():
        if name == "test" or external:
            near |= leakage.like_held(
                kept_images.images, split, policy, name=name, others=train.images, mirrored=mirrored, names=names
            )
        elif policy != "allow":
            leakage.refuse_copies(kept_images.images, split, name, mirrored=mirrored, names=names)
    return kept_images.take(~near), int(near.sum())


def _chosen(
    trainings: Trainings, ratios: list[float], validation: LabelledImages
) -> tuple[float, list[dict[str, Any]]]:
    """Choose the ratio on the validation split. Returns it with the validation metrics of every ratio.

    With at most one ratio above 0 there is nothing to choose.
    """
    if len(ratios) <= 2:
        return ratios[-1], []
    arm = next(name for name in trainings.settings.arms if ARMS[name].shows and trainings.has(name))
    seeds = [derived_seed(trainings.seed, "ratio", i) for i in range(CHOICE_SEEDS)]
    measures_by_ratio = {
        r: trainings.measured(f"validation/{arm} at ratio {r:g}", arm, r, seeds, validation) for r in ratios
    }
    return choose(measures_by_ratio, validation)


def _grown(
    trainings: Trainings,
    plan: Sequence[tuple[int, float]],
    ratio: float,
    curve: list[dict[str, Any]],
    images_by_source: Mapping[str, SyntheticImages],
    test: LabelledImages,
    offset: int,
) -> Verdict:
    """Train the arms and return the verdict of the first look with a clear outcome, or of the last look.

    A look evaluates the trial after a planned number of seeds, at its own significance level. `plan` lists (seeds, level).
    """
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in trainings.settings.arms}
    looks_taken: list[dict[str, Any]] = []
    holes = None if isinstance(trainings.holes, str) else trainings.holes
    rare = holes.rare if holes else 1
    augmentation = _augmentation(trainings)
    for amount, level in plan:
        seeds = tuple(derived_seed(trainings.seed, "trial", i) for i in range(offset, offset + amount))
        for name, measured in results.items():
            measured += trainings.measured(result_name(name, ratio, rare), name, ratio, seeds[len(measured) :], test)
        settings = trainings.settings
        verdict = judge(
            results,
            seeds,
            ratio,
            curve,
            trainings.train,
            images_by_source,
            test,
            level=level,
            margin=settings.margin,
            max_class_loss=settings.max_class_loss,
            holes=holes,
            augmentation=augmentation["chosen"] if augmentation else "",
        )
        looks_taken.append({"seeds": amount, "level": level, "outcome": verdict.outcome, "p": verdict.p})
        if verdict.outcome != "underpowered" or verdict.lacking:
            break
    return replace(verdict, looks=tuple(looks_taken) if len(plan) > 1 else (), augmentation=augmentation)


def _augmentation(trainings: Trainings) -> dict[str, Any] | None:
    """The augmentation chosen for arms that add images, with its measures on validation; None where no arm needs it."""
    if not augmentations(trainings.settings.arms):
        return None
    return {"chosen": trainings.augmentation, "balanced_accuracy": trainings.augmentation_curve}
