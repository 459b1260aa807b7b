"""The trial: every arm trained with the same seeds, the ratio chosen on validation, the test part read for the verdict."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from augury.errors import DataError, SettingsError
from augury.images import Images, LabelledImages, SyntheticImages
from augury.proof import leakage
from augury.proof.arms import ARMS, OWN
from augury.proof.cells import Holes, check_sources
from augury.proof.checks import check_sets, check_settings
from augury.proof.choice import choose
from augury.proof.judgement import few, judge
from augury.proof.judging_cells import absent, judged_images
from augury.proof.sequential import looks
from augury.proof.statistics import least_seeds
from augury.proof.trainings import NO_HOLES, Trainings
from augury.settings import ProveSettings
from augury.training import PretrainedBackbone
from augury.verdict import TEST_MORE, Verdict

CHOICE_SEEDS = 3
"""Seeds for choosing the ratio on validation; they are not those of the trial."""
OTHER_DOMAIN = "the trial is about another domain"
"""Why a trial with a target is about no empty cells."""


def prove(
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
    target: Images | None = None,
    results: MutableMapping[str, Any] | None = None,
    on_result: Callable[[int, int, str], None] = lambda done, total, name: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Train every arm with paired seeds and judge the kept synthetic images on `test`; the images may be of any making.

    With `settings.max_seeds` seeds are added, `settings.seeds` at a time, until the word is clear or there are as many.
    `seen` (place -> digests of images, as `leakage.recorded` reads them) says what made and chose the images has seen.
    `results` (name of a training -> its measures) is read for trainings already done and filled with new ones, so that
    a stopped trial goes on; `on_result(done, total, name)` is called after each, `on_note(text)` before the first one where
    there are too few seeds for any word but one. Of `foreign` images (called as `names` say; None: where they come as `LabelledImages`), whose maker may have seen anything,
    mirror images of test images and near-duplicates of validation images are looked for too, and there must be some to
    show. `extra` are the images of other generators,
    for arms that show them; `classifier` stands in for the settings': a function (channels, classes) -> network, a network,
    or an estimator of scikit-learn; `layers` are those of a discriminator (`augury.pretrained`), for arms that begin with
    them, or why there are none.

    Parameters
    ----------
    condition
        Names of attributes, in order. With translated images they default to the attributes that these were made for.
        Cells of class × attribute with fewer than `rare` train images are *holes*. Where there are some, the outcome is
        balanced accuracy within the attribute values that contain one, arms for holes take part, all images made for them
        are shown, and no ratio is chosen. The verdict then has `cells` and `overall`. Images drawn from noise are judged so
        only where `condition` is given.
    rare
        1 counts empty cells only; `augury.proof.RARE` also those with too few images to learn from.
    target
        Unlabelled images of another domain, uint8 [M, C, H, W], where `test` is of that domain. Arms that adapt to it then take
        part, all synthetic images are pooled with the real ones, and no ratio is chosen.

    Raises SettingsError for settings that cannot be used; DataError when the sets do not fit together, a class is missing
    in validation or test, or a test image is in another part, among the synthetic images, or was seen, or a validation image
    is among the synthetic ones.
    """
    settings, total = settings or ProveSettings(), 0
    external = isinstance(synthetic, LabelledImages) if external is None else external
    if isinstance(synthetic, LabelledImages):
        synthetic = SyntheticImages.of(synthetic)
    for each in (synthetic, *(extra or {}).values()):
        check_sets(train, validation, test, each)
    if target is not None and settings.resample != "none":
        raise SettingsError(
            f"prove.resample is '{settings.resample}', but a trial of another domain pools translations with the train images they "
            "were made from; use prove.resample=none"
        )
    holes = OTHER_DOMAIN if target is not None else holes_of(train, synthetic, condition, rare, settings)
    known = {**({} if isinstance(layers, str) else layers.seen), **(seen or {})}
    _refuse_leaks(train, validation, test, known, settings.near_duplicates)
    if external and not any(ratio > 0 for ratio in settings.ratios):
        raise SettingsError("prove.ratios has no ratio above 0, so no synthetic image would be shown; add one")
    held = {"test": test, "validation": validation}
    apart = partial(_apart, train=train, held=held, policy=settings.near_duplicates, flips=flips, external=external)
    kept, left_out = apart(synthetic, names=names)
    if left_out:
        on_note(
            f"{left_out:,} of {int(synthetic.kept.sum()):,} synthetic images are near-duplicates of held-out images and are left out"
        )
    if external and not len(kept):
        raise DataError(
            "no synthetic image is left to judge; generate them from train images alone (augury split writes the splits)"
        )
    others = {name: apart(images)[0] for name, images in (extra or {}).items()}
    if target is None:
        _check_fills(holes, kept, synthetic, train, on_note)
    trainings = Trainings(
        train,
        (kept.images, kept.labels) if len(kept) else None,
        settings,
        flips,
        torch.device(device),
        {} if results is None else results,
        lambda done, name: on_result(done, total, name),
        validation=validation,
        targets={name: images.targets for name, images in {OWN: kept, **others}.items() if images.targets is not None},
        extra={name: (images.images, images.labels) for name, images in others.items()},
        classifier=classifier,
        layers=layers,
        holes=holes,
        made={OWN: kept, **others},
        target=target,
    )
    settings = settings.model_copy(update={"arms": trainings.select(settings.arms)})
    trainings.settings = settings
    check_settings(settings)
    sources = {OWN: kept, **others}
    shown = any(ARMS[name].shows and len(sources[ARMS[name].source]) for name in settings.arms)
    ratios = sorted({0.0, *settings.ratios}) if shown and isinstance(holes, str) else [0.0]
    if target is not None:
        ratios = [len(kept) / len(train)]
    judged = sum(ARMS[name].generative for name in settings.arms)
    plan = looks(settings.seeds, settings.max_seeds, arms=judged)
    _warn_of_few(plan[-1], judged, test, holes, on_note)
    total = len(settings.arms) * plan[-1][0] + (len(ratios) * CHOICE_SEEDS if len(ratios) > 2 else 0)
    total += trainings.searches(settings.arms)
    ratio, curve = _chosen(trainings, ratios, validation, seed)
    verdict = _grown(trainings, plan, ratio, curve, sources, test, seed)
    return verdict.checked(
        {"test_not_seen_by": sorted(known), "left_out": left_out, "looked_for": settings.near_duplicates != "allow"}
    )


