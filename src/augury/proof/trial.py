"""The trial: train a classifier for every arm with the same seeds, and compare the arms on the test split.

The ratio is the number of synthetic images per real image in training. It is chosen on the validation split.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from augury.images import AnyImages, LabelledImages, SyntheticImages
from augury.proof import leakage
from augury.proof.arms import ARMS, OWN, augmentations
from augury.proof.auto_classifier import Splits
from augury.proof.cells import Holes
from augury.proof.choice import choose
from augury.proof.cost import CHOICE_SEEDS, number_of_trainings
from augury.proof.judgement import few, judge
from augury.proof.judging_cells import absent, judged_images
from augury.proof.operating_point import OperatingPoint
from augury.proof.preparation import prepare
from augury.proof.sequential import looks
from augury.proof.statistics import least_seeds
from augury.proof.trainings import Trainings
from augury.randomness import derived_seed
from augury.sentences import TEST_MORE
from augury.settings import ProveSettings
from augury.training import ALONE, PretrainedBackbone, World
from augury.verdict import Verdict


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
    world: World = ALONE,
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
    world
        The processes that share the trainings; each makes this call with the same images and results.
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
        world=world,
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
    _warn_of_few(plan[-1], generative_arms, test, holes, trainings.point, on_note)
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


def _warn_of_few(
    last: tuple[int, float],
    judged: int,
    test: LabelledImages,
    holes: Holes | str,
    point: OperatingPoint | None,
    on_note: Callable[[str], None],
) -> None:
    """Warn before training when only "underpowered" is possible.

    The test split may be too small. Or the last interim look, (seeds, significance level), may have too few seeds for
    `judged` generative arms.
    """
    seeds, level = last
    evaluated = test if isinstance(holes, str) else judged_images(test, holes)[0]
    evaluated = evaluated if point is None else point.judged(test)[0]
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
    return choose(measures_by_ratio, validation, trainings.point)


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
            point=trainings.point,
        )
        looks_taken.append({"seeds": amount, "level": level, "outcome": verdict.outcome, "p": verdict.p})
        if verdict.outcome != "underpowered" or verdict.lacking:
            break
    return replace(verdict, looks=tuple(looks_taken) if len(plan) > 1 else (), augmentation=augmentation)


def _augmentation(trainings: Trainings) -> dict[str, Any] | None:
    """The augmentation chosen for arms that add images, with its measures on validation; None where no arm needs it."""
    if not augmentations(trainings.settings.arms):
        return None
    return {"chosen": trainings.augmentation, "values": trainings.augmentation_curve}
