"""What a trial compares: the images, checked for leaks, and the trainings of its arms, before any arm is trained."""

from __future__ import annotations

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
from augury.proof.arms import ARMS, OWN, UNLABELLED
from augury.proof.auto_classifier import Splits, at_size, choose_classifier
from augury.proof.cells import Holes, check_sources
from augury.proof.checks import check_sets, check_settings
from augury.proof.learners import Learner
from augury.proof.operating_point import operating_point
from augury.proof.trainings import NO_HOLES, Trainings
from augury.settings import BALANCED, ProveSettings
from augury.training import ALONE, PretrainedBackbone, World

NONE_ACCEPTED = "no image for an empty cell was accepted"
"""The reason, for messages, why a trial does not study the empty cells that it has."""
OTHER_DOMAIN = "the trial is about another domain"
"""The reason, for messages, why a trial with a target domain does not study empty cells."""


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
    world: World = ALONE,
    on_result: Callable[[int, int, str], None] = lambda done, total, name: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Prepared:
    """Check the images of a trial, leave out copies of held-out images, and select its arms; parameters as for `prove`."""
    settings = settings or ProveSettings()
    external = isinstance(synthetic, LabelledImages) if external is None else external
    point = operating_point(settings.metric, train.classes)
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
    if point is not None and not isinstance(holes, str):
        raise SettingsError(
            f"prove.metric is '{settings.metric}', but a trial about empty cells measures balanced accuracy within them; use "
            f"prove.metric={BALANCED}"
        )
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
            world=world,
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
        world=world,
    )
    arms = trainings.select((*settings.arms, *trainings.of_further_sources()))
    settings = settings.model_copy(update={"arms": arms})
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
    world: World,
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
        world=world,
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