def holes_of(
    train: LabelledImages,
    synthetic: SyntheticImages,
    condition: tuple[str, ...],
    rare: int,
    settings: ProveSettings,
) -> Holes | str:
    """The holes that a trial is about, or why it is about none.

    Attributes are those of `condition`, or those that translated images were made for. Of several empty cells those count
    that some image was meant to fill; all, where none was.

    Raises SettingsError where train images are drawn anew for each seed, as translations belong to their sources.
    """
    if synthetic.sources is None and not condition:
        return NO_HOLES
    check_sources(synthetic, train)
    condition = condition or synthetic.condition_names
    found = Holes.of(train, condition, rare)
    if not found:
        return f"no cell of class × {' × '.join(condition) or 'nothing'} has fewer than {rare} train images"
    if settings.resample != "none":
        raise SettingsError(
            f"prove.resample is '{settings.resample}', but a trial of empty cells pools translations with the train images they were "
            "made from; use prove.resample=none"
        )
    return found.aimed_at(synthetic, train) or found


def _check_fills(
    holes: Holes | str,
    kept: SyntheticImages,
    synthetic: SyntheticImages,
    train: LabelledImages,
    on_note: Callable[[str], None],
) -> None:
    """Say that translations without holes are judged over all cells. Raises DataError where no image fills a hole."""
    if isinstance(holes, str):
        if synthetic.sources is not None:
            on_note(f"the translations are judged over all cells: {holes}")
    elif not holes.fills(kept, train).any():
        names = ", ".join(f"'{holes.cell_name(int(cell))}'" for cell in np.flatnonzero(holes.mask.ravel())[:5])
        raise DataError(
            f"of {len(synthetic):,} synthetic images, none of those kept fills an empty cell ({names}); check the filters, or "
            "generate images for these cells"
        )


