"""The trial: every arm trained with the same seeds, the ratio chosen on validation, the test part read once."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from augury.augment import Policy, policy
from augury.errors import SettingsError
from augury.images import Codes, Images, LabelledImages, SyntheticImages
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
    kept = synthetic.take(synthetic.kept)
    ratios = sorted({0.0, *settings.ratios}) if len(kept) else [0.0]
    choosing = "gan" in settings.arms and len(ratios) > 1
    total = len(settings.arms) * settings.seeds + (len(ratios) * CHOICE_SEEDS if choosing else 0)
    trial = _Trial(
        train,
        (kept.images, kept.labels) if len(kept) else None,
        settings,
        policy("classical", flips=flips),
        torch.device(device),
        {} if results is None else results,
        lambda done, name: on_result(done, total, name),
    )
    curve: list[dict[str, Any]] = []
    for ratio in ratios if choosing else []:
        draws = [1_000_003 * (seed + 1) + i for i in range(CHOICE_SEEDS)]
        found = [
            trial.measured(f"validation/ratio {ratio:g}/{i}", "gan", ratio, draw, validation)
            for i, draw in enumerate(draws)
        ]
        curve.append({"ratio": ratio, "balanced_accuracy": [m["balanced_accuracy"] for m in found]})
    best = (
        max(curve, key=lambda row: (float(np.mean(row["balanced_accuracy"])), -row["ratio"]))["ratio"] if curve else 0.0
    )

    seeds = tuple(range(seed, seed + settings.seeds))
    arms: dict[str, dict[str, list[Any]]] = {}
    for name in settings.arms:
        shown = f" at ratio {best:g}" if ARMS[name].synthetic else ""
        each = [trial.measured(f"test/{name}{shown}/{s}", name, best, s, test) for s in seeds]
        arms[name] = {measure: [m[measure] for m in each] for measure in ("balanced_accuracy", "macro_f1", "recall")}
    return judge(arms, seeds, best, curve, train, kept, test)


@dataclass
class _Trial:
    """The trainings of one trial: each is done once and its measures are kept in `results`."""

    train: LabelledImages
    synthetic: tuple[Images, Codes] | None
    settings: ProveSettings
    classical: Policy
    device: torch.device
    results: MutableMapping[str, Any]
    on_result: Callable[[int, str], None]
    done: int = 0

    def measured(self, name: str, arm_name: str, ratio: float, draw: int, part: LabelledImages) -> dict[str, Any]:
        """Train one classifier of an arm with seed `draw` and measure it on `part`, unless `results` has it."""
        if name not in self.results:
            arm = ARMS[arm_name]
            lesson = Lesson(
                steps=self.settings.steps,
                batch=self.settings.batch,
                balanced=arm.balanced,
                class_weights=arm.class_weights,
                augment=self.classical if arm.classical else None,
                synthetic=self.synthetic if arm.synthetic else None,
                ratio=ratio if arm.synthetic else 0.0,
            )
            model = teach(self.train, lesson, seed=draw, device=self.device)
            predicted = probabilities(model, part.images).argmax(1)
            self.results[name] = measures(confusion(part.labels, predicted, len(self.train.classes)))
        self.done += 1
        self.on_result(self.done, name)
        found: dict[str, Any] = self.results[name]
        return found


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
