"""The trial: every arm trained with the same seeds, the ratio chosen on validation, the test part read once."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import numpy as np
import torch

from augury.augment import policy
from augury.errors import SettingsError
from augury.images import LabelledImages, SyntheticImages
from augury.proof.arms import ARMS
from augury.proof.classifiers import Lesson, probabilities, teach
from augury.proof.statistics import bca_interval, confusion, measures, sign_flip_p, word
from augury.settings import ProveSettings
from augury.verdict import Verdict, sentence

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
    results: MutableMapping[str, Any] | None = None,
    on_result: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Verdict:
    """Train every arm with paired seeds and judge the kept synthetic images on `test`.

    `results` (name of a training -> its measures) is read for trainings already done and filled with new ones, so that
    a stopped trial goes on; `on_result(done, total, name)` is called after each. Raises SettingsError for unknown arms.
    """
    settings = settings or ProveSettings()
    _check(settings)
    results = {} if results is None else results
    kept = synthetic.take(synthetic.kept)
    pool = (kept.images, kept.labels)
    classical = policy("classical", flips=flips)
    where = torch.device(device)
    ratios = sorted({0.0, *settings.ratios}) if len(kept) else [0.0]
    with_choice = "gan" in settings.arms and len(ratios) > 1
    total = len(settings.arms) * settings.seeds + (len(ratios) * CHOICE_SEEDS if with_choice else 0)
    done = 0

    def train_and_measure(name: str, lesson: Lesson, draw: int, part: LabelledImages) -> dict[str, Any]:
        nonlocal done
        if name not in results:
            model = teach(train, lesson, seed=draw, device=where)
            predicted = probabilities(model, part.images).argmax(1)
            results[name] = measures(confusion(part.labels, predicted, len(train.classes)))
        done += 1
        on_result(done, total, name)
        found: dict[str, Any] = results[name]
        return found

    def lesson(arm_name: str, ratio: float) -> Lesson:
        arm = ARMS[arm_name]
        return Lesson(
            steps=settings.steps,
            batch=settings.batch,
            balanced=arm.balanced,
            class_weights=arm.class_weights,
            augment=classical if arm.classical else None,
            synthetic=pool if arm.synthetic and len(kept) else None,
            ratio=ratio if arm.synthetic else 0.0,
        )

    curve: list[dict[str, Any]] = []
    for ratio in ratios if with_choice else []:
        scores = [
            train_and_measure(
                f"validation/ratio {ratio:g}/{i}", lesson("gan", ratio), 1_000_003 * (seed + 1) + i, validation
            )
            for i in range(CHOICE_SEEDS)
        ]
        curve.append({"ratio": ratio, "balanced_accuracy": [s["balanced_accuracy"] for s in scores]})
    best = (
        max(curve, key=lambda row: (float(np.mean(row["balanced_accuracy"])), -row["ratio"]))["ratio"] if curve else 0.0
    )

    seeds = tuple(range(seed, seed + settings.seeds))
    arms: dict[str, dict[str, list[Any]]] = {}
    for name in settings.arms:
        each = [train_and_measure(f"test/{name}/{s}", lesson(name, best), s, test) for s in seeds]
        arms[name] = {measure: [r[measure] for r in each] for measure in ("balanced_accuracy", "macro_f1", "recall")}
    return judge(arms, seeds, best, curve, train, kept, test)


def judge(
    arms: dict[str, dict[str, list[Any]]],
    seeds: tuple[int, ...],
    ratio: float,
    curve: list[dict[str, Any]],
    train: LabelledImages,
    kept: SyntheticImages,
    test: LabelledImages,
) -> Verdict:
    """The verdict on the gan arm against the arm without synthetic images that is best *on test*: a choice that errs
    against the synthetic images, never for them."""
    means = {name: float(np.mean(values["balanced_accuracy"])) for name, values in arms.items()}
    comparator = max((name for name in arms if not ARMS[name].synthetic), key=lambda name: means[name])
    differences = np.array(arms["gan"]["balanced_accuracy"]) - np.array(arms[comparator]["balanced_accuracy"])
    low, high = bca_interval(differences)
    p = sign_flip_p(differences)
    found = word(differences, low, high, p)
    if ratio == 0 and found in ("helps", "hurts"):  # nothing synthetic was shown, so nothing synthetic did it
        found = "no difference"
    mean = float(differences.mean())
    recalls = {name: np.mean(arms[name]["recall"], axis=0) for name in ("gan", comparator)}
    added = np.bincount(kept.labels, minlength=len(train.classes))
    rows = tuple(
        {
            "class": name,
            "train": int(train.counts[c]),
            "synthetic": int(added[c]) if ratio else 0,
            "recall_comparator": float(recalls[comparator][c]),
            "recall_arm": float(recalls["gan"][c]),
            "difference": float(recalls["gan"][c] - recalls[comparator][c]),
        }
        for c, name in enumerate(train.classes)
    )
    text = sentence(found, "gan", comparator, mean, low, high, p, ratio, len(seeds))
    return Verdict(
        found, text, "gan", comparator, mean, low, high, p, ratio, seeds, len(test), arms, tuple(curve), rows
    )


def _check(settings: ProveSettings) -> None:
    unknown = [name for name in settings.arms if name not in ARMS]
    if unknown:
        raise SettingsError(f"there is no arm '{unknown[0]}'; choose among: {', '.join(ARMS)}")
    if "gan" not in settings.arms or all(ARMS[name].synthetic for name in settings.arms):
        raise SettingsError(
            f"arms are {', '.join(settings.arms)}, but a verdict compares 'gan' with at least one arm without synthetic "
            "images; add both kinds with --arms"
        )
    if any(ratio < 0 for ratio in settings.ratios):
        raise SettingsError(f"ratios are {settings.ratios}, but must not be negative")