def _warn_of_few(
    last: tuple[int, float],
    judged: int,
    test: LabelledImages,
    holes: Holes | str,
    on_note: Callable[[str], None],
) -> None:
    """Say before anything is trained that the test part, or the seeds of the last look at as many arms as are judged, cannot
    suffice for a word."""
    seeds, level = last
    inside = test if isinstance(holes, str) else judged_images(test, holes)[0]
    if lacking := (not isinstance(holes, str) and absent(inside)) or few(inside, level):
        on_note(f"the verdict can only be 'underpowered': {lacking}. {TEST_MORE}")
    needed = least_seeds(level / judged)
    if seeds < needed:
        arms = "one generative arm needs" if judged == 1 else f"{judged} generative arms need"
        on_note(
            f"with {seeds} seeds the verdict can only be 'underpowered': {arms} at least {needed} (prove.seeds={needed})"
        )


def result_name(arm: str, ratio: float, rare: int = 1) -> str:
    """What the results of an arm on the test part are called, less the seed. What an arm for holes shows depends on what is
    `rare`, and not on a ratio."""
    if ARMS[arm].cells:
        return f"test/{arm}" + (f", fewer than {rare}" if rare > 1 else "")
    return f"test/{arm}" + (f" at ratio {ratio:g}" if ARMS[arm].shows else "")


def arm_of(name: str) -> str:
    """The arm of a result of this name."""
    return re.split("/| at |, ", name)[1]


def _refuse_leaks(
    train: LabelledImages,
    validation: LabelledImages,
    test: LabelledImages,
    known: Mapping[str, leakage.Prints],
    policy: leakage.Policy,
) -> None:
    """Raises DataError when a test image was seen (`known`), or two parts share one; "allow" lets them share, and what they
    share their generator has seen."""
    if policy == "allow":
        leakage.refuse_seen(test, known, leakage.image_hashes(np.concatenate([train.images, validation.images])))
        return
    leakage.refuse_seen(test, known)
    leakage.refuse_shared_parts(train, validation, test)


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
    """The kept images without near-duplicates of test images, of `foreign` ones also without those of validation images, and how
    many they were. A generator of ours has seen validation images only by being chosen on them."""
    kept = images.take(images.kept)
    names = [names[int(i)] for i in np.flatnonzero(images.kept)] if len(names) else ()
    near, mirrored = np.zeros(len(kept), bool), flips or external
    for name, part in held.items():
        if name == "test" or external:
            near |= leakage.like_held(
                kept.images, part, policy, name=name, others=train.images, mirrored=mirrored, names=names
            )
        elif policy != "allow":
            leakage.refuse_copies(kept.images, part, name, mirrored=mirrored, names=names)
    return kept.take(~near), int(near.sum())


def _chosen(
    trainings: Trainings, ratios: list[float], validation: LabelledImages, seed: int
) -> tuple[float, list[dict[str, Any]]]:
    """The ratio, chosen on validation where there are several above 0, and the curve it was chosen from."""
    if len(ratios) <= 2:
        return ratios[-1], []
    arm = next(name for name in trainings.settings.arms if ARMS[name].shows and trainings.has(name))
    draws = [1_000_003 * (seed + 1) + i for i in range(CHOICE_SEEDS)]
    found = {r: trainings.measured(f"validation/{arm} at ratio {r:g}", arm, r, draws, validation) for r in ratios}
    return choose(found, validation)


def _grown(
    trainings: Trainings,
    plan: Sequence[tuple[int, float]],
    ratio: float,
    curve: list[dict[str, Any]],
    kept: Mapping[str, SyntheticImages],
    test: LabelledImages,
    seed: int,
) -> Verdict:
    """The verdict of the first look whose word is clear, or of the last."""
    each: dict[str, list[dict[str, Any]]] = {name: [] for name in trainings.settings.arms}
    taken: list[dict[str, Any]] = []
    holes = None if isinstance(trainings.holes, str) else trainings.holes
    rare = holes.rare if holes else 1
    for amount, level in plan:
        seeds = tuple(range(seed, seed + amount))
        for name, done in each.items():
            done += trainings.measured(result_name(name, ratio, rare), name, ratio, seeds[len(done) :], test)
        margin = trainings.settings.margin
        train = trainings.train
        verdict = judge(each, seeds, ratio, curve, train, kept, test, level=level, margin=margin, holes=holes)
        taken.append({"seeds": amount, "level": level, "outcome": verdict.outcome, "p": verdict.p})
        if verdict.outcome != "underpowered" or verdict.lacking:
            break
    return replace(verdict, looks=tuple(taken) if len(plan) > 1 else ())
