"""From the measures of every arm to the verdict."""

from __future__ import annotations

from typing import Any

import numpy as np

from augury.images import LabelledImages, SyntheticImages
from augury.proof.arms import ARMS
from augury.proof.statistics import bca_interval, sign_flip_p, word
from augury.verdict import Verdict, sentence


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
