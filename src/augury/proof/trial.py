"""The trial: every arm trained with the same seeds, the ratio chosen on validation, the test part read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np
import torch

from augury.errors import SettingsError
from augury.images import LabelledImages, SyntheticImages
from augury.proof.arms import ARMS
from augury.proof.judgement import judge
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
    extra: Mapping[str, SyntheticImages] | None = None,
    classifier: Any = None,
    results: MutableMapping[str, Any] | None = None,
    on_result: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Verdict:
    """Train every arm with paired seeds and judge the kept synthetic images on `test`.

    `results` (name of a training -> its measures) is read for trainings already done and filled with new ones, so that
    a stopped trial goes on; `on_result(done, total, name)` is called after each. `extra` are the images of other generators,
    for arms that show them; `classifier` stands in for the settings': a function (channels, classes) -> network, a network,
    or an estimator of scikit-learn. Raises SettingsError for unknown arms.
    """
    settings, total = settings or ProveSettings(), 0
    kept = synthetic.take(synthetic.kept)
    trainings = Trainings(
        train,
        (kept.images, kept.labels) if len(kept) else None,
        settings,
        flips,
        torch.device(device),
        {} if results is None else results,
        lambda done, name: on_result(done, total, name),
        validation=validation,
        extra={name: (images.images, images.labels) for name, images in (extra or {}).items()},
        classifier=classifier,
    )
    settings = settings.model_copy(update={"arms": trainings.select(settings.arms)})
    _check(settings)
    ratios = sorted({0.0, *settings.ratios}) if len(kept) else [0.0]
    choosing = "gan" in settings.arms and len(ratios) > 1
    total = len(settings.arms) * settings.seeds + (len(ratios) * CHOICE_SEEDS if choosing else 0)
    total += trainings.searches(settings.arms)
    curve: list[dict[str, Any]] = []
    for ratio in ratios if choosing else []:
        draws = [1_000_003 * (seed + 1) + i for i in range(CHOICE_SEEDS)]
        found = trainings.measured(f"validation/ratio {ratio:g}", "gan", ratio, draws, validation)
        curve.append({"ratio": ratio, "balanced_accuracy": [m["balanced_accuracy"] for m in found]})
    best = (
        max(curve, key=lambda row: (float(np.mean(row["balanced_accuracy"])), -row["ratio"]))["ratio"] if curve else 0.0
    )

    seeds = tuple(range(seed, seed + settings.seeds))
    arms: dict[str, dict[str, list[Any]]] = {}
    for name in settings.arms:
        shown = f" at ratio {best:g}" if ARMS[name].synthetic else ""
        each = trainings.measured(f"test/{name}{shown}", name, best, seeds, test)
        arms[name] = {measure: [m[measure] for m in each] for measure in ("balanced_accuracy", "macro_f1", "recall")}
    return judge(arms, seeds, best, curve, train, kept, test)


def _check(settings: ProveSettings) -> None:
    if "gan" not in settings.arms or all(ARMS[name].synthetic for name in settings.arms):
        raise SettingsError(
            f"arms are {', '.join(settings.arms)}, but a verdict compares 'gan' with at least one arm without synthetic "
            "images; add both kinds with --arms"
        )
    if any(ratio < 0 for ratio in settings.ratios):
        raise SettingsError(f"ratios are {settings.ratios}, but must not be negative")
