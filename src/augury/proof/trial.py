"""The trial: every arm trained with the same seeds, the ratio chosen on validation, the test part read for the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from augury.augment import policy
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages, SyntheticImages
from augury.proof import leakage
from augury.proof.arms import ARMS
from augury.proof.choice import choose
from augury.proof.judgement import judge
from augury.proof.sequential import looks
from augury.proof.trainings import Trainings
from augury.settings import ProveSettings
from augury.verdict import Verdict

CHOICE_SEEDS = 3
"""Seeds for choosing the ratio on validation; they are not those of the trial."""


def prove(
    train: LabelledImages,
    validation: LabelledImages,
    test: LabelledImages,
    synthetic: SyntheticImages,
    settings: ProveSettings | None = None,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    flips: bool = False,
    seen: Mapping[str, leakage.Prints] | None = None,
    results: MutableMapping[str, Any] | None = None,
    on_result: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Verdict:
    """Train every arm with paired seeds and judge the kept synthetic images on `test`; the images may be of any making.

    With `settings.max_seeds` seeds are added, `settings.seeds` at a time, until the word is clear or there are as many.
    `seen` (place -> digests of images, as `leakage.recorded` reads them) says what made and chose the images has seen.
    `results` (name of a training -> its measures) is read for trainings already done and filled with new ones, so that
    a stopped trial goes on; `on_result(done, total, name)` is called after each.

    Raises SettingsError for settings that cannot be used; DataError when the sets do not fit together, a class is missing
    in validation or test, or a test image is in another part, among the synthetic images, or was seen.
    """
    settings = settings or ProveSettings()
    _check_settings(settings)
    _check_sets(train, validation, test, synthetic)
    leakage.refuse_seen(test, seen or {})
    if settings.near_duplicates != "allow":
        leakage.refuse_shared_parts(train, validation, test)
    kept = synthetic.take(synthetic.kept)
    near = leakage.like_test(kept.images, test, settings.near_duplicates)
    kept = kept.take(~near)

    first = next(name for name in settings.arms if ARMS[name].synthetic)
    ratios = sorted({0.0, *settings.ratios}) if len(kept) else [0.0]
    choosing = len(ratios) > 2
    plan = looks(settings.seeds, settings.max_seeds)
    total = len(settings.arms) * plan[-1][0] + (len(ratios) * CHOICE_SEEDS if choosing else 0)
    trainings = Trainings(
        train,
        (kept.images, kept.labels) if len(kept) else None,
        settings,
        policy("classical", flips=flips),
        torch.device(device),
        {} if results is None else results,
        lambda done, name: on_result(done, total, name),
    )
    ratio, curve = ratios[-1], []
    if choosing:
        draws = [1_000_003 * (seed + 1) + i for i in range(CHOICE_SEEDS)]
        found = {r: trainings.measured(f"validation/ratio {r:g}", first, r, draws, validation) for r in ratios}
        ratio, curve = choose(found, validation)

    verdict, taken = None, []
    each: dict[str, list[dict[str, Any]]] = {name: [] for name in settings.arms}
    for amount, level in plan:
        seeds = tuple(range(seed, seed + amount))
        for name in settings.arms:
            what = f"test/{name}" + (f" at ratio {ratio:g}" if ARMS[name].synthetic else "")
            each[name] += trainings.measured(what, name, ratio, seeds[len(each[name]) :], test)
        verdict = judge(
            each, seeds, ratio, curve, train, kept, test, level=level, margin=settings.margin, looks=tuple(taken)
        )
        taken.append({"seeds": amount, "level": level, "word": verdict.word, "p": verdict.p})
        if verdict.word != "underpowered":
            break
    assert verdict is not None
    checked = {"test_not_seen_by": sorted(seen or {}), "left_out": int(near.sum())}
    return replace(verdict, looks=tuple(taken) if len(plan) > 1 else (), leaks=checked)


def _check_settings(settings: ProveSettings) -> None:
    unknown = [name for name in settings.arms if name not in ARMS]
    if unknown:
        raise SettingsError(f"there is no arm '{unknown[0]}'; choose among: {', '.join(ARMS)}")
    if len({ARMS[name].synthetic for name in settings.arms}) < 2:
        raise SettingsError(
            f"arms are {', '.join(settings.arms)}, but a verdict compares an arm with synthetic images, such as 'gan', with at "
            "least one without; add both kinds with --set prove.arms"
        )
    if any(ratio < 0 for ratio in settings.ratios):
        raise SettingsError(f"ratios are {settings.ratios}, but must not be negative")
    if settings.seeds < 2:
        raise SettingsError(
            f"prove.seeds is {settings.seeds}, but a paired trial needs at least 2 to see any variation, and 6 for a word; "
            "use prove.seeds=6"
        )
    if settings.max_seeds is not None and settings.max_seeds < settings.seeds:
        raise SettingsError(
            f"prove.max_seeds is {settings.max_seeds}, less than the {settings.seeds} that each look adds; raise it or lower "
            "prove.seeds"
        )


def _check_sets(
    train: LabelledImages, validation: LabelledImages, test: LabelledImages, synthetic: SyntheticImages
) -> None:
    parts = {"validation": validation, "test": test, "synthetic": synthetic}
    for name, part in parts.items():
        if part.classes != train.classes:
            raise DataError(
                f"the {name} images have the classes {_listed(part.classes)}, the train images {_listed(train.classes)}; give "
                "both the same classes in the same order"
            )
        if len(part) and part.images.shape[1:] != train.images.shape[1:]:
            raise DataError(
                f"the {name} images are [C, H, W] {list(part.images.shape[1:])}, but the train images "
                f"{list(train.images.shape[1:])}; bring them to the same size and colours, for example with augury.load(..., "
                "size=...)"
            )
    labels = synthetic.labels
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(train.classes)):
        raise DataError(
            f"synthetic labels run from {labels.min()} to {labels.max()}, but there are {len(train.classes)} classes"
        )
    for name, counts in (("validation", validation.counts), ("test", test.counts)):
        if not counts.all():
            lacking = [train.classes[c] for c in np.flatnonzero(counts == 0)]
            raise DataError(
                f"{_listed(lacking)} {'has' if len(lacking) == 1 else 'have'} no {name} image, so that nothing can be said "
                "about it; give each class at least one in every part (augury divides so by itself), or leave the class out"
            )


def _listed(names: Any, most: int = 5) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
